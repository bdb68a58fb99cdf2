"""Seeds of torch's global generator: of each step and rank, whatever happened before."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


def seed_step(seed: int, *, rank: int, step: int) -> None:
    """Seed the global generators of all devices for a training step."""
    torch.manual_seed(int(np.random.SeedSequence([seed, rank, step]).generate_state(1, np.uint64)[0] >> 1))


def seed_validation(number: int) -> None:
    """Seed them for a validation batch: the same masks each time, and in runs of every seed."""
    torch.manual_seed(number)


@contextmanager
def generators_kept() -> Iterator[None]:
    """Give the generators back as they were, whatever the block does with them."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=list(devices)):
        yield
