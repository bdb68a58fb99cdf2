"""What a grid is made of: subsets, runs (a model on a subset), evaluations. Nothing is looked up here.

A fraction of 1 is the same cells for every strategy and seed: one subset, ALL, on which a model is trained
with every seed. What another part of the grid asks for again is there once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

from curate.errors import SweepError
from curate.evaluate.sweep.grid import ALL, StrategyEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from curate.evaluate.sweep.grid import BudgetEntry, ExcludeEntry, Grid, ModelEntry, TaskEntry


@dataclass(frozen=True, eq=False)
class Subset:
    """Cells to choose: what decides them beside what holds for the whole grid."""

    entry: StrategyEntry
    fraction: float
    seed: int

    @property
    def strategy(self) -> str:
        """What the grid calls the way of choosing."""
        return self.entry.called

    @property
    def setting(self) -> tuple[str, float]:
        """The subset but for its seed."""
        return self.strategy, self.fraction

    @property
    def key(self) -> tuple[str, float, int]:
        """What tells it from the others of the grid."""
        return (*self.setting, self.seed)

    @property
    def called(self) -> str:
        """Its name in messages."""
        return f"{self.strategy} {self.fraction:g} s{self.seed}"


@dataclass(frozen=True, eq=False)
class Run:
    """A model on a subset."""

    subset: Subset
    model: ModelEntry
    preset: str
    budget: BudgetEntry
    seed: int
    is_untrained: bool = False

    @cached_property
    def at(self) -> dict[str, Any]:
        """Its place in the grid, by the keys of ``[[exclude]]``."""
        return {
            "strategy": self.subset.strategy,
            "fraction": self.subset.fraction,
            "seed": self.seed,
            "model": self.model.called,
            "preset": self.preset,
            "budget": self.budget.called,
        }

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it from the others of the grid."""
        return (*self.subset.key, *self.at.values(), self.is_untrained)

    @property
    def called(self) -> str:
        """Its name in messages."""
        parts = [self.model.called, self.preset]
        if any(value is not None for value in self.budget.limits.values()):
            parts.append(self.budget.called)
        if self.is_untrained:
            parts.append("untrained")
        if self.seed != self.subset.seed:
            parts.append(f"seed {self.seed}")
        return f"{' '.join(parts)} on {self.subset.called}"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model, or the baselines of the data (None), on a task and a data set."""

    run: Run | None
    task: TaskEntry
    dataset: str
    seed: int

    @property
    def called(self) -> str:
        """Its name in messages."""
        of = self.run.called if self.run is not None else "baselines"
        seed = f" seed {self.seed}" if self.seed else ""
        return f"{self.task.called} on {self.dataset}{seed}: {of}"


@dataclass(frozen=True)
class Design:
    """All of a grid.

    Attributes
    ----------
    subsets
        Small ones first.
    runs
        Of trained models, in the order of the subsets; then the controls.
    evaluations
        Of trained models and controls, in the order of the runs.
    baselines
        Of the data, once a task, data set and evaluation seed.
    n_left_out
        Runs and evaluations that ``[[exclude]]`` leaves out.
    """

    subsets: tuple[Subset, ...]
    runs: tuple[Run, ...]
    evaluations: tuple[Evaluation, ...]
    baselines: tuple[Evaluation, ...]
    n_left_out: int

    @property
    def trained(self) -> list[Run]:
        """The runs but for the controls."""
        return [run for run in self.runs if not run.is_untrained]

    @property
    def settings(self) -> list[tuple[str, float]]:
        """Subset settings: subsets but for the seed, each once."""
        return list(dict.fromkeys(subset.setting for subset in self.subsets))


def expand(grid: Grid) -> Design:
    """Return what a grid is made of.

    Raises
    ------
    SweepError
        When a part of it excludes nothing, or all is excluded.
    """
    excluding = _Excluding(grid.exclude)
    subsets = {subset.key: subset for subset in _subsets(grid)}
    runs: dict[tuple[Any, ...], Run] = {}
    for entry, seed in product(_by_size(grid), grid.seeds):
        subset = subsets[_subset(grid, *entry, seed).key]
        for model in grid.models:
            for budget, preset in product(model.budgets or grid.budgets, model.presets or grid.presets):
                run = Run(subset, model, preset, budget, seed)
                if not excluding.leaves_out(run.at):
                    runs.setdefault(run.key, run)
    controls = _controls(runs.values()) if grid.controls else {}
    pairs = [
        (task, dataset, seed)
        for dataset in grid.datasets
        for task in grid.tasks
        for seed in grid.evaluation_seeds
        if dataset in (task.datasets or grid.datasets)
    ]
    evaluations = []
    for run, (task, dataset, seed) in product([*runs.values(), *controls.values()], pairs):
        if run.is_untrained or not excluding.leaves_out({**run.at, "task": task.called, "dataset": dataset}):
            evaluations.append(Evaluation(run, task, dataset, seed))
    excluding.refuse_idle()
    if not evaluations:
        raise SweepError(f"grid {grid.name} leaves every combination out; exclude fewer")
    used = {run.subset.key for run in runs.values()}
    return Design(
        subsets=tuple(subset for key, subset in subsets.items() if key in used),
        runs=(*runs.values(), *controls.values()),
        evaluations=tuple(evaluations),
        baselines=tuple(Evaluation(None, *pair) for pair in pairs),
        n_left_out=excluding.n_left_out,
    )


class _Excluding:
    """Counts what each part of ``[[exclude]]`` leaves out."""

    def __init__(self, entries: Iterable[ExcludeEntry]) -> None:
        self._entries = [each.model_dump(exclude_none=True) for each in entries]
        self._n = [0] * len(self._entries)
        self._left_out: set[tuple[Any, ...]] = set()

    @property
    def n_left_out(self) -> int:
        """Places that were left out."""
        return len(self._left_out)

    def leaves_out(self, at: Mapping[str, Any]) -> bool:
        """Tell whether what stands at this place is left out; parts that name more are not asked."""
        matching = [
            number
            for number, entry in enumerate(self._entries)
            if all(at.get(key, self) == value for key, value in entry.items())
        ]
        for number in matching:
            self._n[number] += 1
        if matching:
            self._left_out.add(tuple(at.items()))
        return bool(matching)

    def refuse_idle(self) -> None:
        """Raise SweepError when a part leaves nothing out."""
        for number, (entry, n) in enumerate(zip(self._entries, self._n, strict=True)):
            if n == 0:
                said = ", ".join(f"{key} = {value!r}" for key, value in entry.items())
                raise SweepError(f"exclude.{number} ({said}) leaves nothing out; mend or remove it")


def _by_size(grid: Grid) -> list[tuple[StrategyEntry, float]]:
    """Return strategies and fractions, small fractions first."""
    pairs = [(entry, fraction) for entry in grid.strategies for fraction in entry.fractions or grid.fractions]
    return sorted(pairs, key=lambda pair: pair[1])


def _subsets(grid: Grid) -> list[Subset]:
    return [_subset(grid, *pair, seed) for pair, seed in product(_by_size(grid), grid.seeds)]


def _subset(grid: Grid, entry: StrategyEntry, fraction: float, seed: int) -> Subset:
    if fraction < 1 or entry.spike_ins:
        return Subset(entry, fraction, seed)
    label = ALL if entry.task is None else f"{ALL} ({entry.task})"
    return Subset(StrategyEntry(name="random", label=label, task=entry.task), fraction, grid.seeds[0])


def _controls(runs: Iterable[Run]) -> dict[tuple[Any, ...], Run]:
    """Return the untrained control of each model, preset and seed, on the first of its subsets."""
    controls: dict[tuple[Any, ...], Run] = {}
    for run in runs:
        place = (run.model.called, run.preset, run.seed)
        if place not in controls:
            controls[place] = Run(run.subset, run.model, run.preset, run.budget, run.seed, is_untrained=True)
    return controls
