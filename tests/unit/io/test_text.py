"""Text of users: opened, unpacked and numbered; what is not text is refused by its kind and its place."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from esm2_amp.errors import InputError
from esm2_amp.io.text import is_text, open_bytes, text_lines


def write(folder: Path, content: bytes) -> Path:
    path = folder / "file.txt"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("content", ["a\n\nβ\n", "a\n\nβ", "a\r\n\r\nβ\r\n", "a\r\rβ\r", "\ufeffa\n\nβ\n"])
def test_lines_are_numbered_whatever_their_ends_and_packing(tmp_path: Path, content: str) -> None:
    for packed in (content.encode(), gzip.compress(content.encode())):
        assert list(text_lines(write(tmp_path, packed))) == [(1, "a"), (2, ""), (3, "β")]


def test_nothing_but_a_byte_order_mark_is_taken_from_a_line(tmp_path: Path) -> None:
    assert list(text_lines(write(tmp_path, b" a\t \n\x0cb\x1c\n"))) == [(1, " a\t "), (2, "\x0cb\x1c")]


def test_a_line_that_is_not_utf8_is_given_and_told(tmp_path: Path) -> None:
    rows = [row for _, row in text_lines(write(tmp_path, "caf\xe9\n".encode() + b"caf\xe9\n"))]
    assert [is_text(row) for row in rows] == [True, False]
    assert rows[1].encode("utf-8", "surrogateescape") == b"caf\xe9"  # nothing is lost


def test_a_word_like_the_mark_of_another_format_is_text(tmp_path: Path) -> None:
    for word in ("PAR1", "BZh"):
        assert list(text_lines(write(tmp_path, f"{word}\tP2\n".encode()))) == [(1, f"{word}\tP2")]


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    for content in (b"", gzip.compress(b"")):
        assert list(text_lines(write(tmp_path, content))) == []


MISTAKES = {
    "binary": (bytes(range(256)), None, "not text", "plain UTF-8"),
    "binary later": (b">a\nMKV\n" * 99 + b"\0\n", 199, "not text", "plain UTF-8"),
    "binary inside gzip": (gzip.compress(bytes(range(256))), None, "not text inside gzip", "Unpack"),
    "a zip": (b"PK\x03\x04rest", None, "zip archive or an Excel workbook", "TSV"),
    "bzip2": (b"BZh91AY&SY\x00\x01", None, "compressed with bzip2", "plain UTF-8"),
    "UTF-16": (">a\nMKV\n".encode("utf-16"), None, "UTF-16", "plain UTF-8"),
    "Parquet": (b"PAR1\x15\x04", None, "a Parquet file", "plain UTF-8"),
    "a gzip cut short": (gzip.compress(os.urandom(9999).hex().encode())[:-9], None, "damaged or cut short", "again"),
    "a gzip cut after its header": (gzip.compress(b">a\nMKV\n")[:10], None, "damaged or cut short", "again"),
    "a damaged gzip": (gzip.compress(b">a\nMKV\n")[:-8] + b"\0" * 8, None, "damaged or cut short", "again"),
}


@pytest.mark.parametrize(("content", "line", "what", "remedy"), MISTAKES.values(), ids=MISTAKES.keys())
def test_what_is_not_text_is_named(tmp_path: Path, content: bytes, line: int | None, what: str, remedy: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(InputError) as caught:
        list(text_lines(path))
    assert what in caught.value.what
    assert (caught.value.file, caught.value.line) == (path, line)
    assert remedy in caught.value.remedy


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent.txt: no such file"), open_bytes(tmp_path / "absent.txt"):
        pass
    with pytest.raises(InputError, match="this is a folder"), open_bytes(tmp_path):
        pass
    with pytest.raises(InputError, match="cannot be read"), open_bytes(write(tmp_path, b"a\n") / "inside_a_file"):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = write(tmp_path, b"a\n")
    path.chmod(0)
    with pytest.raises(InputError, match="no permission"), open_bytes(path):
        pass
