"""`curate ladder`: list and show."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from curate.manifests.ladder import LadderDocument, StepRecord
    from curate.manifests.registry import Registry

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def command() -> None:
    """List and show ladders: the manifests of a scaling study, made by `curate build --ladder`."""


@command.command("list")
@as_json_option
@click.pass_obj
def list_(home: str | None, *, as_json: bool) -> None:
    """List the ladders of the workspace, the newest version of each.

    Example: curate ladder list
    """
    from curate.manifests.ladders import ladder_names, open_ladder

    registry = _registry(home)
    ladders = [open_ladder(registry, name) for name in ladder_names(registry)]
    if as_json:
        rows = [{key: held for key, held in ladder.content().items() if key != "steps"} for ladder in ladders]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    if not ladders:
        click.echo(f"{registry.path} holds no ladder; make one with `curate build --ladder 0.01,0.1,1`")
        return
    from rich.table import Table

    from curate.cli.manifests import console_of_data

    titles = ("ladder", "id", "corpus", "strategies", "fractions", "seeds", "manifests", "")
    table = Table(box=None, header_style="bold cyan")
    for title in titles:
        table.add_column(title, no_wrap=title != "corpus", overflow="fold")
    for ladder in ladders:
        table.add_row(
            ladder.ref,
            ladder.id[:8],
            ladder.corpus.name,
            "\n".join(each.strategy for each in ladder.strategies),
            f"{len(ladder.fractions)}: {ladder.fractions[0]:g} to {ladder.fractions[-1]:g}",
            str(len(ladder.seeds)),
            str(len(ladder.steps)),
            "\n".join(
                name for name, held in (("nested", ladder.nested), ("spiked", ladder.spike_ins)) if held
            ),
        )
    console_of_data().print(table)


@command.command()
@click.argument("ref")
@as_json_option
@click.pass_obj
def show(home: str | None, *, ref: str, as_json: bool) -> None:
    """Show a ladder, NAME or NAME@vN: its manifests by strategy and fraction.

    Example: curate ladder show ladder
    """
    from curate.manifests.ladders import open_ladder

    registry = _registry(home)
    ladder = open_ladder(registry, ref)
    if as_json:
        click.echo(json.dumps(ladder.content(), indent=2, ensure_ascii=False))
        return
    from rich.table import Table

    from curate.cli.manifests import console_of_data
    from curate.manifests.page import assignments, simulated

    console = console_of_data()
    for name, text in _facts(ladder):
        console.print(f"{name:<10} {text}", soft_wrap=True)
    console.print()
    table = Table("strategy", "fraction", "cells", "manifests", box=None, header_style="bold cyan")
    for title in (1, 2):
        table.columns[title].justify = "right"
    rungs: dict[tuple[str, bool, float], list[StepRecord]] = {}
    for step in ladder.steps:
        rungs.setdefault((step.strategy, step.spiked, step.fraction), []).append(step)
    for (_, _, fraction), steps in rungs.items():
        present = [step for step in steps if step.version in registry.versions(step.manifest)]
        last = f" … s{steps[-1].seed}" if len(steps) > 1 else ""
        gone = f"  ({len(steps) - len(present)} no longer there)" if len(present) < len(steps) else ""
        cells = f"{max(step.n_cells for step in steps):,}"
        strategy = ladder.called(steps[0])
        table.add_row(strategy, f"{fraction:g}", cells, f"{steps[0].ref}{last}{gone}")
    console.print(table)
    for each in ladder.strategies:
        if each.parameters:
            console.print(f"{each.strategy}: {assignments(each.parameters)}", soft_wrap=True)
    if line := simulated({ladder.corpus.name: ladder.corpus.label}):
        console.print(line, style="yellow", soft_wrap=True)


def _facts(ladder: LadderDocument) -> list[tuple[str, Any]]:
    facts = [
        ("ladder", ladder.ref),
        ("id", ladder.id),
        ("created", f"{ladder.created:%Y-%m-%d %H:%M} UTC"),
        ("corpus", f"{ladder.corpus.name} ({ladder.corpus.id[:12]}), {ladder.corpus.n_cells:,} cells"),
        ("seeds", ", ".join(map(str, ladder.seeds))),
        (
            "nested",
            "each step contains the one before it" if ladder.nested else "no: each step is drawn for itself",
        ),
    ]
    if spike_ins := ladder.spike_ins:
        how = {
            True: "these contain the one before them too",
            False: f"these do not nest: one lacks {spike_ins.n_lost:,} cells of the one before it",
            None: "",
        }[spike_ins.nested]
        shares = ", ".join(f"{each.source}={each.fraction:g}" for each in spike_ins.shares)
        settings = f"{spike_ins.mode}, balance {spike_ins.balance}"
        beside = f"{shares} ({settings}), a manifest beside each step"
        facts.append(("spike-ins", "; ".join([beside, *([how] if how else [])])))
    return [*facts, *([("where", ladder.where)] if ladder.where else [])]


def _registry(home: str | None) -> Registry:
    from curate.manifests.registry import Registry
    from curate.workspace import Workspace

    workspace = Workspace.find(home)
    return Registry(workspace.manifests_path, workspace=workspace)
