"""The boxes that were seen, of several side lengths, to be found by hash: see `number_keys`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.build.covering.number_kernels import number_boxes, number_keys, renumber

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.build.covering.plan import Plan


class Tables:
    """One table a side, each with room for as many boxes.

    Attributes
    ----------
    n_keys
        int64 [n_sides]: boxes of each side; above the room where they did not fit.
    """

    def __init__(self, n_sides: int, room: int, n_words: int) -> None:
        self.room = room
        self.n_keys = np.zeros(n_sides, dtype=np.int64)
        self.slots = np.zeros((n_sides, 1 << (2 * room).bit_length()), dtype=np.int32)
        self.keys = np.empty((n_sides, max(room, 1), n_words), dtype=np.uint64)

    @property
    def is_full(self) -> bool:
        """Whether a side had more boxes than there is room."""
        return bool((self.n_keys > self.room).any())

    def number(
        self,
        points: NDArray[np.float32],
        rows: NDArray[np.int64],
        first: int,
        last: int,
        plan: Plan,
        boxes: NDArray[np.int32],
    ) -> list[NDArray[np.int64]]:
        """Number the boxes of some rows, and return those in doubt, for each side."""
        n_sides = self.n_keys.size
        in_doubt = np.empty((n_sides, last - first), dtype=np.int64)  # only what is written takes memory
        n_in_doubt = np.zeros(n_sides, dtype=np.int64)
        number_boxes(
            points, rows, first, last, plan, self.slots, self.keys, self.n_keys, boxes, in_doubt, n_in_doubt
        )
        return [each[:n].copy() for each, n in zip(in_doubt, n_in_doubt, strict=True)]

    def add(self, other: Tables, side: int, boxes: NDArray[np.int32]) -> None:
        """Enter the boxes of a side of other tables into the only one here; give `boxes` its numbers."""
        n = int(other.n_keys[side])
        if n > other.room:
            self.n_keys[0] = self.room + 1
        if self.is_full:
            return
        numbers, mixed = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.uint64)
        wanted, none = np.ascontiguousarray(other.keys[side, :n].T), np.zeros(n, dtype=np.int32)
        self.n_keys[0] = number_keys(
            wanted, n, none, self.slots[0], self.keys[0], self.n_keys[0], mixed, numbers
        )
        if not self.is_full:
            renumber(boxes, numbers)
