"""Cells of a source that its corpus holds: found, kept, and the price known before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from curate.build.bytes_read import CountsSize
from curate.build.leakage import doubles as module
from curate.build.leakage.doubles import Takes, find_doubles, kept_doubles, slices, what_it_takes
from curate.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from curate.sources.source import Source

    Counts = NDArray[np.float32]
    AddSource = Callable[..., Source]

COPIED = np.r_[10:50, 310:340]


def strangers(n: int, *, seed: int = 78) -> Counts:
    rng = np.random.default_rng(seed)
    profiles = np.exp(rng.normal(-1.8, 1.2, (3, 400)))
    return rng.poisson(profiles[rng.integers(3, size=n)]).astype(np.float32)


def test_cells_that_the_corpus_holds_are_found_by_content_under_other_names(
    add_leak_source: AddSource, leak_counts: Counts
) -> None:
    source = add_leak_source("mixed", np.vstack([leak_counts[COPIED], strangers(50)]))
    found = find_doubles(source)
    assert np.flatnonzero(found.rows).tolist() == list(range(len(COPIED)))
    assert found.header.n_found == {"joinid": 0, "exact": 70, "near": 70}
    assert found.header.datasets == {"a": 40, "b": 30}
    assert (found.header.n_cells, found.header.n_corpus_cells) == (70, 70)


def test_other_genes_and_thinned_counts_do_not_hide_a_cell(
    add_leak_source: AddSource, leak_counts: Counts
) -> None:
    kept = np.sort(np.random.default_rng(0).choice(400, 320, replace=False))
    genes = [f"ENSG{j:011d}" for j in kept]
    thinned = np.random.default_rng(1).binomial(leak_counts[COPIED].astype(np.int64), 0.8)
    counts = np.vstack([thinned, strangers(100)])[:, kept]
    found = find_doubles(add_leak_source("thinned", counts, genes=genes))
    rows = np.flatnonzero(found.rows)
    assert set(rows.tolist()) <= set(range(len(COPIED)))
    assert len(rows) >= 0.9 * len(COPIED)
    assert found.header.n_found["exact"] < found.header.n_found["near"]


def test_a_source_of_other_cells_has_none(add_leak_source: AddSource) -> None:
    found = find_doubles(add_leak_source("other", strangers(120)))
    assert not found.rows.any()
    assert found.header.datasets == {}


def test_cells_are_found_by_name_where_the_source_says_its_dataset(add_leak_source: AddSource) -> None:
    obs = {"dataset_id": ["a"] * 20, "observation_joinid": [f"cell-{k:04}" for k in range(5, 25)]}
    source = add_leak_source("named", strangers(20), obs=obs, map={"dataset_id": "dataset_id"})
    found = find_doubles(source)
    assert found.header.n_found == {"joinid": 20, "exact": 0, "near": 0}
    assert found.rows.all()


def test_every_copy_in_the_source_is_found_though_a_cell_of_the_corpus_names_its_best_few(
    add_leak_source: AddSource, leak_counts: Counts
) -> None:
    counts = np.vstack([np.repeat(leak_counts[[17]], 12, axis=0), strangers(60)])
    assert np.flatnonzero(find_doubles(add_leak_source("copies", counts)).rows).tolist() == list(range(12))


def test_what_was_found_is_kept_and_nothing_is_read_again(
    add_leak_source: AddSource, leak_counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = add_leak_source("kept", np.vstack([leak_counts[COPIED], strangers(50)]))
    assert kept_doubles(source) is None
    first = find_doubles(source)

    def fail(*arguments: object) -> None:
        raise AssertionError("the corpus was read again")

    monkeypatch.setattr(module, "find_overlap", fail)
    again = find_doubles(source)
    assert again.header == first.header
    assert all(np.array_equal(again.by[method], first.by[method]) for method in first.by)
    (rows,) = source.path.glob("doubles/*/doubles.parquet")
    rows.write_bytes(b"other")
    with pytest.raises(SourceError, match=r"is damaged: the sha256 .*; remove it to have it made again"):
        find_doubles(source)


def test_slices_of_a_source_find_what_the_whole_does(
    add_leak_source: AddSource, leak_counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = np.vstack([leak_counts[COPIED], strangers(90)])
    source = add_leak_source("sliced", counts)
    nnz = int((counts > 0).sum())
    monkeypatch.setattr(module, "SLICE_NONZEROS", nnz // 3 + 1)
    parts = slices(source)
    assert [len(parts), len(np.concatenate(parts))] == [3, len(counts)]
    assert max(int((counts[rows] > 0).sum()) for rows in parts) < nnz // 2
    takes = what_it_takes(source)
    assert (takes.n_passes, takes.methods) == (3, ("joinid", "exact"))
    found = find_doubles(source)
    assert np.flatnonzero(found.rows).tolist() == list(range(len(COPIED)))
    assert found.header.n_found == {"joinid": 0, "exact": 70, "near": 0}
    assert found.header.why_not["near"].endswith("near copies are looked for up to 1e9")


def test_a_remote_or_a_large_corpus_is_not_read_unasked(
    add_leak_source: AddSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = add_leak_source("asked", strangers(20))
    takes = what_it_takes(source)
    assert takes.is_small
    assert takes.sentence().startswith("that reads the counts of 500 cells once (0.0 GB, about 1 min")
    size = CountsSize(10**9, 1.0, is_measured=True, source="")
    assert not Takes(source, (), n_passes=1, size=size, seconds=1.0, is_remote=True).is_small
    monkeypatch.setattr(module, "AT_ONCE_S", 0.0)
    assert not what_it_takes(source).is_small
