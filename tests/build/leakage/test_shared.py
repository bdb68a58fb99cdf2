"""Cells that two sources share: found, kept, and drawn from the source that is named first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from curate.build.build import build
from curate.build.leakage import doubles
from curate.build.leakage import shared as module
from curate.build.leakage.shared import find_shared, kept_shared, other_sources
from curate.build.spike_ins import plan_spike_ins
from curate.errors import SelectionError, SourceError
from curate.manifests.notices import notices
from curate.manifests.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.corpus import Corpus
    from curate.manifests.manifest import Manifest
    from curate.sources.source import Source

    Counts = NDArray[np.float32]
    AddSource = Callable[..., Source]


def strangers(n: int, *, seed: int) -> Counts:
    rng = np.random.default_rng(seed)
    profiles = np.exp(rng.normal(-1.8, 1.2, (3, 400)))
    return rng.poisson(profiles[rng.integers(3, size=n)]).astype(np.float32)


@pytest.fixture
def pair(add_leak_source: AddSource) -> tuple[Source, Source]:
    """Two sources; cells 30 to 59 of the first are cells 0 to 29 of the second, ten of them thinned."""
    cells = strangers(60, seed=11)
    thinned = np.random.default_rng(0).binomial(cells[50:].astype(np.int64), 0.9)
    second = np.vstack([cells[30:50], thinned, strangers(70, seed=12)])
    return add_leak_source("first", cells), add_leak_source("second", second.astype(np.float32))


def spiked(corpus: Corpus, folder: Path, *shares: tuple[Source, float], uncompared: bool = False) -> Manifest:
    plan = plan_spike_ins(shares, allow_uncompared=uncompared, mode="add")
    return build(corpus, registry=Registry(folder), strategy="random", fraction=1.0, spike_ins=plan)[1]


def drawn(manifest: Manifest, source: Source) -> set[int]:
    cells = manifest.cells().filter(pl.col("source").cast(pl.String) == source.name)
    return set(cells["soma_joinid"].to_list())


def test_cells_of_another_source_are_found_on_both_sides_whichever_is_asked(
    pair: tuple[Source, Source],
) -> None:
    first, second = pair
    found = find_shared(second, first)
    assert np.flatnonzero(found.rows[first.id]).tolist() == list(range(30, 60))
    assert np.flatnonzero(found.rows[second.id]).tolist() == list(range(30))
    assert found.header.n_found[second.id] == {"joinid": 0, "exact": 20, "near": 30}
    assert (found.n_of(first), found.n_of(second)) == (30, 30)
    assert [each.name for each in other_sources(first)] == ["second"]


def test_what_was_found_is_kept_for_both_and_nothing_is_read_again(
    pair: tuple[Source, Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair
    assert kept_shared(first, second) is None
    found = find_shared(first, second)

    def fail(*arguments: object) -> None:
        raise AssertionError("a source was read again")

    monkeypatch.setattr(module, "find_overlap", fail)
    again = find_shared(second, first)
    assert again.header == found.header
    assert all(np.array_equal(again.rows[each.id], found.rows[each.id]) for each in pair)
    (rows,) = first.path.glob("shared/*/shared.parquet")
    rows.write_bytes(b"other")
    with pytest.raises(SourceError, match=r"is damaged: the sha256 .*; remove it to have it made again"):
        find_shared(second, first)


@pytest.mark.parametrize("is_reversed", [False, True], ids=["in order", "in reverse"])
def test_a_cell_that_two_sources_hold_is_drawn_from_the_first_that_is_named(
    leak_corpus: Corpus, pair: tuple[Source, Source], tmp_path: Path, *, is_reversed: bool
) -> None:
    one, other = reversed(pair) if is_reversed else pair
    of_other = np.arange(30, 60) if is_reversed else np.arange(30)
    assert other.name == ("first" if is_reversed else "second")
    # All that there is of both: what the later one may give, to the cell.
    (base,) = build(leak_corpus, registry=Registry(tmp_path / "base"), strategy="random", fraction=1.0)
    n_train = base.document.splits.counts["train"]
    shares = ((one.n_cells + 0.5) / n_train, (other.n_cells - 30 + 0.5) / n_train)
    manifest = spiked(leak_corpus, tmp_path, (one, shares[0]), (other, shares[1]))
    assert len(drawn(manifest, one)) == one.n_cells
    assert drawn(manifest, other) == set(range(other.n_cells)) - set(of_other.tolist())
    (record,) = [each for each in manifest.document.exclusions if each.reason == "source overlap"]
    assert record.n_cells == 30
    assert (record.parameters["source"], record.parameters["with"]) == (other.name, one.name)
    assert (
        f"cells of source {other.name} were left out of the draw: 30 by source overlap with {one.name}"
        in notices(manifest.document)
    )
    with pytest.raises(SelectionError, match=r"may be drawn \(source overlap takes 30\)"):
        spiked(leak_corpus, tmp_path / "more", (one, 0.1), (other, other.n_cells / n_train))


def test_one_content_under_two_names_is_drawn_once(
    leak_corpus: Corpus, add_leak_source: AddSource, tmp_path: Path
) -> None:
    cells = strangers(60, seed=11)
    one, other = add_leak_source("one", cells), add_leak_source("other", cells)
    with pytest.raises(SelectionError, match=r"of which 0 may be drawn \(source overlap takes 60\)"):
        spiked(leak_corpus, tmp_path, (one, 0.1), (other, 0.1))


def test_sources_without_a_gene_in_common_share_nothing_and_it_is_said(add_leak_source: AddSource) -> None:
    genes = [f"ENSG{j:011d}" for j in range(400)]
    cells = strangers(60, seed=11)
    one = add_leak_source("one", cells[:, :200], genes=genes[:200])
    other = add_leak_source("other", cells[:, 200:], genes=genes[200:])
    found = find_shared(one, other)
    assert found.n_of(one) == found.n_of(other) == 0
    assert found.header.why_not["exact"] == "they have no gene in common"


def test_sources_that_take_long_to_compare_are_refused_until_allowed(
    leak_corpus: Corpus, pair: tuple[Source, Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair
    for each in pair:
        doubles.find_doubles(each)
    monkeypatch.setattr(doubles, "AT_ONCE_S", 0.0)
    with pytest.raises(
        SourceError,
        match=r"source 'second' was not compared with source 'first', .* `curate corpus compare-source "
        r"second`, or take both as they are with --allow-uncompared",
    ):
        spiked(leak_corpus, tmp_path, (first, 0.1), (second, 0.1))
    taken = spiked(leak_corpus, tmp_path, (first, 0.1), (second, 0.1), uncompared=True)
    assert taken.document.spike_ins[1].parameters["not_compared_with"] == ["first"]
    assert any("second was not compared with source first" in each for each in notices(taken.document))
    find_shared(first, second)
    guarded = spiked(leak_corpus, tmp_path / "again", (first, 0.1), (second, 0.1), uncompared=True)
    assert not drawn(guarded, second) & set(range(30))


def test_sources_whose_content_cannot_be_compared_are_refused_until_allowed_and_the_record_says_so(
    leak_corpus: Corpus, add_leak_source: AddSource, tmp_path: Path
) -> None:
    genes = [f"ENSG{j:011d}" for j in range(400)]
    cells = strangers(60, seed=11)
    one = add_leak_source("one", cells[:, :205], genes=genes[:205])
    other = add_leak_source("other", strangers(50, seed=12)[:, 200:], genes=genes[200:])
    shares = ((one, 0.05), (other, 0.05))
    with pytest.raises(
        SourceError,
        match=r"source 'other' could not be compared by content with source 'one': none of the 50 cells "
        r"looked for .* take both as they are with --allow-uncompared",
    ):
        spiked(leak_corpus, tmp_path, *shares)
    document = spiked(leak_corpus, tmp_path, *shares, uncompared=True).document
    (record,) = [each for each in document.exclusions if each.reason == "source overlap"]
    assert (record.parameters["by"], record.parameters["not_by"]) == (["joinid"], ["exact", "near"])
    assert record.parameters["n_undecided"] == 50
    assert document.spike_ins[1].parameters["not_compared_with"] == ["one"]
    told = notices(document)
    assert any(
        each.startswith("source other was not compared with source one by exact, near") for each in told
    )
    assert not any("compare-source" in each for each in told)
