"""What a worker does for each kind of job. All of it is content-addressed: what is there already is found."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from curate.build.build import build
from curate.build.embeddings.embedding import Embedding
from curate.build.spike_ins import plan_spike_ins
from curate.build.strategies.named import settle
from curate.build.task.task import Task
from curate.errors import SweepError
from curate.evaluate.leakage import Leaked, leaked
from curate.evaluate.sweep.folder import SHARDS_NAME, SweepFolder
from curate.evaluate.sweep.overlap import (
    find_overlaps,
    is_of_corpus,
    kept_leaked,
    kept_overlaps,
    live_overlaps,
    look_for,
    untold,
)
from curate.manifests.registry import Registry
from curate.sources.source import find_source
from curate.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from curate.build.exclusions import Exclusion
    from curate.corpus import Corpus
    from curate.evaluate.data import EvaluationData
    from curate.evaluate.subject import Subject
    from curate.manifests.manifest import Manifest

DATA_HELD, MODELS_HELD = 2, 4
RESULTS = "results"


@dataclass
class Bench:
    """Where a worker works, and what it keeps in memory from job to job.

    Attributes
    ----------
    keep_shards
        Whether shards are written into the workspace, or into the folder of the sweep, to go when used.
    tell
        Called with what a person should know.
    """

    workspace: Workspace
    folder: SweepFolder
    keep_shards: bool = True
    tell: Callable[[str], None] = lambda line: None
    _data: dict[str, EvaluationData] = field(default_factory=dict)
    _subjects: dict[str, Subject] = field(default_factory=dict)

    @classmethod
    def open(cls, root: str, path: str, *, keep_shards: bool, tell: Callable[[str], None]) -> Bench:
        """Open the workspace and the sweep at these places."""
        return cls(Workspace.find(root), SweepFolder(Path(path)), keep_shards, tell)

    def run(
        self, kind: str, key: str, spec: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Do a job.

        Parameters
        ----------
        inputs
            Results of the jobs that it needs, by key.

        Returns
        -------
        What is known of it, as JSON knows it.
        """
        return DOES[kind](self, key, spec, inputs)

    def corpus(self, spec: Mapping[str, Any]) -> Corpus:
        """Open the corpus of a job."""
        corpus = self.workspace.corpus(spec["corpus_name"])
        if corpus.id != spec["corpus"]:
            raise SweepError(
                f"corpus {corpus.name} has changed since the sweep was begun ({corpus.id[:12]}, not "
                f"{spec['corpus'][:12]}); run it again"
            )
        return corpus

    def manifest(self, ref: str) -> Manifest:
        """Open a manifest of the workspace."""
        registry = Registry(self.workspace.manifests_path, workspace=self.workspace)
        return replace(registry.resolve(ref), workspace=self.workspace)

    def data(self, name: str, read: Mapping[str, Any]) -> EvaluationData:
        """Read evaluation data, or take them from memory."""
        from curate.evaluate.open import open_data

        held = f"{name} {sorted(read.items(), key=str)}"
        if held not in self._data:
            _make_room(self._data, DATA_HELD)
            data = open_data(read["ref"], workspace=self.workspace, **read["options"])
            self._data[held] = replace(data, name=name)
        return self._data[held]

    def subject(self, model: str) -> Subject:
        """Open a trained model to evaluate, or take it, and how it saw data, from memory."""
        from curate.evaluate.subject import trained
        from curate.train.artifact import find_model

        if model not in self._subjects:
            _make_room(self._subjects, MODELS_HELD)
            self._subjects[model] = trained(find_model(model, self.workspace), workspace=self.workspace)
        return self._subjects[model]


def overlap(bench: Bench, key: str, spec: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Look for the cells of the evaluation data in the corpus."""
    del inputs
    path = bench.folder.overlap_path(key)
    if not path.exists():
        find_overlaps(bench.corpus(spec), spec["data"], path, where=spec["where"], tell=bench.tell)
    return {"path": str(path), "data": spec["data"]}


def manifest(bench: Bench, key: str, spec: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Choose the cells of a subset."""
    del key
    corpus = bench.corpus(spec)
    settled = settle(spec["strategy"], spec["parameters"])
    path = corpus.embeddings_path / spec["embedding"]
    is_read = settled.strategy.needs_embedding or (settled.strategy.costs and path.exists())
    shares = spec.get("spike_ins", {})
    spiked = None
    if shares:
        spiked = plan_spike_ins(
            [(find_source(corpus, name), share) for name, share in shares.items()],
            mode=spec["spike_in_mode"],
            balance=spec["spike_in_balance"],
        )
    split = spec["split"]
    with _exclusions(bench, corpus, inputs.get(spec["overlap"]), is_live=bool(shares)) as exclusions:
        built = build(
            corpus,
            registry=Registry(bench.workspace.manifests_path, workspace=bench.workspace),
            strategy=spec["strategy"],
            parameters=spec["parameters"],
            fraction=spec["fraction"],
            seed=spec["seed"],
            where=spec["where"],
            exclusions=exclusions,
            embedding=Embedding.open(path, corpus) if is_read else None,
            split_by=split["by"][0] if len(split["by"]) == 1 else split["by"],
            split_ratios=split["ratios"],
            split_seed=split["seed"],
            split_stratify_by=split["stratify_by"],
            name=spec["name"],
            spike_ins=spiked,
            task=_task(spec, corpus),
            tell=bench.tell,
        )
    return {"ref": built[-1].ref, "id": built[-1].id}


def shards(bench: Bench, key: str, spec: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Write the counts of a subset."""
    del key
    from curate.train.artifact.shards import shards_of, shards_path

    chosen = bench.manifest(inputs[spec["manifest"]]["id"])
    path = shards_path(chosen, bench.workspace)
    if not bench.keep_shards and not path.exists():
        path = bench.folder.shards_path / chosen.id[:SHARDS_NAME]
    held = shards_of(chosen, path, may_write=True)
    return {"path": str(path), "n_bytes": sum(size for size, _ in held.files.values())}


def leakage(bench: Bench, key: str, spec: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Look for the training cells of a subset among evaluation data."""
    path = bench.folder.overlap_path(key)
    if not path.exists():
        data = bench.data(spec["dataset"], spec["data"])
        look_for(data, bench.manifest(inputs[spec["manifest"]]["id"]), path)
    return {"path": str(path)}


def train(bench: Bench, key: str, spec: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Train a model."""
    del key
    from curate.train.artifact.train import train
    from curate.train.fit.plan import Budget, FitPlan

    chosen = bench.manifest(inputs[spec["manifest"]]["id"])
    made = train(
        spec["model"],
        chosen,
        workspace=bench.workspace,
        preset=spec["preset"],
        changes=spec["changes"],
        task=_task(spec, chosen.corpus()) if spec["task"] else None,
        plan=FitPlan(Path(), seed=spec["seed"], budget=Budget(**spec["budget"])),
        is_untrained=spec["is_untrained"],
        shards=Path(inputs[spec["shards"]]["path"]),
        say=bench.tell,
    )
    cost = made.artifact.header.cost
    return {
        "model": made.artifact.name,
        "id": made.artifact.id,
        "is_new": made.is_new,
        "n_cells": cost.n_cells,
        "fit_seconds": cost.seconds,
    }


def evaluate(bench: Bench, key: str, spec: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Evaluate a model, or the baselines of the data, and keep the rows."""
    from curate.evaluate.evaluate import evaluate
    from curate.evaluate.results import write_results
    from curate.evaluate.subject import baselines
    from curate.evaluate.tasks import TASKS

    card = TASKS[spec["task"]]
    data = bench.data(spec["dataset"], spec["data"])
    is_baseline = spec["model"] is None
    if is_baseline:
        subjects = baselines() if card.on_representations else []
    else:
        subjects = [bench.subject(inputs[spec["model"]]["model"])]
    with data.noticed() as notices:
        table = evaluate(
            spec["task"],
            subjects,
            data,
            card.settings.model_validate(spec["settings"]),
            seed=spec["seed"],
            folder=bench.workspace.root / RESULTS,
            allow_leakage=spec["leakage"] == "allow",
            drop_shared=spec["leakage"] == "drop",
            look=partial(_looked, Path(inputs[spec["looked"]]["path"]), spec["data"]["ref"])
            if not is_baseline
            else leaked,
        )
    if not is_baseline:
        # Those of the data stand in the table once.
        table = table.filter(pl.col("kind") != "baseline")
    path = bench.folder.rows_path(key)
    path.parent.mkdir(exist_ok=True)
    write_results(table, path)
    of_subjects = table.group_by("model_name").agg(pl.col("seconds").first())
    return {
        "n_rows": table.height,
        "evaluation_seconds": of_subjects["seconds"].sum(),
        "notices": notices,
    }


DOES: dict[str, Callable[[Bench, str, Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]] = {
    "overlap": overlap,
    "leakage": leakage,
    "manifest": manifest,
    "shards": shards,
    "train": train,
    "baselines": evaluate,
    "evaluate": evaluate,
}


@contextmanager
def _exclusions(
    bench: Bench, corpus: Corpus, found: Mapping[str, Any] | None, *, is_live: bool
) -> Iterator[list[Exclusion]]:
    """Yield what leaves the evaluation data out; of spike-ins, it has to look for them itself."""
    if found is None:
        yield []
    elif not is_live:
        yield kept_overlaps(corpus, Path(found["path"]))
    else:
        with corpus.open_census() as census:
            yield list(live_overlaps(corpus, found["data"], census=census, tell=bench.tell))


def _looked(path: Path, ref: str, data: EvaluationData, manifest: Manifest) -> Leaked:
    """Return what was found; of a subset of what the evaluation data were left out of, nothing is there."""
    del manifest
    if is_of_corpus(path):
        few, n_compared = untold(path, ref)
        return Leaked(np.zeros(data.n_cells, np.bool_), 0, n_untold=few, n_compared=n_compared)
    return kept_leaked(data, path)


def _task(spec: Mapping[str, Any], corpus: Corpus) -> Task | None:
    return Task.open(spec["task"]["path"], corpus) if spec["task"] else None


def _make_room(held: dict[str, Any], most: int) -> None:
    """Let the oldest go."""
    while len(held) >= most:
        held.pop(next(iter(held)))
