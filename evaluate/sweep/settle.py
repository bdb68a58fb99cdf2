"""What a grid names, looked up: strategies, models, tasks, files. All that is wrong is found at once.

What is wrong with the grid itself is a fault; what is not here yet (a file, the corpus, an embedding) is
absent: a plan is made without it, a run is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from curate.build.candidates import find_candidates
from curate.build.requests import cells_of_fraction
from curate.build.strategies.custom import is_path
from curate.build.strategies.named import settle as settle_strategy
from curate.documents import fault_in_words
from curate.errors import CurateError, SweepError
from curate.evaluate.sweep.grid import CENSUS_PREFIX, MANIFEST_PREFIX
from curate.nearest import nearest
from curate.task import TaskDocument

if TYPE_CHECKING:
    from curate.build.strategies.named import Settled as SettledStrategy
    from curate.corpus import Corpus
    from curate.evaluate.sweep.grid import DatasetEntry, Grid, ModelEntry, StrategyEntry
    from curate.train.models.model import Model
    from curate.train.models.settings import Settings
    from curate.workspace import Workspace


@dataclass
class Settled:
    """A grid, and what its names stand for.

    Attributes
    ----------
    corpus
        None where it is not at hand.
    n_cells
        Cells of the corpus to choose from; of the grid where the corpus is not at hand.
    strategies, models, tasks
        By label; models by label and preset, tasks by label and data set: settings as JSON knows them.
    faults, absent
        In words, one line each.
    """

    grid: Grid
    corpus: Corpus | None = None
    n_cells: int = 0
    strategies: dict[str, SettledStrategy] = field(default_factory=dict)
    models: dict[tuple[str, str], tuple[type[Model], Settings]] = field(default_factory=dict)
    tasks: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    def refuse_faults(self) -> None:
        """Raise SweepError with all that is wrong with the grid."""
        _refuse(f"grid {self.grid.name}", self.faults, "fault")

    def refuse_absent(self) -> None:
        """Raise SweepError with all that is not here and a run needs."""
        _refuse(f"grid {self.grid.name} cannot run yet", self.absent, "thing", verb="missing")


def settle(grid: Grid, workspace: Workspace | None) -> Settled:
    """Look up what a grid names; nothing is raised for what is wrong with it, but noted."""
    found = Settled(grid)
    _corpus(found, workspace)
    for strategy in grid.strategies:
        _strategy(found, strategy)
    for model in grid.models:
        _model(found, model)
    _tasks(found)
    for name, dataset in grid.datasets.items():
        _dataset(found, name, dataset)
    return found


def _refuse(whose: str, lines: list[str], noun: str, *, verb: str = "") -> None:
    if not lines:
        return
    if len(lines) == 1:
        raise SweepError(f"{whose}: {lines[0]}")
    listed = "; ".join(f"({number}) {line}" for number, line in enumerate(lines, start=1))
    raise SweepError(f"{whose}: {len(lines)} {noun}s{f' {verb}' if verb else ''}: {listed}")


def _corpus(found: Settled, workspace: Workspace | None) -> None:
    grid = found.grid
    try:
        if workspace is None:
            found.absent.append("no workspace; make one with `curate init` or `curate demo`")
        else:
            found.corpus = workspace.corpus(grid.corpus, how="as `corpus` in the grid")
    except CurateError as error:
        found.absent.append(str(error))
    if found.corpus is None:
        found.n_cells = grid.n_cells or 0
        if grid.n_cells is None:
            found.faults.append(f"{found.absent[-1]} (to plan without a corpus, give n_cells in the grid)")
            return
    else:
        try:
            found.n_cells = find_candidates(found.corpus, grid.where).n_cells
        except CurateError as error:
            found.faults.append(str(error))
            return
    fractions = {each for entry in grid.strategies for each in entry.fractions or grid.fractions}
    for fraction in sorted(fractions):
        try:
            cells_of_fraction(fraction, found.n_cells)
        except CurateError as error:
            found.faults.append(str(error))


def _strategy(found: Settled, entry: StrategyEntry) -> None:
    grid, corpus = found.grid, found.corpus
    try:
        name = grid.beside(entry.name) if is_path(entry.name) else entry.name
        settled = settle_strategy(name, entry.parameters)
    except CurateError as error:
        found.faults.append(f"strategy {entry.called}: {error}")
        return
    found.strategies[entry.called] = settled
    if settled.strategy.needs_task and entry.task is None:
        found.faults.append(f"strategy {entry.called} chooses for a task; name a document as its `task`")
    _task_document(found, f"strategy {entry.called}", entry.task)
    if corpus is None:
        return
    if settled.strategy.needs_embedding and not (corpus.embeddings_path / grid.embedding).exists():
        found.absent.append(
            f"corpus {corpus.name} has no embedding {grid.embedding!r}, which strategy {entry.called} needs; "
            "make it with `curate embed`"
        )
    from curate.sources.source import find_source

    for source in entry.spike_ins:
        try:
            find_source(corpus, source)
        except CurateError as error:
            found.absent.append(str(error))


def _model(found: Settled, entry: ModelEntry) -> None:
    from curate.train.models import MODELS
    from curate.train.models.settings import changed

    if entry.name not in MODELS:
        found.faults.append(f"no model named {entry.name!r}; {nearest(entry.name, MODELS)}")
        return
    kind = MODELS[entry.name]
    for preset in entry.presets or found.grid.presets:
        try:
            settings = changed(kind.presets[preset], dict(entry.settings), model=entry.name)
        except CurateError as error:
            found.faults.append(str(error))
            return
        found.models[entry.called, preset] = (kind, settings)
    _task_document(found, f"model {entry.called}", entry.task)


def _task_document(found: Settled, whose: str, path: str | None) -> None:
    if path is None:
        return
    try:
        TaskDocument.load(found.grid.beside(path))
    except CurateError as error:
        found.faults.append(f"{whose}: {error}")


def _tasks(found: Settled) -> None:
    from curate.evaluate.tasks import TASKS

    grid = found.grid
    taken: dict[str, set[str]] = {name: set() for name in grid.datasets}
    for entry in grid.tasks:
        if entry.name not in TASKS:
            found.faults.append(f"no task named {entry.name!r}; {nearest(entry.name, TASKS)}")
            continue
        known = TASKS[entry.name].settings.model_fields
        for name in entry.datasets or grid.datasets:
            if name not in grid.datasets:
                continue
            of_data = {key: value for key, value in grid.datasets[name].settings.items() if key in known}
            taken[name] |= set(of_data)
            try:
                settings = TASKS[entry.name].settings.model_validate({**entry.settings, **of_data})
            except ValidationError as error:
                what = fault_in_words(error, TASKS[entry.name].settings)
                found.faults.append(f"task {entry.called} on {name}: {what}")
                break
            found.tasks[entry.called, name] = settings.model_dump(mode="json")
    if len({entry.called for entry in grid.tasks}) != len({called for called, _ in found.tasks}):
        return
    for name, dataset in grid.datasets.items():
        if unknown := [key for key in dataset.settings if key not in taken[name]]:
            fields = {key for entry in grid.tasks for key in TASKS[entry.name].settings.model_fields}
            hint = nearest(unknown[0], sorted(fields))
            found.faults.append(f"data set {name}: no task of it has a setting {unknown[0]!r}; {hint}")


def _dataset(found: Settled, name: str, entry: DatasetEntry) -> None:
    if not any(name in (task.datasets or found.grid.datasets) for task in found.grid.tasks):
        found.faults.append(f"data set {name} is in no task; name it under `datasets` of one, or remove it")
    place = found.grid.beside(entry.data)
    if place.startswith((CENSUS_PREFIX, MANIFEST_PREFIX)):
        if found.grid.exclude_overlap:
            found.faults.append(
                f"data set {name}: exclude_overlap compares files and stores with the corpus, and {place} is "
                "neither; leave its cells out by `where`, and set exclude_overlap = false"
            )
    elif not Path(place).exists():
        found.absent.append(f"data set {name}: there is no {place}")
