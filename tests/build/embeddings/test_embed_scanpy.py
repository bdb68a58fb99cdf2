"""The embedding of real cells is the one that scanpy computes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import polars as pl
import pytest
import scanpy as sc
import scipy.sparse as sp
from scipy.linalg import subspace_angles

from curate.build.embeddings.embed import embed
from curate.build.embeddings.pca import PcaModel
from curate.census import Census, CensusWriter, Dataset
from curate.corpus.build import build_corpus
from curate.recipe import Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.build.embeddings.embedding import Embedding

pytestmark = pytest.mark.filterwarnings("ignore")
FILE = Path(os.environ.get("CURATE_SHARED", "../shared")) / "data/pbmc3k_clustifyr.h5ad"


@dataclass(frozen=True)
class Both:
    """One way and the other, of the same cells; components [n_components, n_genes], signs fixed alike."""

    ours: Embedding
    genes: NDArray[np.int64]
    model: PcaModel
    scanpy_genes: NDArray[np.int64]
    scanpy_values: NDArray[np.float64]
    scanpy_components: NDArray[np.float64]
    scanpy_variance_ratio: NDArray[np.float64]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """pbmc3k through a store of the Census layout, and in scanpy in 64 bits."""
    if not FILE.exists():
        pytest.skip(f"{FILE} is absent; CURATE_SHARED names another folder")
    adata = ad.read_h5ad(FILE)
    adata.X = sp.csr_matrix(adata.X)
    folder = tmp_path_factory.mktemp("pbmc3k")
    _write_store(folder / "store", adata)
    recipe = Recipe.model_validate({"name": "pbmc3k"})
    with Census.open(uri=folder / "store") as census:
        corpus = build_corpus(recipe, census, folder / "pbmc3k")
    ours = embed(corpus, block_cells=700)
    ids = pl.read_parquet(ours.path / "genes.parquet")["feature_id"]
    return Both(
        ours,
        np.array([int(feature_id[4:]) for feature_id in ids]),
        PcaModel.load(ours.path / "model.safetensors"),
        *_by_scanpy(adata),
    )


def _write_store(path: Path, adata: ad.AnnData) -> None:
    genes = pl.DataFrame(
        {
            "feature_id": [f"ENSG{j:011d}" for j in range(adata.n_vars)],
            "feature_name": list(adata.var_names),
            "feature_type": ["protein_coding"] * adata.n_vars,
            "feature_length": [1000] * adata.n_vars,
        }
    )
    obs = pl.DataFrame({"cell_type": adata.obs["cell_type"].astype(str).to_numpy()})
    counts = sp.csr_array(adata.X)
    with CensusWriter(path, genes=genes, build_date="2026-01-31", label="pbmc3k") as writer:
        measured = np.ones(adata.n_vars, dtype=np.bool_)
        writer.add_dataset(
            Dataset("pbmc3k", "pbmc3k"), obs, [counts[:2000], counts[2000:]], measured=measured
        )


def _by_scanpy(
    adata: ad.AnnData,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    adata.X = adata.X.astype(np.float64)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=2000, flavor="seurat")
    genes = np.flatnonzero(adata.var["highly_variable"].to_numpy())
    adata = adata[:, genes].copy()
    sc.pp.scale(adata, max_value=10)
    sc.pp.pca(adata, n_comps=50, svd_solver="covariance_eigh", dtype="float64")
    components = adata.varm["PCs"].T
    signs = np.sign(components[np.arange(50), np.abs(components).argmax(axis=1)])
    return (
        genes,
        adata.obsm["X_pca"] * signs,
        components * signs[:, None],
        adata.uns["pca"]["variance_ratio"],
    )


def test_the_same_genes_are_variable(both: Both) -> None:
    assert both.genes.size == 2000
    np.testing.assert_array_equal(both.genes, both.scanpy_genes)


def test_the_components_span_the_same_space(both: Both) -> None:
    angles = subspace_angles(both.model.components.T.astype(np.float64), both.scanpy_components.T)
    assert angles.max() < 1e-6


def test_each_component_is_the_same_up_to_32_bits(both: Both) -> None:
    np.testing.assert_allclose(both.model.components, both.scanpy_components, atol=1e-7)


def test_every_cell_has_the_same_values(both: Both) -> None:
    assert both.ours.values.shape == both.scanpy_values.shape == (2638, 50)
    np.testing.assert_allclose(both.ours.values, both.scanpy_values, atol=1e-5)


def test_the_same_variance_is_explained(both: Both) -> None:
    np.testing.assert_allclose(
        both.ours.header.explained_variance_ratio, both.scanpy_variance_ratio, rtol=1e-10
    )
