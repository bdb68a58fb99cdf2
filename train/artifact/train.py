"""From a manifest to a trained model in the workspace.

1. what is asked for: settings and task; the id that follows from it, and whether such a model is there;
2. the shards of the manifest, written when there are none;
3. the model is made, and trained in a folder beside its own, where a run that was killed goes on; or it is
   given the checkpoint that a run which was broken off has left there;
4. weights, log, model card and run.json are written down, and the folder gets its name.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import torch

from curate.atomic import atomic_file, atomic_folder, claim_partial, partial_of
from curate.documents import file_digest
from curate.errors import ModelError, TrainingError, WriteError
from curate.train.artifact.artifact import CARD_FILE, METRICS_FILE, RUN_FILE, Artifact, check_name
from curate.train.artifact.asking import ask, check_possible, check_was_verified, find_made
from curate.train.artifact.card import TYPES, card
from curate.train.artifact.document import Asked, Cost, RunDocument, ShardsRecord, TrainedOn
from curate.train.artifact.environment import environment
from curate.train.artifact.parts import absent_lines
from curate.train.artifact.shards import opened_shards, seen_shards, shards_of, shards_path
from curate.train.artifact.unfinished import (
    ASKED_FILE,
    RUN_FOLDER,
    SHARDS_FILE,
    STOPPED_FILE,
    BrokenOff,
    make_room,
    why_it_broke_off,
)
from curate.train.fit.checkpoint import step_reached
from curate.train.fit.log import SCHEMA
from curate.train.fit.plan import FitPlan, FitReport
from curate.train.fit.trainer import take_checkpoint
from curate.train.models import MODELS
from curate.train.models.files import CONFIG_FILE, GENES_FILE, WEIGHTS_FILE
from curate.train.models.network import Network
from curate.train.models.settings import changed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from curate.build.task.task import Aim, Task
    from curate.manifests.manifest import Manifest
    from curate.train.models.model import Model
    from curate.train.models.settings import Preset, Settings
    from curate.train.shards.shards import Shards
    from curate.workspace import Workspace


@dataclass(frozen=True)
class Trained:
    """A trained model, and whether it was trained now or found."""

    artifact: Artifact
    is_new: bool


def train(
    model: str,
    manifest: Manifest,
    *,
    workspace: Workspace,
    preset: Preset = "study",
    changes: Mapping[str, Any] | None = None,
    task: Task | None = None,
    plan: FitPlan | None = None,
    is_untrained: bool = False,
    takes_checkpoint: bool = False,
    name: str | None = None,
    shards: Path | None = None,
    verify: bool | None = None,
    say: Callable[[str], None] = lambda line: None,
    before: Callable[[Shards], None] = lambda shards: None,
) -> Trained:
    """Train a model on the training cells of a manifest, and keep it in the workspace.

    The same asked again is found, whatever it is called. A run that was killed goes on from its last
    checkpoint when it is asked for again.

    Parameters
    ----------
    model
        A key of MODELS.
    changes
        Settings by name, instead of those of the preset.
    task
        What the model is for, for models that know tasks.
    plan
        Seed, budget, device; its folder is not used: checkpoints lie in the folder that is being made.
    is_untrained
        Take no step: the control, of the same initialisation.
    takes_checkpoint
        Train no further: give the model what the run that was broken off had come to, and end that run.
    name
        Of the folder in the workspace; by default model ("-untrained"), manifest and version, and eight
        digits of the id.
    shards
        A folder of shards of the manifest; by default that of the workspace, made when it is not there.
    verify
        Compare shards with their sha256 first; by default where that takes seconds.
    say
        Called with a line before shards are written, where fewer dimensions were possible than asked for, and
        where no validation cell had a part of the loss.
    before
        Called with the shards before the model is trained.

    Raises
    ------
    ModelError
        When there is no such model or setting, a value is out of range, the cells do not suffice, the name
        is taken by another model, what is there is damaged, or with `verify` was not fitted to shards that
        were compared; or there is no checkpoint to take, or no such device.
    TrainingError
        When the loss is no number, or there is too little memory: what is kept, and what can be made of it.
    ShardError
        When shards are damaged, have changed, or are of another manifest, or there are no weights.
    WriteError
        When it cannot be written, or another run is at work on it; what was reached is kept.
    """
    # 1. What is asked for.
    kind = MODELS[model]
    settings = changed(kind.presets[preset], dict(changes or {}), model=model)
    plan = plan or FitPlan(Path())
    aim = task.aim(None, None) if task is not None else None
    check_possible(kind, manifest, plan, takes_steps=not is_untrained and not takes_checkpoint)
    named = opened_shards(manifest, shards, is_named=True) if shards is not None else None
    seed_of_shards = named.header.seed if named is not None else 0
    asked = ask(model, settings, manifest, plan, aim, seed_of_shards, is_untrained=is_untrained)
    folder = workspace.models_path
    if name is not None:
        check_name(name)
    if (found := find_made(folder, asked, name, takes_checkpoint=takes_checkpoint)) is not None:
        if verify:
            check_was_verified(found)
        return Trained(found, is_new=False)
    path = folder / (name or _name_of(asked, manifest))
    if takes_checkpoint and not step_reached(partial_of(path) / RUN_FOLDER):
        raise ModelError(
            f"{partial_of(path)} holds no checkpoint; --take-checkpoint is for a training that was broken "
            "off, with all else that it was given, its --name too"
        )
    # 2. The shards.
    held = shards_of(
        manifest,
        shards or shards_path(manifest, workspace),
        may_write=shards is None,
        verify=verify,
        say=say,
    )
    # 3. and 4. Trained or taken, and written down.
    job = _Job(
        kind, settings, manifest, held, asked, preset, plan, aim, task.ontology.release if task else None
    )
    if takes_checkpoint:
        path = _taken(job, path, name)
    else:
        _trained(job, path, before)
    artifact = Artifact.open(path)
    if (n_dims := artifact.header.n_dims) < settings.n_dims:
        say(f"{n_dims:,} dimensions instead of {settings.n_dims:,}: the training cells have no more")
    n_validated = min(asked.validation_cells, held.n_cells("val"))
    for line in absent_lines(kind, artifact.metrics(), n_cells=n_validated):
        say(line)
    return Trained(artifact, is_new=True)


@dataclass(frozen=True)
class _Job:
    """What is to be made: all that making a model and writing it down needs."""

    kind: type[Model]
    settings: Settings
    manifest: Manifest
    shards: Shards
    asked: Asked
    preset: Preset
    plan: FitPlan
    aim: Aim | None
    ontology: str | None

    def create(self) -> Model:
        target = self.aim.target if self.aim else None
        return self.kind.create(self.shards, self.settings, seed=self.plan.seed, task=target)


def _name_of(asked: Asked, manifest: Manifest) -> str:
    kept = f"{asked.model}-untrained" if asked.is_untrained else asked.model
    return f"{kept}-{manifest.name}-v{manifest.version}-{asked.id[:8]}"


def _trained(job: _Job, path: Path, before: Callable[[Shards], None]) -> None:
    make_room(path, job.asked)
    with atomic_folder(path, resumable=True) as aside:
        job.asked.save(aside / ASKED_FILE)
        seen = seen_shards(job.shards, aside / SHARDS_FILE)
        made = job.create()
        if job.asked.is_untrained:
            report = FitReport("untrained", 0, 0, 0, 0.0, pl.DataFrame(schema=SCHEMA))
        else:
            before(job.shards)
            report = _fitted(made, job.shards, replace(job.plan, folder=aside / RUN_FOLDER))
        _write_down(job, aside, path.name, made, report, seen)


def _taken(job: _Job, path: Path, name: str | None) -> Path:
    """Make the model of what a run that was broken off has left; return its folder."""
    why = why_it_broke_off(path)
    with claim_partial(path) as left:
        seen = seen_shards(job.shards, left / SHARDS_FILE)
        made = job.create()
        assert isinstance(made, Network)
        report = take_checkpoint(made, job.shards, replace(job.plan, folder=left / RUN_FOLDER))
        if report.stopped == "checkpoint":
            job = replace(job, asked=job.asked.model_copy(update={"checkpoint_step": report.n_steps}))
        path = path.with_name(name or _name_of(job.asked, job.manifest))
        with atomic_folder(path) as aside:
            _write_down(job, aside, path.name, made, report, seen, broken_off=why.why if why else None)
    return path


def _fitted(model: Model, shards: Shards, plan: FitPlan) -> FitReport:
    """Train; where that ends before its time, write down why, and say how to use what is kept."""
    plan.folder.mkdir(exist_ok=True)
    note = plan.folder.parent / STOPPED_FILE
    note.unlink(missing_ok=True)
    try:
        return model.fit(shards, plan)
    except ModelError as error:
        step = step_reached(plan.folder)
        if not step and not isinstance(error, TrainingError):
            raise
        # What is to be said is why training ended, be the disk full as well.
        with suppress(WriteError):
            # The cause: without the words on what is kept, and where.
            BrokenOff(why=str(error.__cause__ or error), checkpoint_step=step).save(note)
        if not step:
            raise
        raise TrainingError(
            f"{error}; the same command with --take-checkpoint makes a model of it"
        ) from error


def _write_down(
    job: _Job,
    folder: Path,
    name: str,
    model: Model,
    report: FitReport,
    seen: ShardsRecord,
    *,
    broken_off: str | None = None,
) -> None:
    manifest, shards, asked, aim = job.manifest, job.shards, job.asked, job.aim
    corpus = manifest.document.corpus
    model.save(folder)
    with atomic_file(folder / METRICS_FILE) as aside:
        report.metrics.write_parquet(aside)
    uses_gpu = isinstance(model, Network) and job.plan.accelerator != "cpu" and torch.cuda.is_available()
    document = RunDocument(
        id=asked.id,
        model=model.name,
        preset=job.preset,
        asked=asked,
        trained_on=TrainedOn(
            manifest_ref=manifest.ref,
            corpus=corpus.id,
            corpus_name=corpus.name,
            organism=corpus.organism,
            release=corpus.release,
            label=corpus.label,
            n_cells=shards.header.n_cells,
            n_genes=shards.header.n_genes,
        ),
        shards=seen,
        task=aim.record if aim else None,
        ontology=job.ontology,
        n_dims=model.settings.n_dims,
        n_parameters=sum(parameter.numel() for parameter in model.parameters()),
        n_numbers=sum(value.numel() for value in model.state_dict().values()),
        stopped=report.stopped,
        broken_off=broken_off,
        cost=Cost(
            n_cells=report.n_cells,
            n_steps=report.n_steps,
            n_epochs=report.n_epochs,
            seconds=report.seconds,
            waiting_fraction=report.waiting_fraction,
            energy_joules=report.energy_joules,
        ),
        best_step=report.best_step,
        best_loss=report.best_loss,
        environment=environment(uses_gpu=uses_gpu and report.stopped != "untrained"),
        files={},
        created=datetime.now(UTC).replace(microsecond=0),
    )
    obs = shards.obs([*manifest.document.composition, "donor_id"], split="train")
    at_hand = manifest.find_corpus()
    types = at_hand.value_counts(TYPES) if at_hand is not None else None
    text = card(name, document, manifest.document, type(model), report.metrics, obs=obs, types=types)
    with atomic_file(folder / CARD_FILE) as aside:
        aside.write_text(text)
    shutil.rmtree(folder / RUN_FOLDER, ignore_errors=True)
    for left in (ASKED_FILE, SHARDS_FILE, STOPPED_FILE):
        (folder / left).unlink(missing_ok=True)
    names = (CONFIG_FILE, WEIGHTS_FILE, GENES_FILE, METRICS_FILE, CARD_FILE)
    files = {each: file_digest(folder / each) for each in names}
    n_bytes = {each: (folder / each).stat().st_size for each in names}
    document.model_copy(update={"files": files, "n_bytes": n_bytes}).save(folder / RUN_FILE)
