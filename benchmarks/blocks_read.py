"""Read the counts of a manifest's cells once; print seconds, the bytes that TileDB read, and tiles."""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import tiledbsoma as soma

from curate.manifests.manifest import Manifest
from curate.workspace import Workspace


def main(root: str, reference: str) -> None:
    """Read, and print one line of JSON."""
    workspace = Workspace.find(root)
    manifest = Manifest.load(reference, workspace=workspace)
    corpus = workspace.corpus_by_id(manifest.document.corpus.id)
    assert corpus is not None
    joinids = manifest.cells()["soma_joinid"].to_numpy()
    with corpus.open_census() as census:
        # Compiled and opened before the clock starts.
        next(iter(census.read_counts(corpus.header.organism, joinids[:1])))
        soma.tiledbsoma_stats_reset()
        soma.tiledbsoma_stats_enable()
        start = time.perf_counter()
        n_cells = sum(block.joinids.size for block in census.read_counts(corpus.header.organism, joinids))
        wall_s = time.perf_counter() - start
        stats = soma.tiledbsoma_stats_as_py()
    assert n_cells == joinids.size
    n_bytes = sum(each["counters"].get("Context.VFS.read_byte_num", 0) for each in stats)
    print(
        json.dumps(
            {"seconds": wall_s, "bytes": int(n_bytes), "n_tiles": int(np.unique(joinids // 2048).size)}
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
