"""Results that cannot be kept where they belong: a scratch folder, once, and a line that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from curate import scratch
from curate.build.duplicates import corpus_duplicates
from curate.build.leakage.compared import CorpusCells
from curate.build.leakage.guard import overlap_exclusions, read_evaluation
from curate.build.leakage.scan import kept_scan
from curate.corpus.content import corpus_content
from curate.corpus.presence import PRESENCE_FILE, measured_genes
from curate.errors import WriteError
from curate.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from curate.corpus import Corpus


@pytest.fixture
def corpus(fresh_workspace: Path) -> Corpus:
    return Workspace.find(fresh_workspace).corpus()


@pytest.fixture
def read_only(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """The corpus as one whose folder cannot be written to; whoever tries fails."""
    is_writable = scratch.is_writable
    monkeypatch.setattr(scratch, "_SCRATCH", {})
    monkeypatch.setattr(
        scratch,
        "is_writable",
        lambda folder: not folder.is_relative_to(corpus.path) and is_writable(folder),
    )
    return corpus


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_folder_that_can_be_written_to_is_itself(tmp_path: Path) -> None:
    assert scratch.kept_in(tmp_path / "new" / "folder") == tmp_path / "new" / "folder"
    assert scratch.scratch_of(tmp_path) == tmp_path


def test_one_that_cannot_gets_one_scratch_folder_and_is_told_of_once(
    read_only: Corpus, caplog: pytest.LogCaptureFixture
) -> None:
    folder = read_only.path / "content"
    found = scratch.kept_in(folder)
    assert not found.is_relative_to(read_only.path)
    assert found.is_dir()
    assert scratch.kept_in(folder) == scratch.scratch_of(folder) == found
    (line,) = caplog.messages
    assert line.startswith(f"notice: {read_only.path} is read-only: what is found is not kept there")


def test_duplicates_of_a_corpus_that_is_read_only_are_those_of_another(
    read_only: Corpus, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(read_only.path)
    found, cells = corpus_duplicates(read_only)
    again, _ = corpus_duplicates(read_only)
    assert len(caplog.messages) == 1
    assert files(read_only.path) == before
    kept = corpus_content(read_only).hashes
    monkeypatch.undo()
    assert corpus_duplicates(read_only)[0] == found == again
    assert (corpus_content(read_only).hashes == kept).all()
    assert files(read_only.path) > before
    assert cells.height >= 0


def test_presence_of_a_corpus_that_is_read_only_is_not_kept(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> None:
        raise WriteError(f"could not write {path}")

    # The workspace that this one is a copy of may have been asked before.
    (corpus.path / PRESENCE_FILE).unlink(missing_ok=True)
    with monkeypatch.context() as patch:
        patch.setattr("curate.corpus.presence.atomic_file", refused)
        found = measured_genes(corpus).presence
    assert not (corpus.path / PRESENCE_FILE).exists()
    again = measured_genes(corpus).presence
    assert found is not None
    assert again is not None
    assert (corpus.path / PRESENCE_FILE).exists()
    assert np.array_equal(found.measured, again.measured)


def test_a_comparison_with_a_corpus_that_is_read_only_is_kept_for_the_process(
    read_only: Corpus, atlas_census: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = files(read_only.path)
    with read_only.open_census() as census:
        evaluation = read_evaluation(read_only, atlas_census, census=census)
        wanted = np.ones(read_only.n_cells, np.bool_)
        (by_content,) = overlap_exclusions(read_only, evaluation, census=census, by=["exact"])
        assert callable(by_content.drop)
        n_found = int(by_content.drop(read_only, wanted).sum())
        assert kept_scan(CorpusCells(read_only, census), evaluation, wanted, is_near=False) is not None
    assert n_found > 0.9 * read_only.n_cells
    assert files(read_only.path) == before
    assert len(caplog.messages) == 1
