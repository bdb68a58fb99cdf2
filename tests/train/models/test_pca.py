from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp
import torch

from curate.errors import ModelError
from curate.passes import schedule as schedules
from curate.train.fit.plan import Budget, FitPlan
from curate.train.models import MODELS
from curate.train.models import cells as cells_module
from curate.train.models.pca import Pca, PcaSettings
from curate.train.shards.counts import ShardCounts
from curate.train.shards.export import export

if TYPE_CHECKING:
    from pathlib import Path

    from curate.train.shards import Shards

SETTINGS = PcaSettings(n_dims=10, n_hvgs=100)


@pytest.fixture
def plan(tmp_path: Path) -> FitPlan:
    return FitPlan(folder=tmp_path / "run")


@pytest.mark.filterwarnings("ignore")
def test_its_components_and_values_are_those_of_scanpy(
    atlas_shards: Shards, plan: FitPlan, tmp_path: Path
) -> None:
    model = Pca.create(atlas_shards, SETTINGS, seed=0)
    report = model.fit(atlas_shards, plan)
    export(atlas_shards, tmp_path / "train.h5ad", split="train")
    adata = ad.read_h5ad(tmp_path / "train.h5ad")
    embedded = model.embed(sp.csr_array(adata.X))
    adata.X = adata.X.astype(np.float64)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=100, flavor="seurat")
    genes = np.flatnonzero(adata.var["highly_variable"].to_numpy())
    np.testing.assert_array_equal(model.variable_genes.numpy(), genes)
    adata = adata[:, genes].copy()
    sc.pp.scale(adata, max_value=10)
    sc.pp.pca(adata, n_comps=10, svd_solver="covariance_eigh", dtype="float64")
    components = adata.varm["PCs"].T
    signs = np.sign(components[np.arange(10), np.abs(components).argmax(axis=1)])
    np.testing.assert_allclose(embedded, adata.obsm["X_pca"] * signs, atol=1e-5)
    ratio = adata.uns["pca"]["variance_ratio"]
    np.testing.assert_allclose(model.model.explained_variance_ratio, ratio, rtol=1e-9)
    [explained] = report.metrics["value"]
    assert explained == pytest.approx(ratio.sum(), rel=1e-9)


def test_before_it_is_fitted_its_loadings_are_orthonormal_at_random_from_the_seed(
    atlas_shards: Shards, plan: FitPlan
) -> None:
    first, again, other = (Pca.create(atlas_shards, SETTINGS, seed=seed) for seed in (0, 0, 1))
    loadings = first.model.components
    np.testing.assert_allclose(loadings @ loadings.T, np.eye(10), atol=1e-6)
    np.testing.assert_array_equal(loadings, again.model.components)
    assert np.abs(loadings - other.model.components).max() > 0.01
    genes, scaling = first.variable_genes, first.model.scaling
    first.fit(atlas_shards, plan)
    assert torch.equal(first.variable_genes, genes)
    np.testing.assert_array_equal(first.model.scaling.std, scaling.std)
    assert np.abs(first.model.components - loadings).max() > 0.01


def test_the_number_of_threads_changes_not_one_bit(
    atlas_shards: Shards, plan: FitPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Units so small that there are many of them.
    monkeypatch.setattr(cells_module, "UNIT_CELLS", 50)
    for n_threads in (1, 3):
        monkeypatch.setattr(schedules, "THREADS", n_threads)
        model = Pca.create(atlas_shards, SETTINGS, seed=0)
        model.fit(atlas_shards, replace(plan, folder=tmp_path / f"{n_threads}"))
        (tmp_path / f"model-{n_threads}").mkdir()
        model.save(tmp_path / f"model-{n_threads}")
    for name in ("config.json", "weights.safetensors"):
        assert (tmp_path / "model-1" / name).read_bytes() == (tmp_path / "model-3" / name).read_bytes()


def test_what_was_saved_gives_the_same_values(atlas_shards: Shards, plan: FitPlan, tmp_path: Path) -> None:
    model = Pca.create(atlas_shards, SETTINGS, seed=0)
    model.fit(atlas_shards, plan)
    model.save(tmp_path)
    [block] = ShardCounts(atlas_shards, "test").blocks([np.arange(60)])
    embedded = model.embed(block.counts)
    np.testing.assert_array_equal(MODELS["pca"].load(tmp_path).embed(block.counts), embedded)
    np.testing.assert_array_equal(model.embed(block.counts, batch_size=7), embedded)


def test_a_run_goes_on_from_the_sums_that_it_has_kept(
    atlas_shards: Shards, plan: FitPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Pca.create(atlas_shards, SETTINGS, seed=0)
    model.fit(atlas_shards, plan)
    components = model.model.components.copy()
    again = Pca.create(atlas_shards, SETTINGS, seed=1)
    monkeypatch.setattr(ShardCounts, "blocks", None)
    again.fit(atlas_shards, plan)
    np.testing.assert_array_equal(again.model.components, components)
    # Other cells are not those.
    with pytest.raises(TypeError, match="not callable"):
        again.fit(atlas_shards, replace(plan, budget=Budget(max_cells=100)))


def test_with_max_cells_genes_and_scaling_are_those_of_the_cells_that_are_read(
    atlas_shards: Shards, plan: FitPlan, tmp_path: Path
) -> None:
    model = Pca.create(atlas_shards, SETTINGS, seed=0)
    std = model.model.scaling.std.copy()
    report = model.fit(atlas_shards, replace(plan, budget=Budget(max_cells=200)))
    assert report.n_cells == 200
    [block] = ShardCounts(atlas_shards).blocks([np.arange(200)])
    values = np.log1p(block.counts.toarray() / block.totals[:, None] * 1e4)
    expected = values[:, model.variable_genes.numpy()].std(axis=0, ddof=1)
    np.testing.assert_allclose(model.model.scaling.std, np.where(expected == 0, 1, expected), rtol=1e-9)
    assert model.model.scaling.std.shape != std.shape or not np.allclose(model.model.scaling.std, std)


@pytest.mark.parametrize("n_dims", [100, 2000])
def test_there_are_fewer_components_than_variable_genes(atlas_shards: Shards, n_dims: int) -> None:
    model = Pca.create(atlas_shards, PcaSettings(n_dims=n_dims, n_hvgs=100), seed=0)
    assert model.settings.n_dims == 99
    assert model.model.components.shape == (99, 100)


def test_few_cells_have_as_many_components_as_they_can(
    atlas_shards: Shards, plan: FitPlan, tmp_path: Path
) -> None:
    model = Pca.create(atlas_shards, PcaSettings(n_dims=50), seed=0)
    model.fit(atlas_shards, replace(plan, budget=Budget(max_cells=28)))
    assert model.settings.n_dims == 27
    model.save(tmp_path)
    [block] = ShardCounts(atlas_shards).blocks([np.arange(28)])
    vectors = Pca.load(tmp_path).embed(block.counts)
    assert vectors.shape == (28, 27)
    # All that the cells vary is in them.
    assert model.model.explained_variance_ratio.sum() == pytest.approx(1, abs=1e-4)


def test_one_training_cell_is_refused(atlas_shards: Shards, plan: FitPlan) -> None:
    model = Pca.create(atlas_shards, SETTINGS, seed=0)
    with pytest.raises(ModelError, match="1 training cells, in which no gene varies; build a larger"):
        model.fit(atlas_shards, replace(plan, budget=Budget(max_cells=1)))


def test_a_task_is_refused(atlas_shards: Shards) -> None:
    with pytest.raises(ModelError, match="model pca does not use tasks; leave --task out"):
        Pca.create(atlas_shards, SETTINGS, seed=0, task=object())  # type: ignore[arg-type]
