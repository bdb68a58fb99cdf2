"""What has become of jobs, on disk."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from curate.errors import SweepError
from curate.evaluate.sweep.journal import Failure, Journal, read_journal

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "sweep" / "journal.jsonl"
    with Journal(path) as journal:
        journal.add("run", workers=2)
        journal.add("started", "a", worker="0")
        journal.add("done", "a", result={"n": 1}, seconds=2.5)
        journal.add("started", "b", worker="0")
        journal.add("failed", "b", error="why", log="log", seconds=1.0)
        journal.add("started", "c", worker="1")
    return path


def test_what_was_written_is_read(path: Path) -> None:
    progress = read_journal(path)
    assert progress.done == {"a": {"n": 1}}
    assert progress.seconds == {"a": 2.5}
    assert progress.failed == {"b": Failure("why", "log")}
    assert set(progress.running) == {"c"}
    assert progress.runs[0][1] == 2
    assert not progress.is_ended


def test_there_is_nothing_where_there_is_no_journal(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "none").done == {}


def test_a_line_that_was_cut_short_goes_and_the_next_stands_whole(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"at": "2026-01-01T00:00:00+00:00", "event": "done", "job": "c", "resu')
    assert set(read_journal(path).done) == {"a"}
    with Journal(path) as journal:
        journal.add("ended")
    assert path.read_bytes().startswith(whole)
    assert json.loads(path.read_bytes()[len(whole) :])["event"] == "ended"


def test_a_new_run_ends_what_another_was_doing_and_a_new_start_a_failure(path: Path) -> None:
    with Journal(path) as journal:
        journal.add("run", workers=1)
        assert not journal.progress.running
        journal.add("started", "b", worker="0")
        assert not journal.progress.failed
        journal.add("died", "b", error="killed")
        assert journal.progress.n_died == {"b": 1}
        journal.add("failed", "b", error="twice")
    assert read_journal(path).n_died == {}


@pytest.mark.parametrize(
    ("at", "line", "message"),
    [
        (
            0,
            b'{"at": "2026-01-01T00:00:00+00:00", "event": "sweep", "format": 7}',
            "of format 7, this",
        ),
        (2, b"nonsense", "is damaged in line 3; remove that line"),
        (2, b'{"event": "done"}', "is damaged in line 3"),
        (2, b"[]", "is damaged in line 3"),
    ],
)
def test_a_journal_of_another_format_or_damaged_is_refused(
    path: Path, at: int, line: bytes, message: str
) -> None:
    lines = path.read_bytes().split(b"\n")
    lines[at] = line
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(SweepError, match=message):
        read_journal(path)
