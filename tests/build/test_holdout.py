"""Cells that are new in a later release: by identity, by content, dataset by dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from curate.build.holdout import holdout
from curate.census import Census
from curate.corpus.build import build_corpus
from curate.errors import CorpusError, FilterError, SelectionError
from curate.manifests.diff import diff
from curate.manifests.registry import Registry
from curate.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.build.holdout import Holdout
    from curate.corpus import Corpus
    from tests.conftest import WriteRelease

N_GENES = 80
SIZES = {"kept": 100, "moved": 80, "grown": 60, "changed": 50, "added": 70, "more": 40, "fresh": 10}
#: cells with counts of too few genes, the last ones of "added"
N_EMPTY = 3


def counts_of(name: str) -> NDArray[np.float32]:
    """Return counts [n, N_GENES] of some cells, the same on every call; release 1 lacks the last gene."""
    rng = np.random.default_rng(sorted(SIZES).index(name))
    counts = rng.poisson(1.5, size=(SIZES[name], N_GENES)).astype(np.float32)
    if name == "added":
        counts[-N_EMPTY:, 5:] = 0
    return counts


def cells(name: str, donor: str = "donor-1") -> dict[str, Any]:
    return {
        "observation_joinid": [f"{name}-{i}" for i in range(SIZES[name])],
        "donor_id": [donor] * SIZES[name],
    }


def first_release() -> dict[str, Any]:
    names = ("kept", "moved", "grown", "changed")
    return {name: (counts_of(name)[:, :-1], cells(name)) for name in names}


def second_release() -> dict[str, Any]:
    changed = counts_of("changed")
    changed[:20, 0] += 1
    grown = np.concatenate([counts_of("more"), counts_of("grown")])
    of_grown, of_more = cells("grown"), cells("more", "donor-2")
    atlas = np.concatenate([counts_of("kept")[:30], counts_of("fresh")])
    # In another order, and the datasets too.
    return {
        "added": (counts_of("added"), cells("added")),
        "atlas": (atlas, {"donor_id": ["donor-9"] * 40, "is_primary_data": [False] * 30 + [True] * 10}),
        "changed": (changed, cells("changed")),
        "grown": (grown, {key: of_more[key] + of_grown[key] for key in of_more}),
        "moved-again": (counts_of("moved")[::-1].copy(), {}),
        "kept": (counts_of("kept"), cells("kept")),
    }


def corpus_of(store: Path, path: Path, *, organism: str = "homo_sapiens") -> Corpus:
    with Census.open(uri=store) as census:
        return build_corpus(Recipe(name=path.name, organism=organism), census, path)


@pytest.fixture(scope="module")
def earlier(write_release: WriteRelease, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("first")
    store = write_release(folder / "store", first_release(), n_genes=N_GENES - 1, build_date="2025-01-30")
    return corpus_of(store, folder / "a")


@pytest.fixture(scope="module")
def later(write_release: WriteRelease, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("second")
    return corpus_of(write_release(folder / "store", second_release(), build_date="2025-11-08"), folder / "b")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "manifests")


def datasets_of(found: Holdout, later: Corpus) -> dict[str, int]:
    rows = np.searchsorted(later.joinids(), found.manifest.cells()["soma_joinid"].to_numpy())
    chosen = later.columns(["dataset_id"], rows=rows)["dataset_id"].cast(pl.String)
    return dict(chosen.value_counts().iter_rows())


def test_cells_known_neither_by_identity_nor_by_content_are_held_out(
    earlier: Corpus, later: Corpus, registry: Registry
) -> None:
    found = holdout(earlier, later, registry=registry)
    assert found.by == ("identity", "content")
    assert datasets_of(found, later) == {"added": 70 - N_EMPTY, "grown": 40, "atlas": 10}
    document = found.manifest.document
    assert document.splits.counts == {"train": 0, "val": 0, "test": 117}
    assert [(each.reason, each.n_cells) for each in document.exclusions] == [
        ("known by identity", 100 + 60 + 50),
        ("too few genes to tell", N_EMPTY),
        ("known by content", 80 + 30),
    ]
    assert document.selection.strategy == "holdout"
    assert document.selection.parameters["new_since"] == earlier.id
    assert document.selection.n_available == 117
    assert "79 genes, those that both Censuses have (of 79 and 80)" in found.notes[0]


def test_every_dataset_of_the_later_release_is_told_what_it_is(
    earlier: Corpus, later: Corpus, registry: Registry
) -> None:
    found = holdout(earlier, later, registry=registry)
    kinds = {each.dataset: each.kind for each in found.datasets}
    assert kinds == {
        "added": "new",
        "grown": "extended",
        "atlas": "overlapping",
        "moved-again": "re-versioned",
        "changed": "re-versioned",
        "kept": "unchanged",
    }
    by_name = {each.dataset: each for each in found.datasets}
    assert (by_name["changed"].n_changed, by_name["changed"].n_by_identity) == (20, 50)
    assert (by_name["moved-again"].n_by_content, by_name["moved-again"].n_by_identity) == (80, 0)
    assert (by_name["grown"].n_new, by_name["grown"].n_in_a) == (40, 60)
    assert (by_name["atlas"].n_by_content, by_name["atlas"].n_in_a) == (30, 0)
    assert by_name["added"].n_too_few == N_EMPTY
    assert [each.kind for each in found.datasets][:3] == ["new", "extended", "overlapping"]


def test_by_identity_alone_a_dataset_under_another_id_passes_for_new_and_no_counts_are_read(
    earlier: Corpus, later: Corpus, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.build.known.corpus_content", None)
    found = holdout(earlier, later, registry=registry, by=["identity"])
    assert datasets_of(found, later) == {"added": 70, "grown": 40, "atlas": 40, "moved-again": 80}
    assert found.manifest.document.selection.parameters["genes"] is None


def test_by_content_alone_a_cell_with_other_counts_passes_for_new(
    earlier: Corpus, later: Corpus, registry: Registry
) -> None:
    found = holdout(earlier, later, registry=registry, by=["content"])
    assert datasets_of(found, later) == {"added": 67, "grown": 40, "atlas": 10, "changed": 20}


def test_the_manifest_verifies_and_compares_with_another(
    earlier: Corpus, later: Corpus, registry: Registry
) -> None:
    whole = holdout(earlier, later, registry=registry).manifest
    drawn = holdout(earlier, later, registry=registry, n_cells=50, name="drawn").manifest
    assert whole.verify().ok
    assert drawn.verify().ok
    cells = diff(whole, drawn).cells
    assert cells is not None
    assert (cells.both, cells.only_a, cells.only_b) == (50, 67, 0)


def test_a_draw_nests_and_depends_on_the_seed(earlier: Corpus, later: Corpus, registry: Registry) -> None:
    def drawn(n: int, seed: int) -> set[int]:
        found = holdout(earlier, later, registry=registry, n_cells=n, seed=seed, name=f"d{n}-{seed}")
        return set(found.manifest.cells()["soma_joinid"].to_list())

    assert drawn(20, 0) < drawn(60, 0)
    assert drawn(20, 0) != drawn(20, 1)
    found = holdout(earlier, later, registry=registry, fraction=0.1)
    assert found.manifest.document.n_cells == 11
    assert found.n_new == 117


def test_the_same_request_adds_no_version(earlier: Corpus, later: Corpus, registry: Registry) -> None:
    first = holdout(earlier, later, registry=registry).manifest
    again = holdout(earlier, later, registry=registry).manifest
    assert (again.ref, again.id) == (first.ref, first.id)


def test_unseen_donors_leaves_out_new_cells_of_donors_that_the_earlier_has(
    write_release: WriteRelease, later: Corpus, earlier: Corpus, registry: Registry, tmp_path: Path
) -> None:
    found = holdout(earlier, later, registry=registry, unseen_donors=True)
    # The new cells of "grown" are of donor-2, whom release 1 does not have.
    assert datasets_of(found, later) == {"added": 67, "grown": 40, "atlas": 10}
    # "added" has a donor-1 as well, of another dataset: it may be another person.
    assert found.n_donor_id_shared == 67
    release = second_release()
    counts, columns = release["grown"]
    release["grown"] = (counts, columns | {"donor_id": ["donor-1"] * 30 + ["donor-2"] * 70})
    third = corpus_of(write_release(tmp_path / "third", release), tmp_path / "corpora" / "c")
    found = holdout(earlier, third, registry=registry, unseen_donors=True)
    assert datasets_of(found, third)["grown"] == 10
    assert found.manifest.document.exclusions[-1].reason == "donor known"
    assert found.manifest.document.exclusions[-1].n_cells == 30


def test_a_filter_restricts_the_cells_of_the_later(
    earlier: Corpus, later: Corpus, registry: Registry
) -> None:
    found = holdout(earlier, later, registry=registry, where="donor_id == 'donor-2'")
    assert datasets_of(found, later) == {"grown": 40}
    with pytest.raises(FilterError, match="donor"):
        holdout(earlier, later, registry=registry, where="donor == 'donor-2'")


def test_nothing_new_is_one_line_with_the_numbers(earlier: Corpus, later: Corpus, registry: Registry) -> None:
    with pytest.raises(
        SelectionError,
        match=r"none of the 290 cells of corpus 'a'.*210 known by identity, 80 known by content",
    ):
        holdout(later, earlier, registry=registry, where=None)
    assert registry.names() == []


def test_one_corpus_twice_is_refused(earlier: Corpus, registry: Registry) -> None:
    with pytest.raises(SelectionError, match=r"'a' is one corpus .*290 cells.*none of its cells is new"):
        holdout(earlier, earlier, registry=registry)


def test_corpora_of_two_organisms_are_refused(
    write_release: WriteRelease, earlier: Corpus, registry: Registry, tmp_path: Path
) -> None:
    store = write_release(tmp_path / "mouse", second_release(), organism="mus_musculus")
    mouse = corpus_of(store, tmp_path / "corpora" / "mouse", organism="mus_musculus")
    with pytest.raises(SelectionError, match=r"'a' is of homo_sapiens, 'mouse' of mus_musculus"):
        holdout(earlier, mouse, registry=registry)


def test_without_counts_identity_alone_decides_and_that_is_said(
    write_release: WriteRelease, earlier: Corpus, registry: Registry, tmp_path: Path
) -> None:
    empty = {name: (None, columns) for name, (counts, columns) in second_release().items() if columns}
    bare = corpus_of(write_release(tmp_path / "bare", empty, n_genes=N_GENES), tmp_path / "corpora" / "bare")
    found = holdout(earlier, bare, registry=registry)
    assert found.by == ("identity",)
    assert any("content not compared" in note and "no counts" in note for note in found.notes)
    with pytest.raises(CorpusError, match="holds no counts of homo_sapiens"):
        holdout(earlier, bare, registry=registry, by=["identity", "content"])


def test_a_release_without_observation_joinid_is_compared_by_content_and_that_is_said(
    write_release: WriteRelease, later: Corpus, registry: Registry, tmp_path: Path
) -> None:
    release = {
        name: (counts, {"donor_id": columns["donor_id"]})
        for name, (counts, columns) in first_release().items()
    }
    store = write_release(tmp_path / "study", release, n_genes=N_GENES - 1, schema_version="1.0.0")
    study = corpus_of(store, tmp_path / "corpora" / "study")
    found = holdout(study, later, registry=registry)
    assert found.by == ("content",)
    assert any("'study' (release 2026-01-31) have no observation_joinid" in note for note in found.notes)
    assert datasets_of(found, later) == {"added": 67, "grown": 40, "atlas": 10, "changed": 20}
    with pytest.raises(SelectionError, match="compare --by content"):
        holdout(study, later, registry=registry, by=["identity"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"by": ["name"]}, "compare by identity, content; not by name"),
        ({"by": []}, "not by nothing"),
        ({"n_cells": 118}, "118 cells asked for, but only 117"),
        ({"fraction": 0.001}, r"fraction 0.001 of 117 cells selects 0 cells"),
        ({"n_cells": 5, "fraction": 0.5}, "either a fraction or a number"),
        ({"n_cells": 5, "seed": -1}, "seed -1 is negative"),
        ({"min_genes": 0}, "min_genes 0 must be at least 1"),
        ({"split_ratios": (0.0, 1.0)}, "split ratios"),
    ],
)
def test_settings_out_of_range_are_refused(
    earlier: Corpus, later: Corpus, registry: Registry, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(SelectionError, match=message):
        holdout(earlier, later, registry=registry, **settings)


def test_censuses_without_a_shared_gene_cannot_be_compared_by_content(
    write_release: WriteRelease,
    later: Corpus,
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("curate.build.known._genes", lambda corpus, measured: frozenset({corpus.name}))
    earlier = corpus_of(write_release(tmp_path / "first", first_release()), tmp_path / "corpora" / "a")
    with pytest.raises(CorpusError, match="share none of their genes"):
        holdout(earlier, later, registry=registry, by=["content"])
