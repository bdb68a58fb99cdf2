"""Series: manifests that differ in size and seed alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.build.diversity.series import name_bases, name_series
from curate.manifests.document import SelectionRecord, SpikeInRecord, SplitRecord

if TYPE_CHECKING:
    from tests.manifests.conftest import Write


def selection(strategy: str = "random", **changes: Any) -> SelectionRecord:
    return SelectionRecord(strategy=strategy, **({"seed": 0, "fraction": 0.1} | changes))


def named(write: Write, *selections: SelectionRecord, **changes: Any) -> list[str]:
    manifests = [
        write(f"m{at}", range(at, 500, 9), selection=each, **changes) for at, each in enumerate(selections)
    ]
    found = name_series([manifest.document for manifest in manifests])
    return [found[manifest.id] for manifest in manifests]


def test_a_spiked_series_is_a_variant_of_the_one_without(write: Write) -> None:
    plain, other = write("a", range(0, 600, 7)).document, write("b", range(1, 600, 9)).document
    record = SpikeInRecord(source="screen", id="5" * 64, fraction=0.1)
    other = other.model_copy(update={"selection": selection("sketch")})
    spiked = plain.model_copy(update={"id": "1" * 64, "spike_ins": (record,)})
    alone = other.model_copy(update={"id": "2" * 64, "spike_ins": (record,)})
    assert name_bases([plain, spiked, alone]) == {"random (spike-in screen 0.1)": "random"}


def test_sizes_and_seeds_are_one_series_named_as_the_strategy(write: Write) -> None:
    assert named(write, selection(), selection(fraction=0.5), selection(seed=3), selection("sketch")) == [
        "random", "random", "random", "sketch",
    ]  # fmt: skip


def test_what_tells_two_series_of_a_strategy_apart_is_added(write: Write) -> None:
    names = named(
        write,
        selection("reweight", parameters={"by": ["cell_type"], "same": 1}),
        selection("reweight", parameters={"by": ["cell_type", "tissue"], "same": 1}),
        selection("random"),
    )
    assert names == ["reweight (by cell_type)", "reweight (by cell_type, tissue)", "random"]


def test_a_filter_makes_another_series(write: Write) -> None:
    assert named(write, selection(), selection(where="nnz >= 300")) == ["random", "random (where nnz >= 300)"]


def test_how_cells_are_split_makes_another_series(write: Write) -> None:
    cell = write("a", range(0, 600, 7))
    donor = write("b", range(0, 600, 7), splits=SplitRecord(unit="donor"))
    assert list(name_series([cell.document, donor.document]).values()) == [
        "random (split by cell)",
        "random (split by donor)",
    ]


def test_what_a_subset_was_spiked_with_and_how_makes_another_series(write: Write) -> None:
    document = write("a", range(0, 600, 7)).document
    ways: list[dict[str, Any]] = [{}, {"mode": "add"}, {"parameters": {"balance": "perturbation"}}]
    records = [SpikeInRecord(source="screen", id="5" * 64, fraction=0.1, **way) for way in ways]
    spiked = [
        document.model_copy(update={"id": str(at) * 64, "spike_ins": (record,)})
        for at, record in enumerate(records, start=1)
    ]
    assert list(name_series([document, *spiked]).values()) == [
        "random",
        "random (spike-in screen 0.1)",
        "random (spike-in screen 0.1 added)",
        "random (spike-in screen 0.1 balanced)",
    ]
