"""Cells that are not to be chosen: an ordered list of reasons, each counted on what those before it left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curate.manifests.document import ExclusionRecord

if TYPE_CHECKING:
    from curate.corpus import Corpus
    from curate.sources.source import Source

Mask = NDArray[np.bool_]
Drop = Callable[["Corpus", Mask], Mask]
DropOfSource = Callable[["Source", Mask], Mask]


@dataclass(frozen=True)
class Exclusion:
    """A reason to leave cells out.

    Attributes
    ----------
    reason, parameters
        As the manifest records them; the parameters must be what JSON knows.
    drop
        bool [n_cells of the corpus], true for the cells to leave out; or ``(corpus, kept) -> mask``, asked
        when its turn comes, where `kept` [n_cells] are the cells that the reasons before it left. What it
        says about other cells does not matter.
    drop_of_source
        The same of the cells of a source that subsets are spiked with; None when the reason is one of the
        corpus alone.
    label
        What messages call it, where the parameters would tell a person nothing; not recorded.
    noted
        What became known when it had its turn, of the corpus (None) or a source: recorded beside the
        parameters.
    untold
        Cells of an evaluation set that could not be told, of how many; known when it had its turn, and not
        recorded.
    is_last
        Its turn comes after those that look at each cell by itself, such as the ones of a task: of like
        cells, one that may not be chosen must not stand for the others.
    """

    reason: str
    parameters: Mapping[str, object]
    drop: Mask | Drop
    drop_of_source: DropOfSource | None = None
    label: str = ""
    is_last: bool = False
    noted: Callable[[Source | None], Mapping[str, object]] | None = None
    untold: Callable[[], tuple[int, int]] | None = None

    @property
    def told(self) -> str:
        """What messages call it: "min_counts 500 raw_sum"."""
        values = (str(value) for value in self.parameters.values() if value is not None)
        return self.label or " ".join([self.reason, *values])


def exclude(
    corpus: Corpus, kept: Mask, exclusions: Sequence[Exclusion]
) -> tuple[Mask, tuple[ExclusionRecord, ...]]:
    """Apply exclusions one after the other.

    Parameters
    ----------
    kept
        bool [n_cells], the cells to begin with.

    Returns
    -------
    The cells that are left, bool [n_cells], and how many each reason took that none before it had taken.
    """
    records = []
    for exclusion in exclusions:
        dropped = exclusion.drop(corpus, kept) if callable(exclusion.drop) else exclusion.drop
        taken = kept & dropped
        kept = kept & ~taken
        records.append(
            ExclusionRecord(
                reason=exclusion.reason,
                n_cells=int(taken.sum()),
                parameters={**exclusion.parameters, **(exclusion.noted(None) if exclusion.noted else {})},
            )
        )
    return kept, tuple(records)


def counted_reasons(exclusions: Sequence[Exclusion], records: Sequence[ExclusionRecord]) -> str:
    """Return "min_counts 500 takes 1,200 cells, …": what each reason took that took any, for a message."""
    took = [
        f"{exclusion.told} takes {record.n_cells:,}"
        for exclusion, record in zip(exclusions, records, strict=True)
        if record.n_cells
    ]
    return ", ".join(took)
