"""The command line: one module a command, imported when it is called."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from curate import __version__
from curate.errors import CurateError

COMMANDS = {
    "demo": "Make a workspace from simulated data and run the whole way, offline.",
    "init": "Make a workspace in this folder.",
    "info": "Show the workspace: its census, corpora, embeddings and manifests.",
    "census": "Summarise a Census release; build a Census-layout store from h5ad files.",
    "corpus": "Build and show a corpus: a recipe applied to a Census.",
    "duplicates": "Find cells that stand twice, by the counts they hold.",
    "embed": "Compute an embedding of a corpus, streaming.",
    "task": "Write and show task documents: for what cells are wanted.",
    "strategies": "List the ways to choose cells; compare what they choose.",
    "build": "Choose cells from a corpus and write them down as a manifest.",
    "holdout": "Write down the cells of a later corpus that an earlier one does not know.",
    "manifests": "List, show, verify, tag and export manifests.",
    "leakage": "Find cells and donors of evaluation sets in a manifest.",
    "ladder": "List and show ladders: the manifests of a scaling study.",
    "diversity": "Compare how diverse manifests are: labels, Vendi score, coverage.",
    "materialize": "Write the counts of a manifest's cells as shards, for training.",
    "shards": "Show, verify and export shards.",
    "train": "Train a model on the cells of a manifest.",
    "models": "List, show and verify trained models.",
    "embed-cells": "Embed cells of any data by a trained model.",
    "evaluate": "Try trained models, their controls and baselines on a task.",
    "sweep": "Plan, run and report a grid of subsets, models and evaluations.",
    "advise": "Say whether more data would help a task, and which subset is enough.",
    "diff": "Compare two manifests: cells, settings, composition.",
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they run, so that --help is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import `curate.cli.NAME` and return its command `command`."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"curate.cli.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="curate")
@click.option(
    "-C", "home", metavar="DIR", help="The workspace to work in, instead of the one found from here."
)
@click.pass_context
def curate(ctx: click.Context, home: str | None) -> None:
    """Curate single-cell data for foundation models.

    From a CELLxGENE Census to versioned, diffable subset manifests:

    \b
        curate demo
        curate build --fraction 0.01 --strategy sketch
        curate diff sketch-0.01-s0 random-0.01-s0
    """
    ctx.obj = home


def main() -> None:
    """Run the command line: an error that a user can act on becomes one line and exit status 1."""
    try:
        curate()
    except CurateError as error:
        click.echo(f"curate: {' '.join(str(error).split())}", err=True)
        sys.exit(1)
