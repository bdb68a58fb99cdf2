"""Evaluation sets from where they lie: an h5ad file, a store of the Census layout, or a registered source."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from curate.build.leakage.evaluation import IDENTITY_COLUMNS, EvaluationSet, GeneGroup, fingerprint_of
from curate.build.leakage.packed import Packed
from curate.build.leakage.restore import restored_counts
from curate.census import Census
from curate.content import content_hashes, gene_keys
from curate.errors import LeakageError, SourceError
from curate.genes import GeneMapping, map_genes
from curate.h5ad.genes import map_source_genes
from curate.h5ad.source import H5adSource
from curate.progress import progress

if TYPE_CHECKING:
    import scipy.sparse as sp
    from numpy.typing import NDArray

    from curate.sources.source import Source


def open_evaluation(
    path: str | Path,
    *,
    var: pl.DataFrame,
    organism: str,
    layer: str | None = None,
    gene_column: str | None = None,
    rows: NDArray[np.int64] | None = None,
) -> EvaluationSet:
    """Read an evaluation set into memory: four bytes a non-zero.

    Parameters
    ----------
    path
        An h5ad file, or the folder or URI of a Census-layout store.
    var
        The genes of the corpus' Census (`Census.read_var`).
    layer
        Of a file: where its counts or log-normalised values stand. By default the first of X and raw.X that
        holds counts, else X.
    gene_column
        Of a file: the column of var with Ensembl ids or symbols.
    rows
        Only these cells of a file, int64 ascending, or of a store, by soma_joinid; all by default.

    Raises
    ------
    SourceError, CensusError
        When it cannot be read.
    LeakageError
        When it has no gene of the Census, or values below zero.
    """
    if "://" in str(path) or Path(path).is_dir():
        with Census.open(uri=str(path)) as census:
            return read_store(census, var=var, organism=organism, rows=rows)
    return _from_h5ad(Path(path), var, organism, layer=layer, gene_column=gene_column, rows=rows)


def read_store(
    census: Census, *, var: pl.DataFrame, organism: str, rows: NDArray[np.int64] | None = None
) -> EvaluationSet:
    """Read cells of an opened Census as an evaluation set; as `open_evaluation`."""
    uri = census.uri
    if organism not in census.organisms:
        known = ", ".join(census.organisms) or "none"
        raise LeakageError(f"{uri} holds no cells of {organism}, as the corpus does; it has: {known}")
    own = census.read_var(organism)
    mapping = map_genes(own["feature_id"].to_list(), symbols=own["feature_name"].to_list(), table=var)
    if mapping.n_mapped == 0:
        raise LeakageError(_no_genes(uri, own.height, var.height))
    joinids = np.arange(census.n_cells(organism)) if rows is None else rows
    tables = census.read_obs(organism, list(IDENTITY_COLUMNS), joinids=rows)
    obs = pl.concat([_text_columns(pl.DataFrame(pl.from_arrow(table))) for table in tables])
    read = _Read.begin(mapping, own["feature_id"].to_list())
    with progress("Reading the evaluation set", len(joinids)) as advance:
        for block in census.read_counts(organism, joinids):
            read.add(block.counts)
            advance(len(block.joinids))
    measured = _measured_genes(census, organism, obs["dataset_id"], mapping)
    # A column that is null throughout is one that the release lacks.
    known_obs = obs.select([name for name in obs.columns if obs[name].null_count() < obs.height])
    return read.finish(
        Path(uri.rstrip("/")).name,
        pl.Series(joinids.astype(str)),
        known_obs,
        n_genes=own.height,
        measured=measured,
        release_joinids=(census.content, joinids),
    )


def evaluation_of_source(source: Source, *, var: pl.DataFrame, rows: NDArray[np.int64]) -> EvaluationSet:
    """Read some cells of a source as an evaluation set, in those of its genes that the corpus has.

    Memory: four bytes a non-zero, twice that for a moment.

    Parameters
    ----------
    var
        The genes of the corpus' Census (`Census.read_var`).
    rows
        int64 [n] ascending.

    Raises
    ------
    SourceError
        When its file cannot be read, or holds other cells than were registered.
    """
    space = source.corpus.genes()
    mapping = map_genes(space.feature_ids, table=var)
    mapping = replace(mapping, target=np.where(source.mapping.measured, mapping.target, -1))
    read = _Read.begin(mapping, list(space.feature_ids))
    with progress(f"Reading {source.name}", len(rows)) as advance:
        for counts in source.counts(rows):
            read.add(counts)
            advance(counts.shape[0])
    obs = _text_columns(source.columns(IDENTITY_COLUMNS, rows=rows))
    return read.finish(source.name, pl.Series(rows.astype(str)), obs, n_genes=source.header.genes.n_genes)


def _from_h5ad(
    path: Path,
    var: pl.DataFrame,
    organism: str,
    *,
    layer: str | None,
    gene_column: str | None,
    rows: NDArray[np.int64] | None,
) -> EvaluationSet:
    with _opened(path, layer) as source:
        mapping = _mapped(source, var, organism, gene_column)
        read = _Read.begin(mapping, source.var_names.fill_null("").to_list())
        cells = None if rows is None else _marked(rows, source.n_cells)
        with progress(f"Reading {path.name}", source.n_cells if rows is None else len(rows)) as advance:
            for values in source.blocks(cells=cells):
                _refuse_negative(path, source.layer, values)
                read.add(values)
                advance(values.shape[0])
        names, obs = source.obs_names, source.obs
        if rows is not None:
            names, obs = names[rows], obs[rows]
        return read.finish(path.name, names, _text_columns(obs), n_genes=source.n_genes)


def _marked(rows: NDArray[np.int64], n_cells: int) -> NDArray[np.bool_]:
    mask = np.zeros(n_cells, np.bool_)
    mask[rows] = True
    return mask


@dataclass
class _Read:
    """What has been read of an evaluation set, block by block."""

    mapping: GeneMapping
    places: NDArray[np.int64]
    keys: NDArray[np.uint64]
    was_normalised: bool = False
    hashes: list[NDArray[np.uint64]] = field(default_factory=list)
    is_count: list[NDArray[np.bool_]] = field(default_factory=list)
    parts: list[Packed] = field(default_factory=list)

    @classmethod
    def begin(cls, mapping: GeneMapping, names: list[str]) -> _Read:
        places = np.flatnonzero(mapping.measured)
        return cls(mapping.restricted(places), places, gene_keys(names))

    def add(self, values: sp.csr_array) -> None:
        is_count = np.ones(values.shape[0], np.bool_)
        if (values.data != np.rint(values.data)).any():
            self.was_normalised = True
            values, is_count = restored_counts(values)
        self.hashes.append(content_hashes(values, self.keys))
        self.is_count.append(is_count)
        self.parts.append(Packed.of([self.mapping.align(values)], n_genes=len(self.places)))

    def finish(
        self,
        name: str,
        names: pl.Series,
        obs: pl.DataFrame,
        *,
        n_genes: int,
        measured: tuple[NDArray[np.int64], NDArray[np.bool_]] | None = None,
        release_joinids: tuple[str, NDArray[np.int64]] | None = None,
    ) -> EvaluationSet:
        is_count, hashes = np.concatenate(self.is_count), np.concatenate(self.hashes)
        packed = Packed.joined(self.parts, n_genes=len(self.places))
        if measured is None:
            every_gene = np.ones(len(self.places), np.bool_)
            groups = [self._group(packed, np.arange(packed.n_cells), every_gene, is_count)]
        else:
            of_cell, masks = measured
            kinds, kind = np.unique(masks[:, self.places], axis=0, return_inverse=True)
            groups = [
                self._group(packed, np.flatnonzero(kind[of_cell] == number), genes, is_count)
                for number, genes in enumerate(kinds)
            ]
        return EvaluationSet(
            name=name,
            names=names,
            obs=obs,
            groups=tuple(group for group in groups if len(group.cells)),
            n_genes=n_genes,
            n_mapped=len(self.places),
            is_count=is_count,
            was_normalised=self.was_normalised,
            release_joinids=release_joinids,
            content=np.where(is_count, hashes, np.uint64(0)),
            fingerprint=fingerprint_of(hashes, is_count, obs),
        )

    def _group(
        self,
        packed: Packed,
        cells: NDArray[np.int64],
        genes: NDArray[np.bool_],
        is_count: NDArray[np.bool_],
    ) -> GeneGroup:
        held = packed if len(cells) == packed.n_cells else packed.take(cells)
        genes = genes & (held.detected_in() > 0)
        return GeneGroup(cells, self.places[genes], held.only(genes), is_count[cells])


def _opened(path: Path, layer: str | None) -> H5adSource:
    """Open a file at its counts or, where it has none, at the values that there are."""
    try:
        return H5adSource.open(path, layer=layer)
    except SourceError:
        # It fails again where the file itself is at fault.
        return H5adSource.open(path, layer=layer or "X", check=False)


def _mapped(source: H5adSource, var: pl.DataFrame, organism: str, gene_column: str | None) -> GeneMapping:
    try:
        return map_source_genes(source, table=var, gene_column=gene_column, organism=organism)
    except SourceError:
        if gene_column is not None and gene_column not in source.var.columns:
            raise
        raise LeakageError(_no_genes(source.path, source.n_genes, var.height) + " (--gene-column)") from None


def _no_genes(path: str | Path, n_genes: int, n_known: int) -> str:
    return (
        f"{path}: none or next to none of its {n_genes:,} genes is among the {n_known:,} of the corpus' "
        "Census, by id or by symbol, so that nothing can be compared; name the column of var with Ensembl "
        "ids or symbols"
    )


def _refuse_negative(path: Path, layer: str, values: sp.csr_array) -> None:
    is_wrong = ~(values.data >= 0)
    if is_wrong.any():
        raise LeakageError(
            f"{path}: {layer} holds values that are no counts, nor made from them cell by cell "
            f"({int(is_wrong.sum()):,} of the first {len(is_wrong):,} below zero or not a number, such as "
            f"{values.data[is_wrong][0]:g}), so that what a cell detects is lost; name a layer with counts "
            "or log-normalised values (--layer)"
        )


def _text_columns(obs: pl.DataFrame) -> pl.DataFrame:
    return obs.select([pl.col(name).cast(pl.String) for name in IDENTITY_COLUMNS if name in obs.columns])


def _measured_genes(
    census: Census, organism: str, dataset_ids: pl.Series, mapping: GeneMapping
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the dataset of each cell, and which of the corpus Census' genes each dataset measured."""
    datasets = census.read_datasets()
    rows = dict(zip(datasets["dataset_id"], datasets["soma_joinid"], strict=True))
    presence = census.presence(organism)
    names = dataset_ids.unique().sort()
    masks = np.zeros((len(names), mapping.space.n_genes), np.bool_)
    for number, name in enumerate(names):
        has = presence[[rows[name]]].toarray()[0] if name in rows else np.ones(len(mapping.target), np.bool_)
        masks[number, mapping.target[has & (mapping.target >= 0)]] = True
    return dataset_ids.cast(pl.Enum(names)).to_physical().to_numpy().astype(np.int64), masks
