"""What `curate sweep` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.evaluate.sweep.status import TITLES
from curate.wording import counted

if TYPE_CHECKING:
    from curate.evaluate.sweep.plan import Numbers, Plan
    from curate.evaluate.sweep.run import Ended
    from curate.evaluate.sweep.status import Status

MOST_SHOWN = 20


def plan_lines(plan: Plan) -> list[str]:
    """Return a plan in lines of a title and what it says."""
    grid, numbers = plan.grid, plan.document.numbers
    where = f", of {plan.document.corpus}" if plan.document.corpus else ""
    lines = [
        ("sweep", f"{grid.name}{where}: {numbers.n_corpus_cells:,} cells to choose from"),
        ("subsets", _subsets(plan)),
        ("models", _models(plan)),
        ("evaluations", _evaluations(numbers)),
        ("cells", _cells(numbers)),
        ("hours", _hours(numbers)),
    ]
    if numbers.unknown:
        held = ", ".join(f"{work} ({n:,})" for work, n in numbers.unknown.items())
        lines.append(("unknown", f"no rate is known of {held}; a run measures it, or state it under [rates]"))
    if numbers.cost is not None:
        at_least = "at least " if numbers.unknown else ""
        lines.append(
            (
                "cost",
                f"{at_least}{numbers.cost:,.2f} {numbers.currency} at {numbers.price_per_hour:g} an hour",
            )
        )
    lines += [("missing", line) for line in plan.document.absent]
    return [f"{title:<12}{text}" for title, text in lines]


def ended_lines(ended: Ended) -> list[str]:
    """Return what a run has done; what failed was told when it did."""
    n_earlier = len(ended.failures) - ended.n_failed
    lines = [
        f"{counted(ended.n_done, 'job')} done, {ended.n_found:,} found done, {ended.n_failed:,} failed"
        + (f", {n_earlier:,} failed in earlier runs" if n_earlier else "")
        + (f", {ended.n_blocked:,} wait for failed ones" if ended.n_blocked else "")
    ]
    if ended.failures:
        lines.append(
            f"`curate sweep status {ended.folder.path.name}` lists what failed, and its logs; "
            "--retry-failed tries it again"
        )
    return [*lines, f"{ended.folder.results_path}: {counted(ended.n_rows, 'row')}"]


def status_lines(status: Status) -> list[str]:
    """Return how a sweep stands."""
    if status.is_running:
        state = f"running, {counted(status.workers, 'worker')}"
    else:
        state = "ended" if status.is_ended else "stopped; `curate sweep run` goes on"
    lines = [f"sweep {status.name}: {state}"]
    if any(each.n_waiting + each.n_running for each in status.counts.values()):
        left = "not known yet" if status.left_s is None else f"about {duration(status.left_s)}"
        lines[0] += f"; left: {left}"
    for kind, each in status.counts.items():
        parts = {
            "running": each.n_running,
            "waiting": each.n_waiting,
            "failed": each.n_failed,
            "waiting for failed ones": each.n_blocked,
        }
        said = "".join(f", {n:,} {what}" for what, n in parts.items() if n)
        lines.append(f"{TITLES[kind]:<12}{each.n_done:,} of {each.n:,} done{said}")
    lines += [f"running     {each.called}, {duration(each.seconds)}" for each in status.running]
    failed = []
    for one in status.failed:
        waiting = f" ({one.n_blocked:,} wait for it)" if one.n_blocked else ""
        log = f" (see {one.log})" if one.log else ""
        failed.append(f"failed      {one.called}: {one.error}{log}{waiting}")
    return lines + _few(failed)


def duration(seconds: float) -> str:
    """Return a time in the unit that people would say."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h"


def _few(lines: list[str]) -> list[str]:
    rest = len(lines) - MOST_SHOWN
    return lines if rest <= 0 else [*lines[:MOST_SHOWN], f"… and {rest:,} more (--json lists all)"]


def _subsets(plan: Plan) -> str:
    numbers = plan.document.numbers
    fractions: dict[str, list[str]] = {}
    for strategy, fraction in plan.design.settings:
        fractions.setdefault(strategy, []).append(f"{fraction:.4g}")
    alike: dict[str, list[str]] = {}
    for strategy, held in fractions.items():
        alike.setdefault(" ".join(held), []).append(strategy)
    said = "; ".join(f"{', '.join(names)} at {held}" for held, names in alike.items())
    return (
        f"{counted(numbers.n_settings, 'setting')} ({said}) x {counted(numbers.n_seeds, 'seed')}: "
        f"{counted(numbers.n_manifests, 'manifest')}, the whole corpus being one for all seeds"
        if any(fraction == 1 for _, fraction in plan.design.settings)
        else f"{counted(numbers.n_settings, 'setting')} ({said}) x {counted(numbers.n_seeds, 'seed')}: "
        f"{counted(numbers.n_manifests, 'manifest')}"
    )


def _models(plan: Plan) -> str:
    numbers, grid = plan.document.numbers, plan.grid
    per_subset = sum(
        len(model.presets or grid.presets) * len(model.budgets or grid.budgets) for model in grid.models
    )
    fits = f", {numbers.n_fits:,} fits" if numbers.n_fits != numbers.n_models else ""
    left_out = f", {numbers.n_left_out:,} places of the grid left out" if numbers.n_left_out else ""
    return (
        f"{counted(numbers.n_settings, 'setting')} x {counted(numbers.n_seeds, 'seed')} x "
        f"{counted(per_subset, 'model')}: {counted(numbers.n_models, 'model')}{fits}{left_out}"
        + (f", and {counted(numbers.n_controls, 'untrained control')}" if numbers.n_controls else "")
    )


def _evaluations(numbers: Numbers) -> str:
    beside = [f"{numbers.n_baselines:,} of baselines"]
    if numbers.n_control_evaluations:
        beside.insert(0, f"{numbers.n_control_evaluations:,} of controls")
    return (
        f"{counted(numbers.n_models, 'model')} x {numbers.n_per_model:.4g}: "
        f"{counted(numbers.n_evaluations, 'evaluation')}; "
        f"beside them {' and '.join(beside)}"
    )


def _cells(numbers: Numbers) -> str:
    trained = (
        "an unknown number" if numbers.cells_trained is None else f"at most {numbers.cells_trained:,.0f}"
    )
    return f"{numbers.cells_chosen:,} chosen in all subsets; {trained} seen by all trainings"


def _hours(numbers: Numbers) -> str:
    stages = ", ".join(f"{stage} {_hours_of(hours)}" for stage, hours in numbers.hours.items())
    at_least = "at least " if numbers.unknown else "about "
    return f"{at_least}{_hours_of(numbers.total_hours)} one after the other ({stages})"


def _hours_of(hours: float) -> str:
    return duration(3600 * hours)
