"""Some rows of an embedding as directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.build.dedup.kernels import to_units
from curate.errors import SelectionError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Cells:
    """The cells to thin; a place is a number among them.

    Attributes
    ----------
    values
        float32 [n_corpus, d], memory-mapped or not.
    rows
        int64 [n], the row of each cell in `values`.
    keys
        uint64 [n], which order the cells.
    """

    values: NDArray[np.float32]
    rows: NDArray[np.int64]
    keys: NDArray[np.uint64]

    @property
    def n(self) -> int:
        """Number of cells."""
        return self.rows.size

    def units(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return vectors scaled to length 1, float32 [len(places), d]; those of length 0 stay so.

        Raises
        ------
        SelectionError
            When one is not finite.
        """
        units = np.array(self.values[self.rows[places]], dtype=np.float32)
        n_strange = to_units(units)
        if n_strange:
            raise SelectionError(
                f"{n_strange:,} of {len(units):,} vectors looked at hold NaN or infinite values; make the "
                "embedding again with `curate embed`"
            )
        return units

    def by_key(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return places in the order of their keys, equal keys by row."""
        return places[np.lexsort((self.rows[places], self.keys[places]))]
