"""Pretrain a small encoder of ESM-2's architecture by masked language modelling.

Follows Lin et al. 2023 (doi 10.1126/science.ade2574): 15 % of the residues are predicted; of these 80 % are shown
as ``<mask>``, 10 % as a random residue, 10 % as they are; AdamW with betas (0.9, 0.98) and weight decay 0.01, and a
linear decay of the learning rate. Two departures, for few sequences and little time: every residue is used once per
pass (a protein is cut at a random offset into windows, and windows of similar length share a batch) where ESM-2 crops
one window from a long protein; and the matrices of the layers are trained by Muon (Jordan et al. 2024), its steps
scaled to AdamW's (Liu et al. 2025, arXiv 2502.16982), which learns more from each batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import EsmConfig, EsmForMaskedLM

from esm2_amp.features.alphabet import CLS, EOS, MASK, PAD, STANDARD, VOCABULARY, encode, pad


@dataclass(frozen=True)
class EncoderShape:
    """Size of the encoder: hidden ``width`` must be divisible by ``heads``."""

    layers: int
    width: int
    heads: int
    feedforward: int


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train; ``steps`` optimiser steps of about ``tokens`` tokens each."""

    steps: int
    warmup: int
    tokens: int
    window: int
    learning_rate: float
    steps_per_epoch: int
    seed: int


def build_encoder(shape: EncoderShape) -> EsmForMaskedLM:
    """A freshly initialised masked language model of ESM-2's architecture (rotary positions, token dropout)."""
    return EsmForMaskedLM(
        EsmConfig(
            vocab_size=len(VOCABULARY),
            pad_token_id=PAD,
            mask_token_id=MASK,
            bos_token_id=CLS,
            eos_token_id=EOS,
            hidden_size=shape.width,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            intermediate_size=shape.feedforward,
            position_embedding_type="rotary",
            token_dropout=True,
            emb_layer_norm_before=False,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            max_position_embeddings=1026,
            # plain products: on a CPU in bfloat16 their backward pass is much faster than the fused attention's
            attn_implementation="eager",
        )
    )


def cut_windows(lengths: Sequence[int], window: int, rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """Cut every protein at a random offset into runs of at most ``window`` residues: (protein, start, stop)."""
    windows = []
    for protein, length in enumerate(lengths):
        first = int(rng.integers(1, window + 1)) if length > window else length
        edges = [0, *range(min(first, length), length, window), length]
        windows += [(protein, i, j) for i, j in zip(edges[:-1], edges[1:], strict=True) if j > i]
    return windows


def bucket(windows: list[tuple[int, int, int]], tokens: int, rng: np.random.Generator) -> list[list[int]]:
    """Group windows of similar length so that a padded batch has at most ``tokens`` tokens; in random order."""
    size = np.array([stop - start + 2 for _, start, stop in windows])
    order = np.lexsort((rng.random(len(size)), size))[::-1]
    batches: list[list[int]] = []
    for index in order:
        if not batches or (len(batches[-1]) + 1) * size[batches[-1][0]] > tokens:
            batches.append([])
        batches[-1].append(int(index))
    return [batches[i] for i in rng.permutation(len(batches))]


def mask_tokens(
    tokens: NDArray[np.int64], rng: np.random.Generator, *, always: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hide residues as ESM-2 does.

    Args:
        tokens: (rows, length) token numbers, padded.
        rng: source of the choice.
        always: show every chosen residue as ``<mask>``. For measuring: a residue shown as it is gives itself away.

    Returns:
        The tokens the model sees and its targets, (rows, length) each; -100 where nothing is predicted.
    """
    chosen = (rng.random(tokens.shape) < 0.15) & (tokens != PAD) & (tokens != CLS) & (tokens != EOS)
    fate = rng.random(tokens.shape)
    seen = np.where(chosen & (always | (fate < 0.8)), MASK, tokens)
    seen = np.where(chosen & (fate >= 0.9) & (not always), rng.choice(np.array(STANDARD), tokens.shape), seen)
    return seen, np.where(chosen, tokens, -100)


class BatchStream:
    """Batch number n of training, the same whenever it is asked for: passes over all proteins, one after another."""

    def __init__(self, sequences: Sequence[str], schedule: Schedule, *, always_mask: bool) -> None:
        self.always_mask = always_mask
        self.tokens = [encode(sequence) for sequence in sequences]
        self.schedule = schedule
        self._pass, self._first, self._plan = -1, 0, list[list[tuple[int, int, int]]]()

    def batch(self, number: int) -> tuple[Tensor, Tensor]:
        """What the model sees and its targets, (rows, length) each."""
        if number < self._first:
            self._pass, self._first, self._plan = -1, 0, []
        while number >= self._first + len(self._plan):
            self._first, self._pass = self._first + len(self._plan), self._pass + 1
            self._plan = self._plan_pass(self._pass)
        rows = [self.window(*window) for window in self._plan[number - self._first]]
        rng = np.random.default_rng((self.schedule.seed, 1, number))
        seen, target = mask_tokens(pad(rows), rng, always=self.always_mask)
        return torch.from_numpy(seen), torch.from_numpy(target)

    def residues(self, batches: int) -> int:
        """How many residues the first ``batches`` batches hold."""
        total, done, number = 0, 0, 0
        while done < batches:
            plan = self._plan_pass(number)[: batches - done]
            total += sum(stop - start for batch in plan for _, start, stop in batch)
            done, number = done + len(plan), number + 1
        return total

    def window(self, protein: int, start: int, stop: int) -> NDArray[np.int64]:
        """Residues start..stop-1 of a protein between ``<cls>`` and ``<eos>``."""
        return np.concatenate(([CLS], self.tokens[protein][start + 1 : stop + 1], [EOS]))

    def _plan_pass(self, number: int) -> list[list[tuple[int, int, int]]]:
        rng = np.random.default_rng((self.schedule.seed, 0, number))
        windows = cut_windows([len(tokens) - 2 for tokens in self.tokens], self.schedule.window, rng)
        return [[windows[i] for i in batch] for batch in bucket(windows, self.schedule.tokens, rng)]


class _Epoch(Dataset[tuple[Tensor, Tensor]]):
    """The batches of one stretch between two checkpoints."""

    def __init__(self, stream: BatchStream, first: int, count: int) -> None:
        self.stream, self.first, self.count = stream, first, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if index >= self.count:
            raise IndexError(index)
        return self.stream.batch(self.first + index)


class PretrainData(pl.LightningDataModule):
    """Feeds :class:`BatchStream` in stretches of ``steps_per_epoch`` batches, so that a resumed run sees the same."""

    def __init__(self, train: Sequence[str], heldout: Sequence[str], schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule
        self.stream = BatchStream(train, schedule, always_mask=False)
        self.heldout = BatchStream(heldout, schedule, always_mask=True)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        """The batches from the trainer's current step on."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        first = epoch * self.schedule.steps_per_epoch
        count = min(self.schedule.steps_per_epoch, self.schedule.steps - first)
        return DataLoader(_Epoch(self.stream, first, count), batch_size=None)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        """One pass over the held-out proteins, cut and masked the same way every time."""
        return DataLoader(_Epoch(self.heldout, 0, len(self.heldout._plan_pass(0))), batch_size=None)


class MaskedLanguageModel(pl.LightningModule):
    """Minimises -log p(hidden residue | the rest); reports the held-out perplexity, exp of its mean."""

    def __init__(self, shape: EncoderShape, schedule: Schedule) -> None:
        super().__init__()
        self.automatic_optimization = False  # two optimisers
        self.save_hyperparameters({"shape": asdict(shape), "schedule": asdict(schedule)})
        self.schedule = schedule
        self.model = build_encoder(shape)
        self._loss, self._count = 0.0, 0

    def _losses(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        seen, target = batch
        states = self.model.esm(input_ids=seen, attention_mask=seen != PAD).last_hidden_state
        hidden = target != -100
        logits = self.model.lm_head(states[hidden])
        return torch.nn.functional.cross_entropy(logits.float(), target[hidden], reduction="sum"), hidden.sum()

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """One step down the mean loss per hidden residue."""
        loss, count = self._losses(batch)
        mean = loss / count.clamp(min=1)
        self.manual_backward(mean)
        torch.nn.utils.clip_grad_norm_(self.parameters(), 1.0)
        for optimizer, schedule in zip(self.optimizers(), self.lr_schedulers(), strict=True):
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        self.log("train/loss", mean.detach(), prog_bar=True, batch_size=int(count))

    def on_validation_epoch_start(self) -> None:
        """Begin a new sum over the held-out batches."""
        self._loss, self._count = 0.0, 0

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Sum of the losses and of the hidden residues."""
        loss, count = self._losses(batch)
        self._loss, self._count = self._loss + float(loss), self._count + int(count)

    def on_validation_epoch_end(self) -> None:
        """Log the perplexity."""
        self.log("val/perplexity", math.exp(self._loss / self._count), prog_bar=True)

    def configure_optimizers(self) -> Any:
        """Muon for the matrices of the layers; AdamW for the rest, without weight decay on biases and norms."""
        inside = {id(p) for p in self.model.esm.encoder.layer.parameters() if p.ndim == 2}
        matrices = [p for p in self.parameters() if id(p) in inside]
        others = [p for p in self.parameters() if id(p) not in inside]
        rate = self.schedule.learning_rate
        optimizers = [
            torch.optim.Muon(matrices, lr=rate, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(
                [
                    {"params": [p for p in others if p.ndim > 1], "weight_decay": 0.01},
                    {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
                ],
                lr=rate,
                betas=(0.9, 0.98),
            ),
        ]
        return optimizers, [torch.optim.lr_scheduler.LambdaLR(optimizer, self._factor) for optimizer in optimizers]

    def _factor(self, step: int) -> float:
        """Linear warm-up, then linearly down to zero at the last step."""
        warmup, steps = self.schedule.warmup, self.schedule.steps
        return min((step + 1) / warmup, max(0.0, (steps - step) / max(1, steps - warmup)))


def hold_out(sequences: Sequence[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """Split distinct sequences into training and held-out ones; at least one is held out."""
    distinct = sorted(set(sequences))
    order = np.random.default_rng((seed, 2)).permutation(len(distinct))
    count = max(1, round(share * len(distinct)))
    return [distinct[i] for i in order[count:]], [distinct[i] for i in order[:count]]


def unigram_perplexity(train: Sequence[str], heldout: Sequence[str]) -> float:
    """Perplexity of guessing held-out residues from the training residues' frequencies alone: the bar to pass."""
    counts = np.ones(len(VOCABULARY))
    for sequence in train:
        counts += np.bincount(encode(sequence)[1:-1], minlength=len(VOCABULARY))
    tokens: Iterator[NDArray[np.int64]] = (encode(sequence)[1:-1] for sequence in heldout)
    logs = np.log(counts / counts.sum())[np.concatenate(list(tokens))]
    return float(np.exp(-logs.mean()))


def bigram_perplexity(train: Sequence[str], heldout: Sequence[str]) -> float:
    """Perplexity of guessing held-out residues from their left neighbour alone, as counted in training."""
    counts = np.ones((len(VOCABULARY), len(VOCABULARY)))
    for sequence in train:
        tokens = encode(sequence)
        np.add.at(counts, (tokens[:-2], tokens[1:-1]), 1)
    logs = np.log(counts / counts.sum(axis=1, keepdims=True))
    rows = [encode(sequence) for sequence in heldout]
    return float(np.exp(-np.concatenate([logs[row[:-2], row[1:-1]] for row in rows]).mean()))


def save_encoder(model: EsmForMaskedLM, folder: Path) -> None:
    """Write configuration and weights (safetensors) in Hugging Face layout."""
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
