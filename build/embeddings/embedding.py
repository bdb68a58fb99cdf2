"""An embedding of a corpus on disk: one vector a cell, and what made it.

::

    corpora/<corpus>/embeddings/<name>/
        embedding.json     what it is: corpus, model, parameters, explained variance, sha256
        embedding.npy      float32 [n_cells, n_components], rows in the order of the corpus
        model.safetensors  the fitted model (pca); absent for an imported embedding
        genes.parquet      the genes of the model, in its order

Made by `curate.build.embeddings.embed.embed`, by `embed_trained.embed_trained` from a trained model, or taken
over from elsewhere (`embed_file`).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from pydantic import ValidationError

from curate import __version__
from curate.documents import Document, canonical_digest, file_digest
from curate.errors import EmbeddingError
from curate.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from curate.corpus import Corpus

FORMAT: Final = 1
HEADER_FILE = "embedding.json"
VALUES_FILE = "embedding.npy"
MODEL_FILE = "model.safetensors"
GENES_FILE = "genes.parquet"


class EmbeddingDocument(Document):
    """The content of embedding.json, format 1.

    Attributes
    ----------
    id
        Digest of what decides the values; see `embedding_id`.
    sha256
        Of embedding.npy; checked whenever a manifest is built on it.
    model
        "pca"; "trained" for one that `curate train` made; "file" or "census" for values that were imported.
    parameters
        Everything that decides the values, given the corpus.
    n_genes
        Genes that the model reads; none for an imported embedding.
    n_cells_fitted
        Cells that mean, variance and components were fitted on.
    n_cells_sampled
        Cells among them that the variable genes were chosen on.
    n_cells_without_counts
        Cells with no count in the genes of the corpus; they are embedded as cells of zeros.
    """

    format: Literal[1] = FORMAT
    id: str
    name: str
    corpus: str
    model: Literal["pca", "trained", "file", "census"]
    parameters: dict[str, int | float | str]
    n_cells: int
    n_components: int
    n_genes: int | None = None
    n_cells_fitted: int | None = None
    n_cells_sampled: int | None = None
    n_cells_without_counts: int | None = None
    explained_variance: tuple[float, ...] = ()
    explained_variance_ratio: tuple[float, ...] = ()
    sha256: str
    created: datetime
    software: dict[str, str]


@dataclass(frozen=True)
class Embedding:
    """An opened embedding. Opening reads embedding.json and the header of the values."""

    path: Path
    header: EmbeddingDocument

    @classmethod
    def open(cls, path: str | Path, corpus: Corpus) -> Embedding:
        """Open the embedding in a folder, which must be one of `corpus`.

        Raises
        ------
        EmbeddingError
            When there is none, it is of another corpus, or its files do not fit.
        """
        folder = Path(path)
        remedy = f"remove {folder} and run `curate embed {corpus.name}`"
        if not (folder / HEADER_FILE).is_file():
            others = embedding_names(corpus)
            hint = f"make one with `curate embed {corpus.name}`"
            hint = f"{nearest(folder.name, others)}, or {hint}" if others else hint
            raise EmbeddingError(f"corpus {corpus.name} has no embedding {folder.name!r}; {hint}")
        header = _read_header(folder / HEADER_FILE, remedy)
        if header.corpus != corpus.id:
            raise EmbeddingError(
                f"{folder} is an embedding of another corpus ({header.corpus[:12]}, not {corpus.id[:12]} as "
                f"{corpus.name}); {remedy}"
            )
        embedding = cls(path=folder, header=header)
        expected = (corpus.n_cells, header.n_components)
        found = embedding.values.shape
        if found != expected or embedding.values.dtype != np.float32:
            raise EmbeddingError(
                f"{folder / VALUES_FILE} holds {embedding.values.dtype} {found}, "
                f"not float32 {expected}; {remedy}"
            )
        return embedding

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.header.name

    @property
    def id(self) -> str:
        """sha256 (hex) over the corpus' id and what decides the values; see `embedding_id`."""
        return self.header.id

    @property
    def n_components(self) -> int:
        """Number of dimensions."""
        return self.header.n_components

    @cached_property
    def values(self) -> NDArray[np.float32]:
        """float32 [n_cells, n_components], memory-mapped and read-only, rows in the order of the corpus.

        Raises
        ------
        EmbeddingError
            When the file is missing or cut short.
        """
        path = self.path / VALUES_FILE
        try:
            values: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise EmbeddingError(
                f"{path} cannot be read ({error}); remove {self.path} and run `curate embed`"
            ) from None
        return values

    def verify(self) -> None:
        """Compare the values with the digest that was written down with them.

        Raises
        ------
        EmbeddingError
            When they differ.
        """
        header, found = self.header, file_digest(self.path / VALUES_FILE)
        is_computed = header.model in ("pca", "trained")
        made_from = header.parameters if is_computed else {"sha256": found}
        expected = embedding_id(header.corpus, model=header.model, made_from=made_from)
        if (header.id, header.sha256) != (expected, found):
            raise EmbeddingError(
                f"{self.path} is damaged: the sha256 of its values is {found[:12]}, recorded as "
                f"{header.sha256[:12]}, its id {header.id[:12]}, recomputed as {expected[:12]}; "
                f"remove {self.path} and run `curate embed`"
            )


def embedding_names(corpus: Corpus) -> list[str]:
    """Return the names of the finished embeddings of a corpus, sorted."""
    return sorted(path.parent.name for path in corpus.embeddings_path.glob(f"[!.]*/{HEADER_FILE}"))


def check_name(name: str) -> None:
    """Refuse a name that is no plain folder name.

    Raises
    ------
    EmbeddingError
        When it holds anything but letters, digits, dot, dash and underscore, or begins with a dot or dash.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name):
        raise EmbeddingError(
            f"{name!r} cannot name an embedding; use letters, digits, dot, dash and underscore: pca-50"
        )


def embedding_id(corpus_id: str, *, model: str, made_from: Mapping[str, object]) -> str:
    """Return the id of an embedding: of what decides it, so that it is the same on every machine.

    The values of one computed from counts may differ in their last bits between processors; their own
    digest stands beside the id.

    Parameters
    ----------
    made_from
        The parameters of a computed one; the digest of the values of one that was made elsewhere.
    """
    return canonical_digest(
        {"format": FORMAT, "corpus": corpus_id, "model": model, "made_from": dict(made_from)}
    )


def write_values(path: Path, blocks: Iterable[NDArray[np.float32]], shape: tuple[int, int]) -> None:
    """Write blocks of rows as one float32 .npy file, in a stream.

    Raises
    ------
    EmbeddingError
        When a value is not finite, or the rows are not as many as `shape` says.
    """
    write_npy(path, _finite(blocks), shape=shape, dtype="<f4")


def write_npy(path: Path, blocks: Iterable[NDArray[Any]], *, shape: tuple[int, ...], dtype: str) -> None:
    """Write blocks of rows as one .npy file.

    A memory map would do the same, but on a full disk writing to one kills the process instead of raising.

    Raises
    ------
    EmbeddingError
        When the rows are not as many as `shape` says.
    """
    n_rows = 0
    with path.open("wb") as stream:
        header: dict[str, Any] = {"descr": dtype, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        for block in blocks:
            stream.write(np.ascontiguousarray(block, dtype=dtype).data)
            n_rows += block.shape[0]
    if n_rows != shape[0]:
        raise EmbeddingError(f"{n_rows:,} cells came where {shape[0]:,} were due; build the corpus again")


def software() -> dict[str, str]:
    """Return the versions of what computes an embedding."""
    return {"curate": __version__} | {name: version(name) for name in ("numpy", "scipy", "numba")}


def _finite(blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    first = 0
    for block in blocks:
        if not (finite := np.isfinite(block)).all():
            row, column = np.argwhere(~finite)[0]
            raise EmbeddingError(
                f"{block[row, column]} at row {first + row}, dimension {column}; "
                "an embedding holds finite numbers"
            )
        yield block
        first += block.shape[0]


def _read_header(path: Path, remedy: str) -> EmbeddingDocument:
    try:
        content = json.loads(path.read_text())
        if isinstance(content, dict) and content.get("format") != FORMAT:
            raise EmbeddingError(
                f"{path.parent} is an embedding of format {content.get('format')!r}, this curate reads "
                f"format {FORMAT}; update curate"
            )
        return EmbeddingDocument.model_validate(content)
    except (OSError, ValueError, ValidationError):
        raise EmbeddingError(f"{path} is damaged; {remedy}") from None
