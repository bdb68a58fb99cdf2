"""An embedding that was made elsewhere, taken into a corpus."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.atomic import atomic_folder
from curate.build.embedding import (
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

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.corpus import Corpus


def import_embedding(corpus: Corpus, file: Path, *, name: str) -> Embedding:
    """Copy an embedding made elsewhere, a .npy file with one row a cell in the order of the corpus.

    Raises
    ------
    EmbeddingError
        When the file is no .npy of numbers [n_cells, d], holds a value that is not finite, or the name is
        taken.
    """
    check_name(name)
    path = corpus.embeddings_path / name
    if path.exists():
        raise EmbeddingError(f"corpus {corpus.name} has an embedding {name!r}; give this one another name")
    values = _read_npy(file, corpus)
    step = max(1, (1 << 22) // values.shape[1])
    blocks = (
        np.asarray(values[start : start + step], dtype=np.float32) for start in range(0, corpus.n_cells, step)
    )
    with atomic_folder(path) as folder:
        write_values(folder / VALUES_FILE, blocks, (corpus.n_cells, values.shape[1]))
        sha256 = file_digest(folder / VALUES_FILE)
        EmbeddingDocument(
            id=embedding_id(corpus.id, model="file", made_from={"sha256": sha256}),
            name=name,
            corpus=corpus.id,
            model="file",
            parameters={"file": file.name},
            n_cells=corpus.n_cells,
            n_components=values.shape[1],
            sha256=sha256,
            created=datetime.now(UTC),
            software=software(),
        ).save(folder / HEADER_FILE)
    return Embedding.open(path, corpus)


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
