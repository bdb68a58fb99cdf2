"""Register a Perturb-seq data set as a source of a corpus.

1. the file: its counts looked at one by one, its perturbations and controls;
2. its genes in those of the corpus, and whether enough of them are there;
3. its obs in the columns of the Census;
4. one pass over the counts: content hashes, totals, fingerprint;
5. written aside and renamed into place.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

import polars as pl
import pyarrow.parquet as pq

from curate import __version__
from curate.atomic import atomic_folder
from curate.documents import file_digest
from curate.errors import SourceError
from curate.h5ad.genes import map_source_genes
from curate.h5ad.obs import MAPPABLE, census_obs, check_cell_types, check_map
from curate.ontology import Ontology
from curate.recipe import NAME_PATTERN
from curate.sources.document import FileRecord, GenesRecord, PerturbationRecord, SourceDocument
from curate.sources.scan import fingerprint, open_reader, scan, source_id
from curate.sources.source import (
    CELLS_FILE,
    CONTENT,
    GENES_FILE,
    HEADER_FILE,
    IS_CONTROL,
    NAME,
    PERTURBATION,
    Source,
    perturbations_of,
    source_names,
    stamp,
)
from curate.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from curate.corpus import Corpus
    from curate.genes import GeneMapping, GeneReport
    from curate.h5ad.obs import CellTypes
    from curate.sources.descriptions import Description
    from curate.sources.scan import Reader, Scan

MIN_OVERLAP = 0.5
CENSUS = "census"
SOFTWARE = ("numpy", "polars", "pyarrow")
ROW_GROUP_CELLS = 2**20
_N_LISTED = 5


@dataclass(frozen=True)
class Registered:
    """A source that was registered, and what was found on the way.

    Attributes
    ----------
    genes
        What became of its genes; the source itself keeps the numbers.
    cell_types
        What became of its cell types.
    filled, ignored
        Census columns that it does not give, and its obs columns that were not taken.
    """

    source: Source
    genes: GeneReport
    cell_types: CellTypes
    filled: tuple[str, ...]
    ignored: tuple[str, ...]


def add_source(
    corpus: Corpus,
    name: str,
    path: Path,
    *,
    perturbation_column: str | None = None,
    control: Sequence[str] = (),
    map: Mapping[str, str] | None = None,
    layer: str | None = None,
    gene_column: str | None = None,
    cell_types: Mapping[str, str] | None = None,
    ontology: Ontology | None = None,
    min_overlap: float = MIN_OVERLAP,
    description: Description | None = None,
    description_name: str | None = None,
) -> Registered:
    """Register a Perturb-seq data set, an h5ad file or a Census-layout store, as a source of a corpus.

    Its counts stay where they are. They are read twice in a stream: once value by value to see that they are
    counts, once to hash what each cell holds. Memory: obs, 24 bytes a cell, and one block of at most 2**23
    stored values; it does not grow with the matrix, be it dense or sparse.

    Parameters
    ----------
    name
        What manifests call it.
    perturbation_column, control
        Obs column that says how a cell is perturbed, and its values of unperturbed cells.
    map
        By Census obs column: an obs column of the file, or "=value"; see `curate.h5ad.obs.census_obs`. By
        default dataset_id is `name`.
    layer, gene_column, cell_types, ontology
        As for `curate.census.from_h5ad.create`.
    min_overlap
        Least share of the source's genes that the corpus must have.
    description
        Stands in for what is not given. Where the file is another than described, the source notes it.
    description_name
        What the description is called.

    Raises
    ------
    SourceError
        When the name is taken or none; when the file holds no raw counts, lacks the column, has no control
        cells, or has genes of another organism or too few of the corpus'.
    WriteError
        When it cannot be written; nothing of it is left then.
    """
    given = description
    column = perturbation_column or (given.perturbation_column if given else None)
    control = tuple(control) or (given.control if given else ())
    columns = {**(given.map if given else {}), **(map or {})}
    _check(corpus, name, column, control, columns, min_overlap, given)
    assert column is not None
    ontology = Ontology.load() if ontology is None else ontology
    check_cell_types(cell_types or {}, ontology)

    # 1. The file.
    layer = layer or (given.layer if given else None)
    with open_reader(path, organism=corpus.header.organism, layer=layer) as reader:
        perturbations = perturbations_of(path, reader.obs, column)
        counts = _perturbation_counts(perturbations)
        _refuse_without_controls(path, column, control, counts)
        # 2. Its genes.
        mapping = map_source_genes(
            reader,
            table=corpus.gene_table,
            gene_column=gene_column or (given.gene_column if given else None),
            organism=corpus.header.organism,
        )
        _refuse_small_overlap(path, mapping.report(), min_overlap)
        # 3. Its obs.
        columns.setdefault("dataset_id", "dataset_id" if path.is_dir() else f"={name}")
        obs = census_obs(reader, columns, ontology, cell_types=cell_types)
        # 4. One pass over the counts.
        found = scan(reader, has_place=mapping.target >= 0)
        prints = fingerprint(reader, found.content, perturbations)
        cells = _cells(reader, obs.cells, perturbations, control, found)
        record = _file_record(path, reader, corpus.sources_path / name)
        n_cells = reader.n_cells
    # 5. Written.
    folder = corpus.sources_path / name
    with atomic_folder(folder) as aside:
        _write_cells(cells, aside / CELLS_FILE)
        _genes_table(mapping).write_parquet(aside / GENES_FILE)
        SourceDocument(
            name=name,
            id=source_id(prints),
            created=datetime.now(UTC).replace(microsecond=0),
            corpus=corpus.id,
            corpus_genes=corpus.header.genes.digest,
            organism=corpus.header.organism,
            file=record,
            n_cells=n_cells,
            genes=_genes_record(mapping.report(), found.counts_kept_fraction),
            perturbation=PerturbationRecord(
                column=column,
                control=control,
                n_control=sum(counts[value] for value in control if value in counts),
                counts=counts,
            ),
            fingerprint=prints,
            columns=tuple(cells.columns),
            labels=file_digest(aside / CELLS_FILE),
            map=columns,
            description=description_name,
            notes=given.differences(path, n_cells=n_cells) if given else (),
            software={"curate": __version__, **{each: version(each) for each in SOFTWARE}},
        ).save(aside / HEADER_FILE)
    source = Source.open(folder, corpus)
    ignored = tuple(each for each in obs.ignored if each != column)
    return Registered(source, mapping.report(), obs.cell_types, obs.filled, ignored)


def _check(
    corpus: Corpus,
    name: str,
    column: str | None,
    control: Sequence[str],
    map: Mapping[str, str],
    min_overlap: float,
    description: Description | None,
) -> None:
    if not re.fullmatch(NAME_PATTERN, name) or name == CENSUS:
        taken = f"; {CENSUS!r} are the corpus' own cells" if name == CENSUS else ""
        raise SourceError(
            f"{name!r} cannot be the name of a source{taken}; take letters, digits, '.', '_', '-'"
        )
    if name in source_names(corpus):
        raise SourceError(
            f"corpus {corpus.name!r} has a source {name!r} already; take another name, or remove "
            f"{corpus.sources_path / name} if no manifest needs it"
        )
    if not 0 <= min_overlap <= 1:
        raise SourceError(f"a least overlap of {min_overlap:g} is no share; give one from 0 to 1")
    missing = [
        option for option, value in (("--perturbation-column", column), ("--control", control)) if not value
    ]
    if missing:
        why = f"; the description {description.title!r} does not say it" if description else ""
        raise SourceError(f"{' and '.join(missing)} must be given{why}")
    if description is not None and description.organism != corpus.header.organism:
        raise SourceError(
            f"{description.title} is of {description.organism}, corpus {corpus.name!r} of "
            f"{corpus.header.organism}; take a source of that organism"
        )
    check_map(map)


def _perturbation_counts(perturbations: pl.Series) -> dict[str, int]:
    counted = perturbations.value_counts(name="n").sort("n", PERTURBATION, descending=[True, False])
    return {str(value): int(n) for value, n in counted.iter_rows()}


def _refuse_without_controls(
    path: Path, column: str, control: Sequence[str], counts: Mapping[str, int]
) -> None:
    absent = [value for value in control if value not in counts]
    if absent:
        most = ", ".join(f"{value!r} ({n:,})" for value, n in list(counts.items())[:_N_LISTED])
        which = "has no control cells: none" if len(absent) == len(control) else "lacks a control: none"
        raise SourceError(
            f"{path} {which} of {sum(counts.values()):,} cells has {absent[0]!r} in {column}, most have "
            f"{most}; name the value of unperturbed cells with --control"
        )


def _refuse_small_overlap(path: Path, report: GeneReport, min_overlap: float) -> None:
    if report.mapped_fraction < min_overlap:
        foreign = max(report.looks_like.items(), key=lambda item: len(item[1]), default=None)
        like = ""
        if foreign and len(foreign[1]) > _N_LISTED:
            examples = ", ".join(foreign[1][:3])
            like = f" {counted(len(foreign[1]), 'gene')} look like {foreign[0]} ({examples}, …);"
        raise SourceError(
            f"{path}: {report.sentence()}; at least {min_overlap:.0%} of the source's genes must be the "
            f"corpus';{like} take another source, or lower --min-overlap"
        )


def _cells(
    reader: Reader, obs: pl.DataFrame, perturbations: pl.Series, control: Sequence[str], found: Scan
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            NAME: reader.obs_names,
            CONTENT: found.content,
            PERTURBATION: perturbations,
            IS_CONTROL: perturbations.is_in(list(control)),
            "raw_sum": found.raw_sum,
            "nnz": found.nnz,
        }
    ).hstack(obs.select(MAPPABLE))


def _write_cells(cells: pl.DataFrame, path: Path) -> None:
    """Write the cells, text of few values as codes."""
    plain = (NAME, "observation_joinid")
    table = cells.to_arrow()
    for i, column in enumerate(table.schema):
        if cells.schema[column.name] == pl.String and column.name not in plain:
            values = table[column.name].cast("string").dictionary_encode().unify_dictionaries()
            table = table.set_column(i, column.name, values)
    pq.write_table(table, path, compression="zstd", row_group_size=ROW_GROUP_CELLS)


def _genes_table(mapping: GeneMapping) -> pl.DataFrame:
    ids = mapping.space.feature_ids
    return pl.DataFrame(
        {
            "name": mapping.names,
            "feature_id": [ids[t] if t >= 0 else None for t in mapping.target.tolist()],
            "how": mapping.how,
        },
        schema={"name": pl.String, "feature_id": pl.String, "how": pl.String},
    )


def _genes_record(report: GeneReport, counts_kept_fraction: float) -> GenesRecord:
    return GenesRecord(
        n_genes=report.n_genes,
        n_space=report.n_space,
        n_mapped=report.n_mapped,
        n_measured=report.n_measured,
        mapped_fraction=report.mapped_fraction,
        measured_fraction=report.measured_fraction,
        how=report.how,
        n_unmapped=len(report.unmapped),
        n_summed=sum(len(names) for names in report.collisions.values()),
        looks_like={organism: len(names) for organism, names in report.looks_like.items()},
        counts_kept_fraction=counts_kept_fraction,
    )


def _file_record(path: Path, reader: Reader, folder: Path) -> FileRecord:
    n_bytes, mtime_ns = stamp(path)
    whole = path.resolve()
    return FileRecord(
        path=str(whole),
        relative_path=os.path.relpath(whole, folder.resolve()),
        kind="census" if path.is_dir() else "h5ad",
        layer=reader.layer,
        n_bytes=n_bytes,
        mtime_ns=mtime_ns,
    )
