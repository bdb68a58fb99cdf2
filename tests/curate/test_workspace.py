"""Workspaces: made, found from below, refused when there is none."""

from pathlib import Path

import pytest

from curate.errors import CorpusError, WorkspaceError
from curate.workspace import CensusSettings, Workspace


@pytest.fixture(autouse=True)
def _no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CURATE_HOME", raising=False)


def test_a_workspace_is_found_from_a_folder_below_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Workspace.create(tmp_path / "home", census=CensusSettings(uri='a "quoted" \\ path'))
    below = tmp_path / "home" / "some" / "folder"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert Workspace.find() == made
    assert Workspace.find().settings.census.uri == 'a "quoted" \\ path'


def test_curate_home_names_a_workspace_and_an_argument_beats_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (Workspace.create(tmp_path / name) for name in ("first", "second"))
    monkeypatch.setenv("CURATE_HOME", str(first.root))
    assert Workspace.find() == first
    assert Workspace.find(second.root) == second


def test_no_workspace_is_said_with_the_command_that_makes_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WorkspaceError, match=r"no curate.toml in .* or above it; .*`curate init`"):
        Workspace.find()


def test_a_named_folder_is_not_searched_upwards(tmp_path: Path) -> None:
    Workspace.create(tmp_path)
    (tmp_path / "below").mkdir()
    with pytest.raises(WorkspaceError, match=r"no curate.toml in .*below; "):
        Workspace.find(tmp_path / "below")


def test_a_workspace_is_not_made_twice(tmp_path: Path) -> None:
    Workspace.create(tmp_path)
    with pytest.raises(WorkspaceError, match="is a workspace already"):
        Workspace.create(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[census", "is not TOML"),
        ("[census]\nurl = 'x'", r"census.url: Extra inputs are not permitted"),
        ("[defaults]\ncorpus = 3", r"defaults.corpus: Input should be a valid string"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "curate.toml").write_text(text)
    with pytest.raises(WorkspaceError, match=message):
        Workspace.find(tmp_path)


def test_a_workspace_without_a_corpus_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds no corpus; make one with `curate corpus build"):
        Workspace.create(tmp_path).corpus()


def test_several_corpora_must_be_named(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path)
    for name in ("one", "two"):
        (workspace.corpora_path / name).mkdir(parents=True)
        (workspace.corpora_path / name / "corpus.json").touch()
    (workspace.corpora_path / ".three.partial").mkdir()
    assert workspace.corpus_names() == ["one", "two"]
    with pytest.raises(CorpusError, match=r"2 corpora \(one, two\): name one as `curate embed CORPUS`"):
        workspace.corpus(how="as `curate embed CORPUS`")
    with pytest.raises(CorpusError, match=r"2 corpora \(one, two\): name one with --corpus"):
        workspace.corpus()
    with pytest.raises(CorpusError, match="no corpus named 'three'; there are: one, two"):
        workspace.corpus("three")
