"""What every model promises, whatever it is: preset tiny, a few steps, on a simulated atlas."""

from __future__ import annotations

import itertools
import json
import pickle
import shutil
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
import torch

from curate.build.build import build
from curate.documents import canonical_digest
from curate.errors import ModelError
from curate.evaluate.metrics import METRICS
from curate.evaluate.tasks.reconstruct import LOSSES
from curate.manifests.registry import Registry
from curate.train.fit.plan import Budget, FitPlan
from curate.train.fit.seeds import generators_kept
from curate.train.fit.validation import Validation, mean_losses
from curate.train.models import MODELS
from curate.train.models.network import Network
from curate.train.models.settings import PRESETS, changed
from curate.train.shards.materialize import materialize
from curate.workspace import Workspace

if TYPE_CHECKING:
    from curate.train.models.model import Model
    from curate.train.shards import Shards

N_CELLS, N_STEPS, BATCH = 400, 3, 32
every_model = pytest.mark.parametrize("name", MODELS)
every_network = pytest.mark.parametrize("name", LOSSES)


@pytest.fixture(scope="module")
def shards(atlas_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Shards:
    """Shards of 400 cells of 300 genes. Only to read."""
    folder = tmp_path_factory.mktemp("contract")
    workspace = Workspace.find(atlas_workspace)
    registry = Registry(folder / "manifests")
    (built,) = build(workspace.corpus(), registry=registry, strategy="random", n_cells=N_CELLS)
    manifest = type(built)(built.document, built.folder, workspace, workspace.corpus())
    return materialize(manifest, folder / "shards")


@pytest.fixture(scope="module")
def counts(shards: Shards) -> sp.csr_array:
    """The counts of the validation cells."""
    parts = shards.split("val")
    shape = (parts[0].n_cells, shards.header.n_genes)
    return sp.csr_array((parts[0].data, parts[0].indices, parts[0].indptr), shape=shape)


class Fitted:
    """Models that were trained, each once, and what training changed of the process."""

    def __init__(self, shards: Shards, folder: Path) -> None:
        self.shards = shards
        self.folder = folder
        self._held: dict[str, Model] = {}
        self.changes: dict[str, list[str]] = {}

    def __getitem__(self, name: str) -> Model:
        if name not in self._held:
            before = global_state()
            self._held[name] = fitted(name, self.shards, self.folder / name)
            self.changes[name] = [key for key, value in global_state().items() if value != before[key]]
        return self._held[name]


@pytest.fixture(scope="module")
def trained(shards: Shards, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return Fitted(shards, tmp_path_factory.mktemp("fitted"))


def created(name: str, shards: Shards, *, seed: int = 0, **changes: Any) -> Model:
    kind = MODELS[name]
    tiny = kind.presets["tiny"]
    small = {"n_dims": 8, "batch_size": BATCH, "length": 32}
    held = {key: value for key, value in small.items() if key in type(tiny).model_fields}
    return kind.create(shards, changed(tiny, held | changes, model=name), seed=seed)


def fitted(name: str, shards: Shards, folder: Path, *, seed: int = 0) -> Model:
    model = created(name, shards, seed=seed)
    folder.mkdir()
    budget = Budget(max_steps=N_STEPS) if isinstance(model, Network) else Budget()
    plan = FitPlan(folder, seed=seed, budget=budget, accelerator="cpu", validation_cells=64)
    model.fit(shards, plan)
    return model


def global_state() -> dict[str, Any]:
    """Return what a library must leave as it is, in comparable form."""
    return {
        "torch generator": torch.get_rng_state().numpy().tobytes(),
        "numpy generator": pickle.dumps(np.random.get_state()),  # noqa: NPY002
        "warnings": list(warnings.filters),
        "default dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
    }


def state_of(model: Model) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}


@every_model
def test_every_preset_is_there_with_a_summary_and_a_paper(name: str) -> None:
    kind = MODELS[name]
    assert kind.name == name
    assert set(kind.presets) == set(PRESETS)
    assert len({type(settings) for settings in kind.presets.values()}) == 1
    assert 10 < len(kind.summary) < 120
    assert "doi" in kind.reference


@every_model
def test_embeddings_are_finite_float32_one_row_a_cell(
    name: str, trained: Fitted, counts: sp.csr_array
) -> None:
    model = trained[name]
    vectors = model.embed(counts)
    assert vectors.dtype == np.float32
    assert vectors.shape == (counts.shape[0], model.settings.n_dims)
    assert np.isfinite(vectors).all()
    # Cells differ.
    assert len(np.unique(vectors, axis=0)) > 1


@every_model
def test_a_cell_without_counts_is_embedded_too(name: str, trained: Fitted) -> None:
    model = trained[name]
    vectors = model.embed(sp.csr_array(np.zeros((2, model.genes.n_genes), np.float32)))
    assert np.isfinite(vectors).all()
    np.testing.assert_array_equal(vectors[0], vectors[1])


@every_model
def test_a_vector_does_not_depend_on_the_other_cells(
    name: str, trained: Fitted, counts: sp.csr_array
) -> None:
    model = trained[name]
    vectors = model.embed(counts)
    order = np.random.default_rng(3).permutation(counts.shape[0])
    np.testing.assert_array_equal(model.embed(counts[order]), vectors[order])
    np.testing.assert_array_equal(model.embed(counts[5:7]), vectors[5:7])


@every_model
def test_a_vector_does_not_depend_on_the_size_of_batches(
    name: str, trained: Fitted, counts: sp.csr_array
) -> None:
    model = trained[name]
    vectors = model.embed(counts)
    for batch_size in (1, 7):
        np.testing.assert_allclose(
            model.embed(counts, batch_size=batch_size), vectors, rtol=1e-4, atol=1e-5 * np.abs(vectors).max()
        )


@every_model
def test_counts_of_any_dtype_give_the_same_vectors(name: str, trained: Fitted, counts: sp.csr_array) -> None:
    model = trained[name]
    vectors = model.embed(counts)
    for dtype in (np.float64, np.int64):
        np.testing.assert_array_equal(model.embed(counts.astype(dtype)), vectors)


@every_model
def test_what_is_saved_and_loaded_gives_the_same_bits(
    name: str, trained: Fitted, counts: sp.csr_array, tmp_path: Path
) -> None:
    model = trained[name]
    model.save(tmp_path)
    loaded = MODELS[name].load(tmp_path)
    assert type(loaded) is MODELS[name]
    assert loaded.genes == model.genes
    assert loaded.settings == model.settings
    assert state_of(loaded) == state_of(model)
    np.testing.assert_array_equal(loaded.embed(counts), model.embed(counts))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.json",
        "genes.parquet",
        "weights.safetensors",
    ]


@every_model
def test_the_same_seed_gives_the_same_bytes(name: str, trained: Fitted, tmp_path: Path) -> None:
    # A process that has drawn numbers before does not train otherwise.
    with torch.random.fork_rng(devices=[]):
        torch.rand(3)
        again = fitted(name, trained.shards, tmp_path / "again")
    for folder, model in (("a", trained[name]), ("b", again)):
        (tmp_path / folder).mkdir()
        model.save(tmp_path / folder)
    for file in ("weights.safetensors", "config.json", "genes.parquet"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("name", [name for name in MODELS if name != "hvg"])
def test_training_changes_the_vectors(name: str, trained: Fitted, counts: sp.csr_array) -> None:
    untrained = created(name, trained.shards)
    assert not np.allclose(untrained.embed(counts), trained[name].embed(counts))


@pytest.mark.parametrize("name", [name for name in MODELS if name != "hvg"])
def test_another_seed_begins_elsewhere(name: str, shards: Shards) -> None:
    assert state_of(created(name, shards)) != state_of(created(name, shards, seed=1))


@every_model
def test_nothing_of_the_process_is_changed(name: str, trained: Fitted, counts: sp.csr_array) -> None:
    model = trained[name]
    assert trained.changes[name] == []
    before = global_state()
    model.embed(counts)
    after = global_state()
    assert [key for key in after if after[key] != before[key]] == []


@every_model
def test_an_unknown_setting_is_refused_with_the_nearest(name: str) -> None:
    with pytest.raises(ModelError, match=rf"model {name} has no setting 'n_dim'; did you mean 'n_dims'\?"):
        changed(MODELS[name].presets["tiny"], {"n_dim": 4}, model=name)
    with pytest.raises(ModelError, match=rf"setting n_dims of model {name}: .*given 0"):
        changed(MODELS[name].presets["tiny"], {"n_dims": 0}, model=name)


@every_model
def test_counts_of_other_genes_are_refused(name: str, trained: Fitted, counts: sp.csr_array) -> None:
    with pytest.raises(ModelError, match=f"counts of 7 genes, the model {name} reads 300; align them"):
        trained[name].embed(counts[:, :7])


@pytest.mark.parametrize("wrong", [0.5, -1.0, np.nan])
@every_model
def test_values_that_are_no_counts_are_refused(
    name: str, trained: Fitted, counts: sp.csr_array, wrong: float
) -> None:
    values = counts.astype(np.float32)
    values.data[3] = wrong
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        with pytest.raises(ModelError, match="no counts"):
            trained[name].embed(values)


@pytest.fixture
def saved(trained: Fitted, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    trained[request.getfixturevalue("name")].save(tmp_path)
    return tmp_path


def write_sealed(path: Path, content: dict[str, Any]) -> None:
    held = {key: value for key, value in content.items() if key != "digest"}
    path.write_text(json.dumps(held | {"digest": canonical_digest(held)}))


@every_model
def test_weights_that_are_cut_short_are_refused_in_one_line(name: str, saved: Path) -> None:
    from curate.documents import file_digest

    path, config = saved / "weights.safetensors", saved / "config.json"
    path.write_bytes(path.read_bytes()[:-64])
    with pytest.raises(ModelError, match=r"weights.safetensors \([\d,]+ bytes\) is not the file") as caught:
        MODELS[name].load(saved)
    assert "\n" not in str(caught.value)
    # Nor are they opened where the checksum is that of the damaged file.
    content = json.loads(config.read_text())
    content["files"][path.name] = file_digest(path)
    write_sealed(config, content)
    with pytest.raises(ModelError, match="does not fit the model"):
        MODELS[name].load(saved)


@every_model
def test_genes_of_another_model_are_refused(name: str, saved: Path) -> None:
    import polars as pl

    from curate.documents import file_digest

    path, config = saved / "genes.parquet", saved / "config.json"
    pl.read_parquet(path).reverse().write_parquet(path)
    content = json.loads(config.read_text())
    content["files"][path.name] = file_digest(path)
    write_sealed(config, content)
    with pytest.raises(ModelError, match=r"genes.parquet does not hold the genes of the model"):
        MODELS[name].load(saved)


@every_model
def test_networks_embed_with_gradients_that_do_not_depend_on_other_cells(
    name: str, trained: Fitted, counts: sp.csr_array
) -> None:
    model = trained[name]
    if not isinstance(model, Network):
        return

    def gradients(n_cells: int) -> dict[str, torch.Tensor]:
        """Return those of the first vector, in a batch of so many cells."""
        model.zero_grad()
        [batch] = model.batches(counts[:n_cells], n_cells)
        with torch.enable_grad():
            vectors = model.embed_batch(batch)
            (vectors[0] * torch.arange(1, vectors.shape[1] + 1)).sum().backward()  # type: ignore[no-untyped-call]
        found = {key: each.grad.clone() for key, each in model.named_parameters() if each.grad is not None}
        model.zero_grad()
        return found

    alone, among = gradients(1), gradients(5)
    assert any(bool(value.any()) for value in alone.values())
    for key, value in alone.items():
        torch.testing.assert_close(value, among[key], rtol=1e-4, atol=1e-5)


@every_model
def test_a_folder_of_another_model_is_refused(name: str, saved: Path) -> None:
    other = next(each for each in MODELS if each != name)
    with pytest.raises(ModelError, match=f"holds model {name}, not {other}"):
        MODELS[other].load(saved)


class Payload:
    """Unpickled, it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@every_model
def test_a_pickle_is_never_opened(name: str, saved: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    trap = tmp_path_factory.mktemp("trap") / "sprung"
    content = pickle.dumps(Payload(trap))
    for file in ("weights.pt", "model.pkl", "pytorch_model.bin"):
        (saved / file).write_bytes(content)
    MODELS[name].load(saved)
    shutil.copyfile(saved / "model.pkl", saved / "weights.safetensors")
    with pytest.raises(ModelError, match="is not the file"):
        MODELS[name].load(saved)
    assert not trap.exists()


@every_network
def test_its_loss_on_cells_of_elsewhere_is_that_of_validation(
    name: str, trained: Fitted, counts: sp.csr_array, tmp_path: Path
) -> None:
    network, shards = trained[name], trained.shards
    assert isinstance(network, Network)
    obs, n = shards.obs(split="val"), counts.shape[0]
    before = global_state()
    with generators_kept():
        batches = network.held_out_batches(counts, obs, batch_size=BATCH, seed=0)
        n_cells, found = mean_losses(network, batches, itertools.count(), torch.device("cpu"), step=N_STEPS)
        validation = Validation(network, shards, FitPlan(tmp_path, validation_cells=n), rank=0)
        expected = validation.losses(nullcontext(), torch.device("cpu"), step=N_STEPS)
        network.eval()
    assert n_cells == expected.n_cells[0] == n
    # Masks are drawn by the row, which is another in shards.
    tolerance = 0.1 if network.mask() is not None else 1e-6
    assert found == pytest.approx(expected.means, rel=tolerance, abs=1e-9)
    assert global_state() == before


def test_every_network_has_its_losses_among_the_metrics() -> None:
    assert {name for name, kind in MODELS.items() if issubclass(kind, Network)} == set(LOSSES)
    assert {metric for metrics in LOSSES.values() for metric in metrics.values()} <= set(METRICS)


@every_network
def test_losses_are_given_of_cells_without_labels(name: str, trained: Fitted, counts: sp.csr_array) -> None:
    network = trained[name]
    assert isinstance(network, Network)
    without = pl.DataFrame({"row": range(counts.shape[0])})
    with generators_kept():
        batches = network.held_out_batches(counts, without, batch_size=BATCH, seed=0)
        _, found = mean_losses(network, batches, itertools.count(), torch.device("cpu"), step=0)
    assert set(LOSSES[name]) - set(network.absent) <= set(found)
    assert np.isfinite(list(found.values())).all()
