"""Where a Census is: a release of the public one, or the uri of a store, and how to reach it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import tiledbsoma as soma

from curate.census.faults import FAULTS, sentence
from curate.errors import CensusError
from curate.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

PUBLIC_BUCKETS = ("s3://cellxgene-census-public-us-west-2", "s3://cellxgene-data-public")
#: As in cellxgene_census 1.18; every embedding lies under the release and its id.
HOSTED_EMBEDDINGS = "s3://cellxgene-contrib-public/contrib/cell-census/soma"
ELSEWHERE = "name a local folder or another copy with --uri"
#: One column of a read is handed over in parts of this size; the 1 GiB of the package is for large machines.
#: Beyond 32 MiB glibc asks the system for new pages every time, and clearing them takes as long as reading.
BUFFER_BYTES = 16 * 2**20
#: TileDB would hand all free memory back after every query, and the next ask for it again: with both settings
#: reading counts takes half of the time.
TILEDB_CONFIG: dict[str, str | float] = {
    "soma.init_buffer_bytes": str(BUFFER_BYTES),
    "sm.mem.malloc_trim": "false",
}
#: TileDB joins reads that lie near each other, which spares requests to a server; from a disk it reads what
#: nobody wants.
LOCAL = {"vfs.min_batch_size": "0", "vfs.min_batch_gap": "0"}


def open_release(release: str, tiledb_config: Mapping[str, str]) -> soma.Collection[Any]:
    """Open a release of the public Census: "stable", "latest" or a date.

    Raises
    ------
    CensusError
        When the list of releases, or the release, cannot be reached; when there is no such release.
    """
    import cellxgene_census
    import requests

    try:
        directory = cellxgene_census.get_census_version_directory(retracted=None)
        if release not in directory:
            raise CensusError(f"no Census release {release!r}; {_known(release, directory)}")
        # The date rather than the alias: the package would print which release "stable" is today.
        build = str(directory[release]["release_build"])
        config = {**TILEDB_CONFIG, **tiledb_config}
        return cellxgene_census.open_soma(
            census_version=build if build in directory else release,
            context=cellxgene_census.get_default_soma_context(tiledb_config=config),
        )
    except requests.HTTPError as error:
        raise CensusError(f"the list of Census releases answered: {error}; {ELSEWHERE}") from error
    except (requests.RequestException, OSError) as error:
        raise CensusError(
            f"cannot reach the Census release {release!r}: no network, or census.cellxgene.cziscience.com is "
            f"blocked ({type(error).__name__}); {ELSEWHERE}"
        ) from error
    except FAULTS as error:
        raise CensusError(
            f"cannot open the Census release {release!r}: {sentence(error)}; {ELSEWHERE}"
        ) from error


def open_uri(
    uri: str | Path,
    *,
    region: str | None,
    endpoint: str | None,
    anonymous: bool,
    tiledb_config: Mapping[str, str],
) -> soma.Collection[Any]:
    """Open a store by path or uri.

    Raises
    ------
    CensusError
        When there is nothing there, it cannot be reached, or it is no SOMA collection.
    """
    place = str(uri)
    is_local = "://" not in place
    if is_local and not Path(place).exists():
        raise CensusError(f"there is no Census at {place}: no such folder")
    config: dict[str, str | float] = {
        **TILEDB_CONFIG,
        **(LOCAL if is_local else {}),
        **s3_config(place, region=region, endpoint=endpoint, anonymous=anonymous),
        **tiledb_config,
    }
    try:
        return soma.Collection.open(place, context=soma.SOMATileDBContext(tiledb_config=config))
    except soma.DoesNotExistError as error:
        raise CensusError(
            f"there is no Census at {place}: "
            + (f"it is no SOMA collection, it lacks {LAYOUT}" if is_local else "nothing is stored there")
        ) from error
    except (*FAULTS, TypeError) as error:
        hint = "" if is_local else "; check --uri, --region and --endpoint"
        raise CensusError(f"cannot open {place}: {sentence(error)}{hint}") from error


LAYOUT = "census_info and census_data"


def open_hosted(name: str, *, organism: str, release: str) -> Any:
    """Open an embedding that is hosted beside a public release, by its name, such as "scvi".

    Raises
    ------
    CensusError
        When the list of them cannot be reached or holds none of that name, or it does not open.
    """
    import cellxgene_census
    import requests
    from cellxgene_census.experimental import get_embedding_metadata_by_name

    what = f"embedding {name!r} of {organism}"
    try:
        found = get_embedding_metadata_by_name(name, organism, release)
        context = cellxgene_census.get_default_soma_context(tiledb_config=TILEDB_CONFIG)
        return soma.open(f"{HOSTED_EMBEDDINGS}/{release}/{found['id']}", context=context)
    except ValueError as error:
        raise CensusError(
            f"neither the store nor the list of hosted embeddings has an {what} in release {release}"
        ) from error
    except (requests.RequestException, OSError) as error:
        raise CensusError(
            f"the store has no {what}, and the list of hosted ones cannot be reached "
            f"({type(error).__name__}); take one over with --from FILE.npy"
        ) from error
    except (soma.SOMAError, RuntimeError) as error:
        raise CensusError(f"cannot open the {what} of release {release}: {error}") from error


def s3_config(uri: str, *, region: str | None, endpoint: str | None, anonymous: bool) -> dict[str, str]:
    """Return the TileDB settings for a store at an s3:// uri; none for other uris.

    Parameters
    ----------
    endpoint
        Base URL of an S3-compatible server, such as http://127.0.0.1:9000.
    anonymous
        Send no credentials; the buckets of the public Census never need any.

    Raises
    ------
    CensusError
        When the endpoint is no URL.
    """
    if not uri.startswith("s3://"):
        return {}
    is_public = uri.startswith(PUBLIC_BUCKETS)
    config = {"vfs.s3.no_sign_request": "true"} if anonymous or is_public else {}
    if region or is_public:
        config["vfs.s3.region"] = region or "us-west-2"
    if endpoint:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise CensusError(f"endpoint {endpoint!r} is no URL; write for instance http://127.0.0.1:9000")
        config["vfs.s3.endpoint_override"] = parts.netloc + parts.path.rstrip("/")
        config["vfs.s3.scheme"] = parts.scheme
        config["vfs.s3.use_virtual_addressing"] = "false"
    return config


def _known(release: str, directory: Mapping[str, Any]) -> str:
    lasting = {name: each for name, each in directory.items() if each.get("flags", {}).get("lts")}
    aliases = [name for name in ("stable", "latest") if name in directory]
    dates = sorted({str(each["release_build"]) for each in lasting.values()}, reverse=True)
    return nearest(release, [*aliases, *dates])
