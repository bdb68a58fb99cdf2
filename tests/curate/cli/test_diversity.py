"""`curate diversity`: tables, JSON, CSV, charts, and what goes wrong."""

from __future__ import annotations

import json
import shutil
import struct
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result

from curate import charts
from curate.build.build import build
from curate.build.diversity.coverage import coverage_distance
from curate.build.embeddings.embedding import VALUES_FILE, Embedding
from curate.cli import curate
from curate.corpus.build import build_corpus
from curate.errors import CorpusError, CurateError, EmbeddingError, ManifestError, WriteError
from curate.manifests.manifest import Manifest
from curate.manifests.registry import Registry
from curate.recipe import CellRules, Recipe
from curate.workspace import Workspace

LADDER = ("random", "reweight-0.1-s0", "sketch-0.1-s0")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, atlas_workspace: Path) -> Path:
    """A workspace with random subsets of two sizes and two seeds, a re-weighted one, a sketch."""
    root = Path(shutil.copytree(atlas_workspace, tmp_path_factory.mktemp("diversity") / "workspace"))
    workspace = Workspace.find(root)
    corpus = workspace.corpus("demo")
    registry = Registry(workspace.manifests_path)
    embedding = Embedding.open(corpus.embeddings_path / "pca", corpus)
    build(corpus, registry=registry, strategy="random", fraction=[0.1, 0.5], seed=[0, 1])
    build(corpus, registry=registry, strategy="reweight", fraction=0.1)
    build(corpus, registry=registry, strategy="sketch", fraction=0.1, embedding=embedding)
    return root


@pytest.fixture
def own_root(tmp_path: Path, root: Path) -> Path:
    """A copy, to write to."""
    return Path(shutil.copytree(root, tmp_path / "workspace"))


def run(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(curate, ["-C", str(root), "diversity", *arguments], catch_exceptions=False)


def run_json(root: Path, *arguments: str) -> Any:
    result = run(root, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def error_of(root: Path, *arguments: str) -> CurateError:
    result = CliRunner().invoke(curate, ["-C", str(root), "diversity", *arguments])
    assert isinstance(result.exception, CurateError)
    return result.exception


def test_labels_are_those_that_the_manifest_records(root: Path) -> None:
    found = run_json(root, *LADDER)
    assert [held["ref"] for held in found["sets"]] == [
        "corpus demo",
        *(f"random-{fraction}-s{seed}@v1" for fraction in (0.1, 0.5) for seed in (0, 1)),
        "reweight-0.1-s0@v1",
        "sketch-0.1-s0@v1",
    ]
    for held in found["sets"][1:]:
        manifest = Manifest.load(held["ref"], workspace=Workspace.find(root))
        recorded, labels = manifest.document.diversity["cell_type"], held["labels"]["cell_type"]
        assert (held["split"], held["n_cells"]) == (recorded.split, recorded.n_cells)
        for name in ("n_labels", "shannon_bits", "inverse_simpson", "gini_simpson"):
            assert labels[name] == pytest.approx(getattr(recorded, name), rel=1e-12)
        assert labels["rarefied_to"] == min(each["n_cells"] for each in found["sets"])


def test_space_is_measured_as_written_out(root: Path) -> None:
    held = run_json(root, "sketch-0.1-s0", "--split", "all", "--probes", "all", "--no-reference")["sets"][0]
    workspace = Workspace.find(root)
    corpus = workspace.corpus("demo")
    values = Embedding.open(corpus.embeddings_path / "pca", corpus).values.astype(np.float64)
    joinids = Manifest.load("sketch-0.1-s0", workspace=workspace).held_cells.soma_joinid
    rows = np.searchsorted(corpus.joinids(), joinids)
    unit = values[rows] / np.linalg.norm(values[rows], axis=1)[:, None]
    shares = np.linalg.eigvalsh(unit @ unit.T / len(rows))
    shares = shares[shares > 1e-12]
    assert held["space"]["vendi"] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    coverage = held["space"]["coverage"]
    everything = np.arange(corpus.n_cells)
    expected = coverage_distance(values.astype(np.float32), rows, probes=everything)
    assert coverage["mean_distance"] == pytest.approx(expected, rel=1e-6)
    assert coverage["n_probes"] == corpus.n_cells
    assert coverage["covered_interval"] == [coverage["covered"]] * 2


def test_values_are_compared_with_those_of_the_corpus(root: Path) -> None:
    whole, sketch = run_json(root, "sketch-0.1-s0")["sets"]
    assert whole["is_corpus"]
    assert whole["space"]["coverage"]["covered"] == 1
    assert whole["of_corpus"]["vectors.vendi"] == 1
    ratio = sketch["space"]["vendi"] / whole["space"]["vendi"]
    assert sketch["of_corpus"]["vectors.vendi"] == pytest.approx(ratio)
    assert "vectors.hausdorff" not in sketch["of_corpus"]


def test_the_second_time_nothing_long_is_computed(own_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("random-0.1-s0", "--probes", "50")
    first = run_json(own_root, *arguments)

    def fail(*args: object, **kwargs: object) -> None:
        pytest.fail("computed again")

    monkeypatch.setattr("curate.build.diversity.space.nearest_cells", fail)
    monkeypatch.setattr("curate.build.diversity.space.spectrum", fail)
    assert run_json(own_root, *arguments) == first
    other = run_json(own_root, *arguments, "--order", "2", "--radius", "1e9")["sets"][1]["space"]
    assert other["coverage"]["covered"] == 1
    assert other["vendi"] < first["sets"][1]["space"]["vendi"]


def test_the_order_of_the_vendi_score_is_told(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "chart.svg"
    result = run(root, "sketch", "--order", "inf", "--no-coverage", "--chart", str(path))
    assert "q = inf" in result.output
    assert "Vendi score of order inf" in path.read_text()
    assert run_json(root, "sketch", "--order", "inf", "--no-coverage")["settings"]["space"]["order"] == "inf"


def test_expression_has_a_vendi_score_of_its_own(root: Path) -> None:
    arguments = ("random-0.1-s0", "--no-coverage", "--no-reference")
    of_vectors = run_json(root, *arguments)["sets"][0]["space"]
    of_genes = run_json(root, *arguments, "--features", "expression")["sets"][0]["space"]
    assert of_genes["vendi"] > of_vectors["vendi"] > 1
    assert of_genes["coverage"] is None


def test_the_page_says_what_was_counted_and_that_it_is_simulated(root: Path) -> None:
    result = run(root, *LADDER, "--column", "cell_type", "--column", "tissue_general")
    lines = result.output.splitlines()
    assert sum(line.startswith("reweight-0.1-s0@v1") for line in lines) == 3
    assert any("█" in line for line in lines if line.startswith("corpus demo"))
    for expected in ("tissue_general", "embedding pca", "Vendi", "rare: under 0.1 %", "covered: within r = "):
        assert expected in result.output
    assert "simulated data, no real cells: corpus demo" in lines[-1]


def test_on_a_narrow_page_names_and_numbers_are_whole(root: Path) -> None:
    from rich.console import Console

    from curate.build.diversity.measure import measure_diversity
    from curate.build.diversity.page import diversity_page
    from curate.build.diversity.report import DiversitySettings
    from curate.manifests.references import resolve_all

    manifests = resolve_all(["sketch"], workspace=Workspace.find(root))
    report = measure_diversity(manifests, DiversitySettings(columns=("cell_type",)))
    console = Console(width=80, file=(printed := StringIO()))
    console.print(diversity_page(report, width=80))
    text = printed.getvalue()
    assert "sketch-0.1-s0@v1" in text
    assert "…" not in text
    assert "█" not in text


def test_the_table_holds_a_row_for_every_value(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "out" / "values.csv"
    assert run(root, *LADDER, "--csv", str(path)).exit_code == 0
    table = pl.read_csv(path)
    assert len(table) == 7 * 11
    found = {(row["ref"], row["index"]): row for row in table.iter_rows(named=True)}
    vendi = found["sketch-0.1-s0@v1", "vendi"]
    assert (vendi["subject"], vendi["unit"], vendi["series"], vendi["size"]) == (
        "vectors", "effective cells", "sketch", 0.1,
    )  # fmt: skip
    assert found["random-0.5-s1@v1", "covered"]["low"] <= found["random-0.5-s1@v1", "covered"]["value"]


@pytest.mark.parametrize("refs", [LADDER, ("reweight", "sketch"), ("sketch", "--no-vendi", "--no-coverage")])
def test_a_png_is_a_picture_of_a_size_to_look_at(root: Path, tmp_path: Path, refs: tuple[str, ...]) -> None:
    path = tmp_path / "chart.png"
    assert run(root, *refs, "--chart", str(path)).exit_code == 0
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    assert 1200 < width < 4000
    assert 300 < height < 4000


def test_the_chart_says_what_is_drawn_and_from_what(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "chart.svg"
    run(root, *LADDER, "--chart", str(path))
    text = path.read_text()
    assert text.lstrip().startswith("<svg")
    for expected in (
        "Diversity of 6 subsets of corpus demo", "Vendi score", "Corpus covered", "cell_type, bits", "random",
        "reweight", "sketch", "10%", "50%", "simulated data, no real cells", "train cells of each subset",
    ):  # fmt: skip
        assert f"{expected}" in text
    points = tmp_path / "points.svg"
    run(root, "reweight", "sketch", "--chart", str(points))
    assert "One point a manifest" in points.read_text()
    assert "sketch-0.1-s0@v1" in points.read_text()


def test_a_page_of_html_needs_no_network(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "chart.html"
    assert run(root, "sketch", "--chart", str(path)).exit_code == 0
    text = path.read_text()
    assert "<html" in text
    assert 'src="http' not in text
    assert "Vendi score" in text


def test_a_chart_of_another_kind_is_wrong_usage(root: Path) -> None:
    result = run(root, "sketch", "--chart", "chart.pdf")
    assert result.exit_code == 2
    assert "chart.pdf ends in none of .png, .svg, .html" in result.output


def test_a_chart_without_its_packages_is_refused_before_anything_runs(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charts, "find_spec", lambda name: None)
    error = error_of(root, "no-such-manifest", "--chart", "chart.png")
    assert isinstance(error, WriteError)
    assert str(error).endswith("altair and vl_convert, not installed; pip install 'cellcurate[report]'")


def test_an_unknown_column_is_answered_with_the_nearest(root: Path) -> None:
    error = error_of(root, "sketch", "--column", "cell_tipe")
    assert isinstance(error, CorpusError)
    assert str(error) == "corpus demo has no column 'cell_tipe'; did you mean 'cell_type'?"


def test_a_missing_embedding_is_an_error_where_it_was_named(root: Path) -> None:
    error = error_of(root, "sketch", "--embedding", "pcaa")
    assert isinstance(error, EmbeddingError)
    assert "corpus demo has no embedding 'pcaa'; did you mean 'pca'?" in str(error)


def test_without_an_embedding_labels_are_compared_all_the_same(own_root: Path) -> None:
    shutil.rmtree(own_root / "corpora" / "demo" / "embeddings")
    result = run(own_root, "random", "--json")
    assert (
        "notice: corpus demo has no embedding 'pca': no Vendi score and no coverage; make one"
        in result.stderr
    )
    found = json.loads(result.stdout)
    assert all(held["space"] is None for held in found["sets"])
    assert found["sets"][1]["labels"]["cell_type"]["n_labels"] > 5


def test_a_vector_that_is_not_finite_is_told_with_the_number(own_root: Path) -> None:
    path = own_root / "corpora" / "demo" / "embeddings" / "pca" / VALUES_FILE
    values = np.load(path)
    values[:40, 2] = np.nan
    np.save(path, values)
    shutil.rmtree(own_root / "corpora" / "demo" / "diversity", ignore_errors=True)
    error = error_of(own_root, "random-0.5-s0", "--no-coverage")
    assert isinstance(error, EmbeddingError)
    assert "40 of" in str(error)
    assert "not finite" in str(error_of(own_root, "random-0.5-s0", "--no-vendi", "--probes", "20"))


def test_manifests_of_two_corpora_are_each_beside_their_own(own_root: Path) -> None:
    workspace = Workspace.find(own_root)
    recipe = Recipe.load("demo").model_copy(
        update={
            "name": "blood",
            "cells": CellRules(filter="is_primary_data == True and tissue_general == 'blood'"),
        }
    )
    with workspace.open_census() as census:
        blood = build_corpus(recipe, census, workspace.corpora_path / "blood")
    build(blood, registry=Registry(workspace.manifests_path), strategy="random", fraction=0.5, name="blood")
    result = run(own_root, "blood", "sketch", "--no-vendi", "--no-coverage")
    assert [line.split("  ")[0].strip() for line in result.output.splitlines()[2:6]] == [
        "corpus blood", "blood@v1", "corpus demo", "sketch-0.1-s0@v1",
    ]  # fmt: skip
    assert "notice: 2 corpora: blood (" in result.output
    assert "each manifest is beside its own" in result.output
    found = run_json(own_root, "blood", "sketch", "--no-vendi", "--no-coverage")
    assert [corpus["name"] for corpus in found["corpora"]] == ["blood", "demo"]
    assert found["sets"][1]["series"] == "random"


def test_more_cells_than_the_smallest_set_has_cannot_be_rarefied_to(root: Path) -> None:
    error = error_of(root, "sketch", "--rarefy", "5000")
    assert isinstance(error, ManifestError)
    assert "fewer than the 5,000 to rarefy to; ask for fewer" in str(error)


def test_no_cell_of_a_split_is_told_and_all_are_counted(own_root: Path) -> None:
    workspace = Workspace.find(own_root)
    registry = Registry(workspace.manifests_path)
    ratios = [1.0, 0.0, 0.0]
    build(
        workspace.corpus("demo"),
        registry=registry,
        strategy="random",
        n_cells=30,
        split_ratios=ratios,
        name="all",
    )
    result = run(own_root, "all", "--split", "test", "--no-vendi", "--no-coverage")
    assert "notice: no test cells in all@v1: all their cells are counted" in result.output


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--probes", "1"), "1 cells are too few to measure from"),
        (("--probes", "x"), "'x' is not a whole number or all"),
        (("--order", "-1"), "--order"),
        (("--order", "nan"), "nan is no order"),
        (("--split", "dev"), "--split"),
    ],
)
def test_wrong_usage_ends_with_2(root: Path, option: tuple[str, ...], said: str) -> None:
    result = run(root, "sketch", *option)
    assert result.exit_code == 2
    assert said in result.output
