"""How often cells are drawn: by hand, and as properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.train.models.contrastive_sampling import balanced_weights, with_share


def test_weights_by_hand_of_two_types_and_two_datasets() -> None:
    types, datasets = np.array([0, 0, 0, 1]), np.array([0, 1, 1, 1])
    found = balanced_weights((types, 2.0), (datasets, 1.0))
    rare, common = 1 / math.log1p(1 / 2), 1 / math.log1p(3 / 2)
    small, large = 1 / math.log1p(1), 1 / math.log1p(3)
    expected = np.array([common * small, common * large, common * large, rare * large])
    # The cap: twice the quantile 0.999 is above all of them.
    np.testing.assert_allclose(found, expected / expected.sum())


def test_far_below_the_scale_every_type_gets_the_same_and_far_above_more_for_more_cells() -> None:
    types = np.repeat([0, 1, -1], [900, 90, 10])
    even = balanced_weights((types, 1e9))
    np.testing.assert_allclose([even[types == each].sum() for each in (0, 1, -1)], 1 / 3, rtol=1e-3)
    gentle = balanced_weights((types, 1.0))
    assert gentle[types == 0].sum() > 5 * gentle[types == 1].sum() > gentle[types == -1].sum()


def test_a_type_of_one_cell_among_many_is_capped() -> None:
    types = np.r_[np.zeros(100_000, np.int64), 1]
    weights = balanced_weights((types, 1e9))
    assert weights[-1] == pytest.approx(2 * weights[0])


@given(
    weights=st.lists(st.floats(0.01, 100), min_size=2, max_size=50),
    share=st.floats(0.01, 0.99),
    n_wanted=st.integers(1, 49),
)
def test_wanted_cells_get_their_share_at_least_and_keep_their_proportions(
    weights: list[float], share: float, n_wanted: int
) -> None:
    given_weights = np.array(weights) / sum(weights)
    is_wanted = np.arange(len(weights)) < min(n_wanted, len(weights) - 1)
    found = with_share(given_weights, is_wanted, share)
    before = given_weights[is_wanted].sum()
    assert found.sum() == pytest.approx(1)
    assert found[is_wanted].sum() == pytest.approx(max(share, before))
    for group in (is_wanted, ~is_wanted):
        np.testing.assert_allclose(
            found[group] / found[group].sum(), given_weights[group] / given_weights[group].sum()
        )


def test_nothing_changes_where_no_cell_is_wanted() -> None:
    weights = np.array([0.25, 0.75])
    assert with_share(weights, np.zeros(2, np.bool_), 0.5) is weights
