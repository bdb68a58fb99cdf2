from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from curate.cli import curate
from curate.errors import CorpusError, EmbeddingError, ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result
    from numpy.typing import NDArray

    from curate.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path, coordinate_census: Path) -> Workspace:
    """A workspace with one corpus, `all`, of 600 cells and 120 genes."""
    from curate.census import Census
    from curate.corpus.build import build_corpus
    from curate.recipe import Recipe
    from curate.workspace import Workspace

    workspace = Workspace.create(tmp_path)
    with Census.open(uri=coordinate_census) as census:
        build_corpus(Recipe.model_validate({"name": "all"}), census, workspace.corpora_path / "all")
    return workspace


def run(workspace: Workspace, *arguments: str) -> Result:
    command = ["-C", str(workspace.root), "embed", *arguments]
    return CliRunner().invoke(curate, command, catch_exceptions=False)


def test_a_constant_dimension_is_told_when_a_sketch_reads_it(workspace: Workspace, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(600, 3)).astype(np.float32)
    values[:, 1] = 2.5
    np.save(tmp_path / "values.npy", values)
    assert run(workspace, "--from", str(tmp_path / "values.npy"), "--name", "mine").exit_code == 0
    arguments = ["build", "--strategy", "sketch", "--n-cells", "60", "--embedding", "mine"]
    result = CliRunner().invoke(curate, ["-C", str(workspace.root), *arguments], catch_exceptions=False)
    assert "the embedding has 1 constant dimension, which no box is cut by" in result.stderr


def test_malloc_is_set_before_anything_that_has_threads_is_imported(tmp_path: Path) -> None:
    program = (
        "import sys, curate.memory as memory\n"
        "memory.keep_memory = lambda: print('early' if 'tiledbsoma' not in sys.modules else 'late')\n"
        "from curate.cli import main\n"
        "main()"
    )
    command = [sys.executable, "-c", program, "-C", str(tmp_path), "embed"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "early\n"


def test_it_embeds_the_only_corpus_and_sums_up(workspace: Workspace) -> None:
    result = run(workspace, "--n-components", "5", "--n-hvgs", "40")
    assert result.exit_code == 0
    assert "600 cells x 5 dimensions, float32" in result.output
    assert "40 variable ones of 120" in result.output
    assert "variance explained" in result.output
    assert (workspace.corpora_path / "all/embeddings/pca/embedding.npy").exists()


def test_json_is_the_header(workspace: Workspace) -> None:
    result = run(workspace, "all", "--name", "small", "--n-components", "5", "--json")
    document = json.loads(result.stdout)
    written = json.loads((workspace.corpora_path / "all/embeddings/small/embedding.json").read_text())
    assert document == written
    assert document["n_components"] == 5


def test_an_embedding_made_elsewhere_is_taken_over(workspace: Workspace) -> None:
    values = np.random.default_rng(0).normal(size=(600, 7)).astype(np.float32)
    np.save(workspace.root / "scvi.npy", values)
    result = run(workspace, "--from", str(workspace.root / "scvi.npy"), "--name", "scvi")
    assert result.exit_code == 0
    assert "taken from" in result.output
    taken = np.load(workspace.corpora_path / "all/embeddings/scvi/embedding.npy")
    np.testing.assert_array_equal(taken, values)


def test_an_embedding_of_the_census_is_taken_over_under_its_name(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curate.census import Census

    def read(
        census: Census, organism: str, name: str, joinids: NDArray[np.int64]
    ) -> tuple[int, list[NDArray[np.float32]]]:
        assert (organism, name) == ("homo_sapiens", "scvi")
        return 1, [joinids[:, None].astype(np.float32)]

    monkeypatch.setattr(Census, "read_embedding", read)
    result = run(workspace, "--from", "census:scvi")
    assert "taken from  census scvi" in " ".join(result.output.split("\n")).replace("   ", " ")
    taken = np.load(workspace.corpora_path / "all/embeddings/scvi/embedding.npy")
    np.testing.assert_array_equal(taken[:, 0], np.arange(600))


def test_without_a_name_a_file_gives_its_own(workspace: Workspace) -> None:
    np.save(workspace.root / "mine.npy", np.ones((600, 2), np.float32))
    run(workspace, "--from", str(workspace.root / "mine.npy"))
    assert (workspace.corpora_path / "all/embeddings/mine/embedding.npy").exists()


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("scvi", ModelError, r"no trained model named 'scvi'"),
        ("census:", EmbeddingError, r"'' cannot name an embedding"),
        ("runs/geneformer", ModelError, r"runs/geneformer holds no trained model"),
    ],
)
def test_what_is_no_embedding_and_no_model_is_refused(
    workspace: Workspace, source: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(workspace, "--from", source)


def test_the_cells_to_fit_on_are_said(workspace: Workspace) -> None:
    settings = ("--n-components", "5", "--n-hvgs", "40", "--fit-fraction", "0.5")
    assert "fitted on" in run(workspace, *settings).output
    assert json.loads(run(workspace, *settings, "--json").stdout)["parameters"]["fit_fraction"] == 0.5


def test_workers_and_a_scheduler_exclude_each_other(workspace: Workspace) -> None:
    result = run(workspace, "--workers", "2", "--scheduler", "tcp://127.0.0.1:1")
    assert result.exit_code == 2
    assert "a scheduler has its own workers" in result.output


def test_settings_of_the_pca_mean_nothing_with_a_file(workspace: Workspace) -> None:
    result = run(workspace, "--from", "scvi.npy", "--n-hvgs", "10")
    assert result.exit_code == 2
    assert "--n-hvgs goes with a PCA that is computed; --from takes over" in result.output


def test_too_many_components_are_refused_with_the_numbers(workspace: Workspace) -> None:
    with pytest.raises(EmbeddingError, match="500 components of 600 cells and 120 genes; ask for 1 to 119"):
        run(workspace, "--n-components", "500")


def test_a_corpus_that_is_not_there_is_refused(workspace: Workspace) -> None:
    with pytest.raises(CorpusError, match="no corpus named 'alle'"):
        run(workspace, "alle")
