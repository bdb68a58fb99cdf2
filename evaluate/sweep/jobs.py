"""The jobs of a sweep: manifests, shards, models, evaluations, each with what it needs, what is equal once.

The key of a job is a digest of all that is asked for. Jobs stand in the order in which they are to be done:
the baselines of the data first, then subset by subset, small ones first: its manifest, its shards, its
models, their evaluations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from curate.build.requests import cells_of_fraction
from curate.build.strategies.custom import is_path
from curate.build.strategies.named import label_of
from curate.build.strategies.written import write_strategy
from curate.documents import canonical_digest, file_digest
from curate.evaluate.sweep.estimate import cells_trained_on, n_training
from curate.train.models.network import Network
from curate.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from curate.evaluate.sweep.expand import Design, Evaluation, Run, Subset
    from curate.evaluate.sweep.settle import Settled

Kind = Literal["overlap", "leakage", "baselines", "manifest", "shards", "train", "evaluate"]


@dataclass(frozen=True)
class Job:
    """Something to do, once.

    Attributes
    ----------
    key
        Digest of kind and spec.
    called
        Its name in messages.
    spec
        All that is asked for, as JSON knows it.
    needs
        Keys of jobs that come before it.
    work, amount
        Kind of work and how much of it, for estimates of time; None where that is not known beforehand.
    limit_s
        Seconds after which it ends by itself.
    """

    key: str
    kind: Kind
    called: str
    spec: dict[str, Any] = field(repr=False)
    needs: tuple[str, ...]
    work: str
    amount: float | None
    limit_s: float | None = None

    @property
    def like(self) -> tuple[Any, ...]:
        """What it reads: jobs of the same are best done by the same worker, which has it in memory."""
        if self.kind == "evaluate":
            return (self.spec["model"], self.spec["dataset"])
        return (self.key,)


@dataclass(frozen=True, eq=False)
class Jobs:
    """All jobs of a grid.

    Attributes
    ----------
    in_order
        Each after those that it needs.
    of_run, of_evaluation
        Key of the job of each run, by its key, and of each evaluation; equal ones have one.
    """

    in_order: tuple[Job, ...]
    of_run: Mapping[tuple[Any, ...], str]
    of_evaluation: Mapping[Evaluation, str]


def jobs_of(settled: Settled, design: Design) -> Jobs:
    """Return the jobs of a grid."""
    return _Jobs(settled).of(design)


class _Jobs:
    """Makes jobs; one that is there already is taken."""

    def __init__(self, settled: Settled) -> None:
        self.settled = settled
        self.grid = settled.grid
        self.made: dict[str, Job] = {}
        self._digests: dict[str, dict[str, str]] = {}

    @property
    def _corpus_id(self) -> str | None:
        return self.settled.corpus.id if self.settled.corpus is not None else None

    def of(self, design: Design) -> Jobs:
        """Return all of them."""
        of_evaluation = {each: self.evaluation(each) for each in design.baselines}
        before = {
            (each.task.called, each.dataset, each.seed): of_evaluation[each] for each in design.baselines
        }
        places = list(self.grid.datasets)
        of_run: dict[tuple[Any, ...], Job] = {}
        # Trained models and controls of a subset, one after the other, so that its counts can go.
        for subset in design.subsets:
            here = {run.key: run for run in design.runs if run.subset is subset}
            of_run |= {key: self.train(run) for key, run in here.items()}
            found = [each for each in design.evaluations if each.run is not None and each.run.key in here]
            # Data set by data set, so that each is read once.
            for each in sorted(found, key=lambda each: places.index(each.dataset)):
                assert each.run is not None
                of_evaluation[each] = self.evaluation(
                    each, of_run[each.run.key], before[each.task.called, each.dataset, each.seed]
                )
        return Jobs(
            tuple(self.made.values()),
            {key: job.key for key, job in of_run.items()},
            {each: job.key for each, job in of_evaluation.items()},
        )

    def manifest(self, subset: Subset) -> Job:
        """Return the job that chooses the cells of a subset; one that spikes needs its base."""
        entry, grid = subset.entry, self.grid
        held = self.settled.strategies.get(entry.called)
        overlap = self.overlap()
        named = write_strategy(entry.name, entry.parameters)
        task = f"-{Path(entry.task).stem}" if entry.task else ""
        spec: dict[str, Any] = {
            "corpus": self._corpus_id,
            "corpus_name": grid.corpus,
            "strategy": grid.beside(entry.name) if is_path(entry.name) else entry.name,
            "parameters": entry.parameters,
            "settings": held.settings if held is not None else {},
            "fraction": subset.fraction,
            "seed": subset.seed,
            "where": grid.where,
            "embedding": grid.embedding,
            "split": grid.split.model_dump(mode="json"),
            "task": self._file(entry.task),
            "overlap": overlap.key if overlap is not None else None,
            "name": f"{label_of(named)}{task}-{subset.fraction:g}-s{subset.seed}",
        }
        corpus_cells = float(self.settled.n_cells)
        before = (overlap.key,) if overlap is not None else ()
        base = self._add("manifest", subset.called, spec, before, f"build {entry.name}", corpus_cells)
        if not entry.spike_ins:
            return base
        spec |= {
            "spike_ins": entry.spike_ins,
            "spike_in_mode": entry.spike_in_mode,
            "spike_in_balance": entry.spike_in_balance,
        }
        needs = (*before, base.key)
        return self._add("manifest", subset.called, spec, needs, f"build {entry.name}", corpus_cells)

    def overlap(self) -> Job | None:
        """Return the job that looks for the cells of the evaluation data in the corpus; None unless asked."""
        grid = self.grid
        if not grid.exclude_overlap:
            return None
        spec = {
            "corpus": self._corpus_id,
            "corpus_name": grid.corpus,
            "where": grid.where,
            "data": [self._data(name) for name in grid.datasets],
        }
        called = f"cells of {counted(len(grid.datasets), 'data set')} in the corpus"
        n_compared = float(self.settled.n_cells * len(grid.datasets))
        return self._add("overlap", called, spec, (), "leakage", n_compared)

    def leakage(self, subset: Subset, dataset: str) -> Job:
        """Return the job that looks for the training cells of a subset among evaluation data."""
        manifest = self.manifest(subset)
        spec = {"manifest": manifest.key, "data": self._data(dataset), "dataset": dataset}
        n_cells = cells_of_fraction(subset.fraction, self.settled.n_cells)
        called = f"cells of {subset.called} in {dataset}"
        return self._add("leakage", called, spec, (manifest.key,), "leakage", n_cells)

    def shards(self, subset: Subset, manifest: Job) -> Job:
        """Return the job that writes the counts of a subset."""
        n_cells = cells_of_fraction(subset.fraction, self.settled.n_cells)
        spec = {"manifest": manifest.key}
        return self._add("shards", f"counts of {subset.called}", spec, (manifest.key,), "shards", n_cells)

    def train(self, run: Run) -> Job:
        """Return the job that trains a model."""
        manifest = self.manifest(run.subset)
        shards = self.shards(run.subset, manifest)
        kind, settings = self.settled.models[run.model.called, run.preset]
        limits = dict(run.budget.limits)
        if not issubclass(kind, Network):
            # Models that take no step read so many cells; other limits say nothing about them.
            limits |= {"max_steps": None, "max_minutes": None}
        if run.is_untrained:
            limits = dict.fromkeys(limits)
        n_train = n_training(self.grid, cells_of_fraction(run.subset.fraction, self.settled.n_cells))
        spec = {
            "manifest": manifest.key,
            "shards": shards.key,
            "model": run.model.name,
            "preset": run.preset,
            "changes": run.model.settings,
            "settings": settings.model_dump(mode="json"),
            "task": self._file(run.model.task),
            "seed": run.seed,
            "budget": limits,
            "is_untrained": run.is_untrained,
        }
        minutes = limits["max_minutes"]
        return self._add(
            "train",
            run.called,
            spec,
            (manifest.key, shards.key),
            f"train {run.model.name} {run.preset}",
            0 if run.is_untrained else cells_trained_on(kind, settings, limits, n_train),
            limit_s=None if minutes is None else 60 * minutes,
        )

    def evaluation(self, evaluation: Evaluation, train: Job | None = None, before: Job | None = None) -> Job:
        """Return the job that evaluates a model, or the baselines of the data."""
        task, grid = evaluation.task, self.grid
        spec = {
            "task": task.name,
            "settings": self.settled.tasks[task.called, evaluation.dataset],
            "data": self._data(evaluation.dataset),
            "dataset": evaluation.dataset,
            "seed": evaluation.seed,
            "leakage": grid.leakage,
            "model": train.key if train is not None else None,
        }
        kind: Kind = "evaluate" if train is not None else "baselines"
        looked = None
        if evaluation.run is not None:
            looked = self.overlap() or self.leakage(evaluation.run.subset, evaluation.dataset)
            spec["looked"] = looked.key
        needs = tuple(each.key for each in (train, before, looked) if each is not None)
        return self._add(kind, evaluation.called, spec, needs, f"{kind} {task.name}", 1)

    def _add(
        self,
        kind: Kind,
        called: str,
        spec: dict[str, Any],
        needs: tuple[str, ...],
        work: str,
        amount: float | None,
        *,
        limit_s: float | None = None,
    ) -> Job:
        key = canonical_digest({"kind": kind, "spec": spec})[:32]
        if key not in self.made:
            self.made[key] = Job(key, kind, called, dict(spec), needs, work, amount, limit_s)
        return self.made[key]

    def _file(self, path: str | None) -> dict[str, str] | None:
        """Return where a document lies, and its digest: another content is another job."""
        if path is None:
            return None
        if path not in self._digests:
            place = Path(self.grid.beside(path))
            self._digests[path] = {"path": str(place), "sha256": file_digest(place)}
        return self._digests[path]

    def _data(self, name: str) -> dict[str, Any]:
        """Return how evaluation data are read; of a file, size and time too: another file is another job."""
        entry = self.grid.datasets[name]
        read: dict[str, Any] = {"ref": self.grid.beside(entry.data), "options": entry.options}
        path = Path(read["ref"])
        if path.exists():
            seen = path.stat()
            read["seen"] = [seen.st_size, seen.st_mtime_ns]
        return read
