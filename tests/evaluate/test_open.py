"""Evaluation data from files, the Census and manifests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from curate.errors import EvaluationError, ModelError
from curate.evaluate.data import EvaluationData, logged
from curate.evaluate.open import open_data
from curate.gene_space import GeneSpace

if TYPE_CHECKING:
    from pathlib import Path

    from curate.manifests.manifest import Manifest
    from curate.workspace import Workspace


def test_a_file_is_read_with_its_counts_and_obs(outside: Path) -> None:
    data = open_data(str(outside))
    assert (data.name, data.n_cells, data.n_genes) == ("outside", 150, 300)
    assert data.counts.dtype == np.uint32
    assert data.labels("cell_type").shape == (150,)


def test_a_filter_takes_the_cells_that_match(outside: Path) -> None:
    whole = open_data(str(outside))
    kind = whole.labels("cell_type")[0]
    part = open_data(str(outside), where=f"cell_type == '{kind}'")
    rows = np.flatnonzero(whole.labels("cell_type") == kind)
    assert part.obs_names.to_list() == whole.obs_names.gather(rows).to_list()
    np.testing.assert_array_equal(part.counts.toarray(), whole.counts[rows].toarray())


def test_a_filter_that_matches_nothing_is_refused(outside: Path) -> None:
    with pytest.raises(EvaluationError, match="150 cells, of which none matches cell_type == 'x'"):
        open_data(str(outside), where="cell_type == 'x'")


def test_cells_of_the_census_are_those_of_its_obs(workspace: Workspace) -> None:
    with workspace.open_census() as census:
        ids = census.read_datasets()["dataset_id"].to_list()
        data = open_data(f"census:dataset_id == '{ids[0]}'", workspace=workspace)
        obs = pl.concat(
            pl.DataFrame(pl.from_arrow(each)) for each in census.read_obs("homo_sapiens", ["dataset_id"])
        )
    assert data.name == ids[0]
    assert data.identity is not None
    expected = obs.filter(pl.col("dataset_id").cast(pl.String) == ids[0])["soma_joinid"].to_list()
    assert data.identity["soma_joinid"].to_list() == expected
    assert data.label is not None
    assert "simulated" in data.label.lower()


def test_a_manifest_gives_its_test_cells_unless_told(workspace: Workspace, manifest: Manifest) -> None:
    counts = manifest.document.splits.counts
    test = open_data(f"manifest:{manifest.name}", workspace=workspace)
    val = open_data(f"manifest:{manifest.name}:val", workspace=workspace)
    assert (test.n_cells, val.n_cells) == (counts["test"], counts["val"])
    assert test.name.endswith(":test")


def test_options_of_files_do_not_go_with_a_manifest(workspace: Workspace, manifest: Manifest) -> None:
    with pytest.raises(EvaluationError, match="layer goes with a file"):
        open_data(f"manifest:{manifest.name}", workspace=workspace, layer="raw")


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="is not there; name an h5ad file"):
        open_data(str(tmp_path / "none.h5ad"))


def test_fewer_cells_are_drawn_and_said(outside: Path) -> None:
    data = open_data(str(outside), max_cells=50, seed=1)
    assert data.n_cells == 50
    assert data.notices == ["50 of 150 cells drawn at random, seed 1"]
    assert open_data(str(outside), max_cells=50, seed=2).fingerprint != data.fingerprint


def test_the_fingerprint_follows_how_genes_are_found(cells: EvaluationData) -> None:
    renamed = cells.var.with_columns(pl.lit("TP53").alias("symbol"))
    others = [
        replace(cells, var=renamed),
        replace(cells, gene_column="symbol"),
        replace(cells, min_overlap=0.9),
    ]
    assert len({each.fingerprint for each in (cells, *others)}) == 4


def test_the_fingerprint_follows_counts_labels_and_genes(cells: EvaluationData) -> None:
    held = cells.fingerprint
    assert cells.take(np.arange(cells.n_cells)).fingerprint == held
    other = cells.take(np.arange(cells.n_cells))
    other.obs = other.obs.with_columns(pl.lit("x").alias("donor_id"))
    assert other.fingerprint != held
    other = cells.take(np.arange(cells.n_cells))
    other.counts = other.counts.copy()
    other.counts.data[0] += 1
    assert other.fingerprint != held


def test_log_normalised_by_hand() -> None:
    from scipy.sparse import csr_array

    counts = csr_array(np.array([[1, 3], [0, 0]], np.uint32))
    expected = [[np.log1p(2500), np.log1p(7500)], [0, 0]]
    np.testing.assert_allclose(logged(counts).toarray(), expected, rtol=1e-6)


def test_data_with_too_few_of_the_genes_are_refused(cells: EvaluationData) -> None:
    ids = tuple(f"ENSG{i:011d}" for i in range(100))
    with pytest.raises(ModelError, match="40"):
        cells.aligned(GeneSpace(ids, ids))
    cells.min_overlap = 0.4
    counts, overlap = cells.aligned(GeneSpace(ids, ids))
    assert counts.shape == (cells.n_cells, 100)
    assert overlap.found_fraction == 0.4


def test_genes_of_a_model_that_hold_few_of_the_counts_are_told_once(cells: EvaluationData) -> None:
    ids = tuple(f"ENSG{i:011d}" for i in range(40))
    _, overlap = cells.aligned(GeneSpace(ids, ids))
    assert (overlap.counts_fraction, cells.notices) == (1, [])
    _, overlap = cells.aligned(GeneSpace(ids[:10], ids[:10]))
    assert overlap.counts_fraction == cells.counts[:, :10].sum() / cells.counts.sum() < 0.5
    cells.take(np.arange(cells.n_cells)).aligned(GeneSpace(ids[:10], ids[:10]))
    assert cells.notices == [
        f"cells: the model sees {overlap.counts_fraction:.1%} of the counts: the rest is in genes that it "
        "does not read, though 100.0% of its own are there; its vectors may say little of these cells"
    ]
