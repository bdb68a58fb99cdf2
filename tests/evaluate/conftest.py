"""A workspace of the simulated atlas with a trained model; simulated cells of three types apart from it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from anndata import AnnData
from scipy.sparse import csr_array, csr_matrix

from curate.build.build import build
from curate.evaluate.data import EvaluationData
from curate.manifests.registry import Registry
from curate.train.artifact import Artifact
from curate.train.artifact.train import train
from curate.workspace import Workspace

if TYPE_CHECKING:
    from curate.manifests.manifest import Manifest

TYPES = ("B cell", "natural killer cell", "monocyte")
N_CELLS, N_GENES = 120, 40


@pytest.fixture
def cells() -> EvaluationData:
    """120 cells of 40 genes: three types, each with ten genes of its own; two donors, two batches."""
    rng = np.random.default_rng(0)
    kind = np.arange(N_CELLS) % 3
    rates = np.full((3, N_GENES), 0.5)
    for each in range(3):
        rates[each, 10 * each : 10 * each + 10] = 4
    counts = csr_array(rng.poisson(rates[kind]).astype(np.uint32))
    obs = pl.DataFrame(
        {
            "cell_type": [TYPES[each] for each in kind],
            "donor_id": ["a" if i % 2 else "b" for i in range(N_CELLS)],
            "group": [f"g{i // 12}" for i in range(N_CELLS)],
        }
    )
    return EvaluationData(
        name="cells",
        path=Path("cells.h5ad"),
        counts=counts,
        obs_names=pl.Series([f"cell {i}" for i in range(N_CELLS)]),
        obs=obs,
        var_names=pl.Series([f"ENSG{i:011d}" for i in range(N_GENES)]),
        var=pl.DataFrame({"feature_name": [f"G{i}" for i in range(N_GENES)]}),
    )


@pytest.fixture(scope="session")
def _evaluated(atlas_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("evaluate") / "workspace"
    shutil.copytree(atlas_workspace, root)
    workspace = Workspace.find(root)
    [built] = build(
        workspace.corpus(), registry=Registry(workspace.manifests_path), strategy="random", n_cells=400
    )
    manifest = replace(built, workspace=workspace)
    train("pca", manifest, workspace=workspace, preset="tiny", changes={"n_dims": 8}, name="pca-small")
    return root


@pytest.fixture
def workspace(_evaluated: Path, tmp_path: Path) -> Workspace:
    """A workspace of its own: 1,500 simulated cells, manifest random-n400-s0, trained model pca-small."""
    root = tmp_path / "evaluated"
    shutil.copytree(_evaluated, root)
    return Workspace.find(root)


@pytest.fixture
def manifest(workspace: Workspace) -> Manifest:
    """The manifest of 400 cells in `workspace`."""
    registry = Registry(workspace.manifests_path, workspace=workspace)
    return replace(registry.resolve("random-n400-s0"), workspace=workspace)


@pytest.fixture
def artifact(workspace: Workspace) -> Artifact:
    """The trained model in `workspace`."""
    return Artifact.open(workspace.models_path / "pca-small")


@pytest.fixture
def outside(workspace: Workspace, manifest: Manifest, tmp_path: Path) -> Path:
    """A file of 150 cells of the atlas that are not in the manifest."""
    return _write(
        workspace,
        np.setdiff1d(workspace.corpus().joinids(), manifest.held_cells.soma_joinid)[:150],
        tmp_path / "outside.h5ad",
    )


@pytest.fixture
def half_seen(workspace: Workspace, manifest: Manifest, tmp_path: Path) -> Path:
    """A file of 60 cells of the atlas outside the manifest, and of 40 training cells of it, renamed."""
    held = manifest.held_cells
    strangers = np.setdiff1d(workspace.corpus().joinids(), held.soma_joinid)[:60]
    seen = held.soma_joinid[held.split == 0][:40]
    return _write(workspace, np.sort(np.concatenate([strangers, seen])), tmp_path / "half-seen.h5ad")


def _write(workspace: Workspace, joinids: np.ndarray, path: Path) -> Path:
    corpus = workspace.corpus()
    with corpus.open_census() as census:
        blocks = census.read_counts(corpus.header.organism, joinids, var_joinids=corpus.var_joinids())
        counts = np.concatenate([block.counts.toarray() for block in blocks])
    rows = np.searchsorted(corpus.joinids(), joinids)
    obs = corpus.columns(["cell_type", "tissue"], rows=rows).cast(pl.String).to_pandas()
    obs.index = [f"cell {i}" for i in range(len(obs))]
    genes = corpus.genes()
    held = AnnData(csr_matrix(counts.astype(np.float32)), obs=obs)
    held.var_names = list(genes.feature_ids)
    held.var["feature_name"] = list(genes.feature_names)
    held.write_h5ad(path)
    return path
