"""Strategies of one's own: what a function may take, and what it must return."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from curate.build.selection import Parameter, Selection, Strategy
from curate.build.strategies import STRATEGIES
from curate.build.strategies.custom import is_path, loaded
from curate.build.strategies.named import label_of, settle
from curate.build.strategies.written import read_strategy, write_strategy
from curate.errors import SelectionError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

N_CELLS = 50
KEYS = np.random.default_rng(0).integers(0, 2**64, N_CELLS, dtype=np.uint64)
CELLS = pl.DataFrame({"cell_type": ["T cell"] * 30 + ["B cell"] * 20, "tissue": ["lung"] * N_CELLS})
EMBEDDING = np.random.default_rng(1).normal(size=(N_CELLS, 3)).astype(np.float32)
HEADER = "import numpy as np\nfrom curate.build.selection import Selection\n"


@pytest.fixture
def own(tmp_path: Path) -> Callable[[str], str]:
    """Write the body of a file; return what names the function `choose` in it."""

    def write(body: str) -> str:
        path = tmp_path / "own.py"
        path.write_text(HEADER + body)
        return f"{path}:choose"

    return write


def select(given: Any, n: int = 10, *, seed: int = 0, **parameters: object) -> Selection:
    settled = settle(given, parameters)
    strategy = settled.strategy
    return strategy.select(
        CELLS.select(strategy.columns(settled.settings)),
        EMBEDDING if strategy.needs_embedding else None,
        n,
        keys=KEYS,
        rng=np.random.default_rng(seed),
        **settled.settings,
    )


def test_a_function_takes_by_name_what_it_needs(own: Callable[[str], str]) -> None:
    name = own("def choose(n, keys):\n    '''The smallest keys.'''\n    return np.argsort(keys)[:n]\n")
    strategy = settle(name).strategy
    assert (strategy.needs_embedding, strategy.reads) == (False, ())
    assert strategy.summary == "The smallest keys."
    np.testing.assert_array_equal(select(name).rows, np.sort(np.argsort(KEYS)[:10]))
    name = own(
        "def choose(cells, embedding, n, *, keys, rng):\n"
        "    assert cells.columns == ['tissue', 'cell_type']\n"
        "    assert embedding.shape == (50, 3)\n"
        "    return Selection(rng.permutation(keys.size)[:n], notes={'n_cells': cells.height})\n"
        "choose.columns = ['tissue', 'cell_type']\n"
    )
    assert settle(name).strategy.needs_embedding
    found = select(name)
    assert (np.diff(found.rows) > 0).all()
    assert found.notes == {"n_cells": 50}
    assert not np.array_equal(select(name, seed=1).rows, found.rows)


def test_settings_are_what_has_a_default_and_are_read_as_it_is(own: Callable[[str], str]) -> None:
    name = own(
        "def choose(n, first: int = 3, *, share=0.5, kind='a', flag=False):\n"
        "    return range(first, first + n)\n"
    )
    settled = settle(f"{name}(first=7, kind=x y, share=0.25, flag=yes)")
    assert {key: held for key, held in settled.settings.items() if key != "sha256"} == {
        "first": 7,
        "share": 0.25,
        "kind": "x y",
        "flag": True,
    }
    assert select(f"{name}(first=7)").rows.tolist() == list(range(7, 17))
    assert select(name, first="9").rows.tolist() == list(range(9, 19))
    for written, message in (
        ("first=x", "first=x is not a whole number"),
        ("first=1.5", "first=1.5 is not a whole number"),
        ("share=nan", "share=nan is not a number"),
        ("flag=perhaps", "flag=perhaps is neither yes nor no"),
        ("other=1", "choose has no parameter 'other'; it has: first, share, kind, flag$"),
    ):
        with pytest.raises(SelectionError, match=message):
            settle(f"{name}({written})")
    with pytest.raises(SelectionError, match="given first twice: 7 in brackets and 8"):
        settle(f"{name}(first=7)", {"first": 8})


def test_the_hash_of_the_file_is_a_setting_that_cannot_be_another(
    own: Callable[[str], str], tmp_path: Path
) -> None:
    name = own("def choose(n):\n    return range(n)\n")
    digest = hashlib.sha256((tmp_path / "own.py").read_bytes()).hexdigest()
    settled = settle(name)
    assert (settled.name, settled.settings) == ("own.py:choose", {"sha256": digest})
    with pytest.raises(SelectionError, match=f"own.py:choose has sha256 {digest[:12]}, not 0000"):
        settle(name, {"sha256": "0" * 64})
    own("def choose(n):\n    return range(n)  # changed\n")
    assert settle(name).settings["sha256"] != digest
    assert loaded("own.py:choose", digest) is not None
    assert loaded("own.py:choose", "0" * 64) is None


def test_a_file_may_hold_a_whole_strategy(own: Callable[[str], str]) -> None:
    name = own(
        "from curate.build.selection import Parameter, Strategy\n"
        "def pick(cells, embedding, n, *, keys, rng, step, start):\n"
        "    return Selection(start + step * np.arange(n), weights=np.full(n, 2.0))\n"
        "def prepare(embedding, **settings):\n"
        "    return {'start': 1}\n"
        "choose = Strategy(pick, 'Every so many.', 'nobody', nested=True, prepare=prepare,\n"
        "    parameters=(Parameter('step', 2, int, 'N', 'How many.'),))\n"
    )
    strategy = settle(name).strategy
    assert (strategy.nested, strategy.reference) == (True, "nobody")
    assert strategy.prepare is not None
    settings = strategy.resolve({"step": 3})
    found = strategy.select(CELLS, None, 5, keys=KEYS, rng=np.random.default_rng(0), start=1, **settings)
    assert found.rows.tolist() == [1, 4, 7, 10, 13]
    assert found.weights is not None
    assert found.weights.dtype == np.float32


def test_a_function_or_a_strategy_may_be_given_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "held.py").write_text("def last(n, keys):\n    return range(keys.size - n, keys.size)\n")
    monkeypatch.syspath_prepend(tmp_path)
    import held  # type: ignore[import-not-found]

    settled = settle(held.last)
    digest = hashlib.sha256((tmp_path / "held.py").read_bytes()).hexdigest()
    assert (settled.name, settled.settings) == ("held.py:last", {"sha256": digest})
    assert settled.name == settle(f"{tmp_path}/held.py:last").name
    assert select(held.last).rows.tolist() == list(range(40, 50))
    own = Strategy(
        STRATEGIES["random"].select, "Another.", "none", parameters=(Parameter("x", 1, str, "N", "-"),)
    )
    assert settle(own).name == "random.py:random"
    assert settle(STRATEGIES["random"]).name == "random"
    assert settle(STRATEGIES["random"]).settings == {}
    with pytest.raises(SelectionError, match="the source of the_function cannot be read"):
        namespace: dict[str, Any] = {}
        exec("def the_function(n):\n    return range(n)\n", namespace)
        settle(namespace["the_function"])
    with pytest.raises(SelectionError, match="3 is no strategy"):
        settle(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return np.zeros(n, int)", "returned 10 rows of which 1 are distinct, row 0 more than once"),
        ("return np.arange(n - 1)", "returned 9 rows where 10 were asked for"),
        ("return np.arange(n + 5)", "returned 15 rows where 10 were asked for"),
        (
            "return np.arange(n) + 45",
            "returned row 50, but rows go from 0 to 49; 5 rows of 10 are out of range",
        ),
        ("return np.arange(n) - 1", "returned row -1, but rows go from 0 to 49; 1 row of 10"),
        ("return np.arange(n) / 1", r"whole numbers in one dimension, .* it returned ndarray .float64, 10."),
        ("return np.arange(2 * n).reshape(2, n)", "it returned ndarray .int64, 2 x 10."),
        ("return np.arange(50) < n", "it returned a mask: np.flatnonzero.mask. has its rows"),
        ("return None", "it returned NoneType"),
        ("return 'all'", "it returned str"),
        ("return {'rows': 1}", "it returned dict"),
        ("return [[1, 2], [3]]", "it returned list"),
        ("return []", "returned 0 rows where 10 were asked for"),
        (
            "return np.random.permutation(50)[:n]",
            r"not deterministic: called twice .* of 10 differ; draw by keys",
        ),
        ("keys[0] = 0", r"raised ValueError: assignment destination is read-only .line 4 of own.py."),
        ("return [][n]", r"own.py:choose raised IndexError: list index out of range .line 4 of own.py."),
        ("raise SystemExit('bye')", r"raised SystemExit: bye .line 4 of own.py."),
        (
            "return Selection(np.arange(n), weights=np.zeros(n))",
            "weights that are not one finite number above 0",
        ),
        (
            "return Selection(np.arange(n), weights=np.ones(3))",
            "weights that are not one finite number above 0",
        ),
        (
            "return Selection(np.arange(n), rank=np.zeros(n, int))",
            "a rank that is not a distinct whole number",
        ),
        (
            "return Selection(np.arange(n), notes={'x': [1]})",
            r"the note x=\[1\]; notes are numbers and texts",
        ),
    ],
)
def test_what_a_function_does_wrong_is_told_in_one_line(
    body: str, message: str, own: Callable[[str], str]
) -> None:
    name = own(f"def choose(n, keys):\n    {body}\n")
    with pytest.raises(SelectionError, match=message) as told:
        select(name)
    assert "\n" not in str(told.value)


def test_weights_that_differ_between_two_calls_are_told(own: Callable[[str], str]) -> None:
    name = own(
        "calls = []\ndef choose(n):\n    calls.append(n)\n"
        "    return Selection(np.arange(n), weights=np.full(n, len(calls)))\n"
    )
    with pytest.raises(SelectionError, match=r"not deterministic: .* weights or rank differ"):
        select(name)


def test_rows_in_any_order_come_out_ascending_with_their_weights_and_rank(own: Callable[[str], str]) -> None:
    name = own(
        "def choose(n):\n"
        "    rows = np.arange(n)[::-1]\n"
        "    return Selection(rows, weights=1.0 + rows, rank=np.arange(n))\n"
    )
    found = select(name, 4)
    assert found.rows.tolist() == [0, 1, 2, 3]
    assert found.weights is not None
    assert found.rank is not None
    assert found.weights.tolist() == [1, 2, 3, 4]
    assert found.rank.tolist() == [3, 2, 1, 0]


def test_too_many_cells_are_refused_before_it_is_called(own: Callable[[str], str]) -> None:
    name = own("def choose(n):\n    raise AssertionError\n")
    with pytest.raises(SelectionError, match="51 cells asked for, but only 50 to choose from"):
        select(name, 51)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def choose(keys):\n    return keys", "own.py:choose does not take n"),
        (
            "def choose(n, what):\n    return n",
            "takes 'what', which no strategy is given; it may take cells, embedding",
        ),
        ("def choose(n, *what):\n    return n", "takes 'what', which no strategy is given"),
        (
            "def choose(n, what=None):\n    return n",
            "takes 'what', .* a setting has a number, a text, True or False",
        ),
        ("def choose(n, *, what):\n    return n", "takes 'what', which no strategy is given; a setting has"),
        (
            "def choose(cells, n):\n    return n",
            r"takes cells, but .* add: choose.columns = \('cell_type',\)",
        ),
        (
            "def choose(n):\n    return n\nchoose.columns = 'tissue'",
            "names columns tissue, but does not take cells",
        ),
        ("def chose(n):\n    return n", "own.py has no function 'choose'; did you mean 'chose'"),
        ("choose = 3", "own.py has no function 'choose'; there are: none"),
        ("def choose(n:\n", r"own.py cannot be run: SyntaxError: '\(' was never closed .line 3 of own.py."),
        ("x = 1 / 0", "own.py cannot be run: ZeroDivisionError: division by zero .line 3 of own.py."),
        ("import not_there_at_all", "own.py cannot be run: ModuleNotFoundError: No module named"),
    ],
)
def test_what_cannot_be_a_strategy_is_refused_before_anything_is_read(
    body: str, message: str, own: Callable[[str], str]
) -> None:
    modules = set(sys.modules)
    with pytest.raises(SelectionError, match=message):
        settle(own(body))
    assert not [name for name in set(sys.modules) - modules if "zero" in name]


def test_a_file_that_is_not_there_is_told_with_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(
        SelectionError, match=r"nowhere.py:choose: there is no such file; name one as path/to"
    ):
        settle(f"{tmp_path}/nowhere.py:choose")
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(SelectionError, match=r"it cannot be read .Is a directory."):
        settle(f"{tmp_path}/folder.py:choose")


def test_a_file_is_run_once_for_the_same_bytes_and_leaves_nothing_beside_it(
    own: Callable[[str], str], tmp_path: Path
) -> None:
    name = own(
        "with open(__file__ + '.runs', 'a') as runs:\n    runs.write('x')\n"
        "def choose(n):\n    return range(n)\n"
    )
    settle(name)
    settle(name)
    assert (tmp_path / "own.py.runs").read_text() == "x"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own.py", "own.py.runs"]


@pytest.mark.parametrize(
    ("text", "name", "settings"),
    [
        ("random", "random", {}),
        ("sketch()", "sketch", {}),
        (" sketch( k = 100 , alpha=0.2)", "sketch", {"k": "100", "alpha": "0.2"}),
        ("reweight(by=cell_type, tissue)", "reweight", {"by": "cell_type,tissue"}),
        ("a (1)/own.py:choose(k=2)", "a (1)/own.py:choose", {"k": "2"}),
        (
            "combine(parts=0.5 sketch(k=1, alpha=0.2) + 0.5 random)",
            "combine",
            {"parts": "0.5 sketch(k=1, alpha=0.2) + 0.5 random"},
        ),
    ],
)
def test_strategies_are_written_with_their_settings(text: str, name: str, settings: dict[str, str]) -> None:
    assert read_strategy(text) == (name, settings)
    assert read_strategy(write_strategy(name, settings)) == (name, settings)


def test_settings_are_written_as_the_command_line_reads_them() -> None:
    settings = settle("sketch", {"k": 0.5, "replace": True}).settings
    assert write_strategy("sketch", settings) == (
        "sketch(k=0.5, alpha=0.1, max_iter=200, replace=yes, engine=curate)"
    )
    assert settle(write_strategy("sketch", settings)).settings == settings
    by = settle("reweight", {"by": "cell_type,tissue"}).settings
    assert settle(write_strategy("reweight", by)).settings == by


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sketch(k=1, k=2)", "names k twice"),
        ("sketch(100)", "'100' is no setting; write sketch.name=value."),
        ("sketch k=1)", "closes a bracket that it does not open"),
    ],
)
def test_settings_that_do_not_parse_are_refused(text: str, message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        settle(text)


def test_names_of_files_are_told_from_names() -> None:
    assert is_path("own.py:choose")
    assert is_path("folder/own:choose")
    assert not is_path("sketch")
    assert not is_path("sketch:k")
    assert label_of("own.py:choose") == "own.py-choose"
    assert label_of("_my own (1).py:_choose") == "my-own-1-.py-_choose"
