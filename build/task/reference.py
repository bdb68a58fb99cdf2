"""The reference data of a task: its cells, their halves, and the labels of the training half.

Of the held-out half nothing is kept but which cells they are. The columns that say which cells are meant
(`where`) and where they belong (`split`) are looked at cell by cell; labels are those of the training half.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from curate.build.task.halves import split_halves, value_texts
from curate.build.task.terms import find_term, find_type
from curate.census import Census
from curate.census.layout import UNKNOWN
from curate.errors import TaskError
from curate.h5ad.source import H5adSource
from curate.nearest import nearest
from curate.task import CELL
from curate.where import Where

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.corpus import Corpus
    from curate.ontology import Ontology
    from curate.task import ReferenceSource, TaskDocument

LABEL, TERM = "cell_type", "cell_type_ontology_term_id"


@dataclass(frozen=True)
class Label:
    """A label of the training half: its cells, and the term that it stands for."""

    n_cells: int
    term_id: str | None


@dataclass(frozen=True)
class Reference:
    """The cells of a reference that a task means.

    Attributes
    ----------
    kind, place, name
        An h5ad file or a Census; its path, uri or release; what it is called.
    rows, names
        int64 [n_train] ascending, rows of the file or soma_joinids of the Census; text, what they are called.
    held_out_rows
        int64 [n_held_out] ascending, likewise.
    labels
        By label, the cells of the training half; empty where the task has none.
    n_unlabelled
        Cells of the training half that were left out, for having no label.
    """

    source: ReferenceSource
    kind: Literal["h5ad", "census"]
    place: str
    name: str
    rows: NDArray[np.int64]
    names: pl.Series
    held_out_rows: NDArray[np.int64]
    labels: dict[str, Label]
    n_unlabelled: int

    @property
    def n_train(self) -> int:
        """Cells of the training half."""
        return len(self.rows)

    @property
    def n_held_out(self) -> int:
        """Cells of the held-out half, with or without a label."""
        return len(self.held_out_rows)

    @property
    def terms(self) -> tuple[str, ...]:
        """Ids of the terms that the labels stand for, ascending and distinct."""
        return tuple(sorted({label.term_id for label in self.labels.values() if label.term_id is not None}))


def open_reference(document: TaskDocument, corpus: Corpus, ontology: Ontology) -> Reference | None:
    """Read which cells the reference of a task has, and the labels of those for training.

    Raises
    ------
    TaskError
        When a column is not there, there are more cells than in the corpus, or none is for training.
    SourceError, CensusError
        When the file or the Census cannot be read.
    FilterError
        When `where` names an absent column.
    """
    source = document.reference
    if source is None:
        return None
    cells = (
        _read_file(document, source) if source.h5ad is not None else _read_census(document, source, corpus)
    )
    _refuse_large(cells, corpus)
    by = None if document.split.by == CELL else cells.column(document.split.by, "split.by")
    halves = split_halves(document.split, cells.names, by)
    train = cells.at(np.flatnonzero(halves.train))
    if not train.names.len():
        raise TaskError(
            f"none of the {cells.names.len():,} cells of {cells.name} is in the training half, split by "
            f"{document.split.by}; {_remedy(document, by)}"
        )
    _check_columns(document, source, train)
    labels = _labels(source, train, required=document.kind == "classification")
    has_label = np.ones(train.names.len(), np.bool_)
    if labels is not None and document.kind == "classification":
        has_label = (labels != UNKNOWN).to_numpy()
        train, labels = train.at(np.flatnonzero(has_label)), labels.filter(pl.Series(has_label))
    if not train.names.len():
        raise TaskError(
            f"none of the {len(has_label):,} cells of the training half of {cells.name} has a label in "
            f"{source.label_column or LABEL!r}; name another column with label_column"
        )
    return Reference(
        source=source,
        kind=cells.kind,
        place=cells.place,
        name=cells.name,
        rows=train.rows,
        names=train.names,
        held_out_rows=cells.rows[halves.held_out],
        labels={} if labels is None else _counted(labels, train, source, ontology),
        n_unlabelled=int((~has_label).sum()),
    )


@dataclass(frozen=True)
class _Cells:
    kind: Literal["h5ad", "census"]
    place: str
    name: str
    rows: NDArray[np.int64]
    names: pl.Series
    obs: pl.DataFrame

    def at(self, cells: NDArray[np.int64]) -> _Cells:
        return _Cells(self.kind, self.place, self.name, self.rows[cells], self.names[cells], self.obs[cells])

    def column(self, name: str, key: str) -> pl.Series:
        if name not in self.obs.columns:
            hint = nearest(name, self.obs.columns)
            raise TaskError(f"{self.name} has no obs column {name!r}, which {key} names; {hint}")
        return self.obs[name]


def _read_file(document: TaskDocument, source: ReferenceSource) -> _Cells:
    path = Path(document.beside(str(source.h5ad)))
    if not path.is_file():
        raise TaskError(f"task {document.name}: {path} is not there; name an h5ad file under [reference]")
    with H5adSource.open(path, layer=source.layer, check=False) as opened:
        rows = np.arange(opened.n_cells)
        if source.where is not None:
            rows = np.flatnonzero(Where.parse(source.where).mask(opened.obs).to_numpy())
        return _Cells("h5ad", str(path), path.name, rows, opened.obs_names[rows], opened.obs[rows])


def _read_census(document: TaskDocument, source: ReferenceSource, corpus: Corpus) -> _Cells:
    organism = corpus.header.organism
    with open_census(document, source, corpus) as census:
        stored = census.obs_columns(organism)
        asked = [source.label_column or LABEL, TERM, "dataset_id", "observation_joinid"]
        asked += [each for each in (source.batch_column, source.perturbation_column) if each is not None]
        asked += [document.split.by] if document.split.by != CELL else []
        columns = [name for name in dict.fromkeys(asked) if name in stored]
        where = Where.parse(source.where) if source.where is not None else None
        tables = census.read_obs(organism, columns, where=where)
        obs = pl.concat([pl.DataFrame(pl.from_arrow(table)) for table in tables])
        place, name = census.uri, f"Census {census.release}"
    rows = obs["soma_joinid"].to_numpy().astype(np.int64)
    named = pl.col("soma_joinid").cast(pl.String)
    if "observation_joinid" in obs.columns and obs["observation_joinid"].null_count() == 0:
        named = pl.concat_str(
            pl.col("dataset_id").cast(pl.String), pl.col("observation_joinid"), separator=":"
        )
    return _Cells("census", place, name, rows, obs.select(named.alias("name"))["name"], obs)


def open_census(document: TaskDocument, source: ReferenceSource, corpus: Corpus) -> Census:
    """Open the Census of a reference, with the access settings of the corpus' own."""
    assert source.census is not None
    record, uri = corpus.header.census, source.census.uri
    return Census.open(
        source.census.release or "stable",
        uri=document.beside(uri) if uri is not None else None,
        region=record.region if uri is not None else None,
        endpoint=record.endpoint if uri is not None else None,
        anonymous=record.anonymous if uri is not None else False,
    )


def _refuse_large(cells: _Cells, corpus: Corpus) -> None:
    n_cells = cells.names.len()
    if n_cells > corpus.n_cells:
        raise TaskError(
            f"reference {cells.name} has {n_cells:,} cells, corpus {corpus.name} {corpus.n_cells:,}: it is "
            "larger than what there is to choose from; take a larger corpus, or fewer cells with `where` "
            "under [reference]"
        )
    if n_cells == 0:
        raise TaskError(f"no cell of reference {cells.name} matches its `where`; loosen it")


def _remedy(document: TaskDocument, by: pl.Series | None) -> str:
    if by is None:
        return "raise train_fraction"
    values = value_texts(by).unique().sort().to_list()
    if document.split.train:
        return f"train names {', '.join(document.split.train)}; {nearest(document.split.train[0], values)}"
    return f"it has {len(values):,} values; name those for training with train = [...]"


def _check_columns(document: TaskDocument, source: ReferenceSource, train: _Cells) -> None:
    if source.batch_column is not None:
        train.column(source.batch_column, "batch_column")
    if source.perturbation_column is not None:
        values = value_texts(train.column(source.perturbation_column, "perturbation_column"))
        known = values.unique().sort().to_list()
        for control in source.control:
            if control not in known:
                raise TaskError(
                    f"no cell of the training half of {train.name} has the control {control!r} in "
                    f"{source.perturbation_column}; {nearest(control, known)}"
                )
    if document.split.train:
        known = value_texts(train.column(document.split.by, "split.by")).unique().to_list()
        if missing := [value for value in document.split.train if value not in known]:
            raise TaskError(
                f"no cell of {train.name} has {missing[0]!r} in {document.split.by}, which split.train "
                f"names; those found are {', '.join(sorted(known))}"
            )


def _labels(source: ReferenceSource, train: _Cells, *, required: bool) -> pl.Series | None:
    if source.label_column is None and not required and LABEL not in train.obs.columns:
        return None
    return value_texts(train.column(source.label_column or LABEL, "label_column"))


def _counted(
    labels: pl.Series, train: _Cells, source: ReferenceSource, ontology: Ontology
) -> dict[str, Label]:
    """Count labels and look up their terms: as the document says, by the file's own ids, by name."""
    has_ids = labels.name == LABEL and TERM in train.obs.columns
    ids = (
        value_texts(train.obs[TERM]) if has_ids else pl.repeat(None, len(labels), dtype=pl.String, eager=True)
    )
    pairs = pl.DataFrame([labels.alias("label"), ids.alias("id")])
    found: dict[str, Label] = {}
    for label, term_id, n in pairs.group_by("label", "id").len().sort("label", "id").iter_rows():
        if label == UNKNOWN:
            continue
        said, name = source.terms.get(label), label.strip()
        term = find_type(said or term_id, name, ontology) or find_term(name.removesuffix("s"), ontology)
        before = found.get(label, Label(0, None))
        found[label] = Label(before.n_cells + n, term or before.term_id)
    return dict(sorted(found.items(), key=lambda item: (-item[1].n_cells, item[0])))
