"""What `benchmarks.shards` runs in child processes; each prints a line of JSON."""

from __future__ import annotations

import json
import shutil
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from curate.memory import keep_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from curate.corpus import Corpus

    #: Index pointers, indices and data of CSR counts.
    Csr = tuple[Any, Any, Any]

BATCH, CHUNK, GROUP = 256, 512, 64


def _seconds(function: Callable[..., Any], *arguments: Any) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


@click.group()
def main() -> None:
    """Run one measurement."""


@main.command()
@click.argument("workspace", type=Path)
@click.argument("ref")
@click.argument("folder", type=Path)
@click.option("--turns", default=3)
def speed(workspace: Path, ref: str, folder: Path, turns: int) -> None:
    """Materialise, and read the same cells raw in three ways, in turns; the first turn warms up."""
    keep_memory()
    from curate.manifests.manifest import Manifest
    from curate.passes.counts import corpus_counts
    from curate.train.shards.materialize import materialize
    from curate.workspace import Workspace

    manifest = Manifest.load(ref, workspace=Workspace.find(workspace))
    corpus = manifest.corpus()
    found: dict[str, list[float]] = {"ours": [], "csr": [], "tables": [], "tiledbsoma": [], "verify": []}
    with corpus_counts(corpus, block_cells=4096) as counts:
        for _ in range(turns + 1):
            shutil.rmtree(folder, ignore_errors=True)
            found["ours"].append(_seconds(materialize, manifest, folder))
            found["csr"].append(
                _seconds(_in_threads, corpus, lambda runs: sum(1 for _ in counts.blocks(runs)))
            )
            found["tables"].append(
                _seconds(_in_threads, corpus, lambda runs: sum(e[0].size for e in counts.entries(runs)))
            )
            found["verify"].append(_seconds(materialize(manifest, folder).verify))
    # Once: it is no near thing.
    found["tiledbsoma"] = [0.0, *[_seconds(_blockwise, corpus)] * turns]
    n_bytes = sum(each.stat().st_size for each in folder.iterdir())
    told = {name: each[1:] for name, each in found.items()}
    click.echo(json.dumps({**told, "n_cells": len(manifest.held_cells), "n_bytes": n_bytes}))


def _in_threads(corpus: Corpus, read: Callable[[Any], int]) -> None:
    from curate.passes.units import Windows

    joinids = corpus.joinids()
    units = [[joinids[a:b] for a, b in unit.runs] for unit in Windows.of(joinids).units()]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(read, units))


def _blockwise(corpus: Corpus) -> None:
    """Read CSR blocks as tiledbsoma itself makes them."""
    import tiledbsoma as soma

    uri = f"{corpus.census_uri()}/census_data/{corpus.header.organism}/ms/RNA/X/raw"
    context = soma.SOMATileDBContext(tiledb_config={"soma.init_buffer_bytes": str(2**26)})
    joinids = corpus.joinids()
    with soma.SparseNDArray.open(uri, context=context) as array:
        reader = array.read((slice(int(joinids[0]), int(joinids[-1])), slice(None)))
        for _ in reader.blockwise(axis=0, size=4096).scipy():
            pass


def _csr16(counts: Csr, path: Path) -> Callable[[list[int]], Csr]:
    return _mapped([each if k == 0 else each.astype(np.uint16) for k, each in enumerate(counts)], path)


def _csr32(counts: Csr, path: Path) -> Callable[[list[int]], Csr]:
    return _mapped([counts[0], counts[1].astype(np.uint32), counts[2].astype(np.uint32)], path)


def _mapped(arrays: Iterable[Any], path: Path) -> Callable[[list[int]], Csr]:
    path.mkdir()
    for number, array in enumerate(arrays):
        np.save(path / f"{number}.npy", array)
    indptr, indices, data = (np.load(path / f"{number}.npy", mmap_mode="r") for number in range(3))
    return lambda chunks: _joined((indptr[c * CHUNK : (c + 1) * CHUNK + 1], indices, data) for c in chunks)


def _joined(parts: Iterable[Csr]) -> Csr:
    """Put the spans of rows together that each part's index pointers tell of."""
    lengths, indices, data = [np.zeros(1, np.int64)], [], []
    for pointers, held_indices, held_data in parts:
        lengths.append(np.diff(pointers))
        indices.append(held_indices[pointers[0] : pointers[-1]])
        data.append(held_data[pointers[0] : pointers[-1]])
    return np.cumsum(np.concatenate(lengths)), np.concatenate(indices), np.concatenate(data)


def _arrow_batches(counts: Csr) -> Iterator[Any]:
    import pyarrow as pa

    indptr, indices, data = counts
    for first in range(0, indptr.size - 1, CHUNK):
        pointers = indptr[first : first + CHUNK + 1]
        offsets = pa.array((pointers - pointers[0]).astype(np.int32))
        span = slice(int(pointers[0]), int(pointers[-1]))
        lists = [
            pa.ListArray.from_arrays(offsets, pa.array(each[span].astype(np.uint16)))
            for each in (indices, data)
        ]
        yield pa.record_batch(lists, names=["genes", "counts"])


def _of_arrow(batch: Any) -> Csr:
    genes, values = batch.column(0), batch.column(1)
    return genes.offsets.to_numpy().astype(np.int64), genes.values.to_numpy(), values.values.to_numpy()


def _arrow(counts: Csr, path: Path) -> Callable[[list[int]], Csr]:
    import pyarrow as pa

    batches = list(_arrow_batches(counts))
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with (
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_file(file, batches[0].schema, options=options) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)
    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    return lambda chunks: _joined(_of_arrow(reader.get_batch(c)) for c in chunks)


def _parquet(counts: Csr, path: Path) -> Callable[[list[int]], Csr]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    batches = list(_arrow_batches(counts))
    with pq.ParquetWriter(path, batches[0].schema, compression="zstd", use_dictionary=False) as writer:
        for batch in batches:
            writer.write_table(pa.Table.from_batches([batch]))
    file = pq.ParquetFile(path, memory_map=True)

    def read(chunks: list[int]) -> Csr:
        tables = [file.read_row_group(c).combine_chunks() for c in chunks]
        return _joined(_of_arrow(table.to_batches()[0]) for table in tables)

    return read


def _zarr(counts: Csr, path: Path, *, pipeline: str | None = None) -> Callable[[list[int]], Csr]:
    """Write CSR by anndata into sharded Zarr v3; spans of rows are read as anndata reads them."""
    import scipy.sparse as sp
    import zarr
    from anndata import settings
    from anndata.io import sparse_dataset, write_elem

    if pipeline is not None:
        zarr.config.set({"codec_pipeline.path": pipeline})
    indptr, indices, data = counts
    matrix = sp.csr_matrix((data.astype(np.float32), indices.astype(np.int32), indptr), copy=False)
    with settings.override(zarr_write_format=3, auto_shard_zarr_v3=False):
        group = zarr.open_group(path, mode="w")
        chunk = 2**18
        write_elem(group, "X", matrix, dataset_kwargs={"chunks": (chunk,), "shards": (64 * chunk,)})
    held = sparse_dataset(zarr.open_group(path, mode="r")["X"])

    def read(chunks: list[int]) -> Csr:
        parts = [held[c * CHUNK : (c + 1) * CHUNK] for c in chunks]
        return _joined((part.indptr, part.indices, part.data) for part in parts)

    return read


LAYOUTS: dict[str, Callable[[Csr, Path], Callable[[list[int]], Csr]]] = {
    "csr16": _csr16,
    "csr32": _csr32,
    "arrow": _arrow,
    "parquet": _parquet,
    "zarr": _zarr,
    "zarrs": lambda counts, path: _zarr(counts, path, pipeline="zarrs.ZarrsCodecPipeline"),
}


@main.command()
@click.argument("name", type=click.Choice(list(LAYOUTS)))
@click.argument("shards", type=Path)
@click.argument("path", type=Path)
@click.option("--epochs", default=3)
def layout(name: str, shards: Path, path: Path, epochs: int) -> None:
    """Write training cells in a layout; read chunks in the loader's order, and make dense batches of them."""
    from curate.train.loader.kernels import fill_counts
    from curate.train.shards import Shards

    opened = Shards.open(shards)
    parts = opened.split("train")
    counts = _joined((part.indptr, part.indices, part.data) for part in parts)
    n_cells = (counts[0].size - 1) // CHUNK * CHUNK
    counts = (counts[0][: n_cells + 1], *(each[: counts[0][n_cells]] for each in counts[1:]))
    start = time.perf_counter()
    read = LAYOUTS[name](counts, path)
    write_s = time.perf_counter() - start
    rates = []
    for epoch in range(epochs + 1):
        rng = np.random.default_rng(epoch)
        chunks, n, start = rng.permutation(n_cells // CHUNK), 0, time.perf_counter()
        for first in range(0, chunks.size, GROUP):
            indptr, indices, data = read(chunks[first : first + GROUP].tolist())
            order = rng.permutation(indptr.size - 1)
            for at in range(0, order.size, BATCH):
                rows = order[at : at + BATCH]
                out = np.empty((rows.size, opened.header.n_genes), np.float32)
                fill_counts(indptr, indices, data, rows, np.arange(rows.size), out)
                n += 1
        rates.append(n / (time.perf_counter() - start))
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    n_bytes = sum(each.stat().st_size for each in files)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = {"write_s": write_s, "rate": statistics.median(rates[1:]), "n_bytes": n_bytes, "n_cells": n_cells}
    click.echo(json.dumps(found))


if __name__ == "__main__":
    main()
