"""Archives are read by offset exactly as numpy reads them, and nothing false in them is believed."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esm2_amp.errors import InputError
from esm2_amp.neighbours.readers import npz
from esm2_amp.neighbours.readers.npz import NpzSource
from esm2_amp.neighbours.readers.zip_directory import count_entries

VALUES = np.random.default_rng(3).normal(size=(12, 6))


def halves(count: int = 12) -> dict[str, np.ndarray]:
    return {f"/scratch/x/{i}/MGYP{i:012d}": VALUES[i % 12].astype(np.float16) for i in range(count)}


def save(file: Path, arrays: dict[str, Any], packed: bool = False) -> Path:
    (np.savez_compressed if packed else np.savez)(file, **arrays)
    return file


def read(*files: Path) -> tuple[list[str], np.ndarray]:
    source = NpzSource("x", files)
    ids = [id_ for batch in source.ids() for id_ in batch]
    return ids, np.concatenate(list(source.blocks(0)))


def numpys(file: Path) -> tuple[list[str], np.ndarray]:
    with np.load(file, allow_pickle=False) as archive:
        return [key.rsplit("/", 1)[-1] for key in archive.files], np.stack([archive[key] for key in archive.files])


def same(file: Path) -> None:
    ids, values = read(file)
    expected_ids, expected = numpys(file)
    assert ids == expected_ids
    assert values.tobytes() == expected.astype(values.dtype).tobytes()
    assert count_entries(file) == len(ids)


def header_of(descr: str, shape: str, version: bytes = b"\x01\x00", fortran: bool = False) -> bytes:
    text = f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2 if version[0] == 1 else 4, "little") + text


def zipped(file: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f2", ">f4"])
def test_arrays_are_those_of_numpy(tmp_path: Path, packed: bool, dtype: str) -> None:
    same(save(tmp_path / "x.npz", {key: value.astype(dtype) for key, value in halves().items()}, packed))


def test_a_run_may_end_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = save(tmp_path / "x.npz", halves())
    for size in (1, 140, 141, 500, 1400):
        monkeypatch.setattr(npz, "BLOCK_BYTES", size)
        same(file)


def test_entries_that_differ_are_read_too(tmp_path: Path) -> None:
    bits = np.array([0x8000, 0x0001, 0x83FF, 0x7BFF, 0x3C00, 0xFBFF], np.uint16).view(np.float16)
    members = {}
    for i, dtype in enumerate(["<f4", "<f2", ">f8", "<f2"]):
        stream = io.BytesIO()
        np.lib.format.write_array(stream, bits.astype(dtype), version=(1 + i % 2, 0))
        members[f"{'long/' * i}{i}.npy"] = stream.getvalue()
    members["fortran.npy"] = header_of("<f2", "(6,)", b"\x03\x00", fortran=True) + bits.tobytes()
    same(zipped(tmp_path / "a.npz", members))
    same(zipped(tmp_path / "b.npz", members, zipfile.ZIP_DEFLATED))


def test_names_are_those_of_numpy(tmp_path: Path) -> None:
    names = ["é", "a b", "x=1,2", "\u0441\u0442", "a.npy", "..", "P|Q", "<b>"]
    same(save(tmp_path / "x.npz", {name: VALUES[i] for i, name in enumerate(names)}))


def test_an_archive_after_other_bytes_with_a_comment_in_another_order(tmp_path: Path) -> None:
    file = save(tmp_path / "x.npz", halves())
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = b"what this is"
        archive.filelist.reverse()
    same(file)
    before = read(file)
    file.write_bytes(b"#!/bin/sh\n" * 9 + file.read_bytes())
    after = read(file)
    assert after[0] == before[0] == sorted(before[0], reverse=True)
    assert np.array_equal(after[1], before[1])


def test_zip64_records_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 700)
    for packed in (False, True):
        file = save(tmp_path / "x.npz", halves(), packed)
        assert b"PK\x06\x06" in file.read_bytes()
        same(file)


@pytest.mark.slow
def test_more_entries_than_a_zip_without_zip64_can_have(tmp_path: Path) -> None:
    content = header_of("<f2", "(1,)")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        for i in range(70_000):
            archive.writestr(f"{i}.npy", content + struct.pack("<H", i % 0x7C00))
    assert count_entries(tmp_path / "x.npz") == 70_000
    ids, values = read(tmp_path / "x.npz")
    assert ids == [str(i) for i in range(70_000)]
    assert values.view(np.uint16).ravel().tolist() == [i % 0x7C00 for i in range(70_000)]


@pytest.mark.parametrize("packed", [False, True])
def test_a_changed_byte_is_harmless_or_noticed(tmp_path: Path, packed: bool) -> None:
    file = save(tmp_path / "x.npz", dict(list(halves().items())[:2]), packed)
    good, (ids, values) = file.read_bytes(), numpys(file)
    noticed = 0
    for at in range(len(good)):
        file.write_bytes(good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :])
        try:
            found_ids, found = read(file)
        except InputError:
            noticed += 1
        else:
            assert found_ids == ids
            assert found.tobytes() == values.tobytes()
    assert noticed > len(good) // 2


@pytest.mark.parametrize("packed", [False, True])
def test_a_cut_archive_is_refused(tmp_path: Path, packed: bool) -> None:
    file = save(tmp_path / "x.npz", halves(2), packed)
    good = file.read_bytes()
    for length in range(0, len(good), 3):
        file.write_bytes(good[:length])
        with pytest.raises(InputError):
            read(file)


def entry(name: bytes, content: bytes, at: int, **lies: int) -> tuple[bytes, bytes]:
    """A stored entry and its directory record, which may lie."""
    real = {"method": 0, "flags": 0, "crc": zlib.crc32(content), "packed": len(content), "size": len(content)}
    local = struct.pack(
        "<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, real["crc"], len(content), len(content), len(name), 0
    )
    told = {**real, "offset": at, **lies}
    record = struct.pack(
        "<4s6H3L5H2L", b"PK\x01\x02", 20, 20, told["flags"], told["method"], 0, 0, told["crc"], told["packed"],
        told["size"], len(name), 0, 0, 0, 0, 0, told["offset"],
    )  # fmt: skip
    return local + name + content, record + name


def built(file: Path, *lies: dict[str, int], count: int | None = None) -> Path:
    body, records = b"", b""
    for i, lie in enumerate(lies):
        content = header_of("<f2", "(6,)") + VALUES[i].astype(np.float16).tobytes()
        part, record = entry(b"%d.npy" % i, content, len(body), **lie)
        body, records = body + part, records + record
    count = len(lies) if count is None else count
    file.write_bytes(
        body + records + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(records), len(body), 0)
    )
    return file


@pytest.mark.parametrize(
    ("lies", "says"),
    [
        ([{}, {"offset": 0}], "'0.npy': it overlaps what comes next"),
        ([{}, {"offset": 20}], "overlaps"),
        ([{}, {"offset": 1 << 31}], "overlaps"),
        ([{"packed": 1 << 31, "size": 1 << 31}, {}], "overlaps"),
        ([{}, {"packed": 139, "size": 139}], "'1.npy': (its size or CRC-32|.* overlaps)"),
        ([{}, {"size": 1 << 31}], "its two sizes differ"),
        ([{}, {"method": 8, "size": 1 << 31}], "its size is impossible"),
        ([{}, {"method": 8}], "cannot be unpacked|its size or CRC-32"),
        ([{}, {"method": 12}], "another method than deflate"),
        ([{}, {"flags": 1}], "encrypted"),
        ([{}, {"crc": 5}], "'1.npy': its CRC-32"),
        ([{"size": 0xFFFFFFFF}, {}], "has no ZIP64 field"),
    ],
)
def test_a_directory_that_lies_is_refused(tmp_path: Path, lies: list[dict[str, int]], says: str) -> None:
    same(built(tmp_path / "true.npz", {}, {}))
    with pytest.raises(InputError, match=says):
        read(built(tmp_path / "x.npz", *lies))


@pytest.mark.parametrize("count", [1, 3, 60_000])
def test_an_end_record_that_lies_about_the_number_is_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(InputError, match="its directory"):
        read(built(tmp_path / "x.npz", {}, {}, count=count))


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = header_of("<f2", "(6,)") + bytes(10_000_000)
    file = zipped(tmp_path / "x.npz", {"0.npy": bomb}, zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="'0.npy': its size is not that of 6 numbers"):
        read(file)


@pytest.mark.parametrize(
    ("second", "says"),
    [
        (header_of("<f2", "(7,)") + bytes(14), r"'1.npy': it has shape \(7,\), the first array \(6,\)"),
        (header_of("<f2", "(1, 6)") + bytes(12), r"it has shape \(1, 6\)"),
        (header_of("<f2", "(6,)") + bytes(11), "'1.npy': 139 bytes do not fit"),
        (header_of("<f2", "(6,)") + bytes(13), "'1.npy': 141 bytes do not fit"),
        (header_of("<i2", "(6,)") + bytes(12), "'1.npy': it holds int16"),
        (header_of("<c8", "(6,)") + bytes(48), "it holds complex64"),
        (header_of("|V2", "(6,)") + bytes(12), r"it holds \|V2"),
        (header_of("|O", "(6,)") + b"cos\nsystem\n(S'true'\ntR.", "it holds object"),
        (header_of("<f2", "(6,)")[:60], "the header of its array is damaged"),
        (b"\x93NUMPY\x01\x00\x40\x00" + b"(" * 64 + bytes(12), "the header of its array is damaged"),
        (b"\x93NUMPY\x07\x00" + header_of("<f2", "(6,)")[8:] + bytes(12), "the header of its array is damaged"),
        (b"hello", "'1.npy': it is no array"),
        (b"", "'1.npy': it is no array"),
    ],
)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_is_no_such_vector_is_refused_by_name(tmp_path: Path, second: bytes, says: str, method: int) -> None:
    first = header_of("<f2", "(6,)") + bytes(12)
    with pytest.raises(InputError, match=says):
        read(zipped(tmp_path / "x.npz", {"0.npy": first, "1.npy": second}, method))


def test_other_files_in_an_archive_and_matrices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'README.txt': it is no array. Keep other files"):
        read(zipped(tmp_path / "a.npz", {"README.txt": b"hello"}))
    with pytest.raises(InputError, match=r"shape \(400, 600\).*pool residues"):
        read(save(tmp_path / "b.npz", {"states": np.zeros((400, 600))}))


def test_the_place_of_a_vector_is_its_archive_and_key(tmp_path: Path) -> None:
    files = [save(tmp_path / f"{i}.npz", {f"{i}{key}": VALUES[0] for key in "abc"[:i]}) for i in (0, 2, 3)]
    source = NpzSource("x", files)
    assert source.count == 5
    assert [source.place(i) for i in (1, 2, 4)] == [
        f"{files[1]}, array '2b.npy'", f"{files[2]}, array '3a.npy'", f"{files[2]}, array '3c.npy'",
    ]  # fmt: skip
