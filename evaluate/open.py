"""Evaluation data from where they lie: an h5ad file, a store, a query of the Census, or a manifest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import scipy.sparse as sp

from curate.errors import EvaluationError
from curate.evaluate.data import EvaluationData
from curate.h5ad.source import H5adSource
from curate.manifests.document import CENSUS, SPLITS
from curate.manifests.manifest import Manifest
from curate.progress import progress
from curate.sources.scan import open_reader
from curate.train.embed.genes import MIN_OVERLAP
from curate.where import Where

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from curate.manifests.document import Split
    from curate.workspace import Workspace

CENSUS_PREFIX, MANIFEST_PREFIX = "census:", "manifest:"


def open_data(
    ref: str,
    *,
    workspace: Workspace | None = None,
    where: str | None = None,
    layer: str | None = None,
    gene_column: str | None = None,
    organism: str = "homo_sapiens",
    min_overlap: float = MIN_OVERLAP,
    max_cells: int | None = None,
    seed: int = 0,
) -> EvaluationData:
    """Read evaluation data into memory: 8 bytes a non-zero count, twice that while they are read.

    Parameters
    ----------
    ref
        The path of an h5ad file or of a store of the Census layout; ``census:FILTER``, cells of the
        workspace's Census, such as ``census:dataset_id == 'f171db61-e57e-4535-a06a-35d8b6ef8f2b'``; or
        ``manifest:REF`` or ``manifest:REF:val``, cells of one split of a manifest, by default test.
    where
        Only cells of a file or store that match this filter on obs.
    layer, gene_column
        Of a file: where its raw counts stand, and the column of var with Ensembl ids or symbols.
    organism
        Whose cells of a store.
    min_overlap
        Least share of a model's genes that the data must have.
    max_cells
        Where there are more, so many are drawn at random, by `seed`; a notice says so.

    Raises
    ------
    EvaluationError
        When nothing matches, or an option does not go with the kind of data.
    SourceError, CensusError, ManifestError, FilterError
        When they cannot be read.
    """
    if ref.startswith((CENSUS_PREFIX, MANIFEST_PREFIX)):
        given = {"where": where, "layer": layer, "gene_column": gene_column}
        if wrong := [name for name, value in given.items() if value is not None]:
            raise EvaluationError(f"{wrong[0].replace('_', '-')} goes with a file, not with {ref}")
    if ref.startswith(MANIFEST_PREFIX):
        data = _of_manifest(ref.removeprefix(MANIFEST_PREFIX), workspace)
    elif ref.startswith(CENSUS_PREFIX):
        data = _of_census(ref.removeprefix(CENSUS_PREFIX), workspace, organism)
    else:
        data = _of_file(Path(ref), organism, where=where, layer=layer, gene_column=gene_column)
    data = replace(data, min_overlap=min_overlap)
    if max_cells is not None and data.n_cells > max_cells:
        rows = np.sort(np.random.default_rng(seed).choice(data.n_cells, max_cells, replace=False))
        data.notices.append(f"{max_cells:,} of {data.n_cells:,} cells drawn at random, seed {seed}")
        data = data.take(rows)
    return data


def _of_file(
    path: Path, organism: str, *, where: str | None, layer: str | None, gene_column: str | None
) -> EvaluationData:
    if not path.exists():
        raise EvaluationError(
            f"{path} is not there; name an h5ad file, a store, census:FILTER or manifest:REF[:SPLIT]"
        )
    with open_reader(path, organism=organism, layer=layer) as source:
        cells = None
        if where is not None:
            cells = Where.parse(where).mask(source.obs).to_numpy()
            _refuse_none(cells, f"{path} has {source.n_cells:,} cells, of which none matches {where}")
        with progress(f"Reading {path.name}", source.n_cells) as advance:
            counts = _stacked(source.blocks(cells=cells), source.n_genes, advance)
        rows = slice(None) if cells is None else np.flatnonzero(cells)
        return EvaluationData(
            name=path.stem if isinstance(source, H5adSource) else path.name,
            path=path,
            counts=counts,
            obs_names=source.obs_names[rows],
            obs=source.obs[rows],
            var_names=source.var_names,
            var=source.var,
            organism=organism,
            layer=layer,
            gene_column=gene_column,
        )


def _of_census(text: str, workspace: Workspace | None, organism: str) -> EvaluationData:
    if workspace is None:
        raise EvaluationError(f"census:{text} is read from the Census of a workspace; there is none here")
    where = Where.parse(text)
    with workspace.settings.census.open() as census:
        names = [name for name in census.obs_columns(organism) if name != "soma_joinid"]
        tables = [pl.DataFrame(pl.from_arrow(each)) for each in census.read_obs(organism, names, where=where)]
        obs = pl.concat(tables)
        if not obs.height:
            raise EvaluationError(
                f"none of the {census.n_cells(organism):,} cells of {census.uri} matches {text}"
            )
        joinids = obs["soma_joinid"].to_numpy().astype(np.int64)
        var = census.read_var(organism)
        with progress("Reading the Census", len(joinids)) as advance:
            blocks = (block.counts for block in census.read_counts(organism, joinids))
            counts = _stacked(blocks, var.height, advance)
        return EvaluationData(
            name=_short(text),
            path=Path(census.uri),
            counts=counts,
            obs_names=obs["soma_joinid"].cast(pl.String),
            obs=obs.drop("soma_joinid"),
            var_names=var["feature_id"],
            var=var.select("feature_name"),
            organism=organism,
            label=census.summary.get("label"),
            identity=obs.select(pl.lit(CENSUS).alias("source"), pl.col("soma_joinid").cast(pl.Int64)),
            census=census.content,
        )


def _of_manifest(text: str, workspace: Workspace | None) -> EvaluationData:
    ref, _, named = text.rpartition(":")
    if named not in SPLITS or not ref:
        ref, named = text, "test"
    split: Split = named  # type: ignore[assignment]
    manifest = Manifest.load(ref, workspace=workspace)
    held = manifest.to_anndata(split=split)
    obs = pl.from_pandas(held.obs)
    genes = manifest.corpus().genes()
    return EvaluationData(
        name=f"{manifest.ref}:{split}",
        path=Path(manifest.folder),
        counts=sp.csr_array(held.X).astype(np.uint32),
        obs_names=pl.Series(held.obs_names.astype(str).to_list()),
        obs=obs.drop("source", "soma_joinid", "split"),
        var_names=pl.Series(genes.feature_ids),
        var=pl.DataFrame({"feature_name": genes.feature_names}),
        organism=manifest.document.corpus.organism,
        label=manifest.document.corpus.label,
        identity=obs.select(pl.col("source").cast(pl.String), pl.col("soma_joinid").cast(pl.Int64)),
        census=manifest.document.corpus.census,
    )


def _stacked(blocks: Iterable[sp.csr_array], n_genes: int, advance: Callable[[int], None]) -> sp.csr_array:
    held: list[Any] = [sp.csr_array((0, n_genes), dtype=np.uint32)]
    for block in blocks:
        held.append(block.astype(np.uint32))
        advance(block.shape[0])
    found: sp.csr_array = sp.csr_array(sp.vstack(held, format="csr"))
    return found


def _refuse_none(cells: np.ndarray, message: str) -> None:
    if not cells.any():
        raise EvaluationError(f"{message}; name other values")


def _short(text: str) -> str:
    """Return the value of a plain equality, else the filter."""
    parts = text.replace('"', "'").split("'")
    return parts[1] if len(parts) == 3 else text
