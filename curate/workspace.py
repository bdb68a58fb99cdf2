"""A workspace: the folder with curate.toml that holds corpora, embeddings and manifests."""

from __future__ import annotations

import os
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from curate.atomic import atomic_file
from curate.documents import Document, first_fault
from curate.errors import CorpusError, WorkspaceError

if TYPE_CHECKING:
    from curate.census import Census
    from curate.corpus import Corpus

SETTINGS_FILE = "curate.toml"


class CensusSettings(Document):
    """Where the Census is: a release of the public one, or the uri of a store of the same layout."""

    release: str = "stable"
    uri: str | None = None
    region: str | None = None
    endpoint: str | None = None
    anonymous: bool = False

    def open(self) -> Census:
        """Open it."""
        from curate.census import Census

        return Census.open(
            self.release,
            uri=self.uri,
            region=self.region,
            endpoint=self.endpoint,
            anonymous=self.anonymous,
        )


class Defaults(Document):
    """What a command takes when it is not told."""

    corpus: str | None = None


class Settings(Document):
    """The content of curate.toml."""

    census: CensusSettings = CensusSettings()
    defaults: Defaults = Defaults()


@dataclass(frozen=True)
class Workspace:
    """A folder with curate.toml, and where things lie in it."""

    root: Path
    settings: Settings

    @classmethod
    def find(cls, home: str | Path | None = None) -> Workspace:
        """Open the workspace at `home`, else at CURATE_HOME, else the nearest from here upwards.

        Raises
        ------
        WorkspaceError
            When there is none, or its curate.toml cannot be read.
        """
        found = cls.find_any(home)
        if found is None:
            raise _none(f"in {Path.cwd()} or above it")
        return found

    @classmethod
    def find_any(cls, home: str | Path | None = None) -> Workspace | None:
        """Open the workspace that `find` would; None where there is none and none was named.

        Raises
        ------
        WorkspaceError
            When there is none where one was named, or its curate.toml cannot be read.
        """
        named = home or os.environ.get("CURATE_HOME")
        start = Path(named).resolve() if named else Path.cwd()
        for folder in [start] if named else [start, *start.parents]:
            if (folder / SETTINGS_FILE).is_file():
                return cls(root=folder, settings=_read_settings(folder / SETTINGS_FILE))
        if named:
            raise _none(f"in {start}")
        return None

    @classmethod
    def around(cls, path: str | Path) -> Workspace | None:
        """Open the nearest workspace from a path upwards; None when there is none that can be read."""
        start = Path(path).resolve()
        for folder in (start, *start.parents):
            if (folder / SETTINGS_FILE).is_file():
                with suppress(WorkspaceError):
                    return cls(root=folder, settings=_read_settings(folder / SETTINGS_FILE))
                return None
        return None

    @classmethod
    def create(cls, root: Path, *, census: CensusSettings | None = None) -> Workspace:
        """Make `root` a workspace.

        Raises
        ------
        WorkspaceError
            When it is one already.
        """
        path = root / SETTINGS_FILE
        if path.exists():
            raise WorkspaceError(f"{root} is a workspace already; work in it with `curate -C {root} …`")
        settings = Settings(census=census or CensusSettings())
        with atomic_file(path) as aside:
            aside.write_text(_toml(settings))
        return cls(root=root.resolve(), settings=settings)

    @property
    def corpora_path(self) -> Path:
        """The folder of corpora, one folder each."""
        return self.root / "corpora"

    @property
    def manifests_path(self) -> Path:
        """The registry of manifests."""
        return self.root / "manifests"

    @property
    def shards_path(self) -> Path:
        """Materialised manifests, NAME/vVERSION each."""
        return self.root / "shards"

    @property
    def models_path(self) -> Path:
        """Trained models, one folder each."""
        return self.root / "models"

    @property
    def results_path(self) -> Path:
        """Results of evaluations, a file for each task, subject and data."""
        return self.root / "results"

    def corpus_names(self) -> list[str]:
        """Return the names of the finished corpora, sorted."""
        return sorted(path.parent.name for path in self.corpora_path.glob("[!.]*/corpus.json"))

    def corpus(self, name: str | None = None, *, how: str = "with --corpus") -> Corpus:
        """Open a corpus by name; without one, the default of curate.toml or the only one there is.

        Parameters
        ----------
        how
            How a command is told which corpus, for messages.

        Raises
        ------
        CorpusError
            When there is none of that name, or no name and several corpora.
        """
        from curate.corpus import Corpus

        names = self.corpus_names()
        if not names:
            raise CorpusError(
                f"{self.root} holds no corpus; make one with `curate corpus build --recipe NAME`"
            )
        chosen = name or self.settings.defaults.corpus or (names[0] if len(names) == 1 else None)
        if chosen is None:
            raise CorpusError(
                f"{len(names)} corpora ({', '.join(names)}): name one {how}, "
                f"or set `corpus` under [defaults] in {SETTINGS_FILE}"
            )
        if chosen not in names:
            raise CorpusError(f"no corpus named {chosen!r}; there are: {', '.join(names)}")
        return Corpus.open(self.corpora_path / chosen)

    def corpus_by_id(self, corpus_id: str) -> Corpus | None:
        """Open the corpus with this id, if the workspace holds it."""
        from curate.corpus import Corpus

        corpora = (Corpus.open(self.corpora_path / name) for name in self.corpus_names())
        return next((corpus for corpus in corpora if corpus.id == corpus_id), None)

    def open_census(self, *, release: str | None = None, uri: str | None = None) -> Census:
        """Open the Census of curate.toml, or another release or uri with the same access settings."""
        return self.census_settings(release=release, uri=uri).open()

    def census_settings(self, *, release: str | None = None, uri: str | None = None) -> CensusSettings:
        """Return those of curate.toml, or another release or uri with the same access, paths made whole."""
        settings = self.settings.census
        chosen = uri or (None if release else settings.uri)
        if chosen is not None and "://" not in chosen:
            chosen = str(self.root / chosen) if uri is None else str(Path(chosen).resolve())
        return settings.model_copy(update={"release": release or settings.release, "uri": chosen})


def _none(searched: str) -> WorkspaceError:
    return WorkspaceError(
        f"no {SETTINGS_FILE} {searched}; make a workspace with `curate init` or `curate demo`"
    )


def _read_settings(path: Path) -> Settings:
    try:
        return Settings.model_validate(tomllib.loads(path.read_text()))
    except tomllib.TOMLDecodeError as error:
        raise WorkspaceError(f"{path} is not TOML: {error}") from None
    except ValidationError as error:
        where, what = first_fault(error)
        raise WorkspaceError(f"{path}: {where}: {what}") from None


def _toml(settings: Settings) -> str:
    lines = ["# A workspace of curate: corpora/ and manifests/ lie beside this file."]
    for table, content in settings.model_dump().items():
        given = {key: value for key, value in content.items() if value is not None}
        lines += ["", f"[{table}]"]
        lines += [f"{key} = {_toml_value(value)}" for key, value in given.items()]
    return "\n".join(lines) + "\n"


def _toml_value(value: str | bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
