"""Masked language modelling: what is hidden, how proteins are cut and grouped, and that a resumed run sees the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from esm2_amp.features.alphabet import CLS, EOS, MASK, PAD, STANDARD, VOCABULARY, encode, pad
from esm2_amp.features.pretrain import (
    BatchStream,
    EncoderShape,
    MaskedLanguageModel,
    PretrainData,
    Schedule,
    bigram_perplexity,
    bucket,
    cut_windows,
    hold_out,
    mask_tokens,
    unigram_perplexity,
)
from esm2_amp.records import STANDARD_RESIDUES
from esm2_amp.tasks import pretrain
from esm2_amp.tasks.config import PretrainConfig

SHAPE = EncoderShape(layers=1, width=16, heads=2, feedforward=32)
SCHEDULE = Schedule(steps=20, warmup=4, tokens=200, window=30, learning_rate=0.01, steps_per_epoch=5, seed=7)


pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers", "ignore:Checkpoint directory", "ignore:.*LeafSpec"
)


def random_sequences(count: int, longest: int = 90, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    letters = list(STANDARD_RESIDUES)
    return ["".join(rng.choice(letters, rng.integers(1, longest))) for _ in range(count)]


def test_hidden_residues_are_as_many_and_shown_as_in_esm2() -> None:
    tokens = pad([encode("A" * 4000 + "J")] * 49 + [encode("A" * 2000)])
    seen, target = mask_tokens(tokens, np.random.default_rng(0), always=False)
    special = np.isin(tokens, (CLS, EOS, PAD))
    chosen = target != -100
    assert not (chosen & special).any()
    assert np.array_equal(seen[~chosen], tokens[~chosen])
    assert np.array_equal(target[chosen], tokens[chosen])
    count = chosen.sum()
    assert abs(count / (~special).sum() - 0.15) < 0.005
    masked, same = (seen == MASK)[chosen].sum(), (seen == tokens)[chosen].sum()
    assert abs(masked / count - 0.8) < 0.01
    assert abs(same / count - (0.1 + 0.1 / 20)) < 0.01  # a random residue may be the true one
    shown = seen[chosen & (seen != MASK) & (seen != tokens)]
    assert set(shown.tolist()) == set(STANDARD) - {VOCABULARY.index("A")}
    assert max(Counter(shown.tolist()).values()) < 1.5 * len(shown) / 19


def test_for_measuring_every_chosen_residue_is_hidden() -> None:
    tokens = pad([encode("ACDE" * 100)] * 20)
    seen, target = mask_tokens(tokens, np.random.default_rng(0), always=True)
    assert (seen[target != -100] == MASK).all()
    assert np.array_equal(seen[target == -100], tokens[target == -100])


@given(st.lists(st.integers(1, 400), min_size=1, max_size=30), st.integers(5, 100), st.integers(0, 50))
def test_windows_hold_every_residue_once(lengths: list[int], window: int, seed: int) -> None:
    windows = cut_windows(lengths, window, np.random.default_rng(seed))
    residues = [(protein, i) for protein, start, stop in windows for i in range(start, stop)]
    assert residues == [(protein, i) for protein, length in enumerate(lengths) for i in range(length)]
    assert all(0 < stop - start <= window for _, start, stop in windows)
    whole = {protein for protein, start, stop in windows if stop - start == lengths[protein]}
    assert whole == {protein for protein, length in enumerate(lengths) if length <= window}


def test_the_cuts_differ_from_pass_to_pass() -> None:
    firsts = {cut_windows([1000], 100, np.random.default_rng(seed))[0][2] for seed in range(300)}
    assert min(firsts) < 5
    assert max(firsts) > 96


@given(st.lists(st.integers(1, 100), min_size=1, max_size=60), st.integers(102, 500), st.integers(0, 50))
def test_buckets_hold_every_window_once_within_the_budget(sizes: list[int], tokens: int, seed: int) -> None:
    batches = bucket([(0, 0, size) for size in sizes], tokens, np.random.default_rng(seed))
    assert sorted(i for batch in batches for i in batch) == list(range(len(sizes)))
    assert all(len(batch) * (max(sizes[i] for i in batch) + 2) <= tokens for batch in batches)


def test_a_batch_is_the_same_whatever_was_asked_for_before() -> None:
    sequences = random_sequences(12)
    in_order = BatchStream(sequences, SCHEDULE, always_mask=False)
    expected = [in_order.batch(n) for n in range(40)]
    shuffled = BatchStream(sequences, SCHEDULE, always_mask=False)
    for number in [39, 0, 12, 11, *np.random.default_rng(0).permutation(40)]:
        seen, target = shuffled.batch(int(number))
        assert torch.equal(seen, expected[number][0])
        assert torch.equal(target, expected[number][1])
        assert seen.numel() <= SCHEDULE.tokens


def test_one_pass_of_batches_is_all_residues() -> None:
    sequences = random_sequences(12)
    data = PretrainData(sequences, sequences, SCHEDULE)
    shown: Counter[int] = Counter()
    for seen, target in data.val_dataloader():
        true = torch.where(target == -100, seen, target)
        shown.update(true[(true != CLS) & (true != EOS) & (true != PAD)].tolist())
        assert ((true == CLS).sum(dim=1) == 1).all()
        assert ((true == EOS).sum(dim=1) == 1).all()
    assert shown == Counter(int(token) for sequence in sequences for token in encode(sequence)[1:-1])


def test_training_goes_through_the_stream_in_stretches() -> None:
    sequences = random_sequences(12)
    data = PretrainData(sequences, sequences[:2], SCHEDULE)
    batches = list(data.train_dataloader())
    assert len(batches) == SCHEDULE.steps_per_epoch
    assert torch.equal(batches[3][0], data.stream.batch(3)[0])


@pytest.mark.parametrize("share", [0.001, 0.3])
def test_held_out_sequences_are_no_training_sequences(share: float) -> None:
    sequences = random_sequences(40, seed=1)
    train, heldout = hold_out([*sequences, *sequences[:10]], share, seed=3)
    assert len(heldout) == max(1, round(share * len(set(sequences))))
    assert sorted(train + heldout) == sorted(set(sequences))
    assert (train, heldout) == hold_out(sequences[::-1], share, seed=3)
    assert heldout != hold_out(sequences, share, seed=4)[1]


def test_guessing_by_frequency_is_as_good_as_the_frequencies() -> None:
    uniform = random_sequences(400, 200, seed=2)
    assert abs(unigram_perplexity(uniform[:200], uniform[200:]) - 20) < 0.2
    assert unigram_perplexity(["A" * 100_000], ["A" * 50]) < 1.01
    # half A, half C: as good as a coin
    assert abs(unigram_perplexity(["AC" * 50_000], ["AC" * 50]) - 2) < 0.01


def test_the_loss_is_that_of_transformers() -> None:
    torch.manual_seed(0)
    module = MaskedLanguageModel(SHAPE, SCHEDULE)
    seen, target = BatchStream(random_sequences(12), SCHEDULE, always_mask=False).batch(0)
    total, count = module._losses((seen, target))
    expected = module.model(input_ids=seen, attention_mask=seen != PAD, labels=target).loss
    torch.testing.assert_close(total / count, expected)


def test_the_rate_rises_to_its_peak_and_falls_to_zero() -> None:
    module = MaskedLanguageModel(SHAPE, SCHEDULE)
    factors = [module._factor(step) for step in range(SCHEDULE.steps + 1)]
    assert factors[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert all(after < before for before, after in zip(factors[4:-1], factors[5:], strict=True))
    assert factors[-1] == pytest.approx(0)


def test_a_killed_pretraining_goes_on_and_ends_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PretrainConfig(
        fasta="unused", output="unused", layers=1, width=16, heads=2, feedforward=32, steps=17, warmup=4, tokens=200,
        window=30, learning_rate=0.01, steps_per_epoch=5, held_out=0.1, precision="32-true", threads=1, seed=7,
    )  # fmt: skip
    sequences, batch = random_sequences(12), BatchStream.batch
    trained: list[int] = []

    def run(folder: str, killed_at: int | None) -> torch.nn.Module:
        def watched(stream: BatchStream, number: int) -> tuple[torch.Tensor, torch.Tensor]:
            if not stream.always_mask:
                if number == killed_at:
                    raise InterruptedError
                trained.append(number)
            return batch(stream, number)

        trained.clear()
        monkeypatch.setattr(BatchStream, "batch", watched)
        return pretrain.fit(config, sequences[2:], sequences[:2], tmp_path / folder)[1]

    whole = run("whole", None)
    assert trained == list(range(17))
    with pytest.raises(InterruptedError):
        run("resumed", 12)
    resumed = run("resumed", None)
    assert trained == list(range(10, 17))
    for (name, ours), theirs in zip(resumed.state_dict().items(), whole.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name


def test_decay_spares_biases_and_norms_and_forgets_nothing() -> None:
    module = MaskedLanguageModel(SHAPE, SCHEDULE)
    muon, adamw = module.configure_optimizers()[0]
    decayed, spared = adamw.param_groups
    assert [muon.param_groups[0]["weight_decay"], decayed["weight_decay"], spared["weight_decay"]] == [0.1, 0.01, 0.0]
    assert {p.ndim for p in spared["params"]} == {1}
    groups = (*muon.param_groups, decayed, spared)
    trained = [id(p) for group in groups for p in group["params"]]
    assert sorted(trained) == sorted(id(p) for p in module.parameters())


def test_a_few_steps_teach_a_repeating_protein() -> None:
    torch.manual_seed(0)
    module = MaskedLanguageModel(SHAPE, SCHEDULE)
    optimizers, schedules = module.configure_optimizers()
    stream = BatchStream(["ACDE" * 7] * 12, SCHEDULE, always_mask=False)
    losses = []
    for step in range(60):
        total, count = module._losses(stream.batch(step))
        losses.append(float(total.detach() / count))
        (total / count).backward()
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:2])


def test_the_bigram_bound_knows_what_follows_what() -> None:
    train = ["ACDE" * 500] * 3
    assert bigram_perplexity(train, ["ACDE" * 50]) < 1.1
    assert bigram_perplexity(train, ["AACCDDEE"]) > 10  # the same residues, other neighbours
    assert unigram_perplexity(train, ["ACDEACDE"]) == pytest.approx(4, rel=0.05)


def test_residues_seen_are_those_of_the_batches() -> None:
    stream = BatchStream(["ACDEFGHIKL" * n for n in range(1, 12)], SCHEDULE, always_mask=False)
    seen = sum(int(((seen != PAD) & (seen != CLS) & (seen != EOS)).sum()) for seen, _ in map(stream.batch, range(40)))
    assert stream.residues(40) == seen
