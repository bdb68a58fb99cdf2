"""The two halves of a reference."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from curate.build.task.halves import split_halves, value_texts
from curate.task import SplitRule

NAMES = pl.Series([f"cell-{i}" for i in range(4_000)])


def test_every_cell_is_in_one_half_and_the_fraction_is_about_kept() -> None:
    halves = split_halves(SplitRule(train_fraction=0.3), NAMES, None)
    np.testing.assert_array_equal(halves.train, ~halves.held_out)
    # Five standard deviations of a binomial of 4,000 and 0.3.
    assert abs(halves.train.sum() - 1_200) < 5 * np.sqrt(4_000 * 0.3 * 0.7)


def test_a_fraction_of_one_trains_on_every_cell() -> None:
    assert split_halves(SplitRule(train_fraction=1), NAMES, None).train.all()


def test_a_cells_half_depends_on_its_own_name_and_the_seed_alone() -> None:
    first = split_halves(SplitRule(), NAMES, None).train
    order = np.random.default_rng(0).permutation(4_000)[:900]
    np.testing.assert_array_equal(split_halves(SplitRule(), NAMES[order], None).train, first[order])
    assert (split_halves(SplitRule(seed=1), NAMES, None).train != first).any()


def test_a_smaller_fraction_lies_inside_a_larger_one() -> None:
    small = split_halves(SplitRule(train_fraction=0.2), NAMES, None).train
    large = split_halves(SplitRule(train_fraction=0.6), NAMES, None).train
    assert not (small & ~large).any()


def test_units_stay_together_and_missing_values_are_one_unit() -> None:
    donors = pl.Series([None if i % 10 == 0 else f"donor-{i % 10}" for i in range(4_000)])
    train = split_halves(SplitRule(by="donor_id"), NAMES, donors).train
    by_donor = (
        pl.DataFrame({"donor": donors, "train": train}).group_by("donor").agg(pl.col("train").n_unique())
    )
    assert by_donor["train"].to_list() == [1] * 10
    assert 0 < train.sum() < 4_000


def test_named_values_train_and_all_others_are_held_out_unless_they_are_named() -> None:
    batches = pl.Series(["a", "b", "c", "a"])
    halves = split_halves(SplitRule(by="batch", train=("a",)), NAMES[:4], batches)
    assert (halves.train.tolist(), halves.held_out.tolist()) == (
        [True, False, False, True],
        [False, True, True, False],
    )
    named = split_halves(SplitRule(by="batch", train=("a",), held_out=("c",)), NAMES[:4], batches)
    assert named.held_out.tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (pl.Series([1.0, 2.5, None, float("nan")]), ["1", "2.5", "unknown", "unknown"]),
        (pl.Series([3, None]), ["3", "unknown"]),
        (pl.Series(["a", "", "nan", None]), ["a", "unknown", "unknown", "unknown"]),
        (pl.Series(["b", None], dtype=pl.Categorical), ["b", "unknown"]),
    ],
    ids=["floats", "integers", "text", "categories"],
)
def test_values_become_texts_one_by_one(values: pl.Series, texts: list[str]) -> None:
    assert value_texts(values).to_list() == texts
