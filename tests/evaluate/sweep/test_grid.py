"""The document of a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from curate.errors import SweepError
from curate.evaluate.sweep.grid import Grid
from tests.evaluate.sweep.conftest import SMALL

if TYPE_CHECKING:
    from pathlib import Path


def parse(**changes: Any) -> Grid:
    from pathlib import Path

    return Grid.parse({**SMALL, **changes}, called="small.toml", folder=Path("/grids"))


def test_paths_lie_beside_the_document_and_other_places_stay() -> None:
    grid = parse()
    assert grid.beside("held") == "/grids/held"
    assert grid.beside("/data/x.h5ad") == "/data/x.h5ad"
    for place in ("census:tissue == 'lung'", "manifest:base:val", "s3://bucket/x.h5ad"):
        assert grid.beside(place) == place


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fraction": [0.1]}, "unknown key 'fraction'; did you mean 'fractions'"),
        ({"models": [{"nmae": "pca"}]}, "unknown key 'models.0.nmae'; did you mean 'name'"),
        ({"datasets": {"held": {"date": "held"}}}, "'datasets.held.date'; did you mean 'data'"),
        ({"split": {"ratio": [1, 0, 0]}}, "'split.ratio'; did you mean 'ratios'"),
        ({"format": 2}, "of format 2, this curate reads 1"),
        ({"seeds": [0, 1, 0]}, "0 is given twice"),
        ({"fractions": [0.0]}, r"fractions.0: Input should be greater than 0"),
        ({"models": [{"name": "pca"}, {"name": "pca"}]}, "'pca' of models is given twice; give one"),
        ({"strategies": [{"name": "random", "label": "all"}]}, "'all' is the whole corpus"),
        ({"tasks": [{"name": "classify", "datasets": ["hold"]}]}, r"no data set 'hold'; did you mean"),
        ({"exclude": [{}]}, "exclude.0: it names nothing"),
        ({"presets": ["medium"]}, "presets.0: Input should be 'tiny'"),
    ],
)
def test_a_document_that_does_not_fit_is_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SweepError, match=message) as error:
        parse(**changes)
    assert str(error.value).startswith("grid small.toml")
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_or_no_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match=r"no grid 'nowhere\.toml': No such file"):
        Grid.load("nowhere.toml")
    path = tmp_path / "grid.toml"
    path.write_text("name = ")
    with pytest.raises(SweepError, match="is not TOML"):
        Grid.load(path)


def test_labels_tell_spike_ins_and_budgets() -> None:
    grid = parse(
        strategies=[{"name": "random", "spike_ins": {"screen": 0.1}}],
        budgets=[{"max_steps": 100, "max_minutes": 2.5}, {}],
    )
    assert grid.strategies[0].called == "random+screen=0.1"
    assert [each.called for each in grid.budgets] == ["max_steps 100, max_minutes 2.5", "none"]
