"""`curate sweep`: plan, run and status of a grid of subsets, models and evaluations; report is apart."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.cli.sweep_report import command as report_

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from curate.evaluate.sweep.jobs import Job
    from curate.evaluate.sweep.plan import Plan

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
grid_argument = click.argument("grid", metavar="GRID.toml", type=click.Path(path_type=Path))


@click.group()
def command() -> None:
    """Plan, run and report a grid: strategies x fractions x seeds x models x tasks x data sets."""


command.add_command(report_, "report")


@command.command("plan")
@grid_argument
@click.option(
    "--price", type=click.FloatRange(min=0), help="Of an hour of the machine.  [default: the grid's]"
)
@as_json_option
@click.pass_obj
def plan_(home: str | None, *, grid: Path, price: float | None, as_json: bool) -> None:
    """Say what a sweep would do and take; nothing runs.

    Hours are those of this machine, one job after the other: from rates that runs in this workspace have
    measured, or that the grid states. The corpus and the evaluation data need not be here.

    Example: curate sweep plan grid.toml --price 2.5
    """
    from curate.cli.sweep_lines import plan_lines

    plan = _plan(home, grid, price)
    if as_json:
        content = plan.document.model_dump(mode="json", exclude={"jobs", "rows"})
        content["numbers"]["total_hours"] = plan.document.numbers.total_hours
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    _print(plan_lines(plan))


@command.command("run")
@grid_argument
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes of this machine; of several GPUs each gets its own.  [default: 1]",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="A Dask scheduler; its workers see the workspace at the same path.",
)
@click.option("--retry-failed", is_flag=True, help="Try again what failed in earlier runs.")
@click.option("--price", type=click.FloatRange(min=0), help="Of an hour of the machine, for the plan.")
@as_json_option
@click.pass_obj
def run_(
    home: str | None,
    *,
    grid: Path,
    workers: int | None,
    scheduler: str | None,
    retry_failed: bool,
    price: float | None,
    as_json: bool,
) -> None:
    """Run a sweep; the same command goes on with one that was stopped or killed.

    What is equal is done once: a manifest, its counts, a model. What failed is written down and the rest goes
    on; exit status 1 when anything has. Results stand in sweeps/NAME/results.parquet of the workspace.

    \b
    Examples:
        curate sweep run grid.toml --workers 2
        curate sweep run grid.toml --retry-failed
    """
    if workers is not None and scheduler is not None:
        raise click.UsageError("give --workers or --scheduler; a scheduler has its own workers")
    from curate.cli.model_settings import need_torch
    from curate.cli.sweep_lines import ended_lines, plan_lines

    need_torch()
    from curate.evaluate.sweep.run import run
    from curate.workspace import Workspace

    workspace = Workspace.find(home)
    plan = _plan(home, grid, price)
    for line in plan_lines(plan):
        click.echo(line, err=True)
    try:
        ended = run(
            plan,
            workspace,
            workers=workers or 1,
            scheduler=scheduler,
            retry_failed=retry_failed,
            tell=lambda line: click.echo(line, err=True),
            watch=_bars,
            source=grid,
        )
    except KeyboardInterrupt:
        click.echo("stopped; the same command goes on from here", err=True)
        raise click.exceptions.Exit(130) from None
    if as_json:
        content = {key: value for key, value in vars(ended).items() if key != "folder"}
        content |= {"name": plan.grid.name, "results": str(ended.folder.results_path)}
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        _print(ended_lines(ended))
    if ended.failures:
        raise click.exceptions.Exit(1)


@command.command("status")
@click.argument("name", required=False)
@as_json_option
@click.pass_obj
def status_(home: str | None, *, name: str | None, as_json: bool) -> None:
    """Say how a sweep stands, while it runs and after; without NAME the one that was run last.

    Example: curate sweep status
    """
    from curate.cli.sweep_lines import status_lines
    from curate.evaluate.sweep.folder import find_sweep
    from curate.evaluate.sweep.status import status
    from curate.workspace import Workspace

    found = status(find_sweep(Workspace.find(home), name))
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
        return
    _print(status_lines(found))


def _plan(home: str | None, grid: Path, price: float | None) -> Plan:
    from curate.cli.model_settings import need_torch

    need_torch()
    from curate.evaluate.sweep.grid import Grid
    from curate.evaluate.sweep.plan import make_plan
    from curate.workspace import Workspace

    return make_plan(Grid.load(grid), Workspace.find_any(home), price_per_hour=price)


def _print(lines: list[str]) -> None:
    for line in lines:
        click.echo(line)


@contextmanager
def _bars(todo: Mapping[str, Any]) -> Iterator[Callable[[Job], None]]:
    """Show how many jobs of each kind have ended; nothing when stderr is no terminal."""
    import sys

    if not sys.stderr.isatty():
        yield lambda job: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from curate.evaluate.sweep.status import TITLES

    titles = {**TITLES, "shards": "counts"}
    columns = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        kinds = [job.kind for job in todo.values()]
        tasks = {
            kind: bars.add_task(title, total=kinds.count(kind))
            for kind, title in titles.items()
            if kind in kinds
        }

        def advance(job: Job) -> None:
            if job.kind in tasks:
                bars.advance(tasks[job.kind])

        yield advance
