"""The size of manifests beside the entropy bound, diff and verify of large ones."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from benchmarks.make_corpus import NAME
from benchmarks.measure import curate, python, run
from benchmarks.table import Row, report, times
from curate.corpus import Corpus

FRACTIONS = (0.01, 0.1, 0.5, 0.75)
MOST_OF_BOUND, DIFF_S, VERIFY_S = 1.35, 3.0, 5.0
READERS = {
    "pyarrow": "import pyarrow.parquet as p; t = p.read_table({path!r}); print(t.num_rows)",
    "polars": "import polars as p; print(p.read_parquet({path!r}).height)",
    "pandas": "import pandas as p; print(len(p.read_parquet({path!r})))",
    "duckdb": "import duckdb as d; print(len(d.sql('select * from \"{path}\"').fetchall()))",
    "fastparquet": "import fastparquet as f; print(len(f.ParquetFile({path!r}).to_pandas()))",
}


@click.command()
@click.argument("workspace", type=click.Path(exists=True, path_type=Path))
@click.option("--corpus", "name", default=NAME, show_default=True)
@click.option("--runs", default=3, show_default=True)
@click.option("--peer-runs", default=3, show_default=True, help="Of pandas; 0 leaves it out.")
@click.option("--targets/--no-targets", default=True, help="Those for 22.2M cells on 2 cores.")
def command(workspace: Path, *, name: str, runs: int, peer_runs: int, targets: bool) -> None:
    """Measure cells.parquet at several fractions, diff and verify at 75 %."""
    corpus = Corpus.open(workspace / "corpora" / name)
    prefix = f"benchmark-{name}"
    for seeds, fractions in (("0", ",".join(map(str, FRACTIONS))), ("1", "0.75,0.01")):
        arguments = ("--corpus", name, "--strategy", "random", "--name", prefix, "--fraction", fractions)
        subprocess.run(
            curate("-C", workspace, "build", *arguments, "--seed", seeds),
            check=True,
            stdout=subprocess.DEVNULL,
        )
    rows = [_size(corpus, _folder(workspace, prefix, fraction)) for fraction in FRACTIONS]
    rows += _readers(_folder(workspace, prefix, 0.01), int(0.01 * corpus.n_cells))
    a, b = f"{prefix}-0.75-s0", f"{prefix}-0.75-s1"
    ours = run(curate("-C", workspace, "diff", a, b), n_runs=runs)
    theirs = (
        run(
            python(
                "benchmarks.peers",
                "diff",
                corpus.path / "cells.parquet",
                *(_folder(workspace, prefix, 0.75, seed) / "cells.parquet" for seed in (0, 1)),
            ),
            n_runs=peer_runs,
        )
        if peer_runs
        else None
    )
    n = int(0.75 * corpus.n_cells)
    rows.append(
        Row(
            f"diff of two of {n:,} cells",
            str(ours),
            str(theirs) if theirs else "",
            times(theirs.wall_s, ours.wall_s) if theirs else "",
            f"< {DIFF_S:g} s" if targets else "",
            ours.wall_s < DIFF_S if targets else None,
        )
    )
    ours = run(curate("-C", workspace, "manifests", "verify", a), n_runs=runs)
    rows.append(
        Row(
            f"verify of {n:,} cells",
            str(ours),
            target=f"< {VERIFY_S:g} s" if targets else "",
            met=ours.wall_s < VERIFY_S if targets else None,
        )
    )
    for folder in (workspace / "manifests").glob(f"{prefix}-*"):
        shutil.rmtree(folder)
    notes = [
        "bound: H(f)/f + 0.92 bits a cell, the entropy of a uniform choice of a fraction f of contiguous "
        "joinids and of an 80/10/10 split; the joinids of this corpus have gaps, which cost a little more",
        "peer of diff: pandas, an outer merge of the joinids and the composition of both sides counted",
        f"times with process start, medians of {runs} runs, of the peer {peer_runs}",
    ]
    title = "Manifests: size, diff, verify"
    report(f"manifests-{name}" if name != NAME else "manifests", title, rows, notes=notes)


def _size(corpus: Corpus, folder: Path) -> Row:
    from curate.manifests.manifest import Manifest

    document = Manifest.open(str(folder)).document
    f = document.n_cells / corpus.n_cells
    bits = 8 * (folder / "cells.parquet").stat().st_size / document.n_cells
    bound = -(f * math.log2(f) + (1 - f) * math.log2(1 - f)) / f + 0.92
    return Row(
        f"cells.parquet at {document.selection.fraction:g}, bits a cell",
        f"{bits:.2f}",
        f"bound {bound:.2f}",
        f"{bits / bound:.3f}",
        f"<= {MOST_OF_BOUND}",
        bits / bound <= MOST_OF_BOUND,
    )


def _readers(folder: Path, n_cells: int) -> list[Row]:
    rows = []
    for reader, code in READERS.items():
        if find_spec(reader) is None:
            continue
        path = str(folder / "cells.parquet")
        found = int(run([sys.executable, "-c", code.format(path=path)], n_runs=1).output.split()[-1])
        rows.append(
            Row(
                f"cells.parquet read by {reader}, cells",
                f"{found:,}",
                target=f"{n_cells:,}",
                met=found == n_cells,
            )
        )
    return rows


def _folder(workspace: Path, prefix: str, fraction: float, seed: int = 0) -> Path:
    return workspace / "manifests" / f"{prefix}-{fraction:g}-s{seed}" / "v0001"
