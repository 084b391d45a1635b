"""Parts of pairs: no protein in two, no pair in two, sizes as asked, decided by the seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esm2_amp.data.splits import LEFT_OUT, disjoint_parts, random_parts
from esm2_amp.errors import InputError

RATIOS = (0.8, 0.1, 0.1)


def random_pairs(n: int, proteins: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    weight = rng.pareto(2, proteins) + 0.2
    return tuple(rng.choice(proteins, n, p=weight / weight.sum()) for _ in range(2))


@given(st.integers(0, 50))
def test_parts_share_no_protein_and_what_is_left_out_lies_between_two(seed: int) -> None:
    a, b = random_pairs(2000, 300, seed)
    part = disjoint_parts(a, b, RATIOS, seed)
    of_protein: dict[int, set[int]] = {}
    for x, y, p in zip(a.tolist(), b.tolist(), part.tolist(), strict=True):
        if p != LEFT_OUT:
            of_protein.setdefault(x, set()).add(p)
            of_protein.setdefault(y, set()).add(p)
    assert all(len(parts) == 1 for parts in of_protein.values())
    for x, y in zip(a[part == LEFT_OUT].tolist(), b[part == LEFT_OUT].tolist(), strict=True):
        assert of_protein.get(x, {-1}) != of_protein.get(y, {-2})


def test_kept_pairs_are_in_the_ratios_asked_for() -> None:
    a, b = random_pairs(40_000, 2000, 0)
    part = disjoint_parts(a, b, RATIOS, 0)
    shares = np.bincount(part[part >= 0]) / (part >= 0).sum()
    np.testing.assert_allclose(shares, RATIOS, atol=0.02)
    assert (part >= 0).mean() > 0.4


def test_random_parts_keep_sizes_and_classes() -> None:
    label = np.repeat([0, 1], [3000, 1000])
    part = random_parts(label, RATIOS, 1)
    assert np.bincount(part).tolist() == [3200, 400, 400]
    assert np.bincount(part[label == 1]).tolist() == [800, 100, 100]
    assert (part == random_parts(label, RATIOS, 1)).all()
    assert (part != random_parts(label, RATIOS, 2)).any()


@pytest.mark.parametrize("ratios", [(1.0,), (0.5, 0.6), (0.9, 0.2, -0.1), ()])
def test_ratios_that_mean_nothing_are_refused(ratios: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="ratios"):
        random_parts(np.ones(10), ratios, 0)


def test_a_part_without_a_pair_is_refused() -> None:
    with pytest.raises(InputError, match="empty"):
        disjoint_parts([0, 0, 0], [1, 2, 3], RATIOS, 0)
    with pytest.raises(InputError, match="empty"):
        random_parts([1, 1, 0], RATIOS, 0)
