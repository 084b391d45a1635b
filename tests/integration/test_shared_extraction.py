"""Several processes compute one plan: here as threads, so that any of them can be made to fail at any point."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from esm2_amp.errors import InputError
from esm2_amp.features.alphabet import VOCABULARY
from esm2_amp.features.extract import ExtractionReport, ExtractionSettings, extract
from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.features.store import FeatureStore
from esm2_amp.features.store_parts import part_folders
from esm2_amp.records import STANDARD_RESIDUES, Protein
from esm2_amp.tasks.shared_extraction import extract_together

SETTINGS = ExtractionSettings(LongPolicy("truncate", 30), 100, 1, residue_states=True)


class Thread:
    """One of several threads that play the processes; ``fail_at`` batches it computes, then it is gone."""

    def __init__(self, rank: int, barrier: threading.Barrier, fail_at: int | None = None) -> None:
        self.rank, self.count, self.barrier, self.left = rank, barrier.parties, barrier, fail_at

    def check(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                self.barrier.abort()
                raise KeyboardInterrupt

    def meet(self) -> None:
        try:
            self.barrier.wait(30)
        except threading.BrokenBarrierError:
            raise InputError("a process of this run stopped") from None


class Vectors:
    """A source and an encoder: every letter has its state; counts the proteins."""

    identity, device = EncoderIdentity("mine", "a" * 64, 4), torch.device("cpu")

    def __init__(self) -> None:
        self.states_of = torch.randn(len(VOCABULARY), 4, generator=torch.Generator().manual_seed(0))
        self.proteins: list[int] = []

    def load(self) -> Vectors:
        return self

    def states(self, tokens: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        self.proteins += lengths
        return self.states_of[tokens]


@pytest.fixture(scope="module")
def proteins() -> list[Protein]:
    rng = np.random.default_rng(4)
    letters = list(STANDARD_RESIDUES)
    drawn = [Protein(f"P{i}", "".join(rng.choice(letters, rng.integers(1, 40)))) for i in range(60)]
    return [*drawn, Protein("alias", drawn[7].sequence)]


def together(
    proteins: list[Protein], folder: Path, encoder: Vectors, fail_at: Sequence[int | None]
) -> list[Future[ExtractionReport]]:
    barrier = threading.Barrier(len(fail_at))
    teams = [Thread(rank, barrier, left) for rank, left in enumerate(fail_at)]
    with ThreadPoolExecutor(len(teams)) as pool:
        return [pool.submit(extract_together, proteins, encoder, str(folder), SETTINGS, team) for team in teams]


def alone(proteins: list[Protein], folder: Path, encoder: Vectors) -> ExtractionReport:
    nothing: Callable[..., None] = lambda *_: None  # noqa: E731
    return extract(proteins, str(folder), encoder.identity, encoder.load, SETTINGS, nothing, nothing)


def content(folder: Path) -> dict[str, tuple[bytes, ...]]:
    store = FeatureStore(folder)
    keys = store.keys(np.arange(len(store)))
    rows = {
        key: (store.index[row].tobytes(), store.block(row, row + 1).tobytes(), store.residue_states(row).tobytes())
        for row, key in enumerate(keys)
    }
    assert len(rows) == len(store)
    return rows


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_several_give_what_one_gives(proteins: list[Protein], tmp_path: Path, count: int) -> None:
    one, many = Vectors(), Vectors()
    report = alone(proteins, tmp_path / "one", one)
    reports = {future.result() for future in together(proteins, tmp_path / "many", many, [None] * count)}
    assert reports == {report}
    assert content(tmp_path / "many") == content(tmp_path / "one")
    assert sorted(many.proteins) == sorted(one.proteins)  # nothing twice
    assert sorted(FeatureStore(tmp_path / "many").ids()) == sorted(FeatureStore(tmp_path / "one").ids())
    assert part_folders(tmp_path / "many") == []
    again = {future.result() for future in together(proteins, tmp_path / "many", many, [None] * count)}
    assert again == {ExtractionReport(0, report.computed, 0, 0)}
    assert sorted(many.proteins) == sorted(one.proteins)


@pytest.mark.parametrize("fail_at", [(1, None, None), (None, 2, None), (None, 1, 3), (None, None, 1)])
@pytest.mark.parametrize("rescuers", [1, 2])
def test_all_but_a_batch_of_each_that_stopped_is_kept(
    proteins: list[Protein], tmp_path: Path, fail_at: tuple[int | None, ...], rescuers: int
) -> None:
    one, many = Vectors(), Vectors()
    alone(proteins, tmp_path / "one", one)
    for future in together(proteins, tmp_path / "many", many, fail_at):
        assert isinstance(future.exception(), InputError | KeyboardInterrupt)
    if rescuers == 1:
        alone(proteins, tmp_path / "many", many)
    else:
        assert all(future.result() for future in together(proteins, tmp_path / "many", many, [None] * rescuers))
    assert content(tmp_path / "many") == content(tmp_path / "one")
    stopped = sum(left is not None for left in fail_at)
    assert 0 <= sum(many.proteins) - sum(one.proteins) <= stopped * SETTINGS.token_budget
    assert part_folders(tmp_path / "many") == []
