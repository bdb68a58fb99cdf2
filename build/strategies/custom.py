"""Strategies of one's own: a function in a file, held to what every strategy promises.

1. the file is read once: these bytes are hashed, and these bytes are run;
2. the function becomes a strategy by its signature: it takes by name what it needs;
3. whenever it chooses it is checked (`checked.py`), and the hash is one of its settings, so that manifests
   record it and their ids depend on it.

Only what a user names is run. The name and the hash that a manifest records are never followed to a file.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import linecache
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from curate.build.selection import Parameter, Strategy
from curate.build.strategies.checked import checked, told
from curate.build.strategies.settings import as_number, yes_no
from curate.errors import SelectionError
from curate.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from curate.build.selection import Selection

INPUTS = ("cells", "embedding", "n", "keys", "rng")
DIGEST = "sha256"
USAGE = "path/to/file.py:function"

#: Strategies by name and hash: what was loaded is found again by what is recorded of it.
_loaded: dict[tuple[str, str], Strategy] = {}


def is_path(name: str) -> bool:
    """Tell whether a name is that of a function in a file."""
    path, colon, _ = name.rpartition(":")
    return bool(colon) and (path.endswith(".py") or "/" in path)


def check_function_named(name: str) -> None:
    """Refuse a file without a function, naming those that it has; the file is not run.

    Raises
    ------
    SelectionError
        When the name is that of a Python file alone.
    """
    if not name.endswith(".py"):
        return
    try:
        body = ast.parse(Path(name).expanduser().read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        raise SelectionError(f"{name} names no function; name one as {USAGE}") from None
    functions = [each.name for each in body if isinstance(each, ast.FunctionDef) and each.name[0] != "_"]
    has = f"it has {', '.join(functions)}" if functions else "it has none"
    example = functions[0] if functions else "function"
    raise SelectionError(f"{name} names no function ({has}); name one as {name}:{example}")


def load_custom(name: str) -> tuple[str, Strategy]:
    """Run a file and return the strategy that stands in it.

    Parameters
    ----------
    name
        "path/to/file.py:function"; instead of a function it may be a Strategy.

    Returns
    -------
    "file.py:function", and the strategy, which checks itself.

    Raises
    ------
    SelectionError
        When there is no such file or function, running the file raises, or the function takes what no
        strategy is given.
    """
    path_text, _, function = name.rpartition(":")
    path = Path(path_text).expanduser()
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = "there is no such file" if not path.exists() else f"it cannot be read ({error.strerror})"
        raise SelectionError(f"no strategy {name}: {reason}; name one as {USAGE}") from None
    recorded, digest = f"{path.name}:{function}", hashlib.sha256(content).hexdigest()
    if (recorded, digest) not in _loaded:
        held = _member(_run(path.resolve(), content, digest), path.name, function)
        _loaded[recorded, digest] = _strategy(held, name=recorded, path=str(path.resolve()), digest=digest)
    return recorded, _loaded[recorded, digest]


def loaded(name: str, digest: str) -> Strategy | None:
    """Return the strategy of this recorded name and hash, if this process has loaded it; reads no file."""
    return _loaded.get((name, digest))


def custom_strategy(given: Callable[..., Any] | Strategy) -> tuple[str, Strategy]:
    """Return a function, or a Strategy, as a strategy that checks itself, and the name it is recorded by.

    Its hash is that of the file that it stands in; of a function typed into a session, that of its text.

    Raises
    ------
    SelectionError
        When neither can be read, or the function takes what no strategy is given.
    """
    function = given.select if isinstance(given, Strategy) else given
    if not callable(function):
        raise SelectionError(f"{given!r} is no strategy; give a name, a function or a Strategy")
    name = getattr(function, "__name__", type(function).__name__)
    try:
        path = inspect.getsourcefile(function) or ""
        if Path(path).is_file():
            content, recorded = Path(path).read_bytes(), f"{Path(path).name}:{name}"
        else:
            content, recorded = inspect.getsource(function).encode(), name
    except (OSError, TypeError):
        raise SelectionError(
            f"the source of {name} cannot be read, so that no manifest could tell it; put it into a file and "
            f"name it as {USAGE}"
        ) from None
    digest = hashlib.sha256(content).hexdigest()
    strategy = _strategy(given, name=recorded, path=path, digest=digest)
    _loaded[recorded, digest] = strategy
    return recorded, strategy


def _run(path: Path, content: bytes, digest: str) -> ModuleType:
    module = ModuleType(f"curate_strategy_{digest[:16]}")
    module.__file__ = str(path)
    # Where classes of the file look for their own module.
    sys.modules[module.__name__] = module
    linecache.checkcache(str(path))
    try:
        exec(compile(content, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise SelectionError(f"{path.name} cannot be run: {told(error, str(path))}") from error
    return module


def _member(module: ModuleType, file: str, name: str) -> Any:
    held = getattr(module, name, None)
    if held is None or not (callable(held) or isinstance(held, Strategy)):
        own = module.__name__
        functions = [
            key
            for key, value in vars(module).items()
            if isinstance(value, Strategy) or (inspect.isfunction(value) and value.__module__ == own)
        ]
        raise SelectionError(f"{file} has no function {name!r}; {nearest(name, functions)}")
    return held


def _strategy(given: Callable[..., Any] | Strategy, *, name: str, path: str, digest: str) -> Strategy:
    """Return what was given as a strategy that checks itself and has its hash as a setting."""
    card = given if isinstance(given, Strategy) else _card(given, name)
    return replace(
        card,
        select=checked(card.select, name=name, path=path, leaving_out=DIGEST),
        parameters=(*card.parameters, _digest_parameter(name, digest)),
    )


def _card(function: Callable[..., Any], name: str) -> Strategy:
    """Return a function as a strategy, by what it takes."""
    taken, settings = [], []
    for each in inspect.signature(function).parameters.values():
        if each.name in INPUTS and each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY):
            taken.append(each.name)
        elif each.kind is each.KEYWORD_ONLY or (
            each.kind is each.POSITIONAL_OR_KEYWORD and each.default is not each.empty
        ):
            settings.append(_setting(each, name))
        elif each.kind is not each.VAR_KEYWORD:
            raise SelectionError(
                f"{name} takes {each.name!r}, which no strategy is given; it may take {', '.join(INPUTS)} by "
                "name, and settings that have a default"
            )
    if "n" not in taken:
        raise SelectionError(f"{name} does not take n, the number of cells to choose; add it")
    columns = _columns(function, name, takes_cells="cells" in taken)

    def select(
        cells: Any, embedding: Any, n: int, *, keys: Any, rng: np.random.Generator, **given: Any
    ) -> Selection:
        inputs = {"cells": cells, "embedding": embedding, "n": n, "keys": keys, "rng": rng}
        result: Selection = function(**{key: inputs[key] for key in taken}, **given)
        return result

    select.__name__ = getattr(function, "__name__", name)
    text = (inspect.getdoc(function) or "").partition("\n")[0].strip()
    return Strategy(
        select=select,
        summary=text or "A strategy of your own.",
        reference=name,
        parameters=tuple(settings),
        reads=columns,
        needs_embedding="embedding" in taken,
        growth="unknown",
    )


def _columns(function: Callable[..., Any], name: str, *, takes_cells: bool) -> tuple[str, ...]:
    named = getattr(function, "columns", ())
    columns = (named,) if isinstance(named, str) else tuple(named)
    if takes_cells != bool(columns):
        short = name.rpartition(":")[2]
        raise SelectionError(
            f"{name} takes cells, but does not say which obs columns; add: {short}.columns = ('cell_type',)"
            if takes_cells
            else f"{name} names columns {', '.join(columns)}, but does not take cells; add it"
        )
    return columns


def _setting(each: inspect.Parameter, name: str) -> Parameter:
    default = each.default
    if isinstance(default, bool):
        return Parameter(each.name, default, yes_no(each.name), "yes|no", f"Setting of {name}.")
    if isinstance(default, (int, float)):
        parse = _number(each.name, is_whole=isinstance(default, int))
        metavar = "N" if isinstance(default, int) else "NUMBER"
        return Parameter(each.name, default, parse, metavar, f"Setting of {name}.")
    if isinstance(default, str):
        return Parameter(each.name, default, str, "TEXT", f"Setting of {name}.")
    raise SelectionError(
        f"{name} takes {each.name!r}, which no strategy is given; a setting has a number, a text, True "
        f"or False as default, the rest is {', '.join(INPUTS)}"
    )


def _number(name: str, *, is_whole: bool) -> Callable[[object], int | float]:
    def parse(value: object) -> int | float:
        number = as_number(value)
        if number - number != 0 or (is_whole and not number.is_integer()):
            raise SelectionError(f"{name}={value} is not a {'whole ' if is_whole else ''}number")
        return int(number) if is_whole else number

    return parse


def _digest_parameter(name: str, digest: str) -> Parameter:
    def parse(value: object) -> str:
        if value != digest:
            raise SelectionError(
                f"{name} has sha256 {digest[:12]}, not {str(value)[:12]}: it is another file"
            )
        return digest

    return Parameter(DIGEST, digest, parse, "SHA256", "Of the file; it is recorded.", is_chosen=False)
