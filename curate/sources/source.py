"""A registered source: Perturb-seq cells that subsets of a corpus can be spiked with.

::

    corpora/<corpus>/sources/<name>/
        source.json    the file, its fingerprint, its perturbations, its genes in those of the corpus
        genes.parquet  one row a gene of the source: name, the gene of the corpus it is, how it was mapped
        cells.parquet  one row a cell: perturbation, is_control, the Census' obs columns, its content hash

The counts stay in the file. Registered by `curate.sources.register.add_source`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from curate.content import content_hashes
from curate.corpus.columns import read_columns
from curate.documents import file_digest, read_header
from curate.errors import CensusError, SourceError
from curate.genes import GeneMapping
from curate.h5ad.obs import as_texts
from curate.nearest import nearest
from curate.sources.document import FORMAT, SourceDocument
from curate.sources.scan import fingerprint, open_reader, scan, source_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import scipy.sparse as sp
    from numpy.typing import NDArray

    from curate.corpus import Corpus
    from curate.gene_space import GeneSpace
    from curate.sources.document import FingerprintRecord

HEADER_FILE = "source.json"
GENES_FILE = "genes.parquet"
CELLS_FILE = "cells.parquet"
NAME, CONTENT = "name", "content"
PERTURBATION, IS_CONTROL = "perturbation", "is_control"


@dataclass(frozen=True)
class Source:
    """An opened source. Opening reads source.json; the rest is read when asked for."""

    path: Path
    header: SourceDocument
    corpus: Corpus

    @classmethod
    def open(cls, path: Path, corpus: Corpus) -> Source:
        """Open the source in a folder.

        Raises
        ------
        SourceError
            When there is none, it is damaged, or was registered for other genes.
        """
        header = read_header(
            path / HEADER_FILE,
            SourceDocument,
            number=FORMAT,
            error=SourceError,
            noun="is a source",
            absent=f"{path} holds no source ({HEADER_FILE}); add it with `curate corpus add-source`",
            remedy="remove the folder and add the source again",
        )
        if header.corpus_genes != corpus.header.genes.digest:
            raise SourceError(
                f"source {header.name!r} was aligned to other genes than those of corpus {corpus.name!r}; "
                f"remove {path} and add it again"
            )
        return cls(path, header, corpus)

    @property
    def name(self) -> str:
        """The name it was registered under."""
        return self.header.name

    @property
    def id(self) -> str:
        """sha256 (hex) of the content: names of cells and genes, counts, perturbations; not of file bytes."""
        return self.header.id

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.header.n_cells

    def columns(self, names: Sequence[str], *, rows: NDArray[np.int64] | None = None) -> pl.DataFrame:
        """Read columns of the cells, by default of all, in the source's order.

        Parameters
        ----------
        names
            Obs columns of the Census, perturbation, is_control, name, content. A column that the source has
            not is null.
        rows
            int64 [n] ascending.

        Returns
        -------
        DataFrame [n_cells]
            Text as enums.
        """
        held = [name for name in names if name in self.header.columns]
        n = self.n_cells if rows is None else len(rows)
        found = {series.name: series for series in read_columns(self.path / CELLS_FILE, held, rows=rows)}
        return pl.DataFrame(
            [found.get(name, pl.repeat(None, n, dtype=pl.Null, eager=True).alias(name)) for name in names]
        )

    @cached_property
    def mapping(self) -> GeneMapping:
        """Where each gene of the source goes in the genes of the corpus, as it was recorded."""
        table = pl.read_parquet(self.path / GENES_FILE)
        space = self.corpus.genes()
        target = [-1 if gene is None else space.index[gene] for gene in table["feature_id"].to_list()]
        return GeneMapping(
            np.array(target, np.int64), space, tuple(table["name"]), tuple(table["how"].to_list())
        )

    def genes(self) -> GeneSpace:
        """Return the genes of the corpus, with which of them the source measured as their presence."""
        mapping = self.mapping
        return mapping.space.measured_by(mapping.presence(self.name))

    def counts(self, rows: NDArray[np.int64]) -> Iterator[sp.csr_array]:
        """Yield the counts of some cells in the genes of the corpus, in blocks.

        Every cell that is read is compared with what was registered. Memory: one block.

        Parameters
        ----------
        rows
            int64 [n] ascending.

        Yields
        ------
        csr_array
            float32 [b, n_genes]; genes that the source did not measure are 0, see `genes`.

        Raises
        ------
        SourceError
            When the file is not there, cannot be read, or holds other cells than were registered.
        """
        if not len(rows):
            return
        wanted = np.zeros(self.n_cells, np.bool_)
        wanted[rows] = True
        recorded = self.columns([CONTENT], rows=rows)[CONTENT].to_numpy()
        path, header = self.find_file(), self.header
        first = 0
        with open_reader(path, organism=header.organism, layer=header.file.layer, check=False) as reader:
            if (reader.n_cells, reader.n_genes) != (self.n_cells, header.genes.n_genes):
                raise SourceError(self._other("number of cells or genes"))
            keys = source_keys(reader)
            for block in reader.blocks(cells=wanted):
                held = recorded[first : first + block.shape[0]]
                if not np.array_equal(content_hashes(block, keys), held):
                    raise SourceError(self._other("counts"))
                yield self.mapping.align(block)
                first += block.shape[0]

    def find_file(self) -> Path:
        """Return where the file is now; it may have moved along with the workspace.

        Raises
        ------
        SourceError
            When it is not there any more.
        """
        record = self.header.file
        candidates = [Path(record.path), (self.path / record.relative_path).resolve()]
        for path in candidates:
            if path.exists():
                return path
        raise SourceError(
            f"source {self.name!r} of corpus {self.corpus.name!r}: {record.path} is not there any more; put "
            "it back, or remove the source and add it from where the file is"
        )

    def check_file(self, *, thorough: bool = False) -> None:
        """Check that the file holds what was registered.

        A file of the same size and time of change is taken to be the same, unless `thorough`; else its
        content is read whole and compared, so that a file that was only written again passes.

        Raises
        ------
        SourceError
            When it is not there any more, or holds something else.
        """
        path, record = self.find_file(), self.header.file
        size, mtime_ns = stamp(path)
        if not thorough and (size, mtime_ns) == (record.n_bytes, record.mtime_ns):
            return
        try:
            found = _fingerprint_of(
                path, self.header.organism, record.layer, self.header.perturbation.column, size, mtime_ns
            )
        except (SourceError, CensusError) as error:
            raise SourceError(f"source {self.name!r} of corpus {self.corpus.name!r}: {error}") from error
        recorded = self.header.fingerprint.model_dump()
        differing = [name for name, digest in found.model_dump().items() if recorded[name] != digest]
        if differing:
            raise SourceError(self._other(" and ".join(differing)))

    def check_labels(self) -> None:
        """Check that cells.parquet is the file that was written.

        Raises
        ------
        SourceError
            When it is not.
        """
        path = self.path / CELLS_FILE
        if not path.is_file() or file_digest(path) != self.header.labels:
            raise SourceError(
                f"{path} of source {self.name!r} is damaged: its sha256 is not the one recorded; restore it, "
                "or remove the source and add it again"
            )

    def _other(self, what: str) -> str:
        return (
            f"source {self.name!r} of corpus {self.corpus.name!r}: {self.find_file()} has changed since it "
            f"was registered ({self.header.created:%Y-%m-%d}): other {what}; restore the file, or add it "
            "anew under another name"
        )


def stamp(path: Path) -> tuple[int, int]:
    """Return size and time of the last change of a file, or of all files of a folder."""
    found = [each.stat() for each in (path.rglob("*") if path.is_dir() else [path])]
    return sum(each.st_size for each in found), max((each.st_mtime_ns for each in found), default=0)


def perturbations_of(path: Path, obs: pl.DataFrame, column: str) -> pl.Series:
    """Return the perturbation of each cell as text, "unknown" where it is missing.

    Raises
    ------
    SourceError
        When there is no such column, naming the nearest.
    """
    if column not in obs.columns:
        raise SourceError(
            f"{path} has no obs column {column!r} to take perturbations from; {nearest(column, obs.columns)}"
        )
    return as_texts(obs[column]).alias(PERTURBATION)


@lru_cache(maxsize=64)
def _fingerprint_of(
    path: Path, organism: str, layer: str, column: str, size: int, mtime_ns: int
) -> FingerprintRecord:
    """Read a file whole; size and time of change are here so that a changed file is read again."""
    del size, mtime_ns
    with open_reader(path, organism=organism, layer=layer, check=True) as reader:
        return fingerprint(reader, scan(reader).content, perturbations_of(path, reader.obs, column))


def source_names(corpus: Corpus) -> list[str]:
    """Return the names of the sources of a corpus, sorted."""
    return sorted(path.parent.name for path in corpus.sources_path.glob(f"[!.]*/{HEADER_FILE}"))


def find_source(corpus: Corpus, name: str) -> Source:
    """Open a source by name.

    Raises
    ------
    SourceError
        When the corpus has none of this name, naming the nearest.
    """
    from curate.sources.descriptions import shipped_names

    names = source_names(corpus)
    if name not in names:
        hint = nearest(name, names)
        if name in shipped_names():
            hint = (
                f"it is shipped as a description: curate corpus add-source {name} FILE --description {name}"
            )
        elif not names:
            hint = "it has none; add one with `curate corpus add-source`"
        raise SourceError(f"corpus {corpus.name!r} has no source named {name!r}; {hint}")
    return Source.open(corpus.sources_path / name, corpus)


def source_by_id(corpus: Corpus, source_id: str, *, name: str) -> Source | None:
    """Open the source with an id, that of the given name first; None when the corpus has none."""
    names = sorted(source_names(corpus), key=lambda each: each != name)
    sources = (Source.open(corpus.sources_path / each, corpus) for each in names)
    return next((source for source in sources if source.id == source_id), None)
