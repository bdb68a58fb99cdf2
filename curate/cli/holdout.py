"""`curate holdout`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from curate.cli.companions import goes_with
from curate.cli.numbers import SEED, Names, Numbers
from curate.corpus.copies import MIN_GENES

if TYPE_CHECKING:
    from curate.build.holdout import Holdout
    from curate.corpus import Corpus


@click.command("holdout")
@click.option("--new-since", required=True, metavar="CORPUS_A", help="The earlier corpus.")
@click.option("--in", "later", required=True, metavar="CORPUS_B", help="The later corpus, to choose from.")
@click.option(
    "--by",
    type=Names(("identity", "content")),
    help="Compare by identity, content or both.  [default: what both corpora allow]",
)
@click.option("--where", help="Only matching cells of B, such as \"tissue == 'lung' and nnz >= 300\".")
@click.option(
    "--min-genes",
    type=click.IntRange(min=1),
    default=MIN_GENES,
    show_default=True,
    help="Cells with counts of fewer genes cannot be told by content, and are left out.",
)
@click.option(
    "--shared-genes",
    is_flag=True,
    help="Compare content over the genes that every dataset of both measured.",
)
@click.option("--unseen-donors", is_flag=True, help="Leave out cells of donors (dataset, donor) of A.")
@click.option("--fraction", type=float, help="Draw this share of the new cells.")
@click.option("--n-cells", type=int, help="Draw so many of the new cells.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the draw.")
@click.option(
    "--split-ratios",
    type=Numbers(float),
    default="0,0,1",
    show_default=True,
    help="Shares of train, val and test.",
)
@click.option("--split-seed", type=SEED, default=0, show_default=True)
@click.option("--name", help="Of the manifest.  [default: holdout-B-since-A]")
@click.option("--top", type=click.IntRange(min=1), default=20, show_default=True, help="Datasets to show.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
@goes_with(
    "seed",
    needs="--fraction or --n-cells",
    is_met=lambda values: values["fraction"] is not None or values["n_cells"] is not None,
)
@goes_with(
    "min_genes",
    "shared_genes",
    needs="--by content",
    is_met=lambda values: values["by"] is None or "content" in values["by"],
)
@goes_with(
    "split_seed",
    needs="--split-ratios of more than one split",
    is_met=lambda values: sum(ratio > 0 for ratio in values["split_ratios"]) > 1,
)
def command(
    home: str | None,
    /,
    *,
    new_since: str,
    later: str,
    fraction: float | None,
    n_cells: int | None,
    top: int,
    as_json: bool,
    **settings: Any,
) -> None:
    """Write down the cells of corpus B that an earlier corpus A does not know, as a manifest to evaluate on.

    A cell is known by identity (dataset_id, observation_joinid), or by content: a dataset that came again
    under another id is not new. Content is compared over the genes that both Censuses have; the counts of
    both are read once, and hashes of them kept beside each corpus. Every cell is a test cell, unless
    --split-ratios says otherwise.

    \b
    Examples:
        curate holdout --new-since lung-2023 --in lung-2025
        curate holdout --new-since lung-2023 --in lung-2025 --unseen-donors --n-cells 20000
        curate holdout --new-since lung-2023 --in lung-2025 --by identity --where "disease == 'normal'"
    """
    if fraction is not None and n_cells is not None:
        raise click.UsageError("give either --fraction or --n-cells")
    from curate.build.holdout import holdout
    from curate.manifests.registry import Registry
    from curate.workspace import Workspace

    workspace = Workspace.find(home)
    a, b = workspace.corpus(new_since), workspace.corpus(later)
    found = holdout(
        a,
        b,
        registry=Registry(workspace.manifests_path),
        fraction=fraction,
        n_cells=n_cells,
        **settings,
    )
    for note in found.notes:
        click.echo(f"notice: {note}", err=True)
    if as_json:
        click.echo(json.dumps(_report(found, a, b), indent=2))
    else:
        _print(found, a, b, top=top)


def _report(found: Holdout, a: Corpus, b: Corpus) -> dict[str, Any]:
    document = found.manifest.document
    return {
        "ref": found.manifest.ref,
        "id": found.manifest.id,
        "new_since": {"name": a.name, "id": a.id, "n_cells": a.n_cells},
        "in": {"name": b.name, "id": b.id, "n_cells": b.n_cells},
        "by": found.by,
        "n_new": found.n_new,
        "n_cells": document.n_cells,
        "n_donors": document.n_donors,
        "splits": document.splits.counts,
        "exclusions": [each.model_dump(mode="json") for each in document.exclusions],
        "n_donor_id_shared": found.n_donor_id_shared,
        "datasets": [asdict(each) for each in found.datasets],
        "notes": found.notes,
    }


def _print(found: Holdout, a: Corpus, b: Corpus, *, top: int) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    document = found.manifest.document
    drawn = f", {document.n_cells:,} of them drawn" if document.n_cells < found.n_new else ""
    console.print(
        f"{found.manifest.ref}  {found.manifest.id[:12]}: {found.n_new:,} cells of {b.name} are new since "
        f"{a.name}, by {' and '.join(found.by)}{drawn}",
        soft_wrap=True,
        markup=False,
    )
    for each in document.exclusions:
        console.print(f"left out: {each.n_cells:,} {each.reason}", markup=False)
    if found.n_donor_id_shared:
        console.print(
            f"{found.n_donor_id_shared:,} new cells have a donor_id that {a.name} has in another dataset",
            soft_wrap=True,
            markup=False,
        )
    table = Table(box=None, header_style="bold")
    table.add_column("dataset", overflow="fold")
    table.add_column("", no_wrap=True)
    for title in ("cells", "new", "identity", "content", "changed", "in A"):
        table.add_column(title, justify="right", no_wrap=True)
    for dataset in found.datasets[:top]:
        numbers = (
            dataset.n_cells,
            dataset.n_new,
            dataset.n_by_identity,
            dataset.n_by_content,
            dataset.n_changed,
            dataset.n_in_a,
        )
        table.add_row(escape(dataset.dataset), dataset.kind, *(f"{number:,}" for number in numbers))
    if len(found.datasets) > top:
        table.add_row(f"and {len(found.datasets) - top:,} more", *[""] * 7)
    console.print()
    console.print(table)
