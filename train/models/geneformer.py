"""A transformer that guesses hidden genes from the ranks of the others (Geneformer).

1. a cell is its genes by falling expression over their median in the training cells (`Tokens`);
2. a share of the genes is hidden, and BERT guesses which they were from those that remain;
3. a cell's embedding is the mean over its genes of the second-last layer.

As in the first version of Geneformer there are no tokens for start and end of a cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch.nn import functional
from transformers import BertConfig, BertForMaskedLM

from curate.errors import ModelError
from curate.train.loader.encodings import Tokens
from curate.train.models.geneformer_medians import nonzero_medians
from curate.train.models.network import Network
from curate.train.models.settings import NetworkSettings, Positive, Share

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from curate.gene_space import GeneSpace
    from curate.train.loader.batch import Batch
    from curate.train.models.settings import Preset
    from curate.train.shards.shards import Shards

PAD, MASK, OFFSET = 0, 1, 2
# Of the hidden genes, 80 % become the mask, 10 % another gene, and 10 % stay (BERT).
MASKED_SHARE, REPLACED_SHARE = 0.8, 0.1
# Cells of like length are padded together, to one of so many widths.
N_WIDTHS = 8
EMBED_TOGETHER = 16


class GeneformerSettings(NetworkSettings):
    """Settings of `Geneformer`.

    Attributes
    ----------
    n_dims, n_layers, n_heads, n_feedforward
        Of the transformer; n_dims is a multiple of n_heads.
    length
        Most genes of a cell: those that rank highest.
    mask_rate
        Probability of each gene to be hidden.
    dropout
        Everywhere in the transformer.
    """

    n_dims: Positive = 256
    n_layers: Annotated[int, Field(ge=2)] = 6
    n_heads: Positive = 4
    n_feedforward: Positive = 512
    length: Annotated[int, Field(ge=2)] = 2048
    mask_rate: Annotated[float, Field(gt=0, lt=1)] = 0.15
    dropout: Share = 0.02

    @field_validator("n_heads")
    @classmethod
    def _divides(cls, n_heads: int, info: ValidationInfo) -> int:
        n_dims = info.data.get("n_dims", n_heads)
        if n_dims % n_heads:
            raise ValueError(f"{n_dims} dimensions cannot be shared among {n_heads} heads")
        return n_heads


class Geneformer(Network):
    """Rank-value encoded cells and transformers' BertForMaskedLM.

    The vocabulary is the gene space, so that models of different subsets are of one size; genes without
    counts in the training cells stand in no cell, are never put in the place of another and never guessed.

    Attributes
    ----------
    medians
        float64 [n_genes], of normalised non-zero expression in the training cells; 0 for genes without
        counts.
    """

    name = "geneformer"
    summary = "a transformer that guesses hidden genes from the ranks of the others"
    reference = "Theodoris et al. 2023, doi 10.1038/s41586-023-06139-9"
    learns = "the median of each gene"
    presets: ClassVar[Mapping[Preset, GeneformerSettings]] = {
        # Without dropout, for which attention has no fast way on the CPU.
        "tiny": GeneformerSettings(
            n_dims=64,
            n_layers=2,
            n_heads=2,
            n_feedforward=128,
            length=128,
            dropout=0,
            batch_size=32,
            max_epochs=3,
            min_steps=400,
            learning_rate=3e-3,
            warmup_steps=20,
        ),
        # 18 cells on each of 8 GPUs.
        "study": GeneformerSettings(
            batch_size=144,
            max_epochs=3,
            weight_decay=1e-3,
            warmup_steps=10_000,
            schedule="linear",
            patience=None,
        ),
        "large": GeneformerSettings(
            n_dims=512,
            n_layers=12,
            n_heads=8,
            n_feedforward=1024,
            length=4096,
            batch_size=144,
            max_epochs=3,
            learning_rate=5e-4,
            weight_decay=1e-3,
            warmup_steps=5_000,
            schedule="linear",
            patience=None,
        ),
    }
    settings: GeneformerSettings

    def __init__(self, settings: GeneformerSettings, genes: GeneSpace, facts: Any) -> None:
        super().__init__(settings, genes, facts)
        self.medians: Tensor
        self.register_buffer("medians", torch.zeros(genes.n_genes, dtype=torch.float64))
        # Nothing is read from a hub: the configuration is made here, and the weights are drawn.
        config = BertConfig(
            vocab_size=OFFSET + genes.n_genes,
            hidden_size=settings.n_dims,
            num_hidden_layers=settings.n_layers,
            num_attention_heads=settings.n_heads,
            intermediate_size=settings.n_feedforward,
            hidden_act="relu",
            hidden_dropout_prob=settings.dropout,
            attention_probs_dropout_prob=settings.dropout,
            max_position_embeddings=settings.length,
            pad_token_id=PAD,
        )
        config._attn_implementation = "sdpa"
        self.bert = BertForMaskedLM(config)
        # One tensor, one name: the scores are made with the embeddings of the tokens.
        self.bert.register_state_dict_post_hook(_leave_out_tied)  # type: ignore[no-untyped-call]
        self.bert.register_load_state_dict_pre_hook(_put_in_tied)  # type: ignore[no-untyped-call]

    def observe(self, shards: Shards, *, seed: int) -> None:
        """Take the medians of the genes over the training cells."""
        medians = nonzero_medians(shards.split("train"), self.genes.n_genes)
        if not medians.any():
            n_cells, n_genes = shards.n_cells("train"), self.genes.n_genes
            raise ModelError(
                f"none of {n_genes:,} genes has counts in the {n_cells:,} training cells; "
                "train on cells that have some"
            )
        self.medians.copy_(torch.from_numpy(medians))

    def encoding(self) -> Tokens:
        """Return genes by rank."""
        return Tokens(self.medians.cpu().numpy(), self.settings.length, OFFSET, PAD)

    def embed_batch(self, batch: Batch) -> Tensor:
        """Return the mean over a cell's genes of the second-last layer; 0 for a cell without any."""
        assert batch.lengths is not None
        bert = self.bert.bert
        out = torch.zeros((len(batch.x), self.settings.n_dims), device=batch.x.device)
        for cells, is_gene in self._alike(batch.lengths, n_cells=EMBED_TOGETHER):
            states = bert.embeddings(batch.x[cells, : is_gene.shape[1]])
            for layer in bert.encoder.layer[:-1]:
                states = layer(states, is_gene[:, None, None])
            mean = (states.float() * is_gene[:, :, None]).sum(dim=1) / batch.lengths[cells, None]
            # Cells that stand again at the end count once, in gradients too.
            n = len(torch.unique_consecutive(cells))
            out[cells[:n]] = mean[:n]
        return out

    def losses(self, batch: Batch, *, step: int) -> dict[str, Tensor]:
        """Return the cross-entropy of the hidden genes."""
        assert batch.lengths is not None
        is_hidden, inputs = self._hide(batch.x, batch.lengths)
        weight = self.bert.bert.embeddings.word_embeddings.weight
        bias = self.bert.cls.predictions.bias.masked_fill(~self._has_token(), -torch.inf)
        # 0, so that a batch in which nothing is hidden has gradients too.
        total = weight.sum() * 0
        for cells, is_gene in self._alike(batch.lengths):
            width = is_gene.shape[1]
            hidden = is_hidden[cells, :width]
            states = self.bert.bert(inputs[cells, :width], is_gene[:, None, None]).last_hidden_state
            # Only the hidden genes are guessed: scores of all would be most of the memory and the work.
            scores = functional.linear(self.bert.cls.predictions.transform(states[hidden]), weight, bias)
            targets = batch.x[cells, :width][hidden]
            total = total + functional.cross_entropy(scores.float(), targets, reduction="sum")
        return {"loss": total / is_hidden.sum().clamp(min=1)}

    def _hide(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return which genes are hidden, bool [b, length], and the tokens that the model is given instead."""
        draw = torch.rand((3, *tokens.shape), device=tokens.device)
        is_hidden = (draw[0] < self.settings.mask_rate) & _within(lengths, tokens.shape[1])
        known = self._has_token().cumsum(dim=0)
        number = (draw[2] * known[-1]).long().clamp(max=known[-1] - 1)
        others = torch.searchsorted(known, number, right=True)
        fate = draw[1]
        inputs = tokens.masked_fill(is_hidden & (fate < MASKED_SHARE), MASK)
        is_replaced = is_hidden & (fate >= MASKED_SHARE) & (fate < MASKED_SHARE + REPLACED_SHARE)
        return is_hidden, torch.where(is_replaced, others, inputs)

    def _alike(self, lengths: Tensor, *, n_cells: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield cells of like length: places in the batch, and bool [n, width], which tokens are genes.

        Padding all cells of a batch to its longest would make it twice the work. The width follows from a
        cell's own length, and with `n_cells` the last cell stands as often as makes them so many: a cell's
        numbers then do not depend on the others. Cells without genes are left out.
        """
        step = -(-self.settings.length // N_WIDTHS)
        steps = -(-lengths // step)
        for n_steps in range(1, N_WIDTHS + 1):
            alike = torch.nonzero(steps == n_steps)[:, 0]
            together = n_cells or max(len(alike), 1)
            for first in range(0, len(alike), together):
                places = torch.arange(first, first + together, device=alike.device)
                cells = alike[places.clamp(max=len(alike) - 1)]
                yield cells, _within(lengths[cells], min(n_steps * step, self.settings.length))

    def _has_token(self) -> Tensor:
        """Return bool [OFFSET + n_genes], the tokens that stand in cells."""
        return functional.pad(self.medians > 0, (OFFSET, 0))


def _within(lengths: Tensor, width: int) -> Tensor:
    return torch.arange(width, device=lengths.device) < lengths[:, None]


def _leave_out_tied(module: BertForMaskedLM, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    for tied in module._tied_weights_keys:
        state.pop(prefix + tied, None)


def _put_in_tied(module: BertForMaskedLM, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    for tied, source in module._tied_weights_keys.items():
        if prefix + source in state:
            state[prefix + tied] = state[prefix + source]
