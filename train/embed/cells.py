"""From data to vectors: any cells as a trained model sees them, in a stream.

1. the data are opened, and every value of an h5ad file is looked at: raw counts only;
2. their genes are mapped into those of the model, and refused when too few are there;
3. block by block, counts are aligned and embedded while the next block is read;
4. the vectors are written aside and renamed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from curate.atomic import atomic_file
from curate.errors import ModelError
from curate.h5ad.source import H5adSource
from curate.progress import progress
from curate.threads import ahead
from curate.train.embed.device import on_device
from curate.train.embed.files import SUFFIXES, write_vectors
from curate.train.embed.genes import MIN_OVERLAP, Overlap, map_to_model
from curate.train.embed.sources import open_cells

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import scipy.sparse as sp
    from numpy.typing import NDArray

    from curate.genes import GeneMapping
    from curate.manifests.document import Split
    from curate.train.artifact import Artifact
    from curate.train.models.model import Model


@dataclass(frozen=True)
class EmbeddedCells:
    """What was embedded.

    Attributes
    ----------
    key
        Of obsm in an h5ad file, and what the columns of a Parquet file begin with.
    layer
        Where the counts stood.
    n_empty
        Cells without a count in any gene of the model: all of them have the same vector, which says nothing.
    """

    path: Path
    n_cells: int
    n_dims: int
    key: str
    layer: str
    overlap: Overlap
    n_empty: int


def embed_cells(
    artifact: Artifact,
    data: Path,
    out: Path,
    *,
    layer: str | None = None,
    gene_column: str | None = None,
    split: Split | None = None,
    min_overlap: float = MIN_OVERLAP,
    accelerator: str = "auto",
) -> EmbeddedCells:
    """Embed cells by a trained model.

    The same data give the same bytes on one machine.

    Parameters
    ----------
    data
        An h5ad file, a store of the Census layout, or a folder of shards.
    out
        A file to make, with its folder where there is none yet: `.h5ad`, `.parquet` or `.npy`; see
        `curate.train.embed.files.write_vectors`.
    layer
        Where the raw counts of an h5ad file stand; by default X or raw.X.
    gene_column
        Column of var with Ensembl ids or symbols; by default the usual ones are looked for.
    split
        Only these cells of shards.
    min_overlap
        Least share of the model's genes that the data must have; the others are taken as zero.
    accelerator
        "cpu", "gpu", or "auto": the GPU where there is one.

    Notes
    -----
    Memory: the model, obs, three blocks of at most 4,096 cells, and what the model needs for
    `Model.embed_cells` cells; it does not grow with the matrix.

    Raises
    ------
    ModelError
        When the data have too few of the model's genes, `out` is there or of another kind, or the model is
        damaged.
    SourceError, ShardError, CensusError
        When the data cannot be read, or hold no raw counts.
    WriteError
        When `out` cannot be written; nothing is left half-written.
    """
    if out.suffix not in SUFFIXES:
        raise ModelError(
            f"{out} ends in {out.suffix or 'nothing'}; vectors are written to {', '.join(SUFFIXES)}"
        )
    if out.exists():
        raise ModelError(f"{out} exists; name another file or remove it first")
    model = artifact.load()
    key = f"X_{artifact.header.model}"
    # 1. The data.
    with open_cells(data, organism=artifact.header.trained_on.organism, layer=layer, split=split) as source:
        # 2. Their genes.
        mapping = map_to_model(
            source,
            model.genes,
            organism=artifact.header.trained_on.organism,
            gene_column=gene_column,
            min_overlap=min_overlap,
        )
        on_device(model, accelerator)
        # 3. and 4. The vectors.
        totals = _Totals()
        with progress(f"Embedding {data.name}", source.n_cells) as advance, atomic_file(out) as aside:

            def vectors() -> Iterator[NDArray[np.float32]]:
                for block in _embedded(model, source.blocks(), mapping, totals):
                    yield block
                    advance(block.shape[0])

            write_vectors(
                aside,
                vectors(),
                suffix=out.suffix,
                n_dims=artifact.header.n_dims,
                names=source.obs_names,
                obs=source.obs,
                original=data if isinstance(source, H5adSource) else None,
                key=key,
                facts={"model": artifact.name, "model_id": artifact.id},
            )
        n_cells, found_layer = source.n_cells, getattr(source, "layer", "shards")
    return EmbeddedCells(
        path=out,
        n_cells=n_cells,
        n_dims=artifact.header.n_dims,
        key=key,
        layer=found_layer,
        overlap=replace(Overlap.of(mapping), counts_fraction=totals.kept / max(1.0, totals.every)),
        n_empty=totals.n_empty,
    )


@dataclass
class _Totals:
    """Counts that were read, those of them in genes of the model, and cells that have none of these."""

    every: float = 0.0
    kept: float = 0.0
    n_empty: int = 0


def _embedded(
    model: Model, blocks: Iterator[sp.csr_array], mapping: GeneMapping, totals: _Totals
) -> Iterator[NDArray[np.float32]]:
    for block in ahead(blocks):
        aligned = mapping.align(block)
        of_cells = aligned.sum(axis=1, dtype=np.float64)
        totals.every += float(block.sum(dtype=np.float64))
        totals.kept += float(of_cells.sum())
        totals.n_empty += int((of_cells == 0).sum())
        yield model.embed(aligned)
