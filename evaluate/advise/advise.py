"""Whether more data would help a task: from a task document to an answer, with the manifest to use.

1. the steps that are to be run, and what the baselines have, which need no training;
2. where a proxy is asked for, it climbs first, and the model skips the small steps that it passed;
3. the model climbs: train, evaluate, judge, until the rest of the corpus cannot matter;
4. the answer.

All that is made is found by its content when the same is asked again: manifests, models, results.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from curate.evaluate.advise.climb import climb
from curate.evaluate.advise.training import with_least_steps
from curate.evaluate.advise.trial import Trials
from curate.evaluate.advise.yardstick import try_baselines
from curate.train.fit.plan import FitPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from curate.evaluate.advise.climb import Climb
    from curate.evaluate.advise.rule import Judgement, Rule
    from curate.evaluate.advise.rungs import Rungs
    from curate.evaluate.advise.yardstick import Yardstick
    from curate.evaluate.data import EvaluationData
    from curate.manifests.manifest import Manifest
    from curate.train.models.settings import Preset
    from curate.workspace import Workspace

#: Steps below that of the proxy which the model still runs, beside the first.
BELOW_PROXY = 2


@dataclass(frozen=True, eq=False)
class Advice:
    """An answer, and what it rests on.

    Attributes
    ----------
    climb, proxy_climb
        Of the model, and of the proxy; sizes are cells of manifests.
    manifest
        The one to use, of the first seed: the smallest that is enough, else the largest that was run.
    results
        Of all runs of the model, and of the baselines; see `curate.evaluate.results`.
    baselines
        Value of the metric by baseline.
    n_trained
        Models that were trained now, not found.
    n_improving
        Models whose training ended while they were still improving.
    """

    task: str
    model: str
    proxy: str | None
    strategy: str
    metric: str
    rule: Rule
    climb: Climb
    proxy_climb: Climb | None
    manifest: Manifest
    results: pl.DataFrame
    baselines: Mapping[str, float]
    n_trained: int
    n_improving: int
    label: str | None


def advise(
    data: EvaluationData,
    rungs: Rungs,
    yardstick: Yardstick,
    rule: Rule,
    *,
    workspace: Workspace,
    model: str,
    preset: Preset = "study",
    changes: Mapping[str, Any] | None = None,
    plan: FitPlan | None = None,
    proxy: str | None = None,
    up_to: float = 1.0,
    allow_leakage: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> Advice:
    """Climb a ladder until more cells cannot matter for a task.

    Parameters
    ----------
    data
        The held-out half of the task's reference.
    model, preset, changes, plan
        As `curate.train.artifact.train.train`; the seed of a run is that of its subset. Without a budget
        every model trains for the epochs of its settings, as one would train on that subset; with one, all
        cost the same.
    proxy
        A model that is cheap to train, which climbs first; of preset and settings of its own.
    up_to
        The largest fraction that is run.

    Raises
    ------
    SelectionError, ModelError, EvaluationError, LeakageError
        As building, training and evaluating.
    """
    # 1. The steps, and the baselines.
    baseline_rows, found_baselines = try_baselines(data, yardstick, folder=workspace.results_path)
    held = ", ".join(f"{name} {value:.4f}" for name, value in found_baselines.items())
    tell(f"without training, {yardstick.metric}: {held or 'nothing has one'}")
    fit_plan = plan or FitPlan(Path())
    steps = [at for at, fraction in enumerate(rungs.sizes) if fraction <= up_to]
    shared = {"rungs": rungs, "data": data, "yardstick": yardstick, "workspace": workspace}
    # 2. The proxy.
    proxy_climb = None
    if proxy is not None:
        tell(f"proxy {proxy}:")
        # A budget is for the model: a proxy is cheap as it is.
        own = replace(fit_plan, budget=FitPlan(Path()).budget)
        trials = _trials(shared, proxy, preset, {}, own, allow_leakage=allow_leakage, tell=tell)
        proxy_climb = _climb(trials, steps, rule, tell)
        steps = region(steps, proxy_climb)
        tell(f"{model}:")
    # 3. The model.
    trials = _trials(shared, model, preset, changes or {}, fit_plan, allow_leakage=allow_leakage, tell=tell)
    found = _climb(trials, steps, rule, tell)
    # 4. The answer.
    judgement = found.judgement
    enough = judgement.enough if judgement is not None else None
    best = found.last if enough is None else found.sizes.index(enough)
    return Advice(
        task=data.name,
        model=model,
        proxy=proxy,
        strategy=rungs.builder.chosen.name,
        metric=yardstick.metric,
        rule=rule,
        climb=found,
        proxy_climb=proxy_climb,
        manifest=rungs.manifest(best, 0),
        results=pl.concat([baseline_rows, *trials.tables]),
        baselines=found_baselines,
        n_trained=trials.n_trained,
        n_improving=trials.n_improving,
        label=rungs.builder.corpus.header.census.label or data.label,
    )


def region(steps: list[int], proxy: Climb) -> list[int]:
    """Return the steps that the model runs after a proxy: the first, and those from two below the proxy's on.

    The proxy's is the smallest that is enough for it, else the last that it ran.
    """
    judgement = proxy.judgement
    enough = judgement.enough if judgement is not None else None
    at = proxy.last if enough is None else proxy.sizes.index(enough)
    return [step for step in steps if step == steps[0] or step >= at - BELOW_PROXY]


def _trials(
    shared: Mapping[str, Any],
    model: str,
    preset: Preset,
    changes: Mapping[str, Any],
    plan: FitPlan,
    *,
    allow_leakage: bool,
    tell: Callable[[str], None],
) -> Trials:
    n_all = shared["rungs"].sizes[1.0]
    return Trials(
        **shared,
        model=model,
        preset=preset,
        changes=with_least_steps(model, preset, changes, plan.budget, n_all=n_all),
        plan=lambda seed: replace(plan, seed=seed),
        allow_leakage=allow_leakage,
        tell=tell,
    )


def _climb(trials: Trials, steps: list[int], rule: Rule, tell: Callable[[str], None]) -> Climb:
    sizes = list(trials.rungs.sizes.values())

    def judged(step: int, judgement: Judgement) -> None:
        tell(
            f"after {sizes[step]:,} cells: {judgement.verdict}; the rest brings more than {rule.tolerance:g} "
            "with a "
            f"probability of {judgement.probability:.1%}"
        )

    return climb(sizes, trials.score, rule, steps=steps, tell=judged)
