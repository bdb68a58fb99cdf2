"""Vendi score: how many unlike cells a set amounts to, from the eigenvalues of its similarities.

With the rows of X brought to length 1, the similarity of two cells is the cosine of their vectors, and
XXᵀ / n [n, n] has the same eigenvalues λ as the second moment XᵀX / n [d, d], but for zeros. The score is the
exponential of their entropy, exp(-Σ λ log λ): 1 for cells that all point the same way, d at most. The second
moment is a sum over cells, so that a stream of any number of them gives it exactly.

References
----------
Friedman & Dieng, The Vendi Score, TMLR 2023, arXiv 2210.02410. Pasarkar & Dieng, Cousins of the Vendi Score,
AISTATS 2024, arXiv 2310.12952, for orders other than 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.errors import EmbeddingError
from curate.threads import mapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

BLOCK_CELLS = 2**15
#: An eigenvalue below this share of the largest is rounding, and counts as zero.
ZERO = 1e-12


@dataclass(frozen=True)
class Spectrum:
    """What Vendi scores of every order are made of.

    Attributes
    ----------
    eigenvalues
        float64 [d], of the second moment of the rows at length 1, descending; they add up to 1.
    n_cells
        Rows in it.
    n_without_direction
        Rows of zeros, which have no cosine with anything and are left out.
    """

    eigenvalues: NDArray[np.float64]
    n_cells: int
    n_without_direction: int = 0


def spectrum(
    blocks: Iterable[NDArray[Any]], *, n_threads: int = 2, advance: Callable[[int], None] = lambda n: None
) -> Spectrum:
    """Add up the second moment of a stream of rows and return its eigenvalues.

    Parameters
    ----------
    blocks
        Numbers [n, d] each; where the stream is cut changes the result by rounding only.
    n_threads
        Changes no bit: blocks are added in their order.
    advance
        Called with the number of rows of each block that is done.

    Raises
    ------
    EmbeddingError
        When a value is not finite, or no row has a direction.

    Notes
    -----
    Memory: a block in 64 bits for each thread, and d² numbers for each.
    """
    from threadpoolctl import threadpool_limits

    total: NDArray[np.float64] | None = None
    n_cells = n_rows = 0
    # Blocks are what runs side by side: a product of several threads may add in another order.
    with threadpool_limits(1, user_api="blas"):
        for moment, n_directed, n in mapped(_second_moment, blocks, n_threads=n_threads):
            if total is None:
                total = np.zeros_like(moment)
            total += moment
            n_cells += n_directed
            n_rows += n
            advance(n)
        if total is None or n_cells == 0:
            raise EmbeddingError(f"none of {n_rows:,} cells has a direction, so that there is no Vendi score")
        # eigvalsh reads one triangle: make both say the same.
        values = np.linalg.eigvalsh((total + total.T) / (2 * n_cells))[::-1]
    return Spectrum(np.maximum(values, 0.0), n_cells=n_cells, n_without_direction=n_rows - n_cells)


def vendi_score(found: Spectrum, *, order: float = 1.0) -> float:
    """Return the Vendi score of order q: exp(log(Σ λ^q) / (1 - q)).

    Parameters
    ----------
    order
        q, from 0. 1: the limit, exp(-Σ λ log λ), the Vendi score as first defined. 0 counts directions
        however rare; larger orders give less to rare ones; inf: 1 / the largest λ.

    Returns
    -------
    From 1 to min(n_cells, d).
    """
    shares = found.eigenvalues / found.eigenvalues.sum()
    shares = shares[shares > ZERO * shares.max()]
    if order < 0 or np.isnan(order):
        raise ValueError(f"order {order} of a Vendi score; it is 0 or more")
    if np.isinf(order):
        return float(1.0 / shares.max())
    if order == 1:
        return float(np.exp(-(shares * np.log(shares)).sum()))
    return float(np.exp(np.log((shares**order).sum()) / (1 - order)))


def blocks_of(
    values: NDArray[np.float32], rows: NDArray[np.int64] | None, *, block_cells: int = BLOCK_CELLS
) -> Iterator[NDArray[np.float32]]:
    """Yield some rows of an array, or all, in blocks.

    Parameters
    ----------
    values
        [n_cells, d], memory-mapped or not.
    rows
        int64 [n] ascending; None for all.
    """
    n = len(values) if rows is None else rows.size
    for start in range(0, n, block_cells):
        part = slice(start, min(start + block_cells, n))
        yield values[part] if rows is None else values[rows[part]]


def _second_moment(block: NDArray[Any]) -> tuple[NDArray[np.float64], int, int]:
    """Return Σ xxᵀ of the rows at length 1, the rows that have one, and all rows."""
    rows = block.astype(np.float64)
    squares = np.einsum("ij,ij->i", rows, rows)
    if not np.isfinite(squares).all():
        n = int((~np.isfinite(rows)).any(axis=1).sum())
        raise EmbeddingError(
            f"{n:,} of {len(rows):,} cells of a block have a value that is not finite; "
            "check the embedding (`curate embed` writes finite ones)"
        )
    directed = squares > 0
    rows /= np.sqrt(np.where(directed, squares, 1.0))[:, None]
    return rows.T @ rows, int(directed.sum()), len(rows)
