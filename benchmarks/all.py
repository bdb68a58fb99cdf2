"""All benchmarks one after the other, and RESULTS.md from what they found."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.table import RESULTS_PATH, Table

PAGE_PATH = Path(__file__).parent / "RESULTS.md"


@dataclass(frozen=True)
class Step:
    """One run of a benchmark; `result` names the table that it keeps, None for those that only make data."""

    arguments: tuple[str, ...]
    result: str | None = None


def steps(folder: Path, reference: Path) -> list[Step]:
    """Return all runs, in the order in which they build on each other; data go under `folder`."""
    base, large = str(folder / "sctab-like"), str(folder / "large")
    past = str(folder / "past-the-study.npy")
    genes = str(reference / "sctab_genes.csv.gz")
    without = ("--corpus", "large", "--peer-runs", "0", "--no-targets")
    return [
        Step(("make-corpus", base, "--reference", str(reference))),
        Step(("index", base, "--genes", genes), "index"),
        Step(("select", base), "select"),
        Step(("manifests", base, "--peer-runs", "1"), "manifests"),
        Step(("make-embedding", base, past)),
        Step(("sketch", base, "--large", past), "sketch"),
        Step(("strategies", base), "strategies"),
        Step(("strategies", base, "--whole"), "strategies-whole"),
        Step(("blocks", base, "--atlas", str(folder / "atlas")), "blocks"),
        Step(("explain", base), "explain"),
        Step(("embed", "--folder", str(folder / "embed")), "embed"),
        Step(("shards", str(folder / "embed")), "shards"),
        Step(("loader", str(folder / "embed")), "loader"),
        Step(("leakage",), "leakage"),
        Step(("duplicates", "--folder", str(folder / "embed")), "duplicates"),
        Step(("diversity", base), "diversity"),
        Step(("saturation",), "saturation"),
        Step(("advise",), "advise"),
        Step(("make-large", base, large)),
        Step(("select", large, *without), "select-large"),
        Step(("manifests", large, *without), "manifests-large"),
    ]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--reference",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="As for make-corpus.",
)
@click.option("--only", help="Names joined by commas; of the others, the tables there are stay in the page.")
def command(folder: Path, *, reference: Path, only: str | None) -> None:
    """Run everything in FOLDER (37 GB, about an hour) and write benchmarks/RESULTS.md.

    Nothing else should run on the machine meanwhile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    planned = steps(folder, reference)
    names = {step.arguments[0] for step in planned}
    chosen = set(only.split(",")) if only else names
    if unknown := sorted(chosen - names):
        raise click.BadParameter(f"no benchmark {unknown[0]!r}; there are: {', '.join(sorted(names))}")
    failed = []
    for step in planned:
        if step.arguments[0] not in chosen:
            continue
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "benchmarks", *step.arguments], check=False)
        click.echo(f"{' '.join(step.arguments[:1])}: {time.perf_counter() - start:.0f} s", err=True)
        if done.returncode:
            failed.append(step.arguments[0])
    results = [step.result for step in planned if step.result]
    PAGE_PATH.write_text(page([Table.read(path) for each in results if (path := _path(each)).exists()]))
    if failed:
        raise click.ClickException(f"{len(failed)} of {len(planned)} runs failed: {', '.join(failed)}")


def page(tables: list[Table]) -> str:
    """Return the text of RESULTS.md: what was missed first, then every table."""
    rows = [(table, row) for table in tables for row in table.rows if row.met is not None]
    missed = [(table, row) for table, row in rows if not row.met]
    lines = ["# Results", "", f"{len(rows) - len(missed)} of {len(rows)} targets are met."]
    if missed:
        lines += ["", "Missed:", ""]
        lines += [f"- {table.title}, {row.what}: {row.ours} ({row.target})" for table, row in missed]
    machines = list(dict.fromkeys(table.machine for table in tables))
    lines += ["", *(f"Machine: {machine}." for machine in machines), ""]
    lines += ["Where a row has no peer or no target, there is none. GB are 10^9 bytes.", ""]
    return "\n".join([*lines, *(table.markdown() for table in tables)])


def _path(result: str) -> Path:
    return RESULTS_PATH / f"{result}.json"
