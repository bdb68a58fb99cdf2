"""What cells hold, as hashes that are kept: of a corpus beside it, of a whole Census in the workspace.

::

    corpora/<name>/content/all/      every gene of the Census
                           <genes>/  genes that two Censuses share, named by their digest
        content.npy    uint64 [n_cells]: `curate.content.content_hashes` of each cell
        n_genes.npy    int32 [n_cells]: how many of these genes the cell has counts of
        content.json   of which cells and genes, and the sha256 of both files
    content/<census>/all/            in the workspace: every cell of a Census, in joinid order

They are over all genes of the Census, not over the gene list of the corpus: corpora with other lists then
compare, one pass over the counts serves them all, and two cells that differ in any gene are told apart. Where
two Censuses hold other genes, the cells of both are hashed again over those that they share.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self

import numpy as np
import polars as pl
from pydantic import ValidationError

from curate.atomic import atomic_file, atomic_folder
from curate.corpus.content_pass import HASHES_FILE, N_GENES_FILE, NOTE_FILE, hash_cells
from curate.documents import Document, file_digest
from curate.errors import CorpusError
from curate.scratch import kept_in, scratch_of
from curate.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.census import Census
    from curate.corpus import Corpus

CONTENT_FOLDER = "content"
HEADER_FILE = "content.json"
ALL_GENES = "all"
FORMAT: Final = 1


class ContentDocument(Document):
    """The content of content.json.

    Attributes
    ----------
    cells
        Which cells, in which order: the id of a corpus, or what stands for a Census and organism.
    genes, n_genes
        sha256 of the sorted feature ids joined by newlines, and how many there are.
    sha256
        File → digest (hex).
    """

    format: Literal[1] = FORMAT
    cells: str
    n_cells: int
    genes: str
    n_genes: int
    sha256: dict[str, str]


@dataclass(frozen=True)
class Content:
    """What each of some cells holds.

    Attributes
    ----------
    hashes
        uint64 [n_cells], memory-mapped.
    n_genes
        int32 [n_cells], memory-mapped: genes with counts, of those hashed.
    header
        Which cells and genes.
    """

    hashes: NDArray[np.uint64]
    n_genes: NDArray[np.int32]
    header: ContentDocument

    @classmethod
    def open(cls, folder: Path, *, cells: str) -> Self:
        """Open hashes that were kept, checking that they are of these cells and as they were written.

        Raises
        ------
        CorpusError
            When they are not.
        """
        remedy = f"remove {folder} to have them made again"
        try:
            header = ContentDocument.model_validate_json((folder / HEADER_FILE).read_text())
            digests = {name: file_digest(folder / name) for name in (HASHES_FILE, N_GENES_FILE)}
            hashes, n_genes = (
                np.load(folder / name, mmap_mode="r", allow_pickle=False)
                for name in (HASHES_FILE, N_GENES_FILE)
            )
        except ValidationError:
            raise CorpusError(f"{folder / HEADER_FILE} is damaged; {remedy}") from None
        except (OSError, ValueError) as error:
            raise CorpusError(f"the content hashes in {folder} cannot be read: {error}; {remedy}") from None
        if header.cells != cells:
            raise CorpusError(f"the content hashes in {folder} are of other cells; {remedy}")
        if digests != header.sha256:
            raise CorpusError(f"the content hashes in {folder} are damaged; {remedy}")
        return cls(hashes, n_genes, header)


def corpus_content(
    corpus: Corpus, *, genes: Collection[str] | None = None, census: Census | None = None
) -> Content:
    """Return what the cells of a corpus hold, in joinid order: as kept, else from one pass over the counts.

    Memory: a block of counts, 8 bytes a cell for its joinid. A pass that is killed goes on where it was.

    Parameters
    ----------
    genes
        feature_ids to hash over; every gene of the Census when None.
    census
        The Census of the corpus, where it is open already.

    Raises
    ------
    CensusError
        When the counts cannot be read.
    CorpusError
        When the Census holds no counts, or is another one than that of the corpus.
    """
    folder = corpus.path / CONTENT_FOLDER
    name = _name(genes)
    if (place := _place(folder, name)).exists():
        return Content.open(place, cells=corpus.id)
    if genes is None and (whole := _of_census(corpus)) is not None:
        return _taken(kept_in(folder) / name, whole, corpus)
    if census is None:
        with corpus.open_census() as opened:
            return corpus_content(corpus, genes=genes, census=opened)
    return hashed(folder, census, corpus.header.organism, corpus.joinids(), cells=corpus.id, genes=genes)


def census_content(
    root: Path, census: Census, organism: str, *, genes: Collection[str] | None = None
) -> Content:
    """Return what every cell of a Census holds: as kept in the workspace at `root`, else from one pass.

    Parameters
    ----------
    genes
        feature_ids to hash over; every gene of the Census when None.

    Raises
    ------
    CensusError
        When the counts cannot be read.
    CorpusError
        When there are none.
    """
    n_cells = census.n_cells(organism)
    cells = _census_cells(census.content, organism, n_cells)
    return hashed(_census_folder(root, cells), census, organism, np.arange(n_cells), cells=cells, genes=genes)


def measured_by_all(census: Census, organism: str, datasets: Collection[str]) -> list[str]:
    """Return the feature_ids of the genes that each of some datasets measured.

    Raises
    ------
    CorpusError
        When there is none.
    """
    known = census.read_datasets()["dataset_id"].to_list()
    rows = [known.index(dataset) for dataset in datasets]
    n_measuring = census.presence(organism)[rows].sum(axis=0)
    genes = census.read_var(organism).sort("soma_joinid")["feature_id"].to_numpy()
    shared: list[str] = genes[np.asarray(n_measuring).ravel() == len(rows)].tolist()
    if not shared:
        raise CorpusError(f"no gene was measured by each of {len(rows):,} datasets; compare fewer of them")
    return shared


def is_kept(root: Path, census: Census, organism: str, *, begun: bool = False) -> bool:
    """Return whether what every cell of a Census holds is known in the workspace at `root`.

    Parameters
    ----------
    begun
        Or a pass over it was begun.
    """
    cells = _census_cells(census.content, organism, census.n_cells(organism))
    return _is_there(_census_folder(root, cells), begun=begun)


def is_known(corpus: Corpus, *, begun: bool = False) -> bool:
    """Return whether what the cells of a corpus hold is known without reading counts; see `is_kept`."""
    return _is_there(corpus.path / CONTENT_FOLDER, begun=begun) or _of_census(corpus) is not None


def hashed(
    folder: Path,
    census: Census,
    organism: str,
    joinids: NDArray[np.int64],
    *,
    cells: str,
    genes: Collection[str] | None = None,
) -> Content:
    """Return what cells hold: as kept in a folder under `folder`, else from a stream of their counts.

    Where hashes over all genes are kept already, those over some are these less the hashes over the others:
    only the counts of the others are read.

    Parameters
    ----------
    joinids
        int64 [n] ascending.
    cells
        What stands for these cells in this order.

    Raises
    ------
    CensusError
        When the counts cannot be read.
    CorpusError
        When the Census holds none, or none of the genes.
    """
    if (found := _place(folder, _name(genes))).exists():
        return Content.open(found, cells=cells)
    if not census.n_nonzeros(organism):
        raise CorpusError(
            f"{census.uri} holds no counts of {organism}, so that its cells have no content to compare; "
            "compare them by identity"
        )
    var = census.read_var(organism).sort("soma_joinid")
    chosen = var if genes is None else var.filter(pl.col("feature_id").is_in(list(genes)))
    if chosen.is_empty():
        raise CorpusError(f"{census.uri} holds none of the {len(genes or ()):,} genes to compare over")
    whole = _place(folder, ALL_GENES)
    base = Content.open(whole, cells=cells) if genes is not None and whole.exists() else None
    read = var.join(chosen, on="feature_id", how="anti", maintain_order="left") if base else chosen
    place = kept_in(folder) / _name(genes)
    with atomic_folder(place, resumable=True) as aside:
        hash_cells(aside, census, organism, joinids, read, n_genes=var.height, base=base, cells=cells)
        ContentDocument(
            cells=cells,
            n_cells=len(joinids),
            genes=genes_digest(chosen["feature_id"].to_list()),
            n_genes=chosen.height,
            sha256={name: file_digest(aside / name) for name in (HASHES_FILE, N_GENES_FILE)},
        ).save(aside / HEADER_FILE)
        (aside / NOTE_FILE).unlink()
    return Content.open(place, cells=cells)


def genes_digest(genes: Collection[str]) -> str:
    """Return the sha256 (hex) of the sorted feature ids joined by newlines."""
    return hashlib.sha256("\n".join(sorted(genes)).encode()).hexdigest()


def _is_there(folder: Path, *, begun: bool) -> bool:
    return (folder / ALL_GENES).exists() or (begun and (folder / f".{ALL_GENES}.partial").exists())


def _place(folder: Path, name: str) -> Path:
    """Return where the hashes of this name are, or would be."""
    return folder / name if (folder / name).exists() else scratch_of(folder) / name


def _name(genes: Collection[str] | None) -> str:
    return ALL_GENES if genes is None else genes_digest(genes)[:16]


def _census_cells(content: str, organism: str, n_cells: int) -> str:
    """Return what stands for all cells of a Census; their number tells apart stores of one release."""
    return f"{n_cells} {organism} of {content}"


def _census_folder(root: Path, cells: str) -> Path:
    return root / CONTENT_FOLDER / hashlib.sha256(cells.encode()).hexdigest()[:16]


def _of_census(corpus: Corpus) -> Content | None:
    """Return what all cells of the corpus' Census hold, where its workspace knows that."""
    workspace = Workspace.around(corpus.path)
    if workspace is None:
        return None
    header = corpus.header
    cells = _census_cells(header.census.content, header.organism, header.n_read)
    folder = _census_folder(workspace.root, cells) / ALL_GENES
    return Content.open(folder, cells=cells) if folder.exists() else None


def _taken(folder: Path, whole: Content, corpus: Corpus) -> Content:
    """Keep the hashes of the cells of a corpus, from those of its Census."""
    joinids = corpus.joinids()
    with atomic_folder(folder) as aside:
        for name, values in ((HASHES_FILE, whole.hashes), (N_GENES_FILE, whole.n_genes)):
            with atomic_file(aside / name) as file, file.open("wb") as stream:
                np.save(stream, values[joinids], allow_pickle=False)
        whole.header.model_copy(
            update={
                "cells": corpus.id,
                "n_cells": corpus.n_cells,
                "sha256": {name: file_digest(aside / name) for name in (HASHES_FILE, N_GENES_FILE)},
            }
        ).save(aside / HEADER_FILE)
    return Content.open(folder, cells=corpus.id)
