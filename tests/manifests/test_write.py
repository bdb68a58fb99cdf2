"""write_manifest: the id is of the content, a version is written whole or not at all, and never changed."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from curate.errors import ManifestError, WriteError
from curate.manifests.document import (
    ExclusionRecord,
    ParentRecord,
    SelectionRecord,
    SpikeInRecord,
    SplitRecord,
)
from curate.manifests.manifest import Manifest
from curate.manifests.registry import Registry
from tests.manifests.conftest import ROWS, cells_of, snapshot

if TYPE_CHECKING:
    from curate.corpus import Corpus
    from curate.manifests.document import ManifestDocument
    from curate.workspace import Workspace
    from tests.manifests.conftest import Write

SCREEN = SpikeInRecord(source="screen", id="5" * 64, fraction=0.1)


def with_screen(cells: pl.DataFrame) -> pl.DataFrame:
    """Add three cells of a screen."""
    return pl.concat(
        [cells, pl.DataFrame({"source": ["screen"] * 3, "soma_joinid": [0, 4, 2], "split": ["train"] * 3})]
    )


def test_the_header_counts_what_was_chosen(write: Write) -> None:
    document = write().document
    assert document.ref == "random-0.1-s0@v1"
    assert document.n_cells == document.selection.n_cells == 86
    assert document.splits.counts == {"train": 64, "val": 11, "test": 11}
    assert (document.corpus.name, document.corpus.n_cells, document.genes.n) == ("all", 600, 120)
    # datasets end at rows 250 and 450, and donors change every 25 rows
    assert document.composition["dataset_id"] == {"dataset-a": 36, "dataset-b": 29, "dataset-c": 21}
    assert document.n_donors == 12
    # rows 20-39 and 40-59 of every 60 are COVID-19, the latter type 2 diabetes as well
    covid = sum(row // 20 % 3 > 0 for row in ROWS)
    both = sum(row // 20 % 3 == 2 for row in ROWS)
    assert document.composition["disease"] == {
        "COVID-19": covid,
        "normal": 86 - covid,
        "type 2 diabetes mellitus": both,
    }
    assert document.diversity["cell_type"].n_cells == 64


def test_the_same_build_again_returns_the_version_that_is_there(write: Write, registry: Registry) -> None:
    first = write()
    before = snapshot(registry.path)
    assert write().ref == first.ref
    assert snapshot(registry.path) == before


def test_other_cells_are_the_next_version_and_an_older_one_is_found_again(
    write: Write, registry: Registry
) -> None:
    first, second = write(rows=[1, 2, 3]), write(rows=[1, 2, 4])
    assert (first.ref, second.ref) == ("random-0.1-s0@v1", "random-0.1-s0@v2")
    assert write(rows=[3, 2, 1]).ref == first.ref
    assert registry.versions("random-0.1-s0") == [1, 2]


def test_the_id_does_not_depend_on_order_encoding_name_or_registry(
    write: Write, corpus: Corpus, tmp_path: Path
) -> None:
    cells = cells_of(corpus, ROWS)
    expected = write().id
    coded = cells[::-1].with_columns(pl.col("source", "split").cast(pl.Categorical))
    assert write(cells=coded).version == 1
    assert write("another-name").id == expected
    obs = corpus.columns(["cell_type", "tissue_general", "assay", "disease", "dataset_id", "donor_id"])
    given = write("with-obs", cells=cells[::-1], obs=obs[list(ROWS)][::-1])
    assert given.id == expected
    assert given.document.composition == write().document.composition
    assert given.document.diversity == write().document.diversity


def test_the_id_is_the_same_in_another_process_with_another_number_of_threads(
    write: Write, workspace: Workspace
) -> None:
    expected = write().id
    code = (
        "import sys; from pathlib import Path\n"
        "from curate.manifests.document import SelectionRecord, SplitRecord\n"
        "from curate.manifests.registry import Registry\n"
        "from curate.manifests.write import write_manifest\n"
        "from curate.workspace import Workspace\n"
        "from tests.manifests.conftest import cells_of, ROWS\n"
        "corpus = Workspace.find(sys.argv[1]).corpus('all')\n"
        "selection = SelectionRecord(strategy='random', seed=0, fraction=0.1, n_available=600)\n"
        "manifest = write_manifest(Registry(Path(sys.argv[2])), 'other', corpus=corpus,\n"
        "    cells=cells_of(corpus, ROWS), selection=selection, splits=SplitRecord())\n"
        "print(manifest.id)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(workspace.root), str(workspace.root / "other")],
        env=os.environ | {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == expected


def selected(**changes: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"strategy": "random", "seed": 0, "fraction": 0.1, "n_available": 600}
    return {"selection": SelectionRecord(**(settings | changes))}


@pytest.mark.parametrize(
    "changes",
    [
        selected(strategy="sketch"),
        selected(parameters={"k": 7}),
        selected(seed=1),
        selected(fraction=None),
        selected(where="sex == 'male'"),
        selected(embedding="pca"),
        {"splits": SplitRecord(seed=1)},
        {"splits": SplitRecord(unit="donor")},
        {"splits": SplitRecord(ratios={"train": 0.8, "val": 0.2})},
        {"splits": SplitRecord(parameters={"stratify_by": "cell_type"})},
        {"exclusions": [ExclusionRecord(reason="overlap", n_cells=3)]},
        {"parents": [ParentRecord(id="1" * 64, relation="base")]},
    ],
    ids=str,
)
def test_every_setting_enters_the_id(write: Write, changes: dict[str, Any]) -> None:
    assert write().id != write(**changes).id


@pytest.mark.parametrize(
    "changes",
    [
        selected(notes={"n_boxes": 12}),
        selected(n_available=599),
        {"splits": SplitRecord(labels_in_one_split={"cell_type": {"B cell": "train"}})},
    ],
    ids=str,
)
def test_what_was_found_on_the_way_does_not_enter_the_id(write: Write, changes: dict[str, Any]) -> None:
    assert write().id == write(**changes).id


def test_the_name_of_a_parent_does_not_enter_the_id(write: Write) -> None:
    ids = {
        write(parents=[ParentRecord(id="1" * 64, relation="base", ref=ref)]).id for ref in ("a@v1", "b@v2")
    }
    assert len(ids) == 1


def test_the_corpus_enters_the_id(write: Write, workspace: Workspace) -> None:
    rows = range(10)  # of dataset-a, whose cells are all primary: the same cells in both corpora
    assert write(rows=rows).id != write(rows=rows, corpus=workspace.corpus("primary")).id


def test_spike_ins_are_counted_and_have_no_labels(write: Write, corpus: Corpus) -> None:
    document = write(cells=with_screen(cells_of(corpus, ROWS)), spike_ins=[SCREEN]).document
    assert (document.n_cells, document.selection.n_cells, document.spike_ins[0].n_cells) == (89, 86, 3)
    assert document.composition["dataset_id"]["(missing)"] == 3
    other = write(
        cells=with_screen(cells_of(corpus, ROWS)), spike_ins=[SCREEN.model_copy(update={"id": "6" * 64})]
    )
    assert other.version == 2


def test_sources_and_spike_ins_must_agree(write: Write, corpus: Corpus) -> None:
    cells = cells_of(corpus, ROWS)
    with pytest.raises(ManifestError, match="3 cells are of source 'screen', which no spike-in describes"):
        write(cells=with_screen(cells))
    with pytest.raises(ManifestError, match="spike-in 'screen' has no cell"):
        write(cells=cells, spike_ins=[SCREEN])


def test_cells_that_the_corpus_does_not_hold_are_refused(write: Write, corpus: Corpus) -> None:
    cells = cells_of(corpus, [1, 2]).with_columns(soma_joinid=pl.Series([1, 600]))
    with pytest.raises(ManifestError, match="1 of 2 cells are not in corpus 'all', first soma_joinid 600"):
        write(cells=cells)


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a b", "a@v1", "-a", "é", "a" * 129, ".."])
def test_a_name_that_cannot_be_one_is_refused(write: Write, registry: Registry, name: str) -> None:
    with pytest.raises(ManifestError, match="cannot name a manifest"):
        write(name)
    assert not registry.path.exists()


def test_no_cell_is_no_manifest(write: Write) -> None:
    with pytest.raises(ManifestError, match="no cell was chosen"):
        write(rows=[])


@pytest.mark.parametrize("file", ["cells.parquet", "manifest.json"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device"), SystemExit()])
@pytest.mark.parametrize("earlier", [True, False], ids=["second version", "first version"])
def test_an_error_in_the_middle_leaves_the_registry_as_it_was(
    write: Write,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    error: BaseException,
    earlier: bool,
) -> None:
    if earlier:
        write(rows=[1, 2, 3])
    before = snapshot(registry.path.parent)
    write_bytes = Path.write_bytes

    def fail(path: Path, content: bytes) -> int:
        if path.name != file:
            return write_bytes(path, content)
        write_bytes(path, content[:10])
        raise error

    monkeypatch.setattr(Path, "write_bytes", fail)
    expected = WriteError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected, match="No space left on device" if isinstance(error, OSError) else None):
        write(rows=[4, 5, 6])
    monkeypatch.undo()
    assert snapshot(registry.path.parent) == before
    assert write(rows=[4, 5, 6]).version == (2 if earlier else 1)


def test_a_full_disk_leaves_the_registry_as_it_was(write: Write, registry: Registry) -> None:
    import resource
    import signal

    write(rows=[1, 2, 3])
    before = snapshot(registry.path.parent)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
    try:
        with pytest.raises(WriteError, match=r"could not write .*File too large; nothing was changed"):
            write(rows=[4, 5, 6])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert snapshot(registry.path.parent) == before


def test_writers_at_the_same_time_do_not_take_each_others_version(write: Write, registry: Registry) -> None:
    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(lambda row: write(rows=[row, row + 1]), range(0, 16, 2)))
    assert sorted(manifest.version for manifest in written) == list(range(1, 9))
    for row, manifest in zip(range(0, 16, 2), written, strict=True):
        again = registry.resolve(manifest.ref)
        assert again.cells()["soma_joinid"].to_list() == [row, row + 1]
        assert again.verify().ok


def test_writers_of_the_same_content_at_the_same_time_write_one_version(
    write: Write, registry: Registry
) -> None:
    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(lambda _: write(), range(8)))
    assert {manifest.ref for manifest in written} == {"random-0.1-s0@v1"}
    assert registry.versions("random-0.1-s0") == [1]


def test_the_same_content_written_between_the_search_and_the_number_is_one_version(
    write: Write, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_version, rival = Registry.find_version, iter([True])

    def find(registry: Registry, name: str, manifest_id: str) -> ManifestDocument | None:
        found = find_version(registry, name, manifest_id)
        if found is None and next(rival, False):
            write()
        return found

    monkeypatch.setattr(Registry, "find_version", find)
    assert write().version == 1
    assert registry.versions("random-0.1-s0") == [1]


def test_a_version_number_that_was_taken_meanwhile_is_left_alone(
    write: Write, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write(rows=[1, 2, 3])
    stale = iter([1, 2])
    monkeypatch.setattr(Registry, "next_version", lambda registry, name: next(stale))
    assert write(rows=[4, 5, 6]).version == 2
    assert Manifest.open(first.folder) == first


def test_a_damaged_version_is_neither_returned_nor_overwritten(write: Write) -> None:
    path = Path(write().folder, "manifest.json")
    path.write_bytes(path.read_bytes()[:100])
    assert write().version == 2
    assert len(path.read_bytes()) == 100
