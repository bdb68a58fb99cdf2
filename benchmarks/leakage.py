"""The leakage guard: a million simulated cells against twenty thousand, beside brute force."""

from __future__ import annotations

import json
from typing import Any

import click

from benchmarks.leakage_data import MOLECULES, N_GENES, N_TYPES, NOISES
from benchmarks.leakage_run import MOST_DISTANCE, N_PLANTED
from benchmarks.measure import Run, python, run
from benchmarks.table import Row, gigabytes, report, seconds, times


@click.command()
@click.option("--n-corpus", default=1_000_000, show_default=True)
@click.option("--n-evaluation", default=20_000, show_default=True)
@click.option("--n-brute", default=2_000, show_default=True, help="Cells that brute force searches with.")
def command(*, n_corpus: int, n_evaluation: int, n_brute: int) -> None:
    """Search an evaluation set with the cells of a corpus, and with planted copies of its own cells."""
    peers = {"sklearn": (n_brute, *_run("sklearn", n_brute, n_evaluation))}
    ours, ours_run = _run("ours", n_corpus, n_evaluation)
    rows = [
        Row(
            f"{n_corpus:,} x {n_evaluation:,} cells: search, CPU",
            f"{seconds(ours['search_cpu_s'])} ({_per_cell(ours, n_corpus)} us a cell)",
        ),
        Row("index", seconds(ours["index_s"])),
        Row("whole run, simulation of the cells included", str(ours_run)),
        Row("false hits", f"{ours['n_false']:,}", target="0", met=ours["n_false"] == 0),
    ]
    for name, (n, theirs, theirs_run) in peers.items():
        rows += [
            Row(
                f"us a cell, CPU; {name} on {n:,}",
                _per_cell(ours, n_corpus),
                _per_cell(theirs, n),
                times(theirs["search_cpu_s"] / n, ours["search_cpu_s"] / n_corpus),
            ),
            Row(f"index; {name}", seconds(ours["index_s"]), seconds(theirs["index_s"])),
            Row(f"peak memory; {name}", gigabytes(ours_run.peak_bytes), gigabytes(theirs_run.peak_bytes)),
            Row(
                f"false hits; {name} on {n:,}",
                f"{ours['n_false']:,} of {n_corpus:,}",
                f"{theirs['n_false']:,}",
            ),
        ]
        rows += [
            Row(
                f"recall, {noise}; {name}",
                f"{ours['found'][noise]:.3f}",
                f"{theirs['found'][noise]:.3f}",
                target=">= 0.9",
                met=ours["found"][noise] >= 0.9,
            )
            for noise in NOISES
        ]
    notes = [
        f"cells: {N_TYPES} types over {N_GENES:,} genes, {MOLECULES:,} molecules in the median, Poisson; "
        f"{N_PLANTED} copies of each kind of noise, planted among cells that have no copy",
        "peers: the nearest neighbour by cosine of log-normalised counts; a hit is a distance of "
        f"{MOST_DISTANCE} or less, set by hand; ours is calibrated on the evaluation set alone",
        "CPU of the searching threads; the simulation of the cells and, in use, reading them are not in it",
        f"{NOISES[-1]}: the peers get whole copies there; ours gets copies cut to these genes, and is told "
        "which they are",
    ]
    report("leakage", "Leakage guard", rows, notes=notes)


def _run(which: str, n_corpus: int, n_evaluation: int) -> tuple[dict[str, Any], Run]:
    measured = run(python("benchmarks.leakage_run", which, n_corpus, n_evaluation), n_runs=1)
    return json.loads(measured.output.splitlines()[-1]), measured


def _per_cell(result: dict[str, Any], n_cells: int) -> str:
    return f"{1e6 * result['search_cpu_s'] / n_cells:,.3g}"
