"""Where a model embeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import torch

from curate.errors import ModelError

if TYPE_CHECKING:
    from curate.train.models.model import Model

Accelerator = Literal["auto", "cpu", "gpu"]
ACCELERATORS: tuple[Accelerator, ...] = get_args(Accelerator)


def on_device(model: Model, accelerator: str) -> Model:
    """Bring a model to the GPU, where one is asked for or there is one; one without parameters stays.

    Raises
    ------
    ModelError
        When one is asked for and there is none.
    """
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise ModelError("torch finds no GPU here; leave --accelerator out, or give cpu")
    if accelerator != "cpu" and torch.cuda.is_available() and any(True for _ in model.parameters()):
        model.to("cuda")
    return model
