"""The contrastive losses against plain loops over every pair and triplet, and by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from pytorch_metric_learning.distances import CosineSimilarity, LpDistance
from pytorch_metric_learning.losses import NTXentLoss, TripletMarginLoss
from pytorch_metric_learning.reducers import MeanReducer

from curate.train.models.contrastive_losses import Pairs, ntxent_loss, supcon_loss, triplet_loss

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

MARGIN, TEMPERATURE = 0.3, 0.2
# Four types; the second is a kind of the first.
ALIKE = torch.zeros(5, 5, dtype=torch.bool)
ALIKE[range(4), range(4)] = True
DIFFERENT = torch.ones(5, 5, dtype=torch.bool)
DIFFERENT[range(5), range(5)] = False
DIFFERENT[0, 1] = DIFFERENT[1, 0] = False
DIFFERENT[-1] = DIFFERENT[:, -1] = False


@pytest.fixture(autouse=True)
def _generator() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def on_circle(*degrees: float) -> Tensor:
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], 1)


def some_batch(n: int = 40) -> tuple[Tensor, Pairs, list[int], list[int]]:
    """Points about which a loop can be asked, some of them of no type, some drawn twice."""
    rng = np.random.default_rng(1)
    types, across = rng.integers(-1, 4, n), rng.integers(0, 3, n)
    rows = np.arange(n)
    rows[-4:], types[-4:], across[-4:] = rows[:4], types[:4], across[:4]
    vectors = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(n, 5))))
    pairs = Pairs.of(
        ALIKE,
        DIFFERENT,
        types=torch.from_numpy(types),
        rows=torch.from_numpy(rows),
        across=torch.from_numpy(across),
    )
    return vectors, pairs, types.tolist(), across.tolist()


def triplets_of(types: list[int], across: list[int]) -> list[tuple[int, int, int]]:
    """Every triplet by the rule, in a loop: equal types, another dataset; unrelated types."""
    kin = [{0, 1}]
    return [
        (a, p, n)
        for a in range(len(types))
        for p in range(len(types))
        for n in range(len(types))
        if types[a] == types[p] != -1
        and across[a] != across[p]
        and types[n] not in (types[a], -1)
        and {types[a], types[n]} not in kin
    ]


def test_pairs_of_a_batch_are_those_of_the_rule_in_a_loop() -> None:
    _, pairs, types, across = some_batch()
    triplets = triplets_of(types, across)
    assert set(zip(*(each.tolist() for each in torch.where(pairs.positive)), strict=True)) == {
        (a, p) for a, p, _ in triplets
    }
    assert set(zip(*(each.tolist() for each in torch.where(pairs.negative)), strict=True)) == {
        (a, n) for a, _, n in triplets
    }
    assert pairs.n_triplets == len(triplets) > 1000


def test_a_cell_drawn_twice_is_no_positive_of_itself_where_datasets_do_not_count() -> None:
    types, rows = torch.tensor([2, 2, 2, 3]), torch.tensor([7, 7, 8, 9])
    pairs = Pairs.of(ALIKE, DIFFERENT, types=types, rows=rows, across=None)
    assert pairs.positive.int().tolist() == [[0, 0, 1, 0], [0, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    assert pairs.negative.int().tolist() == [[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]


def test_a_related_or_unknown_type_is_neither_positive_nor_negative() -> None:
    # The anchor pair is of type 0; then its kind, a cell without a type, and an unrelated one.
    types, across = torch.tensor([0, 0, 1, -1, 2]), torch.tensor([0, 1, 1, 1, 1])
    pairs = Pairs.of(ALIKE, DIFFERENT, types=types, rows=torch.arange(5), across=across)
    assert pairs.positive[0].int().tolist() == [0, 1, 0, 0, 0]
    assert pairs.negative[0].int().tolist() == [0, 0, 0, 0, 1]


def test_semihard_triplets_by_hand_on_four_points() -> None:
    # Chords: 2 sin(half the angle). From 0°: positive at 20° 0.347; negatives at 30° 0.518, at 10° 0.174.
    vectors = on_circle(0, 20, 30, -10)
    pairs = Pairs.of(
        ALIKE, DIFFERENT, types=torch.tensor([2, 2, 0, 3]), rows=torch.arange(4), across=torch.arange(4)
    )
    loss, metrics = triplet_loss(vectors, pairs, margin=MARGIN, is_training=True)
    # (0°, 20°): 30° is semi-hard, -10° too near. (20°, 0°): -10° is semi-hard (0.518), 30° too near.
    chord = {angle: 2 * math.sin(math.radians(angle) / 2) for angle in (10, 20, 30)}
    assert loss.item() == pytest.approx(chord[20] - chord[30] + MARGIN, rel=1e-6)
    assert metrics["semihard"] == 2
    assert metrics["violated"] == 1
    over_all, _ = triplet_loss(vectors, pairs, margin=MARGIN, is_training=False)
    expected = chord[20] - (chord[30] + chord[10]) / 2 + MARGIN
    assert over_all.item() == pytest.approx(expected, rel=1e-6)


def test_a_negative_beyond_the_margin_or_nearer_than_the_positive_is_not_semihard() -> None:
    vectors = on_circle(0, 20, 60, 10)
    pairs = Pairs.of(
        ALIKE, DIFFERENT, types=torch.tensor([2, 2, 0, 3]), rows=torch.arange(4), across=torch.arange(4)
    )
    loss, metrics = triplet_loss(vectors, pairs, margin=MARGIN, is_training=True)
    assert metrics["semihard"] == 0
    assert loss == 0
    assert metrics["violated"] == 0.5


def test_semihard_negatives_are_drawn_alike_among_those_of_a_loop() -> None:
    vectors, pairs, types, across = some_batch()
    distance = torch.cdist(vectors, vectors).tolist()
    held: dict[tuple[int, int], list[float]] = {}
    for a, p, n in triplets_of(types, across):
        if distance[a][p] < distance[a][n] < distance[a][p] + MARGIN:
            held.setdefault((a, p), []).append(distance[a][p] - distance[a][n] + MARGIN)
    drawn = [triplet_loss(vectors, pairs, margin=MARGIN, is_training=True) for _ in range(200)]
    assert drawn[0][1]["semihard"] == len(held) > 50
    means = torch.stack([loss for loss, _ in drawn])
    expected = np.mean([np.mean(losses) for losses in held.values()])
    spread = np.sqrt(sum(np.var(losses) for losses in held.values())) / len(held)
    assert means.mean().item() == pytest.approx(expected, abs=4 * spread / math.sqrt(200))
    assert means.std().item() == pytest.approx(spread, rel=0.2)


def test_all_triplets_weigh_the_same_in_validation_as_in_a_loop_and_in_the_library() -> None:
    vectors, pairs, types, across = some_batch()
    distance = torch.cdist(vectors, vectors)
    losses = [
        max(0.0, float(distance[a, p] - distance[a, n]) + MARGIN) for a, p, n in triplets_of(types, across)
    ]
    loss, metrics = triplet_loss(vectors, pairs, margin=MARGIN, is_training=False)
    assert loss.item() == pytest.approx(np.mean(losses), rel=1e-9)
    assert metrics["violated"].item() == pytest.approx(np.mean(np.array(losses) > 0))
    peer = TripletMarginLoss(MARGIN, distance=LpDistance(normalize_embeddings=False), reducer=MeanReducer())(
        vectors, indices_tuple=pairs.indices
    )
    assert loss.item() == pytest.approx(peer.item(), rel=1e-9)


def test_gradients_of_semihard_triplets_are_those_of_the_library() -> None:
    vectors = on_circle(0, 20, 30, -10).requires_grad_()
    pairs = Pairs.of(
        ALIKE, DIFFERENT, types=torch.tensor([2, 2, 0, 3]), rows=torch.arange(4), across=torch.arange(4)
    )
    loss, _ = triplet_loss(vectors, pairs, margin=MARGIN, is_training=True)
    (own,) = torch.autograd.grad(loss, vectors)
    triplets = (torch.tensor([0, 1]), torch.tensor([1, 0]), torch.tensor([2, 3]))
    peer = TripletMarginLoss(MARGIN, distance=LpDistance(normalize_embeddings=False))
    (other,) = torch.autograd.grad(peer(vectors, indices_tuple=triplets), vectors)
    torch.testing.assert_close(own, other)
    assert own.abs().sum() > 0.1


def test_gradients_of_many_triplets_have_the_same_bits_every_time() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(400, 8)).requires_grad_()
    types = torch.arange(400) % 2 + 2
    pairs = Pairs.of(ALIKE, DIFFERENT, types=types, rows=torch.arange(400), across=None)
    found = []
    for _ in range(4):
        torch.manual_seed(3)
        loss, metrics = triplet_loss(vectors, pairs, margin=MARGIN, is_training=True)
        found.append(torch.autograd.grad(loss, vectors)[0])
    # As many as threads share among themselves.
    assert metrics["semihard"] > 4e4
    assert all(torch.equal(found[0], each) for each in found)


def test_supcon_is_that_of_a_loop() -> None:
    vectors, pairs, types, across = some_batch()
    triplets = triplets_of(types, across)
    losses = []
    for anchor in sorted({a for a, _, _ in triplets}):
        positives = {p for a, p, _ in triplets if a == anchor}
        others = positives | {n for a, _, n in triplets if a == anchor}
        logits = (vectors @ vectors[anchor] / TEMPERATURE).tolist()
        total = sum(math.exp(logits[i]) for i in others)
        losses.append(-np.mean([math.log(math.exp(logits[p]) / total) for p in positives]))
    found = supcon_loss(vectors, pairs, temperature=TEMPERATURE)
    assert found.item() == pytest.approx(np.mean(losses), rel=1e-9)


def test_supcon_by_hand_on_four_points() -> None:
    # Similarities from 0°: 1/2 to the positive at 60°, 0 to 90°, -1 to 180°; from 60°: 1/2, √3/2, -1/2.
    vectors = on_circle(0, 60, 90, 180)
    pairs = Pairs.of(ALIKE, DIFFERENT, types=torch.tensor([2, 2, 0, 3]), rows=torch.arange(4), across=None)
    first = -math.log(math.exp(0.5) / (math.exp(0.5) + 1 + math.exp(-1)))
    second = -math.log(math.exp(0.5) / (math.exp(0.5) + math.exp(math.sqrt(3) / 2) + math.exp(-0.5)))
    assert supcon_loss(vectors, pairs, temperature=1.0).item() == pytest.approx(
        (first + second) / 2, rel=1e-6
    )
    # One positive each: the other loss says the same.
    assert ntxent_loss(vectors, pairs, temperature=1.0).item() == pytest.approx(
        (first + second) / 2, rel=1e-6
    )


def test_ntxent_is_that_of_a_loop_and_of_the_library() -> None:
    vectors, pairs, types, across = some_batch()
    triplets = triplets_of(types, across)
    losses = []
    for anchor, positive in sorted({(a, p) for a, p, _ in triplets}):
        logits = (vectors @ vectors[anchor] / TEMPERATURE).tolist()
        negatives = {n for a, _, n in triplets if a == anchor}
        own = math.exp(logits[positive])
        losses.append(-math.log(own / (own + sum(math.exp(logits[n]) for n in negatives))))
    found = ntxent_loss(vectors, pairs, temperature=TEMPERATURE)
    assert found.item() == pytest.approx(np.mean(losses), rel=1e-9)
    peer = NTXentLoss(TEMPERATURE, distance=CosineSimilarity())(vectors, indices_tuple=pairs.indices)
    assert found.item() == pytest.approx(peer.item(), rel=1e-6)


@pytest.mark.parametrize("name", ["triplet", "triplet in validation", "supcon", "ntxent"])
@pytest.mark.parametrize(
    "types", [[2, 2, 2], [0, 1, 0], [-1, -1, 2], [2, 3, 0]], ids=["one", "kin", "unknown", "no positives"]
)
def test_a_batch_without_pairs_has_no_loss_and_finite_gradients(name: str, types: list[int]) -> None:
    vectors = on_circle(0, 50, 100).requires_grad_()
    pairs = Pairs.of(ALIKE, DIFFERENT, types=torch.tensor(types), rows=torch.arange(3), across=None)
    if name.startswith("triplet"):
        loss, _ = triplet_loss(vectors, pairs, margin=MARGIN, is_training=name == "triplet")
    else:
        loss = {"supcon": supcon_loss, "ntxent": ntxent_loss}[name](vectors, pairs, temperature=TEMPERATURE)
    assert loss == 0
    (vectors.sum() + loss).backward()  # type: ignore[no-untyped-call]
    assert vectors.grad is not None
    assert vectors.grad.isfinite().all()


def test_the_losses_pull_types_together_and_apart_from_chance() -> None:
    types = torch.tensor([0, 2, 3]).repeat(10)
    pairs = Pairs.of(ALIKE, DIFFERENT, types=types, rows=torch.arange(30), across=None)
    for name in ("triplet", "supcon", "ntxent"):
        points = torch.nn.Parameter(torch.nn.functional.normalize(torch.randn(30, 3)))
        optimiser = torch.optim.Adam([points], 0.1)
        for _ in range(60):
            vectors = torch.nn.functional.normalize(points)
            if name == "triplet":
                loss, _ = triplet_loss(vectors, pairs, margin=MARGIN, is_training=True)
            else:
                loss = {"supcon": supcon_loss, "ntxent": ntxent_loss}[name](
                    vectors, pairs, temperature=TEMPERATURE
                )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        similar = torch.nn.functional.normalize(points) @ torch.nn.functional.normalize(points).T
        within, between = similar[pairs.positive].mean(), similar[pairs.negative].mean()
        assert within > 0.9, name
        assert between < 0.2, name
