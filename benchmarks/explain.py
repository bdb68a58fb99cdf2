"""What `curate build --explain` says of memory and time, beside what the build then takes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click

from benchmarks.make_corpus import EMBEDDING, NAME
from benchmarks.measure import curate, run
from benchmarks.table import Row, gigabytes, report, seconds

MANIFEST = "benchmark-explain"
#: strategy, fraction, whether it needs the embedding
BUILDS = (
    ("random", 0.01, False),
    ("random", 0.75, False),
    ("reweight", 0.01, False),
    ("blocks", 0.01, False),
    ("sketch", 0.01, True),
)
FACTOR = 1.25
"""How far the memory expected may be from that measured."""


@click.command()
@click.argument("workspace", type=click.Path(exists=True, path_type=Path))
@click.option("--corpus", "name", default=NAME, show_default=True)
@click.option("--embedding", default=EMBEDDING, show_default=True)
def command(workspace: Path, *, name: str, embedding: str) -> None:
    """Explain each build, run it, compare peak memory; seconds are those of the rate on record before."""
    rows = []
    for strategy, fraction, is_embedded in BUILDS:
        arguments = ["-C", workspace, "build", "--corpus", name, "--strategy", strategy]
        arguments += ["--fraction", fraction, *(["--embedding", embedding] if is_embedded else [])]
        told = json.loads(run(curate(*arguments, "--explain", "--json"), n_runs=1).output)
        expected = {line["name"]: line["value"] for line in told[0]["lines"]}
        _clean(workspace)
        ours = run(curate(*arguments, "--name", MANIFEST), n_runs=1)
        ratio = expected["memory"] / ours.peak_bytes
        rows.append(
            Row(
                f"{strategy}, {fraction:g}",
                f"{gigabytes(expected['memory'])}, {seconds(expected['time'])}",
                f"{gigabytes(ours.peak_bytes)}, {seconds(ours.wall_s)}",
                f"{ratio:.2f} of memory, {expected['time'] / ours.wall_s:.2f} of time",
                f"memory within {FACTOR:g}",
                1 / FACTOR <= ratio <= FACTOR,
            )
        )
    _clean(workspace)
    notes = [
        "ours: what --explain expects; peer: peak memory and wall time of the build, process start included",
        "the time expected is that of the last run in the workspace, else of the default rate",
    ]
    report("explain", "explain: expected and measured", rows, notes=notes)


def _clean(workspace: Path) -> None:
    shutil.rmtree(workspace / "manifests" / MANIFEST, ignore_errors=True)
