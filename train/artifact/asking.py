"""What is asked for, and whether it is there already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from curate.errors import ModelError
from curate.train.artifact.artifact import RUN_FILE, Artifact, artifacts
from curate.train.artifact.document import Asked, BudgetRecord
from curate.train.fit.plan import FitPlan

if TYPE_CHECKING:
    from curate.build.task.task import Aim
    from curate.manifests.manifest import Manifest
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
    """Return the model that is asked for, if it is in a folder of models.

    Parameters
    ----------
    name
        What it is to be called; None when that is not said.
    takes_checkpoint
        A checkpoint of the run that was taken before will do.

    Raises
    ------
    ModelError
        When another model has the name.
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
        return there
    held = (each for each in artifacts(folder) if isinstance(each, Artifact))
    return next((each for each in held if is_it(each)), None)
