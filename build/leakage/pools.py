"""The cells of a source that may be drawn: all but those that the corpus or an evaluation set holds.

1. cells that the corpus holds: they would bring its validation and test cells into train;
2. cells that the build excludes for a reason that goes for sources too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from curate.build.exclusions import Exclusion, exclude
from curate.build.leakage.doubles import find_doubles, kept_doubles, what_it_takes
from curate.build.leakage.scan import METHOD_VERSION
from curate.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.manifests.document import ExclusionRecord
    from curate.sources.source import Source

CORPUS_OVERLAP = "corpus overlap"


@dataclass(frozen=True)
class Pool:
    """The cells of a source that may be drawn.

    Attributes
    ----------
    rows
        int64, ascending.
    exclusions
        How many cells of the source were left out, reason by reason; each names the source.
    was_compared
        Whether the source was compared with the corpus.
    """

    rows: NDArray[np.int64]
    exclusions: tuple[ExclusionRecord, ...]
    was_compared: bool

    def reasons(self) -> str:
        """Return "corpus overlap takes 1,200, …", for a message; empty when nothing was left out."""
        return ", ".join(
            f"{record.reason} takes {record.n_cells:,}" for record in self.exclusions if record.n_cells
        )


def pool_of(source: Source, exclusions: Sequence[Exclusion] = (), *, uncompared: bool = False) -> Pool:
    """Return the cells of a source that may be drawn.

    Whether the corpus holds its cells is looked for when it was not before, unless that takes long.

    Parameters
    ----------
    exclusions
        Those of the build; the ones without `drop_of_source` do not go for sources.
    uncompared
        Take a source that was not compared with the corpus as it is, where comparing takes long.

    Raises
    ------
    SourceError
        When the source was not compared with the corpus, and that takes long.
    CensusError, LeakageError
        When it cannot be compared.
    """
    doubles = kept_doubles(source)
    takes = None if doubles else what_it_takes(source)
    if takes is not None and takes.is_small:
        doubles = find_doubles(source)
    elif takes is not None and not uncompared:
        raise SourceError(
            f"source {source.name!r} was not compared with corpus {source.corpus.name!r}, whose validation "
            f"and test cells it may hold; {takes.sentence()}: run `curate corpus compare-source "
            f"{source.name}`, or take the source as it is with --allow-uncompared"
        )
    reasons = []
    if doubles is not None:
        by = {"source": source.name, "by": list(doubles.by), "method_version": METHOD_VERSION}
        reasons.append(Exclusion(CORPUS_OVERLAP, by, drop=doubles.rows))
    reasons += [
        Exclusion(
            each.reason,
            {"source": source.name, **each.parameters},
            drop=partial(_of_source, source, each),
        )
        for each in exclusions
        if each.drop_of_source is not None
    ]
    kept, records = exclude(source.corpus, np.ones(source.n_cells, np.bool_), reasons)
    return Pool(np.flatnonzero(kept), records, was_compared=doubles is not None)


def _of_source(
    source: Source, exclusion: Exclusion, corpus: object, kept: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    del corpus
    assert exclusion.drop_of_source is not None
    return exclusion.drop_of_source(source, kept)
