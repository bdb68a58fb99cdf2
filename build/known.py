"""Which cells of a later corpus an earlier one holds: by who they are, by what they hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from curate.corpus.content import corpus_content, is_known, measured_by_all
from curate.corpus.copies import ABSENT, is_among, rows_of
from curate.errors import CensusError, CorpusError, SelectionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.corpus import Corpus
    from curate.corpus.content import Content

By = Literal["identity", "content"]
BYS: tuple[By, ...] = get_args(By)
ACROSS_RELEASES = "dataset_id+observation_joinid"


@dataclass(frozen=True)
class Known:
    """What an earlier corpus A knows of some cells of B, bool [n] each.

    Attributes
    ----------
    by
        What was compared.
    genes
        Digest of the genes that content was compared over; None where it was not.
    by_identity, by_content
        A has this very cell; A has a cell with the same counts.
    changed
        A has this very cell, with other counts.
    too_few
        Counts of too few genes: content tells nothing.
    notes
        What could not be compared, and why.
    """

    by: tuple[By, ...]
    genes: str | None
    by_identity: NDArray[np.bool_]
    by_content: NDArray[np.bool_]
    changed: NDArray[np.bool_]
    too_few: NDArray[np.bool_]
    notes: tuple[str, ...]


def find_known(
    a: Corpus,
    b: Corpus,
    rows: NDArray[np.int64],
    *,
    by: Sequence[By] | None,
    min_genes: int,
    shared_genes: bool = False,
) -> Known:
    """Look for cells of B in A.

    Parameters
    ----------
    rows
        int64 [n] ascending, the cells of B to look for.
    by
        What to compare; None for what can be.
    min_genes
        Fewest genes with counts for content to tell something.
    shared_genes
        Compare content over the genes that every dataset of both measured, not those of both Censuses.

    Raises
    ------
    SelectionError
        When a comparison that was asked for cannot be made, or none can.
    CensusError, CorpusError
        When content was asked for and the counts cannot be read.
    """
    if by is not None and (not by or not set(by) <= set(BYS)):
        raise SelectionError(f"compare by {', '.join(BYS)}; not by {', '.join(by) or 'nothing'}")
    if min_genes < 1:
        raise SelectionError(
            f"min_genes {min_genes} must be at least 1: a cell without counts equals any other"
        )
    notes: list[str] = []
    has_identity = _identities_compare(a, b, by=by, notes=notes)
    pair = _contents(a, b, by=by, shared_genes=shared_genes, notes=notes)
    if not has_identity and pair is None:
        raise SelectionError(
            f"cells of {a.name!r} and {b.name!r} can be compared neither by identity nor by content: "
            + "; ".join(notes)
        )
    none = np.zeros(rows.size, np.bool_)
    match = np.full(rows.size, ABSENT, np.int64)
    if has_identity:
        match = rows_of(np.asarray(b.identity()[rows]), np.asarray(a.identity()))
    found = match != ABSENT
    compared: list[By] = ["identity"] if has_identity else []
    if pair is None:
        return Known(tuple(compared), None, found, none, none, none, tuple(notes))
    of_a, of_b = pair
    hashes = np.asarray(of_b.hashes[rows])
    too_few = of_b.n_genes[rows] < min_genes
    told = np.sort(of_a.hashes[of_a.n_genes >= min_genes])
    changed = found.copy()
    changed[found] = hashes[found] != of_a.hashes[match[found]]
    return Known(
        by=(*compared, "content"),
        genes=of_b.header.genes,
        by_identity=found,
        by_content=is_among(hashes, told) & ~too_few,
        changed=changed,
        too_few=too_few,
        notes=tuple(notes),
    )


def _identities_compare(a: Corpus, b: Corpus, *, by: Sequence[By] | None, notes: list[str]) -> bool:
    """Return whether cells are to be compared by identity, and can be; say why not."""
    if by is not None and "identity" not in by:
        return False
    lacking = [each for each in (a, b) if each.header.identity != ACROSS_RELEASES]
    # A joinid holds inside one Census only.
    if not lacking or (len(lacking) == 2 and a.header.census.content == b.header.census.content):
        return True
    names = " and ".join(f"{each.name!r} (release {each.header.census.release})" for each in lacking)
    reason = (
        f"identity not compared: cells of {names} have no observation_joinid, only joinids of one release"
    )
    if by is not None:
        raise SelectionError(f"{reason}; compare --by content")
    notes.append(reason)
    return False


def _contents(
    a: Corpus, b: Corpus, *, by: Sequence[By] | None, shared_genes: bool, notes: list[str]
) -> tuple[Content, Content] | None:
    """Return what the cells of both hold, over the same genes; None where it is not asked for or known."""
    if by is not None and "content" not in by:
        return None
    try:
        return shared_contents(a, b, shared_genes=shared_genes, notes=notes)
    except (CensusError, CorpusError) as error:
        if by is not None:
            raise
        notes.append(f"content not compared: {error}")
        return None


def shared_contents(
    a: Corpus, b: Corpus, *, shared_genes: bool = False, notes: list[str]
) -> tuple[Content, Content]:
    """Return what the cells of two corpora hold, over the genes that both Censuses have.

    Where these are all genes of both, as kept beside each corpus; else the cells of both are hashed again
    over those shared, which is said in `notes`.

    Parameters
    ----------
    shared_genes
        Over those genes only that every dataset of both corpora measured.

    Raises
    ------
    CensusError, CorpusError
        When the counts of one cannot be read, or no gene is shared.
    """
    if not shared_genes and is_known(a) and is_known(b):
        kept = corpus_content(a), corpus_content(b)
        if kept[0].header.genes == kept[1].header.genes:
            return kept
    genes = [_genes(corpus, measured=shared_genes) for corpus in (a, b)]
    if not shared_genes and genes[0] == genes[1]:
        return corpus_content(a), corpus_content(b)
    shared = genes[0] & genes[1]
    if not shared:
        raise CorpusError(f"the Censuses of {a.name!r} and {b.name!r} share none of their genes")
    who = "every dataset of both measured" if shared_genes else "both Censuses have"
    notes.append(
        f"content compared over {len(shared):,} genes, those that {who} (of {len(genes[0]):,} "
        f"and {len(genes[1]):,}), in a pass over the counts of its own"
    )
    return corpus_content(a, genes=shared), corpus_content(b, genes=shared)


def _genes(corpus: Corpus, *, measured: bool) -> frozenset[str]:
    organism = corpus.header.organism
    with corpus.open_census() as census:
        if measured:
            datasets = corpus.value_counts("dataset_id")["value"].to_list()
            return frozenset(measured_by_all(census, organism, datasets))
        return frozenset(census.read_var(organism)["feature_id"].to_list())
