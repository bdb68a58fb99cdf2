"""The settings of a manifest, flat, and which of them differ between two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curate.manifests.document import FOUND_OF_SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from curate.manifests.document import ManifestDocument

_RECORDS = ("corpus", "genes", "selection", "splits", "spike_ins", "exclusions", "parents")
_FOUND: dict[str, Any] = {
    "corpus": {"uri", "census", "label"},
    "selection": {
        "notes": True,
        "n_available": True,
        "task": {"reference": {"sha256", "n_train", "n_held_out", "n_used"}},
    },
    "splits": set(FOUND_OF_SPLITS),
}


@dataclass(frozen=True)
class SettingChange:
    """A setting that differs; None where one side has no such setting."""

    name: str
    a: Any
    b: Any


def settings(document: ManifestDocument) -> dict[str, Any]:
    """Return what a manifest was asked to be, under dotted names; what was found on the way is left out."""
    content = document.model_dump(mode="json", include=set(_RECORDS), exclude=_FOUND)
    # A list without records says no more than one that is absent.
    return dict(_flat("", {name: content[name] for name in _RECORDS if content[name] != []}))


def changed_settings(a: ManifestDocument, b: ManifestDocument) -> tuple[SettingChange, ...]:
    """Return the settings that differ, in the order of the document."""
    of_a, of_b = settings(a), settings(b)
    return tuple(
        SettingChange(name, of_a.get(name), of_b.get(name))
        for name in dict.fromkeys([*of_a, *of_b])
        if of_a.get(name) != of_b.get(name)
    )


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, held in value.items():
            yield from _flat(f"{name}.{key}" if name else key, held)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for position, held in enumerate(value):
            yield from _flat(f"{name}[{position}]", held)
    else:
        yield name, value
