"""`curate evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.cli.keys import TASK
from curate.cli.model_settings import need_torch, parse_settings
from curate.cli.numbers import Seeds
from curate.cli.train_options import ACCELERATORS

if TYPE_CHECKING:
    import polars as pl

    from curate.evaluate.subject import Subject
    from curate.evaluate.tasks.task import EvaluationTask
    from curate.workspace import Workspace

#: Options that are settings of a task, under the same name, where it has one.
SETTINGS = (
    "label_column",
    "batch_column",
    "perturbation_column",
    "context_column",
    "group_column",
    "fine_tune",
)
FINE_TUNE = {"head": ["head"], "full": ["full"], "both": ["head", "full"]}
SUFFIXES = (".parquet", ".csv")


def _list(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from curate.evaluate.tasks import TASKS

    need_torch()
    for name, card in TASKS.items():
        click.echo(f"{name}: {card.summary} ({', '.join(card.headline)}); {card.reference}")
        for key, field in card.settings.model_fields.items():
            click.echo(f"    {key} = {json.dumps(field.get_default(call_default_factory=True))}")
    ctx.exit()


def _tunings(ctx: click.Context, param: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else FINE_TUNE[value]


def _checked(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    if value is not None and value.suffix not in SUFFIXES:
        raise click.BadParameter(f"{value} ends in none of {', '.join(SUFFIXES)}")
    return value


@click.command("evaluate")
@click.argument("task", type=TASK)
@click.argument("models", metavar="[MODEL]...", nargs=-1)
@click.option(
    "--data",
    "refs",
    multiple=True,
    required=True,
    metavar="DATA",
    help="An h5ad file, a store, census:FILTER, or manifest:REF[:SPLIT] (its test cells); repeatable.",
)
@click.option("--label-column", metavar="COLUMN", help="As --set label_column=…")
@click.option("--batch-column", metavar="COLUMN", help="As --set batch_column=…")
@click.option("--perturbation-column", metavar="COLUMN", help="As --set perturbation_column=…")
@click.option("--context-column", metavar="COLUMN", help="As --set context_column=…")
@click.option("--group-column", metavar="COLUMN", help="As --set group_column=…")
@click.option(
    "--fine-tune",
    type=click.Choice(list(FINE_TUNE)),
    callback=_tunings,
    help="Beside the frozen model: an MLP head on its vectors, the whole model with the head, or both.",
)
@click.option(
    "--set",
    "items",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of the task; repeatable. See --list.",
)
@click.option(
    "--term",
    "terms",
    multiple=True,
    metavar="LABEL=TERM",
    help="The Cell Ontology term of a label; repeatable.",
)
@click.option(
    "--seed",
    "seeds",
    type=Seeds(),
    default="0",
    help="Of splits and heads.  [default: 0]",
)
@click.option("--where", metavar="FILTER", help="Only cells of a file or store that match.")
@click.option("--layer", metavar="NAME", help="Of a file: where its raw counts stand.  [default: X or raw.X]")
@click.option(
    "--gene-column",
    metavar="COLUMN",
    help="Of a file: column of var with Ensembl ids or symbols, where the index has no ids.",
)
@click.option(
    "--max-cells", type=click.IntRange(min=1), help="Draw so many cells at random where there are more."
)
@click.option(
    "--min-overlap",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Least share of a model's genes that the data must have.",
)
@click.option("--control/--no-control", default=True, show_default=True, help="Try untrained controls too.")
@click.option("--baselines/--no-baselines", default=True, show_default=True, help="Try the baselines too.")
@click.option(
    "--allow-leakage", is_flag=True, help="Go on where training saw the cells; every result says so."
)
@click.option("--drop-shared", is_flag=True, help="Leave out cells of the data that training saw.")
@click.option("--accelerator", type=click.Choice(ACCELERATORS), default="auto", show_default=True)
@click.option(
    "-o",
    "--output",
    "out",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_checked,
    help="Write all results: .parquet or .csv.",
)
@click.option("--parts", is_flag=True, help="Show scores of parts too: classes, perturbations, contexts.")
@click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=_list, help="List tasks.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@click.pass_obj
def command(
    home: str | None,
    /,
    *,
    task: str,
    models: tuple[str, ...],
    refs: tuple[str, ...],
    items: tuple[str, ...],
    terms: tuple[str, ...],
    seeds: list[int],
    control: bool,
    baselines: bool,
    allow_leakage: bool,
    drop_shared: bool,
    accelerator: str,
    out: Path | None,
    parts: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Try trained models on a task, beside their untrained controls and the baselines.

    Data that hold cells which training saw are refused. The results are kept under results/ of the workspace,
    and the same asked again is found. Without a MODEL the baselines alone are tried.

    \b
    Examples:
        curate evaluate classify scvi-sketch-0.01-s0-v1-3f2a9c1d --data pbmc.h5ad
        curate evaluate classify 3f2a9c 8b41d0 --data pbmc.h5ad --seed 0-4 -o pbmc.parquet
        curate evaluate classify 3f2a9c --data pbmc.h5ad --fine-tune both
        curate evaluate classify --data "census:dataset_id == '…'" --label-column cell_type
        curate evaluate --list
    """
    from curate.memory import keep_memory

    # Before the first thread: an arena that glibc gave away stays.
    keep_memory()
    need_torch()
    import polars as pl

    from curate.cli.evaluate_table import show
    from curate.evaluate.evaluate import evaluate
    from curate.evaluate.open import open_data
    from curate.evaluate.results import write_results
    from curate.evaluate.tasks import TASKS
    from curate.workspace import Workspace

    card = TASKS[task]
    settings = card.with_changes(_changes(card, items, terms, options))
    workspace = Workspace.find(home) if models else Workspace.find_any(home)
    subjects = _subjects(card, models, workspace, home, accelerator, control=control, baselines=baselines)
    tables = []
    for ref in refs:
        data = open_data(ref, workspace=workspace, **options)
        tables += [
            evaluate(
                task,
                subjects,
                data,
                settings,
                seed=seed,
                folder=workspace.results_path if workspace else None,
                allow_leakage=allow_leakage,
                drop_shared=drop_shared,
                with_baselines=baselines,
            )
            for seed in seeds
        ]
        for notice in data.notices:
            click.echo(f"{data.name}: {notice}", err=True)
    table = pl.concat(tables)
    if out is not None:
        _write(table, out, write_results)
    if as_json:
        click.echo(table.write_json())
        return
    show(card, table, parts=parts)


def _changes(
    card: EvaluationTask, items: tuple[str, ...], terms: tuple[str, ...], options: dict[str, Any]
) -> dict[str, Any]:
    """Return the settings that were given, by whatever option."""
    changes = parse_settings(items)
    for key in SETTINGS:
        value = options.pop(key)
        if value is None:
            continue
        flag = f"--{key.replace('_', '-')}"
        if key in changes:
            raise click.UsageError(f"{flag} and --set {key} say the same; give one")
        if key not in card.settings.model_fields:
            raise click.UsageError(f"{flag} is no setting of task {card.name}; see --list")
        changes[key] = value
    if terms:
        if "terms" not in card.settings.model_fields:
            raise click.UsageError(f"--term is no setting of task {card.name}; see --list")
        pairs = [text.partition("=") for text in terms]
        if wrong := [label for label, sign, term in pairs if not (label and sign and term)]:
            raise click.BadParameter(f"{wrong[0]!r} is not LABEL=TERM", param_hint="--term")
        changes["terms"] = {label: term for label, _, term in pairs}
    return changes


def _subjects(
    card: EvaluationTask,
    models: tuple[str, ...],
    workspace: Workspace | None,
    home: str | None,
    accelerator: str,
    *,
    control: bool,
    baselines: bool,
) -> list[Subject]:
    from curate.cli.models import find
    from curate.errors import EvaluationError
    from curate.evaluate.subject import baselines as representations
    from curate.evaluate.subject import control_of, trained

    found: dict[str, Subject] = {}
    for ref in models:
        subject = trained(find(home, ref), workspace=workspace, accelerator=accelerator)
        found[subject.id] = subject
        if control and subject.kind == "trained" and workspace is not None:
            try:
                made = control_of(subject, workspace)
            except EvaluationError as error:
                click.echo(f"no control: {error}", err=True)
            else:
                found.setdefault(made.id, made)
    if baselines and card.on_representations:
        found |= {each.id: each for each in representations()}
    if not found and not baselines:
        raise click.UsageError("nothing to try: name a MODEL, or leave --no-baselines out")
    return list(found.values())


def _write(table: pl.DataFrame, path: Path, write_results: Any) -> None:
    from curate.atomic import atomic_file

    if path.suffix == ".parquet":
        write_results(table, path)
        return
    with atomic_file(path) as aside:
        table.write_csv(aside)
