"""Leverage scores of cells: the diagonal of the hat matrix of an embedding, in two passes over it.

1. the products of the columns of the design, exact or of a random sketch of its rows;
2. the matrix that makes these columns orthonormal, without the directions in which nothing varies;
3. the squared length of every row times this matrix: the score.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Literal

import numpy as np

from curate.build.strategies import leverage_kernels as kernels
from curate.errors import SelectionError
from curate.threads import mapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Projection = Literal["exact", "clarkson-woodruff"]

BLOCK_CELLS = 1 << 16
#: Of Seurat: below so many times the rows of a sketch, the cells themselves are taken.
CELLS_PER_SKETCH_ROW = 1.5
#: Of Seurat: a sketch has at least so many times as many rows as there are dimensions.
SKETCH_ROWS_PER_DIMENSION = 1.1
#: Of Seurat: the error of a Johnson-Lindenstrauss projection.
JL_ERROR = 0.5
#: A value of float32 may be off by this share of it.
ROUNDING = 2.0**-23
#: Of the mean score; so that no cell is without any chance.
LEAST_SHARE = 1e-6


def leverage_scores(
    embedding: NDArray[np.float32],
    *,
    center: bool = True,
    sketch_size: int | None = None,
    keys: NDArray[np.uint64] | None = None,
    rng: np.random.Generator | None = None,
    block_cells: int = BLOCK_CELLS,
    n_threads: int | None = None,
) -> NDArray[np.float32]:
    """Return the leverage score of every cell, diag(A (AᵀA)⁺ Aᵀ).

    Parameters
    ----------
    embedding
        float32 [n_cells, d], memory-mapped or not.
    center
        A is the embedding with a column of ones, so that scores do not depend on where its origin lies: 1/N
        and the squared Mahalanobis distance from the mean over N - 1. Else A is the embedding as it is.
    sketch_size
        Take AᵀA of a CountSketch of so many rows, by `keys`; where A has more columns than a
        Johnson-Lindenstrauss projection of error 0.5 needs, the rows are projected so, by `rng`.
    block_cells, n_threads
        Of the work; by default the processors that there are. Threads change nothing, blocks the last bits.

    Returns
    -------
    float32 [n_cells]
        They sum to the rank of A. Directions that vary by no more than the rounding of float32 are not
        counted. None is below 1e-6 of their mean.

    Raises
    ------
    SelectionError
        When a value is not finite, or all cells are equal.

    Notes
    -----
    Memory: 4 bytes a cell, and for each thread a block of cells and d² (sketched: d x `sketch_size`) sums.

    References
    ----------
    Clarkson and Woodruff, Low-rank approximation and regression in input sparsity time, J. ACM 2017, doi
    10.1145/3019134. Li, Hastie and Church, Very sparse random projections, KDD 2006, doi
    10.1145/1150402.1150436.
    """
    n_threads = n_threads or os.cpu_count() or 1
    n_cells, n_dims = embedding.shape
    shift = embedding[:BLOCK_CELLS].mean(axis=0, dtype=np.float64) if center else np.zeros(n_dims)
    if sketch_size is None:
        gram = _gram(embedding, shift, int(center), block_cells, n_threads)
    else:
        if keys is None or rng is None:
            raise ValueError("a sketch is drawn by keys and a generator")
        gram = _sketched_gram(embedding, keys, shift, int(center), sketch_size, block_cells, n_threads)
    if not np.isfinite(gram).all():
        _refuse_not_finite(embedding)
    whitening = _whitening(gram, shift, n_cells, int(center))
    if sketch_size is not None and rng is not None:
        whitening = _projected(whitening, n_cells, rng)
    scores = np.empty(n_cells, dtype=np.float32)

    def score(block: slice) -> None:
        points = np.ascontiguousarray(embedding[block], dtype=np.float32)
        kernels.squared_lengths(points, shift, int(center), whitening, scores[block])

    for _ in mapped(score, _blocks(n_cells, block_cells), n_threads=n_threads):
        pass
    least = LEAST_SHARE * scores.mean(dtype=np.float64)
    return np.maximum(scores, np.float32(least), out=scores)


def sketch_rows(sketch_size: int, n_cells: int, n_dims: int) -> int | None:
    """Return how many rows a sketch has that is asked for with `sketch_size`, as in Seurat.

    None where there are so few cells that nothing is gained by one.
    """
    n_rows = max(sketch_size, math.ceil(SKETCH_ROWS_PER_DIMENSION * (n_dims + 1)))
    return None if n_cells < CELLS_PER_SKETCH_ROW * n_rows else n_rows


def jl_dimensions(n_cells: int, error: float = JL_ERROR) -> int:
    """Return how many dimensions keep the lengths of `n_cells` vectors within a share `error`.

    References
    ----------
    Dasgupta and Gupta, An elementary proof of a theorem of Johnson and Lindenstrauss, Random Structures and
    Algorithms 2003, doi 10.1002/rsa.10073.
    """
    return math.floor(4 * math.log(n_cells) / (error**2 / 2 - error**3 / 3))


def _blocks(n_cells: int, block_cells: int) -> Iterator[slice]:
    for start in range(0, n_cells, block_cells):
        yield slice(start, min(start + block_cells, n_cells))


def _gram(
    embedding: NDArray[np.float32], shift: NDArray[np.float64], n_ones: int, block_cells: int, n_threads: int
) -> NDArray[np.float64]:
    width = n_ones + shift.size

    def products(block: slice) -> NDArray[np.float64]:
        gram = np.zeros((width, width))
        kernels.add_gram(np.ascontiguousarray(embedding[block], dtype=np.float32), shift, n_ones, gram)
        return gram

    total = np.zeros((width, width))
    for gram in mapped(products, _blocks(embedding.shape[0], block_cells), n_threads=n_threads):
        total += gram
    return np.triu(total) + np.triu(total, 1).T


def _sketched_gram(
    embedding: NDArray[np.float32],
    keys: NDArray[np.uint64],
    shift: NDArray[np.float64],
    n_ones: int,
    n_rows: int,
    block_cells: int,
    n_threads: int,
) -> NDArray[np.float64]:
    # A block of a sketch is as large as a sketch: fewer and larger ones than of the cells alone.
    larger = max(block_cells, 8 * n_rows)

    def sketched(block: slice) -> NDArray[np.float64]:
        sketch = np.zeros((n_rows, n_ones + shift.size))
        points = np.ascontiguousarray(embedding[block], dtype=np.float32)
        kernels.add_count_sketch(points, keys[block], shift, n_ones, sketch)
        return sketch

    total = np.zeros((n_rows, n_ones + shift.size))
    for sketch in mapped(sketched, _blocks(embedding.shape[0], larger), n_threads=n_threads):
        total += sketch
    gram = np.zeros((total.shape[1], total.shape[1]))
    for column in range(total.shape[1]):
        # Not a matrix product: the order of BLAS' sums may depend on the number of threads.
        gram[column] = (total * total[:, column, None]).sum(axis=0)
    return gram


def _whitening(
    gram: NDArray[np.float64], shift: NDArray[np.float64], n_cells: int, n_ones: int
) -> NDArray[np.float64]:
    """Return W [width, rank] with W Wᵀ the inverse of `gram` where it has one."""
    from scipy.linalg import eigh
    from threadpoolctl import threadpool_limits

    width = np.sqrt(np.diag(gram))
    # How far rounding alone may move a column, as a share of its length.
    off = np.full(width.size, ROUNDING)
    with np.errstate(divide="ignore", invalid="ignore"):
        off[n_ones:] *= 1 + np.abs(shift) * math.sqrt(n_cells) / width[n_ones:]
    able = (width > 0) & (off < 0.5)
    if not able[n_ones:].any():
        raise SelectionError(f"all {n_cells:,} cells lie at one point of the embedding; use random instead")
    scale = width[able]
    with threadpool_limits(1):
        values, vectors = eigh(gram[np.ix_(able, able)] / np.outer(scale, scale))
    kept = values > scale.size * off[able].max() ** 2
    whitening = np.zeros((width.size, int(kept.sum())))
    whitening[able] = vectors[:, kept] / np.sqrt(values[kept]) / scale[:, None]
    return whitening


def _projected(whitening: NDArray[np.float64], n_cells: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return `whitening` with fewer columns, where lengths are kept by fewer: the work is in proportion."""
    from threadpoolctl import threadpool_limits

    rank, n_kept = whitening.shape[1], jl_dimensions(n_cells)
    if n_kept >= rank:
        return whitening
    sparsity = math.ceil(math.sqrt(n_kept))
    chances = [1 / (2 * sparsity), 1 - 1 / sparsity, 1 / (2 * sparsity)]
    signs = rng.choice([-1.0, 0.0, 1.0], size=(rank, n_kept), p=chances)
    with threadpool_limits(1):
        return np.ascontiguousarray(whitening @ signs) * math.sqrt(sparsity / n_kept)


def _refuse_not_finite(embedding: NDArray[np.float32]) -> None:
    for block in _blocks(embedding.shape[0], BLOCK_CELLS):
        finite = np.isfinite(embedding[block])
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            raise SelectionError(
                f"the embedding holds {embedding[block.start + row, column]} at row {block.start + row:,}, "
                f"dimension {column}; leverage needs finite numbers"
            )
    raise SelectionError("the sums of the embedding are beyond float64; divide it by a number")
