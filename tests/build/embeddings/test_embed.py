from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from curate.build.embeddings import cells, passes
from curate.build.embeddings.embed import embed
from curate.build.embeddings.pca import PcaModel
from curate.census import Census
from curate.corpus.build import build_corpus
from curate.errors import EmbeddingError, WriteError
from curate.passes import units
from curate.passes.counts import Counts
from curate.passes.schedule import Schedule, Task
from curate.passes.units import Unit, Windows
from curate.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.build.embeddings.embedding import Embedding
    from curate.census import CountsBlock
    from curate.corpus import Corpus

SMALL: dict[str, Any] = {"n_components": 5, "n_hvgs": 40}


def dense_pca(counts: NDArray[np.float32], genes: NDArray[np.int64], d: int) -> NDArray[np.float64]:
    """The same by dense arrays and a singular value decomposition."""
    x = counts.astype(np.float64)
    x = np.log1p(x / x.sum(axis=1, keepdims=True) * 1e4)[:, genes]
    x = np.clip((x - x.mean(axis=0)) / x.std(axis=0, ddof=1), -10, 10)
    x -= x.mean(axis=0)
    vt = np.linalg.svd(x, full_matrices=False)[2][:d]
    signs = np.sign(vt[np.arange(d), np.abs(vt).argmax(axis=1)])
    return np.asarray(x @ (vt * signs[:, None]).T)


class Passes:
    """Notes which pass worked on how many units, and breaks off the one asked for after its second unit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.units: dict[str, int] = {}
        self.broken: str | None = None
        run = Schedule.run

        def watched(schedule: Schedule, task: Task, units: Sequence[Unit]) -> Iterator[Any]:
            name = task.function.__name__
            if units:
                self.units[name] = 0
            for n, result in enumerate(run(schedule, task, units)):
                if name == self.broken and n == 2:
                    raise KeyboardInterrupt
                self.units[name] += 1
                yield result

        monkeypatch.setattr(Schedule, "run", watched)
        # A checkpoint after every unit.
        monkeypatch.setattr(passes, "CHECKPOINT_S", 0.0)


@pytest.fixture
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten units of a window each for 600 cells."""
    monkeypatch.setattr(units, "WINDOW", 64)
    monkeypatch.setattr(units, "UNIT_CELLS", 64)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch, small_units: None) -> Passes:
    return Passes(monkeypatch)


def files(embedding: Embedding) -> set[str]:
    return {path.name for path in embedding.path.iterdir()}


def test_the_values_are_those_of_a_dense_computation_on_the_cells_of_the_corpus(
    corpus: Corpus, coordinate_counts: NDArray[np.float32]
) -> None:
    embedding = embed(corpus, **SMALL)
    feature_ids = pl.read_parquet(embedding.path / "genes.parquet")["feature_id"]
    genes = np.array([int(feature_id[4:]) for feature_id in feature_ids])
    assert genes.size == 40
    expected = dense_pca(coordinate_counts[corpus.joinids()], genes, 5)
    np.testing.assert_allclose(embedding.values, expected, atol=1e-5)
    assert embedding.values.dtype == np.float32


def test_the_header_says_what_was_made(corpus: Corpus) -> None:
    header = embed(corpus, **SMALL, name="small").header
    assert (header.name, header.corpus, header.model) == ("small", corpus.id, "pca")
    assert (header.n_cells, header.n_components, header.n_genes) == (600, 5, 40)
    assert (header.n_cells_sampled, header.n_cells_without_counts) == (600, 0)
    assert header.parameters["n_hvgs"] == 40
    assert len(header.explained_variance_ratio) == 5
    assert 0 < sum(header.explained_variance_ratio) < 1


def test_nothing_but_the_embedding_is_left(corpus: Corpus) -> None:
    embedding = embed(corpus, **SMALL)
    assert files(embedding) == {"embedding.json", "embedding.npy", "genes.parquet", "model.safetensors"}
    assert [path.name for path in corpus.embeddings_path.iterdir()] == ["pca"]


@pytest.mark.usefixtures("small_units")
def test_the_block_size_changes_not_one_bit(corpus: Corpus) -> None:
    digests = {
        embed(corpus, **SMALL, name=f"blocks-{block_cells}", block_cells=block_cells).header.sha256
        for block_cells in (7, 37, 4096)
    }
    assert len(digests) == 1


def test_each_pass_works_on_every_unit_once(corpus: Corpus, watched: Passes) -> None:
    embed(corpus, **SMALL)
    assert watched.units == {"unit_moments": 10, "unit_gram": 10, "unit_projection": 10}


@pytest.mark.parametrize(
    ("broken", "left_to_do"),
    [
        ("unit_moments", {"unit_moments": 8, "unit_gram": 10, "unit_projection": 10}),
        ("unit_gram", {"unit_gram": 8, "unit_projection": 10}),
        ("unit_projection", {"unit_projection": 8}),
    ],
)
def test_an_interrupted_run_leaves_no_embedding_and_goes_on_inside_the_pass_with_the_same_bits(
    corpus: Corpus, watched: Passes, broken: str, left_to_do: dict[str, int]
) -> None:
    expected = embed(corpus, **SMALL, name="expected")
    watched.broken = broken
    with pytest.raises(KeyboardInterrupt):
        embed(corpus, **SMALL, block_cells=100)
    assert not (corpus.embeddings_path / "pca").exists()
    watched.broken = None
    watched.units.clear()
    embedding = embed(corpus, **SMALL)
    assert watched.units == left_to_do
    assert embedding.header.sha256 == expected.header.sha256
    assert embedding.id == expected.id
    assert files(embedding) == files(expected)


def test_values_written_after_the_last_checkpoint_are_written_again(corpus: Corpus, watched: Passes) -> None:
    expected = embed(corpus, **SMALL, name="expected")
    watched.broken = "unit_projection"
    with pytest.raises(KeyboardInterrupt):
        embed(corpus, **SMALL)
    values = corpus.embeddings_path / ".pca.partial" / "embedding.npy"
    with values.open("ab") as stream:
        stream.write(b"half a unit")
    watched.broken = None
    assert embed(corpus, **SMALL).header.sha256 == expected.header.sha256


@pytest.mark.parametrize("file", ["passes/gram.safetensors", "passes/projection.json"])
def test_a_checkpoint_that_cannot_be_read_costs_its_pass_alone(
    corpus: Corpus, watched: Passes, file: str
) -> None:
    expected = embed(corpus, **SMALL, name="expected")
    watched.broken = "unit_gram" if "gram" in file else "unit_projection"
    with pytest.raises(KeyboardInterrupt):
        embed(corpus, **SMALL)
    (corpus.embeddings_path / ".pca.partial" / file).write_bytes(b"torn")
    pass_of_file, watched.broken = watched.broken, None
    watched.units.clear()
    assert embed(corpus, **SMALL).header.sha256 == expected.header.sha256
    assert watched.units[pass_of_file] == 10
    assert "unit_moments" not in watched.units


@pytest.mark.usefixtures("small_units")
def test_a_sample_has_windows_enough(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "MIN_CELLS_FITTED", 10)
    monkeypatch.setattr(cells, "MIN_WINDOWS_FITTED", 4)
    assert embed(corpus, **SMALL, fit_fraction=0.01).header.n_cells_fitted in (4 * 64, 3 * 64 + 24)


@pytest.mark.usefixtures("small_units")
def test_only_the_cells_that_are_fitted_on_decide_the_model(
    corpus: Corpus, coordinate_counts: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells, "MIN_CELLS_FITTED", 10)
    monkeypatch.setattr(cells, "MIN_WINDOWS_FITTED", 1)
    embedding = embed(corpus, **SMALL, fit_fraction=0.3, hvg_fraction=0.1)
    header = embedding.header
    # Three windows of 64 cells and the last, of 24.
    assert (header.n_cells_fitted, header.n_cells_sampled) == (216, 64)
    model = PcaModel.load(embedding.path / "model.safetensors")
    feature_ids = pl.read_parquet(embedding.path / "genes.parquet")["feature_id"]
    genes = [int(feature_id[4:]) for feature_id in feature_ids]
    x = coordinate_counts.astype(np.float64)
    x = np.log1p(x / x.sum(axis=1, keepdims=True) * 1e4)[:, genes]
    windows = Windows.of(corpus.joinids())
    fitted = np.repeat(windows.sample(180, n_windows=1, rng=np.random.default_rng(0)), windows.n_cells)
    np.testing.assert_allclose(model.scaling.mean, x[fitted].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(model.scaling.std, x[fitted].std(axis=0, ddof=1), rtol=1e-12)
    assert embedding.values.shape == (600, 5)


@pytest.mark.usefixtures("small_units")
def test_fitting_on_a_sample_reads_the_sample_and_then_every_cell_once(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells, "MIN_CELLS_FITTED", 10)
    monkeypatch.setattr(cells, "MIN_WINDOWS_FITTED", 1)
    n_read: list[int] = []
    blocks = Counts.blocks

    def counted(counts: Counts, runs: Any, genes: Any = None) -> Iterator[CountsBlock]:
        for block in blocks(counts, runs, genes):
            n_read.append(block.joinids.size)
            yield block

    monkeypatch.setattr(Counts, "blocks", counted)
    embed(corpus, **SMALL, fit_fraction=0.1)
    assert sum(n_read) == 64 + 64 + 600


def test_a_torn_file_of_a_killed_run_is_not_kept(corpus: Corpus, watched: Passes) -> None:
    watched.broken = "unit_projection"
    with pytest.raises(KeyboardInterrupt):
        embed(corpus, **SMALL, block_cells=100)
    (corpus.embeddings_path / ".pca.partial" / ".embedding.npy.0123abcd.partial").write_bytes(b"torn")
    watched.broken = None
    assert files(embed(corpus, **SMALL)) == {
        "embedding.json",
        "embedding.npy",
        "genes.parquet",
        "model.safetensors",
    }


def test_a_full_disk_is_said_and_leaves_no_embedding(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(passes, "save_file", full)
        with pytest.raises(WriteError, match=r"could not write .*: No space left on device"):
            embed(corpus, **SMALL)
    assert not (corpus.embeddings_path / "pca").exists()
    assert embed(corpus, **SMALL).n_components == 5


def test_passes_of_other_settings_are_not_gone_on_from(corpus: Corpus, watched: Passes) -> None:
    watched.broken = "unit_projection"
    with pytest.raises(KeyboardInterrupt):
        embed(corpus, **SMALL, block_cells=100)
    watched.broken = None
    watched.units.clear()
    embedding = embed(corpus, n_components=6, n_hvgs=40)
    assert len(watched.units) == 3
    assert embedding.n_components == 6


def test_asked_again_it_is_opened_as_it_is(corpus: Corpus, watched: Passes) -> None:
    first = embed(corpus, **SMALL)
    watched.units.clear()
    assert embed(corpus, **SMALL).header == first.header
    assert watched.units == {}


def test_other_settings_under_the_same_name_are_refused(corpus: Corpus) -> None:
    embed(corpus, **SMALL)
    with pytest.raises(EmbeddingError, match=r"other settings \(n_hvgs 40, not 50\); give this one another"):
        embed(corpus, n_components=5, n_hvgs=50)


@pytest.mark.usefixtures("small_units")
def test_variable_genes_are_chosen_on_windows_by_seed(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells, "MIN_CELLS_FITTED", 10)
    monkeypatch.setattr(cells, "MIN_WINDOWS_FITTED", 1)
    sampled = [embed(corpus, **SMALL, hvg_fraction=0.1, seed=s, name=f"seed-{s}") for s in (0, 1)]
    everything = embed(corpus, **SMALL, fit_fraction=1, hvg_fraction=1, name="all")
    assert [e.header.n_cells_sampled for e in (*sampled, everything)] == [
        64,
        88,
        600,
    ]  # with the last window, of 24
    genes = [tuple(pl.read_parquet(e.path / "genes.parquet")["feature_id"]) for e in (*sampled, everything)]
    assert len(set(genes)) == 3


def test_a_corpus_of_fewer_genes_than_asked_for_keeps_all_that_vary(corpus: Corpus) -> None:
    assert embed(corpus, n_components=5, n_hvgs=2000).header.n_genes == 120


def test_cells_without_counts_in_the_genes_of_the_corpus_stay_and_are_counted(
    coordinate_census: Path, tmp_path: Path
) -> None:
    # Cell i has counts in the genes j with 3 | i + j: with every third gene alone, two in three are empty.
    thirds = pl.DataFrame({"feature_id": [f"ENSG{j:011d}" for j in range(0, 120, 3)]})
    thirds.write_csv(tmp_path / "genes.csv")
    recipe = Recipe.model_validate({"name": "thirds", "genes": {"list": "genes.csv"}})
    with Census.open(uri=coordinate_census) as census:
        corpus = build_corpus(recipe, census, tmp_path / "thirds", genes=tmp_path / "genes.csv")
    embedding = embed(corpus, n_components=3)
    assert embedding.header.n_cells_without_counts == 400
    empty = embedding.values[corpus.joinids() % 3 != 0]
    assert (empty == empty[0]).all()


def test_the_model_projects_cells_as_the_embedding_has_them(
    corpus: Corpus, coordinate_counts: NDArray[np.float32]
) -> None:
    import scipy.sparse as sparse

    embedding = embed(corpus, **SMALL)
    model = PcaModel.load(embedding.path / "model.safetensors")
    feature_ids = pl.read_parquet(embedding.path / "genes.parquet")["feature_id"]
    genes = [int(feature_id[4:]) for feature_id in feature_ids]
    counts = coordinate_counts[corpus.joinids()[:20]]
    projected = model.project(sparse.csr_array(counts[:, genes]), counts.sum(axis=1).astype(np.float64))
    np.testing.assert_array_equal(projected, embedding.values[:20])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_components": 0}, "0 components of 600 cells and 120 genes; ask for 1 to 119"),
        ({"n_components": 120}, "120 components .* ask for 1 to 119"),
        ({"n_components": 40, "n_hvgs": 40}, "40 components of 600 cells and 40 genes; ask for 1 to 39"),
        ({"n_components": 5, "hvg_fraction": 0.0}, "hvg_fraction 0.0 must be above 0 and at most 1"),
        ({"n_components": 5, "fit_fraction": 1.5}, "fit_fraction 1.5"),
        ({"n_components": 5, "fit_fraction": float("nan")}, "fit_fraction nan"),
        ({"n_components": 5, "hvg_fraction": 0.2}, "hvg_fraction 0.2 is above fit_fraction 0.1; .* raise"),
        ({"n_components": 5, "target_sum": 0.0}, "target_sum 0.0 must be a number above 0"),
        ({"n_components": 5, "max_value": float("inf")}, "max_value inf must be a number above 0"),
        ({"n_components": 5, "name": "a/b"}, "'a/b' cannot name an embedding"),
    ],
)
def test_settings_out_of_range_are_refused_before_anything_is_read(
    corpus: Corpus, watched: Passes, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(EmbeddingError, match=message):
        embed(corpus, **settings)
    assert watched.units == {}
    assert not corpus.embeddings_path.exists() or not list(corpus.embeddings_path.iterdir())


def test_documents_on_disk_are_plain_json(corpus: Corpus) -> None:
    embedding = embed(corpus, **SMALL)
    content = json.loads((embedding.path / "embedding.json").read_text())
    assert content["format"] == 1
    assert content["id"] == embedding.id
