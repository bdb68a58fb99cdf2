"""`curate advise`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.cli.keys import MODEL
from curate.cli.model_settings import need_torch, parse_settings
from curate.cli.numbers import Fractions
from curate.cli.strategy_names import StrategyNames
from curate.cli.train_options import ACCELERATORS, POSITIVE, PRESETS

if TYPE_CHECKING:
    from curate.build.task.task import Task
    from curate.corpus import Corpus
    from curate.evaluate.advise.advise import Advice
    from curate.evaluate.advise.plan import Plan
    from curate.evaluate.advise.rungs import Rungs
    from curate.evaluate.advise.yardstick import Yardstick
    from curate.workspace import Workspace


def _one(ctx: click.Context, param: click.Parameter, value: list[str]) -> str:
    if len(value) != 1:
        raise click.BadParameter(f"{len(value)} strategies; name one")
    return value[0]


def _results_name(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    if value is not None and value.suffix != ".parquet":
        raise click.BadParameter(f"{value} does not end in .parquet")
    return value


@click.command("advise")
@click.argument("task_path", metavar="TASK.toml", type=click.Path(path_type=Path))
@click.option("--model", required=True, type=MODEL, help="The model to train.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0, min_open=True),
    default=0.01,
    show_default=True,
    help="What more cells may bring without mattering, in units of the metric.",
)
@click.option(
    "--risk",
    type=click.FloatRange(min=0, max=0.5, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="Stop when the probability that the rest brings more is below this.",
)
@click.option("--proxy", type=MODEL, help="A cheap model that finds the region first, such as pca.")
@click.option(
    "--strategy",
    type=StrategyNames(),
    default="random",
    show_default=True,
    callback=_one,
    help="How cells are chosen.",
)
@click.option(
    "--fractions",
    type=Fractions(),
    help="Steps, such as 0.001:1:8; 1 is the last.  [default: 0.0005 to 1, of 200 cells or more]",
)
@click.option(
    "--up-to",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="The largest fraction to run.",
)
@click.option(
    "--seeds", type=click.IntRange(min=2), default=3, show_default=True, help="Runs of a step at first."
)
@click.option(
    "--most-seeds", type=click.IntRange(min=2), help="Runs of a step in doubt.  [default: 5, or --seeds]"
)
@click.option("--preset", type=click.Choice(PRESETS), default="study", show_default=True)
@click.option(
    "--set", "items", multiple=True, metavar="KEY=VALUE", help="A setting of the model; repeatable."
)
@click.option("--max-steps", type=POSITIVE, help="Budget of each model: optimiser steps.")
@click.option("--max-cells", type=POSITIVE, help="Budget of each model: training cells seen.")
@click.option("--max-minutes", type=click.FloatRange(min=0, min_open=True), help="Budget of each model.")
@click.option("--accelerator", type=click.Choice(ACCELERATORS), default="auto", show_default=True)
@click.option("--metric", metavar="METRIC", help="What is to be good.  [default: the first of the task]")
@click.option(
    "--method", metavar="METHOD", help="What answers on the vectors.  [default: knn, where there is one]"
)
@click.option(
    "--evaluation-seeds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Splits of the held-out half that each score is the mean of.",
)
@click.option(
    "--set-task",
    "task_items",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of the evaluation; repeatable. See `curate evaluate --list`.",
)
@click.option("--corpus", metavar="NAME", help="The corpus, where the workspace has several.")
@click.option(
    "--embedding", metavar="NAME", default="pca", show_default=True, help="For strategies that need one."
)
@click.option("--where", metavar="FILTER", help="Choose from matching cells only.")
@click.option(
    "--min-overlap",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Least share of a model's genes that the reference must have.",
)
@click.option(
    "--allow-leakage", is_flag=True, help="Go on where training saw held-out cells; results say so."
)
@click.option("--explain", "is_explained", is_flag=True, help="Print the plan; train nothing.")
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask before it runs.")
@click.option(
    "-o",
    "--output",
    "out",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_results_name,
    help="Write the results of all runs: .parquet, for `curate sweep report`.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    home: str | None,
    /,
    *,
    task_path: Path,
    model: str,
    tolerance: float,
    risk: float,
    proxy: str | None,
    strategy: str,
    fractions: list[float] | None,
    up_to: float,
    seeds: int,
    most_seeds: int | None,
    preset: str,
    items: tuple[str, ...],
    max_steps: int | None,
    max_cells: int | None,
    max_minutes: float | None,
    accelerator: str,
    corpus: str | None,
    embedding: str,
    where: str | None,
    min_overlap: float,
    allow_leakage: bool,
    is_explained: bool,
    is_sure: bool,
    out: Path | None,
    as_json: bool,
    **measured: Any,
) -> None:
    """Say whether more data would help a task, and which subset is enough.

    Models are trained on ever larger subsets and tried on the held-out half of the task's reference. It stops
    as soon as the probability that the rest of the corpus brings more than the tolerance is below 5 %. The
    same command again goes on where it was stopped.

    Without a budget each model trains for the epochs of its settings; on a small subset for as many steps as
    on the whole corpus, up to 2,000, unless validation stops to improve before. With --max-steps, --max-cells
    or --max-minutes all models cost the same.

    \b
    Examples:
        curate advise pbmc.toml --model contrastive --tolerance 0.01
        curate advise pbmc.toml --model scvi --proxy pca --max-cells 2000000
        curate advise pbmc.toml --model pca --preset tiny --fractions 0.01:1:6 --explain
    """
    from curate.memory import keep_memory

    # Before the first thread: an arena that glibc gave away stays.
    keep_memory()
    need_torch()
    from curate.evaluate.advise.advise import advise
    from curate.evaluate.advise.held_out import held_out_data
    from curate.evaluate.advise.plan import make_plan
    from curate.evaluate.advise.rule import Rule
    from curate.train.fit.plan import Budget, FitPlan
    from curate.workspace import Workspace

    if most_seeds is not None and most_seeds < seeds:
        raise click.UsageError(f"--most-seeds {most_seeds} is less than --seeds {seeds}")
    rule = Rule(tolerance, risk, n_seeds=seeds, most_seeds=most_seeds or max(5, seeds))
    workspace = Workspace.find(home)
    source = workspace.corpus(corpus)
    task = _task(task_path, source)
    yardstick = _yardstick(task, **measured)
    _check_tolerance(tolerance, yardstick.metric)
    rungs = _rungs(workspace, source, task, strategy, fractions, embedding, where)
    changes = parse_settings(items)
    _check_settings(model, preset, changes)
    budget = Budget(max_steps, max_cells, max_minutes)
    plan = make_plan(
        rungs,
        rule,
        model=model,
        preset=preset,  # type: ignore[arg-type]
        changes=changes,
        budget=budget,
        up_to=up_to,
        root=workspace.root,
    )
    if is_explained:
        _print_plan(plan, task, as_json=as_json)
        return
    _print_plan(plan, task, as_json=False, err=True)
    if not is_sure and sys.stdin.isatty():
        click.confirm("Go on?", abort=True, err=True)
    advice = advise(
        held_out_data(task, min_overlap=min_overlap),
        rungs,
        yardstick,
        rule,
        workspace=workspace,
        model=model,
        preset=preset,  # type: ignore[arg-type]
        changes=changes,
        plan=FitPlan(Path(), budget=budget, accelerator=accelerator),
        proxy=proxy,
        up_to=up_to,
        allow_leakage=allow_leakage,
        tell=lambda line: click.echo(line, err=True),
    )
    if out is not None:
        from curate.evaluate.results import write_results

        write_results(advice.results, out)
    _show(advice, as_json=as_json)


def _task(path: Path, corpus: Corpus) -> Task:
    from curate.build.task.task import Task
    from curate.evaluate.advise.held_out import held_out_reference

    task = Task.open(path, corpus)
    held_out_reference(task)
    for note in task.notes:
        click.echo(f"notice: {note}", err=True)
    return task


def _yardstick(
    task: Task, *, metric: str | None, method: str | None, evaluation_seeds: int, task_items: tuple[str, ...]
) -> Yardstick:
    from curate.evaluate.advise.held_out import TASK_OF, settings_of
    from curate.evaluate.advise.yardstick import Yardstick
    from curate.evaluate.tasks import TASKS

    called = TASK_OF[task.document.kind]
    card = TASKS[called]
    said = settings_of(task)
    known = {key: said[key] for key in said if key in card.settings.model_fields}
    settings = card.with_changes(known | parse_settings(task_items))
    if metric is not None and metric not in card.metrics:
        raise click.BadParameter(f"task {called} gives no {metric!r}; it gives: {', '.join(card.metrics)}")
    return Yardstick(called, settings, metric or card.headline[0], method, tuple(range(evaluation_seeds)))


def _check_tolerance(tolerance: float, metric: str) -> None:
    from curate.evaluate.metrics import METRICS

    # The best of all metrics of which more is better is 1.
    if METRICS[metric].higher_is_better and tolerance >= 1:
        raise click.BadParameter(
            f"--tolerance {tolerance:g} is more than any model has in {metric}, of which 1 is the best; give "
            "less, such as 0.01"
        )


def _rungs(
    workspace: Workspace,
    corpus: Corpus,
    task: Task,
    strategy: str,
    fractions: list[float] | None,
    embedding: str,
    where: str | None,
) -> Rungs:
    from curate.build.embeddings.embedding import Embedding
    from curate.build.strategies.named import settle
    from curate.evaluate.advise.rungs import Rungs
    from curate.manifests.registry import Registry

    is_read = settle(strategy).strategy.needs_embedding
    opened = Embedding.open(corpus.embeddings_path / embedding, corpus) if is_read else None
    return Rungs.open(
        corpus,
        task,
        registry=Registry(workspace.manifests_path, workspace=workspace),
        strategy=strategy,
        fractions=fractions or (),
        embedding=opened,
        where=where,
        tell=lambda line: click.echo(f"notice: {line}", err=True),
    )


def _check_settings(model: str, preset: str, changes: dict[str, Any]) -> None:
    from curate.errors import ModelError
    from curate.train.models import MODELS
    from curate.train.models.settings import changed

    try:
        changed(MODELS[model].presets[preset], changes, model=model)  # type: ignore[index]
    except ModelError as error:
        raise click.UsageError(str(error)) from None


def _print_plan(plan: Plan, task: Task, *, as_json: bool, err: bool = False) -> None:
    if as_json:
        click.echo(json.dumps(plan.to_json(), indent=2, ensure_ascii=False))
        return
    for line in plan.lines(task):
        click.echo(line, err=err)


def _show(advice: Advice, *, as_json: bool) -> None:
    from curate.evaluate.advise.wording import cautions, sentences, to_json
    from curate.manifests.page import simulated

    if as_json:
        click.echo(json.dumps(to_json(advice), indent=2, ensure_ascii=False))
        return
    for line in sentences(advice):
        click.echo(line)
    for each in cautions(advice):
        click.echo(f"notice: {each}", err=True)
    if label := simulated({advice.manifest.document.corpus.name: advice.label}):
        click.echo(label)
