"""The cells of a source that may be drawn: all but those of the corpus, another source or an evaluation set.

1. cells that the corpus holds: they would bring its validation and test cells into train;
2. cells of the sources that are named before it: they would be drawn twice;
3. where perturbations are balanced, cells of which nothing says how they are perturbed;
4. cells that the build excludes for a reason that goes for sources too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from curate.build.exclusions import Exclusion, exclude
from curate.build.leakage.doubles import find_doubles, kept_doubles, what_it_takes
from curate.build.leakage.scan import METHOD_VERSION
from curate.build.leakage.shared import shared_when_small
from curate.errors import SourceError
from curate.sources.source import PERTURBATION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from curate.build.leakage.doubles import Doubles
    from curate.manifests.document import ExclusionRecord
    from curate.sources.source import Source

CORPUS_OVERLAP = "corpus overlap"
SOURCE_OVERLAP = "source overlap"
NO_PERTURBATION = "no perturbation"


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
        Whether the content of the source was compared with that of the corpus.
    not_compared_with
        The sources named before it whose content it was not compared with.
    """

    rows: NDArray[np.int64]
    exclusions: tuple[ExclusionRecord, ...]
    was_compared: bool
    not_compared_with: tuple[str, ...] = ()

    def reasons(self) -> str:
        """Return "corpus overlap takes 1,200, …", for a message; empty when nothing was left out."""
        return ", ".join(
            f"{record.reason} takes {record.n_cells:,}" for record in self.exclusions if record.n_cells
        )


def pool_of(
    source: Source,
    exclusions: Sequence[Exclusion] = (),
    *,
    before: Sequence[Source] = (),
    uncompared: bool = False,
    assigned: bool = False,
) -> Pool:
    """Return the cells of a source that may be drawn.

    Whether the corpus or a source before it holds its cells is looked for when it was not before, unless that
    takes long.

    Parameters
    ----------
    exclusions
        Those of the build; the ones without `drop_of_source` do not go for sources.
    before
        Sources that cells are drawn from too; those that both hold are left to them.
    uncompared
        Take a source that was not compared with the corpus, or those before it, as it is, where comparing
        takes long or their content cannot be compared.
    assigned
        Leave out cells of which nothing says how they are perturbed.

    Raises
    ------
    SourceError
        When the source was not compared with the corpus or those before it, and that takes long; when
        neither by equal counts nor by near copies could be.
    CensusError
        When the counts of the corpus cannot be read.
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
    return without_known(source, doubles, exclusions, before=before, uncompared=uncompared, assigned=assigned)


def without_known(
    source: Source,
    doubles: Doubles | None,
    exclusions: Sequence[Exclusion] = (),
    *,
    before: Sequence[Source] = (),
    uncompared: bool = False,
    assigned: bool = False,
) -> Pool:
    """Return the cells of a source that are left, as `pool_of`, without looking for it in the corpus.

    Parameters
    ----------
    doubles
        Those of its cells that the corpus holds; None where that is not known.

    Raises
    ------
    As `pool_of`.
    """
    reasons = []
    if doubles is not None:
        made = doubles.made
        if not made.is_by_content and not uncompared:
            raise SourceError(
                f"source {source.name!r} could not be compared by content with corpus "
                f"{source.corpus.name!r}: {made.reasons}; nothing says that it holds none of its validation "
                "and test cells; take the source as it is with --allow-uncompared"
            )
        by = {"source": source.name, **made.record(), "method_version": METHOD_VERSION}
        reasons.append(Exclusion(CORPUS_OVERLAP, by, drop=doubles.rows))
    not_compared_with = []
    for other in before:
        shared, why_not = shared_when_small(source, other)
        if shared is None and not uncompared:
            raise SourceError(f"{why_not}, or take both as they are with --allow-uncompared")
        if shared is None:
            not_compared_with.append(other.name)
            continue
        made = shared.made
        if not made.is_by_content:
            if not uncompared:
                raise SourceError(
                    f"source {source.name!r} could not be compared by content with source {other.name!r}: "
                    f"{made.reasons}; nothing says that they share no cell; take both as they are with "
                    "--allow-uncompared"
                )
            not_compared_with.append(other.name)
        by = {
            "source": source.name,
            "with": other.name,
            "with_id": other.id,
            **made.record(),
            "method_version": METHOD_VERSION,
        }
        reasons.append(Exclusion(SOURCE_OVERLAP, by, drop=shared.rows[source.id]))
    if assigned and (values := sorted(source.header.perturbation.unassigned)):
        labels = source.columns([PERTURBATION])[PERTURBATION].cast(str)
        by = {"source": source.name, "values": values}
        reasons.append(Exclusion(NO_PERTURBATION, by, drop=labels.is_in(values).to_numpy()))
    reasons += [
        Exclusion(
            each.reason,
            {"source": source.name, **each.parameters},
            drop=partial(_of_source, source, each),
            noted=partial(_noted, source, each),
        )
        for each in exclusions
        if each.drop_of_source is not None
    ]
    kept, records = exclude(source.corpus, np.ones(source.n_cells, np.bool_), reasons)
    return Pool(
        np.flatnonzero(kept),
        records,
        was_compared=doubles is not None and doubles.made.is_by_content,
        not_compared_with=tuple(not_compared_with),
    )


def _of_source(
    source: Source, exclusion: Exclusion, corpus: object, kept: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    del corpus
    assert exclusion.drop_of_source is not None
    return exclusion.drop_of_source(source, kept)


def _noted(source: Source, exclusion: Exclusion, of: Source | None) -> Mapping[str, object]:
    del of
    return exclusion.noted(source) if exclusion.noted else {}
