"""The versions of a manifest, and what changed in each."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from curate.manifests.settings import SettingChange, changed_settings

if TYPE_CHECKING:
    from curate.manifests.document import ManifestDocument
    from curate.manifests.registry import Registry


@dataclass(frozen=True)
class Version:
    """A version of a manifest.

    Attributes
    ----------
    corpus, label
        Name of the corpus, and what its Census says about itself.
    changed
        Settings that differ from the version before; none in the first, or when only the cells differ.
    problem
        Why it cannot be read, if it cannot; the rest is then empty.
    """

    version: int
    id: str = ""
    created: str = ""
    n_cells: int = 0
    corpus: str = ""
    label: str | None = None
    tags: tuple[str, ...] = ()
    changed: tuple[SettingChange, ...] = ()
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the version as JSON holds it."""
        return asdict(self)


def log(registry: Registry, name: str) -> list[Version]:
    """Return the versions of a name, the oldest first.

    Raises
    ------
    ManifestError
        When there is no such name; the nearest are named.
    """
    registry.check_known(name)
    tags = registry.tags(name)
    versions, before = [], None
    for entry in registry.entries(name):
        if entry.document is None:
            versions.append(Version(entry.version, problem=entry.problem))
            continue
        named = tuple(tag for tag, version in tags.items() if version == entry.version)
        versions.append(_version(entry.document, before, named))
        before = entry.document
    return versions


def _version(document: ManifestDocument, before: ManifestDocument | None, tags: tuple[str, ...]) -> Version:
    return Version(
        version=document.version,
        id=document.id,
        created=document.created.isoformat(),
        n_cells=document.n_cells,
        corpus=document.corpus.name,
        label=document.corpus.label,
        tags=tags,
        changed=changed_settings(before, document) if before else (),
    )
