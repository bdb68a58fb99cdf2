"""Seeds of torch's global generator: of each step and rank, whatever happened before."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


def seed_step(seed: int, device: torch.device, *, rank: int, step: int) -> None:
    """Seed the global generators of CPU and device for a training step."""
    _seed(int(np.random.SeedSequence([seed, rank, step]).generate_state(1, np.uint64)[0] >> 1), device)


def seed_validation(number: int, device: torch.device) -> None:
    """Seed them for a validation batch: the same masks each time, and in runs of every seed."""
    _seed(number, device)


def _seed(seed: int, device: torch.device) -> None:
    # Not torch.manual_seed: it keeps a stack trace for devices that are not in use: a millisecond.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


@contextmanager
def generators_kept() -> Iterator[None]:
    """Give the generators back as they were, whatever the block does with them."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=list(devices)):
        yield
