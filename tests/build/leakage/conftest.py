"""A store of two datasets of simulated cells, one of which measured 250 of the 400 genes; its corpus."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.corpus import Corpus
    from curate.sources.source import Source

N_A, N_B, N_GENES, N_MEASURED_B = 300, 200, 400, 250
GENES = [f"ENSG{j:011d}" for j in range(N_GENES)]


@pytest.fixture(scope="session")
def leak_counts() -> NDArray[np.float32]:
    """X/raw of the store, float32 [500, 400]: three types; rows from 300 have no counts from gene 250 on."""
    rng = np.random.default_rng(5)
    profiles = np.exp(rng.normal(-1.8, 1.2, (3, N_GENES)))
    counts = rng.poisson(profiles[rng.integers(3, size=N_A + N_B)]).astype(np.float32)
    counts[N_A:, N_MEASURED_B:] = 0
    return counts


@pytest.fixture(scope="session")
def leak_store(
    tmp_path_factory: pytest.TempPathFactory, leak_counts: NDArray[np.float32], coordinate_obs: pl.DataFrame
) -> Path:
    """The store; cell k is called cell-000k, its donors are donor-1 to donor-4."""
    from curate.census import CensusWriter, Dataset

    path = tmp_path_factory.mktemp("leakage") / "store"
    genes = pl.DataFrame(
        {
            "feature_id": GENES,
            "feature_name": [f"GENE{j}" for j in range(N_GENES)],
            "feature_type": ["protein_coding"] * N_GENES,
            "feature_length": [1000] * N_GENES,
        }
    )
    with CensusWriter(path, genes=genes, build_date="2026-01-31", label="leaks") as writer:
        for name, first, n, n_measured in (("a", 0, N_A, N_GENES), ("b", N_A, N_B, N_MEASURED_B)):
            writer.add_dataset(
                Dataset(name, f"title of {name}", collection_name="leaks"),
                coordinate_obs[first : first + n].drop("dataset_id"),
                [sp.csr_array(leak_counts[first : first + n])],
                measured=np.arange(N_GENES) < n_measured,
            )
    return path


@pytest.fixture(scope="session")
def leak_corpus_folder(tmp_path_factory: pytest.TempPathFactory, leak_store: Path) -> Path:
    """The corpus of every cell. Copy it, never write to it."""
    from curate.census import Census
    from curate.corpus.build import build_corpus
    from curate.recipe import Recipe

    folder = tmp_path_factory.mktemp("leakage") / "leaks"
    with Census.open(uri=leak_store) as census:
        build_corpus(Recipe.model_validate({"name": "leaks"}), census, folder)
    return folder


@pytest.fixture
def leak_corpus(leak_corpus_folder: Path, tmp_path: Path) -> Corpus:
    """A copy of the corpus, to write to."""
    from curate.corpus import Corpus

    shutil.copytree(leak_corpus_folder, tmp_path / "leaks")
    return Corpus.open(tmp_path / "leaks")


@pytest.fixture
def write_evaluation(tmp_path: Path) -> Callable[..., Path]:
    """Write an h5ad file: counts [n, genes], names of genes, obs columns."""
    return lambda counts, **options: written(tmp_path / "eval.h5ad", counts, **options)


def written(
    path: Path,
    counts: NDArray[np.floating],
    *,
    genes: list[str] | None = None,
    obs: dict[str, list[str]] | None = None,
) -> Path:
    import anndata as ad
    import pandas as pd

    ad.AnnData(
        sp.csr_matrix(counts.astype(np.float32)),
        obs=pd.DataFrame(obs or {}, index=[f"renamed-{k}" for k in range(len(counts))]),
        var=pd.DataFrame(index=genes or GENES),
    ).write_h5ad(path)
    return path


@pytest.fixture
def add_leak_source(leak_corpus: Corpus, tmp_path: Path) -> Callable[..., Source]:
    """Register counts [n, genes] as a source of `leak_corpus`, under a name; genes and obs as `written`."""
    from curate.sources.register import add_source

    def add(name: str, counts: NDArray[np.floating], **options: Any) -> Source:
        obs = {"gene": ["control", "A"] * (len(counts) // 2) + ["control"] * (len(counts) % 2)}
        obs |= options.pop("obs", {})
        map = options.pop("map", None)
        path = written(tmp_path / f"{name}.h5ad", counts, obs=obs, **options)
        settings = {"perturbation_column": "gene", "control": ["control"], "map": map}
        return add_source(leak_corpus, name, path, **settings).source

    return add
