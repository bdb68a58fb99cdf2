"""Which Census a command works on: the options, the same for every command, and the rule for what wins."""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.workspace import CensusSettings, Workspace


@dataclass(frozen=True)
class CensusOptions:
    """What was given on the command line."""

    release: str | None
    uri: str | None
    region: str | None
    endpoint: str | None
    anonymous: bool

    def over(
        self, workspace: Workspace | None, *, release: str | None = None, uri: str | None = None
    ) -> CensusSettings:
        """Return where the Census is and how to reach it.

        What was given wins, then `release` or `uri` (a recipe's), then the workspace; outside of one it is
        the stable release of the public Census.
        """
        from curate.workspace import CensusSettings

        if self.release or self.uri:
            release, uri = self.release, self.uri
        base = workspace.census_settings(release=release, uri=uri) if workspace else None
        if base is None:
            base = CensusSettings(release=release or "stable", uri=uri)
        given = {name: getattr(self, name) for name in ("region", "endpoint", "anonymous")}
        given = {name: value for name, value in given.items() if value}
        if given and base.uri is None:
            raise click.UsageError("--region, --endpoint and --anonymous say how to reach a --uri; name it")
        return base.model_copy(update=given)


def census_options(function: Callable[..., None]) -> Callable[..., None]:
    """Offer the options of the Census; the command gets them as one `census: CensusOptions`."""

    @wraps(function)
    def command(*args: Any, **given: Any) -> None:
        census = CensusOptions(
            **{name: given.pop(name) for name in ("release", "uri", "region", "endpoint", "anonymous")}
        )
        if census.release and census.uri:
            raise click.UsageError("--release names a public release, --uri a store: give one of them")
        function(*args, census=census, **given)

    options = (
        click.option("--release", help="Census release: stable, latest or a date such as 2025-11-08."),
        click.option("--uri", help="A store of the Census layout instead: a folder or s3://…"),
        click.option("--region", help="S3 region of the uri.  [default: the workspace's]"),
        click.option(
            "--endpoint",
            metavar="URL",
            help="S3-compatible endpoint of the uri, such as http://127.0.0.1:9000.  "
            "[default: the workspace's]",
        ),
        click.option("--anonymous", is_flag=True, help="Send no credentials to S3."),
    )
    for option in reversed(options):
        command = option(command)
    return command
