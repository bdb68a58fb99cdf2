"""Measuring manifests of chosen rows: which cells count, and against what."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import polars as pl
import pytest

from curate.build.diversity.measure import measure_diversity
from curate.build.diversity.page import notices
from curate.build.diversity.report import DiversitySettings
from curate.errors import ManifestError
from curate.manifests.document import SpikeInRecord
from tests.manifests.conftest import ROWS, cells_of, split_of

if TYPE_CHECKING:
    from curate.corpus import Corpus
    from tests.manifests.conftest import Write


def test_the_cells_of_the_split_are_counted(write: Write, corpus: Corpus) -> None:
    manifest = write()
    types = corpus.columns(["cell_type"])["cell_type"].to_list()
    for split in ("train", "val", None):
        expected = Counter(types[row] for row in ROWS if split in (None, split_of(row)))
        report = measure_diversity([manifest], DiversitySettings(split=split, has_corpus=False))
        (held,) = report.sets
        assert held.n_cells == expected.total()
        assert held.labels["cell_type"].n_labels == len(expected)
        assert held.labels["cell_type"].rarefied == pytest.approx(len(expected))
        shares = [n / expected.total() for n in expected.values()]
        assert held.labels["cell_type"].inverse_simpson == pytest.approx(1 / sum(p * p for p in shares))


def test_rare_labels_are_those_of_the_corpus(write: Write, corpus: Corpus) -> None:
    counts = dict(corpus.value_counts("cell_type").iter_rows())
    rarest = min(counts.values())
    settings = DiversitySettings(split=None, rare_below=(rarest + 1) / 600, rare_cells=1)
    whole, none = measure_diversity([write(rows=[0])], settings).sets
    n_rare = sum(n == rarest for n in counts.values())
    assert whole.labels["cell_type"].rare.n_rare == n_rare
    assert whole.labels["cell_type"].rare.held_share == 1
    assert none.labels["cell_type"].rare.n_rare == n_rare
    assert none.labels["cell_type"].rare.n_held <= 1


def test_cells_of_spike_ins_are_left_out_and_told(write: Write, corpus: Corpus) -> None:
    screen = pl.DataFrame({"source": ["screen"] * 3, "soma_joinid": [0, 1, 2], "split": ["train"] * 3})
    cells = pl.concat([cells_of(corpus, range(8)), screen])
    spiked = write("spiked", cells=cells, spike_ins=[SpikeInRecord(source="screen", id="1" * 64)])
    plain = write("plain", range(8))
    report = measure_diversity([spiked, plain], DiversitySettings(split=None))
    assert report.sets[1].labels == report.sets[2].labels
    assert [held.n_elsewhere for held in report.sets] == [0, 3, 0]
    assert notices(report) == ["spiked@v1: 3 cells of other sources than the corpus left out"]


def test_what_is_told_of_many_manifests_is_one_line(write: Write, corpus: Corpus) -> None:
    spiked = []
    for n in (3, 4, 5, 6):
        rows = list(range(n))
        screen = pl.DataFrame({"source": ["screen"] * n, "soma_joinid": rows, "split": ["train"] * n})
        cells = pl.concat([cells_of(corpus, range(8)), screen])
        spiked.append(write(f"m{n}", cells=cells, spike_ins=[SpikeInRecord(source="screen", id="1" * 64)]))
    assert notices(measure_diversity(spiked, DiversitySettings(split=None))) == [
        "4 manifests, m3@v1 the first: 3 to 6 cells of other sources than the corpus left out"
    ]


def test_no_manifest_is_an_error() -> None:
    with pytest.raises(ManifestError, match="no manifest to measure; name one or more"):
        measure_diversity([], DiversitySettings())
