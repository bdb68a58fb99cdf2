"""Check what a manifest claims of its parents, where these lie beside it: by the ids of cells alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.errors import ManifestError
from curate.manifests.check import Check
from curate.manifests.document import BASE, CENSUS, CONTAINS, SPLITS
from curate.manifests.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from curate.manifests.cells import Cells
    from curate.manifests.document import ParentRecord

TRAIN = SPLITS.index("train")


def check_parents(manifest: Manifest, cells: Cells) -> Iterator[Check]:
    """Check that a step of a nested ladder contains the one below it, and that a spiked manifest is its base.

    Parameters
    ----------
    cells
        Of the manifest.

    Yields
    ------
    Check
        One for each parent of such a relation; not checked where the parent is elsewhere.
    """
    for parent in manifest.document.parents:
        if parent.relation in RELATIONS:
            name = f"{parent.relation} {parent.ref or parent.id[:12]}"
            try:
                held = _find(manifest, parent).held_cells
            except ManifestError as error:
                yield Check(name, "not checked", f"its cells are not at hand beside this one: {error}")
                continue
            fault = RELATIONS[parent.relation](held, cells)
            yield Check(name, "failed" if fault else "ok", fault or f"by the ids of its {len(held):,} cells")


def _contains(parent: Cells, cells: Cells) -> str:
    """Return what is wrong where not every cell of the parent is among the cells; "" when all are."""
    missing = parent.beyond(cells)
    if not missing:
        return ""
    n = sum(len(joinids) for joinids in missing.values())
    source, joinids = next(iter(missing.items()))
    return f"{n:,} of its {len(parent):,} cells are not in this one, first {joinids[0]} of {source}"


def _is_spiked(parent: Cells, cells: Cells) -> str:
    """Return what is wrong where more than training cells gave way to spike-ins."""
    own, base = cells.rows_of(CENSUS), parent.rows_of(CENSUS)
    strangers = cells.beyond(parent).get(CENSUS, np.empty(0, np.int64))
    if len(strangers):
        return f"{len(strangers):,} cells of the census are not in it, first {strangers[0]}"
    of_base, of_own = parent.soma_joinid[base], cells.soma_joinid[own]
    places = np.searchsorted(of_base, of_own)
    is_other = parent.split[base][places] != cells.split[own]
    if is_other.any():
        return f"{int(is_other.sum()):,} cells are in another split, first {of_own[is_other][0]}"
    is_held = np.zeros(len(of_base), np.bool_)
    is_held[places] = True
    lost = of_base[~is_held & (parent.split[base] != TRAIN)]
    return (
        f"{len(lost):,} of its val and test cells are not in this one, first {lost[0]}" if len(lost) else ""
    )


RELATIONS: dict[str, Callable[[Cells, Cells], str]] = {CONTAINS: _contains, BASE: _is_spiked}
"""Relation → ``(cells of the parent, cells) -> what is wrong``."""


def _find(manifest: Manifest, parent: ParentRecord) -> Manifest:
    """Open a parent by what it was called, beside the manifest.

    Raises
    ------
    ManifestError
        When it is not there, is another one, or is damaged.
    """
    name, _, version = (parent.ref or "").partition("@v")
    if not version.isdigit():
        raise ManifestError(f"nobody knows what the parent {parent.id[:12]} was called")
    # A local path or a URL: <registry>/<name>/v0001.
    registry, *rest = manifest.folder.rstrip("/").rsplit("/", 2)
    if len(rest) < 2:
        raise ManifestError(f"{manifest.folder} does not lie beside other manifests")
    found = Manifest.open(f"{registry}/{name}/v{int(version):04}", workspace=manifest.workspace)
    if found.id != parent.id:
        raise ManifestError(f"{parent.ref} is {found.id[:12]} there, not the parent {parent.id[:12]}")
    return found
