"""Networks for tests: random ones with hubs and groups, and one with names that try to be something else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

HOSTILE = (
    "</script><script>document.title='owned'</script>", "<img src=x onerror=\"document.title='owned'\">", "__proto__",
    "constructor", "CONSTRUCTOR", "a name with spaces", "quote\"and'quote", "Ünïcode-βeta-蛋白", "{{7*7}}", "bell\x07",
    "turn\u202eed", "-n $(rm -rf ~) `id`", "back\\slash",
)  # fmt: skip


def tables(names: Sequence[str], pairs: Iterable[tuple[int, int]], seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Edges and nodes with random scores; the last fifth of the proteins was in training."""
    rng = np.random.default_rng(seed)
    a, b = np.array(list(pairs), dtype=np.int64).reshape(-1, 2).T
    logit = rng.gumbel(3, 1, len(a)).astype(np.float32)
    probability = 1 / (1 + np.exp(-logit.astype(np.float64)))
    edges = pd.DataFrame(
        {
            "protein_a": [names[i] for i in a], "protein_b": [names[i] for i in b], "logit": logit,
            "probability": probability,
            "probability_at_prevalence": probability / (probability + 99 * (1 - probability)),
            "percentile_a": rng.random(len(a)), "percentile_b": rng.random(len(a)),
        }
    )  # fmt: skip
    count = len(names)
    nodes = pd.DataFrame(
        {
            "id": list(names), "side": np.array(["a", "b", "both"])[rng.integers(0, 3, count)],
            "length": rng.integers(50, 2000, count), "in_training": np.arange(count) >= 0.8 * count,
            "distance": rng.random(count), "pairs_scored": count - 1, "mean_logit": rng.normal(-3, 1, count),
        }
    )  # fmt: skip
    return edges, nodes


def random_pairs(proteins: int, pairs: int, seed: int = 0) -> list[tuple[int, int]]:
    """Pairs of proteins, each once, more of some proteins than of others, most within groups; two with themselves."""
    rng = np.random.default_rng(seed)
    liking = rng.pareto(1.5, proteins) + 0.1
    chosen: dict[tuple[int, int], None] = {(0, 0): None, (7, 7): None}
    while len(chosen) < pairs:
        a = rng.choice(proteins, 4 * pairs, p=liking / liking.sum())
        b = rng.choice(proteins, 4 * pairs, p=liking / liking.sum())
        near = (a // 50 == b // 50) | (rng.random(len(a)) < 0.01)
        for i, j in zip(a[near].tolist(), b[near].tolist(), strict=True):
            if i != j:
                chosen[min(i, j), max(i, j)] = None
    return list(chosen)[:pairs]
