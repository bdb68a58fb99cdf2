"""`curate models`: list, show and verify trained models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from curate.cli.model_settings import need_torch
from curate.cli.train_lines import how

if TYPE_CHECKING:
    from curate.train.artifact import Artifact
    from curate.train.artifact.unfinished import Unfinished

WIDTH = 160
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(invoke_without_command=True)
@as_json_option
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """List the trained models of the workspace; show or verify one.

    A model is named by its name, the first 6 or more digits of its id, or the path of its folder. Which
    models there are to train: `curate train --list`.

    \b
    Examples:
        curate models
        curate models show scvi-sketch-0.01-s0-v1-3f2a9c1d
        curate models verify 3f2a9c
    """
    if ctx.invoked_subcommand is not None:
        return
    from curate.train.artifact.artifact import Artifact, artifacts
    from curate.train.artifact.unfinished import unfinished
    from curate.workspace import Workspace

    folder = Workspace.find(ctx.obj).models_path
    held = list(artifacts(folder))
    found = [each for each in held if isinstance(each, Artifact)]
    problems = [str(each) for each in held if not isinstance(each, Artifact)]
    problems += [damage for each in found if (damage := each.damage) is not None]
    if as_json:
        rows = [_row(each) for each in found] + [{"problem": problem} for problem in problems]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for each in unfinished(folder):
        click.echo(_of_unfinished(each), err=True)
    if not held:
        click.echo(f"{folder} holds no trained model; make one with `curate train`")
        return
    _print(found, problems)


@command.command("show")
@click.argument("ref", metavar="NAME")
@as_json_option
@click.pass_obj
def show(home: str | None, *, ref: str, as_json: bool) -> None:
    """Show the model card of a trained model; with --json what its run.json holds.

    Example: curate models show scvi-sketch-0.01-s0-v1-3f2a9c1d
    """
    artifact = find(home, ref)
    if as_json:
        click.echo(artifact.header.model_dump_json(indent=2))
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(artifact.text().split("---\n", 2)[-1]))


@command.command("verify")
@click.argument("refs", metavar="[NAME]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every model in the workspace.")
@click.pass_obj
def verify(home: str | None, *, refs: tuple[str, ...], every: bool) -> None:
    """Compare every file of trained models with its sha256, their ids with what they are made of; open them.

    run.json is compared with the digest that it holds of itself. What else lies in the folder is named, and
    does not fail. Exit status 1 when a model is not what was written, once all are checked.

    Example: curate models verify scvi-sketch-0.01-s0-v1-3f2a9c1d
    """
    if every == bool(refs):
        raise click.UsageError("name models, or give --all")
    need_torch()
    from curate.errors import ModelError
    from curate.train.artifact.artifact import RUN_FILE
    from curate.workspace import Workspace

    if every:
        folder = Workspace.find(home).models_path
        refs = tuple(str(path.parent) for path in sorted(folder.glob(f"[!.]*/{RUN_FILE}")))
        if not refs:
            click.echo(f"{folder} holds no trained model; make one with `curate train`")
    faults = {}
    for ref in refs:
        try:
            artifact = find(home, ref)
            artifact.verify()
            artifact.load()
        except ModelError as error:
            faults[ref] = str(error)
            if len(refs) > 1:
                click.echo(f"{ref}: failed: {error}")
            continue
        click.echo(f"{artifact.path}: {len(artifact.header.files) + 1} files are what was written")
        if artifact.others:
            click.echo(f"  no part of the model, and not looked at: {', '.join(artifact.others)}")
    if faults:
        first = next(iter(faults.values()))
        raise ModelError(first if len(refs) == 1 else f"{len(faults)} of {len(refs)} models failed; {first}")


def find(home: str | None, ref: str) -> Artifact:
    """Open a trained model by reference; names are those of the workspace at `home`, else of the one here."""
    from curate.train.artifact.artifact import find_model
    from curate.workspace import Workspace

    return find_model(ref, Workspace.find(home) if home else None)


def _of_unfinished(each: Unfinished) -> str:
    if each.broken_off is None:
        return f"not finished: {each.name}; its command goes on with it"
    step = each.broken_off.checkpoint_step
    kept = "no checkpoint had been written"
    if step:
        kept = f"its command with --take-checkpoint makes a model of its checkpoint of step {step:,}"
    return (
        f"broke off: {each.name}: {each.broken_off.why}; {kept}; to be rid of it remove {each.path}, and "
        "train with another --set learning_rate, say"
    )


def _row(artifact: Artifact) -> dict[str, Any]:
    header = artifact.header
    return {
        "name": artifact.name,
        "id": artifact.id,
        "model": header.model,
        "preset": header.preset,
        "manifest": header.trained_on.manifest_ref,
        "n_dims": header.n_dims,
        "n_parameters": header.n_parameters,
        "seed": header.asked.seed,
        "how": how(header),
        "stopped": header.stopped,
        "val_loss": header.best_loss,
        "n_cells_seen": header.cost.n_cells,
        "seconds": header.cost.seconds,
        "n_bytes": artifact.n_bytes,
        "shards_checked": header.shards.checked if header.shards else None,
        "is_damaged": artifact.damage is not None,
        "created": header.created.isoformat(),
        "path": str(artifact.path),
    }


def _print(found: list[Artifact], problems: list[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    from curate.cli.manifests import console_of_data

    table = Table(box=None, header_style="bold cyan")
    left = ("model", "is", "how", "manifest")
    for title in (*left, "dims", "val loss", "cells seen", "seconds", "MB"):
        is_left = title in left
        table.add_column(
            title, justify="left" if is_left else "right", no_wrap=title == "model", overflow="fold"
        )
    for row in map(_row, found):
        untrained = " untrained" if row["stopped"] == "untrained" else ""
        table.add_row(
            row["name"],
            f"{row['model']} {row['preset']}{untrained}",
            "damaged: see below" if row["is_damaged"] else row["how"],
            row["manifest"],
            f"{row['n_dims']:,}",
            "-" if row["val_loss"] is None else f"{row['val_loss']:.5g}",
            f"{row['n_cells_seen']:,}",
            f"{row['seconds']:,.1f}",
            f"{row['n_bytes'] / 1e6:,.1f}",
        )
    console = console_of_data()
    if not console.is_terminal:
        console.width = WIDTH
    console.print(table)
    for problem in problems:
        console.print(Text(problem, style="red"), soft_wrap=True)
