"""The counts of a corpus' cells as a stream of blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import scipy.sparse as sp
    from numpy.typing import NDArray

    from curate.census import Census
    from curate.corpus import Corpus


@dataclass(frozen=True)
class Counts:
    """The counts of a corpus' cells, in blocks, as often as they are asked for."""

    corpus: Corpus
    census: Census
    block_cells: int

    def blocks(
        self, description: str, genes: NDArray[np.int64] | None = None
    ) -> Iterator[tuple[slice, sp.csr_array]]:
        """Yield the rows of each block and their counts [n, n_genes], of some genes or of all."""
        joinids, var_joinids = self.corpus.joinids(), self.corpus.var_joinids()
        if genes is not None:
            var_joinids = var_joinids[genes]
        with progress(description, joinids.size) as advance:
            for block in self.census.read_counts(
                self.corpus.header.organism, joinids, var_joinids=var_joinids, block_cells=self.block_cells
            ):
                yield slice(block.start, block.start + block.joinids.size), block.counts
                advance(block.joinids.size)
