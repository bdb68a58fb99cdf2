"""The models that can be trained, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.train.models.model import Model
    from curate.train.models.settings import Settings

#: The genes of the study: what sizes are given for.
N_GENES = 19_331


def available() -> list[dict[str, Any]]:
    """Return name, summary, paper and presets of every model.

    Of a preset: its settings, and the parameters at 19,331 genes, None where they depend on the cells.
    """
    from curate.train.models import MODELS

    return [
        {
            "name": name,
            "summary": kind.summary,
            "reference": kind.reference,
            "presets": {
                preset: {
                    "n_dims": settings.n_dims,
                    "n_parameters": n_parameters(kind, settings),
                    "settings": settings.model_dump(mode="json"),
                }
                for preset, settings in kind.presets.items()
            },
        }
        for name, kind in MODELS.items()
    ]


def n_parameters(kind: type[Model], settings: Settings) -> int | None:
    """Return the parameters of a model of 19,331 genes; None where they depend on its cells."""
    import torch
    from pydantic import ValidationError

    from curate.gene_space import GeneSpace

    names = tuple(f"gene {j}" for j in range(N_GENES))
    try:
        facts = kind.facts_type()
    except ValidationError:
        return None
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        model = kind(settings, GeneSpace(names, names), facts)
    return sum(parameter.numel() for parameter in model.parameters())


def print_available() -> None:
    """Print them."""
    from rich.table import Table
    from rich.text import Text

    from curate.cli.manifests import console_of_data

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold cyan")
    for title in ("model", "is", "preset: dimensions, parameters", "paper"):
        table.add_column(title, no_wrap=title == "model", overflow="fold")
    for each in available():
        sizes = [
            f"{preset}: {held['n_dims']:,}, {_number(held['n_parameters'])}"
            for preset, held in each["presets"].items()
        ]
        table.add_row(
            Text(each["name"], style="bold"),
            Text(each["summary"]),
            Text("\n".join(sizes)),
            Text(each["reference"], style="dim"),
        )
    console = console_of_data()
    if not console.is_terminal:
        console.width = 160
    console.print(table)
    console.print(
        Text(
            f"Parameters at {N_GENES:,} genes; - where they depend on the cells, or there are none.",
            style="dim",
        )
    )


def _number(n: int | None) -> str:
    if not n:
        return "-"
    return f"{n / 1e6:,.1f} M" if n >= 1e6 else f"{n:,}"
