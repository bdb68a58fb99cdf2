"""`curate train`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import click

from curate.cli.companions import is_given
from curate.cli.keys import MODEL
from curate.cli.model_settings import need_torch, parse_settings
from curate.cli.train_options import training_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from curate.train.artifact.train import Trained
    from curate.train.fit.plan import FitPlan
    from curate.train.models.model import Model
    from curate.train.models.settings import Settings

#: Options that are settings of the model, under the same name.
SETTINGS = ("loss", "batch_size", "max_epochs")
#: Options that say how gradients are followed.
OF_NETWORKS = (
    "max_steps",
    "max_minutes",
    "precision",
    "devices",
    "validation_steps",
    "validation_cells",
    "checkpoint_steps",
    "tensorboard",
)


#: Options that say how steps are taken, of which an untrained control takes none.
OF_TRAINING = (*OF_NETWORKS, "max_cells", "is_weighted")


def _list(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from curate.cli.models_available import print_available

    need_torch()
    print_available()
    ctx.exit()


@click.command("train")
@click.argument("model", type=MODEL)
@click.argument("ref", metavar="MANIFEST")
@training_options
@click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=_list, help="List models.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    home: str | None,
    /,
    *,
    model: str,
    ref: str,
    preset: str,
    items: tuple[str, ...],
    task: Path | None,
    is_untrained: bool,
    takes_checkpoint: bool,
    shards: Path | None,
    verify: bool | None,
    log_csv: Path | None,
    name: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train MODEL on the training cells of a manifest.

    The counts are written as shards first, where they are not yet. The trained model is a folder under
    models/ of the workspace: weights, genes, settings, log, cost and a model card. The same command again
    finds it; a run that was killed goes on from its last checkpoint. One that diverged, or is not to go on,
    can end there: with --take-checkpoint the same command makes a model of what it had come to.

    Without a budget it trains as the settings say: so many epochs, fewer when validation stops to improve.
    With --max-steps, --max-cells or --max-minutes it trains that long, whatever the validation says, so that
    subsets can be compared at equal cost. The preset is `study`, the sizes of DenAdel et al. 2026, on every
    machine; `tiny` is for tests and a first look.

    \b
    Examples:
        curate train scvi sketch-0.01-s0
        curate train contrastive sketch-0.01-s0 --preset tiny --max-minutes 5
        curate train contrastive sketch-0.01-s0 --untrained
        curate train masked sketch-0.01-s0 --set learning_rate=3e-4 --max-cells 2000000 --name masked-a
        curate train --list
    """
    from curate.memory import keep_memory

    # Before the first thread: an arena that glibc gave away stays.
    keep_memory()
    need_torch()
    from curate.cli.manifests import load
    from curate.train.artifact.train import train
    from curate.train.models import MODELS
    from curate.workspace import Workspace

    kind = MODELS[model]
    changes = _changes(items, {key: options.pop(key) for key in SETTINGS})
    settings = _settings(kind, preset, changes)
    plan = _plan(kind, options)
    _check(kind, plan, is_untrained=is_untrained, takes_checkpoint=takes_checkpoint)
    if plan.tensorboard is not None:
        _check_tensorboard(plan.tensorboard)
    workspace = Workspace.find(home)
    manifest = load(home, ref)
    manifest = replace(manifest, workspace=manifest.workspace or workspace)
    opened = None
    if task is not None:
        from curate.build.task.task import Task

        opened = Task.open(task, manifest.corpus())
    from curate.cli.train_estimate import estimate, remember

    trained = train(
        model,
        manifest,
        workspace=workspace,
        preset=preset,  # type: ignore[arg-type]
        changes=changes,
        task=opened,
        plan=plan,
        is_untrained=is_untrained,
        takes_checkpoint=takes_checkpoint,
        name=name,
        shards=shards,
        verify=verify,
        say=lambda line: click.echo(line, err=True),
        before=lambda shards: estimate(kind, preset, settings, plan, shards, root=workspace.root),
    )
    if trained.is_new:
        remember(trained.artifact, root=workspace.root)
    if log_csv is not None:
        _write_csv(trained, log_csv)
    _show(trained, name, as_json=as_json)


def _changes(items: tuple[str, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    changes = parse_settings(items)
    for key, value in given.items():
        if value is None:
            continue
        if key in changes:
            raise click.UsageError(f"--{key.replace('_', '-')} and --set {key} say the same; give one")
        changes[key] = value
    return changes


def _settings(kind: type[Model], preset: str, changes: dict[str, Any]) -> Settings:
    from curate.errors import ModelError
    from curate.train.models.settings import changed

    try:
        return changed(kind.presets[preset], changes, model=kind.name)  # type: ignore[index]
    except ModelError as error:
        raise click.UsageError(str(error)) from None


def _plan(kind: type[Model], options: dict[str, Any]) -> FitPlan:
    from curate.train.fit.plan import Budget, FitPlan
    from curate.train.models.network import Network

    if not issubclass(kind, Network):
        for name in OF_NETWORKS:
            if is_given(name):
                option = f"--{name.replace('_', '-')}"
                raise click.UsageError(f"{option} goes with models that take steps; {kind.name} takes none")
    budget = Budget(**{key: options.pop(key) for key in ("max_steps", "max_cells", "max_minutes")})
    return FitPlan(Path(), budget=budget, **options)


def _check(kind: type[Model], plan: FitPlan, *, is_untrained: bool, takes_checkpoint: bool) -> None:
    """Refuse what has no effect."""
    from curate.train.models.network import Network

    if takes_checkpoint and is_untrained:
        raise click.UsageError("--take-checkpoint goes with a training; --untrained takes no step")
    if takes_checkpoint and not issubclass(kind, Network):
        raise click.UsageError(f"--take-checkpoint goes with models that take steps; {kind.name} takes none")
    if not issubclass(kind, Network) and plan.accelerator == "gpu":
        raise click.UsageError(f"{kind.name} is found on the processor; leave --accelerator gpu out")
    if is_untrained:
        for name in OF_TRAINING:
            if is_given(name):
                option = f"--{name.removeprefix('is_').replace('_', '-')}"
                raise click.UsageError(f"{option} goes with a training; --untrained takes no step")


def _check_tensorboard(folder: Path) -> None:
    """Refuse a TensorBoard that is not there, or a folder that cannot be written, before anything is read."""
    from importlib.util import find_spec

    from curate.errors import ModelError, WriteError
    from curate.train.fit.events import NOT_INSTALLED

    if find_spec("tensorboard") is None:
        raise ModelError(NOT_INSTALLED)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as fault:
        raise WriteError(
            f"TensorBoard's events cannot be written to {folder}: {fault.strerror}; name another folder"
        ) from None


def _write_csv(trained: Trained, path: Path) -> None:
    from curate.atomic import atomic_file

    with atomic_file(path) as aside:
        trained.artifact.metrics().write_csv(aside)


def _show(trained: Trained, name: str | None, *, as_json: bool) -> None:
    artifact, header = trained.artifact, trained.artifact.header
    if as_json:
        report = {"name": artifact.name, "path": str(artifact.path), "is_new": trained.is_new}
        click.echo(json.dumps(report | header.model_dump(mode="json"), indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    from curate.cli.train_lines import lines

    if not trained.is_new:
        called = f" under the name {artifact.name}, not {name}" if name not in (None, artifact.name) else ""
        click.echo(f"this model is there already{called}, made {header.created:%Y-%m-%d %H:%M} UTC", err=True)
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    for title, text in lines(artifact).items():
        console.print(f"{title:<11}{text}")
