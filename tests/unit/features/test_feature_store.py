"""The store keeps every committed row bit by bit, through killed writers, and refuses what is not its own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
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
from esm2_amp.features.store_care import verify
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


TWO = ("segment3", "mean")


def write_rich(folder: Path, start: int, stop: int, several: int = 3) -> None:
    """Rows of two tokens, with residue states."""
    with StoreWriter(folder, ENCODER, FULL, 4, TWO, True) as writer:
        for first in range(start, stop, several):
            last = min(stop, first + several)
            lengths = range(first + 1, last + 1)
            states = np.concatenate([states_of(i) for i in range(first, last)])
            writer.append(keys(first, last), lengths, lengths, tokens(first, last)[:, [4, 12]], states)


def states_of(i: int) -> np.ndarray:
    return np.random.default_rng(1000 + i).normal(size=(i + 1, 3)).astype(np.float16)


def holds_rich(store: FeatureStore, count: int) -> None:
    assert store.find(keys(0, count + 1)).tolist() == [*range(count), -1]
    assert np.array_equal(store.gather(np.arange(count), [12, 4]), tokens(0, count)[:, [12, 4]])
    assert np.array_equal(store.gather(np.arange(count), store.positions), tokens(0, count)[:, [4, 12]])
    for row in range(count):
        assert np.array_equal(store.residue_states(row), states_of(row))


def test_some_tokens_and_residue_states_come_back_bit_by_bit(tmp_path: Path) -> None:
    for start, stop in ((0, 5), (5, 14)):
        write_rich(tmp_path / "s", start, stop)
    store = FeatureStore(tmp_path / "s")
    assert store.tokens == TWO
    holds_rich(store, 14)
    assert (store.folder / "residues.f16").stat().st_size == sum(range(15)) * 3 * 2
    assert isinstance(store.residue_states(5).base, np.memmap)


def test_a_token_that_is_not_held_is_named_with_the_store(tmp_path: Path) -> None:
    write_rich(tmp_path / "s", 0, 3)
    with pytest.raises(
        InputError, match=r"s: the store has no token cls, eos; it holds segment3, mean\. Run .*extract"
    ):
        FeatureStore(tmp_path / "s").gather(np.array([0]), [0, 4, 11])


def test_residue_states_are_asked_for_in_vain(tmp_path: Path) -> None:
    write(tmp_path / "s", 0, 3)
    with pytest.raises(InputError, match="keeps no residue states"):
        FeatureStore(tmp_path / "s").residue_states(0)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ((4, TWO, False), "keeps residue states too"),
        ((4, ("mean",), True), "holds the tokens segment3, mean, not mean"),
        ((4,), "holds the tokens segment3, mean, not cls, segment0"),
    ],
)
def test_a_writer_of_other_tokens_or_states_is_refused(tmp_path: Path, kind: tuple[Any, ...], message: str) -> None:
    write_rich(tmp_path / "s", 0, 3)
    with pytest.raises(InputError, match=message), StoreWriter(tmp_path / "s", ENCODER, FULL, *kind):
        pass
    holds_rich(FeatureStore(tmp_path / "s"), 3)


def test_states_of_another_size_or_none_are_not_stored(tmp_path: Path) -> None:
    write_rich(tmp_path / "s", 0, 3)
    new = (keys(3, 5), [4, 5], [4, 5], tokens(3, 5)[:, [4, 12]])
    with StoreWriter(tmp_path / "s", ENCODER, FULL, 4, TWO, True) as writer:
        for states in (None, np.zeros((8, 3), np.float16), np.full((9, 3), np.inf, np.float16)):
            with pytest.raises(ValueError, match="residue states"):
                writer.append(*new, states)
        writer.append(*new, np.concatenate([states_of(3), states_of(4)]))
    holds_rich(FeatureStore(tmp_path / "s"), 5)
    with StoreWriter(tmp_path / "t", ENCODER, FULL) as writer, pytest.raises(ValueError, match="residue states"):
        writer.append(keys(3, 5), [4, 5], [4, 5], tokens(3, 5), np.zeros((9, 3), np.float16))


def test_residue_states_of_a_killed_writer_are_cut(tmp_path: Path) -> None:
    write_rich(tmp_path / "s", 0, 6)
    before = {file.name: file.read_bytes() for file in (tmp_path / "s").iterdir()}
    for name in ("residues.f16", "residues.crc", "index.bin", "shard-00001.f16"):
        with (tmp_path / "s" / name).open("ab") as stream:
            stream.write(b"garbage" * 17)
    holds_rich(FeatureStore(tmp_path / "s"), 6)
    with StoreWriter(tmp_path / "s", ENCODER, FULL, 4, TWO, True):
        pass
    assert {file.name: file.read_bytes() for file in (tmp_path / "s").iterdir()} == before
    write_rich(tmp_path / "s", 6, 9)
    holds_rich(FeatureStore(tmp_path / "s"), 9)


def test_a_store_of_before_is_read_and_gone_on_with(tmp_path: Path) -> None:
    """Its manifest is plain JSON that knows neither residue states nor another checksum than that of the tokens."""
    folder = tmp_path / "s"
    folder.mkdir()
    held, names = tokens(0, 6), ["cls", *(f"segment{i}" for i in range(10)), "eos", "mean"]
    index = b"".join(
        bytes.fromhex(key) + np.array([i + 1, i + 1, zlib.crc32(row.tobytes())], "<u4").tobytes()
        for i, (key, row) in enumerate(zip(keys(0, 6), held, strict=True))
    )
    (folder / "index.bin").write_bytes(index)
    (folder / "shard-00000.f16").write_bytes(held[:4].tobytes())
    (folder / "shard-00001.f16").write_bytes(held[4:].tobytes())
    manifest = {"format": "esm2-amp feature store", "version": 1, "tokens": names, "dtype": "float16"}
    manifest |= {"encoder": {"name": "mine", "sha256": "a" * 64, "width": 3}, "shard_rows": 4, "rows": 6}
    manifest |= {"long": {"mode": "full", "max_residues": 1022}}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2))
    holds(FeatureStore(folder), 6)
    write(folder, 6, 14)
    holds(FeatureStore(folder), 14)
    assert list(verify(FeatureStore(folder), lambda rows: None)) == []


FULL_DISK = """
import resource, signal, sys
import numpy as np
sys.path.insert(0, {folder!r})
from {module} import ENCODER, FULL, TWO, keys, states_of, tokens
from esm2_amp.errors import InputError
from esm2_amp.features.store_writer import StoreWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with StoreWriter(sys.argv[1], ENCODER, FULL, 4, TWO, True) as writer:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
    try:
        for i in range(writer.rows, 14):
            writer.add_ids([(f"P{{i}}", keys(i, i + 1)[0])])
            writer.append(keys(i, i + 1), [i + 1], [i + 1], tokens(i, i + 1)[:, [4, 12]], states_of(i))
    except InputError as error:
        print(writer.rows, error)
"""


@pytest.mark.parametrize("limit", [0, 20, 47, 120, 200, 330, 450])
def test_a_full_disk_leaves_a_valid_store_and_a_message(tmp_path: Path, limit: int) -> None:
    write_rich(tmp_path / "s", 0, 1)
    program = FULL_DISK.format(folder=str(Path(__file__).parent), module=Path(__file__).stem)
    command = [sys.executable, "-c", program, str(tmp_path / "s"), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows, message = done.stdout.split(" ", 1)
    assert re.search(r"s/\S+: the feature store cannot be written \(File too large\); its \d+ finished rows", message)
    assert "Free space, then run the same command again." in message
    store = FeatureStore(tmp_path / "s")
    assert len(store) == int(rows)
    holds_rich(store, int(rows))
    assert list(verify(store, lambda done: None)) == []
    assert all(key in keys(0, 14) for _, key in store.ids())
    write_rich(tmp_path / "s", int(rows), 14)
    holds_rich(FeatureStore(tmp_path / "s"), 14)


def test_a_writer_goes_on_once_there_is_space_again(tmp_path: Path) -> None:
    """What a batch that failed half-way wrote is overwritten by the next one."""
    with StoreWriter(tmp_path / "s", ENCODER, FULL, 4) as writer:
        writer.append(keys(0, 3), [1, 2, 3], [1, 2, 3], tokens(0, 3))
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (3 * 78 + 40, limit[1]))
            with pytest.raises(InputError, match="its 3 finished rows are kept"):
                writer.append(keys(3, 6), [4, 5, 6], [4, 5, 6], tokens(3, 6))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
            signal.signal(signal.SIGXFSZ, previous)
        holds(FeatureStore(tmp_path / "s"), 3)
        writer.append(keys(3, 5), [4, 5], [4, 5], tokens(3, 5))
    holds(FeatureStore(tmp_path / "s"), 5)


READER = """
import sys, time
from esm2_amp.features.store import FeatureStore
from esm2_amp.features.store_care import verify
seen = []
while not seen or seen[-1] < int(sys.argv[2]):
    store = FeatureStore(sys.argv[1])
    assert list(verify(store, lambda rows: None)) == [], "damaged"
    assert [int(n) for n in store.index["length"]] == list(range(1, len(store) + 1)), "not a prefix"
    seen.append(len(store))
assert seen == sorted(seen), "rows went away"
print(len(set(seen)))
"""


def test_readers_see_a_whole_prefix_while_a_writer_appends(tmp_path: Path) -> None:
    rows = 300
    write_rich(tmp_path / "s", 0, 1)
    command = [sys.executable, "-c", READER, str(tmp_path / "s"), str(rows)]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    write_rich(tmp_path / "s", 1, rows, several=2)
    for reader in readers:
        out, err = reader.communicate(timeout=60)
        assert reader.returncode == 0, err.decode()


def test_the_overhead_is_small(tmp_path: Path) -> None:
    width, count = 160, 1000
    wide = EncoderIdentity("wide", "c" * 64, width)
    with StoreWriter(tmp_path / "s", wide, FULL) as writer:
        writer.add_ids([(f"A0A{i:07d}", key) for i, key in enumerate(keys(0, count))])
        for first in range(0, count, 100):
            block = np.ones((100, 13, width), np.float16)
            writer.append(keys(first, first + 100), [100] * 100, [100] * 100, block)
    sizes = {file.name: file.stat().st_size for file in (tmp_path / "s").iterdir()}
    data = sizes.pop("shard-00000.f16")
    assert data == count * 13 * width * 2
    assert sum(sizes.values()) < 0.03 * data


def test_long_policies() -> None:
    assert [LongPolicy("truncate", 50).residues(n) for n in (49, 50, 51)] == [49, 50, 50]
    assert LongPolicy("full", 50).residues(5000) == 5000
    assert {LongPolicy("full", 50).tag, LongPolicy("truncate", 50).tag} == {"full", "first50"}
    with pytest.raises(InputError, match="'crop' is unknown"):
        LongPolicy("crop", 50)
    with pytest.raises(InputError, match="max_residues is 9"):
        LongPolicy("truncate", 9)
