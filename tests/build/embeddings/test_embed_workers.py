from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from curate.build.embeddings.embed import embed

if TYPE_CHECKING:
    from curate.corpus import Corpus


def test_an_embedding_by_workers_of_a_scheduler_has_the_same_bits(corpus: Corpus) -> None:
    distributed = pytest.importorskip("distributed")
    settings: dict[str, Any] = {"n_components": 5, "n_hvgs": 40}
    here = embed(corpus, name="here", **settings)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
    ) as cluster:
        there = embed(corpus, name="there", scheduler=cluster.scheduler_address, **settings)
    assert there.header.sha256 == here.header.sha256
    assert there.id == here.id
