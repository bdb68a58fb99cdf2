from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
import torch

from curate.errors import ModelError
from curate.train.fit.plan import Budget, FitPlan
from curate.train.loader import Batch, ShardLoader
from curate.train.models import MODELS
from curate.train.models.scvi import Scvi, ScviSettings
from curate.train.models.settings import changed
from curate.train.shards import Shards
from curate.train.shards.counts import ShardCounts
from curate.train.shards.export import export

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Train = Callable[..., list[float]]

SETTINGS = ScviSettings(n_dims=3, n_hidden=8, batch_size=64, learning_rate=1e-2, kl_warmup_steps=10)


@pytest.fixture
def with_obs(atlas_shards: Shards, tmp_path: Path) -> Callable[..., Shards]:
    """Return the shards with some obs columns made anew."""

    def make(*, drop: str = "", **columns: pl.Expr) -> Shards:
        folder = tmp_path / "shards"
        folder.mkdir()
        for path in atlas_shards.path.iterdir():
            if path.name != "obs.parquet":
                (folder / path.name).symlink_to(path)
        obs = atlas_shards.obs().with_columns(**columns)
        obs.drop(drop or []).write_parquet(folder / "obs.parquet")
        return Shards(folder, atlas_shards.header)

    return make


def batches(model: Scvi, shards: Shards, **settings: Any) -> ShardLoader:
    return ShardLoader(shards, model.encoding(), labels=model.labels(), **settings)


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., list[float]]:
    """Take some steps with the trainer; return the losses of validation cells."""

    def trained(model: Scvi, shards: Shards, *, n_steps: int = 30) -> list[float]:
        folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        budget = Budget(max_steps=n_steps)
        report = model.fit(
            shards, FitPlan(folder=folder, budget=budget, accelerator="cpu", validation_steps=10)
        )
        return report.metrics.filter(split="val", metric="loss")["value"].to_list()

    return trained


def by_scvi_tools(model: Scvi, adata: ad.AnnData) -> Any:
    """Return scvi-tools' own model of the same cells with the same weights."""
    from scvi.model import SCVI

    columns = list(model.settings.batch_key)
    adata.obs["batch"] = adata.obs[columns].astype(str).agg("|".join, axis=1)
    SCVI.setup_anndata(adata, batch_key="batch")
    peer = SCVI(
        adata,
        n_hidden=model.settings.n_hidden,
        n_latent=model.settings.n_dims,
        n_layers=model.settings.n_layers,
        dispersion=model.settings.dispersion,
        gene_likelihood=model.settings.gene_likelihood,
    )
    unused = peer.module.load_state_dict(model.vae.state_dict(), strict=False)
    assert not unused.unexpected_keys
    assert {key.split(".")[0] for key in unused.missing_keys} <= {"l_encoder", "decoder"}
    peer.is_trained_ = True
    peer.module.eval()
    return peer


def exported(shards: Shards, folder: Path) -> ad.AnnData:
    export(shards, folder / "train.h5ad", split="train")
    return ad.read_h5ad(folder / "train.h5ad")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("gene_likelihood", "dispersion"), [("nb", "gene"), ("zinb", "gene-batch"), ("nb", "gene-cell")]
)
def test_embedding_and_losses_are_those_of_scvi_tools_with_the_same_weights(
    atlas_shards: Shards, tmp_path: Path, train: Train, dispersion: str, gene_likelihood: str
) -> None:
    settings = changed(
        SETTINGS,
        {"dispersion": dispersion, "gene_likelihood": gene_likelihood, "kl_warmup_steps": 100},
        model="scvi",
    )
    model = Scvi.create(atlas_shards, settings, seed=0)
    train(model, atlas_shards)
    adata = exported(atlas_shards, tmp_path)
    peer = by_scvi_tools(model, adata)
    embedded = model.embed(sp.csr_array(adata.X))
    np.testing.assert_allclose(embedded, peer.get_latent_representation(), rtol=1e-4, atol=1e-5)
    n = adata.n_obs
    [batch] = batches(model, atlas_shards, batch_size=n, is_shuffled=False)
    [tensors] = peer._make_data_loader(adata, batch_size=n)
    torch.manual_seed(3)
    _, _, theirs = peer.module(tensors, loss_kwargs={"kl_weight": 0.25})
    model.train().vae.eval()
    torch.manual_seed(3)
    ours = {name: value.item() for name, value in model.losses(batch, step=25).items()}
    assert ours["loss"] == pytest.approx(theirs.loss.item(), rel=1e-5)
    assert ours["reconstruction"] == pytest.approx(theirs.reconstruction_loss_sum.item() / n, rel=1e-5)
    assert ours["kl"] == pytest.approx(theirs.kl_local_sum.item() / n, rel=1e-4)
    # Another draw from the posterior, with the sign changed.
    assert ours["elbo"] == pytest.approx(-float(peer.get_elbo()), rel=5e-3)


def test_the_losses_of_a_case_by_hand(atlas_shards: Shards) -> None:
    model = Scvi.create(atlas_shards, ScviSettings(n_dims=1, n_hidden=2, gene_likelihood="nb"), seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        # The posterior is N(1, 1 + 1e-4); every gene has the same share of a cell, and dispersion 1.
        model.vae.z_encoder.mean_encoder.bias.fill_(1)
    n_genes = atlas_shards.header.n_genes
    counts = torch.zeros(1, n_genes)
    counts[0, 0] = n_genes
    batch = Batch(x=counts, rows=torch.zeros(1, dtype=torch.int64), labels={})
    found = {name: value.item() for name, value in model.losses(batch, step=0).items()}
    # Mean 1 and dispersion 1 are a geometric distribution of 1/2: P(k) = 2^-(k+1).
    assert found["reconstruction"] == pytest.approx(np.log(2) * (n_genes + 1 + n_genes - 1), rel=1e-4)
    assert found["kl"] == pytest.approx(0.5 * (1.0001 + 1 - 1 - np.log(1.0001)), rel=1e-4)
    assert found["loss"] == pytest.approx(found["reconstruction"] + found["kl"])


def test_the_kl_divergence_is_weighted_up_in_training_and_never_in_validation(atlas_shards: Shards) -> None:
    model = Scvi.create(atlas_shards, SETTINGS, seed=0)
    batch = next(iter(batches(model, atlas_shards, batch_size=64)))

    def weight(step: int) -> float:
        found = {name: value.item() for name, value in model.losses(batch, step=step).items()}
        return (found["loss"] - found["reconstruction"]) / found["kl"]

    model.train()
    assert [weight(step) for step in (0, 3, 10, 99)] == pytest.approx([0, 0.3, 1, 1], abs=1e-3)
    model.eval()
    assert [weight(step) for step in (0, 3)] == pytest.approx([1, 1], abs=1e-3)


def test_training_lowers_the_loss_and_the_same_seed_gives_the_same_bytes(
    atlas_shards: Shards, train: Train, tmp_path: Path
) -> None:
    models = [Scvi.create(atlas_shards, SETTINGS, seed=seed) for seed in (0, 0, 1)]
    losses = [train(model, atlas_shards) for model in models]
    assert losses[0][-1] < 0.9 * losses[0][0]
    for number, model in enumerate(models):
        (tmp_path / f"model-{number}").mkdir()
        model.save(tmp_path / f"model-{number}")
    first, again, other = ((tmp_path / f"model-{n}" / "weights.safetensors").read_bytes() for n in range(3))
    assert first == again != other


def test_what_was_saved_gives_the_same_values_whatever_batch_a_cell_is_of(
    atlas_shards: Shards, train: Train, tmp_path: Path
) -> None:
    model = Scvi.create(atlas_shards, SETTINGS, seed=0)
    train(model, atlas_shards, n_steps=5)
    model.save(tmp_path)
    loaded = MODELS["scvi"].load(tmp_path)
    assert isinstance(loaded, Scvi)
    [block] = ShardCounts(atlas_shards, "test").blocks([np.arange(60)])
    np.testing.assert_array_equal(loaded.embed(block.counts), model.embed(block.counts))
    batch = next(iter(batches(model, atlas_shards, split="test", batch_size=60)))
    found = []
    for each in (model, loaded):
        torch.manual_seed(0)
        found.append(each.losses(batch, step=0)["loss"].item())
    assert found[0] == found[1]


def test_embedding_takes_nothing_from_the_generator_of_torch(atlas_shards: Shards) -> None:
    model = Scvi.create(atlas_shards, SETTINGS, seed=0)
    [block] = ShardCounts(atlas_shards).blocks([np.arange(20)])
    before = torch.get_rng_state()
    model.embed(block.counts)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_cell_without_counts_has_finite_losses_and_gradients(atlas_shards: Shards) -> None:
    model = Scvi.create(atlas_shards, SETTINGS, seed=0).train()
    counts = torch.zeros(4, atlas_shards.header.n_genes)
    counts[1:, :5] = 3
    batch = Batch(x=counts, rows=torch.arange(4), labels={"batch": torch.tensor([0, 0, 1, -1])})
    loss = model.losses(batch, step=5)["loss"]
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [parameter.grad for parameter in model.parameters()]
    assert loss.isfinite()
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize(
    ("batch_key", "n_batches"), [((), 1), (("source",), 1), (("dataset_id",), 6)], ids=str
)
def test_no_batch_key_and_one_batch_are_well(
    atlas_shards: Shards, train: Train, batch_key: tuple[str, ...], n_batches: int
) -> None:
    model = Scvi.create(atlas_shards, SETTINGS.model_copy(update={"batch_key": batch_key}), seed=0)
    assert model.facts.n_batches == n_batches
    losses = train(model, atlas_shards, n_steps=20)
    assert losses[-1] < losses[0]


def test_batches_that_training_lacks_are_decoded_as_its_largest_and_nulls_as_one_of_their_own(
    with_obs: Callable[..., Shards], atlas_shards: Shards, train: Train
) -> None:
    n, n_train = len(atlas_shards.obs()), atlas_shards.n_cells("train")
    # In training 100 cells of b, 10 without a batch, the rest c; a and d are elsewhere.
    row = pl.int_range(n)
    batch = (
        pl.when(row < 100).then(pl.lit("b")).when(row < 110).then(None).when(row < n_train).then(pl.lit("c"))
    )
    shards = with_obs(lab=batch.when(row < n_train + 5).then(pl.lit("a")).otherwise(pl.lit("d")))
    model = Scvi.create(shards, SETTINGS.model_copy(update={"batch_key": ("lab",)}), seed=0)
    assert model.facts.batches == ("a", "b", "c", "d")
    assert model.facts.decoded_as == (1, 0, 1, 1, 2)
    assert model.facts.n_batches == 3
    train(model, shards, n_steps=10)
    val = next(iter(batches(model, shards, split="val", batch_size=40, is_shuffled=False)))
    losses = model.losses(val, step=0)
    assert losses["loss"].isfinite()
    # As c, which is number 2 of the loader.
    torch.manual_seed(1)
    asked = model.losses(val, step=0)["loss"]
    torch.manual_seed(1)
    as_c = Batch(x=val.x, rows=val.rows, labels={"batch": torch.full_like(val.labels["batch"], 2)})
    assert asked == model.losses(as_c, step=0)["loss"]


def test_variable_genes_alone_are_modelled_when_asked_for(
    atlas_shards: Shards, train: Train, tmp_path: Path
) -> None:
    model = Scvi.create(atlas_shards, SETTINGS.model_copy(update={"n_genes": 40}), seed=0)
    assert model.facts.variable_genes is not None
    assert len(model.facts.variable_genes) == 40 == model.vae.n_input
    losses = train(model, atlas_shards)
    assert losses[-1] < losses[0]
    [block] = ShardCounts(atlas_shards).blocks([np.arange(50)])
    embedded = model.embed(block.counts)
    # Other genes play no part.
    others: NDArray[np.float32] = block.counts.toarray()
    others[:, np.setdiff1d(np.arange(others.shape[1]), model.facts.variable_genes)] = 7
    np.testing.assert_array_equal(model.embed(sp.csr_array(others)), embedded)
    model.save(tmp_path)
    np.testing.assert_array_equal(Scvi.load(tmp_path).embed(block.counts), embedded)


def test_of_more_genes_than_vary_those_that_vary_are_modelled(atlas_shards: Shards) -> None:
    model = Scvi.create(atlas_shards, SETTINGS.model_copy(update={"n_genes": 9_999}), seed=0)
    blocks = ShardCounts(atlas_shards).blocks([np.arange(atlas_shards.n_cells("train"))])
    expressed = np.flatnonzero(sum(block.counts.sum(axis=0) for block in blocks))
    assert model.facts.variable_genes == tuple(expressed.tolist())


def test_columns_of_the_batch_key_that_are_not_there_are_all_named(with_obs: Callable[..., Shards]) -> None:
    shards = with_obs(drop="donor_id")
    settings = SETTINGS.model_copy(update={"batch_key": ("dataset_id", "donor_id", "labs")})
    with pytest.raises(
        ModelError, match="has no obs column 'donor_id', 'labs' for the batch key; "
    ) as caught:
        Scvi.create(shards, settings, seed=0)
    assert "\n" not in str(caught.value)


def test_shards_with_other_batches_are_refused(
    atlas_shards: Shards, with_obs: Callable[..., Shards], tmp_path: Path
) -> None:
    model = Scvi.create(atlas_shards, SETTINGS, seed=0)
    other = with_obs(donor_id=pl.lit("somebody"))
    with pytest.raises(ModelError, match=r"has \d+ batches, of which the model, made for \d+, knows 0; make"):
        model.fit(other, FitPlan(folder=tmp_path / "run"))


def test_a_batch_key_is_read_from_one_text() -> None:
    study = Scvi.presets["study"]
    assert changed(study, {"batch_key": "dataset_id, assay"}, model="scvi").model_dump()["batch_key"] == (
        "dataset_id",
        "assay",
    )
    assert changed(study, {"batch_key": ""}, model="scvi").model_dump()["batch_key"] == ()


def test_importing_scvi_tools_changes_nothing_of_the_process() -> None:
    code = """
import logging, os, warnings, torch
from curate.train.models.scvi import _vae
def state():
    root = logging.getLogger()
    return (list(warnings.filters), os.environ.get("XLA_PYTHON_CLIENT_PREALLOCATE"), list(root.handlers),
            root.level, torch.get_default_dtype(), torch.get_rng_state().tolist(), torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark)
before = state()
with torch.random.fork_rng(devices=[]):
    _vae(n_input=3, dispersion="gene", gene_likelihood="nb")
assert state() == before
"""
    environment = {k: v for k, v in os.environ.items() if k != "XLA_PYTHON_CLIENT_PREALLOCATE"}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
