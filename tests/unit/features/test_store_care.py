"""Stores are checked byte by byte, joined and cut down, and what comes out is what writing it directly gives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esm2_amp.errors import InputError
from esm2_amp.features import store_blocks
from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.features.store import FeatureStore
from esm2_amp.features.store_care import (
    differing,
    ids_without_features,
    leftovers,
    merge,
    names_of,
    rewrite,
    rewrite_in_place,
    verify,
)
from esm2_amp.features.store_lock import StoreLock
from esm2_amp.features.store_writer import StoreWriter
from esm2_amp.records import Protein

ENCODER = EncoderIdentity("mine", "a" * 64, 4)
LONG = LongPolicy("truncate", 20)
PROTEINS = [Protein(f"P{i}", "ACDEFGHIKL"[i % 10] * (i + 1)) for i in range(40)]
MEANS = ("segment0", "mean")


def silent(amount: int) -> None:
    """No progress bar."""


def values(i: int, tokens: int) -> np.ndarray:
    return np.random.default_rng(i).normal(size=(tokens, 4)).astype(np.float16)


def append(writer: StoreWriter, numbers: list[int]) -> None:
    chosen = [PROTEINS[i] for i in numbers]
    used = [min(20, len(protein.sequence)) for protein in chosen]
    held = np.array([values(i, len(writer.manifest.tokens)) for i in numbers], np.float16)
    states = None
    if writer.manifest.residue_states:
        states = np.concatenate([values(100 + i, n) for i, n in zip(numbers, used, strict=True)])
    writer.append([p.key for p in chosen], [len(p.sequence) for p in chosen], used, held, states)


def write(folder: Path, numbers: range, states: bool = True, tokens: tuple[str, ...] = MEANS) -> FeatureStore:
    with StoreWriter(folder, ENCODER, LONG, 7, tokens, states) as writer:
        writer.add_ids([(PROTEINS[i].id, PROTEINS[i].key) for i in numbers])
        for i in range(0, len(numbers), 3):
            append(writer, list(numbers[i : i + 3]))
    return FeatureStore(folder)


def content(store: FeatureStore) -> dict[str, Any]:
    """Everything a store says about each protein, whatever the order."""
    rows = {}
    for row, key in enumerate(store.keys(np.arange(len(store)))):
        states = store.residue_states(row).tobytes() if store.manifest.residue_states else b""
        rows[key] = (store.index[row].tobytes(), store.block(row, row + 1).tobytes(), states)
    assert len(rows) == len(store)
    return {"rows": rows, "ids": sorted(store.ids()), "manifest": replace(store.manifest, data=".")}


def found(store: Path) -> list[tuple[int, str, str]]:
    return [(d.row, d.file.name, d.what) for d in verify(FeatureStore(store, partial=True), silent)]


@pytest.fixture(params=[8 << 20, 100], ids=["one block", "many blocks"])
def _block_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_blocks, "_BLOCK_BYTES", request.param)


@pytest.mark.usefixtures("_block_size")
@pytest.mark.parametrize("states", [True, False])
def test_merging_gives_what_writing_directly_gives(tmp_path: Path, states: bool) -> None:
    write(tmp_path / "a", range(20), states)
    write(tmp_path / "b", range(10, 33), states)
    steps: list[int] = []
    with StoreWriter(tmp_path / "c", ENCODER, LONG, 7, MEANS, states) as writer:
        assert merge(FeatureStore(tmp_path / "a"), writer, steps.append) == 20
        assert merge(FeatureStore(tmp_path / "b"), writer, steps.append) == 13
        assert merge(FeatureStore(tmp_path / "b"), writer, steps.append) == 0
    assert sum(steps) == 20 + 23 + 23
    assert content(FeatureStore(tmp_path / "c")) == content(write(tmp_path / "d", range(33), states))


def test_a_merge_that_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_blocks, "_BLOCK_BYTES", 100)
    source, done = write(tmp_path / "a", range(20)), []

    def stop_later(rows: int) -> None:
        done.append(rows)
        if len(done) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), StoreWriter(tmp_path / "b", ENCODER, LONG, 7, MEANS, True) as writer:
        merge(source, writer, stop_later)
    before = len(FeatureStore(tmp_path / "b"))
    assert 0 < before < 20
    with StoreWriter(tmp_path / "b", ENCODER, LONG, 7, MEANS, True) as writer:
        assert merge(source, writer, silent) == 20 - before
    assert content(FeatureStore(tmp_path / "b")) == content(source)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder": EncoderIdentity("other", "b" * 64, 4)}, r"features of mine .*, not of other"),
        ({"long": LongPolicy("full", 20)}, "long=truncate at 20, not full"),
        ({"tokens": ("mean",)}, "holds the tokens segment0, mean, not mean"),
        ({"residue_states": False}, "keeps residue states too"),
    ],
)
def test_stores_of_another_kind_are_not_merged(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    source = write(tmp_path / "a", range(5))
    kind = {"encoder": ENCODER, "long": LONG, "tokens": MEANS, "residue_states": True, **change}
    with StoreWriter(tmp_path / "b", **kind) as writer, pytest.raises(InputError, match=message):
        merge(source, writer, silent)
    assert len(FeatureStore(tmp_path / "b")) == 0


def test_a_damaged_row_is_not_copied_as_if_it_were_good(tmp_path: Path) -> None:
    source = write(tmp_path / "a", range(20))
    flip(source.data / "shard-00001.f16", 3 * 16 + 5)  # row 7 + 3
    with (
        StoreWriter(tmp_path / "b", ENCODER, LONG, 7, MEANS, True) as writer,
        pytest.raises(InputError, match=r"shard-00001\.f16: row 10 is damaged: not what was written.*damaged=true"),
    ):
        merge(FeatureStore(tmp_path / "a"), writer, silent)


def test_rounding_is_no_difference_and_more_is_counted(tmp_path: Path) -> None:
    full = LongPolicy("full", 20)
    key = [protein.key for protein in PROTEINS[:3]]
    first = np.ones((3, 13, 4), np.float16)
    second = first.copy()
    second[0] += np.float16(2**-10)  # one step
    second[2, 5, 1] += np.float16(2**-8)
    for name, tokens in (("a", first), ("b", second)):
        with StoreWriter(tmp_path / name, ENCODER, full) as writer:
            writer.append(key, [1, 2, 3], [1, 2, 3], tokens)
    assert differing(FeatureStore(tmp_path / "a"), FeatureStore(tmp_path / "b"), silent) == (3, 1)


def flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


@pytest.mark.usefixtures("_block_size")
def test_a_whole_store_is_called_whole(tmp_path: Path) -> None:
    steps: list[int] = []
    store = write(tmp_path / "s", range(40))
    assert list(verify(store, steps.append)) == []
    assert sum(steps) == 40
    assert list(ids_without_features(store)) == []
    assert leftovers(store) == 0


@pytest.mark.usefixtures("_block_size")
@pytest.mark.parametrize("row", [0, 6, 7, 23, 39])
def test_a_flipped_bit_anywhere_is_found_in_its_row(tmp_path: Path, row: int) -> None:
    store = write(tmp_path / "s", range(40))
    shard, at = divmod(row, 7)
    states = int(store.state_offsets[row]) * 8
    places = [(f"shard-{shard:05d}.f16", at * 16 + byte) for byte in (0, 15)]
    places += [("residues.f16", states), ("residues.f16", int(store.state_offsets[row + 1]) * 8 - 1)]
    places += [("index.bin", row * 44 + byte) for byte in (3, 31, 32, 41)] + [("residues.crc", row * 4)]
    for name, byte in places:
        flip(store.data / name, byte)
        damaged = found(tmp_path / "s")
        assert {number for number, *_ in damaged} == {row}, (name, byte, damaged)
        expected = "residues.f16" if name == "residues.crc" else name
        assert expected in {file for _, file, _ in damaged} or name == "index.bin"
        flip(store.data / name, byte)
    assert found(tmp_path / "s") == []


def test_values_that_are_not_finite_are_found(tmp_path: Path) -> None:
    store = write(tmp_path / "s", range(40))
    for name, at, row in (("shard-00001.f16", 2 * 16 + 4, 9), ("residues.f16", int(store.state_offsets[12]) * 8, 12)):
        file = store.data / name
        good = file.read_bytes()
        file.write_bytes(good[:at] + np.array([np.inf], "<f2").tobytes() + good[at + 2 :])
        assert (row, name, "a value is not finite") in found(tmp_path / "s")
        file.write_bytes(good)


@pytest.mark.usefixtures("_block_size")
@pytest.mark.parametrize(
    ("name", "keep", "lost"),
    [
        ("shard-00005.f16", 4 * 16 + 1, [39]),
        ("shard-00003.f16", 0, list(range(21, 28))),
        ("index.bin", 30 * 44 + 43, list(range(30, 40))),
        ("residues.crc", 38 * 4, [38, 39]),
        ("residues.f16", -9, [38, 39]),
    ],
)
def test_rows_beyond_the_end_of_a_file_are_named(tmp_path: Path, name: str, keep: int, lost: list[int]) -> None:
    store = write(tmp_path / "s", range(40))
    size = (store.data / name).stat().st_size
    os.truncate(store.data / name, keep if keep >= 0 else size - 20 * 8 + keep)
    assert sorted({row for row, *_ in found(tmp_path / "s")}) == lost
    with pytest.raises(InputError, match="damaged store"):
        FeatureStore(tmp_path / "s")


def test_a_sequence_in_two_rows_is_named(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", ENCODER, LONG, 7, MEANS) as writer:
        for numbers in ([0, 1], [2, 1]):
            append(writer, numbers)
    assert found(tmp_path / "s") == [(3, "index.bin", "the sequence of row 1 again")]


def test_an_id_without_a_row_and_a_row_without_an_id_are_told_apart(tmp_path: Path) -> None:
    store = write(tmp_path / "s", range(5))
    with StoreWriter(tmp_path / "s", ENCODER, LONG, 7, MEANS, True) as writer:
        writer.add_ids([("lost", PROTEINS[9].key), ("odd", "no key")])
        append(writer, [7])
    store = FeatureStore(tmp_path / "s")
    assert list(ids_without_features(store)) == ["lost", "odd"]
    assert names_of(store, [1, 5]) == {1: "P1"}


def test_an_id_that_is_not_text_is_named_with_its_line(tmp_path: Path) -> None:
    store = write(tmp_path / "s", range(5))
    lines = (store.data / "ids.tsv").read_bytes().splitlines(keepends=True)
    (store.data / "ids.tsv").write_bytes(b"".join([lines[0], b"\xff" + lines[1], *lines[2:]]))
    with pytest.raises(InputError, match=r"ids\.tsv, line 2: damaged"):
        list(store.ids())


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("states", [True, False])
def test_pruned_in_place_or_beside_a_store_is_as_if_written_so(tmp_path: Path, states: bool, times: int) -> None:
    write(tmp_path / "s", range(40), states)
    expected = content(write(tmp_path / "direct", range(5, 20), states))
    for _ in range(times):
        keep = prune(tmp_path / "s", lambda store: np.array([5 <= i < 20 for i in numbers(store)]))
        assert keep == 15
    assert content(FeatureStore(tmp_path / "s")) == expected
    names = {file.name for file in (tmp_path / "s").iterdir()}
    assert names == {"manifest.json", "lock", f"rows-{times}"}
    with StoreWriter(tmp_path / "s", ENCODER, LONG, 7, MEANS, states) as writer:
        append(writer, [30])
    assert len(FeatureStore(tmp_path / "s")) == 16
    assert found(tmp_path / "s") == []
    store = write(tmp_path / "t", range(40), states)
    wanted = np.array([5 <= i < 20 for i in numbers(store)])
    kept = {PROTEINS[i].key for i in range(5, 20)}
    rewrite(store, tmp_path / "new", wanted, (pair for pair in store.ids() if pair[1] in kept), silent)
    assert content(FeatureStore(tmp_path / "new")) == expected


def numbers(store: FeatureStore) -> list[int]:
    """Which of PROTEINS each row is."""
    by_key = {protein.key: i for i, protein in enumerate(PROTEINS)}
    return [by_key.get(key, -1) for key in store.keys(np.arange(len(store)))]


def prune(folder: Path, wanted: Callable[[FeatureStore], np.ndarray]) -> int:
    with StoreLock(folder):
        store = FeatureStore(folder, partial=True)
        mask = wanted(store)
        kept = set(store.keys(np.flatnonzero(mask)))
        return rewrite_in_place(store, mask, (pair for pair in store.ids() if pair[1] in kept), silent)


@pytest.mark.parametrize("name", ["shard-00002.f16", "index.bin", "residues.f16"])
def test_damaged_rows_are_pruned_and_computed_again(tmp_path: Path, name: str) -> None:
    before = content(write(tmp_path / "s", range(40)))
    os.truncate(tmp_path / "s" / name, (tmp_path / "s" / name).stat().st_size // 2)
    flip(tmp_path / "s" / "shard-00000.f16", 20)

    def whole(store: FeatureStore) -> np.ndarray:
        mask = np.ones(len(store), dtype=bool)
        mask[[damage.row for damage in verify(store, silent)]] = False
        return mask

    left = prune(tmp_path / "s", whole)
    assert 0 < left < 39
    assert found(tmp_path / "s") == []
    store = FeatureStore(tmp_path / "s")
    missing = sorted(set(range(40)) - set(numbers(store)))
    with StoreWriter(tmp_path / "s", ENCODER, LONG, 7, MEANS, True) as writer:
        writer.add_ids([(PROTEINS[i].id, PROTEINS[i].key) for i in range(40)])
        append(writer, missing)
    assert content(FeatureStore(tmp_path / "s")) == before


def test_a_folder_that_holds_something_is_not_overwritten(tmp_path: Path) -> None:
    store = write(tmp_path / "s", range(5))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").touch()
    with pytest.raises(InputError, match="exists already"):
        rewrite(store, tmp_path / "mine", np.ones(5, dtype=bool), store.ids(), silent)


PRUNE = """
import sys, numpy as np
from esm2_amp.features.store import FeatureStore
from esm2_amp.features.store_care import rewrite_in_place
from esm2_amp.features.store_lock import StoreLock
print("ready", flush=True)
while True:
    with StoreLock(sys.argv[1]):
        store = FeatureStore(sys.argv[1])
        rewrite_in_place(store, np.ones(len(store), dtype=bool), store.ids(), lambda rows: None)
"""


def test_a_pruning_killed_at_any_moment_leaves_a_whole_store(tmp_path: Path) -> None:
    before = content(write(tmp_path / "s", range(40)))
    rng = np.random.default_rng(0)
    for _ in range(6):
        process = subprocess.Popen([sys.executable, "-c", PRUNE, str(tmp_path / "s")], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(rng.uniform(0.01, 0.1))
        assert content(FeatureStore(tmp_path / "s")) == before  # while it is replaced again and again
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert content(FeatureStore(tmp_path / "s")) == before
    with StoreWriter(tmp_path / "s", ENCODER, LONG, 7, MEANS, True):
        pass
    assert len(list((tmp_path / "s").iterdir())) == 3  # the leftovers are gone
