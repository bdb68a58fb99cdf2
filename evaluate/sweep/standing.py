"""How jobs stand: what is there, and what waits for one that has failed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Set

    from curate.evaluate.sweep.folder import SweepFolder
    from curate.evaluate.sweep.plan import JobRecord
    from curate.workspace import Workspace


def is_there(
    kind: str, key: str, result: Mapping[str, Any], folder: SweepFolder, workspace: Workspace
) -> bool:
    """Tell whether what a finished job has made is still there."""
    if kind == "manifest":
        name, _, version = result["ref"].rpartition("@v")
        path: Path = workspace.manifests_path / name / f"v{int(version):04}" / "manifest.json"
    elif kind == "train":
        path = workspace.models_path / result["model"] / "run.json"
    elif kind in ("baselines", "evaluate"):
        path = folder.rows_path(key)
    else:
        path = Path(result["path"])
    return path.exists()


def blocked_by(failed: Set[str], jobs: Iterable[JobRecord]) -> dict[str, str]:
    """Return jobs that need a failed one, directly or not, and which; `jobs` each after those they need."""
    blocked: dict[str, str] = {}
    for job in jobs:
        for need in job.needs:
            if need in failed or need in blocked:
                blocked.setdefault(job.key, blocked.get(need, need))
    return {key: cause for key, cause in blocked.items() if key not in failed}
