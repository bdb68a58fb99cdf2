"""What integration is normalised by: an embedding of batches alone, and one of types alone.

Rows of an embedding are put in the places of one another, so that its points stay what they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def shuffled_within(
    vectors: NDArray[np.floating], groups: NDArray[np.int64], *, rng: np.random.Generator
) -> NDArray[np.floating]:
    """Return the vectors with those of the cells of each group in any order.

    Parameters
    ----------
    vectors
        [n_cells, d].
    groups
        int64 [n_cells].
    """
    places = np.argsort(groups, kind="stable")
    drawn = rng.permutation(groups.size)
    order = np.empty(groups.size, np.int64)
    order[places] = drawn[np.argsort(groups[drawn], kind="stable")]
    return vectors[order]
