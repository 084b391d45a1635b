"""What several processes of one extraction wrote is joined: nothing is lost, nothing is there twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from esm2_amp.errors import InputError
from esm2_amp.features import store_blocks
from esm2_amp.features.alphabet import VOCABULARY
from esm2_amp.features.extract import ExtractionReport, ExtractionSettings, extract
from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.features.store import FeatureStore
from esm2_amp.features.store_lock import StoreLock
from esm2_amp.features.store_parts import join_parts, part_folder, part_folders, rows_in_parts
from esm2_amp.features.store_writer import StoreWriter
from esm2_amp.records import Protein

ENCODER = EncoderIdentity("mine", "a" * 64, 4)
LONG = LongPolicy("full", 1022)
PROTEINS = [Protein(f"P{i}", "ACDEFGHIKL"[i % 10] * (i + 1)) for i in range(30)]


def values(i: int) -> np.ndarray:
    return np.random.default_rng(i).normal(size=(13, 4)).astype(np.float16)


def open_store(folder: Path, encoder: EncoderIdentity = ENCODER) -> StoreWriter:
    return StoreWriter(folder, encoder, LONG, shard_rows=7)


def append(writer: StoreWriter, numbers: Sequence[int]) -> None:
    lengths = [len(PROTEINS[i].sequence) for i in numbers]
    tokens = np.array([values(i) for i in numbers])
    writer.append([PROTEINS[i].key for i in numbers], lengths, lengths, tokens)


def write(folder: Path, numbers: Sequence[int], encoder: EncoderIdentity = ENCODER) -> None:
    with open_store(folder, encoder) as writer:
        if numbers:
            append(writer, numbers)


def content(folder: Path) -> dict[str, bytes]:
    store = FeatureStore(folder)
    keys = store.keys(np.arange(len(store)))
    assert len(set(keys)) == len(keys)
    return {key: store.block(row, row + 1).tobytes() for row, key in enumerate(keys)}


def expected(numbers: Sequence[int]) -> dict[str, bytes]:
    return {PROTEINS[i].key: values(i).tobytes() for i in numbers}


def join(folder: Path) -> int:
    with open_store(folder) as writer:
        return join_parts(writer)


def test_parts_are_joined_once_and_removed(tmp_path: Path) -> None:
    store = tmp_path / "s"
    write(store, range(10))
    write(part_folder(store, 1), range(8, 20))  # two rows that the store has
    write(part_folder(store, 12), range(19, 30))  # one that the first part has
    assert rows_in_parts(store) == 12 + 11
    assert join(store) == 10 + 10
    assert content(store) == expected(range(30))
    assert part_folders(store) == []
    assert join(store) == 0


@pytest.mark.parametrize("stop_at", [1, 4, 9])
def test_joining_that_is_interrupted_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int) -> None:
    monkeypatch.setattr(store_blocks, "_BLOCK_BYTES", 300)  # two rows a block
    store = tmp_path / "s"
    write(store, range(10))
    write(part_folder(store, 1), range(10, 20))
    write(part_folder(store, 2), range(20, 30))
    really, calls = StoreWriter.append, []

    def stopping(self: StoreWriter, *rest: object) -> None:
        calls.append(1)
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        really(self, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "append", stopping)
        with pytest.raises(KeyboardInterrupt):
            join(store)
    before = len(FeatureStore(store))
    assert 10 <= before < 30
    assert (before > 10) == (stop_at > 1)
    assert join(store) == 30 - before
    assert content(store) == expected(range(30))
    assert part_folders(store) == []


def test_a_part_whose_process_had_begun_nothing_or_nothing_new_is_removed(tmp_path: Path) -> None:
    store = tmp_path / "s"
    write(store, range(10))
    write(part_folder(store, 1), [])
    with StoreLock(part_folder(store, 2)):
        pass  # killed between the lock and the manifest
    assert join(store) == 0
    assert part_folders(store) == []


def test_rows_of_a_batch_that_was_not_committed_are_not_joined(tmp_path: Path) -> None:
    store, part = tmp_path / "s", part_folder(tmp_path / "s", 1)
    write(store, [])
    write(part, range(5))
    for file in (part / "index.bin", part / "shard-00000.f16"):
        file.write_bytes(file.read_bytes() + b"x" * 1000)
    assert join(store) == 5
    assert content(store) == expected(range(5))


HOLD = """
import sys
from esm2_amp.features.store_lock import StoreLock
with StoreLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_part_to_which_a_process_still_writes_is_refused_until_it_is_dead(tmp_path: Path) -> None:
    store = tmp_path / "s"
    write(store, range(3))
    write(part_folder(store, 1), range(3, 6))
    command = [sys.executable, "-c", HOLD, str(part_folder(store, 1))]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ))
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(InputError, match=r"part-00001: another process is writing"):
        join(store)
    assert len(FeatureStore(store)) == 3
    holder.kill()
    holder.communicate()
    assert join(store) == 3


def test_a_part_of_another_encoder_or_with_damage_is_refused_and_kept(tmp_path: Path) -> None:
    store = tmp_path / "s"
    write(store, range(3))
    write(part_folder(store, 1), range(3, 6))
    write(part_folder(store, 2), range(6, 9), EncoderIdentity("other", "b" * 64, 4))
    with pytest.raises(InputError, match=r"part-00002: the store holds features of other"):
        join(store)
    assert content(store) == expected(range(6))
    write(part_folder(store, 1), range(9, 12))
    shard = part_folder(store, 1) / "shard-00000.f16"
    shard.write_bytes(shard.read_bytes()[:-1] + b"\xff")
    with pytest.raises(InputError, match=r"damaged=true"):
        join(store)
    assert [part.name for part in part_folders(store)] == ["part-00001", "part-00002"]


def test_a_folder_that_holds_only_parts_may_become_a_store_and_one_with_other_files_not(tmp_path: Path) -> None:
    write(part_folder(tmp_path / "s", 1), range(3))
    assert join(tmp_path / "s") == 3
    write(part_folder(tmp_path / "t", 1), range(3))
    (tmp_path / "t" / "part-of-mine").mkdir()
    with pytest.raises(InputError, match="no feature store and no empty folder"):
        join(tmp_path / "t")


class Vectors:
    """An encoder that knows each letter's state, and counts the proteins it is asked for."""

    identity, device = ENCODER, torch.device("cpu")

    def __init__(self) -> None:
        self.states_of = torch.randn(len(VOCABULARY), 4, generator=torch.Generator().manual_seed(0))
        self.proteins = 0

    def states(self, tokens: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        self.proteins += len(lengths)
        return self.states_of[tokens]


def test_an_extraction_computes_nothing_that_a_part_has(tmp_path: Path) -> None:
    def run(folder: Path, proteins: Sequence[Protein], encoder: Vectors) -> ExtractionReport:
        settings = ExtractionSettings(LONG, 100, 1, residue_states=False)
        return extract(
            proteins, str(folder), ENCODER, lambda: encoder, settings, lambda *_: None, lambda _: None
        )  # fmt: skip

    encoder = Vectors()
    run(tmp_path / "s", PROTEINS[:5], encoder)
    run(part_folder(tmp_path / "s", 1), PROTEINS[5:25], encoder)
    report = run(tmp_path / "s", PROTEINS, encoder)
    assert (report.computed, report.present, encoder.proteins) == (5, 25, 30)
    run(tmp_path / "direct", PROTEINS, encoder)
    assert content(tmp_path / "s") == content(tmp_path / "direct")
    assert sorted(FeatureStore(tmp_path / "s").ids()) == sorted((p.id, p.key) for p in PROTEINS)
