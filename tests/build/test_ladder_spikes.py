"""Ladders whose steps are spiked: what links them, what nests, what is refused before anything is built."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from curate.build.build import build
from curate.build.ladder import build_ladder
from curate.build.ladder_lines import step_seed
from curate.build.spike_ins import BALANCES, MODES, plan_spike_ins
from curate.errors import SelectionError
from curate.manifests.ladders import open_ladder
from curate.manifests.registry import Registry
from curate.sources.source import Source, find_source
from curate.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from curate.build.ladder import Ladder
    from curate.build.ladder_lines import Step
    from curate.corpus import Corpus

FRACTIONS = (0.1, 0.3, 1.0)


@pytest.fixture(scope="module")
def corpus(screen_workspace: Path) -> Corpus:
    return Workspace.find(screen_workspace).corpus()


@pytest.fixture(scope="module")
def screen(corpus: Corpus) -> Source:
    return find_source(corpus, "screen")


@pytest.fixture
def registry(tmp_path: Path, screen_workspace: Path) -> Registry:
    return Registry(tmp_path / "manifests", workspace=Workspace.find(screen_workspace))


def spiked_ladder(corpus: Corpus, registry: Registry, screen: Source, **settings: Any) -> Ladder:
    share = settings.pop("share", 0.1)
    chosen = {name: settings.pop(name) for name in ("mode", "balance") if name in settings}
    request: dict[str, Any] = {"strategies": ["random"], "fractions": FRACTIONS, "seeds": [0, 1]}
    return build_ladder(
        corpus, registry=registry, spike_ins=plan_spike_ins([(screen, share)], **chosen), **request | settings
    )


def pairs(ladder: Ladder) -> list[tuple[Step, Step]]:
    """Return each step and what it is when spiked."""
    return list(zip(ladder.steps[::2], ladder.steps[1::2], strict=True))


def cells(registry: Registry, step: Step) -> dict[str, set[int]]:
    held = registry.resolve(step.record.ref).held_cells
    return {source: set(held.soma_joinid[held.rows_of(source)].tolist()) for source in held.sources}


def test_each_step_is_followed_by_a_manifest_of_it_spiked(
    corpus: Corpus, screen: Source, registry: Registry
) -> None:
    ladder = spiked_ladder(corpus, registry, screen, nested=True, name="study")
    assert [step.record.spiked for step in ladder.steps] == [False, True] * 6
    for base, spiked in pairs(ladder):
        assert spiked.record.manifest == f"{base.record.manifest}+screen=0.1"
        assert [(p.relation, p.id) for p in spiked.document.parents] == [("base", base.document.id)]
        (record,) = spiked.document.spike_ins
        assert record.n_cells == base.document.splits.counts["train"] // 10
        assert record.parameters["seed"] == base.record.drawn_with
        same = ("strategy", "fraction", "seed", "drawn_with")
        assert all(getattr(base.record, name) == getattr(spiked.record, name) for name in same)
        assert registry.resolve(spiked.record.ref).verify().ok
    held = open_ladder(registry, "study")
    assert held == ladder.document
    assert held.n_steps == 6
    assert held.spike_ins is not None
    assert [(each.source, each.id, each.fraction) for each in held.spike_ins.shares] == [
        ("screen", screen.id, 0.1)
    ]
    assert held.called(held.steps[1]) == "random+screen=0.1"


@pytest.mark.parametrize("balance", BALANCES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("strategy", ["random", "reweight"])
def test_bases_and_the_cells_of_sources_nest_and_the_ladder_says_whether_the_spiked_do(
    strategy: str, mode: str, balance: str, corpus: Corpus, screen: Source, registry: Registry
) -> None:
    ladder = spiked_ladder(
        corpus, registry, screen, nested=True, mode=mode, balance=balance, strategies=[strategy]
    )
    most_lost = 0
    for seed in (0, 1):
        line = [(base, spiked) for base, spiked in pairs(ladder) if base.record.seed == seed]
        for (below, spiked_below), (base, spiked) in pairwise(line):
            assert cells(registry, below)["census"] < cells(registry, base)["census"]
            held, held_below = cells(registry, spiked), cells(registry, spiked_below)
            assert held_below["screen"] < held["screen"]
            n_lost = len(held_below["census"] - held["census"])
            assert spiked.n_lost == n_lost
            most_lost = max(most_lost, n_lost)
    said = ladder.document.spike_ins
    assert said is not None
    assert (said.n_lost, said.nested) == (most_lost, most_lost == 0)
    assert said.nested or mode == "replace"


def test_without_nesting_nothing_is_said_of_it_and_a_step_can_be_built_alone(
    corpus: Corpus, screen: Source, registry: Registry, tmp_path: Path
) -> None:
    ladder = spiked_ladder(corpus, registry, screen)
    assert ladder.document.spike_ins is not None
    assert ladder.document.spike_ins.nested is None
    _, alone = build(
        corpus,
        registry=Registry(tmp_path / "alone"),
        strategy="random",
        fraction=0.3,
        seed=step_seed(1, 0.3),
        spike_ins=plan_spike_ins([(screen, 0.1)]),
    )
    (step,) = (
        step for step in ladder.document.steps if step.spiked and (step.fraction, step.seed) == (0.3, 1)
    )
    assert step.id == alone.id


def test_bases_are_those_of_the_ladder_without_spike_ins_and_nothing_is_built_twice(
    corpus: Corpus, screen: Source, registry: Registry
) -> None:
    bare = build_ladder(
        corpus, registry=registry, strategies=["random"], fractions=FRACTIONS, seeds=[0, 1], nested=True
    )
    first = spiked_ladder(corpus, registry, screen, nested=True)
    assert [base.document.id for base, _ in pairs(first)] == [step.document.id for step in bare.steps]
    assert [step.is_new for step in first.steps] == [False, True] * 6
    again = spiked_ladder(corpus, registry, screen, nested=True)
    assert not any(step.is_new for step in again.steps)
    assert again.document == first.document
    assert (bare.document.ref, first.document.ref) == ("ladder@v1", "ladder@v2")


def test_a_ladder_without_spike_ins_says_nothing_about_them(corpus: Corpus, registry: Registry) -> None:
    build_ladder(corpus, registry=registry, strategies=["random"], fractions=(0.1,))
    text = (registry.path / "ladders" / "ladder" / "v0001" / "ladder.json").read_text()
    assert "spike" not in text


@pytest.mark.parametrize("split_by", ["cell", "donor"])
@pytest.mark.parametrize(
    ("share", "message"),
    [
        (0.5, r"spike-in screen=0.5 of \d{3} training cells is \d+ cells, and source 'screen' has 90"),
        (0.001, r"spike-in screen=0.001 of \d+ training cells is 0 cells; use at least"),
    ],
)
def test_a_share_that_some_step_cannot_have_is_refused_before_anything_is_written(
    share: float, message: str, split_by: str, corpus: Corpus, screen: Source, registry: Registry
) -> None:
    with pytest.raises(SelectionError, match=message):
        spiked_ladder(corpus, registry, screen, share=share, split_by=split_by)
    assert not registry.path.exists()


def test_a_share_that_the_largest_step_may_have_is_tried(
    corpus: Corpus, screen: Source, registry: Registry
) -> None:
    # 150 of 600 cells, about 120 of them to train on: 90 is what the source has.
    ladder = spiked_ladder(corpus, registry, screen, fractions=(0.25,), seeds=range(4), share=0.7)
    assert {spiked.document.spike_ins[0].n_cells for _, spiked in pairs(ladder)} <= set(range(75, 91))
