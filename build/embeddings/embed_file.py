"""An embedding that was made elsewhere, taken into a corpus: from a file or from the Census."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from curate.atomic import atomic_folder
from curate.build.embeddings.embedding import (
    HEADER_FILE,
    VALUES_FILE,
    Embedding,
    EmbeddingDocument,
    check_name,
    embedding_id,
    software,
    write_values,
)
from curate.documents import file_digest
from curate.errors import EmbeddingError
from curate.progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.corpus import Corpus


def import_embedding(corpus: Corpus, file: Path, *, name: str) -> Embedding:
    """Copy an embedding made elsewhere, a .npy file with one row a cell in the order of the corpus.

    Raises
    ------
    EmbeddingError
        When the file is no .npy of numbers [n_cells, d], holds a value that is not finite or too large for
        float32, or the name is taken.
    """
    path = _free_path(corpus, name)
    values = _read_npy(file, corpus)
    step = max(1, (1 << 22) // values.shape[1])
    blocks = (_float32(values[start : start + step], first=start) for start in range(0, corpus.n_cells, step))
    _write(path, corpus, blocks, values.shape[1], model="file", parameters={"file": file.name})
    return Embedding.open(path, corpus)


def import_census_embedding(corpus: Corpus, hosted: str, *, name: str) -> Embedding:
    """Copy an embedding that the Census of a corpus carries in obsm or hosts beside it, such as "scvi".

    Memory is bounded by a block of 65,536 cells, and 8 bytes a cell for the joinids.

    Raises
    ------
    CensusError
        When there is none of that name, it cannot be read, or a cell has none.
    EmbeddingError
        When a value is not finite, or the name is taken.
    """
    path = _free_path(corpus, name)
    with corpus.open_census() as census:
        d, blocks = census.read_embedding(corpus.header.organism, hosted, corpus.joinids())
        parameters: dict[str, int | float | str] = {"census": hosted, "release": census.release}
        _write(path, corpus, blocks, d, model="census", parameters=parameters)
    return Embedding.open(path, corpus)


def _free_path(corpus: Corpus, name: str) -> Path:
    check_name(name)
    path = corpus.embeddings_path / name
    if path.exists():
        raise EmbeddingError(f"corpus {corpus.name} has an embedding {name!r}; give this one another name")
    return path


def _write(
    path: Path,
    corpus: Corpus,
    blocks: Iterable[NDArray[np.float32]],
    n_components: int,
    *,
    model: Literal["file", "census"],
    parameters: dict[str, int | float | str],
) -> None:
    with atomic_folder(path) as folder:
        with progress("Copying", corpus.n_cells) as advance:
            write_values(folder / VALUES_FILE, _watched(blocks, advance), (corpus.n_cells, n_components))
        sha256 = file_digest(folder / VALUES_FILE)
        EmbeddingDocument(
            id=embedding_id(corpus.id, model=model, made_from={"sha256": sha256}),
            name=path.name,
            corpus=corpus.id,
            model=model,
            parameters=parameters,
            n_cells=corpus.n_cells,
            n_components=n_components,
            sha256=sha256,
            created=datetime.now(UTC),
            software=software(),
        ).save(folder / HEADER_FILE)


def _watched(
    blocks: Iterable[NDArray[np.float32]], advance: Callable[[int], None]
) -> Iterator[NDArray[np.float32]]:
    for block in blocks:
        yield block
        advance(block.shape[0])


def _float32(values: NDArray[Any], *, first: int) -> NDArray[np.float32]:
    """Return values as float32, refusing those whose squared distances it cannot hold.

    Parameters
    ----------
    first
        The number of their first row.
    """
    most = math.sqrt(np.finfo(np.float32).max / (4 * values.shape[1]))
    if (is_beyond := np.isfinite(values) & (np.abs(values) > most)).any():
        row, column = np.argwhere(is_beyond)[0]
        raise EmbeddingError(
            f"{values[row, column]:g} at row {first + row}, dimension {column}: distances between such cells "
            f"are beyond float32; scale the values to less than {most:.1g}"
        )
    return np.asarray(values, dtype=np.float32)


def _read_npy(file: Path, corpus: Corpus) -> NDArray[Any]:
    try:
        values: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise EmbeddingError(f"{file} cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError):
        # What numpy says advises to unpickle.
        raise EmbeddingError(f"{file} is not a .npy file of numbers, or it is cut short") from None
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in "fiu":
        raise EmbeddingError(f"{file} holds no matrix of numbers; give a .npy file [n_cells, n_components]")
    if values.shape[0] != corpus.n_cells or values.shape[1] == 0:
        raise EmbeddingError(
            f"{file} has shape {values.shape}, corpus {corpus.name} has {corpus.n_cells:,} cells; "
            "give one row a cell, in the order of the corpus"
        )
    return values
