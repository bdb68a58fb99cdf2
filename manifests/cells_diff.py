"""Which cells two manifests share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.manifests.document import CENSUS, SPLITS
from curate.manifests.identities import portable_identity, why_not_comparable
from curate.manifests.obs import corpus_rows, look_up

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.manifests.manifest import Manifest

    Keys = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class CellsDiff:
    """How many cells two manifests share.

    Attributes
    ----------
    compared_by
        "soma_joinid" inside one Census, "identity" across two.
    jaccard
        both / (only_a + only_b + both).
    n_split_differs
        Cells of both whose split differs.
    split_changes
        "train → test" (in A → in B) → cells, the most first.
    """

    compared_by: str
    only_a: int
    only_b: int
    both: int
    jaccard: float
    n_split_differs: int
    split_changes: dict[str, int]


def diff_cells(a: Manifest, b: Manifest) -> tuple[CellsDiff | None, tuple[str, ...]]:
    """Return which cells two manifests share, or None when that cannot be known, and what is to be said.

    1. by soma_joinid, when both are of one corpus or of one Census;
    2. else by identity: that of the corpora at hand, or of the columns that a portable export holds.

    Cells of a spike-in source are compared by source, fingerprint and row.
    """
    notes: tuple[str, ...] = ()
    by_identity = False
    if a.document.corpus.id != b.document.corpus.id:
        by_identity = not _of_one_census(a, b)
        reason = why_not_comparable(a, b) if by_identity else None
        notes = (_two_corpora(a, b, reason, by_identity=by_identity),)
        if reason:
            return None, notes
    of_a, of_b = _keys(a, by_identity=by_identity), _keys(b, by_identity=by_identity)
    pairs = np.zeros((len(SPLITS), len(SPLITS)), dtype=np.int64)
    for source in of_a.keys() & of_b.keys():
        (keys_a, split_a), (keys_b, split_b) = of_a[source], of_b[source]
        pairs += paired_splits(keys_a, split_a, keys_b, split_b)
    both = int(pairs.sum())
    n_a, n_b = a.document.n_cells, b.document.n_cells
    changes = {
        f"{before} → {after}": int(pairs[i, j])
        for i, before in enumerate(SPLITS)
        for j, after in enumerate(SPLITS)
        if i != j and pairs[i, j]
    }
    return (
        CellsDiff(
            compared_by="identity" if by_identity else "soma_joinid",
            only_a=n_a - both,
            only_b=n_b - both,
            both=both,
            jaccard=both / (n_a + n_b - both),
            n_split_differs=sum(changes.values()),
            split_changes=dict(sorted(changes.items(), key=lambda change: -change[1])),
        ),
        notes,
    )


def paired_splits(
    keys_a: Keys, split_a: NDArray[np.uint8], keys_b: Keys, split_b: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """Count the cells that A and B share by their splits.

    Parameters
    ----------
    keys_a, keys_b
        What names a cell, ascending and distinct.
    split_a, split_b
        uint8, an index into SPLITS for each key.

    Returns
    -------
    int64 [n_splits, n_splits]
        Cells by split in A (row) and in B (column).
    """
    n = len(SPLITS)
    in_b = look_up(keys_b, split_b, keys_a, absent=n)
    pair = split_a * np.uint8(n + 1) + in_b
    counts = np.array([np.count_nonzero(pair == code) for code in range(n * (n + 1))])
    return counts.reshape(n, n + 1)[:, :n]


def _keys(manifest: Manifest, *, by_identity: bool) -> dict[tuple[str, str], tuple[Keys, NDArray[np.uint8]]]:
    """Return keys and splits of the cells of each source; a source is what it is called and what it holds."""
    cells = manifest.held_cells
    fingerprints = {spike_in.source: spike_in.id for spike_in in manifest.document.spike_ins}
    keys = {}
    for source in cells.sources:
        rows = cells.rows_of(source)
        joinids, split = cells.soma_joinid[rows], cells.split[rows]
        if source == CENSUS and by_identity:
            keys[source, ""] = _by_identity(manifest, joinids, split)
        else:
            keys[source, fingerprints.get(source, "")] = (joinids, split)
    return keys


def _by_identity(
    manifest: Manifest, joinids: NDArray[np.int64], split: NDArray[np.uint8]
) -> tuple[Keys, NDArray[np.uint8]]:
    identity = portable_identity(manifest)
    if identity is None:
        corpus = manifest.corpus()
        identity = corpus.identity()[corpus_rows(corpus, joinids)]
    order = np.argsort(identity)
    return identity[order], split[order]


def _of_one_census(a: Manifest, b: Manifest) -> bool:
    """Whether a soma_joinid names the same cell in both: the counts, the release and the organism are one."""
    of_a, of_b = a.document.corpus, b.document.corpus
    if (of_a.release, of_a.organism) != (of_b.release, of_b.organism):
        return False
    census = _census(a)
    return census is not None and census == _census(b)


def _census(manifest: Manifest) -> str | None:
    """Return what stands for the counts of the Census; of older manifests the corpus knows it."""
    if manifest.document.corpus.census is not None:
        return manifest.document.corpus.census
    corpus = manifest.find_corpus()
    return None if corpus is None else corpus.header.census.content


def _two_corpora(a: Manifest, b: Manifest, reason: str | None, *, by_identity: bool) -> str:
    of_a, of_b = a.document.corpus, b.document.corpus
    if not by_identity:
        return (
            f"two corpora of one Census (release {of_a.release}), {of_a.name} ({of_a.id[:12]}) and "
            f"{of_b.name} ({of_b.id[:12]}): cells are compared by soma_joinid"
        )
    how = (
        f"cells are not compared: {reason}" if reason else f"cells are compared by identity ({of_a.identity})"
    )
    return (
        f"two corpora, {of_a.name} ({of_a.id[:12]}, release {of_a.release}) and {of_b.name} ({of_b.id[:12]}, "
        f"release {of_b.release}), of two Censuses: soma_joinids of one mean nothing in the other; {how}"
    )
