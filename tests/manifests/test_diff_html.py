"""A diff as a page of HTML: it says what the diff says, holds all it needs, and charts show what moved."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from curate.cli import curate
from curate.errors import WriteError
from curate.manifests.diff import diff
from curate.manifests.diff_chart import composition_chart, largest, overlap_chart
from curate.manifests.diff_html import diff_html, write_html
from curate.manifests.document import ExclusionRecord, SelectionRecord

if TYPE_CHECKING:
    from pathlib import Path

    from curate.corpus import Corpus
    from curate.manifests.diff import ManifestDiff
    from curate.workspace import Workspace
    from tests.manifests.conftest import Write


class Page(HTMLParser):
    """What a page says outside of its charts, and whether its elements close."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.heads: list[str] = []
        self.n_charts = 0
        self.feed(re.sub(r"<svg.*?</svg>", "<svg></svg>", content, flags=re.DOTALL))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.n_charts += tag == "svg"
        if tag != "meta":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "h2":
            self.heads.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        if self.open and self.open[-1] == "h2":
            self.heads[-1] += data


@pytest.fixture
def pair(write: Write) -> ManifestDiff:
    a = write("a", range(0, 400, 4))
    b = write(
        "b",
        range(200, 600, 2),
        selection=SelectionRecord(strategy="sketch", seed=3, parameters={"k": 40}, where="sex < 'n'"),
        exclusions=[
            ExclusionRecord(reason="evaluation overlap", n_cells=114, parameters={"evaluation": "c" * 64})
        ],
    )
    return diff(a, b)


def data_of(spec: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Return the rows of every data set of a chart, in the order of the document."""
    named: dict[str, list[dict[str, Any]]] = spec.get("datasets", {})
    found: list[list[dict[str, Any]]] = []

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(data := node.get("data"), dict):
                found.append(data["values"] if "values" in data else named[data["name"]])
            for key, child in node.items():
                if key not in ("data", "datasets"):
                    walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(spec)
    return found


def test_the_page_says_what_the_diff_says(pair: ManifestDiff) -> None:
    page = Page(diff_html(pair))
    assert page.open == []
    assert page.heads[:4] == [
        "Cells",
        "Settings that differ",
        "Cells left out",
        "Diversity of the training cells",
    ]
    assert page.heads[4:] == [shift.column for shift in pair.composition]
    assert page.n_charts == 1 + len(pair.composition)
    assert pair.cells is not None
    for row in [
        ["only in A", f"{pair.cells.only_a:,}"],
        ["in both", f"{pair.cells.both:,}"],
        ["only in B", f"{pair.cells.only_b:,}"],
        ["selection.strategy", "random", "sketch"],
        ["selection.parameters.k", "none", "40"],
        ["selection.where", "none", "sex < 'n'"],
        ["evaluation overlap evaluation=cccccccccccc", "not asked", "114"],
        ["donors", str(pair.a.n_donors), str(pair.b.n_donors), f"{pair.b.n_donors - pair.a.n_donors:+}"],
    ]:
        assert row in page.rows, row
    assert not [row for row in page.rows if row[0].startswith(("exclusions", "parents"))]
    (shift,) = (each for each in pair.composition if each.column == "cell_type")
    mover = shift.movers[0]
    moved = f"{mover.points:+.2f}"
    assert [row[3:] for row in page.rows if row[0] == mover.label and moved in row] == [
        [moved, mover.fold_shown]
    ]


def test_the_page_holds_all_it_needs_and_escapes_what_it_quotes(pair: ManifestDiff) -> None:
    content = diff_html(pair)
    assert "<script" not in content
    assert "sex &lt; &#x27;n&#x27;" in content
    assert set(re.findall(r"https?://[^\s\"'<>)]+", content)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert not re.search(r"<(link|img|iframe)\b|url\(", content)


def test_tables_are_cut_at_top_and_say_how_many_are_left(pair: ManifestDiff) -> None:
    whole, cut = Page(diff_html(pair, top=100)), Page(diff_html(pair, top=1))
    assert len(cut.rows) < len(whole.rows)
    assert "smaller difference" in diff_html(pair, top=1)
    assert "smaller difference" not in diff_html(pair, top=100)


def test_a_chart_shows_the_largest_labels_of_either_side(pair: ManifestDiff) -> None:
    (shift,) = (each for each in pair.composition if each.column == "cell_type")
    movers = largest(shift, top=2)
    ordered = sorted((max(each.share_a, each.share_b) for each in shift.movers), reverse=True)
    assert [max(each.share_a, each.share_b) for each in movers] == ordered[:2]
    spec = composition_chart(pair, shift, top=2).to_dict()
    rows, drawn = data_of(spec)
    assert [(row["side"], row["cells"]) for row in rows] == [
        (side, n) for each in movers for side, n in (("A", each.n_a), ("B", each.n_b))
    ]
    assert [(row["label"], row["points"]) for row in drawn] == [(m.label, m.points) for m in movers]
    assert "the 2 largest of" in spec["vconcat"][0]["title"]["subtitle"][0]


def test_the_bar_of_shared_cells_adds_up(pair: ManifestDiff) -> None:
    assert pair.cells is not None
    (rows,) = data_of(overlap_chart(pair, pair.cells).to_dict())
    ends = [(row["from"], row["to"]) for row in rows]
    assert ends[0][0] == 0
    assert all(below[1] == above[0] for below, above in pairwise(ends))
    assert ends[-1][1] == pair.cells.only_a + pair.cells.both + pair.cells.only_b


def test_simulated_cells_are_said_on_the_page_and_under_each_chart(write: Write, simulated: Corpus) -> None:
    found = diff(write("a", corpus=simulated), write("b", range(50), corpus=simulated))
    content = diff_html(found)
    assert "simulated data, no real cells: corpus all" in content
    assert content.count(">Corpus all · simulated data, no real cells<") == 1 + len(found.composition)


def test_equal_manifests_and_cells_that_cannot_be_compared_are_said(write: Write) -> None:
    same = write("a", range(50))
    page = diff_html(diff(same, same))
    assert "the same content: both have the id" in page
    assert "nothing is enriched in B" in page
    assert Page(page).heads[1] == "Settings that differ"


def test_the_command_writes_a_page_and_nothing_else(
    write: Write, workspace: Workspace, tmp_path: Path
) -> None:
    write("a", range(50))
    write("b", range(30, 80))
    arguments = ["-C", str(workspace.root), "diff", "a", "b", "--column", "cell_type", "--column", "nnz"]
    result = CliRunner().invoke(
        curate, [*arguments, "--html", str(tmp_path / "d.html")], catch_exceptions=False
    )
    assert result.output == f"wrote {tmp_path / 'd.html'}\n"
    page = Page((tmp_path / "d.html").read_text())
    assert page.heads[-2:] == ["cell_type", "nnz"]
    assert [row[0] for row in page.rows][-8:] == [
        *("least", "5%", "25%", "median", "75%", "95%", "most"),
        "cells without a value",
    ]
    for wrong, message in [
        (["--html", str(tmp_path / "d.txt")], "does not end in .html"),
        (["--html", str(tmp_path / "d.html"), "--json"], "--json prints, --html writes a page"),
    ]:
        refused = CliRunner().invoke(curate, [*arguments, *wrong])
        assert refused.exit_code == 2
        assert message in refused.output


def test_without_the_extra_it_is_said_what_to_install(
    pair: ManifestDiff, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.charts.find_spec", lambda name: None)
    with pytest.raises(WriteError, match=r"pip install 'cellcurate\[report\]'"):
        write_html(pair, tmp_path / "d.html")
    assert not (tmp_path / "d.html").exists()
