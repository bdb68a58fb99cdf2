"""`curate materialize` and `curate shards`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anndata as ad
import pytest
from click.testing import CliRunner, Result

from curate.build.build import build
from curate.cli import curate
from curate.errors import CurateError, ShardError
from curate.manifests.registry import Registry
from curate.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(fresh_workspace: Path) -> Path:
    """A workspace with a manifest of 200 cells, "some"."""
    workspace = Workspace.find(fresh_workspace)
    registry = Registry(workspace.manifests_path)
    build(workspace.corpus(), registry=registry, strategy="random", n_cells=200, name="some")
    return fresh_workspace


def run(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(curate, ["-C", str(root), *arguments], catch_exceptions=False)


def test_a_manifest_becomes_shards_that_are_shown_verified_and_exported(root: Path, tmp_path: Path) -> None:
    made = run(root, "materialize", "some", "--shard-cells", "64", "--json")
    folder = root / "shards" / "some" / "v0001"
    document = json.loads(made.output)
    assert document["n_cells"]["train"] + document["n_cells"]["val"] + document["n_cells"]["test"] == 200
    assert document["manifest_ref"] == "some@v1"
    shown = run(root, "shards", "show", str(folder)).output
    assert "of manifest some@v1" in shown
    assert "bytes" in shown
    assert "files are what was written" in run(root, "shards", "verify", str(folder)).output
    out = tmp_path / "train.h5ad"
    exported = run(root, "shards", "export", str(folder), str(out), "--split", "train")
    assert exported.output.rstrip().endswith(f": {document['n_cells']['train']} cells, shards verified")
    assert ad.read_h5ad(out).n_obs == document["n_cells"]["train"]


def test_the_command_given_again_opens_what_is_there_and_says_so(root: Path) -> None:
    first = run(root, "materialize", "some", "--json")
    assert "there already" not in first.stderr
    again = run(root, "materialize", "some", "--json")
    assert again.stdout == first.stdout
    assert "these shards were there already, of 20" in again.stderr
    assert again.stderr.rstrip().endswith("nothing was written; shards verified")
    unseen = run(root, "materialize", "some", "--no-verify").stderr
    assert "shards not verified (as asked): only the sizes of their files were looked at" in unseen


def changed_shards(root: Path) -> Path:
    """Return shards of which one bit has changed since they were written."""
    run(root, "materialize", "some")
    folder = root / "shards" / "some" / "v0001"
    path = next(folder.glob("train-*.data.npy"))
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    return folder


def test_changed_shards_are_neither_exported_nor_said_to_be_there(root: Path, tmp_path: Path) -> None:
    folder, out = changed_shards(root), tmp_path / "all.h5ad"
    with pytest.raises(ShardError, match="has changed since it was written"):
        run(root, "shards", "export", str(folder), str(out))
    with pytest.raises(ShardError, match="has changed since it was written"):
        run(root, "materialize", "some")
    assert not out.exists()
    exported = run(root, "shards", "export", str(folder), str(out), "--no-verify")
    assert "200 cells, shards not verified (as asked)" in exported.output


def test_shards_too_large_to_be_verified_each_time_are_said_not_to_be(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.train.artifact.shards.VERIFIED_BYTES", 10)
    folder = changed_shards(root)
    exported = run(root, "shards", "export", str(folder), str(tmp_path / "all.h5ad"))
    assert "shards not verified (0.0 GiB, --verify does)" in exported.output
    with pytest.raises(ShardError, match="has changed since it was written"):
        run(root, "shards", "export", str(folder), str(tmp_path / "other.h5ad"), "--verify")
    with pytest.raises(ShardError, match="exists; name another file"):
        run(root, "shards", "export", str(folder), str(tmp_path / "all.h5ad"), "--verify")


def test_wrong_calls_say_what_is_wrong(root: Path) -> None:
    both = run(root, "materialize", "some", "--workers", "2", "--scheduler", "tcp://here:1")
    assert both.exit_code == 2
    assert "a scheduler has its own workers" in both.output
    with pytest.raises(CurateError, match="soem"):
        run(root, "materialize", "soem")
    with pytest.raises(ShardError, match="make some with `curate materialize`"):
        run(root, "shards", "show", str(root))
