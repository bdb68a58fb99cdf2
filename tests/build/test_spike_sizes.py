"""Spike-ins that cannot be are refused before anything is written, by the same line whenever it is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from curate.build.build import build
from curate.build.candidates import find_candidates
from curate.build.spike_ins import guarded, plan_spike_ins
from curate.build.spike_sizes import check_spike_sizes
from curate.build.splits.splits import make_splits
from curate.errors import ManifestError, SelectionError
from curate.manifests.registry import Registry
from curate.sources.source import Source, find_source
from curate.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from curate.corpus import Corpus


@pytest.fixture(scope="module")
def corpus(screen_workspace: Path) -> Corpus:
    return Workspace.find(screen_workspace).corpus()


@pytest.fixture(scope="module")
def screen(corpus: Corpus) -> Source:
    return find_source(corpus, "screen")


@pytest.fixture
def registry(tmp_path: Path, screen_workspace: Path) -> Registry:
    return Registry(tmp_path / "manifests", workspace=Workspace.find(screen_workspace))


@pytest.mark.parametrize("split_by", ["cell", "donor"])
@pytest.mark.parametrize(
    ("share", "sizes", "message"),
    [
        # The source has 90 cells: half of the training cells of 60 are there, of 600 they are not.
        (0.5, {"n_cells": [60, 600]}, r"screen=0\.5 of \d{3} training cells is \d{3} cells"),
        (0.5, {"fraction": [0.1, 1.0]}, r"screen=0\.5 of \d{3} training cells is \d{3} cells"),
        (0.01, {"n_cells": [600, 20]}, r"screen=0\.01 of \d+ training cells is 0 cells"),
        (0.5, {"n_cells": 600, "seed": [0, 1]}, r"screen=0\.5 of \d{3} training cells is \d{3} cells"),
    ],
)
def test_what_one_of_several_subsets_cannot_have_leaves_none_of_them_behind(
    share: float,
    sizes: dict[str, Any],
    message: str,
    split_by: str,
    corpus: Corpus,
    screen: Source,
    registry: Registry,
) -> None:
    spike_ins = plan_spike_ins([(screen, share)])
    with pytest.raises(SelectionError, match=message):
        build(corpus, registry=registry, strategy="random", spike_ins=spike_ins, split_by=split_by, **sizes)
    assert not registry.path.exists()


def test_a_subset_that_the_bounds_leave_open_is_chosen_before_any_is_written(
    corpus: Corpus, screen: Source, registry: Registry
) -> None:
    # 113 of 141 cells are expected in train, 0.8 of them are the 90 that there are: a seed decides.
    plan = plan_spike_ins([(screen, 0.8)])
    candidates = find_candidates(corpus, None)
    splits = make_splits(corpus, candidates)
    assert check_spike_sizes(guarded(plan), [20, 141], candidates, splits) == {141}
    refused, made = [], []
    for seed in range(8):
        before = set(registry.names())
        try:
            made.append(
                build(
                    corpus,
                    registry=registry,
                    strategy="random",
                    n_cells=[20, 141],
                    seed=seed,
                    spike_ins=plan,
                )
            )
        except SelectionError:
            refused.append(seed)
            assert set(registry.names()) == before
    assert refused
    assert [len(manifests) for manifests in made] == [4] * (8 - len(refused))
    assert made


def test_a_name_that_only_the_spiked_subset_cannot_have_is_refused_first(
    corpus: Corpus, screen: Source, registry: Registry
) -> None:
    with pytest.raises(ManifestError, match="cannot name a manifest"):
        build(
            corpus,
            registry=registry,
            strategy="random",
            n_cells=60,
            name="n" * 125,
            spike_ins=plan_spike_ins([(screen, 0.1)]),
        )
    assert not registry.path.exists()
