"""The report of a sweep, on simulated tables of results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest
from click.testing import CliRunner

from curate.cli.sweep_report import command
from curate.errors import EvaluationError, WriteError
from curate.evaluate.report import page as pages
from curate.evaluate.report.against import drawn
from curate.evaluate.report.look import nearer, share
from curate.evaluate.report.pareto import cost_of, front
from curate.evaluate.report.report import Report, baselines_of, charts_of, make_report
from curate.evaluate.report.tables import escaped, latex, write_table
from curate.evaluate.report.verdicts import (
    against_random_in_words,
    gaps,
    headlines,
    in_words,
    missing_runs,
    other_cells,
    verdict_of,
)
from curate.evaluate.results import write_results
from curate.evaluate.saturation.runs import runs_of
from curate.evaluate.saturation.strategies import EQUAL_COMPUTE, EQUAL_SIZE
from curate.evaluate.saturation.strategies import SCHEMA as DIFFERENCES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.evaluate.report.conftest import SimulateResults


@pytest.fixture
def report(simulate_results: SimulateResults) -> Report:
    return make_report(simulate_results(models=("contrastive",), strategies=("random", "sketch"), n_seeds=3))


def test_a_report_holds_every_part(
    simulate_results: SimulateResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Drawing takes most of the time, and is tried below.
    monkeypatch.setattr(pages, "chart_svg", lambda chart: f"<svg>{type(chart).__name__}</svg>")
    results = simulate_results(
        models=("contrastive",), strategies=("random", "sketch"), n_seeds=2, settings=("zero-shot", "full"),
        fractions=(0.01, 0.1, 0.5), max_cells=1_000,
    )  # fmt: skip
    failures = pl.DataFrame({"what": ["scvi on random 0.5"], "error": ["loss is <nan>"]})
    content = pages.page(make_report(results, failures=failures), title="A & B")
    assert "<title>A &amp; B</title>" in content
    for head in (
        "What the runs say", "Score against cells", "Where more cells stop paying", "Strategies against "
        "random",
        "Score against cost", "Frozen and fine-tuned", "What failed", "How it was found",
    ):  # fmt: skip
        assert f"<h2>{head}</h2>" in content
    assert "loss is &lt;nan&gt;" in content
    assert "simulated data, no real cells" in content
    assert content.count("<svg>VConcatChart</svg>") == 7
    assert "<script" not in content
    assert "https://" not in content


def test_one_seed_is_reported_and_said(simulate_results: SimulateResults) -> None:
    results = simulate_results(models=("pca",), strategies=("random",), n_seeds=1, fractions=(0.01, 0.1, 1.0))
    report = make_report(results)
    words = "\n".join(in_words(report))
    assert "One seed only" in words
    assert "cannot be told" in words
    assert "saturated at" not in words
    assert [name for name, _ in charts_of(report)] == [
        "curves-classify-atlas-zero-shot-knn-macro_f1", "saturation", "cost"
    ]  # fmt: skip


def test_one_fraction_is_reported_and_said(simulate_results: SimulateResults) -> None:
    results = simulate_results(models=("pca",), strategies=("random", "sketch"), n_seeds=2, fractions=(0.1,))
    report = make_report(results)
    assert "One size of subset only" in "\n".join(in_words(report))
    names = [name for name, _ in charts_of(report)]
    assert "saturation" not in names
    assert "strategies-equal-size" in names


def test_results_without_a_trained_model_are_refused(simulate_results: SimulateResults) -> None:
    held = simulate_results(models=("pca",), n_seeds=1).filter(pl.col("kind") != "trained")
    with pytest.raises(EvaluationError, match="none of 5 results is of a trained model"):
        make_report(held)


def test_a_metric_without_results_is_refused_with_those_there_are(simulate_results: SimulateResults) -> None:
    with pytest.raises(EvaluationError, match="no result of metric 'accuracy'; there are: macro_f1"):
        make_report(simulate_results(models=("pca",), n_seeds=1), metrics=["accuracy"])


def test_baselines_stand_beside_every_model_and_controls_beside_their_own(
    simulate_results: SimulateResults,
) -> None:
    found = baselines_of(simulate_results(n_seeds=1)).sort("name", "model")
    assert found.filter(pl.col("model").is_null())["name"].to_list() == [
        "hvg", "logistic", "majority", "pca of the data"
    ]  # fmt: skip
    assert found.filter(pl.col("name") == "untrained")["model"].to_list() == ["contrastive", "pca", "scvi"]
    assert found["corpus"].unique().to_list() == ["corpus"]


def test_a_representation_is_drawn_by_the_method_of_the_view_and_no_other(
    simulate_results: SimulateResults,
) -> None:
    results = simulate_results(models=("pca",), strategies=("random",), n_seeds=1)
    hvg = results.filter(pl.col("model") == "hvg")
    other = hvg.with_columns(pl.lit("centroid").alias("method"), pl.lit(0.99).alias("value"))
    (view,) = make_report(pl.concat([other, results])).views
    drawn = dict(view.baselines.select("name", "score").iter_rows())
    assert drawn["hvg"] == pytest.approx(hvg["value"][0])
    assert set(drawn) == {"hvg", "logistic", "majority", "pca of the data", "untrained"}


def test_the_words_never_say_saturated_when_undecided() -> None:
    row = {
        "model": "scvi", "strategy": "random", "verdict": "undecided", "n_seeds": 5, "tolerance": 0.04,
        "largest_gain": 0.09, "gain_doubling": 0.01, "gain_doubling_low": -0.02, "gain_doubling_high": 0.05,
    }  # fmt: skip
    assert verdict_of(row) == (
        "scvi on random: undecided: with 5 seeds a larger subset may be better by up to 0.09, more than the "
        "tolerance of 0.04; twice as many cells would bring +0.01 (-0.02 to +0.05)."
    )


def test_a_plateau_is_said_with_its_numbers() -> None:
    row = {
        "model": "scvi", "strategy": "random", "verdict": "saturated", "n_seeds": 5, "tolerance": 0.04,
        "plateau": 18_000.0, "plateau_fraction": 0.1, "plateau_low": 1_800.0, "plateau_high": 45_000.0,
    }  # fmt: skip
    assert verdict_of(row) == (
        "scvi on random: saturated at 18,000 training cells (10 %): no larger subset that was run is better "
        "by more "
        "than 0.04 (95 %, 5 seeds; the point may lie between 1,800 and 45,000 cells)."
    )


def test_curves_of_one_size_are_gathered_by_their_reason(simulate_results: SimulateResults) -> None:
    results = simulate_results(
        models=("pca", "scvi"), strategies=("random", "reweight", "sketch"), n_seeds=3, fractions=(0.01, 0.1)
    )
    is_curve = (pl.col("strategy") == "random") | (pl.col("fraction") == 0.1) | pl.col("strategy").is_null()
    report = make_report(results.filter(is_curve))
    lines = list(in_words(report))
    (untold,) = [line for line in lines if "cannot be told;" in line]
    assert untold == (
        "  pca, scvi on reweight, sketch: cannot be told; 1 size and 3 seeds show no plateau; "
        "run 2 or more of each."
    )
    assert "not shown: 4 curves of one size" in pages._saturation(report)
    assert "reweight" not in pages._saturation(report)


def test_the_headlines_count_what_stands_and_what_chance_would_give(
    simulate_results: SimulateResults,
) -> None:
    results = simulate_results(models=("pca",), strategies=("random", "reweight"), sd=0.0005)
    report = make_report(results)
    cells, choice = list(headlines(report))[:2]
    verdicts = report.saturation["verdict"].to_list()
    assert cells == (
        f"Do more cells pay? 2 curves: {verdicts.count('saturated')} saturated, {verdicts.count('rising')} "
        f"still rising, {verdicts.count('undecided')} undecided."
    )
    alone = report.differences.filter(pl.col("comparison") == "equal size", pl.col("p") < 0.05).height
    n = report.differences.filter(pl.col("comparison") == "equal size").height
    assert f"equal size? {n} comparisons: {alone} better, 0 worse; one by one {alone} would" in choice


def test_what_the_difference_supports_is_said(simulate_results: SimulateResults) -> None:
    results = simulate_results(
        models=("pca",), strategies=("random", "reweight"), sd=0.0005, fractions=(0.01, 0.1)
    )
    lines = list(against_random_in_words(make_report(results).differences))
    assert lines[0].startswith(
        "pca, atlas, zero-shot macro-F1: reweight beats random, over all sizes together, at equal size"
    )
    noisy = simulate_results(
        models=("pca",), strategies=("random", "reweight"), sd=0.2, n_seeds=2, fractions=(0.01, 0.1)
    )
    doubtful = list(against_random_in_words(make_report(noisy).differences))
    assert len(doubtful) == 3
    assert all("cannot be told apart from" in line for line in doubtful)


def differences(*rows: tuple[float, float, float]) -> pl.DataFrame:
    """Return rows of differences, p and adjusted p."""
    whole = {
        "model": "pca", "dataset": "atlas", "setting": "zero-shot", "metric": "macro_f1",
        "strategy": "sketch", "baseline": "random", "comparison": EQUAL_SIZE,
        "low": -1.0, "high": 1.0, "n_seeds": 3,
    }  # fmt: skip
    held = [whole | {"difference": each, "p": p, "p_adjusted": of_all} for each, p, of_all in rows]
    return pl.DataFrame(held, schema=DIFFERENCES, orient="row")


def test_what_stands_alone_and_not_among_all_cannot_be_told_apart() -> None:
    lines = list(against_random_in_words(differences(*((0.1, p, 4 * p) for p in (0.02, 0.03, 0.04, 0.045)))))
    assert len(lines) == 4
    assert all("sketch cannot be told apart from random" in line for line in lines[:3])
    assert lines[3] == "1 more comparison cannot be told apart."


def test_a_difference_that_stands_is_said_by_its_sign() -> None:
    better, worse, rest = against_random_in_words(
        differences((0.1, 0.01, 0.03), (-0.1, 0.02, 0.04), (-0.1, 0.03, 0.06))
    )
    assert "sketch beats random" in better
    assert "sketch is worse than random" in worse
    assert rest == "1 more comparison cannot be told apart."


def test_models_that_were_tried_on_other_cells_are_told(simulate_results: SimulateResults) -> None:
    results = simulate_results(models=("pca", "scvi"), strategies=("random",), n_seeds=2)
    assert other_cells(results) == []
    dropped = pl.when(pl.col("model") == "scvi").then(pl.lit("less")).otherwise("dataset_id")
    (line,) = other_cells(results.with_columns(dropped.alias("dataset_id")))
    assert line.startswith("atlas, classify: models were tried on 2 different sets of its cells")


def test_missing_cells_of_the_grid_are_named(simulate_results: SimulateResults) -> None:
    results = simulate_results(models=("contrastive", "pca"), strategies=("random", "sketch"), n_seeds=2)
    gone = (pl.col("model") == "pca") & (pl.col("fraction") == 0.25) & (pl.col("strategy") == "sketch")
    runs = runs_of(results.filter(~((pl.col("seed") == 1) & gone & (pl.col("kind") == "trained"))))
    assert missing_runs(runs) == ["pca sketch 25 % seed 1"]
    assert "1 cell of the grid" in gaps(runs)[0]


def test_the_front_holds_what_nothing_cheaper_beats(report: Report) -> None:
    (view,) = report.views
    assert cost_of(report.views) == "train_seconds"
    found = front(view, "train_seconds")
    assert found["train_seconds"].is_sorted()
    assert found["mean"].is_sorted()
    for row in view.points.iter_rows(named=True):
        cheaper = view.points.filter(pl.col("train_seconds") <= row["train_seconds"])["mean"].to_list()
        is_best = row["mean"] >= max(cheaper)
        assert is_best == (row["mean"] in found["mean"].to_list())


def test_the_front_is_of_what_is_better_whichever_way_the_metric_goes(
    simulate_results: SimulateResults,
) -> None:
    results = simulate_results(models=("contrastive",), strategies=("random", "sketch"), n_seeds=2)
    (view,) = make_report(results).views
    errors = results.with_columns((1 - pl.col("value")).alias("value"), higher_is_better=pl.lit(value=False))
    (turned,) = make_report(errors).views
    costs = front(view, "train_seconds")["train_seconds"].to_list()
    assert len(costs) > 1
    assert front(turned, "train_seconds")["train_seconds"].to_list() == costs


def test_what_is_dearer_and_no_better_is_not_on_the_front(simulate_results: SimulateResults) -> None:
    results = simulate_results(models=("pca",), strategies=("random", "sketch"), n_seeds=2)
    (view,) = make_report(results.with_columns(pl.lit(0.5).alias("value"))).views
    found = front(view, "train_seconds")["train_seconds"].to_list()
    assert found == [view.points["train_seconds"].min()]


def test_a_cost_that_some_lack_is_not_drawn(simulate_results: SimulateResults) -> None:
    results = simulate_results(models=("pca",), n_seeds=1, fractions=(0.1, 0.5))
    unknown = results.with_columns(pl.lit(None, pl.Float64).alias("train_seconds"))
    views = make_report(unknown).views
    assert cost_of(views) == "cells_seen"
    assert (
        cost_of(make_report(unknown.with_columns(pl.lit(None, pl.Int64).alias("n_cells_seen"))).views) is None
    )


def test_labels_are_moved_apart_about_their_middle() -> None:
    assert nearer([1.0, 1.0, 5.0], gap=1.0) == [0.5, 1.5, 5.0]
    assert nearer([3.0, 1.0], gap=1.0) == [3.0, 1.0]
    assert nearer([], gap=1.0) == []


def test_a_share_is_written_as_people_do() -> None:
    assert (share(0.01), share(0.0005), share(None, 1_234)) == ("1 %", "0.05 %", "1,234 cells")


def test_only_the_smallest_chosen_subset_is_drawn_at_equal_compute(simulate_results: SimulateResults) -> None:
    results = simulate_results(
        models=("pca",), strategies=("random", "sketch"), n_seeds=2, fractions=(0.01, 0.1, 0.5), max_cells=10
    )
    differences = make_report(results).differences
    rows = drawn(differences, EQUAL_COMPUTE).sort("baseline_fraction")
    assert rows.select("fraction", "baseline_fraction").rows() == [(0.01, 0.1), (0.01, 0.5)]
    assert drawn(differences, EQUAL_SIZE)["n_cells"].to_list() == [None]


def test_latex_escapes_what_it_takes_for_its_own(report: Report) -> None:
    assert escaped("a_b & 5 %") == r"a\_b \& 5 \%"
    text = latex(report.saturation)
    assert text.count(r"\\") == 1 + report.saturation.height
    assert r"macro\_f1, zero-shot knn" in text
    assert r"\toprule" in text


def test_tables_are_written_as_their_names_say(report: Report, tmp_path: Path) -> None:
    for suffix in (".csv", ".parquet", ".tex"):
        write_table(report.saturation, tmp_path / f"t{suffix}")
    assert pl.read_parquet(tmp_path / "t.parquet").equals(report.saturation)
    assert pl.read_csv(tmp_path / "t.csv").height == report.saturation.height
    with pytest.raises(WriteError, match=r"ends in none of \.csv, \.parquet, \.tex"):
        write_table(report.saturation, tmp_path / "t.xlsx")


def test_the_command_writes_page_charts_and_tables(simulate_results: SimulateResults, tmp_path: Path) -> None:
    path = tmp_path / "results.parquet"
    write_results(
        simulate_results(models=("pca",), strategies=("random",), n_seeds=2, fractions=(0.01, 0.1, 0.5)), path
    )
    result = CliRunner().invoke(
        command,
        [str(path), "-o", str(tmp_path / "r.html"), "--png", str(tmp_path / "png"),
         "--table", str(tmp_path / "t.csv"), "--differences", str(tmp_path / "d.csv")],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert {each.name for each in (tmp_path / "png").iterdir()} == {
        "curves-classify-atlas-zero-shot-knn-macro_f1.png", "saturation.png", "cost.png"
    }  # fmt: skip
    assert all(each.read_bytes().startswith(b"\x89PNG") for each in (tmp_path / "png").iterdir())
    assert pl.read_csv(tmp_path / "t.csv").height == 1


def test_without_a_page_the_words_are_printed(simulate_results: SimulateResults, tmp_path: Path) -> None:
    path = tmp_path / "results.parquet"
    write_results(simulate_results(models=("pca",), strategies=("random",), n_seeds=2), path)
    result = CliRunner().invoke(command, [str(path)])
    assert result.exit_code == 0, result.output
    assert "pca on random:" in result.output
    assert "No strategy could be compared with random" in result.output


@pytest.mark.parametrize("option", [["-o", "r.pdf"], ["--table", "t.xlsx"], ["--differences", "d.tex"]])
def test_a_name_of_no_format_is_wrong_usage(option: list[str]) -> None:
    assert CliRunner().invoke(command, ["results.parquet", *option]).exit_code == 2
