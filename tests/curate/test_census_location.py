from __future__ import annotations

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import cellxgene_census
import numpy as np
import pytest
import tiledbsoma as soma

from curate.census import Census
from curate.census.location import open_uri, s3_config
from curate.errors import CensusError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

HUMAN = "homo_sapiens"
RELEASES = {
    "stable": "2025-01-30",
    "latest": "2025-11-17",
    **{
        date: {
            "release_date": None,
            "release_build": date,
            "soma": {"uri": f"s3://bucket/{date}", "relative_uri": date, "s3_region": "us-west-2"},
            "h5ads": {"uri": f"s3://bucket/{date}", "relative_uri": date, "s3_region": "us-west-2"},
            "flags": {"lts": date == "2025-01-30"},
        }
        for date in ("2025-01-30", "2025-11-17")
    },
}


@pytest.fixture
def releases(monkeypatch: pytest.MonkeyPatch, coordinate_census: Path) -> Iterator[HTTPServer]:
    """A server of the list of releases, whose mirror is the folder of `coordinate_census`."""
    here = {"provider": "file", "base_uri": f"{coordinate_census.parent}/", "region": None}
    mirrors = {"default": "here", "here": here}
    pages = {"/release.json": RELEASES, "/mirrors.json": mirrors}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path)
            self.send_response(200 if page else 503)
            self.end_headers()
            self.wfile.write(json.dumps(page).encode())

        def log_message(self, *args: object) -> None:
            """Keep quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        directory = cellxgene_census._release_directory
        base = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(directory, "CELL_CENSUS_RELEASE_DIRECTORY_URL", f"{base}/release.json")
        monkeypatch.setattr(directory, "CELL_CENSUS_MIRRORS_DIRECTORY_URL", f"{base}/mirrors.json")
        yield server
        server.shutdown()
        thread.join()


def test_without_network_a_release_cannot_be_opened_and_uri_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        cellxgene_census._release_directory, "CELL_CENSUS_RELEASE_DIRECTORY_URL", "http://127.0.0.1:9/none"
    )
    with pytest.raises(CensusError, match=r"cannot reach the Census release 'stable': no network.*--uri"):
        Census.open()


def test_an_unknown_release_is_answered_with_those_there_are(releases: HTTPServer) -> None:
    with pytest.raises(
        CensusError, match=r"no Census release '2019'; there are: stable, latest, 2025-01-30$"
    ):
        Census.open("2019")
    with pytest.raises(CensusError, match="no Census release '2025-01-31'; did you mean '2025-01-30'"):
        Census.open("2025-01-31")


def test_a_release_is_opened_through_the_list_of_releases(
    releases: HTTPServer, coordinate_census: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    link = coordinate_census.parent / "2025-01-30"
    link.symlink_to(coordinate_census)
    with Census.open("stable") as census:
        assert census.n_cells(HUMAN) == 600
        assert census.uri.endswith("/2025-01-30")
    link.unlink()
    assert capfd.readouterr().err == ""


def test_a_release_that_is_listed_and_not_there_is_said_so(releases: HTTPServer) -> None:
    with pytest.raises(CensusError, match=r"cannot open the Census release 'latest'.*--uri"):
        Census.open("latest")


def test_a_list_of_releases_that_answers_an_error_is_said_so(
    releases: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{releases.server_port}/other"
    monkeypatch.setattr(cellxgene_census._release_directory, "CELL_CENSUS_RELEASE_DIRECTORY_URL", url)
    with pytest.raises(CensusError, match=r"list of Census releases answered: 503.*--uri"):
        Census.open()


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(CensusError, match="no such folder"):
        Census.open(uri=tmp_path / "nothing")


def test_a_folder_that_is_no_store_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(CensusError, match="is no SOMA collection, it lacks census_info and census_data"):
        Census.open(uri=tmp_path)


def test_a_store_of_another_kind_is_told_which_parts_it_lacks(tmp_path: Path) -> None:
    root: soma.Collection[soma.Collection[Any]]
    with soma.Collection.create(str(tmp_path / "other")) as root:
        root.add_new_collection("census_info")
    with pytest.raises(
        CensusError,
        match=r"not a whole Census: it lacks census_info/summary, census_info/datasets, census_data$",
    ):
        Census.open(uri=tmp_path / "other")


def test_an_array_is_not_a_census(coordinate_census: Path) -> None:
    with pytest.raises(CensusError, match="is no SOMA collection"):
        Census.open(uri=coordinate_census / "census_info" / "summary")


def test_a_store_without_organisms_is_no_census(coordinate_census: Path, tmp_path: Path) -> None:
    shutil.copytree(coordinate_census, tmp_path / "store")
    data: soma.Collection[soma.Experiment]
    with soma.Collection.open(str(tmp_path / "store" / "census_data"), "d") as data:
        del data[HUMAN]
    with pytest.raises(CensusError, match="census_data holds no organism"):
        Census.open(uri=tmp_path / "store")


def test_a_damaged_store_is_told_which_array_is_missing(coordinate_census: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(coordinate_census, store)
    shutil.rmtree(store / "census_data" / HUMAN / "ms" / "RNA" / "X" / "raw")
    with (
        Census.open(uri=store) as census,
        pytest.raises(CensusError, match=r"it lacks census_data/homo_sapiens/ms/RNA/X/raw$"),
    ):
        census.read_counts(HUMAN, np.arange(3))


def test_settings_of_an_s3_endpoint() -> None:
    assert s3_config("/folder", region="eu", endpoint=None, anonymous=True) == {}
    assert s3_config("s3://b/c", region="eu-west-1", endpoint="http://127.0.0.1:9000", anonymous=True) == {
        "vfs.s3.region": "eu-west-1",
        "vfs.s3.no_sign_request": "true",
        "vfs.s3.endpoint_override": "127.0.0.1:9000",
        "vfs.s3.scheme": "http",
        "vfs.s3.use_virtual_addressing": "false",
    }
    assert s3_config("s3://b/c", region=None, endpoint=None, anonymous=False) == {}
    with pytest.raises(CensusError, match=r"endpoint '127\.0\.0\.1:9000' is no URL"):
        s3_config("s3://b/c", region=None, endpoint="127.0.0.1:9000", anonymous=False)


def test_the_public_bucket_needs_no_credentials_nor_region() -> None:
    uri = "s3://cellxgene-census-public-us-west-2/cell-census/2025-11-08/soma/"
    assert s3_config(uri, region=None, endpoint=None, anonymous=False) == {
        "vfs.s3.no_sign_request": "true",
        "vfs.s3.region": "us-west-2",
    }


def test_a_store_on_an_s3_server_is_read_like_a_folder(
    endpoint: str, coordinate_counts: NDArray[np.float32]
) -> None:
    joinids, genes = np.array([3, 301, 599]), np.array([2, 0, 119])
    with Census.open(
        uri="s3://curate/census", region="us-east-1", endpoint=endpoint, anonymous=True
    ) as census:
        assert census.n_cells(HUMAN) == 600
        assert next(census.read_obs(HUMAN, ["cell_type"])).num_rows == 600
        (block,) = census.read_counts(HUMAN, joinids, var_joinids=genes)
    assert block.counts.toarray().tolist() == coordinate_counts[joinids][:, genes].tolist()


def test_an_s3_server_without_the_store_is_said_so(endpoint: str) -> None:
    with pytest.raises(CensusError, match="no Census at s3://curate/nothing"):
        Census.open(uri="s3://curate/nothing", region="us-east-1", endpoint=endpoint, anonymous=True)


def test_an_s3_server_that_does_not_answer_is_said_so() -> None:
    with pytest.raises(CensusError, match=r"s3://curate/census.*--endpoint"):
        Census.open(
            uri="s3://curate/census",
            region="us-east-1",
            endpoint="http://127.0.0.1:9",
            anonymous=True,
            tiledb_config={"vfs.s3.connect_max_tries": "1", "vfs.s3.connect_timeout_ms": "500"},
        )


@pytest.mark.parametrize(
    ("own", "expected"),
    [({}, ("0", "0")), ({"vfs.min_batch_size": "4096", "vfs.min_batch_gap": "512"}, ("4096", "512"))],
    ids=["by default", "unless told otherwise"],
)
def test_reads_of_a_local_store_are_not_joined(
    own: dict[str, str], expected: tuple[str, str], coordinate_census: Path
) -> None:
    with open_uri(coordinate_census, region=None, endpoint=None, anonymous=False, tiledb_config=own) as root:
        config = root.context.tiledb_config
    assert (config["vfs.min_batch_size"], config["vfs.min_batch_gap"]) == expected
