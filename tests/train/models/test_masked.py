from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch import nn

from curate.errors import ModelError, ShardError
from curate.gene_space import GeneSpace
from curate.train.fit.plan import FitPlan
from curate.train.loader import Batch, ProgrammeMask, RandomMask, ShardLoader
from curate.train.models.masked import Masked, MaskedFacts, MaskedSettings
from curate.train.models.settings import changed

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.train.shards import Shards

TINY = Masked.presets["tiny"]


def settings(**changes: Any) -> MaskedSettings:
    small = {"n_dims": 4, "n_hidden": (16,), "batch_size": 32}
    return TINY.model_copy(update={**small, **changes})


def made(n_genes: int, facts: MaskedFacts | None = None, **changes: Any) -> Masked:
    genes = GeneSpace(tuple(f"G{i}" for i in range(n_genes)), tuple(f"g{i}" for i in range(n_genes)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Masked(settings(**changes), genes, facts or MaskedFacts()).eval()


def batch_of(x: NDArray[np.float32], mask: NDArray[np.bool_], **labels: list[int]) -> Batch:
    codes = {name: torch.tensor(values) for name, values in labels.items()}
    return Batch(torch.from_numpy(x), torch.arange(len(x)), codes, mask=torch.from_numpy(mask))


def through(layers: nn.Sequential, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The layers in numpy."""
    for layer in layers:
        if isinstance(layer, nn.Linear):
            x = x @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()
        elif isinstance(layer, nn.SELU):
            x = 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * (np.exp(x) - 1))
        elif isinstance(layer, nn.Sigmoid):
            x = 1 / (1 + np.exp(-x))
        else:
            assert isinstance(layer, nn.Dropout)
    return x


def rebuilt(model: Masked, x: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    seen = np.where(mask, 0, x.astype(np.float64))
    scaled = [cell * cell.size / (cell.size - hidden) for cell, hidden in zip(seen, mask.sum(1), strict=True)]
    return through(model.decoder, through(model.encoder, np.array(scaled)))


@pytest.fixture
def expression() -> NDArray[np.float32]:
    return np.random.default_rng(0).exponential(1, (6, 30)).astype(np.float32)


@pytest.fixture
def mask() -> NDArray[np.bool_]:
    return np.random.default_rng(1).random((6, 30)) < 0.5


@pytest.fixture
def gmt(tmp_path: Path) -> Path:
    lines = [
        "first\t-\tGENE1\tGENE2\tGENE3",
        "second\t-\tGENE2\tENSG00000000008\tNOWHERE",
        "lost\t-\tNOWHERE",
    ]
    path = tmp_path / "programmes.gmt"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("output", ["linear", "sigmoid"])
def test_the_loss_is_the_squared_error_of_the_hidden_genes(
    expression: NDArray[np.float32], mask: NDArray[np.bool_], output: str
) -> None:
    model = made(30, output=output, n_hidden=(12, 7))
    errors = (rebuilt(model, expression, mask) - expression) ** 2
    loss = model.losses(batch_of(expression, mask), step=0)["loss"].detach()
    assert float(loss) == pytest.approx(errors[mask].mean(), rel=1e-5)


def test_a_loss_by_hand() -> None:
    # One vector, the sum of what is seen; every gene is rebuilt as that.
    model = made(4, n_dims=1, n_hidden=())
    for layer in (model.encoder[0], model.decoder[0]):
        assert isinstance(layer, nn.Linear)
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
    x = np.array([[1, 2, 3, 4]], np.float32)
    # 2 and 4 are seen, and scaled by 2: 12. Errors of the hidden: 11 and 9.
    loss = model.losses(batch_of(x, np.array([[True, False, True, False]])), step=0)["loss"].detach()
    assert float(loss) == pytest.approx((11**2 + 9**2) / 2)


def test_hidden_genes_do_not_reach_the_encoder(
    expression: NDArray[np.float32], mask: NDArray[np.bool_]
) -> None:
    model = made(30)
    # Far more than any rebuilt value: the loss then is their mean square, less a term that is linear in them.
    given: list[torch.Tensor] = []
    model.encoder.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    model.losses(batch_of(expression, mask), step=0)
    model.losses(batch_of(np.where(mask, 1e3, expression).astype(np.float32), mask), step=0)
    assert torch.equal(given[0], given[1])


def test_unmeasured_genes_do_not_count_where_asked_for(
    expression: NDArray[np.float32], mask: NDArray[np.bool_]
) -> None:
    model = made(30, MaskedFacts(measured=("census|a", "census|b")), loss_genes="measured")
    model.is_measured[1, 10:] = False
    origin = [0, 1, 1, 0, 1, 0]
    counted = mask.copy()
    counted[[1, 2, 4], 10:] = False
    errors = (rebuilt(model, expression, mask) - expression) ** 2
    loss = model.losses(batch_of(expression, mask, origin=origin), step=0)["loss"].detach()
    assert float(loss) == pytest.approx(errors[counted].mean(), rel=1e-5)


def test_what_was_measured_is_found_for_every_cell_of_the_shards(shards: Shards) -> None:
    model = Masked.create(shards, settings(loss_genes="measured"), seed=0)
    loader = ShardLoader(shards, model.encoding(), labels=model.labels(), batch_size=1000, is_shuffled=False)
    [batch] = loader
    presence = shards.genes.presence
    assert presence is not None
    wanted = [presence.of(name) for name in shards.measured(split="train")]
    assert np.array_equal(model.is_measured[batch.labels["origin"]].numpy(), wanted)
    assert len(np.unique(wanted, axis=0)) > 1
    assert not Masked.create(shards, settings(), seed=0).labels()


def test_programmes_are_hidden_whole_and_the_model_holds_them(
    shards: Shards, gmt: Path, tmp_path: Path
) -> None:
    chosen = settings(mask="programme", mask_rate=0.5, programmes=str(gmt))
    model = Masked.create(shards, chosen, seed=0)
    assert model.facts.programmes == {"first": 3, "second": 2}
    (tmp_path / "model").mkdir()
    model.save(tmp_path / "model")
    gmt.unlink()
    loaded = Masked.load(tmp_path / "model")
    hidden = set()
    for each in (model, loaded):
        drawn = each.mask()
        assert isinstance(drawn, ProgrammeMask)
        for row in drawn.draw(np.arange(200), seed=0, epoch=0).numpy():
            hidden.add(tuple(shards.genes.feature_names[gene] for gene in np.flatnonzero(row)))
    assert hidden == {("GENE1", "GENE2", "GENE3"), ("GENE2", "GENE8")}


def test_single_genes_are_hidden_by_default(shards: Shards) -> None:
    drawn = Masked.create(shards, settings(mask_rate=0.3), seed=0).mask()
    assert drawn == RandomMask(shards.header.n_genes, 0.3)


def test_training_learns_and_one_seed_gives_the_same_bytes(shards: Shards, tmp_path: Path) -> None:
    weights = []
    for run in "ab":
        model = Masked.create(shards, settings(max_epochs=6), seed=3)
        report = model.fit(shards, FitPlan(tmp_path / run, seed=3, accelerator="cpu"))
        losses = report.metrics.filter(split="val", metric="loss")["value"]
        assert losses[-1] < 0.8 * losses[0]
        (tmp_path / f"model-{run}").mkdir()
        model.save(tmp_path / f"model-{run}")
        weights.append((tmp_path / f"model-{run}" / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_training_with_programmes_and_measured_genes_learns(
    shards: Shards, gmt: Path, tmp_path: Path
) -> None:
    chosen = settings(mask="programme", programmes=str(gmt), loss_genes="measured", max_epochs=6)
    model = Masked.create(shards, chosen, seed=0)
    report = model.fit(shards, FitPlan(tmp_path / "run", accelerator="cpu"))
    losses = report.metrics.filter(split="val", metric="loss")["value"]
    assert losses[-1] < 0.8 * losses[0]


def test_an_embedding_is_the_encoder_on_all_genes_of_a_cell() -> None:
    model = made(30)
    counts = np.random.default_rng(5).poisson(1, (7, 30))
    counts[2] = 0
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    wanted = through(model.encoder, np.log1p(counts / totals * 1e4))
    assert model.embed(csr_array(counts)) == pytest.approx(wanted, abs=1e-4)


def test_a_cell_embeds_alike_whatever_stands_beside_it() -> None:
    model = made(30)
    counts = np.random.default_rng(6).poisson(1, (100, 30))
    order = np.random.default_rng(7).permutation(100)
    whole = model.embed(csr_array(counts))
    assert np.array_equal(model.embed(csr_array(counts[order])), whole[order])
    assert np.array_equal(model.embed(csr_array(counts[:3])), whole[:3])


def test_a_saved_model_embeds_alike(shards: Shards, tmp_path: Path) -> None:
    model = Masked.create(shards, settings(loss_genes="measured"), seed=1)
    model.save(tmp_path)
    loaded = Masked.load(tmp_path)
    counts = csr_array(np.random.default_rng(0).poisson(1, (5, shards.header.n_genes)))
    assert np.array_equal(loaded.embed(counts), model.embed(counts))
    assert torch.equal(loaded.is_measured, model.is_measured)


def test_the_layers_of_the_study() -> None:
    genes = GeneSpace(tuple(f"G{i}" for i in range(1000)), tuple(f"g{i}" for i in range(1000)))
    model = Masked(Masked.presets["study"], genes, MaskedFacts())

    def widths(layers: nn.Sequential) -> list[int]:
        return [layer.out_features for layer in layers if isinstance(layer, nn.Linear)]

    assert widths(model.encoder) == [512, 512, 256, 256, 64]
    assert widths(model.decoder) == [256, 256, 512, 512, 1000]
    kinds = [type(layer).__name__ for layer in model.encoder]
    assert kinds == ["Linear", "SELU", "Dropout"] * 4 + ["Linear"]
    assert [type(layer).__name__ for layer in model.decoder] == [*kinds, "Sigmoid"]
    assert {layer.p for layer in model.encoder if isinstance(layer, nn.Dropout)} == {0.1}


def test_hidden_layers_are_read_from_a_text() -> None:
    assert changed(TINY, {"n_hidden": "64,32"}, model="masked") == TINY.model_copy(
        update={"n_hidden": (64, 32)}
    )
    with pytest.raises(ModelError, match=r"setting n_hidden\.1 of model masked: .*; given"):
        changed(TINY, {"n_hidden": "64,wide"}, model="masked")


def test_programmes_without_a_file_are_refused_before_anything_is_read() -> None:
    with pytest.raises(
        ModelError, match=r"^settings of model masked: masks of gene programmes without any; name a GMT file"
    ):
        changed(TINY, {"mask": "programme"}, model="masked")


def test_programmes_that_nothing_hides_are_refused_before_anything_is_read(gmt: Path) -> None:
    with pytest.raises(ModelError, match=r"gene programmes and mask=random; set mask=programme, or leave"):
        changed(TINY, {"programmes": str(gmt)}, model="masked")


def test_programmes_of_other_genes_are_refused(shards: Shards, tmp_path: Path) -> None:
    path = tmp_path / "mouse.gmt"
    path.write_text("p\t-\tXkr4\tGm1992\n")
    with pytest.raises(ShardError, match=r"none of the 2 genes that .*mouse\.gmt names are among the 120"):
        Masked.create(shards, settings(mask="programme", programmes=str(path)), seed=0)
