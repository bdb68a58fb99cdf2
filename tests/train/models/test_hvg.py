from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import polars as pl
import pytest
import scanpy as sc
import scipy.sparse as sp

from curate.errors import ModelError, ShardError
from curate.train.fit.plan import Budget, FitPlan
from curate.train.models import MODELS
from curate.train.models.hvg import Hvg, HvgSettings
from curate.train.shards.counts import ShardCounts
from curate.train.shards.export import export

if TYPE_CHECKING:
    from pathlib import Path

    from curate.train.shards import Shards


@pytest.fixture
def plan(tmp_path: Path) -> FitPlan:
    return FitPlan(folder=tmp_path / "run")


@pytest.mark.filterwarnings("ignore")
def test_its_genes_and_values_are_those_of_scanpy(
    atlas_shards: Shards, plan: FitPlan, tmp_path: Path
) -> None:
    model = Hvg.create(atlas_shards, HvgSettings(n_dims=40), seed=0)
    model.fit(atlas_shards, plan)
    export(atlas_shards, tmp_path / "train.h5ad", split="train")
    adata = ad.read_h5ad(tmp_path / "train.h5ad")
    embedded = model.embed(sp.csr_array(adata.X))
    adata.X = adata.X.astype(np.float64)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=40, flavor="seurat")
    expected = adata.X[:, adata.var["highly_variable"].to_numpy()].toarray()
    np.testing.assert_allclose(embedded, expected, rtol=1e-6)


def test_a_case_by_hand(atlas_shards: Shards) -> None:
    model = Hvg.create(atlas_shards, HvgSettings(n_dims=atlas_shards.header.n_genes), seed=0)
    # All genes, so that the choice plays no part; 4 counts of which 1 and 3.
    counts = np.zeros((2, atlas_shards.header.n_genes), np.int64)
    counts[0, [2, 7]] = 1, 3
    embedded = model.embed(sp.csr_array(counts))
    np.testing.assert_allclose(embedded[0, [2, 7]], np.log1p([2500, 7500]), rtol=1e-6)
    assert np.flatnonzero(embedded[0]).tolist() == [2, 7]
    assert not embedded[1].any()


def test_before_it_is_fitted_its_genes_are_at_random_from_the_seed(atlas_shards: Shards) -> None:
    settings = HvgSettings(n_dims=40)
    genes = [Hvg.create(atlas_shards, settings, seed=seed).variable_genes.tolist() for seed in (0, 0, 1)]
    assert genes[0] == genes[1] != genes[2]
    assert len(set(genes[0])) == 40
    assert genes[0] == sorted(genes[0])


def test_what_was_saved_gives_the_same_values(atlas_shards: Shards, plan: FitPlan, tmp_path: Path) -> None:
    model = Hvg.create(atlas_shards, HvgSettings(n_dims=40), seed=0)
    report = model.fit(atlas_shards, plan)
    assert (report.stopped, report.n_steps, report.n_cells) == ("fitted", 0, atlas_shards.n_cells("train"))
    model.save(tmp_path)
    [block] = ShardCounts(atlas_shards, "test").blocks([np.arange(20)])
    loaded = MODELS["hvg"].load(tmp_path)
    np.testing.assert_array_equal(loaded.embed(block.counts), model.embed(block.counts))
    assert sum(parameter.numel() for parameter in model.parameters()) == 0


def test_max_cells_reads_so_many(atlas_shards: Shards, plan: FitPlan) -> None:
    model = Hvg.create(atlas_shards, HvgSettings(n_dims=40), seed=0)
    report = model.fit(atlas_shards, replace(plan, budget=Budget(max_cells=100)))
    assert report.n_cells == 100
    counts = ShardCounts(atlas_shards)
    [block] = counts.blocks([np.arange(100)])
    varies = np.ptp(block.counts.toarray() / block.totals[:, None], axis=0) > 0
    assert varies[model.variable_genes.numpy()].all()


def test_weights_of_the_manifest_decide_what_varies(
    atlas_shards: Shards, plan: FitPlan, tmp_path: Path
) -> None:
    model = Hvg.create(atlas_shards, HvgSettings(n_dims=5), seed=0)
    weighted = replace(plan, is_weighted=True)
    with pytest.raises(ShardError, match="has no weights"):
        model.fit(atlas_shards, weighted)
    # All the weight on two cells: only their differences count.
    for path in atlas_shards.path.iterdir():
        if path.name != "obs.parquet":
            (tmp_path / path.name).symlink_to(path)
    obs = atlas_shards.obs()
    obs.with_columns(pl.Series("weight", [1.0, 1.0] + [0.0] * (len(obs) - 2))).write_parquet(
        tmp_path / "obs.parquet"
    )
    report = model.fit(type(atlas_shards)(tmp_path, atlas_shards.header), weighted)
    [block] = ShardCounts(atlas_shards).blocks([np.arange(2)])
    differ = np.ptp(block.counts.toarray() / block.totals[:, None], axis=0) > 0
    assert differ[model.variable_genes.numpy()].all()
    assert report.n_cells == atlas_shards.n_cells("train")


def test_where_there_are_fewer_genes_than_dimensions_all_are_taken(atlas_shards: Shards) -> None:
    n = atlas_shards.header.n_genes
    model = Hvg.create(atlas_shards, HvgSettings(n_dims=2000), seed=0)
    assert model.variable_genes.tolist() == list(range(n))
    assert model.settings.n_dims == n


def test_where_fewer_genes_vary_than_dimensions_those_are_taken(
    atlas_shards: Shards, plan: FitPlan, tmp_path: Path
) -> None:
    model = Hvg.create(atlas_shards, HvgSettings(n_dims=atlas_shards.header.n_genes), seed=0)
    model.fit(atlas_shards, replace(plan, budget=Budget(max_cells=2)))
    [block] = ShardCounts(atlas_shards).blocks([np.arange(2)])
    differ = np.ptp(block.counts.toarray() / block.totals[:, None], axis=0) > 0
    assert 0 < differ.sum() < atlas_shards.header.n_genes
    assert model.variable_genes.tolist() == np.flatnonzero(differ).tolist()
    model.save(tmp_path)
    assert MODELS["hvg"].load(tmp_path).embed(block.counts).shape == (2, differ.sum())


def test_cells_in_which_no_gene_varies_are_refused(atlas_shards: Shards, plan: FitPlan) -> None:
    model = Hvg.create(atlas_shards, HvgSettings(n_dims=5), seed=0)
    with pytest.raises(ModelError, match="1 training cells, in which no gene varies; build a larger subset"):
        model.fit(atlas_shards, replace(plan, budget=Budget(max_cells=1)))
