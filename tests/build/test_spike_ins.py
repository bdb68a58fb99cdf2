"""Subsets spiked with the cells of other sources."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.build.build import build
from curate.build.spike_ins import BALANCES, MODES, draw, guarded, n_spiked, plan_spike_ins, spike
from curate.errors import SelectionError
from curate.manifests.registry import Registry
from curate.sources.source import Source, find_source
from curate.workspace import Workspace

if TYPE_CHECKING:
    from decimal import Decimal
    from pathlib import Path

    from curate.corpus import Corpus
    from curate.manifests.manifest import Manifest

SHARES = st.decimals("0.01", "1", places=2)


@pytest.fixture(scope="module")
def corpus(screen_workspace: Path) -> Corpus:
    return Workspace.find(screen_workspace).corpus()


@pytest.fixture(scope="module")
def screen(corpus: Corpus) -> Source:
    return find_source(corpus, "screen")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return Registry(tmp_path_factory.mktemp("registry"))


def spiked(
    corpus: Corpus, registry: Registry, *shares: tuple[Source, float], n_cells: int = 60, **options: Any
) -> tuple[Manifest, Manifest]:
    """Return a base of random cells and what it becomes when spiked."""
    chosen = {name: options.pop(name) for name in ("mode", "balance") if name in options}
    base, after = build(
        corpus,
        registry=registry,
        strategy="random",
        n_cells=n_cells,
        spike_ins=plan_spike_ins(shares, **chosen),
        **options,
    )
    return base, after


def cells(manifest: Manifest, source: str = "census", *, split: str | None = None) -> set[int]:
    held = manifest.cells().filter(pl.col("source").cast(pl.String) == source)
    return set((held if split is None else held.filter(pl.col("split") == split))["soma_joinid"].to_list())


@given(SHARES, st.integers(10, 100), st.integers(0, 5), st.sampled_from(MODES), st.sampled_from(BALANCES))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_counts_are_exact_and_val_and_test_are_those_of_the_base(
    corpus: Corpus,
    screen: Source,
    registry: Registry,
    share: Decimal,
    n_cells: int,
    seed: int,
    mode: str,
    balance: str,
) -> None:
    try:
        base, after = spiked(
            corpus, registry, (screen, float(share)), n_cells=n_cells, seed=seed, mode=mode, balance=balance
        )
    except SelectionError as error:
        if "is 0 cells" not in str(error):
            raise
        return
    n_train = base.document.splits.counts["train"]
    n = math.floor(share * n_train)
    (record,) = after.document.spike_ins
    assert record.n_cells == n == len(cells(after, "screen"))
    assert cells(after, "screen") == cells(after, "screen", split="train")
    assert after.document.splits.counts["train"] == n_train + (n if mode == "add" else 0)
    for split in ("val", "test"):
        assert cells(after, split=split) == cells(base, split=split)
    kept = cells(after, split="train")
    assert kept <= cells(base, split="train")
    assert len(kept) == (n_train if mode == "add" else n_train - n)
    assert after.verify().ok


@given(st.integers(1, 100), st.integers(1, 10**6))
def test_the_number_of_cells_is_the_share_rounded_down_in_exact_decimals(
    hundredths: int, n_train: int
) -> None:
    class Large:
        name, n_cells = "large", 10**7

    expected = hundredths * n_train // 100
    if expected == 0:
        with pytest.raises(SelectionError, match="is 0 cells; use at least"):
            n_spiked(Large(), hundredths / 100, n_train)  # type: ignore[arg-type]
    else:
        assert n_spiked(Large(), hundredths / 100, n_train) == expected  # type: ignore[arg-type]


def test_a_small_share_lies_inside_a_large_one(corpus: Corpus, screen: Source, registry: Registry) -> None:
    for balance in BALANCES:
        base, small = spiked(corpus, registry, (screen, 0.1), balance=balance)
        _, large = spiked(corpus, registry, (screen, 0.5), balance=balance)
        assert cells(small, "screen") < cells(large, "screen")
        replaced = [cells(base) - cells(each) for each in (small, large)]
        assert replaced[0] < replaced[1]


def test_the_base_is_a_manifest_of_its_own_and_the_parent(
    corpus: Corpus, screen: Source, registry: Registry, tmp_path: Path
) -> None:
    base, after = spiked(corpus, registry, (screen, 0.25))
    (plain,) = build(corpus, registry=Registry(tmp_path), strategy="random", n_cells=60)
    assert plain.id == base.id
    assert base.name == "random-n60-s0"
    assert after.name == "random-n60-s0+screen=0.25"
    (parent,) = after.document.parents
    assert (parent.id, parent.relation, parent.ref) == (base.id, "base", base.ref)
    assert after.document.spike_ins[0].id == screen.id


def test_building_again_gives_the_same_id(
    corpus: Corpus, screen: Source, registry: Registry, tmp_path: Path
) -> None:
    _, first = spiked(corpus, registry, (screen, 0.3), balance="perturbation", seed=3)
    _, again = spiked(corpus, Registry(tmp_path), (screen, 0.3), balance="perturbation", seed=3)
    assert again.id == first.id
    _, other = spiked(corpus, registry, (screen, 0.3), balance="perturbation", seed=4)
    assert cells(other, "screen") != cells(first, "screen")


def test_a_balanced_draw_takes_as_many_of_every_perturbation_as_there_can_be(screen: Source) -> None:
    labels = screen.columns(["perturbation"])["perturbation"].cast(pl.String).to_numpy()
    rows = draw(screen, 60, balance="perturbation", seed=0)
    found = dict(zip(*np.unique(labels[rows], return_counts=True), strict=True))
    assert found["C"] == 10
    assert sorted(found[name] for name in ("A", "B", "control")) == [16, 17, 17]


def test_labels_of_spike_ins_count_in_composition_donors_and_diversity(
    corpus: Corpus, screen: Source, registry: Registry
) -> None:
    base, after = spiked(corpus, registry, (screen, 0.5), mode="add")
    n = after.document.spike_ins[0].n_cells
    assert after.document.composition["dataset_id"]["screen"] == n
    assert after.document.n_donors == base.document.n_donors + 1
    n_base = base.document.composition["cell_type"]["B cell"]
    assert after.document.composition["cell_type"]["B cell"] == n_base + n
    diversity = after.document.diversity["cell_type"]
    assert diversity.n_cells == base.document.diversity["cell_type"].n_cells + n


@pytest.mark.parametrize(
    ("shares", "options", "message"),
    [
        ([0.0], {}, r"spike-in screen=0 is no share .* above 0 and at most 1"),
        ([1.5], {"mode": "add"}, r"spike-in screen=1\.5 is no share"),
        ([0.1, 0.1], {}, "spike-in screen is named 2 times"),
        ([0.1], {"mode": "swap"}, "no spike-in mode 'swap'; there are: replace, add"),
        ([0.1], {"balance": "guide"}, "no spike-in balance 'guide'; there are: none, perturbation"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(
    screen: Source, shares: list[float], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SelectionError, match=message):
        plan_spike_ins([(screen, share) for share in shares], **options)


def test_more_cells_than_the_source_has_are_refused_with_the_numbers(
    corpus: Corpus, screen: Source, registry: Registry
) -> None:
    with pytest.raises(
        SelectionError,
        match=r"screen=0\.5 of \d+ training cells is \d+ cells, and source 'screen' has 90 "
        r"\(4 perturbations of 10 to 30 cells\); use at most 0\.\d+",
    ):
        spiked(corpus, registry, (screen, 0.5), n_cells=600)


def test_spike_ins_that_are_not_guarded_are_a_bug(corpus: Corpus, screen: Source, registry: Registry) -> None:
    (base,) = build(corpus, registry=registry, strategy="random", n_cells=60)
    plan = plan_spike_ins([(screen, 0.5)])
    with pytest.raises(ValueError, match="not guarded"):
        spike(base, plan, registry=registry, corpus=corpus, seed=0)
    assert guarded(plan).pools["screen"].was_compared


def test_shares_that_replace_more_than_all_are_refused(screen: Source) -> None:
    class Other:
        name = "other"

    with pytest.raises(SelectionError, match=r"would replace 1\.2 of the training cells; at most 1"):
        plan_spike_ins([(screen, 0.6), (Other(), 0.6)])  # type: ignore[list-item]
