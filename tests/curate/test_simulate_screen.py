"""The simulated screen: its file, its cells, and whether its known effects are in its counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from curate.errors import CurateError, WriteError
from curate.h5ad.source import H5adSource
from curate.simulate import screen as module
from curate.simulate import simulate_screen
from curate.simulate.expression import NAMED_GENES
from curate.simulate.genes import gene_panel
from curate.simulate.screen import SYMBOLS
from curate.simulate.targets import CELL_LINES, CONTROL

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture(scope="module")
def screen_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("screen") / "screen.h5ad"
    simulate_screen(path, n_cells=4_000, n_genes=300, seed=1)
    return path


@pytest.fixture(scope="module")
def screen(screen_path: Path) -> ad.AnnData:
    return ad.read_h5ad(screen_path)


@pytest.fixture(scope="module")
def measured(screen: ad.AnnData) -> dict[tuple[str, str], NDArray[np.float64]]:
    """The log2 fold change of every gene's share against the controls of the line, by target and line."""
    counts = screen.X.toarray().astype(np.float64)
    shares = counts / counts.sum(axis=1, keepdims=True)
    changes = {}
    for line in CELL_LINES:
        of_line = (screen.obs["cell_line"] == line).to_numpy()
        control = shares[of_line & screen.obs["is_control"].to_numpy()].mean(axis=0)
        for target in SYMBOLS:
            of = of_line & (screen.obs["perturbation"] == target).to_numpy()
            changes[target, line] = np.log2((shares[of].mean(axis=0) + 1e-5) / (control + 1e-5))
    return changes


def test_file_holds_cells_and_genes_asked_for_and_says_that_it_is_simulated(screen: ad.AnnData) -> None:
    assert screen.shape == (4_000, 300)
    assert "imulated" in screen.uns["source"]
    assert screen.obs_names.str.startswith("simulated").all()
    assert screen.obs_names.is_unique
    assert set(SYMBOLS) < set(screen.var["feature_name"])
    assert screen.var_names.str.fullmatch(r"ENSG\d{11}").all()


def test_counts_are_whole_numbers(screen: ad.AnnData) -> None:
    assert screen.X.dtype == np.float32
    assert np.array_equal(screen.X.data, np.floor(screen.X.data))
    assert screen.X.data.min() >= 1


def test_it_is_a_source_of_counts(screen_path: Path, screen: ad.AnnData) -> None:
    with H5adSource.open(screen_path) as source:
        assert (source.n_cells, source.n_genes) == screen.shape


def test_a_quarter_of_the_cells_are_controls_and_the_others_share_targets_lines_and_guides(
    screen: ad.AnnData,
) -> None:
    obs = screen.obs
    assert (obs["is_control"] == (obs["perturbation"] == CONTROL)).all()
    assert obs["is_control"].sum() == 1_000
    sizes = obs[~obs["is_control"]].groupby(["perturbation", "cell_line"], observed=True).size()
    assert len(sizes) == 2 * len(SYMBOLS)
    assert (sizes.min(), sizes.max()) == (50, 75)
    guides = obs.groupby("perturbation", observed=True)["guide_id"].unique()
    assert all(sorted(ids) == [f"{target}_g1", f"{target}_g2"] for target, ids in guides.items())


def test_working_guides_silence_their_target_and_the_others_do_not(
    screen: ad.AnnData, measured: dict[tuple[str, str], NDArray[np.float64]]
) -> None:
    symbols = screen.var["feature_name"].tolist()
    truth = screen.uns["known_targets"]
    assert truth["has_effect"].sum() == 34
    assert len(truth) == 48
    for row in truth.itertuples():
        change = measured[row.target, row.cell_line][symbols.index(row.target)]
        if row.has_effect:
            assert change < -1
        else:
            assert abs(change) < 0.7


def test_known_effects_are_in_the_counts(
    screen: ad.AnnData, measured: dict[tuple[str, str], NDArray[np.float64]]
) -> None:
    effects = screen.uns["known_effects"]
    assert set(effects["kind"]) == {"knockdown", "downstream"}
    strong = effects[(effects["kind"] == "downstream") & (effects["log2_fold_change"].abs() > 1)]
    where = {feature_id: j for j, feature_id in enumerate(screen.var_names)}
    found = [
        measured[target, line][where[feature_id]]
        for target, line, feature_id in strong[["target", "cell_line", "feature_id"]].itertuples(index=False)
    ]
    assert len(found) > 100
    assert np.corrcoef(found, strong["log2_fold_change"])[0, 1] > 0.8
    assert np.mean(np.sign(found) == np.sign(strong["log2_fold_change"])) > 0.9


def test_genes_without_a_known_effect_hardly_change(
    screen: ad.AnnData, measured: dict[tuple[str, str], NDArray[np.float64]]
) -> None:
    effects = screen.uns["known_effects"]
    is_high = np.asarray(screen.X.mean(axis=0)).ravel() > 1
    for (target, line), change in measured.items():
        of = effects[(effects["target"] == target) & (effects["cell_line"] == line)]
        quiet = is_high & ~screen.var_names.isin(of["feature_id"])
        assert np.median(np.abs(change[quiet])) < 0.25


def test_second_line_responds_partly_otherwise(screen: ad.AnnData) -> None:
    effects = screen.uns["known_effects"]
    downstream = effects[effects["kind"] == "downstream"]
    table = downstream.pivot_table(
        index=["target", "feature_id"], columns="cell_line", values="log2_fold_change", fill_value=0.0
    )
    of = table.loc["HSPA5"]
    assert 0.5 < np.corrcoef(of["K562"], of["RPE1"])[0, 1] < 0.99
    assert set(table.loc["GATA1"]["RPE1"]) == {0.0}
    assert set(table.loc["TP53"]["K562"]) == {0.0}


def test_targets_of_one_pathway_have_similar_effects(screen: ad.AnnData) -> None:
    effects = screen.uns["known_effects"]
    of = effects[(effects["kind"] == "downstream") & (effects["cell_line"] == "K562")].pivot_table(
        index="feature_id", columns="target", values="log2_fold_change", fill_value=0.0
    )
    together, apart = of["GATA1"].corr(of["KLF1"]), of["GATA1"].corr(of["RPL5"])
    assert together > 0.5 > abs(apart)


def test_most_genes_are_those_of_the_atlas(tmp_path: Path) -> None:
    simulate_screen(tmp_path / "wide.h5ad", n_cells=500, n_genes=1_500)
    ids = ad.read_h5ad(tmp_path / "wide.h5ad", backed="r").var_names
    shared = ids.isin(gene_panel(1_500, named=NAMED_GENES)["feature_id"].to_list()).mean()
    assert 0.85 < shared < 1


def test_same_seed_gives_the_same_screen_and_another_seed_another(tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.h5ad" for name in ("first", "again", "other")}
    for name, path in files.items():
        simulate_screen(path, n_cells=500, n_genes=150, seed=8 if name == "other" else 7)
    first, again, other = (ad.read_h5ad(path) for path in files.values())
    assert np.array_equal(first.X.toarray(), again.X.toarray())
    assert first.obs.equals(again.obs)
    pd.testing.assert_frame_equal(first.uns["known_effects"], again.uns["known_effects"])
    assert not np.array_equal(first.X.toarray(), other.X.toarray())
    assert not first.uns["known_effects"].equals(other.uns["known_effects"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.h5ad", "first.h5ad", "other.h5ad"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_cells": 100}, "screen of 100 cells is too small; simulate at least 500"),
        ({"n_genes": 100}, "panel of 100 genes cannot be simulated; give between 137 and"),
        ({"seed": -5}, "seed -5 is negative; give 0 or more"),
    ],
)
def test_sizes_that_do_not_work_are_refused(tmp_path: Path, settings: dict[str, int], message: str) -> None:
    with pytest.raises(CurateError, match=message):
        simulate_screen(tmp_path / "screen.h5ad", **settings)
    assert not list(tmp_path.iterdir())


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: ad.AnnData, path: Path, **_: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ad.AnnData, "write_h5ad", full)
    with pytest.raises(WriteError, match="No space left"):
        simulate_screen(tmp_path / "screen.h5ad", n_cells=500, n_genes=150)
    assert not list(tmp_path.iterdir())


def test_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "draw_counts", interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulate_screen(tmp_path / "screen.h5ad", n_cells=500, n_genes=150)
    assert not list(tmp_path.iterdir())
