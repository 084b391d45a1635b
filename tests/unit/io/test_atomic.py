"""Files are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import gzip
import json
import os
import time
from pathlib import Path

import pytest

from esm2_amp.errors import InputError
from esm2_amp.io.atomic import atomic_path, atomic_text, write_json


@pytest.mark.parametrize("name", ["table.tsv", "table.tsv.gz"])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    target.write_bytes(b"old")

    def fail() -> None:
        with atomic_text(target) as stream:
            stream.write("new " * 100_000)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_target_is_untouched_until_the_end(tmp_path: Path) -> None:
    target = tmp_path / "table.tsv"
    target.write_text("old")
    with atomic_text(target) as stream:
        stream.write("new")
        stream.flush()
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_text_is_utf8_with_unix_line_ends_and_missing_folders_are_made(tmp_path: Path) -> None:
    for name in ("a/b/x.txt", "a/b/x.txt.gz"):
        with atomic_text(tmp_path / name) as stream:
            stream.write("β\n")
    assert (tmp_path / "a/b/x.txt").read_bytes() == "β\n".encode()
    assert gzip.decompress((tmp_path / "a/b/x.txt.gz").read_bytes()) == "β\n".encode()


def test_gzip_bytes_depend_on_the_content_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, now in (("a.gz", 1e9), ("b.gz", 2e9)):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        with atomic_text(tmp_path / name) as stream:
            stream.write("MKV" * 1000)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "model"

    def write(fail: bool) -> None:
        with atomic_path(target) as path:
            path.mkdir()
            (path / "weights").write_text("w")
            if fail:
                raise RuntimeError("in the middle")
            assert not target.exists()

    with pytest.raises(RuntimeError, match="in the middle"):
        write(fail=True)
    assert not list(tmp_path.iterdir())
    write(fail=False)
    assert list(tmp_path.iterdir()) == [target]
    assert (target / "weights").read_text() == "w"


def test_json_is_readable_and_nan_leaves_nothing(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "β", "value": 0.1})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"name": "β", "value": 0.1}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "b.json", {"value": float("nan")})
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write here .* Choose a folder"), atomic_path(tmp_path / "file" / "x"):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with pytest.raises(InputError, match="cannot write here"), atomic_path(locked / "x"):
        pass
