"""The counts of a corpus' cells, from anywhere: in this process or in a worker on another machine."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from curate.census import Census
from curate.memory import keep_memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from curate.census import CountsBlock
    from curate.corpus import Corpus


@dataclass(frozen=True)
class Place:
    """Where a Census is, and how to reach it."""

    release: str
    uri: str
    region: str | None
    endpoint: str | None
    anonymous: bool


@dataclass(frozen=True)
class Counts:
    """The counts of the genes of a corpus, in blocks of cells, wherever the Census can be reached."""

    place: Place
    organism: str
    var_joinids: NDArray[np.int64]
    block_cells: int

    @property
    def n_genes(self) -> int:
        """Number of genes of the corpus."""
        return self.var_joinids.size

    def blocks(
        self, runs: Sequence[NDArray[np.int64]], genes: NDArray[np.int64] | None = None
    ) -> Iterator[CountsBlock]:
        """Yield blocks of some cells, and of some genes or of all.

        Totals are over all genes of the corpus.

        Parameters
        ----------
        runs
            The joinids of the cells, each array read by itself: nothing between two of them is.
        """
        wanted = self.var_joinids if genes is None else self.var_joinids[genes]
        for joinids in runs:
            with _OPENING:
                blocks = _opened(self.place).read_counts(
                    self.organism,
                    joinids,
                    var_joinids=wanted,
                    totals_over=self.var_joinids,
                    block_cells=self.block_cells,
                )
            yield from blocks

    def entries(
        self, runs: Sequence[NDArray[np.int64]]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]]:
        """Yield joinids of cells, joinids of genes and counts, in the order of the store.

        Cells and genes that were not asked for may be among them.
        """
        with _OPENING:
            entries = _opened(self.place).entries(self.organism, var_joinids=self.var_joinids)
        for joinids in runs:
            yield from entries.read(joinids)

    @cached_property
    def columns(self) -> NDArray[np.int32]:
        """int32, up to the last gene wanted, by the joinid of a gene: its number in the corpus, else -1."""
        columns = np.full(int(self.var_joinids.max()) + 1, -1, np.int32)
        columns[self.var_joinids] = np.arange(self.n_genes, dtype=np.int32)
        return columns


@contextmanager
def corpus_counts(corpus: Corpus, *, block_cells: int) -> Iterator[Counts]:
    """Open the counts of a corpus, and close them.

    Raises
    ------
    CensusError, CorpusError
        When the Census cannot be opened, or is another release.
    """
    keep_memory()
    record = corpus.header.census
    with corpus.open_census() as census:
        place = Place(record.release, census.uri, record.region, record.endpoint, record.anonymous)
        _OPEN[place] = census
        try:
            yield Counts(place, corpus.header.organism, corpus.var_joinids(), block_cells)
        finally:
            del _OPEN[place]


#: What this process has open. A worker keeps it open for as long as it lives.
_OPEN: dict[Place, Census] = {}
_OPENING = threading.Lock()


def _opened(place: Place) -> Census:
    if place not in _OPEN:
        keep_memory()
        _OPEN[place] = Census.open(
            place.release,
            uri=place.uri,
            region=place.region,
            endpoint=place.endpoint,
            anonymous=place.anonymous,
        )
    return _OPEN[place]
