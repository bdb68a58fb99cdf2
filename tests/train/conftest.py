"""Shards of the store whose data encode their coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from curate.build.build import build
from curate.build.spike_ins import plan_spike_ins
from curate.manifests.registry import Registry
from curate.sources.source import find_source
from curate.train.shards.materialize import materialize
from curate.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from curate.manifests.manifest import Manifest
    from curate.train.shards import Shards


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
