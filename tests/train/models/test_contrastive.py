"""The contrastive model: its losses on batches, what it learns, keeps, draws and refuses."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
import torch
from scipy.sparse import csr_array

from curate.build.build import build
from curate.build.task.target import TaskTarget
from curate.errors import ModelError, ShardError
from curate.manifests.registry import Registry
from curate.ontology import Ontology
from curate.train.artifact.parts import absent_lines, parts_line
from curate.train.fit.plan import Budget, FitPlan
from curate.train.fit.validation import mean_losses
from curate.train.loader import ShardLoader
from curate.train.models import MODELS
from curate.train.models.contrastive import Contrastive, ContrastiveSettings
from curate.train.models.contrastive_losses import Pairs, triplet_loss
from curate.train.models.settings import changed
from curate.train.shards.materialize import materialize
from curate.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from curate.train.loader import Batch
    from curate.train.shards import Shards
    from tests.train.models.conftest import Relabel

LOSSES = ("triplet", "supcon", "ntxent")


def settings(**changes: Any) -> ContrastiveSettings:
    found = changed(Contrastive.presets["tiny"], {"batch_size": 64, **changes}, model="contrastive")
    assert isinstance(found, ContrastiveSettings)
    return found


def made(shards: Shards, *, seed: int = 0, task: TaskTarget | None = None, **changes: Any) -> Contrastive:
    return Contrastive.create(shards, settings(**changes), seed=seed, task=task)


def first_batch(model: Contrastive, shards: Shards, **options: Any) -> Batch:
    loader = ShardLoader(shards, model.training_encoding(), batch_size=64, labels=model.labels(), **options)
    return next(iter(loader))


def counts(n: int, n_genes: int) -> csr_array:
    values = np.random.default_rng(0).poisson(0.5, (n, n_genes)).astype(np.uint32)
    values[3] = 0
    return csr_array(values)


def plan(folder: Path, *, n_steps: int = 6) -> FitPlan:
    return FitPlan(folder, accelerator="cpu", budget=Budget(max_steps=n_steps))


@pytest.mark.parametrize("loss", LOSSES)
def test_loss_is_the_weighted_sum_of_contrast_and_reconstruction(shards: Shards, loss: str) -> None:
    model = made(shards, loss=loss, contrast_weight=0.25)
    batch = first_batch(model, shards)
    with torch.random.fork_rng():
        found = {name: float(value.detach()) for name, value in model.losses(batch, step=0).items()}
    assert found["loss"] == pytest.approx(0.25 * found["contrast"] + 0.75 * found["reconstruction"])
    with torch.no_grad():
        rebuilt = model.decoder(model.embed_batch(batch))
    assert found["reconstruction"] == pytest.approx(float((rebuilt - batch.x).square().mean()), rel=1e-5)
    assert found["contrast"] > 0
    assert ("violated" in found) == (loss == "triplet")


def test_triplets_of_a_batch_are_counted_as_in_a_loop(shards: Shards) -> None:
    model = made(shards)
    batch = first_batch(model, shards)
    obs = shards.obs(["cell_type", "dataset_id"])[batch.rows.numpy()]
    held = list(obs.iter_rows())
    # None of the six types of the store is a kind of another.
    n = sum(a[0] == p[0] != other[0] and str(a[1]) != str(p[1]) for a in held for p in held for other in held)
    assert model.losses(batch, step=0)["triplets"] == n > 1000


@pytest.mark.parametrize("loss", LOSSES)
def test_every_parameter_gets_a_gradient_of_its_part(shards: Shards, loss: str) -> None:
    model = made(shards, loss=loss, dropout=0, input_dropout=0).train()
    for weight, is_decoded in ((1.0, False), (0.0, True)):
        model.settings = model.settings.model_copy(update={"contrast_weight": weight})
        model.zero_grad()
        with torch.random.fork_rng():
            model.losses(first_batch(model, shards), step=0)["loss"].backward()  # type: ignore[no-untyped-call]
        for name, parameter in model.named_parameters():
            # A constant before a batch norm has no effect.
            if name.endswith("0.bias") or name == "encoder.1.bias":
                continue
            assert parameter.grad is not None, name
            assert bool(parameter.grad.abs().sum() > 0) == (is_decoded or name.startswith("encoder")), name


@pytest.mark.parametrize("loss", LOSSES)
def test_distances_are_taken_in_32_bits_where_the_layers_have_16(shards: Shards, loss: str) -> None:
    model = made(shards, loss=loss)
    batch = first_batch(model, shards)
    full = model.losses(batch, step=0)
    with torch.autocast("cpu", torch.bfloat16):
        assert model.encoder(batch.x).dtype == torch.bfloat16
        assert model.embed_batch(batch).dtype == torch.float32
        half = model.losses(batch, step=0)
    assert half["contrast"].dtype == torch.float32
    assert half["contrast"].item() == pytest.approx(full["contrast"].item(), rel=0.1)
    assert half["loss"].item() == pytest.approx(full["loss"].item(), rel=0.1)


def test_vectors_lie_on_the_unit_sphere_and_do_not_depend_on_the_batch(shards: Shards) -> None:
    model = made(shards)
    cells = counts(40, shards.header.n_genes)
    vectors = model.embed(cells)
    assert vectors.shape == (40, 32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(model.embed(cells[[7, 5]]), vectors[[7, 5]])


def test_the_same_seed_gives_the_same_bytes_and_what_was_saved_embeds_alike(
    shards: Shards, tmp_path: Path
) -> None:
    bits = []
    for number, seed in enumerate((1, 1, 2)):
        model = made(shards, seed=seed, max_epochs=1)
        model.fit(shards, FitPlan(tmp_path / f"run-{number}", seed=seed, accelerator="cpu"))
        folder = tmp_path / str(number)
        folder.mkdir()
        model.save(folder)
        bits.append((folder / "weights.safetensors").read_bytes())
        again = Contrastive.load(folder)
        cells = counts(20, shards.header.n_genes)
        np.testing.assert_array_equal(again.embed(cells), model.embed(cells))
        assert again.facts == model.facts
        assert torch.equal(again.alike, model.alike)
    assert bits[0] == bits[1] != bits[2]


def test_cells_are_drawn_by_their_type_and_dataset(relabel: Relabel) -> None:
    shards = relabel(
        cell_type_ontology_term_id=lambda row: ["CL:0000236", "CL:0000624", "unknown", None][
            min(row % 10, 3)
        ],
        dataset_id=lambda row: "a" if row % 20 < 4 else "b",
    )
    weights = made(shards).sampling_weights(shards)
    held = list(shards.obs(["cell_type_ontology_term_id", "dataset_id"], split="train").iter_rows())
    # No type, and one that is not known, are as one type.
    held = [(None if term == "unknown" else term, dataset) for term, dataset in held]
    n_of = [Counter(each[i] for each in held) for i in (0, 1)]
    expected = [1 / math.log1p(n_of[0][t] / 1e4) / math.log1p(n_of[1][d] / 1e6) for t, d in held]
    np.testing.assert_allclose(weights, np.array(expected) / sum(expected))
    # A type of a tenth of the cells gets about as much as the one of four fifths.
    share = weights[[term == "CL:0000236" for term, _ in held]].sum()
    assert 0.25 < share < 0.5


def test_batches_drawn_by_the_weights_hold_more_triplets_than_chance(relabel: Relabel) -> None:
    # One type in two datasets of 9 : 1, nine in one each and without positives.
    shards = relabel(
        cell_type_ontology_term_id=lambda row: "CL:0000236" if row % 10 < 2 else "CL:0000624",
        dataset_id=lambda row: "a" if row % 30 == 0 else "b",
    )
    model = made(shards)
    weights = model.sampling_weights(shards)
    drawn = first_batch(model, shards, weights=weights, weighting="sample")
    at_random = first_batch(model, shards)
    n_drawn, n_at_random = (float(model.losses(each, step=0)["triplets"]) for each in (drawn, at_random))
    assert n_drawn > 2 * n_at_random > 0


def test_types_of_a_task_get_their_share_of_the_draws(shards: Shards) -> None:
    ontology = Ontology.load()
    task = TaskTarget("mine", ("CL:0000236",), True, ontology)
    plain = made(shards)
    model = made(shards, task=task, task_share=0.7)
    is_b = (shards.obs(["cell_type"], split="train")["cell_type"].cast(pl.String) == "B cell").to_numpy()
    assert plain.sampling_weights(shards)[is_b].sum() < 0.5
    assert model.sampling_weights(shards)[is_b].sum() == pytest.approx(0.7)


def test_a_task_makes_one_type_of_the_kinds_of_a_wanted_type(shards: Shards) -> None:
    # CD4 and CD8 T cells.
    task = TaskTarget("mine", ("CL:0000084",), True, Ontology.load())
    before, after = (made(shards, task=each) for each in (None, task))
    batch = first_batch(before, shards)
    types = shards.obs(["cell_type"])["cell_type"].cast(pl.String)[batch.rows.numpy()].to_list()
    i, j = (next(k for k, each in enumerate(types) if each.startswith(name)) for name in ("CD4", "CD8"))
    codes = batch.labels["type"]
    assert before.different[codes[i], codes[j]]
    assert after.alike[codes[i], codes[j]]
    assert "alike" not in after.state_dict()


def test_shards_of_other_types_are_refused(shards: Shards, relabel: Relabel, tmp_path: Path) -> None:
    model = made(shards)
    other = relabel(cell_type_ontology_term_id=lambda row: f"CL:000023{row % 3}")
    with pytest.raises(ModelError, match="other types in cell_type_ontology_term_id than the 6 of the model"):
        model.fit(other, plan(tmp_path / "run"))


def test_a_column_across_which_is_not_there_is_refused(shards: Shards) -> None:
    with pytest.raises(ShardError, match="no obs column 'dataset'; did you mean 'dataset_id'"):
        made(shards, across="dataset")


@pytest.mark.parametrize("loss", LOSSES)
def test_cells_of_no_type_are_rebuilt_and_have_no_part_in_the_contrast(relabel: Relabel, loss: str) -> None:
    types = {0: "CL:0000236", 1: "CL:0000624"}
    shards = relabel(cell_type_ontology_term_id=lambda row: types.get(row % 4, "unknown"))
    model = made(shards, loss=loss)
    batch = first_batch(model, shards)
    typed = (batch.rows % 4 < 2).numpy()
    found = model.losses(batch, step=0)
    labels = {name: codes[typed] for name, codes in batch.labels.items()}
    only = type(batch)(x=batch.x[typed], rows=batch.rows[typed], labels=labels)
    alone = model.losses(only, step=0)
    assert float(found["triplets"]) == float(alone["triplets"]) > 0
    assert found["contrast"].item() == pytest.approx(alone["contrast"].item(), rel=1e-5)
    assert found["reconstruction"].item() != alone["reconstruction"].item()


def test_presets_are_the_sizes_of_the_study() -> None:
    presets: Mapping[Any, Any] = MODELS["contrastive"].presets
    study = presets["study"]
    assert (study.hidden, study.n_hidden, study.n_dims, study.batch_size) == (1024, 3, 128, 1000)
    assert (study.margin, study.contrast_weight, study.learning_rate) == (0.05, 0.001, 5e-3)
    assert (study.dropout, study.input_dropout, study.weight_decay) == (0.5, 0.4, 0.01)
    assert presets["tiny"].hidden < study.hidden < presets["large"].hidden


@pytest.fixture(scope="module")
def atlas_shards(atlas_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Shards:
    """The cells of the simulated atlas, which has types that can be told apart."""
    workspace, folder = Workspace.find(atlas_workspace), tmp_path_factory.mktemp("atlas")
    corpus = workspace.corpus()
    [built] = build(corpus, registry=Registry(folder), strategy="random", fraction=1.0)
    return materialize(type(built)(built.document, built.folder, workspace, corpus), folder / "shards")


@pytest.mark.parametrize("loss", LOSSES)
def test_training_brings_types_together_across_datasets(
    atlas_shards: Shards, tmp_path: Path, loss: str
) -> None:
    model = made(atlas_shards, loss=loss, contrast_weight=0.1)
    before = _violated(model, atlas_shards)
    model.fit(atlas_shards, plan(tmp_path / "run", n_steps=40))
    assert _violated(model, atlas_shards) < 0.7 * before


def _violated(model: Contrastive, shards: Shards) -> float:
    """Return the share of triplets of test cells that violate the margin."""
    batch = first_batch(model, shards, split="test", is_shuffled=False)
    with torch.no_grad():
        vectors = model.embed_batch(batch)
    pairs = Pairs.of(
        model.alike,
        model.different,
        types=batch.labels["type"],
        rows=batch.rows,
        across=batch.labels["across"],
    )
    return float(triplet_loss(vectors, pairs, margin=0.05, is_training=False)[1]["violated"])


@pytest.mark.parametrize("loss", LOSSES)
def test_validation_cells_without_a_triplet_have_no_contrast_rather_than_a_perfect_one(
    shards: Shards, relabel: Relabel, tmp_path: Path, loss: str
) -> None:
    # Of the validation cells only one has a type that is known.
    val = shards.rows("val")
    half_known = relabel(
        cell_type_ontology_term_id=lambda row: (
            "unknown" if row in val and row > val.start else ("CL:0000236" if row % 2 else "CL:0000624")
        )
    )
    model = made(half_known, loss=loss)
    report = model.fit(half_known, plan(tmp_path / "run", n_steps=2))
    found = {row["metric"]: row["value"] for row in report.metrics.filter(split="val").to_dicts()}
    assert set(found) == {"loss", "reconstruction", "triplets"}
    assert found["triplets"] == 0
    assert report.best_loss == pytest.approx(0.999 * found["reconstruction"])
    assert "contrast" in set(report.metrics.filter(split="train")["metric"])
    assert absent_lines(Contrastive, report.metrics, n_cells=len(val)) == [
        f"no triplet among {len(val)} validation cells: the loss kept is reconstruction only"
    ]


def test_a_validation_batch_without_a_triplet_does_not_lower_the_mean_contrast(shards: Shards) -> None:
    model = made(shards).eval()
    batch = first_batch(model, shards)
    none = replace(batch, labels={name: torch.full_like(each, -1) for name, each in batch.labels.items()})
    cpu = torch.device("cpu")
    alone = mean_losses(model, [batch], count(), cpu, step=0)[1]
    n_cells, both = mean_losses(model, [batch, none], count(), cpu, step=0)
    assert n_cells == 128
    assert both["contrast"] == pytest.approx(alone["contrast"]) != 0
    assert both["violated"] == pytest.approx(alone["violated"])
    assert both["triplets"] == pytest.approx(alone["triplets"] / 2)
    rows = [("val", 3, name, value) for name, value in both.items()] + [("val", 4, "contrast", 9.0)]
    log = pl.DataFrame(rows, schema=["split", "step", "metric", "value"], orient="row")
    assert f"reconstruction {both['reconstruction']:.6g}, triplets" in parts_line(log, 3)
    assert "contrast" in parts_line(log, 3)
    assert parts_line(log, 4) == "contrast 9"
    assert parts_line(log, None) == ""
