"""Manifests with spike-ins: their obs, counts, checks, exports and diffs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from curate.build.build import build
from curate.build.spike_ins import plan_spike_ins
from curate.errors import SourceError
from curate.manifests.diff import diff
from curate.manifests.export import export
from curate.manifests.manifest import Manifest
from curate.manifests.registry import Registry
from curate.sources.register import add_source
from curate.sources.source import find_source
from curate.workspace import Workspace

if TYPE_CHECKING:
    from numpy.typing import NDArray


@pytest.fixture
def workspace(fresh_screen_workspace: Path) -> Workspace:
    return Workspace.find(fresh_screen_workspace)


def counts_of_again(row: NDArray[np.int64], k: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.where((2 * row + k) % 5 == 0, 1 + (7 * row + 3 * k) % 50, 0).astype(np.float32)


@pytest.fixture
def pair(workspace: Workspace, coordinate_screen: Path, tmp_path: Path) -> tuple[Manifest, Manifest]:
    """A base of 50 cells and the same with a half and a tenth of two sources of different cells."""
    corpus = workspace.corpus()
    path = Path(shutil.copy(coordinate_screen, tmp_path / "again.h5ad"))
    adata = ad.read_h5ad(path)[:45, :60].copy()
    adata.X = sp.csr_matrix(counts_of_again(np.arange(45)[:, None], np.arange(60)))
    adata.write_h5ad(path)
    add_source(corpus, "again", path, perturbation_column="gene", control=["control"])
    shares = [(find_source(corpus, "screen"), 0.5), (find_source(corpus, "again"), 0.1)]
    base, after = build(
        corpus,
        registry=Registry(workspace.manifests_path, workspace=workspace),
        strategy="random",
        n_cells=50,
        spike_ins=plan_spike_ins(shares),
    )
    return base, after


def test_obs_of_spike_ins_are_those_of_their_source(pair: tuple[Manifest, Manifest]) -> None:
    obs = pair[1].obs().with_columns(pl.col("source").cast(pl.String))
    mine = obs.filter(pl.col("source") == "screen")
    labels = np.repeat(["control", "A", "B", "C"], [30, 30, 20, 10])
    assert mine["perturbation"].to_list() == labels[mine["soma_joinid"].to_numpy()].tolist()
    assert mine["is_control"].to_list() == [label == "control" for label in mine["perturbation"]]
    assert mine["dataset_id"].unique().to_list() == ["screen"]
    own = obs.filter(pl.col("source") == "census")
    assert own["perturbation"].null_count() == len(own)
    rows = own["soma_joinid"].to_numpy()
    expected = pair[1].corpus().columns(["cell_type"], rows=rows)["cell_type"]
    assert own["cell_type"].to_list() == expected.to_list()


def test_counts_of_all_sources_stand_in_the_genes_of_the_corpus(
    pair: tuple[Manifest, Manifest], coordinate_counts: np.ndarray[tuple[int, int], np.dtype[np.float32]]
) -> None:
    adata = pair[1].to_anndata()
    gene = np.arange(120)
    for name, (source, row) in zip(adata.obs_names, adata.obs[["source", "soma_joinid"]].values, strict=True):
        k = 99 - gene
        of_screen = np.where((row + k) % 4 == 0, 1 + (5 * row + 2 * k) % 40, 0)
        expected = {
            "census": coordinate_counts[row],
            "screen": np.where((gene >= 10) & (gene < 100), of_screen, 0),
            "again": np.where((gene >= 40) & (gene < 100), counts_of_again(row, k), 0),
        }[source]
        assert name == (str(row) if source == "census" else f"{source}:{row}")
        assert np.array_equal(adata[name].X.toarray()[0], expected)
    assert adata.var["measured_in_again"].tolist() == ((gene >= 40) & (gene < 100)).tolist()
    assert adata.uns["spike_ins"]["screen"]["n_genes_not_measured"] == 30
    assert adata.obs["split"].tolist() == pair[1].obs()["split"].to_list()


def test_counts_of_a_split_without_spike_ins_are_those_of_the_base(pair: tuple[Manifest, Manifest]) -> None:
    base, after = (manifest.to_anndata(split="test") for manifest in pair)
    assert base.obs_names.tolist() == after.obs_names.tolist()
    assert np.array_equal(base.X.toarray(), after.X.toarray())


def test_anndata_of_spike_ins_can_be_written(pair: tuple[Manifest, Manifest], tmp_path: Path) -> None:
    pair[1].to_anndata().write_h5ad(tmp_path / "spiked.h5ad")
    again = ad.read_h5ad(tmp_path / "spiked.h5ad")
    assert again.obs["source"].value_counts().to_dict() == pair[1].held_cells.sources


def test_verify_checks_fingerprints_and_recomputes_the_composition(
    pair: tuple[Manifest, Manifest], workspace: Workspace, tmp_path: Path
) -> None:
    manifest = Manifest.load(pair[1].ref, workspace=workspace)
    report = manifest.verify()
    found = {check.name: check.outcome for check in report.checks}
    assert found["source screen"] == found["source again"] == found["composition"] == "ok"
    adata = ad.read_h5ad(tmp_path / "again.h5ad")
    adata.X.data[0] += 1
    adata.write_h5ad(tmp_path / "again.h5ad")
    (failed,) = manifest.verify().failed
    assert failed.name == "source again"
    assert "has changed since it was registered" in failed.detail
    shutil.rmtree(manifest.corpus().sources_path / "again")
    outcomes = {check.name: check.outcome for check in manifest.verify().checks}
    assert (outcomes["source again"], outcomes["source screen"]) == ("not checked", "ok")
    assert outcomes["composition"] == "not checked"


def test_counts_of_a_changed_file_are_not_given(pair: tuple[Manifest, Manifest], tmp_path: Path) -> None:
    adata = ad.read_h5ad(tmp_path / "again.h5ad")
    adata.X.data[:] += 1
    adata.write_h5ad(tmp_path / "again.h5ad")
    with pytest.raises(SourceError, match=r"source 'again' of corpus 'all': .* other counts"):
        pair[1].to_anndata()


def test_a_portable_copy_names_spike_ins_too(pair: tuple[Manifest, Manifest], tmp_path: Path) -> None:
    export(pair[1], str(tmp_path / "copy"), portable=True)
    held = pl.read_parquet(tmp_path / "copy" / "cells.parquet")
    assert held.null_count().sum_horizontal().item() == 0
    assert held.filter(pl.col("source").cast(pl.String) == "again")["dataset_id"].unique().to_list() == [
        "again"
    ]
    assert Manifest.open(str(tmp_path / "copy")).id == pair[1].id


def test_a_diff_of_base_and_spiked_shows_the_sources(pair: tuple[Manifest, Manifest]) -> None:
    found = diff(*pair)
    source = next(shift for shift in found.composition if shift.column == "source")
    n_train = pair[0].document.splits.counts["train"]
    assert {mover.label: mover.n_b for mover in source.movers} == {
        "screen": n_train // 2,
        "again": n_train // 10,
        "census": 50 - n_train // 2 - n_train // 10,
    }
    assert found.cells is not None
    assert found.cells.both == 50 - n_train // 2 - n_train // 10
    (shift,) = diff(*pair, columns=["raw_sum"]).numbers
    assert shift.n_missing_b == 0
