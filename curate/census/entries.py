"""The non-zeros of cells as they are stored: for what needs no matrix, such as sums over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.census.counts import coordinates

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    import tiledbsoma as soma
    from numpy.typing import NDArray

    from curate.census.store import Store

_DENSE_CELLS, _DENSE_GENES = 0.3, 0.02


@dataclass(frozen=True)
class Entries:
    """The non-zeros of a layer; threads may read from one at a time each."""

    store: Store
    array: soma.SparseNDArray
    what: str
    genes: slice | pa.Array

    @classmethod
    def of(
        cls, store: Store, array: soma.SparseNDArray, var_joinids: NDArray[np.int64] | None, *, what: str
    ) -> Entries:
        """Take the non-zeros of all genes, or of some and perhaps others between them."""
        genes = np.arange(array.shape[1]) if var_joinids is None else np.sort(var_joinids)
        return cls(store, array, what, coordinates(genes, dense=_DENSE_GENES))

    def read(
        self, joinids: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]]:
        """Yield joinids of cells, joinids of genes and counts, as many of each, in the order of the store.

        Cells and genes that were not asked for may be among them, where reading them is cheaper than not.

        Parameters
        ----------
        joinids
            int64 [n] ascending, at least one.

        Raises
        ------
        CensusError
            When reading fails.
        """
        with self.store.reading(self.what):
            asked = coordinates(joinids, dense=_DENSE_CELLS), self.genes
            for table in self.array.read(asked).tables():
                for batch in table.to_batches():
                    rows, columns, values = (column.to_numpy() for column in batch.columns)
                    yield rows, columns, values
