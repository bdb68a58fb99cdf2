"""Near-duplicates left out of a build: recorded, the same for all sizes and seeds, before any strategy."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from curate.build.build import build
from curate.build.dedup.dedup import REASON, find_near, near_duplicates
from curate.build.embeddings.embed_file import import_embedding
from curate.build.embeddings.embedding import VALUES_FILE
from curate.build.exclusions import Exclusion
from curate.build.ladder import build_ladder
from curate.build.strategies import STRATEGIES
from curate.errors import EmbeddingError, SelectionError
from curate.identity import cell_keys
from curate.manifests.diff import diff
from curate.manifests.registry import Registry
from curate.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.build.embeddings.embedding import Embedding
    from curate.corpus import Corpus
    from curate.manifests.manifest import Manifest

# Those that choose for a task take one beside; cells are left out before any of them alike.
PLAIN = [name for name, strategy in STRATEGIES.items() if not strategy.needs_task]


@pytest.fixture
def registry(corpus: Corpus, tmp_path: Path) -> Registry:
    return Registry(tmp_path / "manifests", workspace=Workspace.around(corpus.path))


def imported(corpus: Corpus, values: NDArray[np.float64], folder: Path) -> Embedding:
    np.save(folder / "made.npy", values)
    return import_embedding(corpus, folder / "made.npy", name="made")


@pytest.fixture
def twins(corpus: Corpus, tmp_path: Path) -> Embedding:
    """An embedding in which the cells 2k and 2k + 1 of 600 are near-duplicates, and no others."""
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(size=(300, 40)), 2, axis=0) + 1e-3 * rng.normal(size=(600, 40))
    return imported(corpus, values, tmp_path)


def joinids(manifest: Manifest) -> list[int]:
    return list(manifest.cells()["soma_joinid"])


@pytest.mark.parametrize("strategy", PLAIN)
def test_before_every_strategy_one_of_two_twins_is_left_out(
    strategy: str, corpus: Corpus, twins: Embedding, registry: Registry
) -> None:
    (manifest,) = build(
        corpus,
        registry=registry,
        strategy=strategy,
        fraction=0.5,
        exclusions=[near_duplicates(twins, 0.95)],
        embedding=twins,
    )
    chosen = joinids(manifest)
    assert len(chosen) == 150 == len({joinid // 2 for joinid in chosen})
    assert manifest.verify().ok


def test_the_manifest_says_how_many_were_left_out_of_which_embedding(
    corpus: Corpus, twins: Embedding, registry: Registry
) -> None:
    (manifest,) = build(
        corpus, registry=registry, strategy="random", fraction=1, exclusions=[near_duplicates(twins, 0.95)]
    )
    (record,) = manifest.document.exclusions
    assert (record.reason, record.n_cells) == (REASON, 300)
    assert record.parameters == {"cosine_above": 0.95, "embedding": twins.id, "method_version": 1}
    assert manifest.document.selection.embedding is None
    assert manifest.document.selection.n_available == 300
    (whole,) = build(corpus, registry=registry, strategy="random", fraction=1, name="whole")
    names = [change.name for change in diff(whole, manifest).settings]
    assert "exclusions[0].parameters.cosine_above" in names


def test_another_cosine_is_another_manifest_though_the_same_cells_are_left(
    corpus: Corpus, twins: Embedding, registry: Registry
) -> None:
    first, same, other = (
        build(
            corpus,
            registry=registry,
            strategy="random",
            fraction=0.1,
            exclusions=[near_duplicates(twins, above)],
        )[0]
        for above in (0.95, 0.95, 0.96)
    )
    assert joinids(first) == joinids(other)
    assert first.id == same.id != other.id


def test_all_sizes_and_seeds_are_of_the_same_cells_and_a_ladder_nests(
    corpus: Corpus, twins: Embedding, registry: Registry
) -> None:
    ladder = build_ladder(
        corpus,
        registry=registry,
        strategies=["random", "facility"],
        fractions=[0.1, 0.5, 1],
        seeds=[0, 1],
        nested=True,
        exclusions=[near_duplicates(twins, 0.95)],
        embedding=twins,
    )
    cells = [set(joinids(registry.resolve(step.ref))) for step in ladder.document.steps]
    assert [len(each) for each in cells] == [30, 150, 300] * 4
    for line in (cells[0:3], cells[3:6], cells[6:9], cells[9:12]):
        assert all(smaller < larger for smaller, larger in pairwise(line))
        assert line[-1] == cells[2]


def test_a_cell_that_is_left_out_for_another_reason_does_not_take_its_twin_along(
    corpus: Corpus, twins: Embedding, registry: Registry
) -> None:
    even = Exclusion("even", {}, np.arange(600) % 2 == 0)
    (manifest,) = build(
        corpus,
        registry=registry,
        strategy="random",
        fraction=1,
        exclusions=[near_duplicates(twins, 0.95), even],
    )
    assert joinids(manifest) == list(range(1, 600, 2))
    assert [record.n_cells for record in manifest.document.exclusions] == [300, 0]


def test_where_all_are_alike_one_cell_is_left(corpus: Corpus, registry: Registry, tmp_path: Path) -> None:
    alike = imported(corpus, np.ones((600, 4)), tmp_path)
    exclusions = [near_duplicates(alike, 0.95)]
    (manifest,) = build(corpus, registry=registry, strategy="random", n_cells=1, exclusions=exclusions)
    assert manifest.document.exclusions[0].n_cells == 599
    with pytest.raises(SelectionError, match="100 cells asked for, but only 1 to choose from"):
        build(corpus, registry=registry, strategy="random", n_cells=100, exclusions=exclusions)


def test_which_stay_goes_by_the_identity_of_the_cells(corpus: Corpus, twins: Embedding) -> None:
    drop = near_duplicates(twins, 0.95).drop
    assert callable(drop)
    keys = cell_keys(corpus.identity(), seed=0, purpose="dedup")
    expected = find_near(twins.values, keys, above=0.95)
    np.testing.assert_array_equal(drop(corpus, np.ones(600, dtype=np.bool_)), expected)
    odd = np.arange(600) % 2 == 1
    assert not drop(corpus, odd).any()


def test_a_damaged_embedding_and_a_cosine_out_of_range_are_refused(
    corpus: Corpus, twins: Embedding, registry: Registry
) -> None:
    with pytest.raises(SelectionError, match="dedup: cosine 1 tells no near-duplicates"):
        near_duplicates(twins, 1)
    path = twins.path / VALUES_FILE
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(EmbeddingError, match="is damaged"):
        build(
            corpus, registry=registry, strategy="random", fraction=1, exclusions=[near_duplicates(twins, 0.9)]
        )
