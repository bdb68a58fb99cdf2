"""How long a training will take, from what earlier ones took here."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path

    from curate.train.artifact import Artifact
    from curate.train.fit.plan import FitPlan
    from curate.train.models.model import Model
    from curate.train.models.settings import Settings
    from curate.train.shards import Shards


def estimate(
    kind: type[Model], preset: str, settings: Settings, plan: FitPlan, shards: Shards, *, root: Path
) -> None:
    """Say before a training what it reads, and how long it may take, where that is known.

    A rate is known of the same model and preset trained in the same workspace.
    """
    from curate.rates import own_rate
    from curate.train.models.network import Network
    from curate.train.models.settings import NetworkSettings

    n_train, n_val = shards.n_cells("train"), shards.n_cells("val")
    said = f"training {kind.name} ({preset}) on {n_train:,} cells, {n_val:,} for validation"
    if not issubclass(kind, Network) or not isinstance(settings, NetworkSettings):
        click.echo(said, err=True)
        return
    import torch

    budget, batch_size = plan.budget, settings.batch_size
    if n_train < batch_size:
        batch_size = n_train
        said += f", in batches of {n_train:,}: there are no {settings.batch_size:,} for a batch"
    most = [
        max(settings.max_epochs * n_train, settings.min_steps * min(settings.batch_size, n_train))
        if not budget.is_fixed
        else None,
        budget.max_cells,
        budget.max_steps * batch_size * plan.devices if budget.max_steps else None,
    ]
    n_cells = min((each for each in most if each is not None), default=None)
    rate = own_rate(root, _work(kind.name, preset))
    if rate is not None and n_cells is not None:
        seconds = min(n_cells / rate.per_s, 60 * (budget.max_minutes or math.inf))
        said += f"; at most about {_duration(seconds)} at {rate.per_s:,.0f} cells/s ({rate.source})"
    elif preset != "tiny" and not budget.is_fixed and not torch.cuda.is_available():
        said += "; no GPU here: --max-minutes N ends in time, --preset tiny is for a first look"
    click.echo(said, err=True)


def remember(artifact: Artifact, *, root: Path) -> None:
    """Keep how fast a training was, for the estimate of the next."""
    from curate.rates import keep_rate

    cost, header = artifact.header.cost, artifact.header
    if cost.n_cells and cost.seconds > 0:
        keep_rate(root, _work(header.model, header.preset), cost.n_cells, cost.seconds, unit="cells")


def _work(model: str, preset: str) -> str:
    return f"train {model} {preset}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:,.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
