"""Check several manifests: one that cannot be opened is a failed check of its own, and the rest go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.errors import CurateError, ManifestError
from curate.manifests.check import Check
from curate.manifests.manifest import Manifest
from curate.manifests.reading import DOCUMENT_FILE
from curate.manifests.verify import Report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.workspace import Workspace

_NAMED = 3


def verify_all(refs: Sequence[str], *, workspace: Workspace | None = None) -> list[Report]:
    """Check the manifests that references name, each by itself.

    Returns
    -------
    list of Report
        One a reference. Of a manifest that cannot be opened: one failed check, and no id.
    """
    return [_verify(ref, workspace) for ref in refs]


def raise_if_any_failed(reports: Sequence[Report]) -> None:
    """Raise ManifestError, in one line that counts them, when a manifest failed.

    Raises
    ------
    ManifestError
        When one failed a check.
    """
    failed = [report for report in reports if not report.ok]
    if failed and len(reports) == 1:
        if not failed[0].id:
            raise ManifestError(failed[0].failed[0].detail)
        failed[0].raise_if_failed()
    if failed:
        named = ", ".join(report.ref for report in failed[:_NAMED])
        more = f" and {len(failed) - _NAMED:,} more" if len(failed) > _NAMED else ""
        first = failed[0].failed[0]
        raise ManifestError(
            f"{len(failed):,} of {len(reports):,} manifests failed: {named}{more}; "
            f"{failed[0].ref}: {first.name}: {first.detail}"
        )


def _verify(ref: str, workspace: Workspace | None) -> Report:
    try:
        manifest = Manifest.load(ref, workspace=workspace)
    except ManifestError as error:
        return Report(ref=ref, id="", checks=(Check(DOCUMENT_FILE, "failed", str(error)),))
    try:
        return manifest.verify()
    except CurateError as error:  # a damaged corpus, or a file that went away meanwhile
        return Report(ref=manifest.ref, id=manifest.id, checks=(Check("corpus", "failed", str(error)),))
