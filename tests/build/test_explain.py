"""explain: what commands will read, hold and take; beside what they then read."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pytest
import tiledbsoma as soma

from curate.build import explain
from curate.build import explain_embed as of_embed
from curate.build.build import build
from curate.build.embeddings.embed import BLOCK_CELLS, embed
from curate.build.embeddings.embedding import Embedding
from curate.build.explain_build import explain_build
from curate.build.explain_embed import explain_embed
from curate.build.strategies import STRATEGIES
from curate.errors import SelectionError
from curate.manifests.registry import Registry
from curate.rates import measured
from curate.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from curate.build.explain import Explanation
    from curate.census import Census
    from curate.corpus import Corpus

    BytesRead: TypeAlias = Callable[[Callable[[], object]], int]

FACTOR = 1.3
"""How far the bytes that are read may be from the estimate."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A corpus of 8,900 cells of a simulated atlas in five tiles."""
    from curate.census import Census
    from curate.corpus.build import build_corpus
    from curate.recipe import Recipe
    from curate.simulate import simulate_atlas

    folder = tmp_path_factory.mktemp("explain")
    simulate_atlas(folder / "store", n_cells=10_000, n_genes=300)
    with Census.open(uri=folder / "store") as census:
        return build_corpus(Recipe.load("demo"), census, folder / "demo")


@pytest.fixture
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], int]:
    """A function that returns the bytes that TileDB reads from files while another runs."""
    from curate.corpus import Corpus

    # TileDB forgets the numbers of a context that is gone.
    opened: list[Census] = []
    open_census = Corpus.open_census

    def kept(corpus: Corpus) -> Census:
        opened.append(open_census(corpus))
        return opened[-1]

    monkeypatch.setattr(Corpus, "open_census", kept)

    def watched(work: Callable[[], object]) -> int:
        soma.tiledbsoma_stats_reset()
        soma.tiledbsoma_stats_enable()
        try:
            work()
            found = soma.tiledbsoma_stats_as_py()
        finally:
            soma.tiledbsoma_stats_disable()
        return int(sum(each["counters"].get("Context.VFS.read_byte_num", 0) for each in found))

    return watched


def read_counts(corpus: Corpus, joinids: np.ndarray) -> None:
    with corpus.open_census() as census:
        for _ in census.read_counts(corpus.header.organism, joinids):
            pass


def number(explanation: Explanation, name: str) -> float:
    return float(explanation.value(name))


@pytest.mark.parametrize(("strategy", "n"), [("random", 80), ("blocks", 80), ("blocks", 1500)])
def test_reading_the_counts_of_a_selection_takes_the_bytes_that_were_estimated(
    corpus: Corpus, tmp_path: Path, bytes_read: BytesRead, strategy: str, n: int
) -> None:
    (found,) = explain_build(corpus, root=tmp_path, strategy=strategy, n_cells=n)
    (manifest,) = build(corpus, registry=Registry(tmp_path), strategy=strategy, n_cells=n)
    joinids = manifest.cells()["soma_joinid"].to_numpy()
    read = bytes_read(lambda: read_counts(corpus, joinids))
    assert 1 / FACTOR < read / number(found, "counts to read later") < FACTOR


def test_embedding_reads_the_bytes_that_were_estimated(
    corpus: Corpus, tmp_path: Path, bytes_read: BytesRead
) -> None:
    found = explain_embed(
        corpus, root=tmp_path, n_components=5, n_hvgs=100, fit_fraction=0.1, block_cells=BLOCK_CELLS
    )
    read = bytes_read(lambda: embed(corpus, name="explained", n_components=5, n_hvgs=100))
    assert 1 / FACTOR < read / number(found, "counts to read") < FACTOR
    assert number(found, "to write") == 4 * 5 * corpus.n_cells
    written = (corpus.embeddings_path / "explained" / "embedding.npy").stat().st_size
    assert 0 <= written - number(found, "to write") < 4096


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_is_explained_and_nothing_is_written(
    name: str, atlas_workspace: Path, tmp_path: Path
) -> None:
    corpus = Workspace.find(atlas_workspace).corpus()
    embedding = Embedding.open(corpus.embeddings_path / "pca", corpus)
    before = sorted(atlas_workspace.rglob("*"))
    small, large = explain_build(
        corpus, root=tmp_path, strategy=name, fraction=[0.2, 0.1], seed=[0, 1], embedding=embedding
    )
    assert sorted(atlas_workspace.rglob("*")) == before
    assert number(small, "cells chosen") == corpus.n_cells // 10
    assert number(large, "cells chosen") == corpus.n_cells // 5
    assert number(small, "cells to choose from") == corpus.n_cells
    index = sum((corpus.path / file).stat().st_size for file in ("cells.parquet", "identity.npy"))
    assert 8 * corpus.n_cells < number(small, "index to read") < index
    assert {line.name for line in small.lines} >= {"memory", "time", "counts to read later"}
    assert all(line.source for line in small.lines)


def test_only_a_strategy_that_has_costs_is_tried(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    def fail(*arguments: object, **settings: object) -> None:
        raise AssertionError("it was run")

    for name in ("random", "blocks"):
        monkeypatch.setitem(STRATEGIES, name, replace(STRATEGIES[name], select=fail))  # type: ignore[arg-type]
    explain_build(corpus, root=tmp_path, strategy="random", n_cells=10)
    with pytest.raises(AssertionError, match="it was run"):
        explain_build(corpus, root=tmp_path, strategy="blocks", n_cells=10)


def test_blocks_are_explained_with_what_they_save_and_cost(corpus: Corpus, tmp_path: Path) -> None:
    (found,) = explain_build(corpus, root=tmp_path, strategy="blocks", n_cells=80)
    (manifest,) = build(corpus, registry=Registry(tmp_path), strategy="blocks", n_cells=80)
    notes = manifest.document.selection.notes
    shown = {
        "tiles of these cells": "n_tiles",
        "tiles read later, at most": "n_tiles_read_at_most",
        "tiles read later": "n_tiles_read",
        "tiles that random would touch": "n_tiles_read_by_random",
        "counts to read later": "bytes_read",
        "design effect on cell types": "design_effect",
        "Shannon entropy of cell types": "shannon_bits",
        "… of random": "shannon_bits_of_random",
    }
    for line, note in shown.items():
        assert found.value(line) == notes[note], line
    assert notes["bytes_saved"] == pytest.approx(number(found, "bytes saved against random"), abs=2)
    assert found.notice == notes.get("notice", "")


def test_estimates_are_told_from_what_is_exact(corpus: Corpus, tmp_path: Path) -> None:
    (found,) = explain_build(corpus, root=tmp_path, strategy="random", n_cells=80)
    estimates = {line.name for line in found.lines if line.is_estimate}
    assert estimates == {"tiles touched later", "counts to read later", "memory", "time"}


def test_time_follows_the_rate_that_was_measured(corpus: Corpus, tmp_path: Path) -> None:
    (before,) = explain_build(corpus, root=tmp_path, strategy="random", n_cells=80)
    assert "default: " in before.lines[-1].source
    with measured(tmp_path, "build random", corpus.n_cells / 100, unit="cells"):
        pass
    from curate.rates import rate_of, this_machine

    (after,) = explain_build(corpus, root=tmp_path, strategy="random", n_cells=80)
    assert number(after, "time") == pytest.approx(100 * rate_of(tmp_path, "build random").seconds)
    assert this_machine() in after.lines[-1].source


def test_a_request_that_build_refuses_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(SelectionError, match="selects 0 cells"):
        explain_build(corpus, root=tmp_path, strategy="random", fraction=1e-9)
    with pytest.raises(SelectionError, match="no strategy named"):
        explain_build(corpus, root=tmp_path, strategy="blokcs", n_cells=3)


def test_an_index_without_non_zeros_is_said_to_be_estimated(corpus: Corpus) -> None:
    total, per_cell, source = explain.corpus_nonzeros(corpus)
    assert total == corpus.columns(["nnz"])["nnz"].sum()
    assert per_cell == total / corpus.n_cells
    assert "nnz of the index" in source
    from curate.corpus import Corpus

    header = corpus.header.model_copy(update={"columns": ("cell_type",)})
    total, _, source = explain.corpus_nonzeros(Corpus(path=corpus.path, header=header))
    assert total == 1800 * corpus.n_cells
    assert "a usual mean" in source


def test_the_passes_count_the_windows_that_are_fitted_on_at_least(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.passes.units.WINDOW", 64)
    monkeypatch.setattr(of_embed, "MIN_CELLS_FITTED", 10)
    n_windows = np.unique(corpus.joinids() // 64).size
    assert of_embed.embed_passes(corpus, 0.3) == 3
    monkeypatch.setattr(of_embed, "MIN_WINDOWS_FITTED", n_windows // 2)
    assert of_embed.embed_passes(corpus, 0.3) == 1 + 2 * (n_windows // 2) / n_windows
    assert of_embed.embed_passes(corpus, 0.75) == 2.5
