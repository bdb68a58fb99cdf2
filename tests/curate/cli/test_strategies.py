"""`curate strategies`, strategies of one's own and recipes on the command line."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from curate.build.strategies import STRATEGIES
from curate.cli import curate
from curate.errors import SelectionError, WorkspaceError

DOCS = Path(__file__).parents[3] / "docs" / "strategies.md"


def run(home: Path, *arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(curate, ["-C", str(home), *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


@pytest.fixture
def own(tmp_path: Path) -> str:
    """The example of the documentation, as a file."""
    (example,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    path = tmp_path / "own.py"
    path.write_text(example)
    return f"{path}:rarest"


def test_the_example_of_the_documentation_builds_and_favours_rare_types(
    fresh_workspace: Path, own: str
) -> None:
    (built,) = json.loads(
        run(fresh_workspace, "build", "--strategy", own, "--fraction", "0.1", "--json").stdout
    )
    assert built["ref"] == "own.py-rarest-0.1-s0@v1"
    (random,) = json.loads(
        run(fresh_workspace, "build", "--strategy", "random", "--fraction", "0.1", "--json").stdout
    )
    assert built["shannon_bits"] > random["shannon_bits"]
    again = run(fresh_workspace, "build", "--strategy", own, "--fraction", "0.1").stdout
    assert "was there" in again


def test_a_manifest_records_the_file_and_never_runs_it(fresh_workspace: Path, own: str) -> None:
    path = Path(own.removesuffix(":rarest"))
    run(fresh_workspace, "build", "--strategy", f"{own}(power=2)", "--fraction", "0.1", "--name", "mine")
    path.write_text("raise AssertionError('it was run')")
    shown = json.loads(run(fresh_workspace, "manifests", "show", "mine", "--json").stdout)
    assert shown["selection"]["strategy"] == "own.py:rarest"
    assert shown["selection"]["parameters"]["power"] == 2.0
    assert re.fullmatch("[0-9a-f]{64}", shown["selection"]["parameters"]["sha256"])
    assert str(path.parent) not in json.dumps(shown["selection"])
    path.unlink()
    run(fresh_workspace, "manifests", "verify", "mine")
    assert "own.py:rarest power=2.0" in run(fresh_workspace, "manifests", "show", "mine").stdout
    run(fresh_workspace, "diversity", "mine", "--no-vendi", "--no-coverage")


def test_another_content_of_the_file_is_another_manifest(fresh_workspace: Path, own: str) -> None:
    arguments = ("build", "--strategy", own, "--n-cells", "50", "--json")
    (first,) = json.loads(run(fresh_workspace, *arguments).stdout)
    with Path(own.removesuffix(":rarest")).open("a") as file:
        file.write("# a comment\n")
    (second,) = json.loads(run(fresh_workspace, *arguments).stdout)
    assert second["ref"].endswith("@v2")
    assert second["id"] != first["id"]
    moved_to = fresh_workspace / "elsewhere"
    moved_to.mkdir()
    shutil.copy(own.removesuffix(":rarest"), moved_to)
    moved = ("build", "--strategy", f"{moved_to}/own.py:rarest", *arguments[3:])
    (third,) = json.loads(run(fresh_workspace, *moved).stdout)
    assert third["id"] == second["id"]


def test_a_recipe_is_built_explained_and_made_a_ladder(fresh_workspace: Path, own: str) -> None:
    parts = f"0.5 sketch(k=40) + 0.3 reweight(by=tissue_general) + 0.2 {own}(power=2)"
    run(fresh_workspace, "build", "--strategy", "combine", "--parts", parts, "--fraction", "0.1")
    page = " ".join(run(fresh_workspace, "manifests", "show", "combine-0.1-s0").stdout.split())
    for expected in ("0.5 sketch(k=40, alpha=0.1,", "0.2 own.py:rarest(power=2.0,", "part_1_n_cells=67"):
        assert expected in page
    recipe = "combine(parts=0.5 sketch(k=40) + 0.5 random)"
    explained = run(fresh_workspace, "build", "--strategy", recipe, "--fraction", "0.1", "--explain").stdout
    assert "embedding to read" in explained
    ladder = run(
        fresh_workspace, "build", "--strategy", f"{recipe},random", "--ladder", "0.1,0.4", "--nested",
        "--name", "study",
    )  # fmt: skip
    assert "4 manifests, nested" in ladder.stdout
    refused = "combine(parts=0.5 stratified + 0.5 random)"
    with pytest.raises(
        SelectionError,
        match=r"combine cannot nest \(of the parts of combine: stratified\); those that can: random",
    ):
        run(fresh_workspace, "build", "--strategy", refused, "--ladder", "0.1", "--nested")


def test_settings_in_brackets_are_those_of_the_options(fresh_workspace: Path) -> None:
    size = ("--fraction", "0.1", "--name", "same", "--json")
    (one,) = json.loads(run(fresh_workspace, "build", "--strategy", "sketch(k=40)", *size).stdout)
    (two,) = json.loads(run(fresh_workspace, "build", "--strategy", "sketch", "--k", "40", *size).stdout)
    assert (one["id"], two["is_new"]) == (two["id"], False)
    with pytest.raises(SelectionError, match="sketch is given k twice: 40 in brackets and 50"):
        run(fresh_workspace, "build", "--strategy", "sketch(k=40)", "--k", "50", *size)
    mixed = run(fresh_workspace, "build", "--strategy", "sketch(k=40)", "--alpha", "0.2", *size).stdout
    assert json.loads(mixed)[0]["id"] != one["id"]
    lonely = run(fresh_workspace, "build", "--strategy", "random", "--parts", "x", *size, status=2)
    assert "--parts goes with --strategy combine" in lonely.output


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ("rendom", "'rendom' is not one; did you mean 'random'?"),
        ("random,random", "'random' is given twice"),
        ("sketch(k=1", "'sketch.k=1' is not one"),
        ("sketch k=1)", "closes a bracket"),
    ],
)
def test_a_strategy_that_does_not_parse_is_wrong_usage(
    strategy: str, message: str, atlas_workspace: Path
) -> None:
    result = run(atlas_workspace, "build", "--strategy", strategy, "--ladder", "0.1,0.2", status=2)
    assert re.search(message, " ".join(result.output.split()))


def test_what_is_wrong_with_a_file_is_told_before_anything_is_made(
    fresh_workspace: Path, tmp_path: Path
) -> None:
    path = tmp_path / "own.py"
    path.write_text("def twice(n):\n    return [0] * n\n")
    for name, message in (
        ("nowhere.py:twice", "there is no such file"),
        (f"{path}:once", "own.py has no function 'once'; there are: twice"),
        (f"{path}:twice", "returned 100 rows of which 1 are distinct"),
    ):
        with pytest.raises(SelectionError, match=message):
            run(fresh_workspace, "build", "--strategy", name, "--n-cells", "100")
    assert not (fresh_workspace / "manifests").exists()


def test_the_list_names_every_strategy_with_or_without_a_workspace(
    atlas_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = run(atlas_workspace, "strategies").stdout
    assert all(name in listed for name in STRATEGIES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CURATE_HOME", raising=False)
    result = CliRunner().invoke(curate, ["strategies", "--json"])
    assert [card["name"] for card in json.loads(result.stdout)] == list(STRATEGIES)
    with pytest.raises(WorkspaceError):
        run(tmp_path / "nowhere", "strategies")


def test_a_rate_that_a_build_left_is_on_the_card(fresh_workspace: Path) -> None:
    before = json.loads(run(fresh_workspace, "strategies", "show", "reweight", "--json").stdout)
    assert before["cells_per_s"] is None
    run(fresh_workspace, "build", "--strategy", "reweight", "--fraction", "0.1")
    after = json.loads(run(fresh_workspace, "strategies", "show", "reweight", "--json").stdout)
    assert after["cells_per_s"] > 0
    assert "default" not in after["rate_source"]


def test_one_card_shows_its_settings_and_its_paper(atlas_workspace: Path, own: str) -> None:
    shown = run(atlas_workspace, "strategies", "show", "sketch(k=7)").stdout
    assert "10.1016/j.cels.2019.05.003" in shown
    assert re.search(r"--k +7 ", shown)
    mine = run(atlas_workspace, "strategies", "show", own).stdout
    assert "Cells of rare types first" in mine
    assert re.search(r"--power +1.0 ", mine)


def test_strategies_are_compared_as_page_json_csv_and_chart(
    fresh_workspace: Path, own: str, tmp_path: Path
) -> None:
    strategies = f"random,sketch(k=20),{own}"
    arguments = ("strategies", "compare", "--n-cells", "60", "--strategies", strategies, "--seeds", "2")
    files = (tmp_path / "table.csv", tmp_path / "chart.svg")
    before = sorted(fresh_workspace.glob("manifests/**"))
    printed = run(
        fresh_workspace, *arguments, "--json", "--csv", str(files[0]), "--chart", str(files[1])
    ).stdout
    content = json.loads(printed)
    assert [each["outcome"] for each in content["strategies"]] == ["ok"] * 3
    assert content["seeds"] == [0, 1]
    assert sorted(fresh_workspace.glob("manifests/**")) == before
    table = pl.read_csv(files[0])
    assert set(table["seed"].drop_nulls()) == {0, 1}
    bits = table.filter(pl.col("strategy") == "random", pl.col("measure") == "shannon")["value"]
    assert bits.mean() == pytest.approx(content["strategies"][0]["measures"]["shannon"])
    assert "Jaccard" in files[1].read_text()


def test_without_an_embedding_it_is_said_what_is_not_measured(fresh_workspace: Path) -> None:
    shutil.rmtree(fresh_workspace / "corpora" / "demo" / "embeddings")
    arguments = ("strategies", "compare", "--fraction", "0.1", "--strategies", "random,sketch")
    result = run(fresh_workspace, *arguments)
    assert "no embedding 'pca': no coverage and no Vendi score" in result.stderr
    assert "skipped" in result.stdout
    assert "needs an embedding" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give one of --fraction and --n-cells"),
        (("--fraction", "0.1", "--n-cells", "10"), "give one of --fraction and --n-cells"),
        (("--fraction", "0.1", "--chart", "x.gif"), "ends in none of .png, .svg, .html"),
        (("--fraction", "0.1", "--strategies", "rendom"), "did you mean 'random'"),
        (("--fraction", "0.1", "--seed", "1,1"), "1 is given twice"),
        (("--fraction", "0.1", "--seed", "1", "--seeds", "2"), "give one of them"),
    ],
)
def test_wrong_usage_of_compare_exits_with_2(
    arguments: tuple[str, ...], message: str, atlas_workspace: Path
) -> None:
    result = run(atlas_workspace, "strategies", "compare", *arguments, status=2)
    assert message in " ".join(result.output.split())
