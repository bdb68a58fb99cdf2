"""Charts: the house theme and the files."""

from pathlib import Path
from typing import Any

import altair as alt
import pytest

from curate import charts
from curate.charts import (
    COLOURS,
    DASHES,
    SHAPES,
    colour_of,
    dash_of,
    framed,
    save_chart,
    series_legend,
    shape_of,
)
from curate.errors import WriteError


def chart_of(series: list[str]) -> alt.Chart:
    rows = [{"x": at, "y": at, "series": name} for at, name in enumerate(series)]
    points = alt.Chart(alt.InlineData(values=rows)).mark_point()
    encoded: alt.Chart = points.encode(x="x:Q", y="y:Q", color=colour_of(series), shape=shape_of(series))
    return encoded


def range_of(channel: Any) -> list[Any]:
    held: list[Any] = channel.to_dict()["scale"]["range"]
    return held


def test_a_chart_has_a_title_above_and_its_source_below(tmp_path: Path) -> None:
    chart = framed(chart_of(["a"]), title="A title", subtitle=["what is drawn"], source=["from where"])
    spec = chart.to_dict()
    assert spec["title"]["text"] == ["from where"]
    assert spec["title"]["orient"] == "bottom"
    assert spec["vconcat"][0]["title"]["text"] == "A title"
    path = tmp_path / "chart.svg"
    save_chart(chart, path)
    for expected in ("A title", "what is drawn", "from where", "Liberation Sans"):
        assert expected in path.read_text()


def test_series_differ_in_colour_and_in_shape() -> None:
    series = [f"series {at}" for at in range(12)]
    encoding = chart_of(series).to_dict()["encoding"]
    for channel, values, n in (("color", COLOURS, 12), ("shape", SHAPES, 7)):
        assert encoding[channel]["scale"]["domain"] == series
        assert encoding[channel]["scale"]["range"][:n] == list(values)
        assert len(set(values)) == n
        assert encoding[channel]["legend"] is None


def test_where_colours_begin_again_shapes_and_dashes_differ() -> None:
    series = [str(at) for at in range(40)]
    encoding = chart_of(series).to_dict()["encoding"]
    looks = [encoding[channel]["scale"]["range"] for channel in ("color", "shape")]
    dashes = range_of(dash_of(series, [0] * 40))
    assert looks[0][12:14] == list(COLOURS[:2])
    assert len(set(zip(*looks, strict=True))) == 40
    assert len(set(zip(looks[0], map(tuple, dashes), strict=True))) == 40


def test_a_series_like_another_has_its_colour_and_another_shape() -> None:
    series = ["a", "a spiked", "b", "b spiked"]
    like = {"a spiked": "a", "b spiked": "b"}
    colours, shapes = range_of(colour_of(series, like)), range_of(shape_of(series, like))
    assert colours == [COLOURS[0], COLOURS[0], COLOURS[1], COLOURS[1]]
    assert len(set(zip(colours, shapes, strict=True))) == 4
    many = [f"{name}{spiked}" for name in range(12) for spiked in ("", " spiked")]
    of_many = {name: name.removesuffix(" spiked") for name in many if "spiked" in name}
    dashes = range_of(dash_of(many, [0, 1] * 12, of_many))
    assert dashes == [list(DASHES[0]), list(DASHES[1])] * 12


def test_a_line_above_another_is_dashed() -> None:
    dashes = range_of(dash_of(["a", "b", "c"], [0, 1, 2]))
    assert dashes == [list(each) for each in DASHES[:3]]


def test_a_legend_names_every_series_in_lines_that_fit() -> None:
    series = [f"a rather long name of a series, {at}" for at in range(5)]
    legend = series_legend(series, width=500).to_dict()
    (rows,) = legend["datasets"].values()
    assert [row["series"] for row in rows] == series
    assert len({row["y"] for row in rows}) > 1
    assert all(row["x"] + 6.3 * len(row["series"]) < 500 for row in rows)


@pytest.mark.parametrize(("suffix", "begin"), [(".png", b"\x89PNG"), (".svg", b"<svg"), (".html", b"<")])
def test_the_name_of_the_file_says_the_format(tmp_path: Path, suffix: str, begin: bytes) -> None:
    paths = [tmp_path / f"{name}{suffix}" for name in ("one", "two")]
    for path in paths:
        save_chart(framed(chart_of(["a", "b"]), title="Title"), path)
    assert paths[0].read_bytes().lstrip().startswith(begin)
    assert suffix == ".html" or paths[0].read_bytes() == paths[1].read_bytes()


def test_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"chart\.pdf ends in none of \.png, \.svg, \.html"):
        save_chart(framed(chart_of(["a"]), title="Title"), tmp_path / "chart.pdf")
    assert list(tmp_path.iterdir()) == []


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "find_spec", lambda name: None if name == "vl_convert" else name)
    with pytest.raises(
        WriteError, match=r"needs vl_convert, not installed; pip install 'cellcurate\[report\]'"
    ):
        charts.check_charts()
