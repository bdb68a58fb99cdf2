"""Shards of the store whose data encode their coordinates; a model of a few lines that trains in no time."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar

import polars as pl
import pytest
import torch

from curate.build.build import build
from curate.build.spike_ins import plan_spike_ins
from curate.manifests.registry import Registry
from curate.sources.source import find_source
from curate.train.artifact.train import train
from curate.train.fit.log import SCHEMA
from curate.train.fit.plan import FitReport
from curate.train.loader.encodings import Dense
from curate.train.models import MODELS
from curate.train.models.model import Model
from curate.train.models.settings import Settings
from curate.train.shards.materialize import materialize
from curate.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from curate.gene_space import GeneSpace
    from curate.manifests.manifest import Manifest
    from curate.train.artifact import Artifact
    from curate.train.fit.plan import FitPlan
    from curate.train.loader.batch import Batch
    from curate.train.models.model import Facts
    from curate.train.models.settings import Preset
    from curate.train.shards import Shards


CHECKPOINT = "checkpoint"


class ToySettings(Settings):
    n_dims: int = 3
    rate: float = 0.5


class Toy(Model):
    """Sums of expression with random signs; training adds the mean expression."""

    name = "toy"
    summary = "sums of expression"
    reference = "a paper, doi 10.1/1"
    presets: ClassVar[Mapping[Preset, Settings]] = {
        "tiny": ToySettings(),
        "study": ToySettings(n_dims=5),
        "large": ToySettings(n_dims=7),
    }
    stops: ClassVar[BaseException | None] = None
    embed_cells = 16

    def __init__(self, settings: ToySettings, genes: GeneSpace, facts: Facts) -> None:
        super().__init__(settings, genes, facts)
        self.weights = torch.nn.Linear(genes.n_genes, settings.n_dims, bias=False)

    def fit(self, shards: Shards, plan: FitPlan) -> FitReport:
        resumed = (plan.folder / CHECKPOINT).exists()
        if not resumed:
            (plan.folder / CHECKPOINT).write_text("half-way")
        if self.stops is not None:
            raise self.stops
        mean = torch.zeros(self.genes.n_genes)
        for part in shards.split("train"):
            mean += torch.from_numpy(
                torch.bincount(
                    torch.from_numpy(part.indices.astype("int64")),
                    torch.from_numpy(part.data.astype("float32")),
                    minlength=self.genes.n_genes,
                ).numpy()
            )
        with torch.no_grad():
            self.weights.weight += self.settings.rate * mean / mean.max()
        n = shards.n_cells("train")
        rows = [(1, n, 0, 0.1, "train", "loss", 2.0), (2, 2 * n, 1, 0.2, "train", "loss", 1.5)]
        rows += [(1, n, 0, 0.1, "val", "loss", 2.5), (2, 2 * n, 1, 0.2, "val", "loss", 1.75)]
        metrics = pl.DataFrame(rows, schema=SCHEMA, orient="row")
        return FitReport("epochs", 2, 2 * n, 2, 0.25 if resumed else 0.2, metrics, 0.125, 3.0, 2, 1.75)

    def encoding(self) -> Dense:
        return Dense(self.genes.n_genes)

    def embed_batch(self, batch: Batch) -> Tensor:
        embedded: Tensor = self.weights(batch.x)
        return embedded


@pytest.fixture(scope="session")
def manifests(screen_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    """300 cells at random of 600, and the same with a fifth of the training cells from the screen."""
    workspace = Workspace.find(screen_workspace)
    corpus = workspace.corpus()
    registry = Registry(tmp_path_factory.mktemp("manifests"))
    built = build(
        corpus,
        registry=registry,
        strategy="random",
        n_cells=300,
        spike_ins=plan_spike_ins([(find_source(corpus, "screen"), 0.2)]),
    )
    return [type(each)(each.document, each.folder, workspace, corpus) for each in built]


@pytest.fixture(scope="session")
def shards(manifests: list[Manifest], tmp_path_factory: pytest.TempPathFactory) -> Shards:
    """Shards of at most 50 cells of the spiked manifest. Read them, never write to them."""
    return materialize(manifests[1], tmp_path_factory.mktemp("shards") / "spiked", shard_cells=50)


@pytest.fixture(scope="session")
def atlas_shards(atlas_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Shards:
    """Shards of at most 300 cells of the whole simulated atlas. Read them, never write to them."""
    corpus = Workspace.find(atlas_workspace).corpus()
    registry = Registry(tmp_path_factory.mktemp("atlas-manifests"))
    [built] = build(corpus, registry=registry, strategy="random", n_cells=corpus.n_cells)
    manifest = type(built)(built.document, built.folder, Workspace.find(atlas_workspace), corpus)
    return materialize(manifest, tmp_path_factory.mktemp("atlas-shards") / "all", shard_cells=300)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> type[Toy]:
    """Toy, for this test, a key of MODELS."""
    module = ModuleType("curate.train.models.toy")
    module.Toy = Toy  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(MODELS._places, "toy", "toy:Toy")  # type: ignore[attr-defined]
    return Toy


@pytest.fixture(scope="session")
def _built(screen_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("train") / "workspace"
    shutil.copytree(screen_workspace, root)
    workspace = Workspace.find(root)
    corpus = workspace.corpus()
    build(corpus, registry=Registry(workspace.manifests_path), strategy="random", n_cells=[200, 300])
    return root


@pytest.fixture
def fresh_workspace(_built: Path, tmp_path: Path) -> Workspace:
    """A workspace of its own with manifests of 200 and 300 cells of 120 genes, not materialised."""
    root = tmp_path / "workspace"
    shutil.copytree(_built, root)
    return Workspace.find(root)


@pytest.fixture
def fresh_manifest(fresh_workspace: Workspace) -> Manifest:
    """The manifest of 300 cells in `fresh_workspace`."""
    registry = Registry(fresh_workspace.manifests_path, workspace=fresh_workspace)
    return replace(registry.resolve("random-n300-s0"), workspace=fresh_workspace)


@pytest.fixture
def trained(toy: type[Toy], fresh_workspace: Workspace, fresh_manifest: Manifest) -> Artifact:
    """A trained toy in `fresh_workspace`."""
    return train("toy", fresh_manifest, workspace=fresh_workspace).artifact
