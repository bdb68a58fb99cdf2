"""A corpus as a trained model sees it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from curate.build.build import build
from curate.build.embeddings import passes
from curate.build.embeddings.embed_trained import embed_trained
from curate.build.embeddings.embedding import Embedding
from curate.corpus.build import build_corpus
from curate.errors import EmbeddingError, ModelError
from curate.manifests.registry import Registry
from curate.recipe import GeneRules, Recipe
from curate.train.artifact.train import train
from curate.train.models import MODELS
from curate.train.shards import Shards
from curate.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from curate.corpus import Corpus
    from curate.train.artifact import Artifact


@pytest.fixture(scope="module")
def learned(atlas_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Artifact]:
    """A copy of the atlas, and a PCA of 400 of its cells."""
    root = tmp_path_factory.mktemp("learned") / "atlas"
    shutil.copytree(atlas_workspace, root)
    workspace = Workspace.find(root)
    (built,) = build(
        workspace.corpus(), registry=Registry(workspace.manifests_path), strategy="random", n_cells=400
    )
    changes = {"n_dims": 5, "n_hvgs": 50}
    manifest = replace(built, workspace=workspace)
    return workspace, train("pca", manifest, workspace=workspace, preset="tiny", changes=changes).artifact


@pytest.fixture
def corpus(learned: tuple[Workspace, Artifact]) -> Corpus:
    return learned[0].corpus("demo")


@pytest.fixture
def artifact(learned: tuple[Workspace, Artifact]) -> Artifact:
    return learned[1]


def test_every_cell_has_the_vector_that_the_model_gives_it(
    corpus: Corpus, artifact: Artifact, learned: tuple[Workspace, Artifact]
) -> None:
    embedding = embed_trained(corpus, artifact, name="whole")
    assert embedding.values.shape == (corpus.n_cells, 5)
    assert embedding.header.model == "trained"
    assert embedding.header.parameters["artifact"] == artifact.id
    embedding.verify()
    folder = learned[0].shards_path / "random-n400-s0" / "v0001"
    shards = Shards.open(folder)
    part = shards.split("val")[0]
    rows = np.searchsorted(corpus.joinids(), shards.obs(split="val")["soma_joinid"].to_numpy())
    import scipy.sparse as sp

    counts = sp.csr_array((part.data, part.indices, part.indptr), shape=(part.n_cells, shards.header.n_genes))
    np.testing.assert_array_equal(embedding.values[rows], artifact.load().embed(counts))


def test_the_same_again_is_opened_and_another_model_refused(corpus: Corpus, artifact: Artifact) -> None:
    first = embed_trained(corpus, artifact, name="again")
    assert embed_trained(corpus, artifact, name="again").id == first.id
    with pytest.raises(EmbeddingError, match="has an embedding 'pca' with other settings"):
        embed_trained(corpus, artifact, name="pca")


def test_a_strategy_chooses_by_it(corpus: Corpus, artifact: Artifact, tmp_path: Path) -> None:
    embedding = embed_trained(corpus, artifact, name="learned")
    (manifest,) = build(
        corpus,
        registry=Registry(tmp_path / "manifests"),
        strategy="sketch",
        n_cells=100,
        embedding=Embedding.open(embedding.path, corpus),
    )
    assert manifest.document.selection.embedding == embedding.id
    assert manifest.document.n_cells == 100


def test_a_killed_run_goes_on_to_the_same_bytes(
    corpus: Corpus, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = embed_trained(corpus, artifact, name="unbroken")

    class Killed(BaseException):
        pass

    save = passes.Projected.save

    def die(self: passes.Projected, path: Path) -> None:
        save(self, path)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(passes.Projected, "save", die)
        with pytest.raises(Killed):
            embed_trained(corpus, artifact, name="broken")
    assert not (corpus.embeddings_path / "broken").exists()
    gone_on = embed_trained(corpus, artifact, name="broken")
    assert (gone_on.path / "embedding.npy").read_bytes() == (whole.path / "embedding.npy").read_bytes()


def test_genes_are_aligned_and_too_few_refused(
    corpus: Corpus, artifact: Artifact, learned: tuple[Workspace, Artifact], tmp_path: Path
) -> None:
    workspace = learned[0]
    ids = corpus.genes().feature_ids

    def corpus_of(name: str, genes: list[str]) -> Corpus:
        listed = tmp_path / f"{name}.txt"
        listed.write_text("\n".join(genes))
        recipe = Recipe(name=name, organism="homo_sapiens", genes=GeneRules(list=str(listed)))
        with workspace.open_census() as census:
            return build_corpus(recipe, census, workspace.corpora_path / name)

    backwards = corpus_of("backwards", list(reversed(ids)))
    # All cells of the store, of which those of `corpus` are some.
    rows = np.searchsorted(backwards.joinids(), corpus.joinids())
    np.testing.assert_allclose(
        embed_trained(backwards, artifact).values[rows],
        embed_trained(corpus, artifact, name="forwards").values,
        rtol=1e-5,
        atol=1e-5,
    )
    few = corpus_of("few", list(ids[:40]))
    with pytest.raises(ModelError, match=r"corpus few: 40 of the model's .* genes .*at least 50% are needed"):
        embed_trained(few, artifact)
    assert embed_trained(few, artifact, min_overlap=0.1).header.n_genes == 40


def test_hvg_and_pca_are_there_to_learn_from() -> None:
    assert {"hvg", "pca"} <= set(MODELS)
