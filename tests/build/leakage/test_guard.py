"""The guard on a small store: every way a cell can come back, exclusions, what is kept, bad input."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.build.build import build
from curate.build.leakage import scan as scanning
from curate.build.leakage.compared import CorpusCells
from curate.build.leakage.guard import (
    CELL_METHODS,
    METHODS,
    find_overlap,
    overlap_exclusions,
    read_evaluation,
)
from curate.build.leakage.report import leakage
from curate.errors import BusyError, LeakageError, SelectionError, SourceError
from curate.manifests.document import CENSUS
from curate.manifests.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from curate.build.leakage.guard import Method, Overlap
    from curate.corpus import Corpus
    from curate.manifests.manifest import Manifest

    WriteEvaluation = Callable[..., Path]
    Counts = NDArray[np.float32]

COPIED = np.r_[10:50, 310:340]


def strangers(n: int) -> Counts:
    rng = np.random.default_rng(77)
    profiles = np.exp(rng.normal(-1.8, 1.2, (3, 400)))
    return rng.poisson(profiles[rng.integers(3, size=n)]).astype(np.float32)


def with_strangers(cells: Counts) -> Counts:
    return np.vstack([cells, strangers(100)[:, : cells.shape[1]]])


def found_in(corpus: Corpus, path: Path, by: Sequence[Method] = CELL_METHODS) -> Overlap:
    with corpus.open_census() as census:
        evaluation = read_evaluation(corpus, path, census=census)
        return find_overlap(CorpusCells(corpus, census), evaluation, by=by)


def rows_of(overlap: Overlap, method: Method) -> list[int]:
    return np.flatnonzero(overlap.same[method].cells).tolist()


def everything(corpus: Corpus, folder: Path) -> Manifest:
    (manifest,) = build(corpus, registry=Registry(folder), strategy="random", fraction=1)
    return manifest


def test_equal_counts_are_found_by_exact_and_near_under_other_names(
    leak_corpus: Corpus, leak_counts: Counts, write_evaluation: WriteEvaluation
) -> None:
    overlap = found_in(leak_corpus, write_evaluation(with_strangers(leak_counts[COPIED])))
    assert rows_of(overlap, "exact") == COPIED.tolist()
    assert rows_of(overlap, "near") == COPIED.tolist()
    assert np.flatnonzero(overlap.same["near"].evaluation).tolist() == list(range(len(COPIED)))
    assert overlap.same["joinid"].why_not == "it has no obs column observation_joinid and no dataset_id"


def test_normalised_values_are_turned_into_counts_again(
    leak_corpus: Corpus, leak_counts: Counts, write_evaluation: WriteEvaluation
) -> None:
    cells = with_strangers(leak_counts[COPIED])
    logged = np.log1p(cells / cells.sum(axis=1, keepdims=True) * 1e4)
    overlap = found_in(leak_corpus, write_evaluation(logged))
    assert overlap.evaluation.was_normalised
    assert rows_of(overlap, "exact") == COPIED.tolist()


@pytest.mark.parametrize("seed", range(3))
def test_thinned_cells_are_found_by_near_only(
    leak_corpus: Corpus, leak_counts: Counts, write_evaluation: WriteEvaluation, seed: int
) -> None:
    thinned = np.random.default_rng(seed).binomial(leak_counts[COPIED].astype(np.int64), 0.8)
    overlap = found_in(leak_corpus, write_evaluation(with_strangers(thinned.astype(np.float32))))
    assert rows_of(overlap, "exact") == []
    found = rows_of(overlap, "near")
    assert set(found) <= set(COPIED.tolist())
    assert len(found) >= 0.95 * len(COPIED)


def test_cells_with_other_genes_beside_are_compared_over_the_shared_ones(
    leak_corpus: Corpus, leak_counts: Counts, write_evaluation: WriteEvaluation
) -> None:
    kept = np.sort(np.random.default_rng(0).choice(400, 320, replace=False))
    genes = [f"ENSG{j:011d}" for j in kept] + ["not-a-gene"]
    cells = np.hstack([with_strangers(leak_counts[COPIED])[:, kept], np.ones((len(COPIED) + 100, 1))])
    overlap = found_in(leak_corpus, write_evaluation(cells, genes=genes))
    assert rows_of(overlap, "near") == COPIED.tolist()
    assert overlap.scan is not None
    assert [each.n_genes for each in overlap.scan.gene_sets] == [320, int((kept < 250).sum())]


def test_joinids_and_donors_are_found_in_obs(leak_corpus: Corpus, write_evaluation: WriteEvaluation) -> None:
    obs = {
        "dataset_id": ["a", "b", "a", "elsewhere"],
        "observation_joinid": ["cell-0007", "cell-0007", "cell-0008", "cell-0009"],
        "donor_id": ["donor-1", "unknown", "donor-1", "donor-2"],
    }
    overlap = found_in(leak_corpus, write_evaluation(strangers(4), obs=obs), METHODS)
    assert rows_of(overlap, "joinid") == [7, 8]
    assert overlap.same["joinid"].evaluation.tolist() == [True, False, True, False]
    donors = leak_corpus.columns(["dataset_id", "donor_id"])
    sure = (donors["dataset_id"] == "a") & (donors["donor_id"] == "donor-1")
    possible = ((donors["donor_id"] == "donor-1") & (donors["dataset_id"] == "b")) | (
        donors["donor_id"] == "donor-2"
    )
    assert overlap.same["donor"].cells.tolist() == sure.to_list()
    assert overlap.same["possible-donor"].cells.tolist() == possible.to_list()


def test_cells_of_the_evaluation_set_are_counted_against_the_manifest_not_its_corpus(
    leak_corpus: Corpus, write_evaluation: WriteEvaluation, tmp_path: Path
) -> None:
    obs = {
        "dataset_id": ["a", "a", "b", "elsewhere", "elsewhere"],
        "observation_joinid": ["cell-0007", "cell-0299", "cell-0310", "cell-0009", "cell-0010"],
        "donor_id": ["donor-1", "donor-2", "donor-1", "donor-1", "donor-3"],
    }
    path = write_evaluation(strangers(5), obs=obs)
    # Of these, the manifest has cell-0007 and donor-1 of dataset a alone.
    (manifest,) = build(
        leak_corpus,
        registry=Registry(tmp_path / "registry"),
        strategy="random",
        fraction=1,
        where="dataset_id == 'a' and donor_id == 'donor-1' and soma_joinid < 250",
    )
    (each,) = leakage(manifest, [path], by=["joinid", "donor", "possible-donor"]).evaluations
    held = manifest.document.n_cells
    assert {name: (count.n_cells, count.n_evaluation_cells) for name, count in each.methods.items()} == {
        "joinid": (1, 1),
        "donor": (held, 1),
        # That donor-1 stands under other datasets there adds no cell of the manifest.
        "possible-donor": (0, 0),
    }
    (other,) = build(
        leak_corpus,
        registry=Registry(tmp_path / "registry"),
        strategy="random",
        fraction=1,
        where="dataset_id == 'a' and donor_id == 'donor-3'",
    )
    (each,) = leakage(other, [path], by=["donor", "possible-donor"]).evaluations
    assert each.methods["donor"].n_evaluation_cells == 0
    possible = each.methods["possible-donor"]
    assert (possible.n_cells, possible.n_evaluation_cells) == (other.document.n_cells, 1)


def test_a_store_is_an_evaluation_set_too(leak_corpus: Corpus, leak_store: Path) -> None:
    overlap = found_in(leak_corpus, leak_store, METHODS)
    for method in ("joinid", "donor"):
        assert overlap.same[method].cells.all()
    assert len(overlap.evaluation.groups) == 2
    # Its cells of the second dataset were measured in fewer genes, and are compared over those.
    assert np.mean(overlap.same["near"].cells) > 0.95


def test_a_report_counts_by_split_dataset_and_donor(
    leak_corpus: Corpus, leak_counts: Counts, write_evaluation: WriteEvaluation, tmp_path: Path
) -> None:
    manifest = everything(leak_corpus, tmp_path / "registry")
    path = write_evaluation(with_strangers(leak_counts[COPIED]))
    report = leakage(manifest, [path])
    (each,) = report.evaluations
    assert (report.n_cells, report.n_shared_cells, each.n_shared_cells) == (500, 70, 70)
    assert sum(each.methods["near"].splits.values()) == 70
    split_of = dict(manifest.cells().select("soma_joinid", "split").iter_rows())
    n_train = sum(split_of[row] == "train" for row in COPIED.tolist())
    assert each.methods["exact"].splits["train"] == n_train
    assert each.donors["n_cells"].sum() == 70
    assert dict(each.donors.select("dataset_id", "near").group_by("dataset_id").sum().iter_rows()) == {
        "a": 40,
        "b": 30,
    }
    assert each.pairs.filter("is_exact")["soma_joinid"].to_list() == COPIED.tolist()
    assert each.pairs["evaluation_cell"].to_list()[:2] == ["renamed-0", "renamed-1"]
    assert each.to_json()["methods"]["near"]["n_evaluation_cells"] == 70


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_excluded_is_not_found_afterwards(
    leak_corpus: Corpus, leak_counts: Counts, write_evaluation: WriteEvaluation, data: st.DataObject
) -> None:
    cells = data.draw(st.lists(st.integers(0, 499), min_size=1, max_size=60, unique=True))
    kept = data.draw(st.sampled_from([1.0, 0.9, 0.8]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    counts = rng.binomial(leak_counts[cells].astype(np.int64), kept).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder, leak_corpus.open_census() as census:
        path = write_evaluation(with_strangers(counts))
        evaluation = read_evaluation(leak_corpus, path, census=census)
        (manifest,) = build(
            leak_corpus,
            registry=Registry(Path(folder) / "manifests"),
            strategy="random",
            fraction=1,
            exclusions=overlap_exclusions(leak_corpus, evaluation, census=census),
        )
        report = leakage(manifest, [path])
        assert report.n_shared_cells == 0
        excluded = {record.parameters["by"]: record.n_cells for record in manifest.document.exclusions}
        assert manifest.document.n_cells == 500 - sum(excluded.values())
        chosen = set(manifest.cells()["soma_joinid"].to_list())
        if kept == 1.0:
            assert not chosen & set(cells)
        assert len(chosen & set(cells)) <= 0.1 * len(cells) + 1


def test_exclusions_enter_the_id_and_name_the_content_not_the_path(
    leak_corpus: Corpus, leak_counts: Counts, write_evaluation: WriteEvaluation, tmp_path: Path
) -> None:
    path = write_evaluation(with_strangers(leak_counts[COPIED]))
    told: list[str] = []
    manifests = []
    for name in ("eval.h5ad", "moved.h5ad"):
        path = path.rename(tmp_path / name)
        with leak_corpus.open_census() as census:
            evaluation = read_evaluation(leak_corpus, path, census=census)
            exclusions = overlap_exclusions(leak_corpus, evaluation, census=census, tell=told.append)
            manifests += build(
                leak_corpus,
                registry=Registry(tmp_path / "registry"),
                strategy="random",
                n_cells=100,
                exclusions=exclusions,
            )
    records = manifests[0].document.exclusions
    assert manifests[0].id == manifests[1].id
    assert [(record.reason, record.parameters["by"], record.n_cells) for record in records] == [
        ("evaluation overlap", "exact", 70),
        ("evaluation overlap", "near", 0),
    ]
    assert "eval.h5ad" not in str(records)
    assert told[0].startswith("eval.h5ad was not compared by joinid: it has no obs column")
    (plain,) = build(leak_corpus, registry=Registry(tmp_path / "other"), strategy="random", n_cells=100)
    assert plain.id != manifests[0].id


def test_counts_are_read_once_for_one_evaluation_set(
    leak_corpus: Corpus,
    leak_counts: Counts,
    write_evaluation: WriteEvaluation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write_evaluation(with_strangers(leak_counts[COPIED]))
    first = found_in(leak_corpus, path)

    def fail(*arguments: object) -> None:
        raise AssertionError("the counts were read again")

    monkeypatch.setattr(scanning, "_search", fail)
    again = found_in(leak_corpus, path)
    assert rows_of(again, "near") == rows_of(first, "near")
    write_evaluation(with_strangers(leak_counts[COPIED[1:]]))
    with pytest.raises(AssertionError, match="read again"):
        found_in(leak_corpus, path)


def test_a_scan_that_was_killed_goes_on_where_it_was(
    leak_corpus: Corpus,
    leak_counts: Counts,
    write_evaluation: WriteEvaluation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write_evaluation(with_strangers(leak_counts[COPIED]))
    monkeypatch.setattr(scanning, "PART_CELLS", 64)
    search = scanning._search
    rows_read: list[NDArray[np.int64]] = []

    def killed(matcher, cells, rows, advance):  # type: ignore[no-untyped-def]
        if len(rows_read) == 3:
            raise KeyboardInterrupt
        rows_read.append(rows)
        return search(matcher, cells, rows, advance)

    monkeypatch.setattr(scanning, "_search", killed)
    with pytest.raises(KeyboardInterrupt):
        found_in(leak_corpus, path)
    rows_read.append(np.empty(0, np.int64))
    overlap = found_in(leak_corpus, path)
    assert rows_of(overlap, "near") == COPIED.tolist()
    assert sorted(np.concatenate(rows_read).tolist()) == list(range(500))


def test_a_comparison_that_another_process_makes_is_waited_for(
    leak_corpus: Corpus,
    leak_counts: Counts,
    write_evaluation: WriteEvaluation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write_evaluation(leak_counts[COPIED])
    scanned, n_tried = scanning._scanned, 0

    def busy(*arguments: Any, **options: Any) -> Any:
        nonlocal n_tried
        n_tried += 1
        if n_tried < 3:
            raise BusyError("another run is at work on it")
        if n_tried == 3:
            # The other one ends between the look and the lock.
            scanned(*arguments, **options)
        return scanned(*arguments, **options)

    monkeypatch.setattr(scanning, "_scanned", busy)
    monkeypatch.setattr(scanning, "WAIT_SECONDS", 0)
    assert rows_of(found_in(leak_corpus, path), "exact") == COPIED.tolist()
    assert n_tried == 3


def test_too_few_shared_genes_are_said_not_called_clean(
    leak_corpus: Corpus, leak_counts: Counts, write_evaluation: WriteEvaluation
) -> None:
    few = with_strangers(leak_counts[COPIED])[:, :6]
    overlap = found_in(leak_corpus, write_evaluation(few, genes=[f"GENE{j}" for j in range(6)]))
    assert overlap.scan is not None
    assert len(overlap.scan.few) == overlap.evaluation.n_cells
    assert str(overlap.same["near"].why_not).startswith("none of the ")


def test_a_dataset_that_shares_few_genes_leaves_the_others_compared(
    leak_corpus: Corpus, leak_counts: Counts, write_evaluation: WriteEvaluation
) -> None:
    # Dataset b measured the first 250 genes: 6 of this panel.
    panel = slice(244, 400)
    of_a = np.flatnonzero(leak_corpus.columns(["dataset_id"])["dataset_id"].cast(str).to_numpy() == "a")
    genes = [f"GENE{j}" for j in range(244, 400)]
    for counts, n_found in ((leak_counts[of_a[:40], panel], 40), (strangers(40)[:, panel], 0)):
        overlap = found_in(leak_corpus, write_evaluation(counts, genes=genes))
        assert overlap.scan is not None
        assert overlap.scan.n_compared == of_a.size
        assert overlap.same["exact"].why_not is None
        assert rows_of(overlap, "exact") == of_a[:n_found].tolist()
        assert len(overlap.scan.few) == 40 - n_found


def test_shallow_cells_count_where_their_dataset_is_known_to_hold_the_evaluation_set(
    leak_corpus: Corpus, leak_counts: Counts, write_evaluation: WriteEvaluation
) -> None:
    # 36 genes say too little of most cells, and enough of some, which are of dataset a alone.
    shallow = leak_counts[:300, :36]
    path = write_evaluation(shallow, genes=[f"ENSG{j:011d}" for j in range(36)])
    overlap = found_in(leak_corpus, path, by=["exact"])
    assert overlap.scan is not None
    n_few = sum(each.n_few for each in overlap.scan.gene_sets)
    assert 0 < n_few < 300
    assert len(overlap.scan.few) < n_few
    found = set(rows_of(overlap, "exact"))
    assert found <= set(range(300))
    assert len(found) > 300 - n_few
    # Alone, those that hold too little are not taken for anybody.
    few = write_evaluation(shallow[overlap.scan.few], genes=[f"ENSG{j:011d}" for j in range(36)])
    assert rows_of(found_in(leak_corpus, few, by=["exact"]), "exact") == []


def test_an_evaluation_set_without_a_gene_in_common_is_refused(
    leak_corpus: Corpus, write_evaluation: WriteEvaluation
) -> None:
    path = write_evaluation(strangers(5), genes=[f"Mouse{j}" for j in range(400)])
    with pytest.raises(LeakageError, match=r"none or next to none of its 400 genes is among the 400 of"):
        found_in(leak_corpus, path)


def test_scaled_values_are_refused(leak_corpus: Corpus, write_evaluation: WriteEvaluation) -> None:
    with pytest.raises(LeakageError, match=r"X holds values that are no counts, nor made .*--layer"):
        found_in(leak_corpus, write_evaluation(strangers(5) - 0.5))


def test_a_file_that_is_no_h5ad_is_refused(leak_corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "text.h5ad").write_text("no")
    with pytest.raises(SourceError, match="could not be read as h5ad"):
        found_in(leak_corpus, tmp_path / "text.h5ad")
    with pytest.raises(SourceError, match="is not there"):
        found_in(leak_corpus, tmp_path / "absent.h5ad")


def test_excluding_every_cell_is_refused_with_the_numbers(
    leak_corpus: Corpus, leak_store: Path, tmp_path: Path
) -> None:
    with leak_corpus.open_census() as census:
        evaluation = read_evaluation(leak_corpus, leak_store, census=census)
        with pytest.raises(SelectionError, match=r"none of the 500 cells .* is left: .* takes 500"):
            build(
                leak_corpus,
                registry=Registry(tmp_path),
                strategy="random",
                fraction=1,
                exclusions=overlap_exclusions(leak_corpus, evaluation, census=census),
            )


def test_nothing_to_compare_by_is_refused(leak_corpus: Corpus, write_evaluation: WriteEvaluation) -> None:
    path = write_evaluation(strangers(5))
    with leak_corpus.open_census() as census:
        evaluation = read_evaluation(leak_corpus, path, census=census)
        with pytest.raises(LeakageError, match="can be compared by none of joinid, donor"):
            overlap_exclusions(leak_corpus, evaluation, census=census, by=["joinid", "donor"])
        with pytest.raises(LeakageError, match="no method named 'name'; there are: joinid, exact"):
            find_overlap(CorpusCells(leak_corpus, census), evaluation, by=["name"])  # type: ignore[list-item]


def test_a_build_refuses_an_evaluation_set_that_leakage_would_call_uncompared_until_allowed(
    leak_corpus: Corpus, leak_counts: Counts, write_evaluation: WriteEvaluation, tmp_path: Path
) -> None:
    panel = [f"GENE{j}" for j in range(6)]
    path = write_evaluation(with_strangers(leak_counts[COPIED])[:, :6], genes=panel)
    options: dict[str, Any] = {
        "registry": Registry(tmp_path / "registry"),
        "strategy": "random",
        "n_cells": 100,
    }
    with leak_corpus.open_census() as census:
        evaluation = read_evaluation(leak_corpus, path, census=census)
        refused = overlap_exclusions(leak_corpus, evaluation, census=census)
        with pytest.raises(
            LeakageError,
            match=r"the 500 cells of corpus 'leaks' could not be compared with eval.h5ad: none of the .*; "
            r"nothing says that they are not in it \(--allow-uncompared allows that\)",
        ):
            build(leak_corpus, exclusions=refused, **options)
        allowed = overlap_exclusions(leak_corpus, evaluation, census=census, uncompared=True)
        (manifest,) = build(leak_corpus, exclusions=allowed, **options)
    assert [str(each.parameters["not_compared"])[:11] for each in manifest.document.exclusions] == [
        "none of the"
    ] * 2
    assert "eval.h5ad" not in str(manifest.document.exclusions)
    (report,) = leakage(manifest, [path]).evaluations
    assert list(report.not_compared(["joinid", "exact", "near"])) == [CENSUS]


def test_a_panel_without_a_gene_in_common_can_be_allowed_too(
    leak_corpus: Corpus, write_evaluation: WriteEvaluation, tmp_path: Path
) -> None:
    counts = strangers(5)
    counts[:, :-1] = 0
    path = write_evaluation(counts)
    with leak_corpus.open_census() as census:
        evaluation = read_evaluation(leak_corpus, path, census=census)
        kept = leak_corpus.columns(["dataset_id"])["dataset_id"].cast(str).to_numpy() == "b"
        for uncompared in (False, True):
            (exclusion, *_) = overlap_exclusions(
                leak_corpus, evaluation, census=census, uncompared=uncompared
            )
            if uncompared:
                assert not exclusion.drop(leak_corpus, kept).any()  # type: ignore[operator]
                continue
            with pytest.raises(LeakageError, match="their content cannot be compared"):
                exclusion.drop(leak_corpus, kept)  # type: ignore[operator]
