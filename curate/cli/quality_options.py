"""Which cells are good enough: the options, the same for every command that chooses cells."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from curate.cli.companions import goes_with_option

if TYPE_CHECKING:
    from collections.abc import Callable

COUNT, LEVEL = click.IntRange(min=1), click.FloatRange(min=0)


def quality_options(function: Callable[..., None]) -> Callable[..., None]:
    """Offer the rules on quality; the command gets them as one `quality: QualityRules`."""
    options = {
        "primary_only": {"is_flag": True, "help": "Leave out cells that are copies of others."},
        "min_counts": {"type": COUNT, "help": "Fewest counts of a cell (raw_sum)."},
        "max_counts": {"type": COUNT, "help": "Most counts of a cell (raw_sum)."},
        "min_genes": {"type": COUNT, "help": "Fewest detected genes of a cell (nnz)."},
        "max_genes": {"type": COUNT, "help": "Most detected genes of a cell (nnz)."},
        "max_mito": {"type": LEVEL, "help": "Largest share of mitochondrial counts, such as 0.2."},
        "max_doublet_score": {"type": LEVEL, "help": "Largest doublet score."},
        "min_cells_per_donor": {"type": COUNT, "help": "Fewest cells of a donor of a dataset that are left."},
        "mito_column": {"metavar": "COLUMN", "help": "Of --max-mito.  [default: mito_share]"},
        "doublet_column": {"metavar": "COLUMN", "help": "Of --max-doublet-score.  [default: doublet_score]"},
    }

    @goes_with_option("mito_column", other="max_mito")
    @goes_with_option("doublet_column", other="max_doublet_score")
    @wraps(function)
    def command(*args: Any, **given: Any) -> None:
        from pydantic import ValidationError

        from curate.quality import QualityRules

        values = {name: given.pop(name) for name in options}
        try:
            quality = QualityRules(**{name: value for name, value in values.items() if value is not None})
        except ValidationError as error:
            raise click.UsageError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
        function(*args, quality=quality, **given)

    for name, settings in reversed(options.items()):
        command = click.option(f"--{name.replace('_', '-')}", name, **settings)(command)  # type: ignore[arg-type]
    return command
