"""A tiny store of the Census layout whose data encode their own coordinates."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

DATASET_SIZES = {"dataset-a": 250, "dataset-b": 200, "dataset-c": 150}
N_CELLS, N_GENES = 600, 120
CELL_TYPES = [
    ("classical monocyte", "CL:0000860"),
    ("CD4-positive, alpha-beta T cell", "CL:0000624"),
    ("CD8-positive, alpha-beta T cell", "CL:0000625"),
    ("B cell", "CL:0000236"),
    ("natural killer cell", "CL:0000623"),
    ("plasmacytoid dendritic cell", "CL:0000784"),
]
ASSAYS = [("10x 3' v3", "EFO:0009922"), ("10x 3' v2", "EFO:0009899"), ("Smart-seq2", "EFO:0008931")]
DISEASES = [
    ("normal", "PATO:0000461"),
    ("COVID-19", "MONDO:0100096"),
    ("COVID-19 || type 2 diabetes mellitus", "MONDO:0100096 || MONDO:0005148"),
]
TISSUES = [("blood", "UBERON:0000178"), ("lung", "UBERON:0002048")]


@pytest.fixture(scope="session")
def coordinate_counts() -> NDArray[np.float32]:
    """X/raw of `coordinate_census`, float32 [600, 120]: 1 + (7 i + 3 j) mod 50 where 3 divides i + j."""
    i, j = np.ogrid[:N_CELLS, :N_GENES]
    return np.where((i + j) % 3 == 0, 1 + (7 * i + 3 * j) % 50, 0).astype(np.float32)


@pytest.fixture(scope="session")
def coordinate_genes() -> pl.DataFrame:
    """The genes of `coordinate_census`, one row a gene."""
    return pl.DataFrame(
        {
            "feature_id": [f"ENSG{j:011d}" for j in range(N_GENES)],
            "feature_name": [f"GENE{j}" for j in range(N_GENES)],
            "feature_type": ["protein_coding" if j % 4 else "lncRNA" for j in range(N_GENES)],
            "feature_length": [1000 + 10 * j for j in range(N_GENES)],
        }
    )


@pytest.fixture(scope="session")
def coordinate_obs() -> pl.DataFrame:
    """The obs of `coordinate_census`, one row a cell, with dataset_id; its row number is the soma_joinid."""
    i = np.arange(N_CELLS)
    columns = {"dataset_id": np.repeat(list(DATASET_SIZES), list(DATASET_SIZES.values()))}
    for name, values, which in [
        # 40, 25, 15, 10, 7 and 3 of every 100 cells.
        ("cell_type", CELL_TYPES, np.searchsorted([40, 65, 80, 90, 97], i * 37 % 100, side="right")),
        ("assay", ASSAYS, i // 50 % 3),
        ("disease", DISEASES, i // 20 % 3),
        ("tissue", TISSUES, i // 100 % 2),
        ("tissue_general", TISSUES, i // 100 % 2),
        ("sex", [("female", "PATO:0000383"), ("male", "PATO:0000384")], i // 40 % 2),
    ]:
        columns[name] = np.array([label for label, _ in values])[which]
        columns[f"{name}_ontology_term_id"] = np.array([term for _, term in values])[which]
    # The same donor_ids stand in every dataset: they are other donors.
    columns["donor_id"] = np.array(["donor-1", "donor-2", "donor-3", "donor-4"])[i // 25 % 4]
    return pl.DataFrame(columns).with_columns(
        is_primary_data=pl.Series(i % 5 != 0) | (pl.col("dataset_id") != "dataset-c"),
        suspension_type=pl.lit("cell"),
        tissue_type=pl.lit("tissue"),
        development_stage=pl.lit("adult stage"),
        development_stage_ontology_term_id=pl.lit("HsapDv:0000258"),
        observation_joinid=pl.Series([f"cell-{k:04}" for k in i]),
    )


@pytest.fixture(scope="session")
def coordinate_census(
    tmp_path_factory: pytest.TempPathFactory,
    coordinate_counts: NDArray[np.float32],
    coordinate_genes: pl.DataFrame,
    coordinate_obs: pl.DataFrame,
) -> Path:
    """A store of 3 datasets, 600 cells and 120 genes. Read it, never write to it."""
    from curate.census import CensusWriter, Dataset

    path = tmp_path_factory.mktemp("census") / "coordinates"
    with CensusWriter(path, genes=coordinate_genes, build_date="2026-01-31", label="coordinates") as writer:
        first = 0
        for dataset_id, n in DATASET_SIZES.items():
            counts = sp.csr_array(coordinate_counts[first : first + n])
            writer.add_dataset(
                Dataset(dataset_id, f"title of {dataset_id}", collection_name="coordinates"),
                coordinate_obs[first : first + n].drop("dataset_id"),
                [counts[:90], counts[90:]],
                measured=np.ones(N_GENES, np.bool_),
            )
            first += n
    return path


class WriteRelease(Protocol):
    """Writes a store of some datasets, dataset_id → (counts or None, obs columns); returns its path."""

    def __call__(
        self,
        path: Path,
        datasets: Mapping[str, tuple[NDArray[np.float32] | None, dict[str, Any]]],
        *,
        n_genes: int | None = ...,
        build_date: str = ...,
        **settings: Any,
    ) -> Path: ...


@pytest.fixture(scope="session")
def write_release() -> WriteRelease:
    """Write a release: genes ENSG0, ENSG1, … in that order; obs columns may be left out."""
    from curate.census import CensusWriter, Dataset

    def write(
        path: Path,
        datasets: Mapping[str, tuple[NDArray[np.float32] | None, dict[str, Any]]],
        *,
        n_genes: int | None = None,
        build_date: str = "2026-01-31",
        **settings: Any,
    ) -> Path:
        held = [counts.shape[1] for counts, _ in datasets.values() if counts is not None]
        n = n_genes or held[0]
        genes = pl.DataFrame(
            {
                "feature_id": [f"ENSG{j:011d}" for j in range(n)],
                "feature_name": [f"GENE{j}" for j in range(n)],
                "feature_type": ["protein_coding"] * n,
                "feature_length": [1000] * n,
            }
        )
        with CensusWriter(path, genes=genes, build_date=build_date, label=path.name, **settings) as writer:
            for dataset_id, (counts, columns) in datasets.items():
                n_cells = len(next(iter(columns.values()))) if counts is None else len(counts)
                usual = {"cell_type": ["T cell"] * n_cells, "donor_id": ["donor-1"] * n_cells}
                obs = pl.DataFrame(usual | columns)
                blocks = None if counts is None else [sp.csr_array(counts)]
                measured = np.ones(n, np.bool_)
                writer.add_dataset(Dataset(dataset_id, dataset_id), obs, blocks, measured=measured)
        return path

    return write


@pytest.fixture(scope="session")
def coordinate_screen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An h5ad of 90 cells and 100 genes, perturbed by A (30 cells), B (20), C (10) and control (30).

    Gene k is gene 99 - k of `coordinate_census`, but for genes 90 to 99, which it does not know. The count of
    cell i in gene k is 1 + (5 i + 2 k) mod 40 where 4 divides i + k, else 0. Read it, never write to it.
    """
    import anndata as ad
    import pandas as pd

    i, k = np.ogrid[:90, :100]
    counts = np.where((i + k) % 4 == 0, 1 + (5 * i + 2 * k) % 40, 0).astype(np.float32)
    labels = np.repeat(["control", "A", "B", "C"], [30, 30, 20, 10])
    obs = pd.DataFrame(
        {"gene": labels, "line": ["K562"] * 45 + ["RPE1"] * 45, "cell_type": ["B cell"] * 90},
        index=[f"screen-{n}" for n in range(90)],
    )
    ids = [f"ENSG{99 - n:011d}" if n < 90 else f"ENSG{90_000_000_000 + n}" for n in range(100)]
    path = tmp_path_factory.mktemp("screen") / "screen.h5ad"
    ad.AnnData(sp.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=ids)).write_h5ad(path)
    return path


@pytest.fixture(scope="session")
def screen_workspace(
    tmp_path_factory: pytest.TempPathFactory, coordinate_census: Path, coordinate_screen: Path
) -> Path:
    """A workspace over `coordinate_census`: the corpus "all" with the source "screen". Only to read."""
    from curate.corpus.build import build_corpus
    from curate.recipe import Recipe
    from curate.sources.register import add_source
    from curate.workspace import CensusSettings, Workspace

    root = tmp_path_factory.mktemp("screen-workspace") / "workspace"
    workspace = Workspace.create(root, census=CensusSettings(uri=str(coordinate_census)))
    with workspace.open_census() as census:
        corpus = build_corpus(Recipe(name="all", organism="homo_sapiens"), census, root / "corpora" / "all")
    add_source(corpus, "screen", coordinate_screen, perturbation_column="gene", control=["control"])
    return root


@pytest.fixture
def fresh_screen_workspace(tmp_path: Path, screen_workspace: Path) -> Path:
    """A copy of `screen_workspace`, to write to."""
    return Path(shutil.copytree(screen_workspace, tmp_path / "workspace"))


@pytest.fixture(scope="session")
def atlas_census(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated atlas of 1,500 cells and 300 genes. Read it, never write to it."""
    from curate.simulate import simulate_atlas

    path = tmp_path_factory.mktemp("census") / "atlas"
    simulate_atlas(path, n_cells=1_500, n_genes=300)
    return path


@pytest.fixture(scope="session")
def atlas_workspace(tmp_path_factory: pytest.TempPathFactory, atlas_census: Path) -> Path:
    """A workspace over `atlas_census` with the corpus "demo" and its embedding "pca". Only to read."""
    from curate.build.embeddings.embed import embed
    from curate.corpus.build import build_corpus
    from curate.recipe import Recipe
    from curate.workspace import CensusSettings, Workspace

    root = tmp_path_factory.mktemp("workspace") / "atlas"
    workspace = Workspace.create(root, census=CensusSettings(uri=str(atlas_census)))
    with workspace.open_census() as census:
        corpus = build_corpus(Recipe.load("demo"), census, workspace.corpora_path / "demo")
    embed(corpus, n_components=10, n_hvgs=100)
    return root


@pytest.fixture
def fresh_workspace(tmp_path: Path, atlas_workspace: Path) -> Path:
    """A copy of `atlas_workspace`, to write to."""
    return Path(shutil.copytree(atlas_workspace, tmp_path / "workspace"))


@pytest.fixture(scope="session")
def endpoint(coordinate_census: Path) -> Iterator[str]:
    """An S3 server on this machine with `coordinate_census` at s3://curate/census."""
    # In a process of its own: TileDB holds the lock of the interpreter while it waits for an answer.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_for(port)
    url = f"http://127.0.0.1:{port}"
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )
    client.create_bucket(Bucket="curate")
    for path in sorted(coordinate_census.rglob("*")):
        if path.is_file():
            key = f"census/{path.relative_to(coordinate_census)}"
            client.put_object(Bucket="curate", Key=key, Body=path.read_bytes(), ACL="public-read")
    yield url
    server.kill()
    server.wait()


def _wait_for(port: int, *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail(f"nothing answers on port {port} after {seconds} s")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real h5ad files: $CURATE_SHARED/data, by default beside the checkout."""
    folder = Path(os.environ.get("CURATE_SHARED", "../shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not there (set CURATE_SHARED)")
    return folder
