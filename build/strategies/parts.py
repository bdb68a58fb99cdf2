"""The parts of a recipe: how they are written, and how many cells each is due."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from curate.build.strategies.written import read_strategy, split_outside
from curate.errors import SelectionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from curate.build.strategies.named import Settled

DECIMALS = 4
USAGE = "write '0.5 sketch + 0.5 random'"

_PLUS = r"\+(?=\s*[0-9.]+(?:\s|$))"
_PART = re.compile(r"\s*(?P<share>[0-9.]+)\s+(?P<strategy>\S.*?)\s*", re.DOTALL)


def parse_parts(value: object) -> list[dict[str, Any]]:
    """Read a recipe.

    Parameters
    ----------
    value
        "0.5 sketch(k=100) + 0.3 reweight + 0.2 random", or what this returned.

    Returns
    -------
    For each part its "share", "strategy" and "parameters", all of them, as manifests record it.

    Raises
    ------
    SelectionError
        When it does not parse, shares do not add up to 1, or a strategy or one of its settings is unknown.
    """
    parts = [_written(text) for text in split_outside(value, _PLUS)] if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or len(parts) < 2:
        raise SelectionError(f"parts={value} is no recipe of two parts or more; {USAGE}")
    shares = [_share(part["share"]) for part in parts]
    if sum(shares) != 1:
        told = " + ".join(f"{float(share):g}" for share in shares)
        raise SelectionError(f"the shares {told} add up to {float(sum(shares)):g}, not to 1; mend one")
    return [
        {"share": float(share), "strategy": name, "parameters": parameters}
        for share, part in zip(shares, parts, strict=True)
        for name, parameters in [_canonical(part)]
    ]


def settle_part(part: Mapping[str, Any]) -> Settled:
    """Return the strategy of a part, with its settings.

    Raises
    ------
    SelectionError
        When there is no such strategy, or it cannot be a part.
    """
    from curate.build.strategies.custom import DIGEST, loaded
    from curate.build.strategies.named import Settled, settle

    name, parameters = part["strategy"], dict(part["parameters"])
    # A function in a file is recorded without its folder; it was loaded when the recipe was read.
    own = loaded(name, parameters[DIGEST]) if DIGEST in parameters else None
    if own is not None:
        settings = own.resolve(parameters)
        return Settled(name, own.settled(settings), settings)
    settled = settle(name, parameters)
    if settled.name == "combine":
        raise SelectionError("combine cannot be a part of itself; write its parts out")
    if settled.settings.get("replace") is True:
        raise SelectionError(
            f"{settled.name} draws with replacement here, and a part gives as many cells as its share says; "
            "leave replace out"
        )
    return settled


def part_quotas(shares: Sequence[float], n: int) -> list[int]:
    """Share `n` among parts, each to within one of its exact share, so that no quota shrinks as `n` grows.

    Where the shares of `n` are whole, they are the quotas. In between the next cell goes to the part with the
    largest share per cell that it would then have, among those that are not to exceed their share rounded up.
    Ties go to the earlier part.

    Parameters
    ----------
    shares
        Of up to 4 decimals, adding up to 1.

    References
    ----------
    Balinski and Young, The quota method of apportionment, American Mathematical Monthly 1975, doi
    10.2307/2318729.
    """
    exact = [_share(share) for share in shares]
    period = math.lcm(*(share.denominator for share in exact))
    weights = [int(share * period) for share in exact]
    n_periods, rest = divmod(n, period)
    more = [0] * len(weights)
    for size in range(1, rest + 1):
        able = [at for at, weight in enumerate(weights) if more[at] * period < weight * size]
        more[max(able, key=lambda at: (Fraction(weights[at], more[at] + 1), -at))] += 1
    return [weight * n_periods + extra for weight, extra in zip(weights, more, strict=True)]


def _written(text: str) -> dict[str, Any]:
    found = _PART.fullmatch(text)
    if found is None:
        raise SelectionError(f"{text.strip()!r} is no part, a share and a strategy; {USAGE}")
    name, parameters = read_strategy(found["strategy"])
    return {"share": found["share"], "strategy": name, "parameters": parameters}


def _canonical(part: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    settled = settle_part(part)
    # As JSON has it, so that a recipe that was read from a manifest is the same.
    plain = {key: list(held) if isinstance(held, tuple) else held for key, held in settled.settings.items()}
    return settled.name, plain


def _share(value: object) -> Fraction:
    try:
        share = Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        share = Fraction(0)
    if not 0 < share <= 1 or (share * 10**DECIMALS).denominator != 1:
        raise SelectionError(
            f"{value} is no share; give one above 0 and at most 1, of up to {DECIMALS} decimals"
        )
    return share
