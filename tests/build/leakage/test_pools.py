"""The cells of a source that may be drawn, and what is drawn of them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.build.build import build
from curate.build.ladder import build_ladder
from curate.build.leakage import doubles
from curate.build.leakage.foreseen_pools import foresee_pool
from curate.build.leakage.guard import overlap_exclusions, read_evaluation
from curate.build.leakage.pools import pool_of
from curate.build.leakage.report import leakage
from curate.build.leakage.shared import find_shared
from curate.build.spike_ins import plan_spike_ins
from curate.errors import SelectionError, SourceError
from curate.manifests.manifest import Manifest
from curate.manifests.notices import notices
from curate.manifests.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.corpus import Corpus
    from curate.sources.source import Source

    Counts = NDArray[np.float32]
    AddSource = Callable[..., Source]
    WriteEvaluation = Callable[..., Path]


def strangers(n: int, *, seed: int) -> Counts:
    rng = np.random.default_rng(seed)
    profiles = np.exp(rng.normal(-1.8, 1.2, (3, 400)))
    return rng.poisson(profiles[rng.integers(3, size=n)]).astype(np.float32)


def spiked(
    corpus: Corpus, source: Source, share: float, folder: Path, evaluation: Path | None = None, **options: Any
) -> Manifest:
    """Return all cells of the corpus, or all that the evaluation set leaves, spiked with a source."""
    plan = plan_spike_ins([(source, share)], **options)
    arguments: dict[str, Any] = {
        "registry": Registry(folder),
        "strategy": "random",
        "fraction": 1.0,
        "spike_ins": plan,
    }
    if evaluation is None:
        return build(corpus, **arguments)[1]
    with corpus.open_census() as census:
        read = read_evaluation(corpus, evaluation, census=census)
        exclusions = overlap_exclusions(corpus, read, census=census)
        return build(corpus, exclusions=exclusions, **arguments)[1]


def drawn(manifest: Manifest, source: Source) -> list[int]:
    cells = manifest.cells().filter(pl.col("source").cast(pl.String) == source.name)
    return cells["soma_joinid"].to_list()


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_cell_that_is_drawn_is_a_cell_of_the_corpus_or_of_the_evaluation_set(
    leak_corpus: Corpus,
    leak_counts: Counts,
    add_leak_source: AddSource,
    write_evaluation: WriteEvaluation,
    tmp_path: Path,
    data: st.DataObject,
) -> None:
    of_corpus = data.draw(st.lists(st.integers(0, 499), max_size=30, unique=True))
    n_shared = data.draw(st.integers(0, 30))
    thinned_to = data.draw(st.sampled_from([1.0, 0.9]))
    balance = data.draw(st.sampled_from(["none", "perturbation"]))
    evaluation, own = strangers(100, seed=1), strangers(80, seed=2)
    planted = np.vstack([leak_counts[of_corpus], evaluation[:n_shared]])
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    order = rng.permutation(len(planted) + len(own))
    counts = np.vstack([rng.binomial(planted.astype(np.int64), thinned_to), own])[order]
    name = f"s{len(list(tmp_path.glob('*.h5ad')))}"
    source = add_leak_source(name, counts.astype(np.float32))
    registry = tmp_path / "manifests"
    manifest = spiked(leak_corpus, source, 0.1, registry, write_evaluation(evaluation), balance=balance)
    is_planted = np.flatnonzero(order < len(planted))
    taken = set(drawn(manifest, source))
    n_drawn = manifest.document.spike_ins[0].n_cells
    assert len(taken) == n_drawn > 0
    # Exact copies never; of thinned ones, none that the guard finds, and it finds nearly all.
    assert len(taken & set(is_planted.tolist())) <= (0 if thinned_to == 1.0 else 2)
    report = leakage(manifest, [tmp_path / "eval.h5ad"])
    assert report.n_shared_cells == 0
    assert not report.evaluations[0].not_compared(["joinid", "exact", "near"])
    of_source = {
        record.reason: record.n_cells
        for record in manifest.document.exclusions
        if record.parameters.get("source") == name and record.parameters["by"] != "near"
    }
    if thinned_to == 1.0:
        assert of_source == {"corpus overlap": len(of_corpus), "evaluation overlap": n_shared}
    assert manifest.verify().ok
    shutil.rmtree(source.path)


def test_a_source_that_is_the_evaluation_set_gives_no_cell(
    leak_corpus: Corpus, add_leak_source: AddSource, write_evaluation: WriteEvaluation, tmp_path: Path
) -> None:
    counts = strangers(100, seed=3)
    # Too shallow to be decided by themselves, some by anything but the whole file.
    counts[:10] = np.where(np.arange(400) % 40 == np.arange(10)[:, None], 1, 0)
    counts[:5, 9:] = 0
    source = add_leak_source("same", counts)
    with pytest.raises(
        SelectionError,
        match=r"same=0\.1 of \d+ training cells is \d+ cells, and source 'same' has 100 .*, of which 0 may "
        r"be drawn \(evaluation overlap takes 100\); take another source",
    ):
        spiked(leak_corpus, source, 0.1, tmp_path / "registry", write_evaluation(counts))


def test_quotas_are_drawn_from_what_is_left(
    leak_corpus: Corpus, leak_counts: Counts, add_leak_source: AddSource, tmp_path: Path
) -> None:
    source = add_leak_source("half", np.vstack([leak_counts[:50], strangers(50, seed=4)]))
    manifest = spiked(leak_corpus, source, 0.1, tmp_path, balance="perturbation")
    rows = drawn(manifest, source)
    assert min(rows) >= 50
    labels = source.columns(["perturbation"], rows=np.array(rows))["perturbation"].value_counts()
    assert abs(labels["count"][0] - labels["count"][1]) <= 1
    with pytest.raises(
        SelectionError, match=r"has 100 .*, of which 50 may be drawn \(corpus overlap takes 50\); use at most"
    ):
        spiked(leak_corpus, source, 0.2, tmp_path)


def test_the_steps_of_a_ladder_are_guarded_too(
    leak_corpus: Corpus,
    leak_counts: Counts,
    add_leak_source: AddSource,
    write_evaluation: WriteEvaluation,
    tmp_path: Path,
) -> None:
    evaluation = strangers(100, seed=6)
    counts = np.vstack([leak_counts[:30], evaluation[:30], strangers(60, seed=7)])
    source = add_leak_source("third", counts)
    options: dict[str, Any] = {
        "registry": Registry(tmp_path / "registry"),
        "strategies": ["random"],
        "fractions": [0.5, 1.0],
        "nested": True,
    }
    with leak_corpus.open_census() as census:
        read = read_evaluation(leak_corpus, write_evaluation(evaluation), census=census)
        options["exclusions"] = overlap_exclusions(leak_corpus, read, census=census)
        ladder = build_ladder(leak_corpus, spike_ins=plan_spike_ins([(source, 0.1)]), **options)
        with pytest.raises(SelectionError, match=r"of which 60 may be drawn \(corpus overlap takes 30, eval"):
            build_ladder(leak_corpus, spike_ins=plan_spike_ins([(source, 0.2)]), name="more", **options)
    assert not [name for name in options["registry"].names() if name.startswith("more")]
    spiked_steps = [step for step in ladder.steps if step.document.spike_ins]
    assert len(spiked_steps) == 2
    for step in spiked_steps:
        manifest = Manifest.load(str(options["registry"].version_path(step.document.name, 1)))
        assert min(drawn(manifest, source)) >= 60


def test_a_source_of_other_cells_is_drawn_as_it_was(
    leak_corpus: Corpus, add_leak_source: AddSource, tmp_path: Path
) -> None:
    source = add_leak_source("other", strangers(100, seed=5))
    pool = pool_of(source)
    assert pool.rows.tolist() == list(range(100))
    assert [(each.reason, each.n_cells) for each in pool.exclusions] == [("corpus overlap", 0)]
    assert not notices(spiked(leak_corpus, source, 0.1, tmp_path).document)


def test_a_source_that_was_not_compared_with_a_large_corpus_is_refused_until_allowed(
    leak_corpus: Corpus,
    leak_counts: Counts,
    add_leak_source: AddSource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = add_leak_source("held", leak_counts[:100])
    monkeypatch.setattr(doubles, "AT_ONCE_S", 0.0)
    with pytest.raises(
        SourceError,
        match=r"source 'held' was not compared with corpus 'leaks', .* the counts of 500 cells once .*: run "
        r"`curate corpus compare-source held`, or take .* --allow-uncompared",
    ):
        spiked(leak_corpus, source, 0.1, tmp_path)
    assert not Registry(tmp_path).names()
    plan = plan_spike_ins([(source, 0.1)], allow_uncompared=True)
    _, taken = build(leak_corpus, registry=Registry(tmp_path), strategy="random", fraction=1, spike_ins=plan)
    assert taken.document.spike_ins[0].parameters["compared_with_corpus"] is False
    assert any("held was not compared with the corpus" in notice for notice in notices(taken.document))
    # Once it was, it is guarded though it is allowed not to be.
    doubles.find_doubles(source)
    with pytest.raises(SelectionError, match="of which 0 may be drawn"):
        build(leak_corpus, registry=Registry(tmp_path), strategy="random", fraction=1, spike_ins=plan)


def test_a_source_whose_content_cannot_be_compared_is_refused_until_allowed_and_the_record_says_so(
    leak_corpus: Corpus, add_leak_source: AddSource, tmp_path: Path
) -> None:
    genes = [f"ENSG{j:011d}" for j in range(6)]
    source = add_leak_source("panel", strangers(100, seed=8)[:, :6] + 1, genes=genes)
    with pytest.raises(
        SourceError,
        match=r"source 'panel' could not be compared by content with corpus 'leaks': none of the 100 cells "
        r"looked for .*; take the source as it is with --allow-uncompared",
    ):
        spiked(leak_corpus, source, 0.1, tmp_path)
    assert not Registry(tmp_path).names()
    taken = spiked(leak_corpus, source, 0.1, tmp_path, allow_uncompared=True).document
    (record,) = taken.exclusions
    assert (record.reason, record.n_cells) == ("corpus overlap", 0)
    assert (record.parameters["by"], record.parameters["not_by"]) == (["joinid"], ["exact", "near"])
    assert (record.parameters["n_undecided"], taken.spike_ins[0].parameters["compared_with_corpus"]) == (
        100,
        False,
    )
    told = notices(taken)
    assert told[0].startswith("source panel was not compared with the corpus by exact, near: none of the 100")
    assert not any("compare-source" in each for each in told)


def test_cells_that_are_undecided_are_counted_in_the_record_and_told(
    leak_corpus: Corpus, add_leak_source: AddSource, tmp_path: Path
) -> None:
    counts = strangers(100, seed=9)
    counts[:7, 2:] = 0
    document = spiked(leak_corpus, add_leak_source("shallow", counts), 0.1, tmp_path).document
    (record,) = document.exclusions
    assert record.parameters["by"] == ["joinid", "exact", "near"]
    assert record.parameters["n_undecided"] == 7
    assert any(each.startswith("7 cells of source shallow detect too few") for each in notices(document))


def test_sources_that_were_compared_are_told_apart_before_they_are_compared_with_the_corpus(
    leak_corpus: Corpus, add_leak_source: AddSource
) -> None:
    cells = strangers(60, seed=10)
    first, second = add_leak_source("first", cells), add_leak_source("second", cells[30:])
    find_shared(first, second)
    foreseen = foresee_pool(second, by=[], before=[first])
    assert (len(foreseen.pool.rows), foreseen.pool.reasons()) == (0, "source overlap takes 30")
    assert foreseen.pending == ("its cells that corpus leaks holds",)


def test_cells_of_which_nothing_says_how_they_are_perturbed_are_no_perturbation(
    leak_corpus: Corpus, add_leak_source: AddSource, tmp_path: Path
) -> None:
    genes = ["control", "A", "Unassigned", "nan"] * 25
    source = add_leak_source("partly", strangers(100, seed=13), obs={"gene": genes})
    perturbation = source.header.perturbation
    assert perturbation.n_perturbations == 1
    assert set(perturbation.unassigned.values()) == {25}
    assert perturbation.assigned == {"control": 25, "A": 25}
    balanced = spiked(leak_corpus, source, 0.1, tmp_path / "balanced", balance="perturbation")
    assert {row % 4 for row in drawn(balanced, source)} == {0, 1}
    (_, record) = balanced.document.exclusions
    assert (record.reason, record.n_cells) == ("no perturbation", 50)
    assert len(foresee_pool(source, by=[], assigned=True).pool.rows) == 50
    plain = spiked(leak_corpus, source, 0.2, tmp_path / "plain")
    assert {row % 4 for row in drawn(plain, source)} == {0, 1, 2, 3}
    with pytest.raises(
        SelectionError, match=r"has 100 \(2 perturbations of 25 to 25 cells\), of which 50 may"
    ):
        spiked(leak_corpus, source, 0.2, tmp_path / "more", balance="perturbation")
