"""A store of the Census layout from h5ad files, so that private data can be curated like Census data.

The way through, `create`:

1. Look at every file: counts checked value by value, genes mapped, obs mapped, cell types resolved.
2. Take the genes that at least one file has, in the order of the gene table.
3. Write file by file, in blocks. Nothing stays behind when something fails.
"""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.census import CensusWriter, Dataset
from curate.errors import SourceError, WriteError
from curate.gene_tables import gene_table as shipped_table
from curate.h5ad.genes import map_source_genes
from curate.h5ad.obs import CellTypes, CensusObs, census_obs, check_cell_types, check_map
from curate.h5ad.source import BLOCK_CELLS, H5adSource
from curate.ontology import Ontology
from curate.progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import polars as pl
    import scipy.sparse as sp
    from numpy.typing import NDArray

    from curate.genes import GeneMapping, GeneReport


@dataclass(frozen=True)
class FileReport:
    """What was taken from one file.

    `genes` says what became of its genes; `unmapped_counts_fraction` is the share of all counts that unmapped
    genes hold, and so is not in the store; `filled` are Census columns left "unknown", `ignored` obs columns
    not taken.
    """

    path: str
    layer: str
    dataset_ids: tuple[str, ...]
    n_cells: int
    genes: GeneReport
    unmapped_counts_fraction: float
    cell_types: CellTypes
    filled: tuple[str, ...]
    ignored: tuple[str, ...]


@dataclass(frozen=True)
class CreateReport:
    """What a store was made of."""

    out: str
    organism: str
    build_date: str
    ontology_release: str
    n_cells: int
    n_genes: int
    files: tuple[FileReport, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON-able dictionaries and lists."""
        return asdict(self)


def create(
    out: Path,
    files: Sequence[Path],
    *,
    map: Mapping[str, str] | None = None,
    layer: str | None = None,
    gene_column: str | None = None,
    gene_table: pl.DataFrame | None = None,
    organism: str = "homo_sapiens",
    ontology: Ontology | None = None,
    cell_types: Mapping[str, str] | None = None,
    build_date: str | None = None,
    block_cells: int = BLOCK_CELLS,
) -> CreateReport:
    """Make a store of the Census layout from h5ad files; `cellxgene_census` and `curate` open it by its path.

    Every file is one dataset (several where dataset_id is mapped to an obs column). Memory is bounded by the
    obs and var of one file, one block of at most `block_cells` cells and 2**23 stored values, and what
    `CensusWriter` holds.

    Parameters
    ----------
    out
        Folder to make; it must not exist.
    map
        By Census obs column: the name of an obs column, or "=value" for a constant; see `census_obs`.
    layer
        Where the raw counts stand: "X", "raw.X" or the name of a layer. By default X or raw.X, whichever
        holds counts.
    gene_column
        Column of var with Ensembl ids or symbols, looked at after the index; see `map_source_genes`.
    gene_table
        Genes to map into, as from `read_gene_table`. By default the one shipped for `organism`.
    ontology
        What cell types are resolved with. By default the Cell Ontology of cellxgene-ontology-guide.
    cell_types
        Cell Ontology id (or label) by the files' own cell types, for those that the ontology does not know.
    build_date
        census_build_date of the store, "YYYY-MM-DD"; today by default.

    Raises
    ------
    SourceError
        When a file cannot be used: no raw integer counts, duplicate cells, no known gene, a mapped column
        that is absent; when one file or one dataset_id is given twice.
    WriteError
        When the store cannot be written. Then, as after any error, nothing of it is left.
    """
    map = map or {}
    table = shipped_table(organism) if gene_table is None else gene_table
    ontology = Ontology.load() if ontology is None else ontology
    build_date = _checked_date(build_date)
    check_map(map)
    cell_types = cell_types or {}
    check_cell_types(cell_types, ontology)
    _check_paths(out, files)

    def taken(source: H5adSource) -> tuple[GeneMapping, CensusObs]:
        mapping = map_source_genes(source, table=table, gene_column=gene_column, organism=organism)
        return mapping, census_obs(source, map, ontology, cell_types=cell_types)

    # 1. Look at every file.
    reports = []
    is_used = np.zeros(table.height, dtype=np.bool_)
    for path in files:
        with H5adSource.open(path, layer=layer) as source:
            mapping, obs = taken(source)
            is_used |= mapping.measured
            reports.append(_report(source, mapping, obs))
    _refuse_shared_datasets(reports)

    # 2. Take the genes that at least one file has.
    used = np.flatnonzero(is_used)
    n_cells = sum(report.n_cells for report in reports)

    # 3. Write file by file.
    label = f"Made by curate census create from {len(files)} h5ad files"
    with (
        CensusWriter(out, genes=table[used], organism=organism, build_date=build_date, label=label) as writer,
        progress("Writing the store", n_cells) as advance,
    ):
        for n, report in enumerate(reports):
            with H5adSource.open(report.path, layer=report.layer, check=False) as source:
                mapping, obs = taken(source)
                counts = _AlignedCounts(source, mapping.restricted(used), block_cells, advance)
                _add(writer, counts, obs.cells)
            reports[n] = replace(report, unmapped_counts_fraction=counts.dropped_fraction)
    return CreateReport(str(out), organism, build_date, ontology.release, n_cells, len(used), tuple(reports))


@dataclass
class _AlignedCounts:
    """The counts of a file in the genes of the store, added up before and after."""

    source: H5adSource
    mapping: GeneMapping
    block_cells: int
    advance: Callable[[int], None]
    n_read: float = 0.0
    n_kept: float = 0.0

    @property
    def dropped_fraction(self) -> float:
        return 1 - self.n_kept / self.n_read

    def blocks(self, cells: NDArray[np.bool_] | None) -> Iterator[sp.csr_array]:
        for block in self.source.blocks(self.block_cells, cells=cells):
            aligned = self.mapping.align(block)
            self.n_read += block.sum(dtype=np.float64)
            self.n_kept += aligned.sum(dtype=np.float64)
            yield aligned
            self.advance(block.shape[0])


def _add(writer: CensusWriter, counts: _AlignedCounts, cells: pl.DataFrame) -> None:
    """Add the cells of one file, a dataset after the other."""
    source = counts.source
    for dataset_id in cells["dataset_id"].unique(maintain_order=True):
        here = (cells["dataset_id"] == dataset_id).to_numpy()
        title = source.uns_text("title") or source.path.stem
        dataset = Dataset(
            dataset_id=dataset_id,
            title=title if here.all() else dataset_id,
            citation=source.uns_text("citation") or source.uns_text("source"),
            h5ad_path=source.path.name,
        )
        blocks = counts.blocks(None if here.all() else here)
        obs = cells.filter(here).drop("dataset_id")
        writer.add_dataset(dataset, obs, blocks, measured=counts.mapping.measured)


def _report(source: H5adSource, mapping: GeneMapping, obs: CensusObs) -> FileReport:
    return FileReport(
        path=str(source.path),
        layer=source.layer,
        dataset_ids=tuple(obs.cells["dataset_id"].unique(maintain_order=True)),
        n_cells=source.n_cells,
        genes=mapping.report(),
        unmapped_counts_fraction=0.0,
        cell_types=obs.cell_types,
        filled=obs.filled,
        ignored=obs.ignored,
    )


def _checked_date(build_date: str | None) -> str:
    if build_date is None:
        return datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    try:
        return datetime.date.fromisoformat(build_date).isoformat()
    except ValueError as error:
        raise SourceError(f"{build_date!r} is no build date; write YYYY-MM-DD") from error


def _check_paths(out: Path, files: Sequence[Path]) -> None:
    if not files:
        raise SourceError("no h5ad files to make a store from; name at least one")
    # CensusWriter says so too, but only after every file has been looked at.
    if out.exists():
        raise WriteError(f"{out} exists; name another path or remove it first")
    seen: set[Path] = set()
    for path in files:
        if path.resolve() in seen:
            raise SourceError(f"{path} is given twice among {len(files)} files; name it once")
        seen.add(path.resolve())


def _refuse_shared_datasets(reports: Sequence[FileReport]) -> None:
    owner: dict[str, str] = {}
    for report in reports:
        for dataset_id in report.dataset_ids:
            other = owner.setdefault(dataset_id, report.path)
            if other != report.path:
                raise SourceError(
                    f"{other} and {report.path} are both the dataset {dataset_id!r}; rename one file, or "
                    "take dataset_id from an obs column that tells them apart (--map dataset_id=COLUMN)"
                )
