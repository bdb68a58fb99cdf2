from __future__ import annotations

import shutil
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from scipy.sparse import csr_array
from torch.nn import functional
from transformers import BertForMaskedLM

from curate.errors import ModelError
from curate.gene_space import GeneSpace
from curate.train.fit.plan import FitPlan
from curate.train.loader import Batch, ShardLoader
from curate.train.models.geneformer import MASK, OFFSET, PAD, Geneformer
from curate.train.models.model import Facts
from curate.train.models.settings import changed
from curate.train.shards import Shards

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TINY = Geneformer.presets["tiny"]


def settings(**changes: Any) -> Any:
    small = {"n_dims": 8, "n_feedforward": 16, "length": 24, "batch_size": 16, "dropout": 0.0}
    return TINY.model_copy(update={**small, **changes})


def made(medians: list[float], **changes: Any) -> Geneformer:
    """A model of genes whose medians are given."""
    genes = GeneSpace(
        tuple(f"G{i}" for i in range(len(medians))), tuple(f"g{i}" for i in range(len(medians)))
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Geneformer(settings(**changes), genes, Facts())
    model.medians.copy_(torch.tensor(medians, dtype=torch.float64))
    return model.eval()


def batch_of(model: Geneformer, counts: NDArray[np.int64]) -> Batch:
    """The whole cells as one batch."""
    [batch] = model.batches(csr_array(counts), len(counts))
    return batch


def ranked(counts: NDArray[np.int64], medians: list[float], length: int) -> list[list[int]]:
    """Rank-value encoding by its description, in exact arithmetic and a data frame a cell."""
    cells = []
    for cell in counts.tolist():
        total = sum(cell)
        table = pl.DataFrame(
            {
                "gene": range(len(cell)),
                "value": [
                    Fraction(count * 10_000, total) / Fraction(median) if count and median else None
                    for count, median in zip(cell, medians, strict=True)
                ],
            },
            schema={"gene": pl.Int64, "value": pl.Object},
        )
        held = [row for row in table.rows() if row[1] is not None]
        cells.append([OFFSET + gene for gene, _ in sorted(held, key=lambda row: (-row[1], row[0]))][:length])
    return cells


def test_a_cell_by_hand() -> None:
    # Counts over medians: 3, 8, -, 3, 1; gene 2 has no counts and gene 5 no median.
    model = made([2, 0.5, 1, 1, 4, 0], length=5)
    batch = batch_of(model, np.array([[6, 4, 0, 3, 4, 9]]))
    assert batch.x.tolist() == [[OFFSET + 1, OFFSET + 0, OFFSET + 3, OFFSET + 4, PAD]]
    assert batch.lengths is not None
    assert batch.lengths.tolist() == [4]


def test_cells_are_ranked_as_their_description_says() -> None:
    rng = np.random.default_rng(3)
    # Few values, so that there are many ties, as 3 over 6 and 1 over 2.
    medians = rng.choice([0, 0.1, 1, 2, 3, 6], 40).tolist()
    counts = rng.poisson(1, (50, 40)) * rng.choice([1, 2, 3], (50, 40))
    counts[7] = 0
    counts[8, 1:] = 0
    batch = batch_of(made(medians), counts)
    wanted = ranked(counts, medians, 24)
    assert batch.x.tolist() == [cell + [PAD] * (24 - len(cell)) for cell in wanted]
    assert batch.lengths is not None
    assert batch.lengths.tolist() == [len(cell) for cell in wanted]
    assert max(len(cell) for cell in wanted) == 24


def test_an_embedding_is_the_mean_over_genes_of_the_second_last_layer() -> None:
    model = made([1.0] * 30, n_layers=3)
    counts = np.random.default_rng(0).poisson(0.6, (9, 30))
    batch = batch_of(model, counts)
    assert batch.lengths is not None
    found = model.embed(csr_array(counts))
    for cell, length in enumerate(batch.lengths.tolist()):
        with torch.no_grad():
            layers = model.bert(batch.x[cell : cell + 1, :length], output_hidden_states=True).hidden_states
        assert len(layers) == 4
        assert found[cell] == pytest.approx(layers[-2][0].mean(dim=0).numpy(), abs=1e-6)


def test_the_loss_is_that_of_bert_over_the_hidden_genes() -> None:
    model = made([1.0] * 30)
    batch = batch_of(model, np.random.default_rng(1).poisson(0.7, (12, 30)))
    torch.manual_seed(5)
    loss = model.losses(batch, step=0)["loss"]
    torch.manual_seed(5)
    assert batch.lengths is not None
    is_hidden, inputs = model._hide(batch.x, batch.lengths)
    targets = batch.x.masked_fill(~is_hidden, -100)
    out = model.bert(inputs, attention_mask=(batch.x != PAD).long()).logits
    # Padding and the mask are no answers.
    out[:, :, :OFFSET] = -torch.inf
    wanted = functional.cross_entropy(out.flatten(0, 1), targets.flatten()).detach()
    assert is_hidden.sum() > 10
    assert float(loss.detach()) == pytest.approx(float(wanted), rel=1e-5)


def test_genes_without_median_are_no_answers() -> None:
    medians = [1.0] * 10 + [0.0] * 1000
    model = made(medians)
    batch = batch_of(model, np.ones((64, 1010), np.int64))
    torch.manual_seed(0)
    loss = float(model.losses(batch, step=0)["loss"].detach())
    # Untrained, about as good as a guess among ten, not among a thousand.
    assert loss == pytest.approx(np.log(10), abs=0.1)


def test_of_the_hidden_genes_most_are_masked_some_replaced_and_some_stay() -> None:
    model = made([1.0, 0.0] * 100, length=100)
    lengths = torch.arange(1, 4001) % 101
    is_gene = torch.arange(100) < lengths[:, None]
    tokens = torch.where(is_gene, OFFSET + 4, PAD)
    torch.manual_seed(0)
    is_hidden, inputs = model._hide(tokens, lengths)
    assert not is_hidden[~is_gene].any()
    assert torch.equal(inputs[~is_hidden], tokens[~is_hidden])
    assert float(is_hidden[is_gene].float().mean()) == pytest.approx(0.15, abs=0.005)
    given = inputs[is_hidden]
    assert float((given == MASK).float().mean()) == pytest.approx(0.8, abs=0.01)
    others = given[(given != MASK) & (given != OFFSET + 4)]
    # One in a hundred others is the gene itself.
    assert len(others) / len(given) == pytest.approx(0.1 * 0.99, abs=0.007)
    counts = torch.bincount(others - OFFSET, minlength=200)
    assert not counts[1::2].any()
    assert (counts[::2] > 0).sum() == 99
    assert counts.max() < 3 * counts[counts > 0].float().mean()


def test_a_cell_without_counts_embeds_as_nothing_and_costs_nothing() -> None:
    model = made([1.0] * 20)
    counts = np.random.default_rng(2).poisson(1, (6, 20))
    counts[3] = 0
    vectors = model.embed(csr_array(counts))
    assert not vectors[3].any()
    assert np.isfinite(vectors).all()
    model.losses(batch_of(model, counts), step=0)["loss"].backward()  # type: ignore[no-untyped-call]
    assert all(bool(p.grad is None or p.grad.isfinite().all()) for p in model.parameters())
    nothing = model.losses(batch_of(model, counts[3:4]), step=0)["loss"]
    nothing.backward()  # type: ignore[no-untyped-call]
    assert float(nothing.detach()) == 0


def test_a_cell_embeds_alike_whatever_stands_beside_it() -> None:
    model = made([1.0] * 40, length=40)
    rng = np.random.default_rng(4)
    counts = rng.poisson(rng.random((200, 1)) * 2, (200, 40))
    counts[0] = 1
    order = rng.permutation(200)
    whole = model.embed(csr_array(counts))
    assert np.array_equal(model.embed(csr_array(counts[order])), whole[order])
    assert np.array_equal(model.embed(csr_array(counts[:1])), whole[:1])
    assert np.array_equal(model.embed(csr_array(counts[:37])), whole[:37])


def test_saved_weights_stand_once_and_are_shared_when_loaded(shards: Shards, tmp_path: Path) -> None:
    model = Geneformer.create(shards, settings(), seed=1)
    model.save(tmp_path)
    assert "bert.cls.predictions.decoder.weight" not in load_file(tmp_path / "weights.safetensors")
    loaded = Geneformer.load(tmp_path)
    head, tokens = loaded.bert.cls.predictions.decoder, loaded.bert.bert.embeddings.word_embeddings
    assert head.weight.data_ptr() == tokens.weight.data_ptr()
    assert head.bias.data_ptr() == loaded.bert.cls.predictions.bias.data_ptr()
    assert torch.equal(loaded.medians, model.medians)
    counts = csr_array(np.random.default_rng(0).poisson(1, (5, shards.header.n_genes)))
    assert np.array_equal(loaded.embed(counts), model.embed(counts))


def test_training_learns_which_genes_stand_together(shards: Shards, tmp_path: Path) -> None:
    chosen = settings(n_dims=32, max_epochs=15, learning_rate=5e-3, warmup_steps=10, patience=None)
    model = Geneformer.create(shards, chosen, seed=3)
    report = model.fit(shards, FitPlan(tmp_path, seed=3, accelerator="cpu"))
    assert report.best_loss is not None
    # Better than a guess among 120 genes: a cell has a third of them.
    assert report.best_loss < np.log(120) - 0.4


def test_one_seed_gives_the_same_bytes(shards: Shards, tmp_path: Path) -> None:
    weights = []
    for run, seed in [("a", 3), ("b", 3), ("c", 4)]:
        model = Geneformer.create(shards, settings(max_epochs=1, dropout=0.1), seed=seed)
        model.fit(shards, FitPlan(tmp_path / run, seed=seed, accelerator="cpu"))
        (tmp_path / f"model-{run}").mkdir()
        model.save(tmp_path / f"model-{run}")
        weights.append((tmp_path / f"model-{run}" / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_the_loader_gives_what_the_model_embeds(shards: Shards) -> None:
    model = Geneformer.create(shards, settings(), seed=0)
    batch = next(iter(ShardLoader(shards, model.training_encoding(), batch_size=8, mask=model.mask())))
    assert batch.mask is None
    assert set(batch.x[batch.x != PAD].tolist()) <= {
        OFFSET + gene for gene in torch.nonzero(model.medians)[:, 0].tolist()
    }


def test_the_sizes_of_the_study() -> None:
    genes = GeneSpace(tuple(f"G{i}" for i in range(100)), tuple(f"g{i}" for i in range(100)))
    with torch.device("meta"):
        model = Geneformer(Geneformer.presets["study"], genes, Facts())
    config = model.bert.config
    assert isinstance(model.bert, BertForMaskedLM)
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (6, 256, 4)
    assert (config.intermediate_size, config.max_position_embeddings) == (512, 2048)
    assert config._attn_implementation == "sdpa"
    # 10 million with the 25,426 tokens of the study.
    n_parameters = sum(p.numel() for p in model.parameters()) + (25_426 - 102) * 257
    assert n_parameters == pytest.approx(10.3e6, rel=0.01)


def test_training_cells_without_counts_are_refused(shards: Shards, tmp_path: Path) -> None:
    shutil.copytree(shards.path, tmp_path / "empty")
    for path in (tmp_path / "empty").glob("train-*.data.npy"):
        held = np.load(path)
        np.save(path, np.zeros_like(held))
    with pytest.raises(ModelError, match=r"none of 120 genes has counts in the 237 training cells; train on"):
        Geneformer.create(Shards.open(tmp_path / "empty"), settings(), seed=0)


def test_dimensions_that_heads_cannot_share_are_refused() -> None:
    with pytest.raises(ModelError, match=r"setting n_heads .*64 dimensions cannot be shared among 5 heads"):
        changed(TINY, {"n_heads": "5"}, model="geneformer")
