"""The devices that a plan asks for, and those that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from curate.errors import ModelError
from curate.wording import counted

if TYPE_CHECKING:
    from curate.train.fit.plan import FitPlan


def check_devices(plan: FitPlan) -> None:
    """Refuse devices that are not there.

    Raises
    ------
    ModelError
        Saying how many there are.
    """
    if plan.devices < 1:
        raise ModelError(f"{plan.devices} devices cannot train; give 1 or more")
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    on_gpu = plan.accelerator in ("gpu", "cuda") or (plan.accelerator == "auto" and n_gpus > 0)
    if on_gpu and plan.devices > n_gpus:
        were = "was" if plan.devices == 1 else "were"
        remedy = "give fewer devices or accelerator cpu" if n_gpus else "give accelerator cpu"
        raise ModelError(
            f"{counted(plan.devices, 'GPU')} {were} asked for, torch sees {n_gpus or 'none'}; {remedy}"
        )
    if on_gpu and plan.precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ModelError(f"{torch.cuda.get_device_name()} knows no bf16; train with precision 32")
