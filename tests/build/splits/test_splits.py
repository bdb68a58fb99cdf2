"""Splits by unit: whole units, near the ratios, types kept in train, the same in every subset."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.build.build import build
from curate.build.candidates import find_candidates
from curate.build.splits.splits import Splits, make_splits
from curate.corpus import Corpus
from curate.errors import SelectionError
from curate.manifests.document import SPLITS
from curate.manifests.manifest import Manifest
from curate.manifests.registry import Registry
from curate.workspace import Workspace


@pytest.fixture(scope="module")
def atlas(atlas_workspace: Path) -> Corpus:
    return Workspace.find(atlas_workspace).corpus()


def split(corpus: Corpus, unit: str, **settings: object) -> Splits:
    return make_splits(corpus, find_candidates(corpus, None), unit=unit, **settings)  # type: ignore[arg-type]


def of_all(corpus: Corpus, splits: Splits) -> pl.DataFrame:
    rows = np.arange(corpus.n_cells)
    return corpus.columns(["dataset_id", "donor_id", "cell_type"]).with_columns(
        pl.Series("split", splits.of(rows))
    )


def homes(cells: pl.DataFrame, unit: list[str]) -> list[int]:
    return cells.group_by(unit).agg(pl.col("split").n_unique())["split"].to_list()


def test_a_donor_of_a_dataset_is_in_one_split(corpus: Corpus) -> None:
    cells = of_all(corpus, split(corpus, "donor", ratios=(0.5, 0.25, 0.25)))
    # The store has 4 donor_ids in each of 3 datasets: 12 donors.
    assert homes(cells, ["dataset_id", "donor_id"]) == [1] * 12
    assert max(homes(cells, ["donor_id"])) > 1


@pytest.mark.parametrize("unit", ["tech_sample", "dataset_id,donor_id"])
def test_other_names_of_the_same_unit_are_the_same_split(corpus: Corpus, unit: str) -> None:
    donor, other = split(corpus, "donor"), split(corpus, unit)
    assert other.record == donor.record
    assert other.record.unit == "dataset_id,donor_id"
    np.testing.assert_array_equal(other.codes, donor.codes)


def test_a_dataset_is_in_one_split_and_any_column_can_be_the_unit(corpus: Corpus) -> None:
    assert homes(of_all(corpus, split(corpus, "dataset")), ["dataset_id"]) == [1, 1, 1]
    assert split(corpus, "assay").record.n_units == {"train": 1, "val": 1, "test": 1}


def test_shares_of_cells_and_types_come_near_the_ratios(atlas: Corpus) -> None:
    splits = split(atlas, "donor", ratios=(0.6, 0.2, 0.2))
    cells = of_all(atlas, splits)
    shares = np.bincount(cells["split"], minlength=3) / atlas.n_cells
    assert np.abs(shares - [0.6, 0.2, 0.2]).max() < 0.02
    assert sum((splits.record.n_units or {}).values()) == cells.n_unique(["dataset_id", "donor_id"])
    types = cells.group_by("cell_type").agg(pl.len(), (pl.col("split") == 0).mean().alias("train"))
    assert types.filter(pl.col("len") > 100)["train"].is_between(0.4, 0.8).all()
    assert types["train"].min() > 0  # type: ignore[operator]


def test_a_unit_has_the_same_split_in_every_subset(atlas: Corpus, tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    requests: list[dict[str, object]] = [
        {"strategy": "random", "n_cells": 300},
        {"strategy": "reweight", "n_cells": 300, "seed": 3},
        {"strategy": "random", "fraction": 1, "where": "tissue_general == 'blood'"},
    ]
    subsets = [
        build(atlas, registry=registry, split_by="donor", name=f"m{number}", **request)[0]  # type: ignore[arg-type]
        for number, request in enumerate(requests)
    ]
    cells = pl.concat(
        manifest.obs(["dataset_id", "donor_id"]).select("dataset_id", "donor_id", "split")
        for manifest in subsets
    )
    by_unit = cells.group_by("dataset_id", "donor_id").agg(pl.col("split").n_unique())
    assert by_unit.height > 10
    assert by_unit["split"].to_list() == [1] * by_unit.height


def test_the_manifest_says_what_the_unit_was_and_verifies(atlas: Corpus, tmp_path: Path) -> None:
    (manifest,) = build(atlas, registry=Registry(tmp_path), strategy="random", n_cells=200, split_by="donor")
    record = manifest.document.splits
    assert (record.unit, record.parameters) == ("dataset_id,donor_id", {"stratify_by": ["cell_type"]})
    assert manifest.verify().ok
    by_type = manifest.obs(["cell_type"]).group_by("cell_type").agg(pl.col("split").unique(), pl.len())
    alone = {t: s[0] for t, s, _ in by_type.iter_rows() if len(s) == 1}
    assert record.labels_in_one_split == {"cell_type": alone}
    lost = {t: n for t, s, n in by_type.iter_rows() if "train" not in s}
    assert record.labels_outside_train == {"cell_type": lost}


def test_a_split_by_cell_is_as_it_was_and_names_the_types_that_train_lacks(
    atlas: Corpus, tmp_path: Path
) -> None:
    (manifest,) = build(atlas, registry=Registry(tmp_path), strategy="reweight", n_cells=30)
    record = manifest.document.splits
    assert (record.unit, record.parameters, record.n_units) == ("cell", {}, None)
    assert record.labels_outside_train is not None
    lost = record.labels_outside_train["cell_type"]
    cells = manifest.obs(["cell_type"])
    trained = set(cells.filter(pl.col("split") == "train")["cell_type"])
    assert set(lost) == set(cells["cell_type"]) - trained
    assert lost


def test_changed_records_of_labels_fail_to_verify(atlas: Corpus, tmp_path: Path) -> None:
    (manifest,) = build(atlas, registry=Registry(tmp_path), strategy="reweight", n_cells=30)
    splits = manifest.document.splits.model_copy(update={"labels_outside_train": {"cell_type": {}}})
    changed = manifest.document.model_copy(update={"splits": splits}).sealed()
    (Path(manifest.folder) / "manifest.json").write_bytes(changed.to_bytes())
    report = Manifest.open(manifest.folder, workspace=Workspace.around(atlas.path)).verify()
    assert [check.name for check in report.failed] == ["composition"]
    assert "cells outside train of cell_type" in report.failed[0].detail


def test_without_stratification_a_unit_has_its_split_in_every_corpus(
    corpus: Corpus, other_corpus: Corpus
) -> None:
    a, b = (
        of_all(each, split(each, "donor", stratify_by="none")).cast({pl.Enum: pl.String})
        for each in (corpus, other_corpus)
    )
    unit = ["dataset_id", "donor_id"]
    both = a.unique([*unit, "split"]).join(b.unique([*unit, "split"]), on=[*unit, "split"])
    assert both.height == b.n_unique(unit) == 8


def test_another_seed_gives_another_split(atlas: Corpus) -> None:
    first, second = (of_all(atlas, split(atlas, "donor", seed=seed)) for seed in (0, 1))
    assert 0 < (first["split"] != second["split"]).sum() < atlas.n_cells


def test_a_unit_outside_of_where_may_lack_a_value_but_not_one_inside(corpus: Corpus) -> None:
    table = pq.read_table(corpus.path / "cells.parquet")
    donors = table["donor_id"].cast(pa.string()).to_pylist()
    donors[:7] = [None] * 7
    position = table.schema.get_field_index("donor_id")
    column = pa.array(donors).dictionary_encode()
    pq.write_table(table.set_column(position, "donor_id", column), corpus.path / "cells.parquet")
    with pytest.raises(
        SelectionError, match=r"7 cells of the 600 to choose from have no dataset_id or donor"
    ):
        split(corpus, "donor")
    candidates = find_candidates(corpus, "dataset_id != 'dataset-a'")
    splits = make_splits(corpus, candidates, unit="donor")
    assert candidates.rows is not None
    assert set(splits.of(candidates.rows)) <= set(range(len(SPLITS)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unit": "donnor"}, "cannot split by 'donnor'.*did you mean 'donor'"),
        ({"unit": "raw_sum"}, "raw_sum holds measurements"),
        (
            {"unit": "tissue"},
            r"tissue: 2 units for 3 splits \(train, val, test\); split by a column with more",
        ),
        ({"unit": "suspension_type"}, "suspension_type: 1 unit for 3 splits"),
        ({"unit": "donor", "ratios": (0.5, 0.5, 0.1)}, r"sum to 1\.1"),
        ({"unit": "donor", "stratify_by": "cel_type"}, "stratify splits by 'cel_type'.*mean 'cell_type'"),
    ],
)
def test_what_cannot_be_split_is_one_line(corpus: Corpus, settings: dict[str, str], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        split(corpus, **settings)


def test_cells_of_fewer_units_than_splits_are_refused_though_the_corpus_has_more(corpus: Corpus) -> None:
    one = find_candidates(corpus, "dataset_id == 'dataset-a'")
    with pytest.raises(
        SelectionError,
        match=r"dataset_id: 1 unit among the \d+ cells to choose from \(3 in the corpus\) for 3 splits "
        r"\(train, val, test\); choose from more, split by a column with more values, or set a share to 0",
    ):
        make_splits(corpus, one, unit="dataset")
    two = find_candidates(corpus, "dataset_id != 'dataset-a'")
    with pytest.raises(SelectionError, match=r"dataset_id: 2 units among the"):
        make_splits(corpus, two, unit="dataset", stratify_by="none")
    # As many units as splits are enough, wherever they fall.
    assert make_splits(corpus, two, unit="dataset", ratios=(0.5, 0.5, 0.0)).record.unit == "dataset_id"
    assert make_splits(corpus, one, unit="donor").record.n_units is not None


def test_a_split_of_share_zero_needs_no_unit(corpus: Corpus) -> None:
    cells = of_all(corpus, split(corpus, "tissue", ratios=(0.5, 0.5, 0.0)))
    assert set(cells["split"]) == {0, 1}


def test_the_order_of_the_rows_does_not_matter(corpus: Corpus, tmp_path: Path) -> None:
    before = of_all(corpus, split(corpus, "donor"))
    table = pq.read_table(corpus.path / "cells.parquet")
    order = np.random.default_rng(0).permutation(corpus.n_cells)
    folder = Path(shutil.copytree(corpus.path, tmp_path / "shuffled"))
    pq.write_table(table.take(order), folder / "cells.parquet")
    np.save(folder / "identity.npy", corpus.identity()[order])
    after = of_all(Corpus.open(folder), split(Corpus.open(folder), "donor"))
    assert after["split"].to_list() == before["split"].gather(order).to_list()
