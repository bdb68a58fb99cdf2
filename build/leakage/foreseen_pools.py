"""The cells of a source that a build may draw, as far as that is known before it; no counts are read."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from curate.build.exclusions import Exclusion, exclude
from curate.build.leakage import doubles
from curate.build.leakage.compared import SourceCells
from curate.build.leakage.doubles import kept_doubles, what_it_takes
from curate.build.leakage.explain import CONTENT_METHODS, MOST_READ, evaluation_size
from curate.build.leakage.guard import overlap_exclusions, read_evaluation
from curate.build.leakage.pools import Pool, pool_of, without_known
from curate.build.leakage.scan import kept_scan
from curate.build.leakage.shared import kept_shared, seconds_to_compare
from curate.errors import LeakageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.build.leakage.guard import Method
    from curate.sources.source import Source


@dataclass(frozen=True)
class ForeseenPool:
    """The cells of a source that may be drawn, at most.

    Attributes
    ----------
    pending
        What the build will look for first, and may leave out too; empty where the pool is the build's.
    """

    pool: Pool
    pending: tuple[str, ...] = ()


def foresee_pool(
    source: Source,
    paths: Sequence[str | Path] = (),
    *,
    by: Sequence[Method],
    before: Sequence[Source] = (),
    uncompared: bool = False,
    assigned: bool = False,
) -> ForeseenPool:
    """Return the cells of a source that a build may draw, as `pool_of`, from what earlier runs have kept.

    Parameters
    ----------
    paths, by
        Evaluation sets whose cells are left out, and how they are looked for.
    before, uncompared, assigned
        As of `pool_of`.

    Raises
    ------
    SourceError
        When the source was not compared with the corpus, or with one before it, and that takes long: the
        build will refuse it.
    SourceError, CensusError
        When an evaluation set cannot be opened.
    """
    later_sources = [
        other
        for other in before
        if kept_shared(source, other) is None and seconds_to_compare(source, other) <= doubles.AT_ONCE_S
    ]
    pending = [f"its cells that source {other.name} holds" for other in later_sources]
    known = [other for other in before if other not in later_sources]
    if kept_doubles(source) is None and what_it_takes(source).is_small:
        pool = without_known(source, None, before=known, uncompared=uncompared, assigned=assigned)
        pending.append(f"its cells that corpus {source.corpus.name} holds")
    else:
        pool = pool_of(source, before=known, uncompared=uncompared, assigned=assigned)
    for path in paths:
        pool, later = _without(pool, source, path, by, uncompared=uncompared)
        if later:
            pending.append(f"its overlap with {Path(str(path)).name} by {' and '.join(later)}")
    return ForeseenPool(pool, tuple(pending))


def _without(
    pool: Pool, source: Source, path: str | Path, by: Sequence[Method], *, uncompared: bool
) -> tuple[Pool, list[Method]]:
    """Leave out what is known of the overlap with an evaluation set; return how the rest is looked for."""
    corpus = source.corpus
    if evaluation_size(path, corpus.header.organism)[1] > MOST_READ:
        return pool, list(by)
    kept = np.zeros(source.n_cells, np.bool_)
    kept[pool.rows] = True
    with corpus.open_census() as census:
        evaluation = read_evaluation(corpus, path, census=census)
        later = [method for method in by if method in CONTENT_METHODS]
        if later and kept_scan(SourceCells(source), evaluation, kept, is_near="near" in by) is not None:
            later = []
        found: Sequence[Exclusion] = ()
        # A build goes on by content where it cannot compare by name.
        with suppress(LeakageError):
            found = overlap_exclusions(
                corpus,
                evaluation,
                census=census,
                by=[method for method in by if method not in later],
                uncompared=uncompared,
            )
        kept, records = exclude(corpus, kept, [_of_source(source, each) for each in found])
    return replace(pool, rows=np.flatnonzero(kept), exclusions=(*pool.exclusions, *records)), later


def _of_source(source: Source, exclusion: Exclusion) -> Exclusion:
    return Exclusion(exclusion.reason, exclusion.parameters, drop=partial(_drop, source, exclusion))


def _drop(source: Source, exclusion: Exclusion, corpus: object, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    del corpus
    assert exclusion.drop_of_source is not None
    return exclusion.drop_of_source(source, kept)
