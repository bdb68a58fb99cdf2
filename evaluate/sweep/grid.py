"""The document of a sweep: a TOML file that names strategies, fractions, seeds, models, tasks and data sets.

What it names is looked up in `settle`; what follows from it stands in `expand`.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator

from curate.documents import Document, fault_in_words
from curate.errors import SweepError
from curate.nearest import nearest
from curate.recipe import NAME_PATTERN
from curate.seeds import LARGEST_SEED

FORMAT: Final = 1
SHIPPED: Final = {"study": Path(__file__).parent / "study.toml"}
"""Grids that come along, by name."""
CENSUS_PREFIX, MANIFEST_PREFIX = "census:", "manifest:"
"""Of data that are no file; as `curate.evaluate.open` has them, which would import numba."""
ALL: Final = "all"
"""What the subset of all cells is called."""
Label = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Count = Annotated[int, Field(ge=1)]
Preset = Literal["tiny", "study", "large"]


class StrategyEntry(Document):
    """``[[strategies]]``: a way to choose cells, and what is put among them.

    Attributes
    ----------
    name
        A key of STRATEGIES, or path/to/file.py:function.
    label
        What the sweep calls it; its name, with its spike-ins, where it is not said.
    fractions
        Instead of those of the grid.
    task
        A task document, relative to the grid: the cells are chosen for it, and its exclusions hold.
    spike_ins
        Source -> share of the training cells: subsets of their own, beside those without.
    """

    name: str
    label: Label | None = None
    parameters: dict[str, Any] = Field(default={})
    fractions: tuple[Share, ...] | None = Field(default=None, min_length=1)
    task: str | None = None
    spike_ins: dict[str, Share] = Field(default={})
    spike_in_mode: Literal["replace", "add"] = "replace"
    spike_in_balance: Literal["none", "perturbation"] = "none"

    @property
    def called(self) -> str:
        """Its label."""
        shares = "".join(f"+{source}={share:g}" for source, share in self.spike_ins.items())
        return self.label or self.name + shares


class BudgetEntry(Document):
    """``[[budgets]]``: when training stops, as in `curate.train.fit.plan.Budget`."""

    label: Label | None = None
    max_steps: Count | None = None
    max_cells: Count | None = None
    max_minutes: float | None = Field(default=None, gt=0)

    @property
    def called(self) -> str:
        """Its label."""
        given = {key: value for key, value in self.limits.items() if value is not None}
        return self.label or ", ".join(f"{key} {value:g}" for key, value in given.items()) or "none"

    @property
    def limits(self) -> dict[str, float | None]:
        """What it limits."""
        return {"max_steps": self.max_steps, "max_cells": self.max_cells, "max_minutes": self.max_minutes}


class ModelEntry(Document):
    """``[[models]]``: a model to train on every subset.

    Attributes
    ----------
    presets, budgets
        Instead of those of the grid.
    settings
        Instead of those of the preset, by name.
    task
        A task document, relative to the grid, for models that know tasks.
    """

    name: str
    label: Label | None = None
    presets: tuple[Preset, ...] | None = Field(default=None, min_length=1)
    budgets: tuple[BudgetEntry, ...] | None = Field(default=None, min_length=1)
    settings: dict[str, Any] = Field(default={})
    task: str | None = None

    @property
    def called(self) -> str:
        """Its label."""
        return self.label or self.name


class TaskEntry(Document):
    """``[[tasks]]``: what every model is evaluated on.

    Attributes
    ----------
    datasets
        Names under ``[datasets]``; all where it is not said.
    settings
        Of the task, by name.
    """

    name: str
    label: Label | None = None
    settings: dict[str, Any] = Field(default={})
    datasets: tuple[str, ...] | None = Field(default=None, min_length=1)

    @property
    def called(self) -> str:
        """Its label."""
        return self.label or self.name


class DatasetEntry(Document):
    """``[datasets.NAME]``: evaluation data.

    Attributes
    ----------
    data, where, layer, gene_column, max_cells, min_overlap
        As in `curate.evaluate.open.open_data`; the path of a file or store is relative to the grid.
    settings
        Of the tasks that it is evaluated in, by name, such as its label_column: each goes to those tasks
        that have it.
    """

    data: str = Field(min_length=1)
    where: str | None = None
    layer: str | None = None
    gene_column: str | None = None
    max_cells: Count | None = None
    min_overlap: float | None = Field(default=None, ge=0, le=1)
    settings: dict[str, Any] = Field(default={})

    @property
    def options(self) -> dict[str, Any]:
        """What `open_data` takes beside it."""
        return self.model_dump(
            include={"where", "layer", "gene_column", "max_cells", "min_overlap"}, exclude_none=True
        )


class SplitEntry(Document):
    """``[split]``: training, validation and test cells of every subset, as in `curate build`."""

    by: tuple[str, ...] = ("cell",)
    ratios: tuple[float, ...] = (0.8, 0.1, 0.1)
    seed: Seed = 0
    stratify_by: tuple[str, ...] = ("cell_type",)


class ExcludeEntry(Document):
    """``[[exclude]]``: combinations that are left out: those that match all that is named."""

    strategy: str | None = None
    fraction: Share | None = None
    seed: Seed | None = None
    model: str | None = None
    preset: Preset | None = None
    budget: str | None = None
    task: str | None = None
    dataset: str | None = None

    @model_validator(mode="after")
    def _names_something(self) -> ExcludeEntry:
        if not self.model_fields_set:
            raise ValueError("it names nothing; name a strategy, fraction, model, task or dataset")
        return self


class Grid(Document):
    """What a sweep is made of.

    Attributes
    ----------
    n_cells
        Of the corpus, to plan where it is not at hand.
    fractions, seeds
        Of the subsets. The seed is that of the model too. A fraction of 1 is the same cells for every
        strategy and seed: one subset, trained on with every seed.
    exclude_overlap
        Leave the cells of all evaluation data out of the corpus before anything is chosen.
    leakage
        Of evaluation data that hold training cells: a failed evaluation, or these cells left out, or allowed
        and said in every result.
    keep_shards
        Whether the counts of a subset stay on disk when its models are trained.
    controls
        Evaluate the untrained control of every model and seed too, on the smallest subset.
    rates
        Units a second by kind of work ("train scvi study": cells), for the plan, where none is measured.
    """

    format: Literal[1] = FORMAT
    name: str = Field(pattern=NAME_PATTERN)
    description: str = ""
    corpus: str | None = None
    n_cells: Count | None = None
    where: str | None = None
    embedding: str = "pca"
    fractions: tuple[Share, ...] = Field(min_length=1)
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    presets: tuple[Preset, ...] = Field(default=("study",), min_length=1)
    evaluation_seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    exclude_overlap: bool = False
    leakage: Literal["refuse", "drop", "allow"] = "refuse"
    keep_shards: bool = True
    controls: bool = True
    price_per_hour: float | None = Field(default=None, ge=0)
    currency: str = "USD"
    rates: dict[str, Annotated[float, Field(gt=0)]] = Field(default={})
    split: SplitEntry = SplitEntry()
    strategies: tuple[StrategyEntry, ...] = Field(min_length=1)
    models: tuple[ModelEntry, ...] = Field(min_length=1)
    budgets: tuple[BudgetEntry, ...] = Field(default=(BudgetEntry(),), min_length=1)
    tasks: tuple[TaskEntry, ...] = Field(min_length=1)
    datasets: dict[Annotated[str, Field(pattern=NAME_PATTERN)], DatasetEntry] = Field(min_length=1)
    exclude: tuple[ExcludeEntry, ...] = ()
    _folder: Path = PrivateAttr(default_factory=Path)

    @classmethod
    def load(cls, path: str | Path, *, folder: Path | None = None) -> Grid:
        """Read a document.

        Parameters
        ----------
        path
            Of the file; "study" is the grid of DenAdel et al. 2026, which comes along.
        folder
            What its paths are relative to, instead of its own folder.

        Raises
        ------
        SweepError
            When the file is not there, is not TOML, has an unknown key or a value that does not fit.
        """
        file = Path(path)
        if str(path) in SHIPPED and not file.exists():
            file, folder = SHIPPED[str(path)], folder or Path.cwd()
        try:
            content = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SweepError(f"grid {file} is not TOML: {error}") from None
        except OSError as error:
            raise SweepError(f"no grid {str(path)!r}: {error.strerror}; name a TOML file") from None
        return cls.parse(content, called=str(file), folder=folder or file.resolve().parent)

    @classmethod
    def parse(cls, content: dict[str, Any], *, called: str, folder: Path) -> Grid:
        """Read the content of a document; `called` is its name in messages.

        Raises
        ------
        SweepError
            When it has an unknown key or a value that does not fit, naming the first.
        """
        found = content.get("format", FORMAT)
        if found != FORMAT:
            raise SweepError(
                f"grid {called} is of format {found!r}, this curate reads {FORMAT}; update curate"
            )
        try:
            grid = cls.model_validate(content)
        except ValidationError as error:
            raise SweepError(f"grid {called}: {fault_in_words(error, cls)}") from None
        grid._folder = folder
        return grid

    @property
    def folder(self) -> Path:
        """What its paths are relative to."""
        return self._folder

    def beside(self, path: str) -> str:
        """Return a path or uri of the document with a relative path made one from its own folder."""
        is_place = "://" in path or path.startswith((CENSUS_PREFIX, MANIFEST_PREFIX))
        return path if is_place else str(self._folder / path)

    @field_validator("fractions", "seeds", "presets", "evaluation_seeds")
    @classmethod
    def _each_once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        _refuse_twice(values, "is given twice")
        return values

    @model_validator(mode="after")
    def _called_apart(self) -> Grid:
        for noun, labels in (
            ("strategies", [each.called for each in self.strategies]),
            ("models", [each.called for each in self.models]),
            ("budgets", [each.called for each in self.budgets]),
            *(
                (f"budgets of {model.called}", [each.called for each in model.budgets or ()])
                for model in self.models
            ),
            ("tasks", [each.called for each in self.tasks]),
        ):
            _refuse_twice(labels, f"of {noun} is given twice; give one of them a label")
        if any(each.called.partition(" (")[0] == ALL for each in self.strategies):
            raise ValueError(f"strategies: {ALL!r} is the whole corpus, a fraction of 1; take another label")
        if unknown := [
            name for task in self.tasks for name in task.datasets or () if name not in self.datasets
        ]:
            raise ValueError(f"tasks: no data set {unknown[0]!r}; {nearest(unknown[0], self.datasets)}")
        return self


def _refuse_twice(values: Any, what: str) -> None:
    held = list(values)
    for at, value in enumerate(held):
        if value in held[:at]:
            raise ValueError(f"{value!r} {what}")
