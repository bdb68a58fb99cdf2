"""An index past the study's size: the corpus of `make-corpus` several times over, sealed as a build seals.

It is made without a store, from blocks as the first stage of `corpus build` leaves them: every repetition has
datasets, joinids and identities of its own.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import polars as pl
import pyarrow as pa

from benchmarks.index import TEN_COLUMNS
from benchmarks.make_corpus import NAME
from curate.atomic import atomic_folder
from curate.corpus import Corpus
from curate.corpus.blocks import METADATA, Block, BlockCounts
from curate.corpus.corpus import GENES_FILE, HEADER_FILE, JOINID
from curate.corpus.document import FORMAT
from curate.corpus.seal import KeptCells, seal_cells
from curate.documents import canonical_digest
from curate.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGE = "large"
BLOCK_CELLS = 2**20


@click.command()
@click.argument("base_workspace", type=click.Path(exists=True, path_type=Path))
@click.argument("workspace", type=click.Path(path_type=Path))
@click.option("--n-cells", default=100_000_000, show_default=True)
def command(base_workspace: Path, workspace: Path, *, n_cells: int) -> None:
    """Make a workspace with the corpus `large` from the workspace of `make-corpus`."""
    base = Corpus.open(base_workspace / "corpora" / NAME)
    Workspace.create(workspace)
    start = time.perf_counter()
    with atomic_folder(workspace / "corpora" / LARGE) as folder:
        write_large(base, folder, n_cells=n_cells)
    click.echo(f"{n_cells:,} cells in {time.perf_counter() - start:.0f} s")


def write_large(base: Corpus, folder: Path, *, n_cells: int) -> None:
    """Write the corpus; memory is about that of the columns of `base`."""
    obs = base.columns([JOINID, *TEN_COLUMNS])
    with atomic_folder(folder / "blocks") as aside:
        for number, table in enumerate(_tables(obs, n_cells)):
            _write_block(aside / f"{number:06}.arrow", table)
    blocks = [block for path in sorted((folder / "blocks").iterdir()) if (block := Block.open(path))]
    sealed = seal_cells(blocks, folder, columns=list(TEN_COLUMNS), kept=KeptCells(), release=LARGE)
    for block in blocks:
        block.path.unlink()
    (folder / "blocks").rmdir()
    (folder / GENES_FILE).write_bytes((base.path / GENES_FILE).read_bytes())
    content = {"format": FORMAT, "genes": base.header.genes.digest, "cells": sealed.content}
    base.header.model_copy(
        update={
            "name": LARGE,
            "id": canonical_digest(content),
            "created": datetime.now(UTC),
            "identity": "release+soma_joinid",
            "n_read": n_cells,
            "n_cells": sealed.n_cells,
            "dropped": (),
            "columns": TEN_COLUMNS,
        }
    ).save(folder / HEADER_FILE)


def _tables(obs: pl.DataFrame, n_cells: int) -> Iterator[pa.Table]:
    arrow = {name: obs[name].to_physical().to_numpy() for name in obs.columns}
    labels = {name: _labels(obs[name]) for name in TEN_COLUMNS}
    stride = int(obs[JOINID][-1]) + 1
    for first in range(0, n_cells, BLOCK_CELLS):
        parts = []
        at, last = first, min(first + BLOCK_CELLS, n_cells)
        while at < last:
            copy, row = divmod(at, obs.height)
            n = min(last - at, obs.height - row)
            parts.append(_part(arrow, labels, copy=copy, rows=slice(row, row + n), offset=copy * stride))
            at += n
        yield pa.concat_tables(parts).unify_dictionaries().combine_chunks()


def _part(
    arrow: dict[str, np.ndarray], labels: dict[str, list[str]], *, copy: int, rows: slice, offset: int
) -> pa.Table:
    joinids = arrow[JOINID][rows] + offset
    columns = {JOINID: pa.array(joinids)}
    for name in TEN_COLUMNS:
        values = [f"{label}-{copy}" for label in labels[name]] if name == "dataset_id" else labels[name]
        codes = pa.array(arrow[name][rows].astype(np.uint16))
        columns[name] = pa.DictionaryArray.from_arrays(codes, pa.array(values, pa.string()))
    return pa.table(columns)


def _labels(column: pl.Series) -> list[str]:
    assert isinstance(column.dtype, pl.Enum)
    return column.dtype.categories.to_list()


def _write_block(path: Path, table: pa.Table) -> None:
    counts = BlockCounts(
        last_joinid=table[JOINID][-1].as_py(),
        n_read=table.num_rows,
        filter_dropped=0,
        assays_dropped=0,
        assays_matching=0,
        assay_values={},
        quality_dropped={},
        quality_matching={},
    )
    table = table.replace_schema_metadata({METADATA: counts.model_dump_json().encode()})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
