"""What cells are made of: counts by hand."""

import polars as pl
import pytest

from curate.build.composition import composition, diversity, n_donors, summarise

CELLS = pl.DataFrame(
    {
        "cell_type": ["T", "T", "B", "NK", "B"],
        "tissue_general": ["lung", "lung", "blood", "blood", None],
        "assay": ["x", "x", "x", "x", "x"],
        "disease": ["flu || asthma", "flu", "normal", "asthma || flu", "normal"],
        "dataset_id": ["d1", "d1", "d1", "d2", "d2"],
        "donor_id": ["1", "2", "1", "1", "1"],
        "split": ["train", "train", "train", "val", "test"],
    }
)


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical])
def test_labels_are_counted_most_first_and_ties_by_label(dtype: type[pl.DataType]) -> None:
    counts = composition(CELLS.select(pl.all().cast(dtype)))
    assert list(counts["cell_type"].items()) == [("B", 2), ("T", 2), ("NK", 1)]
    assert list(counts) == CELLS.columns


def test_a_cell_with_two_diseases_counts_for_both() -> None:
    assert composition(CELLS.select("disease")) == {"disease": {"flu": 3, "asthma": 2, "normal": 2}}


def test_a_label_named_twice_counts_once() -> None:
    assert composition(pl.DataFrame({"disease": ["flu || flu"]})) == {"disease": {"flu": 1}}


def test_a_missing_label_is_counted_as_missing() -> None:
    assert composition(CELLS.select("tissue_general"))["tissue_general"] == {
        "blood": 2,
        "lung": 2,
        "(missing)": 1,
    }


def test_booleans_are_labels() -> None:
    assert composition(pl.DataFrame({"primary": [True, False, True]})) == {"primary": {"true": 2, "false": 1}}


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical])
def test_a_donor_is_a_donor_of_one_dataset(dtype: type[pl.DataType]) -> None:
    assert n_donors(CELLS.select(pl.col("dataset_id", "donor_id").cast(dtype))) == 3


def test_diversity_is_of_the_training_cells() -> None:
    # T, T, B: shares 2/3 and 1/3
    measured = diversity(CELLS, "cell_type")
    assert (measured.split, measured.n_cells, measured.n_labels) == ("train", 3, 2)
    assert measured.shannon_bits == pytest.approx(0.9182958340544896)
    assert measured.inverse_simpson == pytest.approx(1.8)
    assert measured.gini_simpson == pytest.approx(4 / 9)


def test_diversity_is_of_all_cells_when_none_trains() -> None:
    measured = diversity(CELLS[3:], "cell_type")
    assert (measured.split, measured.n_cells, measured.n_labels) == (None, 2, 2)
    assert measured.shannon_bits == pytest.approx(1.0)


def test_a_summary_holds_composition_donors_and_diversity() -> None:
    summary = summarise(CELLS)
    assert list(summary.composition) == ["cell_type", "tissue_general", "assay", "disease", "dataset_id"]
    assert summary.n_donors == 3
    assert summary.diversity == {"cell_type": diversity(CELLS, "cell_type")}
