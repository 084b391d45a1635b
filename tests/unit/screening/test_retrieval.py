"""Retrieve, then re-rank: what a student learns, what is proposed, and what the full model has to score."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from esm2_amp.errors import InputError
from esm2_amp.screening.lessons import Lessons, teach
from esm2_amp.screening.pair_list import PairList, keys_of
from esm2_amp.screening.recall import estimated, held_out
from esm2_amp.screening.retrieve import Search, propose, vectors_of
from esm2_amp.screening.rounds import Budget, Retrieval, Retrieved
from esm2_amp.screening.sample import random_pairs
from esm2_amp.screening.student import Student, StudentSize, load_student

SIZE = StudentSize(components=12, hidden=32, rank=8)
N = 400


class Law(NamedTuple):
    """Which pairs there are."""

    n: int
    first: int
    second: int
    with_self: bool


ALL = Law(N, N, 0, False)


def planted(n: int = N) -> tuple[Tensor, NDArray[np.float32]]:
    """Inputs (n, 12) and logits (n, n) of a truth that is of low rank, asymmetric towers and hubs included."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n, SIZE.components)).astype(np.float32)
    f, g = (x @ rng.normal(size=(SIZE.components, 3)) * 0.3 for _ in range(2))
    hub = x[:, 0] * 0.7
    truth = (f @ g.T + g @ f.T + hub[:, None] + hub).astype(np.float32)
    return torch.from_numpy(x), truth


def search(folder: Path, count: int = 500, each: int = 0, factory: str | None = None) -> Search:
    return Search(count, each, 64, folder, memory_gb=2.0, factory=factory, threads=1, seed=0)


def silent(_: int) -> None:
    pass


def run(folder: Path, law: Law, each: int = 0, pairs: int = 1596, steps: int = 200) -> tuple[Retrieved, list[int]]:
    inputs, truth = planted(law.n)
    scored: list[int] = []

    def score(name: str, work: PairList) -> NDArray[np.float32]:
        scored.append(work.pairs)
        return truth[work.a, work.b]

    budget = Budget(pairs, sampled=pairs // 2, judges=0.2, rounds=2)
    retrieval = Retrieval(law, inputs, SIZE, budget, Lessons(steps, 0.01, seed=0), search(folder, each=each))
    return retrieval.run(score, (0.001, 0.01), silent), scored


def keys(found: Retrieved, n: int) -> NDArray[np.int64]:
    return np.concatenate([keys_of(step.work.a, step.work.b, n) for step in found.steps])


def test_planted_truth_of_low_rank_is_found_with_two_percent_of_the_pairs(tmp_path: Path) -> None:
    _, truth = planted()
    found, scored = run(tmp_path, ALL)
    i, j = np.triu_indices(N, 1)
    best = np.argsort(-truth[i, j])[: len(i) // 1000]
    assert sum(scored) <= 0.02 * len(i)
    assert np.isin(keys_of(i[best], j[best], N), keys(found, N)).mean() > 0.95


@pytest.mark.parametrize(
    "law", [ALL, Law(N, N, 0, True), Law(N, 150, 150, False), Law(N, 250, 100, True), Law(N, 5, 0, False)]
)
def test_only_pairs_that_there_are_and_none_twice(tmp_path: Path, law: Law) -> None:
    found, scored = run(tmp_path, law, each=2, pairs=1000, steps=20)
    a, b = (np.concatenate([getattr(step.work, side) for step in found.steps]) for side in "ab")
    assert (a < law.first).all()
    assert (b >= law.second).all()
    assert (a <= b if law.with_self else a < b).all()
    assert len(np.unique(keys(found, law.n))) == len(a) == sum(scored) <= 1000


def test_proposals_are_the_best_that_are_not_known(tmp_path: Path) -> None:
    inputs, _ = planted()
    student = Student(SIZE, 1)
    q, h = vectors_of(student, inputs)
    i, j = np.triu_indices(N, 1)
    by_hand = (q @ h.T)[i, j]
    known = keys_of(i, j, N)[np.argsort(-by_hand)[:300]]
    found = propose(student, inputs, ALL, known, search(tmp_path, 200), silent)
    got = keys_of(found.a, found.b, N)
    wanted = keys_of(i, j, N)[np.argsort(-by_hand)[300:500]]
    assert len(got) == 200
    assert not np.isin(got, known).any()
    assert np.isin(got, wanted).mean() > 0.98  # vectors are looked up in float16


def test_every_protein_has_its_best(tmp_path: Path) -> None:
    inputs, _ = planted()
    student = Student(SIZE, 1)
    found = propose(student, inputs, ALL, np.zeros(0, np.int64), search(tmp_path, 1200, each=3), silent)
    assert np.bincount(np.concatenate([found.a, found.b]), minlength=N).min() >= 3


def test_an_index_finds_what_exact_search_finds(tmp_path: Path) -> None:
    inputs, _ = planted(2000)
    law, student = Law(2000, 2000, 0, False), Student(SIZE, 1)
    known = np.zeros(0, np.int64)
    exact, indexed = (
        propose(student, inputs, law, known, search(tmp_path, 4000, factory=factory), silent)
        for factory in ("exact", "IVF8,Flat")
    )
    same = np.isin(keys_of(indexed.a, indexed.b, 2000), keys_of(exact.a, exact.b, 2000))
    assert same.mean() > 0.9


def test_one_inner_product_is_both_towers() -> None:
    inputs, _ = planted()
    student = Student(SIZE, 1)
    q, h = (torch.from_numpy(side) for side in vectors_of(student, inputs))
    i, j = torch.arange(0, 100), torch.arange(100, 200)
    with torch.inference_mode():
        assert torch.allclose(student.score(student.towers(inputs), i, j), (q[i] * h[j]).sum(-1), atol=1e-5)
        assert torch.allclose((q[i] * h[j]).sum(-1), (q[j] * h[i]).sum(-1), atol=1e-5)
    assert np.ptp(np.linalg.norm(h.numpy(), axis=1)) < 1e-4  # equally long: the best product is the smallest angle


def test_a_student_learns_logits_in_their_own_unit() -> None:
    inputs, truth = planted()
    sample = random_pairs(ALL, 4000, 0, 64)
    logits = truth[sample.a, sample.b] * 5 - 7
    student = Student(SIZE, 0)
    teach(student, inputs, (sample.a, sample.b), logits, Lessons(400, 0.01, 0), silent)
    with torch.inference_mode():
        got = student.logits(inputs, torch.from_numpy(sample.a), torch.from_numpy(sample.b)).numpy()
    assert np.corrcoef(got, logits)[0, 1] > 0.99
    assert np.abs(got - logits).mean() < 0.15 * logits.std()


def test_the_same_run_is_the_same_pairs(tmp_path: Path) -> None:
    (one, _), (two, _) = run(tmp_path / "one", ALL, steps=20), run(tmp_path / "two", ALL, steps=20)
    assert np.array_equal(keys(one, N), keys(two, N))
    assert one.recall == two.recall


@pytest.mark.parametrize("lost", [[], ["round-2.npy"], ["round-2.npy", "student-2.safetensors"], ["round-1.npy"]])
def test_a_run_goes_on_where_it_was_killed(tmp_path: Path, lost: list[str]) -> None:
    whole, _ = run(tmp_path, ALL, steps=20)
    for name in lost:
        (tmp_path / name).unlink()
    if lost:  # killed while it looked up
        (tmp_path / "lookup").mkdir()
        (tmp_path / "lookup" / "half").touch()
    before = {file.name: file.read_bytes() for file in tmp_path.glob("*-*")}
    again, _ = run(tmp_path, ALL, steps=20)
    assert np.array_equal(keys(whole, N), keys(again, N))
    assert before == {name: (tmp_path / name).read_bytes() for name in before}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "round-1.npy", "round-2.npy", "student-1.safetensors", "student-2.safetensors"
    ]  # fmt: skip


def test_damaged_proposals_are_refused_by_name(tmp_path: Path) -> None:
    run(tmp_path, ALL, steps=20)
    (tmp_path / "round-1.npy").write_bytes(b"no array")
    with pytest.raises(InputError, match="round-1.npy"):
        run(tmp_path, ALL, steps=20)


def test_weights_that_were_kept_are_used(tmp_path: Path) -> None:
    inputs, _ = planted()
    student = Student(SIZE, 5)
    student.save(tmp_path / "student.safetensors")
    loaded = load_student(tmp_path / "student.safetensors", SIZE)
    assert all(
        np.array_equal(x, y) for x, y in zip(vectors_of(student, inputs), vectors_of(loaded, inputs), strict=True)
    )
    with pytest.raises(InputError, match="shape"):
        load_student(tmp_path / "student.safetensors", replace(SIZE, rank=4))


def test_recall_is_that_of_the_pairs_that_judge() -> None:
    logits = np.arange(1000, dtype=np.float32)
    judges = np.arange(1000) % 2 == 0
    proposed = np.arange(1000) >= 995
    tenth, hundredth = estimated(logits, judges, proposed, (0.1, 0.01))
    assert (tenth.judged, tenth.found) == (50, 2)
    assert hundredth.judged == 5
    assert hundredth.recall == 0.4
    assert 0 < hundredth.low < 0.4 < hundredth.high < 1


def test_recall_is_unknown_where_no_pair_judges() -> None:
    nothing = np.zeros(10, dtype=bool)
    (found,) = estimated(np.arange(10, dtype=np.float32), nothing, nothing, (0.1,))
    assert found.recall is None
    assert (found.low, found.high) == (0.0, 1.0)


def test_the_estimate_is_near_the_truth(tmp_path: Path) -> None:
    _, truth = planted()
    found, _ = run(tmp_path, ALL, pairs=3000)
    i, j = np.triu_indices(N, 1)
    best = truth[i, j] >= found.recall[1].cut
    real = np.isin(keys_of(i[best], j[best], N), keys(found, N)).mean()
    assert found.recall[1].low <= real <= found.recall[1].high


def test_budgets_that_leave_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="none is left to propose"):
        Budget(100, 100, 0.2, 1)
    with pytest.raises(InputError, match="0 rounds"):
        Budget(100, 50, 0.2, 0)
    with pytest.raises(InputError, match="19 steps"):
        Lessons(19, 0.01, 0)
    with pytest.raises(InputError, match="held out"):
        held_out(3, 0.1, 0)
