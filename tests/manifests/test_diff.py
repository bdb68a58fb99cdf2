"""diff: against a case computed by hand, scipy and sets."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp

from curate.errors import CorpusError, ManifestError
from curate.manifests.cells_diff import paired_splits
from curate.manifests.diff import diff, jensen_shannon_bits, shift
from curate.manifests.document import SelectionRecord, SpikeInRecord, SplitRecord
from curate.manifests.manifest import Manifest
from curate.quantiles import quantiles
from curate.workspace import Workspace
from tests.manifests.conftest import apart, cells_of, of_census

if TYPE_CHECKING:
    from curate.corpus import Corpus
    from tests.manifests.conftest import Write


def test_a_shift_computed_by_hand() -> None:
    # A: 6 T cells, 2 B cells of 8. B: 3 T cells, 1 NK cell of 4.
    # p = (3/4, 1/4, 0), q = (3/4, 0, 1/4), m = (3/4, 1/8, 1/8):
    # JSD = H(m) - (H(p) + H(q)) / 2 = (0.311278 + 2 · 3/8) - 0.811278 = 0.25 bits
    moved = shift("cell_type", {"T": 6, "B": 2}, {"T": 3, "NK": 1}, n_a=8, n_b=4)
    assert moved.jensen_shannon_bits == pytest.approx(0.25)
    assert (moved.n_labels_a, moved.n_labels_b, moved.multivalued) == (2, 2, False)
    rows = [(m.label, m.n_a, m.n_b, m.share_a, m.share_b, m.points, m.fold) for m in moved.movers]
    assert rows == [
        ("B", 2, 0, 0.25, 0.0, -25.0, 0.0),
        ("NK", 0, 1, 0.0, 0.25, 25.0, None),
        ("T", 6, 3, 0.75, 0.75, 0.0, 1.0),
    ]


def test_shares_of_cells_with_several_labels_are_of_cells() -> None:
    moved = shift("disease", {"x": 4, "y": 2}, {"x": 4}, n_a=4, n_b=4)
    assert moved.multivalued
    assert [(mover.label, mover.share_a, mover.points) for mover in moved.movers] == [
        ("y", 0.5, -50),
        ("x", 1, 0),
    ]


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=20))
def test_the_divergence_is_scipys(pairs: list[tuple[int, int]]) -> None:
    p, q = np.array(pairs, dtype=float).T
    if p.sum() == 0 or q.sum() == 0:
        return
    counts = [{f"label {i}": int(n) for i, n in enumerate(side) if n} for side in (p, q)]
    expected = jensenshannon(p / p.sum(), q / q.sum(), base=2) ** 2
    assert jensen_shannon_bits(*counts) == pytest.approx(0 if math.isnan(expected) else expected, abs=1e-9)


def test_the_divergence_is_0_of_equals_and_1_of_strangers() -> None:
    assert jensen_shannon_bits({"a": 1, "b": 2}, {"a": 2, "b": 4}) == pytest.approx(0, abs=1e-12)
    assert jensen_shannon_bits({"a": 1, "b": 2}, {"c": 7}) == pytest.approx(1)


def test_cells_are_counted_as_sets_would(write: Write) -> None:
    a, b = range(0, 600, 4), range(0, 600, 6)
    found = diff(write("a", a), write("b", b)).cells
    assert found is not None
    assert found.compared_by == "soma_joinid"
    assert (found.only_a, found.only_b, found.both) == (100, 50, 50)
    assert found.jaccard == pytest.approx(50 / 200)
    assert found.n_split_differs == 0
    assert found.split_changes == {}


@given(st.sets(st.integers(0, 599), min_size=1), st.sets(st.integers(0, 599), min_size=1))
def test_any_two_sets_of_cells(a: set[int], b: set[int]) -> None:
    of_a, of_b = (np.array(sorted(rows)) for rows in (a, b))
    splits_a, splits_b = ((rows % 3).astype(np.uint8) for rows in (of_a, of_b + 1))
    pairs = paired_splits(of_a, splits_a, of_b, splits_b)
    assert pairs.sum() == len(a & b)
    expected = np.zeros((3, 3), dtype=int)
    for row in a & b:
        expected[row % 3, (row + 1) % 3] += 1
    np.testing.assert_array_equal(pairs, expected)


def test_cells_whose_split_differs_are_counted_by_change(write: Write, corpus: Corpus) -> None:
    rows = [8, 9, 10, 11, 16]  # test, the rest train
    cells = cells_of(corpus, rows).with_columns(
        split=pl.Series(["train", "train", "val", "val", "test"]), source=pl.lit("census")
    )
    a = write("a", cells=cells_of(corpus, rows).with_columns(split=pl.lit("train")))
    found = diff(a, write("b", cells=cells)).cells
    assert found is not None
    assert found.n_split_differs == 3
    assert list(found.split_changes.items()) == [("train → val", 2), ("train → test", 1)]


def test_settings_that_differ_are_named(write: Write) -> None:
    a = write("a", [1, 2, 3])
    b = write(
        "b",
        [1, 2, 3],
        selection=SelectionRecord(
            strategy="sketch", parameters={"k": 7}, seed=0, embedding="pca", fraction=0.1
        ),
        splits=SplitRecord(seed=1),
    )
    changes = {change.name: (change.a, change.b) for change in diff(a, b).settings}
    assert changes == {
        "selection.strategy": ("random", "sketch"),
        "selection.parameters.k": (None, 7),
        "selection.embedding": (None, "pca"),
        "splits.seed": (0, 1),
    }


def test_a_manifest_does_not_differ_from_itself(write: Write) -> None:
    found = diff(write(), write())
    assert found.same
    assert found.settings == ()
    assert found.notes == ()
    assert found.cells is not None
    assert (found.cells.jaccard, found.cells.only_a, found.cells.only_b) == (1.0, 0, 0)
    assert {moved.jensen_shannon_bits for moved in found.composition} == {0.0}


def test_compositions_are_those_of_the_headers(write: Write) -> None:
    # cells 0-249 are of dataset-a, 450-599 of dataset-c
    found = diff(write("a", range(100)), write("b", [*range(50), *range(500, 550)]))
    columns = {moved.column: moved for moved in found.composition}
    assert list(columns) == ["cell_type", "tissue_general", "assay", "disease", "dataset_id"]
    movers = {mover.label: mover.points for mover in columns["dataset_id"].movers}
    assert movers == {"dataset-a": -50.0, "dataset-c": 50.0}
    assert (found.a.n_cells, found.b.n_cells) == (100, 100)
    assert found.a.diversity["cell_type"]["shannon_bits"] > 0


def test_another_column_is_read_from_the_corpus(write: Write) -> None:
    a, b = write("a", range(40)), write("b", range(20, 60))
    (moved,) = diff(a, b, columns=["sex"]).composition
    # sex changes every 40 rows: 40 female; 20 female and 20 male
    assert {mover.label: (mover.n_a, mover.n_b) for mover in moved.movers} == {
        "female": (40, 20),
        "male": (0, 20),
    }
    (truth,) = diff(a, b, columns=["is_primary_data"]).composition
    assert [(mover.label, mover.n_a) for mover in truth.movers] == [("true", 40)]


def test_a_column_that_cannot_be_compared_is_said(write: Write, tmp_path: Path) -> None:
    a, b = write("a", range(40)), write("b", range(20, 60))
    with pytest.raises(CorpusError, match="no column 'sexx'"):
        diff(a, b, columns=["sexx"])
    with pytest.raises(ManifestError, match="is not at hand"):
        diff(apart(a, tmp_path / "copy"), b, columns=["sex"])


def test_numbers_are_compared_by_quantiles_and_their_distance(write: Write, corpus: Corpus) -> None:
    a, b = write("a", range(40)), write("b", range(20, 200, 3))
    found = diff(a, b, columns=["nnz", "sex", "raw_sum"])
    assert [moved.column for moved in found.composition] == ["sex"]
    assert [moved.column for moved in found.numbers] == ["nnz", "raw_sum"]
    sums = found.numbers[1]
    values = corpus.columns(["raw_sum"])["raw_sum"].to_numpy()
    of_a, of_b = values[:40], values[20:200:3]
    assert sums.quantiles_a == quantiles(of_a)
    assert sums.quantiles_b == quantiles(of_b)
    assert sums.kolmogorov_smirnov == pytest.approx(ks_2samp(of_a, of_b).statistic)
    assert (sums.n_missing_a, sums.n_missing_b) == (0, 0)
    content = json.loads(json.dumps(found.to_json(top=1), allow_nan=False))
    assert content["numbers"][1]["quantiles_a"]["least"] == values[:40].min()


def test_spike_ins_have_no_numbers_and_are_counted(write: Write, corpus: Corpus) -> None:
    screen = pl.DataFrame({"source": ["screen"] * 2, "soma_joinid": [0, 1], "split": ["train"] * 2})
    cells = pl.concat([cells_of(corpus, range(8)), screen])
    spiked = write("spiked", cells=cells, spike_ins=[SpikeInRecord(source="screen", id="1" * 64)])
    (moved,) = diff(write("plain", range(8)), spiked, columns=["nnz"]).numbers
    assert (moved.n_missing_a, moved.n_missing_b) == (0, 2)
    assert moved.quantiles_a == moved.quantiles_b
    assert moved.kolmogorov_smirnov == 0


def test_two_corpora_are_compared_by_identity_and_it_is_said(
    write: Write, workspace: Workspace, corpus: Corpus
) -> None:
    primary = workspace.corpus("primary")
    a = write("a", range(600))
    b = of_census(write("b", range(primary.n_cells), corpus=primary), "another")
    found = diff(a, b)
    (note,) = found.notes
    assert "two corpora, all (" in note
    assert "of two Censuses: soma_joinids of one mean nothing in the other" in note
    assert "cells are compared by identity (dataset_id+observation_joinid)" in note
    assert found.cells is not None
    assert found.cells.compared_by == "identity"
    assert (found.cells.only_a, found.cells.only_b, found.cells.both) == (
        600 - primary.n_cells,
        0,
        primary.n_cells,
    )
    # The split is by row, and rows of the two corpora part ways after the first cell dropped.
    expected = (
        a.cells().join(b.cells(), on="soma_joinid").select((pl.col("split") != pl.col("split_right")).sum())
    )
    assert found.cells.n_split_differs == expected.item() > 0


def test_identities_in_another_order_than_joinids_are_matched(write: Write, workspace: Workspace) -> None:
    primary = workspace.corpus("primary")
    joinids = {int(j): row for row, j in enumerate(primary.joinids())}
    shared = [joinid for joinid in range(0, 600, 9) if joinid in joinids]
    a, b = write("a", shared), write("b", [joinids[joinid] for joinid in shared], corpus=primary)
    found = diff(a, of_census(b, "another")).cells
    assert found is not None
    assert found.compared_by == "identity"
    assert (found.both, found.only_a, found.only_b) == (len(shared), 0, 0)


def test_two_corpora_of_one_census_are_compared_by_joinid_without_them(
    write: Write, workspace: Workspace, tmp_path: Path
) -> None:
    a = write("a", range(600))
    b = write("b", range(300), corpus=workspace.corpus("primary"))
    copies = [apart(manifest, tmp_path / manifest.name) for manifest in (a, b)]
    found = diff(*copies)
    (note,) = found.notes
    assert "two corpora of one Census (release 2026-01-31), all (" in note
    assert found.cells is not None
    assert (found.cells.compared_by, found.cells.both, found.cells.only_b) == ("soma_joinid", 300, 0)
    # Manifests from before the record named the Census: the corpora know it.
    older = [
        of_census(manifest, "", census=None, identity="release+soma_joinid")
        for manifest in (a, replace(b, known_corpus=workspace.corpus("primary")))
    ]
    assert diff(*older).cells == found.cells
    assert diff(*(of_census(copy, "", census=None) for copy in copies)).cells is None


@pytest.mark.parametrize("changes", [{"organism": "mus_musculus"}, {"release": "2025-01-31"}])
def test_joinids_of_another_organism_or_release_are_other_cells(
    write: Write, workspace: Workspace, tmp_path: Path, changes: dict[str, str]
) -> None:
    a = write("a", range(10))
    b = apart(write("b", range(10), corpus=workspace.corpus("primary")), tmp_path / "b")
    content = str(b.document.corpus.census)
    assert diff(a, b).cells is not None
    assert diff(a, of_census(b, content, **changes)).cells is None


def test_portable_copies_are_compared_by_what_they_hold(
    write: Write, workspace: Workspace, tmp_path: Path
) -> None:
    primary = workspace.corpus("primary")
    a, b = write("a", range(0, 600, 2)), write("b", range(0, 570, 5), corpus=primary)
    expected = len(set(a.cells()["soma_joinid"]) & set(b.cells()["soma_joinid"]))
    portable = [apart(manifest, tmp_path / manifest.name, portable=True) for manifest in (a, b)]
    other = of_census(portable[1], "another")
    for one in (portable[0], a):
        found = diff(one, other)
        assert found.cells is not None
        assert (found.cells.compared_by, found.cells.both) == ("identity", expected)
        assert "compared by identity (dataset_id+observation_joinid)" in found.notes[0]
    assert 0 < expected < len(b.cells())


def test_a_portable_copy_with_spike_ins_is_compared_by_its_own_cells(
    write: Write, workspace: Workspace, corpus: Corpus, tmp_path: Path
) -> None:
    screen = pl.DataFrame({"source": ["aaa"] * 2, "soma_joinid": [0, 1], "split": ["train"] * 2})
    cells = pl.concat([cells_of(corpus, range(8)), screen])
    spiked = write("spiked", cells=cells, spike_ins=[SpikeInRecord(source="aaa", id="1" * 64)])
    copy = of_census(apart(spiked, tmp_path / "spiked", portable=True), "another", id="1" * 64)
    found = diff(write("plain", range(4, 12)), copy).cells
    assert found is not None
    assert (found.both, found.only_a, found.only_b) == (4, 4, 6)


def test_a_manifest_named_by_its_path_finds_the_corpus_of_its_workspace(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = write("a", range(10))
    elsewhere = Workspace.create(tmp_path / "elsewhere")
    monkeypatch.chdir(elsewhere.root)
    opened = Manifest.load(manifest.folder)
    assert opened.workspace == elsewhere
    assert opened.corpus().id == manifest.document.corpus.id
    assert diff(opened, manifest, columns=["sex"]).composition[0].jensen_shannon_bits == 0
    (tmp_path / "workspace" / "curate.toml").write_text("[")
    assert Manifest.load(manifest.folder).find_corpus() is None


def test_without_both_corpora_cells_are_not_compared_and_it_is_said(
    write: Write, workspace: Workspace, tmp_path: Path
) -> None:
    a = write("a", range(10))
    b = write("b", range(10), corpus=workspace.corpus("primary"))
    found = diff(a, of_census(apart(b, tmp_path / "b"), "another"))
    assert found.cells is None
    assert "cells are not compared: corpus 'primary' is not at hand" in found.notes[0]
    assert found.composition


@pytest.mark.parametrize(
    ("changes_a", "changes_b", "reason"),
    [
        (
            {"identity": "release+soma_joinid"},
            {},
            r"one names its cells by release\+soma_joinid, the other by dataset_id\+observation_joinid",
        ),
        (
            {"identity": "release+soma_joinid", "release": "2023-05-15"},
            {"identity": "release+soma_joinid", "release": "2023-12-15"},
            r"release\+soma_joinid holds inside one release, and these are 2023-05-15 and 2023-12-15",
        ),
        (
            {"identity": "release+soma_joinid", "organism": "mus_musculus"},
            {"identity": "release+soma_joinid"},
            r"release\+soma_joinid holds inside one Census and organism",
        ),
    ],
)
def test_identities_of_two_kinds_or_releases_are_not_compared(
    write: Write,
    workspace: Workspace,
    changes_a: dict[str, str],
    changes_b: dict[str, str],
    reason: str,
) -> None:
    a = of_census(write("a", range(10)), "one", **changes_a)
    b = of_census(write("b", range(10), corpus=workspace.corpus("primary")), "another", **changes_b)
    found = diff(a, b)
    assert found.cells is None
    assert re.search(reason, found.notes[0])


def test_spike_ins_are_the_same_cells_only_when_their_source_is(write: Write, corpus: Corpus) -> None:
    screen = pl.DataFrame({"source": ["screen"] * 2, "soma_joinid": [0, 1], "split": ["train"] * 2})
    cells = pl.concat([cells_of(corpus, range(8)), screen])

    def spiked(name: str, fingerprint: str) -> Manifest:
        return write(name, cells=cells, spike_ins=[SpikeInRecord(source="screen", id=fingerprint * 64)])

    plain, one, same, other = (
        write("plain", range(8)),
        spiked("one", "1"),
        spiked("same", "1"),
        spiked("other", "2"),
    )
    for manifest, expected in [(same, (0, 0, 10)), (other, (2, 2, 8)), (plain, (2, 0, 8))]:
        found = diff(one, manifest).cells
        assert found is not None
        assert (found.only_a, found.only_b, found.both) == expected
    (source, *_) = diff(plain, one).composition
    assert source.column == "source"
    assert {mover.label: (mover.n_a, mover.n_b) for mover in source.movers} == {
        "census": (8, 8),
        "screen": (0, 2),
    }


def test_a_diff_is_json(write: Write) -> None:
    found = diff(write("a", range(100)), write("b", range(300, 600)))
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert content["cells"]["jaccard"] == 0
    assert content["same"] is False
    assert [len(column["movers"]) for column in content["composition"]][-1] == 3
    assert [len(column["movers"]) for column in found.to_json(top=1)["composition"]] == [1] * 5


def test_damaged_cells_are_not_compared(write: Write) -> None:
    a, b = write("a", range(10)), write("b", range(20))
    path = Path(b.folder, "cells.parquet")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ManifestError, match=r"cells\.parquet is damaged"):
        diff(a, Manifest.open(b.folder))
