"""Doubles: cells of a source that its corpus holds too. Looked for once, and kept beside the source.

::

    corpora/<corpus>/sources/<name>/doubles/<of what, and by which version of the search>/
        doubles.json     of which corpus and source, what each method found, where in the corpus
        doubles.parquet  row of the source, and whether joinid, exact and near found it

The source is the evaluation set here: it is indexed, in slices where it is large, and the counts of the
corpus pass by once a slice. What it costs is known beforehand (`what_it_takes`), so that nobody reads a large
or a remote corpus whole without having asked for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import polars as pl
from pydantic import Field

from curate.atomic import atomic_folder
from curate.build.bytes_read import CountsSize, counts_size
from curate.build.leakage.compared import CorpusCells
from curate.build.leakage.guard import CELL_METHODS, Method, find_overlap
from curate.build.leakage.made import Made
from curate.build.leakage.scan import METHOD_VERSION
from curate.build.leakage.sources import evaluation_of_source
from curate.documents import Document, canonical_digest, file_digest
from curate.errors import LeakageError, SourceError
from curate.rates import rate_of
from curate.scratch import kept_in, scratch_of
from curate.sources.source import CONTENT
from curate.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from curate.build.leakage.guard import Overlap
    from curate.census import Census
    from curate.sources.source import Source

FOLDER, _HEADER, _ROWS = "doubles", "doubles.json", "doubles.parquet"
FORMAT: Final = 1
SLICE_NONZEROS = 1_000_000_000
"""Non-zeros of a source that are indexed at a time: 4 GB, 8 while they are read. Of a source with more, near
copies are not looked for: to index a slice of them takes hours where the datasets measured other genes."""
INDEXED_PER_S = {"near": 8e6, "exact": 5e7}
"""Non-zeros a second, for each set of genes that some datasets measured; on 2 cores."""
SOURCE_NONZEROS_PER_S = 1e7
"""Read from a dense h5ad file, checked against what was registered, and searched or packed; on 2 cores."""
AT_ONCE_S = 300.0
"""A local corpus is read without being asked for where that takes no longer."""


class DoublesDocument(Document):
    """doubles.json."""

    format: Literal[1] = FORMAT
    corpus: str
    source: str
    labels: str
    method_version: int
    n_cells: int = Field(description="Of the source, found by any method.")
    n_found: dict[str, int]
    n_corpus_cells: int
    datasets: dict[str, int]
    n_too_few: int
    undecidable_fraction: float | None
    why_not: dict[str, str]
    sha256: str


@dataclass(frozen=True)
class Doubles:
    """The cells of a source that its corpus holds.

    Attributes
    ----------
    by
        For each method, bool [n_cells of the source].
    header
        Counts: cells of the source by method, cells of the corpus by dataset (`datasets`), cells of the
        source that detect too little to be decided by content (`n_too_few`); why a method did not compare.
    """

    by: Mapping[Method, NDArray[np.bool_]]
    header: DoublesDocument

    @property
    def rows(self) -> NDArray[np.bool_]:
        """The cells that any method found, bool [n_cells of the source]."""
        rows: NDArray[np.bool_] = np.logical_or.reduce(list(self.by.values()))
        return rows

    @property
    def made(self) -> Made:
        """Which methods compared."""
        return Made.of(self.header.n_found, self.header.why_not, self.header.n_too_few)


@dataclass(frozen=True)
class Takes:
    """What comparing a source with its corpus takes.

    Attributes
    ----------
    methods
        How it is looked; a source of many slices only by name and by equal counts.
    n_passes
        How often the counts of the corpus are read: once for each slice of the source.
    size
        What they are on disk.
    seconds
        To read both, and at most to index the source for each set of genes that datasets measured.
    is_remote
        Whether they are read over a network.
    """

    source: Source
    methods: tuple[Method, ...]
    n_passes: int
    size: CountsSize
    seconds: float
    is_remote: bool

    @property
    def is_small(self) -> bool:
        """Whether it may be done without being asked for."""
        return not self.is_remote and self.seconds <= AT_ONCE_S

    def sentence(self) -> str:
        """Return the numbers, for a message."""
        corpus = self.source.corpus
        once = "once" if self.n_passes == 1 else f"{self.n_passes} times"
        where = f" from {corpus.census_uri()}" if self.is_remote else ""
        return (
            f"that reads the counts of {corpus.n_cells:,} cells {once} "
            f"({self.n_passes * self.n_bytes / 1e9:,.1f} GB{where}, about {minutes(self.seconds)})"
        )

    @property
    def n_bytes(self) -> int:
        """Bytes that one pass reads."""
        corpus = self.source.corpus
        return round(self.size.n_bytes * corpus.n_cells / max(1, corpus.header.n_read))


def what_it_takes(source: Source) -> Takes:
    """Return what comparing a source with its corpus takes; no counts are read."""
    corpus = source.corpus
    n_passes, methods = len(slices(source)), methods_for(source)
    nnz = float(source.columns(["nnz"])["nnz"].sum())
    n_indexed = nnz * corpus.value_counts("dataset_id").height
    workspace = Workspace.around(corpus.path)
    rate = rate_of(workspace.root if workspace else corpus.path, "leakage")
    return Takes(
        source=source,
        methods=methods,
        n_passes=n_passes,
        size=counts_size(corpus),
        seconds=n_passes * corpus.n_cells / rate.per_s
        + nnz / SOURCE_NONZEROS_PER_S
        + n_indexed / INDEXED_PER_S["near" if "near" in methods else "exact"],
        is_remote="://" in corpus.census_uri(),
    )


def kept_doubles(source: Source) -> Doubles | None:
    """Return what was found before of this source in this corpus; None when it was not looked for.

    Raises
    ------
    SourceError
        When what was kept is damaged.
    """
    places = (source.path / FOLDER, scratch_of(source.path / FOLDER))
    folder = next((each for place in places if (each := place / _key(source)).exists()), None)
    if folder is None:
        return None
    try:
        header = DoublesDocument.model_validate_json((folder / _HEADER).read_text())
        if header.sha256 != file_digest(folder / _ROWS):
            raise ValueError(f"the sha256 of {_ROWS} is not the one recorded")
        found = pl.read_parquet(folder / _ROWS)
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        reason = str(error).split("\n")[0]
        raise SourceError(f"{folder} is damaged: {reason}; remove it to have it made again") from None
    by = {method: np.zeros(source.n_cells, np.bool_) for method in CELL_METHODS}
    for method, mask in by.items():
        mask[found.filter(method)["row"].to_numpy()] = True
    return Doubles(by, header)


def find_doubles(source: Source) -> Doubles:
    """Return the cells of a source that its corpus holds, by every method for cells; kept, or looked for now.

    Memory: a slice of the source (4 bytes a non-zero, at most SLICE_NONZEROS, twice that while it is read),
    its index, and blocks of counts. A search that was killed goes on where it was.

    Raises
    ------
    CensusError
        When the Census of the corpus cannot be opened or read.
    SourceError
        When the file of the source cannot be read, or has changed.
    WriteError
        When what is found cannot be kept.
    """
    kept = kept_doubles(source)
    if kept is not None:
        return kept
    corpus = source.corpus
    by = {method: np.zeros(source.n_cells, np.bool_) for method in CELL_METHODS}
    of_corpus = np.zeros(corpus.n_cells, np.bool_)
    n_too_few = 0
    undecidable: list[float] = []
    why_not: dict[str, str] = {}
    with corpus.open_census() as census:
        for rows, overlap in _overlaps(source, census):
            for method, same in overlap.same.items():
                by[method][rows] = same.evaluation
                if same.why_not is not None:
                    why_not[method] = same.why_not
            of_corpus |= overlap.any_of(CELL_METHODS)
            if overlap.scan is not None:
                n_too_few += len(overlap.scan.few)
                undecidable += [each.undecidable_fraction or 0.0 for each in overlap.scan.gene_sets]
            elif "exact" not in overlap.same:
                has_counts = census.n_nonzeros(corpus.header.organism)
                why = "they have no gene in common" if has_counts else "the corpus' Census holds no counts"
                why_not |= dict.fromkeys(("exact", "near"), why)
    if "near" not in methods_for(source):
        nnz = int(source.columns(["nnz"])["nnz"].sum())
        why_not.setdefault("near", f"it has {nnz:,} non-zeros, and near copies are looked for up to 1e9")
    # A cell of the corpus names its best few: other cells of the source may hold the same counts.
    content = source.columns([CONTENT])[CONTENT].to_numpy()
    by["exact"] |= np.isin(content, content[by["exact"]])
    return _keep(source, by, of_corpus, n_too_few, max(undecidable, default=None), why_not)


def slices(source: Source) -> list[NDArray[np.int64]]:
    """Return the rows of a source in slices of at most SLICE_NONZEROS, one cell at least."""
    nnz = source.columns(["nnz"])["nnz"].to_numpy()
    before = np.cumsum(nnz) - nnz
    return np.split(np.arange(source.n_cells), np.flatnonzero(np.diff(before // SLICE_NONZEROS)) + 1)


def methods_for(source: Source) -> tuple[Method, ...]:
    """Return how a source is looked for: not by near where it takes more than one slice."""
    return CELL_METHODS if len(slices(source)) == 1 else ("joinid", "exact")


def _overlaps(source: Source, census: Census) -> Iterator[tuple[NDArray[np.int64], Overlap]]:
    """Yield the slices of a source, and what each has in common with the corpus."""
    corpus = source.corpus
    cells = CorpusCells(corpus, census)
    var = census.read_var(corpus.header.organism)
    by = methods_for(source) if census.n_nonzeros(corpus.header.organism) else ("joinid",)
    for rows in slices(source):
        evaluation = evaluation_of_source(source, var=var, rows=rows)
        try:
            yield rows, find_overlap(cells, evaluation, by=by)
        except LeakageError:
            # Panels without a gene in common: nothing can be said by content.
            yield rows, find_overlap(cells, evaluation, by=["joinid"])


def _key(source: Source) -> str:
    of = {
        "corpus": source.corpus.id,
        "source": source.id,
        "labels": source.header.labels,
        "method_version": METHOD_VERSION,
    }
    return canonical_digest(of)[:16]


def _keep(
    source: Source,
    by: Mapping[Method, NDArray[np.bool_]],
    of_corpus: NDArray[np.bool_],
    n_too_few: int,
    undecidable_fraction: float | None,
    why_not: Mapping[str, str],
) -> Doubles:
    """Write down what was found."""
    corpus = source.corpus
    rows = np.flatnonzero(np.logical_or.reduce(list(by.values())))
    datasets = corpus.columns(["dataset_id"], rows=np.flatnonzero(of_corpus))["dataset_id"]
    counts = datasets.cast(pl.String).value_counts(name="n").sort("n", "dataset_id", descending=[True, False])
    with atomic_folder(kept_in(source.path / FOLDER) / _key(source)) as aside:
        pl.DataFrame({"row": rows} | {method: mask[rows] for method, mask in by.items()}).write_parquet(
            aside / _ROWS
        )
        header = DoublesDocument(
            corpus=corpus.id,
            source=source.id,
            labels=source.header.labels,
            method_version=METHOD_VERSION,
            n_cells=len(rows),
            n_found={method: int(mask.sum()) for method, mask in by.items()},
            n_corpus_cells=int(of_corpus.sum()),
            datasets={str(name): int(n) for name, n in counts.iter_rows()},
            n_too_few=n_too_few,
            undecidable_fraction=undecidable_fraction,
            why_not=dict(why_not),
            sha256=file_digest(aside / _ROWS),
        )
        header.save(aside / _HEADER)
    return Doubles(by, header)


def minutes(seconds: float) -> str:
    """Return a time for a message."""
    return f"{seconds / 3600:,.1f} h" if seconds >= 5400 else f"{max(1, round(seconds / 60)):,} min"
