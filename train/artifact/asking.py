"""What is asked for, and whether it is there already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from curate.errors import ModelError, ShardError
from curate.seeds import check_seed
from curate.train.artifact.artifact import RUN_FILE, Artifact, artifacts
from curate.train.artifact.document import Asked, BudgetRecord
from curate.train.fit.devices import check_devices
from curate.train.fit.plan import FitPlan
from curate.train.models.network import Network

if TYPE_CHECKING:
    from curate.build.task.task import Aim
    from curate.manifests.manifest import Manifest
    from curate.train.models.model import Model
    from curate.train.models.settings import Settings


def ask(
    model: str,
    settings: Settings,
    manifest: Manifest,
    plan: FitPlan,
    aim: Aim | None,
    shards_seed: int,
    *,
    is_untrained: bool,
) -> Asked:
    """Return all that decides a model."""
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


def find_made(folder: Path, asked: Asked, name: str | None, *, takes_checkpoint: bool) -> Artifact | None:
    """Return the model that is asked for, compared with its sha256, if it is in a folder of models.

    Parameters
    ----------
    name
        What it is to be called; None when that is not said.
    takes_checkpoint
        A checkpoint of the run that was taken before will do.

    Raises
    ------
    ModelError
        When another model has the name, or the one that is there is damaged.
    """

    def is_it(made: Artifact) -> bool:
        return made.id == asked.id or (takes_checkpoint and made.header.asked.whole == asked)

    if name is not None and (folder / name / RUN_FILE).is_file():
        there = Artifact.open(folder / name)
        if not is_it(there):
            step = there.header.asked.checkpoint_step
            taken = "" if step is None else f", the checkpoint of step {step:,} of a run"
            raise ModelError(
                f"{folder / name} holds another model ({there.id[:12]}, not {asked.id[:12]}{taken}); give "
                "this one another --name, or remove it"
            )
        there.verify()
        return there
    damage: ModelError | None = None
    for each in artifacts(folder):
        if not isinstance(each, Artifact) or not is_it(each):
            continue
        try:
            each.verify()
        except ModelError as error:
            damage = damage or error
            continue
        return each
    if damage is not None:
        raise damage
    return None


def check_was_verified(found: Artifact) -> None:
    """Refuse a model of which nobody knows that it was fitted to the shards as they were written.

    Raises
    ------
    ModelError
        Saying how to have one of which it is known.
    """
    held = found.header.shards
    if held is None or held.checked == "no":
        was = "was fitted to shards that were not compared with their sha256"
        if held is None:
            was = "does not tell whether its shards were compared with their sha256"
        raise ModelError(
            f"{found.path} is there already and {was}; remove the folder to train it again with --verify, or "
            "leave --verify out to take it as it is"
        )


def check_possible(kind: type[Model], manifest: Manifest, plan: FitPlan, *, takes_steps: bool) -> None:
    """Refuse what would fail once the shards are written: a seed that is none, weights or a GPU not there.

    Raises
    ------
    ModelError
        For seed and devices.
    ShardError
        When cells are to be drawn by weights, and the manifest has none.
    """
    check_seed(plan.seed, ModelError)
    if not takes_steps:
        return
    if plan.is_weighted and manifest.held_cells.weight is None:
        raise ShardError(f"{manifest.ref} has no weights; its strategy gives none, leave weighting out")
    if issubclass(kind, Network):
        check_devices(plan)
