"""The whole way on simulated data: store, corpus, embedding, manifests, diff.

1. simulate an atlas as a Census-layout store, and a Perturb-seq screen beside it;
2. build the corpus that the recipe `demo` describes;
3. embed it;
4. choose subsets with every strategy that needs no task;
5. verify them, and compare the sketch with the random subset.

A stage whose result is there is not run again, so that an interrupted demo goes on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.atomic import atomic_file
from curate.build.build import build
from curate.build.embeddings.embed import embed
from curate.build.embeddings.embedding import Embedding
from curate.build.strategies import STRATEGIES
from curate.corpus.build import build_corpus
from curate.errors import WorkspaceError
from curate.manifests.diff import diff
from curate.manifests.registry import Registry
from curate.recipe import Recipe
from curate.simulate import simulate_atlas, simulate_screen
from curate.workspace import SETTINGS_FILE, CensusSettings, Workspace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from curate.corpus import Corpus
    from curate.manifests.diff import ManifestDiff
    from curate.manifests.manifest import Manifest

NAME = "demo"
MARKER_FILE = "demo.json"
STORE = "simulated-census"
SCREEN_FILE = "simulated-screen.h5ad"
FRACTIONS = (0.01, 0.1)


@dataclass(frozen=True)
class Demo:
    """What a demo made."""

    workspace: Workspace
    corpus: Corpus
    embedding: Embedding
    manifests: tuple[Manifest, ...]
    diff: ManifestDiff


def demo(
    path: Path, *, n_cells: int = 20_000, seed: int = 0, say: Callable[[str], None] = lambda line: None
) -> Demo:
    """Make a workspace at `path` from simulated data and run the whole way.

    Parameters
    ----------
    n_cells
        Cells of the simulated atlas.
    say
        Called with a line before each stage.

    Raises
    ------
    WorkspaceError
        When `path` holds something else than a demo of this size and seed.
    """
    workspace = _workspace(path, n_cells=n_cells, seed=seed)
    say(f"Simulate an atlas of {n_cells:,} cells, and a Perturb-seq screen")
    _simulate(workspace, n_cells=n_cells, seed=seed)
    say("Build the corpus of the recipe demo")
    corpus = _corpus(workspace)
    say(f"Embed {corpus.n_cells:,} cells")
    embedding = _embedding(corpus)
    say(f"Choose {' and '.join(f'{fraction:.0%}' for fraction in FRACTIONS)} by every strategy")
    registry = Registry(workspace.manifests_path)
    manifests = [
        manifest
        for name, strategy in STRATEGIES.items()
        if not strategy.needs_task
        for manifest in build(
            corpus,
            registry=registry,
            strategy=name,
            fraction=FRACTIONS,
            embedding=embedding if strategy.needs_embedding else None,
        )
    ]
    say("Verify them, and compare the sketch with the random subset")
    for manifest in manifests:
        manifest.verify().raise_if_failed()
    small = {manifest.document.selection.strategy: manifest for manifest in reversed(manifests)}
    return Demo(
        workspace=workspace,
        corpus=corpus,
        embedding=embedding,
        manifests=tuple(manifests),
        diff=diff(small["random"], small["sketch"]),
    )


def _workspace(path: Path, *, n_cells: int, seed: int) -> Workspace:
    made = {"n_cells": n_cells, "seed": seed}
    marker = path / MARKER_FILE
    if marker.exists():
        there = json.loads(marker.read_text())
        if there != made:
            raise WorkspaceError(
                f"{path} holds a demo of {there['n_cells']:,} cells, seed {there['seed']}; "
                "name another folder: curate demo FOLDER"
            )
    elif path.exists() and any(path.iterdir()):
        raise WorkspaceError(f"{path} is not empty and not a demo; name another folder: curate demo FOLDER")
    else:
        with atomic_file(marker) as aside:
            aside.write_text(json.dumps(made))
    if (path / SETTINGS_FILE).exists():
        return Workspace.find(path)
    return Workspace.create(path, census=CensusSettings(uri=STORE))


def _simulate(workspace: Workspace, *, n_cells: int, seed: int) -> None:
    store, screen = workspace.root / STORE, workspace.root / SCREEN_FILE
    if not store.exists():
        simulate_atlas(store, n_cells=n_cells, seed=seed)
    if not screen.exists():
        simulate_screen(screen, seed=seed)


def _corpus(workspace: Workspace) -> Corpus:
    if NAME in workspace.corpus_names():
        return workspace.corpus(NAME)
    with workspace.open_census() as census:
        return build_corpus(Recipe.load(NAME), census, workspace.corpora_path / NAME)


def _embedding(corpus: Corpus) -> Embedding:
    path = corpus.embeddings_path / "pca"
    return Embedding.open(path, corpus) if path.exists() else embed(corpus)
