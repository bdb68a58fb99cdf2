"""Splits: shares as asked for, and one split a cell whatever the subset."""

import numpy as np
import pytest

from curate.build.splits.cells import assign_splits
from curate.errors import SelectionError
from curate.identity import release_identity_hash
from curate.manifests.document import SPLITS

IDENTITY = release_identity_hash("test", np.arange(100_000))


def test_the_shares_are_the_ratios_within_chance() -> None:
    counts = np.bincount(assign_splits(IDENTITY), minlength=3)
    assert counts.sum() == 100_000
    assert np.abs(counts - [80_000, 10_000, 10_000]).max() < 5 * np.sqrt(100_000 * 0.8 * 0.2)


def test_a_cell_has_the_same_split_in_every_subset() -> None:
    some = np.random.default_rng(1).permutation(len(IDENTITY))[:5_000]
    assert (assign_splits(IDENTITY[some]) == assign_splits(IDENTITY)[some]).all()


def test_another_seed_splits_anew() -> None:
    agreement = (assign_splits(IDENTITY, seed=0) == assign_splits(IDENTITY, seed=1)).mean()
    assert agreement == pytest.approx(0.8**2 + 0.1**2 + 0.1**2, abs=0.01)


def test_a_split_of_share_zero_is_empty() -> None:
    assert set(assign_splits(IDENTITY, ratios=(0.9, 0.0, 0.1))) == {
        SPLITS.index("train"),
        SPLITS.index("test"),
    }
    assert set(assign_splits(IDENTITY, ratios=(1.0, 0.0, 0.0))) == {SPLITS.index("train")}


@pytest.mark.parametrize(
    ("ratios", "fault"),
    [
        ((0.5, 0.5), "are 2 of 3 shares"),
        ((0.8, 0.1, 0.2), r"sum to 1\.1"),
        ((1.2, -0.1, -0.1), r"hold -0\.1, less than 0"),
        ((float("nan"), 0.5, 0.5), "sum to nan"),
    ],
)
def test_ratios_that_do_not_sum_to_one_are_refused(ratios: tuple[float, ...], fault: str) -> None:
    with pytest.raises(SelectionError, match=f"{fault}; give 3 shares .* that sum to 1"):
        assign_splits(IDENTITY, ratios=ratios)
