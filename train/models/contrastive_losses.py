"""Contrastive losses over the pairs of a batch that are alike and that differ.

1. the pairs of a batch are told from its types (`Pairs.of`);
2. "triplet": each positive pair with a negative that is farther, but by less than the margin (semi-hard);
   "supcon": each cell, its positives against its positives and negatives; "ntxent": each positive pair
   against the negatives of its first cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from pytorch_metric_learning.distances import CosineSimilarity, LpDistance
from pytorch_metric_learning.losses import GenericPairLoss, SupConLoss
from pytorch_metric_learning.reducers import MeanReducer

if TYPE_CHECKING:
    from torch import Tensor

Loss = Literal["triplet", "supcon", "ntxent"]


@dataclass(frozen=True)
class Pairs:
    """Which cells of a batch are alike (`positive`) and which differ (`negative`), bool [b, b] each.

    A pair may be neither. A cell has both, or none of them.
    """

    positive: Tensor
    negative: Tensor

    @classmethod
    def of(
        cls, alike: Tensor, different: Tensor, *, types: Tensor, rows: Tensor, across: Tensor | None
    ) -> Pairs:
        """Tell the pairs of a batch.

        Parameters
        ----------
        alike, different
            bool [n_types + 1, n_types + 1], the last row and column for type -1.
        types, rows
            int64 [b]. A cell that was drawn twice is no positive of itself.
        across
            int64 [b]: positives differ in it.
        """
        positive = alike[types[:, None], types] & (rows[:, None] != rows)
        if across is not None:
            positive &= across[:, None] != across
        negative = different[types[:, None], types]
        has_both = positive.any(1, keepdim=True) & negative.any(1, keepdim=True)
        return cls(positive & has_both, negative & has_both)

    @property
    def n_triplets(self) -> Tensor:
        """Triplets of an anchor, a positive and a negative, a scalar."""
        return (self.positive.sum(1).double() * self.negative.sum(1).double()).sum()

    @property
    def indices(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Anchors and positives, anchors and negatives, as pytorch-metric-learning takes them."""
        anchors, positives = torch.where(self.positive)
        others, negatives = torch.where(self.negative)
        return anchors, positives, others, negatives


def triplet_loss(
    vectors: Tensor, pairs: Pairs, *, margin: float, is_training: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the mean of max(0, d(a, p) - d(a, n) + margin), in Euclidean distances, and what there was.

    In training over triplets of every positive pair (a, p) that has semi-hard negatives, those with
    d(a, p) < d(a, n) < d(a, p) + margin, and one of them at random. Otherwise over all triplets: the
    semi-hard ones are about as hard whatever has been learned.

    Returns
    -------
    loss, metrics
        "semihard": positive pairs with a semi-hard negative; "violated": share of all triplets with a loss.
    """
    distances = LpDistance(normalize_embeddings=False)(vectors)
    b = len(vectors)
    with torch.no_grad():
        reach = distances + margin
        away, order = distances.masked_fill(~pairs.negative, torch.inf).sort(dim=1)
        n_nearer = torch.searchsorted(away, distances.contiguous(), right=True)
        n_within = torch.searchsorted(away, reach.contiguous())
        is_semihard = pairs.positive & (n_within > n_nearer)
        n_violated = torch.where(pairs.positive, n_within, 0).double().sum()
        metrics = {
            "semihard": is_semihard.sum().double(),
            "violated": n_violated / pairs.n_triplets.clamp_min(1),
        }
        if is_training:
            anchors = torch.where(is_semihard)[0]
            first, n = n_nearer[is_semihard], (n_within - n_nearer)[is_semihard]
            drawn = first + (torch.rand(n.shape, device=n.device) * n).long().minimum(n - 1)
            negatives = order[anchors, drawn]
            n_times = torch.bincount(anchors * b + negatives, minlength=b * b).reshape(b, b)
    if is_training:
        # Each triplet is within the margin, so that its loss is linear. Over the matrix instead of a list of
        # triplets: threads would add up the gradients of a list in any order.
        signed = is_semihard.to(distances.dtype) - n_times.to(distances.dtype)
        n_used = is_semihard.sum()
        loss = (signed * distances).sum() / n_used.clamp_min(1) + margin * (n_used > 0)
    else:
        # On the CPU, since a running sum on a GPU depends on the order of its threads.
        sums = torch.cat([torch.zeros(b, 1, dtype=torch.float64), away.double().cpu().cumsum(1)], dim=1)
        n_within = n_within.cpu()
        of_pair = n_within * reach.cpu().double() - sums.gather(1, n_within)
        total = of_pair[pairs.positive.cpu()].sum().to(distances.device)
        loss = (total / pairs.n_triplets.clamp_min(1)).to(distances.dtype)
    return loss, metrics


def supcon_loss(vectors: Tensor, pairs: Pairs, *, temperature: float) -> Tensor:
    """Return the supervised contrastive loss, the mean over cells that have positives.

    References
    ----------
    Khosla et al., Supervised contrastive learning, NeurIPS 2020, arXiv 2004.11362 (L_out).
    """
    loss: Tensor = SupConLoss(temperature)(vectors, indices_tuple=pairs.indices)
    return loss


def ntxent_loss(vectors: Tensor, pairs: Pairs, *, temperature: float) -> Tensor:
    """Return the normalised temperature-scaled cross entropy, the mean over positive pairs.

    References
    ----------
    Chen et al., A simple framework for contrastive learning of visual representations, ICML 2020, arXiv
    2002.05709; with several positives of an anchor as in pytorch-metric-learning's NTXentLoss.
    """
    loss: Tensor = _NTXent(temperature)(vectors, indices_tuple=pairs.indices)
    return loss


class _NTXent(GenericPairLoss):  # type: ignore[misc]
    """NTXentLoss over the matrix of pairs; the library's holds positive pairs x negative pairs."""

    def __init__(self, temperature: float) -> None:
        super().__init__(mat_based_loss=True, distance=CosineSimilarity(), reducer=MeanReducer())
        self.temperature = temperature

    def _compute_loss(self, mat: Tensor, pos_mask: Tensor, neg_mask: Tensor) -> dict[str, Any]:
        is_positive = pos_mask.bool()
        if not is_positive.any():
            zero: dict[str, Any] = self.zero_losses()
            return zero
        logits = mat / self.temperature
        # A row without negatives has no positives either, and its value is not used.
        negatives = logits.masked_fill(~neg_mask.bool(), torch.finfo(mat.dtype).min).logsumexp(
            1, keepdim=True
        )
        losses = torch.nn.functional.softplus(negatives - logits)[is_positive]
        return {"loss": {"losses": losses, "indices": torch.where(is_positive), "reduction_type": "pos_pair"}}
