"""The store keeps every committed row bit by bit, through killed writers, and refuses what is not its own."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esm2_amp.errors import InputError
from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.features.store import FeatureStore
from esm2_amp.features.store_writer import StoreWriter

ENCODER = EncoderIdentity("mine", "a" * 64, 3)
FULL = LongPolicy("full", 1022)


def keys(start: int, stop: int) -> list[str]:
    return [hashlib.sha256(str(i).encode()).hexdigest() for i in range(start, stop)]


def tokens(start: int, stop: int) -> np.ndarray:
    rows = [np.random.default_rng(i).normal(size=(13, 3)) for i in range(start, stop)]
    return np.array(rows, dtype=np.float16).reshape(-1, 13, 3)


def write(folder: Path, start: int, stop: int, shard_rows: int = 4) -> None:
    lengths = range(start + 1, stop + 1)
    with StoreWriter(folder, ENCODER, FULL, shard_rows) as writer:
        writer.append(keys(start, stop), lengths, lengths, tokens(start, stop))


def holds(store: FeatureStore, count: int) -> None:
    """Assert that the store has rows 0..count-1 of the sequence of :func:`tokens`, and nothing else."""
    assert len(store) == count
    rows = store.find(keys(0, count + 1))
    assert rows.tolist() == [*range(count), -1]
    assert np.array_equal(store.gather(rows[:-1], range(13)), tokens(0, count))


def test_what_is_appended_is_found_bit_by_bit_across_shards(tmp_path: Path) -> None:
    for start, stop in ((0, 3), (3, 4), (4, 13), (13, 14)):  # within a shard, to its end, over two ends
        write(tmp_path / "s", start, stop)
    store = FeatureStore(tmp_path / "s")
    holds(store, 14)
    assert len(list(store.folder.glob("shard-*.f16"))) == 4
    assert store.lengths(np.array([13, 0, 5])).tolist() == [14, 1, 6]
    whole = [row.tobytes() + record.tobytes()[:40] for row, record in zip(tokens(0, 14), store.index, strict=True)]
    assert [zlib.crc32(content) for content in whole] == store.index["crc"].tolist()


def test_gather_follows_the_order_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "s", 0, 14)
    rows = np.array([13, 0, 7, 7, 3])
    gathered = FeatureStore(tmp_path / "s").gather(rows, [12, 0, 5])
    assert np.array_equal(gathered, tokens(0, 14)[rows][:, [12, 0, 5]])


@pytest.mark.parametrize("row", [-1, 14])
def test_a_row_that_is_not_there_is_an_error(tmp_path: Path, row: int) -> None:
    write(tmp_path / "s", 0, 14)
    with pytest.raises(IndexError, match="of a store of 14"):
        FeatureStore(tmp_path / "s").gather(np.array([0, row]), [0])


def test_thousands_of_keys_present_absent_and_alike(tmp_path: Path) -> None:
    alike = [f"{'ab' * 8}{i:048x}" for i in range(300)]  # the same first 8 bytes
    extremes = ["0" * 64, "f" * 64]
    stored = [*keys(0, 2000), *alike[:200], *extremes]
    with StoreWriter(tmp_path / "s", ENCODER, FULL) as writer:
        writer.append(stored, [1] * len(stored), [1] * len(stored), np.zeros((len(stored), 13, 3), np.float16))
    row = {key: i for i, key in enumerate(stored)}
    asked = [*keys(0, 4000), *alike, *extremes, "f" * 63 + "e", "0" * 63 + "1", *alike[:5]]
    order = np.random.default_rng(0).permutation(len(asked))
    asked = [asked[i] for i in order]
    assert FeatureStore(tmp_path / "s").find(asked).tolist() == [row.get(key, -1) for key in asked]


def test_an_empty_store_finds_nothing(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", ENCODER, FULL):
        pass
    store = FeatureStore(tmp_path / "s")
    assert store.find(keys(0, 2)).tolist() == [-1, -1]
    assert store.find([]).tolist() == []
    assert store.gather(np.empty(0, np.int64), [0]).shape == (0, 1, 3)


def test_a_second_writer_is_refused_while_the_first_writes(tmp_path: Path) -> None:
    with (
        StoreWriter(tmp_path / "s", ENCODER, FULL),
        pytest.raises(InputError, match="another process is writing"),
        StoreWriter(tmp_path / "s", ENCODER, FULL),
    ):
        pass
    write(tmp_path / "s", 0, 3)
    holds(FeatureStore(tmp_path / "s"), 3)


def test_a_writer_that_fails_or_is_refused_gives_the_lock_back(tmp_path: Path) -> None:
    write(tmp_path / "s", 0, 3)
    with pytest.raises(RuntimeError, match="in the middle"), StoreWriter(tmp_path / "s", ENCODER, FULL):
        raise RuntimeError("in the middle")
    stranger = EncoderIdentity("other", "b" * 64, 3)
    with pytest.raises(InputError, match="other") as kept, StoreWriter(tmp_path / "s", stranger, FULL):
        pass
    write(tmp_path / "s", 3, 5)  # though a debugger, or `kept` here, still holds the traceback
    assert kept.value.file == tmp_path / "s"
    holds(FeatureStore(tmp_path / "s"), 5)


def test_a_killed_process_leaves_what_it_committed_and_no_lock(tmp_path: Path) -> None:
    write(tmp_path / "s", 0, 6)
    program = f"import fcntl, time; f = open({str(tmp_path / 's' / 'lock')!r}, 'w'); fcntl.flock(f, fcntl.LOCK_EX)"
    program += "; print('locked', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"locked\n"
    with pytest.raises(InputError, match="another process is writing"):
        write(tmp_path / "s", 6, 8)
    holds(FeatureStore(tmp_path / "s"), 6)  # readers need no lock
    process.send_signal(signal.SIGKILL)
    process.communicate()
    write(tmp_path / "s", 6, 8)
    holds(FeatureStore(tmp_path / "s"), 8)


@pytest.mark.parametrize("committed", [0, 6, 8])
def test_what_a_killed_writer_left_half_done_is_ignored_and_cut(tmp_path: Path, committed: int) -> None:
    folder = tmp_path / "s"
    with StoreWriter(folder, ENCODER, FULL, 4) as writer:
        writer.add_ids([("P1", "k1")])
    if committed:
        write(folder, 0, committed)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    for name in (f"shard-{committed // 4:05d}.f16", f"shard-{committed // 4 + 1:05d}.f16", "index.bin", "ids.tsv"):
        with (folder / name).open("ab") as stream:
            stream.write(b"garbage" * 17)
    assert list(FeatureStore(folder).ids()) == [("P1", "k1")]
    holds(FeatureStore(folder), committed)
    with StoreWriter(folder, ENCODER, FULL):
        pass
    after = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert {name: content for name, content in after.items() if content} == {k: v for k, v in before.items() if v}
    write(folder, committed, 14)
    holds(FeatureStore(folder), 14)


def test_a_writer_killed_before_its_first_commit_does_not_block_the_next(tmp_path: Path) -> None:
    (tmp_path / "s" / ".manifest.json.x1y2z3").mkdir(parents=True)  # what an atomic write leaves when it is killed
    (tmp_path / "s" / "lock").touch()
    write(tmp_path / "s", 0, 5)
    holds(FeatureStore(tmp_path / "s"), 5)


def test_ids_are_kept_once_in_the_order_first_met(tmp_path: Path) -> None:
    for pairs in ([("P2", "k2"), ("P1", "k1"), ("P2", "k2")], [("P1", "k1"), ("P1", "k3"), ("β\tx", "k4")]):
        with StoreWriter(tmp_path / "s", ENCODER, FULL) as writer:
            writer.add_ids(pairs)
    expected = [("P2", "k2"), ("P1", "k1"), ("P1", "k3"), ("β\tx", "k4")]
    assert list(FeatureStore(tmp_path / "s").ids()) == expected


@pytest.mark.parametrize(
    ("encoder", "long", "message"),
    [
        (EncoderIdentity("other", "b" * 64, 3), FULL, r"features of mine \(3 dim.*, not of other \(3 dim"),
        (EncoderIdentity("mine", "a" * 64, 4), FULL, r"mine \(3 dim.*, not of mine \(4 dim"),
        (ENCODER, LongPolicy("truncate", 500), "made with long=full, not truncate at 500"),
    ],
)
def test_another_encoder_or_policy_is_refused_by_name(
    tmp_path: Path, encoder: EncoderIdentity, long: LongPolicy, message: str
) -> None:
    write(tmp_path / "s", 0, 3)
    with pytest.raises(InputError, match=message), StoreWriter(tmp_path / "s", encoder, long):
        pass
    holds(FeatureStore(tmp_path / "s"), 3)


def test_the_name_of_an_encoder_may_change(tmp_path: Path) -> None:
    write(tmp_path / "s", 0, 3)
    FeatureStore(tmp_path / "s").check_encoder(EncoderIdentity("renamed", ENCODER.sha256, ENCODER.width))


def edit_manifest(**values: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        file = folder / "manifest.json"
        manifest = {**json.loads(file.read_text()), **values}
        file.write_text(json.dumps({key: value for key, value in manifest.items() if value is not None}))

    return edit


def shorten(name: str, by: int) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, (folder / name).stat().st_size - by)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shorten("shard-00001.f16", 1), "shard-00001.f16: damaged store: 155 bytes where the manifest promises 156"),
        (shorten("index.bin", 1), r"index\.bin: damaged store"),
        (lambda folder: (folder / "shard-00000.f16").unlink(), r"shard-00000\.f16: damaged store: 0 bytes"),
        (lambda folder: (folder / "manifest.json").unlink(), r"not a feature store \(no manifest.json\)"),
        (lambda folder: (folder / "manifest.json").write_text("{"), r"manifest\.json: the manifest cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "not the manifest of a feature store"),
        (edit_manifest(format="another"), "not the manifest of a feature store"),
        (edit_manifest(version=99), "made by another version of ESM2-AMP"),
        (edit_manifest(tokens=["mean", "cls"]), "made by another version of ESM2-AMP"),
        (edit_manifest(rows=None), "the manifest is damaged .*rows"),
        (edit_manifest(encoder={"name": "x"}), "the manifest is damaged"),
        (edit_manifest(rows="many"), "the manifest is damaged"),
    ],
)
def test_a_damaged_store_is_refused_by_readers_and_writers(
    tmp_path: Path, damage: Callable[[Path], Any], message: str
) -> None:
    write(tmp_path / "s", 0, 6)
    damage(tmp_path / "s")
    with pytest.raises(InputError, match=message):
        FeatureStore(tmp_path / "s")
    with pytest.raises(InputError), StoreWriter(tmp_path / "s", ENCODER, FULL):
        pass


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="no feature store and no empty folder"), StoreWriter(tmp_path, ENCODER, FULL):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_or_nothing_in_place_of_a_store_is_named(tmp_path: Path) -> None:
    file = tmp_path / "store"
    with pytest.raises(InputError, match="not a feature store"):
        FeatureStore(file)
    file.write_text("mine")
    with pytest.raises(InputError, match="not a feature store"):
        FeatureStore(file)
    for place in (file, file / "inside"):
        with pytest.raises(InputError, match="store"), StoreWriter(place, ENCODER, FULL):
            pass
    assert file.read_text() == "mine"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_not_stored(tmp_path: Path, value: float) -> None:
    write(tmp_path / "s", 0, 3)
    bad = tokens(3, 5)
    bad[1, 12, 2] = value
    with StoreWriter(tmp_path / "s", ENCODER, FULL) as writer:
        with pytest.raises(ValueError, match="not finite"):
            writer.append(keys(3, 5), [4, 5], [4, 5], bad)
        holds(FeatureStore(tmp_path / "s"), 3)
        writer.append(keys(3, 5), [4, 5], [4, 5], tokens(3, 5))
    holds(FeatureStore(tmp_path / "s"), 5)


@pytest.mark.parametrize("bad", [np.zeros((2, 12, 3), np.float16), np.zeros((2, 13, 3), np.float32)])
def test_tokens_of_another_shape_or_type_are_not_stored(tmp_path: Path, bad: np.ndarray) -> None:
    with (
        StoreWriter(tmp_path / "s", ENCODER, FULL) as writer,
        pytest.raises(ValueError, match=r"expected float16\(2, 13, 3\)"),
    ):
        writer.append(keys(0, 2), [1, 2], [1, 2], bad)


def test_long_policies() -> None:
    assert [LongPolicy("truncate", 50).residues(n) for n in (49, 50, 51)] == [49, 50, 50]
    assert LongPolicy("full", 50).residues(5000) == 5000
    assert {LongPolicy("full", 50).tag, LongPolicy("truncate", 50).tag} == {"full", "first50"}
    with pytest.raises(InputError, match="'crop' is unknown"):
        LongPolicy("crop", 50)
    with pytest.raises(InputError, match="max_residues is 9"):
        LongPolicy("truncate", 9)
