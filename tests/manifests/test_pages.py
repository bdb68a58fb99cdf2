"""The pages in the terminal say what the header says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from curate.manifests.diff import diff
from curate.manifests.diff_page import diff_page
from curate.manifests.document import (
    ExclusionRecord,
    ParentRecord,
    SelectionRecord,
    SplitRecord,
)
from curate.manifests.page import bar, page, percent
from curate.manifests.page import simulated as simulated_line
from curate.wording import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

    from curate.corpus import Corpus
    from tests.manifests.conftest import Write


def lines(renderable: RenderableType) -> list[str]:
    console = Console(width=110, markup=False, highlight=False, force_terminal=False)
    with console.capture() as capture:
        console.print(renderable)
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_a_page_says_what_was_selected_from_what(write: Write) -> None:
    manifest = write(
        selection=SelectionRecord(
            strategy="sketch",
            parameters={"k": "auto", "by": ["cell_type"]},
            seed=3,
            fraction=0.1,
            where="sex == 'male'",
            embedding="e" * 64,
            n_available=300,
            notes={"n_boxes": 1200},
        ),
        splits=SplitRecord(seed=5),
        exclusions=[
            ExclusionRecord(reason="in an evaluation set", n_cells=12, parameters={"against": "kang"})
        ],
        parents=[ParentRecord(id="1" * 64, relation="base", ref="random@v2")],
    )
    shown = lines(page(manifest.document, tags=["paper"]))
    assert shown[0] == "random-0.1-s0@v1"
    for line in [
        f"id {manifest.id}",
        f"corpus all ({manifest.document.corpus.id[:12]}), 600 cells, recipe all",
        "census 2026-01-31, homo_sapiens, 120 genes",
        "strategy sketch k=auto by=cell_type",
        "cells 86 of 300 (28.67 %)",
        "donors 12",
        "splits by cell, 80/10/10: train 64, val 11, test 11",
        "tags paper",
        "fraction 0.1",
        "seed 3, of the splits 5",
        "where sex == 'male'",
        "embedding eeeeeeeeeeee",
        "notes n_boxes=1,200",
        "excluded 12 cells: in an evaluation set against=kang",
        "parent base random@v2 (111111111111)",
        "dataset-a 36 41.86 % ████████████████████",
        "* a cell labelled 'A || B' counts for both: shares may add to more than 1",
    ]:
        assert line in shown


def test_a_page_fits_a_terminal_of_80_columns(write: Write) -> None:
    manifest = write()
    labels = {f"{name} of a length that no column can hold in one line": 43 for name in ("one", "another")}
    composition = manifest.document.composition | {"cell_type": labels}
    document = manifest.document.model_copy(update={"composition": composition})
    console = Console(width=80, markup=False, highlight=False, force_terminal=False)
    with console.capture() as capture:
        console.print(page(document))
    shown = capture.get().splitlines()
    (line,) = [line for line in shown if line.startswith("another of a length")]
    assert line.split()[-4:-1] == ["43", "50.00", "%"]
    assert len(line) <= 80
    assert any(
        line.split() == ["diversity", "labels", "Shannon", "bits", "inverse", "Simpson", "Gini-Simpson"]
        for line in shown
    )


def test_labels_past_the_top_are_summed(write: Write) -> None:
    shown = lines(page(write().document, top=1))
    assert "dataset-a 36 41.86 % ████████████████████" in shown
    assert "2 more 50 58.14 %" in shown


@pytest.mark.parametrize(
    ("share", "expected"), [(1.0, "████"), (0.5, "██"), (0.03125, "▏"), (0.0, ""), (0.53, "██▏")]
)
def test_a_bar_is_as_long_as_its_share(share: float, expected: str) -> None:
    assert bar(share, 1.0, width=4) == expected


@pytest.mark.parametrize(
    ("share", "expected"), [(0, "0.00 %"), (1e-6, "<0.01 %"), (0.00012, "0.01 %"), (1, "100.00 %")]
)
def test_a_small_share_is_not_shown_as_none(share: float, expected: str) -> None:
    assert percent(share) == expected


def test_a_diff_page_says_what_moved(write: Write) -> None:
    a, b = write("a", range(100)), write("b", [*range(50), *range(500, 550)])
    shown = lines(diff_page(diff(a, b)))
    assert shown[0] == "A a@v1 → B b@v1"
    for line in ["only in A 50", "only in B 50", "in both 50", "Jaccard 0.3333"]:
        assert line in shown
    assert "dataset-a 100.00 % 50.00 % -50.00 0.50x" in shown
    assert "dataset-c 0.00 % 50.00 % +50.00 new" in shown
    assert "Jensen-Shannon 0.3113 bits; 1 → 2 labels; all differences shown" in shown
    back = lines(diff_page(diff(b, a), top=1))
    assert "dataset-c 50.00 % 0.00 % -50.00 gone" not in back
    assert "Jensen-Shannon 0.3113 bits; 2 → 1 labels; 1 smaller difference not shown" in back


def test_a_diff_page_says_the_settings_and_splits_that_differ(write: Write) -> None:
    a = write("a", range(100))
    b = write(
        "b",
        range(1, 101),
        selection=SelectionRecord(strategy="sketch", embedding="e" * 64, fraction=0.1, seed=0),
    )
    shown = lines(diff_page(diff(a, b)))
    assert "selection.strategy random sketch" in shown
    assert "selection.embedding none eeeeeeeeeeee" in shown
    assert not any("another split" in line for line in shown)


def test_simulated_data_is_said_on_every_page(write: Write, simulated: Corpus) -> None:
    plain, one = write("plain", [1]), write("one", [1], corpus=simulated)
    assert one.id == plain.id
    assert "label Simulated by hand: 600 cells" in lines(page(one.document))
    both = diff(one, write("two", [2], corpus=simulated))
    assert both.a.label == "Simulated by hand: 600 cells"
    assert "A and B: all, Simulated by hand: 600 cells" in lines(diff_page(both))
    mixed = lines(diff_page(diff(plain, one)))
    assert mixed[1:3] == ["A: all, coordinates", "B: all, Simulated by hand: 600 cells"]


def test_which_corpora_are_simulated_is_one_line() -> None:
    assert simulated_line({"real": "coordinates", "old": None}) == ""
    assert (
        simulated_line({"real": None, "a": "Simulated: 5 cells", "b": "a simulated one"})
        == "simulated data, no real cells: corpus a, b"
    )


def test_a_number_of_things_is_in_the_plural_unless_it_is_one(write: Write) -> None:
    assert [counted(n, "label") for n in (0, 1, 1200)] == ["0 labels", "1 label", "1,200 labels"]
    page_of_one = lines(page(write(rows=[1]).document))
    assert any(line.endswith("cells share 1 label") for line in page_of_one)


def test_a_diff_page_shows_quantiles_side_by_side(write: Write, corpus: Corpus) -> None:
    a, b = write("a", range(40)), write("b", range(20, 200, 3))
    shown_lines = lines(diff_page(diff(a, b, columns=["raw_sum"])))
    sums = corpus.columns(["raw_sum"])["raw_sum"].to_numpy().astype(float)
    least = [int(side.min()) for side in (sums[:40], sums[20:200:3])]
    assert f"least {least[0]:,} {least[1]:,} {least[1] - least[0]:,}" in shown_lines
    assert "raw_sum A B B - A" in shown_lines
    (distance,) = [line for line in shown_lines if line.startswith("Kolmogorov-Smirnov ")]
    assert 0 < float(distance.split()[1]) < 1


def test_a_diff_page_of_the_same_content_says_so(write: Write) -> None:
    shown = lines(diff_page(diff(write("a"), write("b"))))
    assert f"the same content: both have the id {write('a').id[:12]}" in shown
    assert any("no share differs" in line for line in shown)
