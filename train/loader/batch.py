"""What a model gets: a batch of cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Some cells.

    Attributes
    ----------
    x
        What the encoding makes of their counts: float32 [b, n_genes] (dense; sparse CSR), or int64
        [b, length] tokens.
    rows
        int64 [b], the rows of the cells in the shards' obs.
    labels
        int64 [b] each, by the name of an obs column: a number in `ShardLoader.categories`, -1 for null.
    weights
        float32 [b], the manifest's; None where it has none, or they went into the drawing of the cells.
    lengths
        int64 [b], how many of the tokens are genes; None for counts.
    mask
        bool [b, n_genes], True where a gene is to be hidden from the model; None where no mask is asked for.
        `x` holds the hidden genes: they are what is predicted.
    """

    x: Tensor
    rows: Tensor
    labels: dict[str, Tensor]
    weights: Tensor | None = None
    lengths: Tensor | None = None
    mask: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        if self.x.device == device:
            return self
        return replace(
            self,
            x=self.x.to(device, non_blocking=True),
            rows=self.rows.to(device, non_blocking=True),
            labels={name: codes.to(device, non_blocking=True) for name, codes in self.labels.items()},
            weights=None if self.weights is None else self.weights.to(device, non_blocking=True),
            lengths=None if self.lengths is None else self.lengths.to(device, non_blocking=True),
            mask=None if self.mask is None else self.mask.to(device, non_blocking=True),
        )
