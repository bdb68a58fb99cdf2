"""`python -m benchmarks NAME`: run one benchmark, print its table, keep it for RESULTS.md."""

from __future__ import annotations

from importlib import import_module

import click

#: Name → module; a module has `command`, a click command whose help says what is compared with what.
BENCHMARKS: dict[str, str] = {
    "all": "benchmarks.all",
    "make-corpus": "benchmarks.make_corpus",
    "make-large": "benchmarks.make_large",
    "make-embedding": "benchmarks.make_embedding",
    "index": "benchmarks.index",
    "select": "benchmarks.select",
    "manifests": "benchmarks.manifests",
    "sketch": "benchmarks.sketch",
    "strategies": "benchmarks.strategies",
    "blocks": "benchmarks.blocks",
    "embed": "benchmarks.embed",
    "leakage": "benchmarks.leakage",
    "duplicates": "benchmarks.duplicates",
    "diversity": "benchmarks.diversity",
    "explain": "benchmarks.explain",
    "shards": "benchmarks.shards",
    "loader": "benchmarks.loader",
    "train": "benchmarks.train",
    "zero-shot": "benchmarks.zero_shot",
    "real-tasks": "benchmarks.real_tasks",
    "scvi": "benchmarks.scvi",
    "saturation": "benchmarks.saturation",
    "advise": "benchmarks.advise",
}


class LazyGroup(click.Group):
    """A group whose benchmarks are imported when they run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the benchmarks in the order in which they build on each other."""
        return list(BENCHMARKS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a benchmark."""
        if cmd_name not in BENCHMARKS:
            return None
        command: click.Command = import_module(BENCHMARKS[cmd_name]).command
        return command


@click.group(cls=LazyGroup)
def main() -> None:
    """Measure curate beside its peers. Every benchmark prints ours, the peer, their ratio and the target."""


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
