"""From a manifest to a trained model in the workspace.

1. what is asked for: settings and task; the id that follows from it, and whether such a model is there;
2. the shards of the manifest, written when there are none;
3. the model is made, and trained in a folder beside its own, where a run that was killed goes on;
4. weights, log, model card and run.json are written down, and the folder gets its name.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from pydantic import ValidationError

from curate.atomic import atomic_file, atomic_folder
from curate.documents import file_digest
from curate.errors import ModelError, TrainingError
from curate.train.artifact.artifact import (
    ASKED_FILE,
    CARD_FILE,
    METRICS_FILE,
    RUN_FILE,
    Artifact,
    artifacts,
    check_name,
)
from curate.train.artifact.card import card
from curate.train.artifact.document import Asked, BudgetRecord, Cost, RunDocument, TrainedOn
from curate.train.artifact.environment import environment
from curate.train.artifact.shards import shards_of, shards_path
from curate.train.fit.log import SCHEMA
from curate.train.fit.plan import FitPlan, FitReport
from curate.train.models import MODELS
from curate.train.models.files import CONFIG_FILE, GENES_FILE, WEIGHTS_FILE
from curate.train.models.network import Network
from curate.train.models.settings import changed
from curate.train.shards.shards import Shards

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from curate.build.task.task import Aim, Task
    from curate.manifests.manifest import Manifest
    from curate.train.models.model import Model
    from curate.train.models.settings import Preset, Settings
    from curate.workspace import Workspace

RUN_FOLDER = "run"


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
    name
        Of the folder in the workspace; by default model ("-untrained"), manifest and version, and eight
        digits of the id.
    shards
        A folder of shards of the manifest; by default that of the workspace, made when it is not there.
    verify
        Compare shards with their sha256 first; by default where that takes seconds.
    say
        Called with a line before shards are written, and where fewer dimensions were possible than asked for.
    before
        Called with the shards before the model is trained.

    Raises
    ------
    ModelError
        When there is no such model or setting, a value is out of range, the cells do not suffice, or the name
        is taken by another model.
    TrainingError
        When the loss is no number, or the device has too little memory; the last good checkpoint is kept.
    ShardError
        When shards are damaged, have changed, or are of another manifest.
    WriteError
        When it cannot be written, or another run is at work on it; what was reached is kept.
    """
    # 1. What is asked for.
    kind = MODELS[model]
    settings = changed(kind.presets[preset], dict(changes or {}), model=model)
    plan = plan or FitPlan(Path())
    aim = task.aim(None, None) if task is not None else None
    seed_of_shards = Shards.open(shards).header.seed if shards is not None else 0
    asked = _asked(model, settings, manifest, plan, aim, seed_of_shards, is_untrained=is_untrained)
    folder = workspace.models_path
    if name is not None:
        check_name(name)
    if (found := _found(folder, asked, name)) is not None:
        return Trained(found, is_new=False)
    kept = f"{model}-untrained" if is_untrained else model
    name = name or f"{kept}-{manifest.name}-v{manifest.version}-{asked.id[:8]}"
    # 2. The shards.
    held = shards_of(
        manifest,
        shards or shards_path(manifest, workspace),
        may_write=shards is None,
        verify=verify,
        say=say,
    )
    # 3. Trained.
    _refuse_other_run(folder / f".{name}.partial", asked)
    with atomic_folder(folder / name, resumable=True) as aside:
        asked.save(aside / ASKED_FILE)
        made = kind.create(held, settings, seed=plan.seed, task=aim.target if aim else None)
        if is_untrained:
            report = FitReport("untrained", 0, 0, 0, 0.0, pl.DataFrame(schema=SCHEMA))
        else:
            before(held)
            report = _fitted(made, held, replace(plan, folder=aside / RUN_FOLDER))
        if (n_dims := made.settings.n_dims) < settings.n_dims:
            say(f"{n_dims:,} dimensions instead of {settings.n_dims:,}: the training cells have no more")
        # 4. Written down.
        _write_down(aside, name, made, manifest, held, asked, preset, plan, aim, report)
    return Trained(Artifact.open(folder / name), is_new=True)


def _fitted(model: Model, shards: Shards, plan: FitPlan) -> FitReport:
    """Train; where that fails after a checkpoint, say where that is kept."""
    plan.folder.mkdir(exist_ok=True)
    try:
        return model.fit(shards, plan)
    except ModelError as error:
        if not any(plan.folder.iterdir()):
            raise
        raise TrainingError(f"{error} (in {plan.folder})") from error


def _asked(
    model: str,
    settings: Settings,
    manifest: Manifest,
    plan: FitPlan,
    aim: Aim | None,
    shards_seed: int,
    *,
    is_untrained: bool,
) -> Asked:
    # Of a model that takes no step, how it would be trained decides nothing.
    decides = FitPlan(Path(), seed=plan.seed) if is_untrained else plan
    budget = decides.budget
    return Asked(
        model=model,
        settings=settings.model_dump(mode="json"),
        manifest=manifest.id,
        genes=manifest.document.genes.id,
        shards_seed=shards_seed,
        seed=plan.seed,
        task=aim.record.digest if aim else None,
        is_untrained=is_untrained,
        is_weighted=decides.is_weighted,
        budget=BudgetRecord(
            max_steps=budget.max_steps, max_cells=budget.max_cells, max_minutes=budget.max_minutes
        ),
        precision=decides.precision,
        devices=decides.devices,
        validation_steps=decides.validation_steps,
        validation_cells=decides.validation_cells,
    )


def _found(folder: Path, asked: Asked, name: str | None) -> Artifact | None:
    """Return the model that is asked for, if it is there; refuse a name that another one has."""
    if name is not None and (folder / name / RUN_FILE).is_file():
        there = Artifact.open(folder / name)
        if there.id != asked.id:
            raise ModelError(
                f"{folder / name} holds another model ({there.id[:12]}, not {asked.id[:12]}); give this one "
                "another --name, or remove it"
            )
        return there
    held = (each for each in artifacts(folder) if isinstance(each, Artifact))
    return next((each for each in held if each.id == asked.id), None)


def _refuse_other_run(aside: Path, asked: Asked) -> None:
    """Refuse a name under which another run has been interrupted, rather than remove its checkpoint."""
    try:
        found = Asked.model_validate_json((aside / ASKED_FILE).read_text())
    except (OSError, ValidationError):
        return
    if found != asked:
        before, now = found.model_dump(), asked.model_dump()
        differing = ", ".join(key for key in now if before[key] != now[key])
        raise ModelError(
            f"{aside} holds an interrupted run of another {differing} ({found.id[:8]}, not {asked.id[:8]}); "
            "give this one another --name, or remove the folder"
        )


def _write_down(
    folder: Path,
    name: str,
    model: Model,
    manifest: Manifest,
    shards: Shards,
    asked: Asked,
    preset: Preset,
    plan: FitPlan,
    aim: Aim | None,
    report: FitReport,
) -> None:
    corpus = manifest.document.corpus
    model.save(folder)
    with atomic_file(folder / METRICS_FILE) as aside:
        report.metrics.write_parquet(aside)
    uses_gpu = isinstance(model, Network) and plan.accelerator != "cpu" and torch.cuda.is_available()
    document = RunDocument(
        id=asked.id,
        model=model.name,
        preset=preset,
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
        task=aim.record if aim else None,
        n_dims=model.settings.n_dims,
        n_parameters=sum(parameter.numel() for parameter in model.parameters()),
        stopped=report.stopped,
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
    with atomic_file(folder / CARD_FILE) as aside:
        aside.write_text(card(name, document, manifest.document, type(model), report.metrics))
    shutil.rmtree(folder / RUN_FOLDER, ignore_errors=True)
    (folder / ASKED_FILE).unlink()
    names = (CONFIG_FILE, WEIGHTS_FILE, GENES_FILE, METRICS_FILE, CARD_FILE)
    files = {each: file_digest(folder / each) for each in names}
    document.model_copy(update={"files": files}).save(folder / RUN_FILE)
