"""Every distinct sequence is computed once, whatever the batches and however often the work is interrupted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from esm2_amp.errors import InputError
from esm2_amp.features.alphabet import VOCABULARY
from esm2_amp.features.encoder import Esm2Encoder
from esm2_amp.features.extract import ExtractionReport, ExtractionSettings, extract, plan_batches
from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.features.store import FeatureStore
from esm2_amp.records import STANDARD_RESIDUES, Protein

FULL = LongPolicy("full", 1022)


class FakeEncoder:
    """A residue's state is a random vector of its letter, times its position; counts what it is asked for."""

    identity = EncoderIdentity("fake", "f" * 64, 6)
    device = torch.device("cpu")

    def __init__(self, fail_at_batch: int | None = None) -> None:
        self.vectors = torch.randn(len(VOCABULARY), 6, generator=torch.Generator().manual_seed(0))
        self.fail_at_batch, self.batches = fail_at_batch, 0
        self.seen: Counter[str] = Counter()

    def states(self, tokens: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        self.batches += 1
        if self.batches == self.fail_at_batch:
            raise KeyboardInterrupt
        rows = torch.split(tokens, list(lengths))
        self.seen.update("".join(VOCABULARY[t] for t in row.tolist()) for row in rows)
        return torch.cat([self.vectors[row] * torch.linspace(1, 2, 200)[: len(row), None] for row in rows])


def random_proteins(count: int) -> list[Protein]:
    rng = np.random.default_rng(4)
    letters = list(STANDARD_RESIDUES)
    return [Protein(f"P{i}", "".join(rng.choice(letters, rng.integers(1, 40)))) for i in range(count)]


def run(
    proteins: Sequence[Protein],
    folder: Path,
    encoder: FakeEncoder | Esm2Encoder,
    *,
    budget: int = 100,
    long: LongPolicy = FULL,
    workers: int = 1,
) -> ExtractionReport:
    done: list[int] = []
    started: list[int] = []
    report = extract(
        proteins, str(folder), encoder.identity, lambda: encoder, ExtractionSettings(long, budget, workers, False),
        lambda count, residues: started.extend((count, residues)), done.append,
    )  # fmt: skip
    assert started == [report.computed, report.residues]
    assert sum(done) == report.residues
    return report


def tokens_of(folder: Path, proteins: Sequence[Protein]) -> np.ndarray:
    store = FeatureStore(folder)
    return store.gather(store.find([protein.key for protein in proteins]), range(13))


def test_each_distinct_sequence_is_computed_once_and_never_again(tmp_path: Path) -> None:
    proteins = random_proteins(30)
    aliases = [Protein(f"Q{i}", protein.sequence) for i, protein in enumerate(proteins[:10])]
    encoder = FakeEncoder()
    residues = sum(len(protein.sequence) for protein in proteins)
    assert run([*aliases, *proteins[:20]], tmp_path / "s", encoder).computed == 20
    report = run([*proteins, *aliases], tmp_path / "s", encoder)
    assert report == ExtractionReport(10, 20, residues - report_residues(proteins[:20]), 0)
    assert len(encoder.seen) == 30
    assert set(encoder.seen.values()) == {1}
    assert {name for name, _ in FeatureStore(tmp_path / "s").ids()} == {p.id for p in [*proteins, *aliases]}


def report_residues(proteins: Sequence[Protein]) -> int:
    return sum(len(protein.sequence) for protein in proteins)


def test_the_encoder_is_not_loaded_where_nothing_is_missing(tmp_path: Path) -> None:
    proteins = random_proteins(5)
    run(proteins, tmp_path / "s", FakeEncoder())

    def load() -> FakeEncoder:
        raise AssertionError("loaded")

    report = extract(
        proteins, str(tmp_path / "s"), FakeEncoder.identity, load, ExtractionSettings(FULL, 100, 1, False),
        lambda *_: None, lambda _: None,
    )  # fmt: skip
    assert report == ExtractionReport(0, 5, 0, 0)


def test_no_proteins_make_an_empty_store(tmp_path: Path) -> None:
    assert run([], tmp_path / "s", FakeEncoder()) == ExtractionReport(0, 0, 0, 0)
    assert len(FeatureStore(tmp_path / "s")) == 0


@pytest.mark.parametrize("budget", [1, 60, 10_000])
def test_tokens_do_not_depend_on_the_batches(tmp_path: Path, budget: int) -> None:
    proteins = random_proteins(30)
    run(proteins, tmp_path / "one", FakeEncoder(), budget=100)
    run(proteins[::-1], tmp_path / "other", FakeEncoder(), budget=budget)
    one, other = (tokens_of(tmp_path / name, proteins) for name in ("one", "other"))
    np.testing.assert_allclose(one.astype(float), other.astype(float), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("fail_at_batch", [1, 2, 5])
def test_an_interrupted_extraction_goes_on_where_it_was(tmp_path: Path, fail_at_batch: int) -> None:
    proteins = random_proteins(30)
    run(proteins, tmp_path / "whole", FakeEncoder())
    first, second = FakeEncoder(fail_at_batch), FakeEncoder()
    with pytest.raises(KeyboardInterrupt):
        run(proteins, tmp_path / "s", first)
    run(proteins, tmp_path / "s", second)
    assert not first.seen.keys() & second.seen.keys()  # only the batch in work was lost
    assert len(first.seen) + len(second.seen) == 30
    for name in ("index.bin", "ids.tsv", "manifest.json", "shard-00000.f16"):
        assert (tmp_path / "s" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


@pytest.mark.parametrize("workers", [2, 3, 50])
def test_several_workers_write_what_one_writes(tmp_path: Path, workers: int) -> None:
    proteins = random_proteins(60)
    for name, count in (("one", 1), ("many", workers)):
        run(proteins, tmp_path / name, FakeEncoder(), workers=count)
    for name in ("index.bin", "ids.tsv", "shard-00000.f16"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "many" / name).read_bytes(), name


def test_a_mistake_in_one_worker_keeps_the_batches_before_it(tmp_path: Path) -> None:
    encoder = FakeEncoder()
    encoder.vectors[VOCABULARY.index("W")] = float("nan")
    proteins = [Protein(f"P{n}", "A" * n) for n in range(20, 40)] + [Protein("bad", "AW")]
    with pytest.raises(InputError, match="not finite for protein bad"):
        run(proteins, tmp_path / "s", encoder, budget=25, workers=4)
    assert len(FeatureStore(tmp_path / "s")) == 20  # the shortest came last


def test_truncation_encodes_the_cut_sequence_and_says_so(
    tmp_path: Path, encoder: Esm2Encoder, proteins: tuple[Protein, ...]
) -> None:
    cut = [Protein(protein.id, protein.sequence[:50]) for protein in proteins]
    assert run(proteins, tmp_path / "cut", encoder, long=LongPolicy("truncate", 50)).shortened == 2
    assert run(cut, tmp_path / "short", encoder).shortened == 0
    np.testing.assert_allclose(tokens_of(tmp_path / "cut", proteins), tokens_of(tmp_path / "short", cut), atol=2e-3)
    store = FeatureStore(tmp_path / "cut")
    rows = store.find([protein.key for protein in proteins])
    assert store.index["length"][rows].tolist() == [len(protein.sequence) for protein in proteins]
    assert store.index["residues"][rows].tolist() == [len(protein.sequence) for protein in cut]


def test_a_protein_whose_states_are_not_finite_is_named_and_nothing_of_its_batch_is_kept(tmp_path: Path) -> None:
    encoder = FakeEncoder()
    encoder.vectors[VOCABULARY.index("W")] = 1e6  # beyond float16
    proteins = [Protein("short", "A"), Protein("good", "AAAA"), Protein("bad", "AAWA")]
    with pytest.raises(InputError, match=r"not finite for protein bad.*precision=float32"):
        run(proteins, tmp_path / "s", encoder, budget=12)
    assert len(FeatureStore(tmp_path / "s")) == 0
    with pytest.raises(InputError, match="not finite for protein bad"):
        run([*proteins, Protein("long", "AAAAAAA")], tmp_path / "s", encoder, budget=12)
    assert len(FeatureStore(tmp_path / "s")) == 1  # the longest came first


@given(st.lists(st.integers(3, 40), max_size=60), st.integers(1, 200))
@example([10, 10], 19)
@example([10, 10], 20)
def test_batches_hold_every_protein_once_within_the_budget(positions: list[int], budget: int) -> None:
    batches = plan_batches(positions, budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(positions)))
    for batch in batches:
        assert len(batch) == 1 or sum(positions[i] for i in batch) <= budget
    in_order = [positions[i] for batch in batches for i in batch]
    assert in_order == sorted(positions, reverse=True)  # memory runs out at once or never
    for batch, after in zip(batches[:-1], batches[1:], strict=True):
        assert sum(positions[i] for i in batch) + positions[after[0]] > budget  # no batch is smaller than need be
