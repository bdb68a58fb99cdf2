"""A training step of a network, as Lightning takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import LightningModule
from torch.nn.utils import clip_grad_norm_, get_total_norm

from curate.train.fit.schedule import learning_rate
from curate.train.fit.seeds import seed_step

if TYPE_CHECKING:
    from torch import Tensor

    from curate.train.fit.losses import Losses
    from curate.train.fit.state import Progress
    from curate.train.loader import Batch
    from curate.train.models.network import Network


class Step(LightningModule):
    """Seed, losses, gradients, their norm, AdamW.

    Attributes
    ----------
    values
        The losses of the last step, its gradient norm and learning rate.
    """

    def __init__(
        self,
        network: Network,
        progress: Progress,
        losses: Losses,
        *,
        seed: int,
        rank: int,
        n_steps: int | None,
    ) -> None:
        super().__init__()
        self.network = network
        self.values: dict[str, Tensor] = {}
        self._progress, self._losses = progress, losses
        self._seed, self._rank, self._n_steps = seed, rank, n_steps
        self._rate = 0.0

    @property
    def where(self) -> str:
        """The step in words."""
        at = self._progress
        return (
            f"step {at.step + 1:,} (epoch {at.epoch + 1}, batch {at.next_batch + 1:,}, "
            f"learning rate {self._rate:.3g})"
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return AdamW over what is trained."""
        settings = self.network.settings
        trained = [each for each in self.network.parameters() if each.requires_grad]
        return torch.optim.AdamW(
            trained, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Return the batch on the device."""
        return batch.to(device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        self._rate = learning_rate(self.network.settings, self._progress.step, n_steps=self._n_steps)
        [optimiser] = self.trainer.optimizers
        for group in optimiser.param_groups:
            group["lr"] = self._rate
        seed_step(self._seed, self.device, rank=self._rank, step=self._progress.step)
        losses = self.network.losses(batch, step=self._progress.step)
        self.values = dict(losses)
        self._losses.check(self.values, where=self.where)
        return losses["loss"]

    def configure_gradient_clipping(self, *args: Any, **kwargs: Any) -> None:
        """Cut gradients to the norm of the settings; on the CPU a norm that is no number goes no further."""
        trained = [each for each in self.network.parameters() if each.grad is not None]
        clip_norm = self.network.settings.clip_norm
        if clip_norm is None:
            norm = get_total_norm([each.grad for each in trained if each.grad is not None])
        else:
            norm = clip_grad_norm_(trained, clip_norm)
        self.values["gradient_norm"] = norm
        self._losses.check({"gradient_norm": norm}, where=self.where)
        self.values["learning_rate"] = torch.tensor(self._rate, device=norm.device)
