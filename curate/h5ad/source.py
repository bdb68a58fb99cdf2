"""An h5ad file as a source of cells: its raw counts, checked, in blocks; its obs and var."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from curate.errors import SourceError
from curate.h5ad.frames import read_frame, read_text
from curate.h5ad.matrix import Matrix, flaw, open_matrix, with_int64_pointers
from curate.nearest import nearest
from curate.progress import progress
from curate.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    import polars as pl
    import scipy.sparse as sp
    from numpy.typing import NDArray

BLOCK_CELLS = 4_096
_RAW_NAMES = ("raw.X", "raw/X", "raw")


class H5adSource:
    """The cells of one h5ad file: raw integer counts, obs and var.

    Memory: obs and var, 8 bytes a cell for index pointers, and one block of at most 2**23 stored values
    (unless a single cell holds more). The matrix is never loaded whole.

    Attributes
    ----------
    path
        The file.
    layer
        Where the counts stand: "X", "raw.X", or the name of a layer.
    obs_names, var_names
        Text [n_cells] and [n_genes].
    obs, var
        Their columns; var is that of the counts (raw.var for raw.X). Categoricals are Categorical.
    """

    path: Path
    layer: str
    obs_names: pl.Series
    var_names: pl.Series
    obs: pl.DataFrame
    var: pl.DataFrame

    @classmethod
    def open(cls, path: Path | str, *, layer: str | None = None, check: bool = True) -> H5adSource:
        """Open a file and find its counts.

        Parameters
        ----------
        layer
            "X", "raw.X" or the name of a layer. By default the first of X and raw.X that holds counts.
        check
            Look at every stored value; without it a named layer is taken at its word (it was checked before).

        Raises
        ------
        SourceError
            When the file cannot be read, has no cells, has two cells of one name, or when no matrix looked at
            holds raw counts: integers, none negative, not all zero.
        """
        source = cls(Path(path))
        try:
            source._open(layer, check=check)
        except BaseException:
            source.close()
            raise
        return source

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: h5py.File | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.obs_names)

    @property
    def n_genes(self) -> int:
        """Number of genes of the counts."""
        return len(self.var_names)

    @property
    def n_values(self) -> int:
        """Number of values that the matrix stores; of a dense one, all."""
        return self._matrix.n_values

    @property
    def is_dense(self) -> bool:
        """Whether the matrix stores every value, zeros too."""
        return self._matrix.n_values == self.n_cells * self.n_genes

    def blocks(
        self, block_cells: int = BLOCK_CELLS, *, cells: NDArray[np.bool_] | None = None
    ) -> Iterator[sp.csr_array]:
        """Yield the counts in the order of obs.

        Parameters
        ----------
        cells
            bool [n_cells], which cells to yield; all by default.

        Yields
        ------
        csr_array
            float32 [b, n_genes] with b at most `block_cells`, sorted, without explicit zeros, int64 pointers.

        Raises
        ------
        SourceError
            When the file turns out to be damaged.
        """
        start = 0
        while start < self.n_cells:
            with _reading(self.path):
                end = self._matrix.end(start, block_cells)
                wanted = slice(None) if cells is None else np.flatnonzero(cells[start:end])
                is_wanted = cells is None or cells[start:end].any()
                block = self._matrix.rows(start, end)[wanted] if is_wanted else None
            if block is not None:
                yield with_int64_pointers(block)
            start = end

    def vectors(self, key: str, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return some rows of a matrix of obsm, float32 [n, d].

        Parameters
        ----------
        rows
            int64 [n] ascending.

        Raises
        ------
        SourceError
            When obsm has no such matrix, naming the nearest, or it holds no numbers.
        """
        with _reading(self.path):
            held = self._h5.get("obsm", {})
            if key not in held:
                raise SourceError(f"{self.path} has no obsm {key!r}; {nearest(key, held)}")
            node = held[key]
            if not isinstance(node, h5py.Dataset) or node.ndim != 2 or node.dtype.kind not in "fiu":
                raise SourceError(f"{self.path}: obsm {key!r} is no matrix of numbers; name one that is")
            values: NDArray[np.float32] = node[rows].astype(np.float32)
            return values

    def uns_text(self, key: str) -> str:
        """Return a text of uns ("key: value; …" for a group of texts), "" where there is none."""
        with _reading(self.path):
            return read_text(self._h5.get(f"uns/{key}"))

    def close(self) -> None:
        """Close the file and remove what was written aside."""
        if self._file is not None:
            self._file.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _h5(self) -> h5py.File:
        assert self._file is not None
        return self._file

    def _open(self, layer: str | None, *, check: bool) -> None:
        if not self.path.is_file():
            raise SourceError(f"{self.path} is not there; name an h5ad file")
        with _reading(self.path):
            self._file = h5py.File(self.path, "r")
            if "obs" not in self._file or "var" not in self._file:
                raise SourceError(f"{self.path} has no obs or no var; it is not an h5ad file")
            self.obs_names, self.obs = read_frame(self._file["obs"], self._file.get("uns"))
            _refuse_duplicates(self.path, self.obs_names)
            self.layer, self._matrix = self._find_counts(layer, check=check)
            var = self._h5[_raw_var(self._h5) if self.layer == "raw.X" else "var"]
            self.var_names, self.var = read_frame(var)
            if self._matrix.shape != (self.n_cells, self.n_genes):
                n_rows, n_columns = self._matrix.shape
                raise SourceError(
                    f"{self.path}: {self.layer} has {n_rows} rows and {n_columns} columns, obs "
                    f"{self.n_cells} cells and var {self.n_genes} genes; write the file again"
                )

    def _find_counts(self, layer: str | None, *, check: bool) -> tuple[str, Matrix]:
        flaws = []
        for name, key in self._candidates(layer).items():
            matrix = self._matrix_at(key)
            why_not = self._flaw(matrix) if check else None
            if why_not is None:
                return name, matrix
            flaws.append(f"{name} has {why_not}")
        looked = "; ".join(flaws) or "it has neither X nor raw.X"
        raise SourceError(
            f"{self.path} holds no raw integer counts where looked for: {looked}. {self._elsewhere(layer)}"
        )

    def _elsewhere(self, looked_at: str | None) -> str:
        """Say which other matrices hold counts."""
        others = {name: f"layers/{name}" for name in self._h5.get("layers", {}) if name != looked_at}
        if looked_at is not None:
            others = self._candidates(None) | others
            others.pop(looked_at, None)
        with_counts = [name for name, key in others.items() if self._flaw(self._matrix_at(key)) is None]
        if with_counts:
            return f"Counts are in {', '.join(with_counts)}: take it with --layer {with_counts[0]}"
        looked = f"Nor are there any in {', '.join(others)}" if others else "It has no other layers"
        return f"{looked}; get the raw file"

    def _candidates(self, layer: str | None) -> dict[str, str]:
        """Return the matrices to look at, by name, with their keys in the file."""
        layers = self._h5.get("layers", {})
        keys = {"X": "X", "raw.X": "raw/X" if "raw/X" in self._h5 else "raw.X"}
        there = {name: key for name, key in keys.items() if _is_matrix(self._h5.get(key))}
        if layer is None:
            return there
        if layer in layers:
            return {layer: f"layers/{layer}"}
        name = "raw.X" if layer in _RAW_NAMES else layer
        if name in there:
            return {name: there[name]}
        raise SourceError(f"{self.path} has no layer {layer!r}; {nearest(layer, [*there, *layers])}")

    def _matrix_at(self, key: str) -> Matrix:
        return open_matrix(self._h5[key], self._make_scratch)

    def _flaw(self, matrix: Matrix) -> str | None:
        with progress(f"Checking {self.path.name}", matrix.n_values, unit="values") as advance:
            return flaw(matrix, advance)

    def _make_scratch(self) -> Path:
        self._scratch = tempfile.TemporaryDirectory(prefix="curate-h5ad-")
        return Path(self._scratch.name)


def _is_matrix(node: h5py.Group | h5py.Dataset | None) -> bool:
    # A missing matrix is absent in one version of anndata and an empty scalar in another.
    return isinstance(node, h5py.Group) or (isinstance(node, h5py.Dataset) and node.shape not in ((), None))


def _raw_var(file: h5py.File) -> str:
    return "raw/var" if "raw/var" in file else "raw.var"


def _refuse_duplicates(path: Path, names: pl.Series) -> None:
    if names.is_empty():
        raise SourceError(f"{path} has no cells")
    n_extra = len(names) - names.n_unique()
    if n_extra:
        example = names.filter(names.is_duplicated())[0]
        raise SourceError(
            f"{path} has {counted(n_extra, 'duplicate cell')} among {len(names):,}: obs names that stand "
            f"more than once, as {example!r} does; drop the copies, or make the names unique if the cells "
            "differ"
        )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say plainly that a file could not be read; errors of writing elsewhere stay what they are."""
    try:
        yield
    except (OSError, KeyError, RuntimeError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise SourceError(f"{path} could not be read as h5ad: {reason}; is it complete?") from error
