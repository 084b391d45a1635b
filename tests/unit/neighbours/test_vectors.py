"""Every id finds its own vector, a killed ingest ends in the same bytes, and nothing is lost in silence."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esm2_amp.errors import InputError
from esm2_amp.features.store_lock import StoreLock
from esm2_amp.neighbours import vector_writer
from esm2_amp.neighbours.halves import to_singles
from esm2_amp.neighbours.ingest import IngestReport, ingest, ingest_source, write_vectors
from esm2_amp.neighbours.readers.recognise import SourceOptions
from esm2_amp.neighbours.readers.source import ArraySource
from esm2_amp.neighbours.string_table import StringTable, write_strings
from esm2_amp.neighbours.vectors import Vectors, open_vectors

PLAIN = SourceOptions(None, (), None, None)


def unseen(amount: int) -> None:
    pass


def numbers(n: int, dim: int = 4) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, dim)).astype(np.float16)


# strings

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
alike = st.text("ab", max_size=30)


@given(st.lists(words | alike), st.lists(words | alike))
@settings(max_examples=150, deadline=None)
def test_strings_are_found_as_python_would(strings: list[str], others: list[str]) -> None:
    table = StringTable.of(strings)
    assert table.many(range(len(strings))) == strings
    assert table.many(table.order) == sorted(strings)
    asked = strings + others
    assert table.find(asked).tolist() == [strings.index(word) if word in strings else -1 for word in asked]
    for prefix in [word[: len(word) // 2] for word in asked[:5]]:
        first, last = table.with_prefix(prefix)
        assert table.many(table.order[first:last]) == sorted(word for word in strings if word.startswith(prefix))
    assert table.repeats().sum() == len(strings) - len(set(strings))


def test_strings_on_disk_are_those_in_memory(tmp_path: Path) -> None:
    strings = [f"MGYP{i * 7919 % 3000:012d}" for i in range(3000)] + ["é", "a" * 5000, "a" * 5001]
    table = write_strings(tmp_path / "x", [strings[:1000], [], strings[1000:]])
    assert table.find(strings).tolist() == list(range(len(strings)))
    assert table.find(["MGYP", "\udc80", ""]).tolist() == [-1, -1, -1]
    (tmp_path / "x.order").write_bytes((tmp_path / "x.order").read_bytes()[:-8])
    with pytest.raises(InputError, match="table of ids is damaged"):
        StringTable.open(tmp_path / "x")


# vectors


def test_every_finite_half_becomes_its_single() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)].reshape(-1, 31)
    assert np.array_equal(to_singles(halves).view(np.uint32), halves.astype(np.float32).view(np.uint32))


def test_blocks_and_rows_are_the_vectors(tmp_path: Path) -> None:
    values = numbers(50)
    vectors = write_vectors(tmp_path / "v", [f"P{i}" for i in range(50)], values)
    assert np.array_equal(vectors.block(10, 60), values[10:].astype(np.float32))
    assert np.array_equal(vectors.take([3, 3, 49]), values[[3, 3, 49]].astype(np.float32))
    assert vectors.take([]).shape == vectors.block(7, 7).shape == (0, 4)
    for wrong in ([-1], [50]):
        with pytest.raises(IndexError):
            vectors.take(wrong)
        with pytest.raises(IndexError):
            vectors.ids(wrong)


def test_an_unknown_id_is_refused_with_ids_like_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [f"ENSG{i:08d}" for i in range(500)] + ["TP53", "A0A0"]
    vectors = write_vectors(tmp_path / "v", ids, numbers(len(ids)))
    assert vectors.rows_of(["TP53", "ENSG00000007", "TP53"]).tolist() == [500, 7, 500]
    for name, close in (("tp53", "TP53"), ("ENSG00000007x", "ENSG00000007")):
        for compared in (20_000, 10):
            monkeypatch.setattr("esm2_amp.neighbours.vectors._COMPARED", compared)
            with pytest.raises(InputError, match=f"no vector has the id '{name}'.*Did you mean .*'{close}'"):
                vectors.rows_of(["A0A0", name])
    with pytest.raises(InputError, match=r"'\?' \(and 1 more of 3\).*The first id is 'ENSG00000000'"):
        vectors.rows_of(["?", "TP53", "??"])
    assert vectors.complete("ENSG0000001", 3) == ["ENSG00000010", "ENSG00000011", "ENSG00000012"]


def test_the_digest_tells_ids_and_vectors_and_not_where_they_came_from(tmp_path: Path) -> None:
    values = numbers(3)
    digest = write_vectors(tmp_path / "a", ["x", "y", "z"], values).digest
    assert write_vectors(tmp_path / "b", ["x", "y", "z"], values.astype(np.float64)).digest == digest
    assert write_vectors(tmp_path / "c", ["xy", "", "z"][:1] + ["y", "z"], values).digest != digest
    assert write_vectors(tmp_path / "d", ["x", "y", "z"], -values).digest != digest


def test_the_digest_does_not_depend_on_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_writer, "_CHUNK_BYTES", 56)  # seven rows
    digests = set()
    for size in (1, 8, 24, 1000):
        monkeypatch.setattr("esm2_amp.neighbours.readers.source.BLOCK_BYTES", size)
        digests.add(write_vectors(tmp_path / f"{size}", [f"P{i}" for i in range(50)], numbers(50)).digest)
    assert len(digests) == 1


def test_zero_vectors_are_counted(tmp_path: Path) -> None:
    values = numbers(5)
    values[[1, 3]] = [[0.0, -0.0, 0.0, 0.0]]
    vectors = write_vectors(tmp_path / "v", list("abcde"), values)
    assert (vectors.manifest.zeros, vectors.has_zeros) == (2, True)
    assert not write_vectors(tmp_path / "w", list("ab"), numbers(2)).has_zeros


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (np.nan, "row 3: 'd': value 2 of its vector, nan, is not a finite number"),
        (-np.inf, "'d': value 2 of its vector, -inf, is not a finite number"),
        (65_520.0, "'d': value 2 of its vector, 65520, is beyond float16"),
        (1e-9, "'d': all values of its vector are zero in float16"),
    ],
)
def test_what_float16_cannot_hold_is_refused(tmp_path: Path, value: float, says: str) -> None:
    values = numbers(5).astype(np.float64)
    values[3] = [0, value, 0, 0]
    with pytest.raises(InputError, match=says):
        write_vectors(tmp_path / "v", list("abcde"), values)
    assert [file.name for file in (tmp_path / "v").iterdir()] == ["lock"]
    write_vectors(tmp_path / "v", list("abcde"), numbers(5))  # the folder is as good as new


def test_rounding_is_to_the_nearest(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(9, 4))
    assert np.array_equal(write_vectors(tmp_path / "v", list("abcdefghi"), values).data, values.astype(np.float16))


# duplicates

AGAIN = (["a", "b", "a", "c", "b", "a"], np.array([[1], [2], [1], [3], [5], [6]], np.float32))


def test_an_id_that_comes_again_is_refused_with_its_places(tmp_path: Path) -> None:
    says = r"3 vectors have an id.*'a' \(row 0; row 2\), 'a' \(row 2; row 5\), 'b' \(row 1; row 4\).*duplicates=first"
    with pytest.raises(InputError, match=says):
        write_vectors(tmp_path / "v", *AGAIN)
    assert [file.name for file in (tmp_path / "v").iterdir()] == ["lock"]


@pytest.mark.parametrize(
    ("policy", "ids", "values", "differing"), [("first", "abc", [1, 2, 3], 2), ("last", "cba", [3, 5, 6], 3)]
)
def test_one_vector_of_a_repeated_id_is_kept(
    tmp_path: Path, policy: str, ids: str, values: list[int], differing: int
) -> None:
    report = ingest_source(ArraySource(*AGAIN), tmp_path / "v", policy, unseen, unseen)
    vectors = report.vectors
    assert vectors.ids(range(3)) == list(ids)
    assert vectors.data.ravel().tolist() == values
    assert (vectors.manifest.repeated, vectors.manifest.differing) == (3, differing)
    assert vectors.rows_of(list(ids)).tolist() == [0, 1, 2]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 3)), min_size=1), st.booleans())
@settings(max_examples=25, deadline=None)
def test_duplicate_policies_are_those_of_a_dictionary(rows: list[tuple[str, int]], last: bool) -> None:
    kept = dict(rows) if last else dict(reversed(rows))
    repeated, differing = len(rows) - len(kept), sum(value != kept[id_] for id_, value in rows)
    source = ArraySource([id_ for id_, _ in rows], np.array([[value] for _, value in rows], np.float16))
    with tempfile.TemporaryDirectory() as folder:
        vectors = ingest_source(source, Path(folder), "last" if last else "first", unseen, unseen).vectors
        assert dict(zip(vectors.ids(range(vectors.n)), vectors.data.ravel().tolist(), strict=True)) == kept
        assert (vectors.manifest.repeated, vectors.manifest.differing) == (repeated, differing)


def test_an_unknown_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="duplicates is 'any'.*Use error, first or last"):
        ingest_source(ArraySource(*AGAIN), tmp_path / "v", "any", unseen, unseen)


@pytest.mark.parametrize("id_", ["", "a\tb", "a\n", "\x7f", "\ud800"])
def test_ids_that_no_table_could_show_are_refused(tmp_path: Path, id_: str) -> None:
    with pytest.raises(InputError, match="row 1: (an empty id|the id .* has a control character or is not UTF-8)"):
        write_vectors(tmp_path / "v", ["fine", id_], numbers(2))


# going on


class Slow(ArraySource):
    """Small batches of ids and small blocks, so that a process can be killed between any two."""

    def ids(self) -> Iterator[Sequence[str]]:
        ids = next(iter(super().ids()))
        for at in range(0, len(ids), 8):
            yield ids[at : at + 8]

    def blocks(self, start: int) -> Iterator[Any]:
        for at in range(start, len(self._vectors), 5):
            yield self._vectors[at : at + 5]


def slow_source() -> Slow:
    ids = [f"P{i % 15}" if i % 5 == 0 else f"Q{i}" for i in range(40)]
    assert len(set(ids)) < 40
    return Slow([*ids, "P0", "P5"], numbers(42))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def in_a_child(work: Callable[[], Any]) -> int:
    """Run in a forked process; its exit status, negative for a signal."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


CALLS = ("pwrite", "fsync", "replace", "rename", "unlink", "rmdir", "mkdir", "ftruncate", "open")


def killed_at(call: int, folder: Path) -> Callable[[], Any]:
    """An ingest that dies by SIGKILL at a number of calls that change files; a write is half done by then."""

    def work() -> None:
        left = call

        def deadly(name: str) -> Callable[..., Any]:
            real = getattr(os, name)

            def called(*arguments: Any, **named: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    if name == "pwrite":
                        handle, data, offset = arguments
                        real(handle, data[: len(data) // 2], offset)
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **named)

            return called

        for name in CALLS:
            setattr(os, name, deadly(name))
        ingest_source(slow_source(), folder, "last", unseen, unseen)

    return work


@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_an_ingest_killed_anywhere_ends_in_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(vector_writer, "_CHUNK_BYTES", 56)
    ingest_source(slow_source(), tmp_path / "whole", "last", unseen, unseen)
    expected = contents(tmp_path / "whole")
    resumed, call, status = set(), 0, -signal.SIGKILL
    while status == -signal.SIGKILL:
        call += step
        folder = tmp_path / f"{call}"
        status = in_a_child(killed_at(call, folder))
        if status == -signal.SIGKILL and not (folder / "manifest.json").exists() and folder.exists():
            with pytest.raises(InputError, match=r"not finished|no manifest.json"):
                open_vectors(folder)
        report = ingest_source(slow_source(), folder, "last", unseen, unseen)
        resumed.add(report.resumed_at)
        assert contents(folder) == expected
        shutil.rmtree(folder)
    assert status == 0
    assert call > 40
    assert len(resumed) > 2


def test_killed_again_and_again_it_still_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_writer, "_CHUNK_BYTES", 56)
    ingest_source(slow_source(), tmp_path / "whole", "last", unseen, unseen)
    kills = 0
    while in_a_child(killed_at(45 + kills, tmp_path / "v")) == -signal.SIGKILL:
        kills += 1
        assert kills < 20
    assert kills > 1
    assert open_vectors(tmp_path / "v").digest == open_vectors(tmp_path / "whole").digest


def test_a_process_killed_from_outside_goes_on(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **{f"k/{i}": row for i, row in enumerate(numbers(1000, 64))})
    program = (
        "import sys, time, pathlib\n"
        "from esm2_amp.neighbours import vector_writer, ingest\n"
        "from esm2_amp.neighbours.readers import npz\n"
        "from esm2_amp.neighbours.readers.recognise import SourceOptions\n"
        "vector_writer._CHUNK_BYTES, npz.BLOCK_BYTES = 8192, 4096\n"
        "def seen(amount):\n"
        "    print(amount, flush=True)\n"
        "    time.sleep(0.01)\n"
        "ingest.ingest(sys.argv[1], sys.argv[2], SourceOptions(None, (), None, None), 'error', print, seen)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "x.npz")]
    child = subprocess.Popen([*command, str(tmp_path / "v")], stdout=subprocess.PIPE)
    assert child.stdout is not None
    for _ in range(12):
        child.stdout.readline()
    child.kill()
    child.wait()
    child.stdout.close()
    assert not (tmp_path / "v" / "manifest.json").exists()
    for folder in ("v", "whole"):
        subprocess.run([*command, str(tmp_path / folder)], check=True, stdout=subprocess.DEVNULL)
    assert contents(tmp_path / "v") == contents(tmp_path / "whole")


def taken(source: Path, folder: Path, duplicates: str = "error") -> IngestReport:
    return ingest(str(source), folder, PLAIN, duplicates, unseen, unseen)


def test_a_finished_ingest_is_not_done_again(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=numbers(2)[0], b=numbers(2)[1])
    assert not taken(tmp_path / "x.npz", tmp_path / "v").finished_before
    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "v").iterdir() if file.name != "lock"}
    assert taken(tmp_path / "x.npz", tmp_path / "v").finished_before
    assert {file: file.stat().st_mtime_ns for file in times} == times


@pytest.mark.parametrize("finished", [True, False])
def test_another_source_is_refused(tmp_path: Path, finished: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_writer, "_CHUNK_BYTES", 56)
    for name, sign in (("x", 1), ("y", -1)):
        np.savez(tmp_path / f"{name}.npz", **{f"{i}": sign * row for i, row in enumerate(numbers(40))})
    if finished:
        taken(tmp_path / "x.npz", tmp_path / "v")
    else:
        assert in_a_child(lambda: _die_after(9, lambda: taken(tmp_path / "x.npz", tmp_path / "v"))) < 0
        assert (tmp_path / "v" / "unfinished").is_dir()
    before = contents(tmp_path / "v")
    with pytest.raises(InputError, match="vectors of another source, .*x.npz"):
        taken(tmp_path / "y.npz", tmp_path / "v")
    with pytest.raises(InputError, match="made with duplicates=error, not first"):
        taken(tmp_path / "x.npz", tmp_path / "v", "first")
    os.utime(tmp_path / "x.npz", (1, 1))
    with pytest.raises(InputError, match="x.npz, which has changed since"):
        taken(tmp_path / "x.npz", tmp_path / "v")
    assert contents(tmp_path / "v") == before


def _die_after(writes: int, work: Callable[[], Any]) -> None:
    real, left = os.pwrite, writes

    def pwrite(*arguments: Any) -> int:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)

    os.pwrite = pwrite
    work()


def test_folders_that_hold_something_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "thesis.tex").write_text("all of it")
    with pytest.raises(InputError, match="no folder of vectors and not empty"):
        write_vectors(tmp_path / "v", ["a"], numbers(1))
    with pytest.raises(InputError, match="no folder of vectors"):
        write_vectors(tmp_path / "v" / "thesis.tex", ["a"], numbers(1))
    assert [file.name for file in (tmp_path / "v").iterdir()] == ["thesis.tex"]
    with StoreLock(tmp_path / "w", "x"), pytest.raises(InputError, match="another process is writing to these vectors"):
        write_vectors(tmp_path / "w", ["a"], numbers(1))


def test_a_disk_without_space_is_seen_before_anything_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 7))
    with pytest.raises(InputError, match=r"need 0.0 GB more, 0.0 GB are free"):
        write_vectors(tmp_path / "v", ["a"], numbers(1))


def _cut_data(folder: Path) -> None:
    os.truncate(folder / "vectors.f16", 7)


def _other_n(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "n": 1}))


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "no vectors here"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "the manifest cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "not the manifest of a folder of vectors"),
        (lambda folder: (folder / "ids.order").unlink(), "the table of ids cannot be read"),
        (_cut_data, "7 bytes where the manifest promises 24"),
        (_other_n, "the manifest is damaged"),
    ],
)
def test_a_damaged_folder_is_refused(tmp_path: Path, harm: Callable[[Path], Any], says: str) -> None:
    write_vectors(tmp_path / "v", list("abc"), numbers(3))
    assert isinstance(open_vectors(tmp_path / "v"), Vectors)
    harm(tmp_path / "v")
    with pytest.raises(InputError, match=says):
        open_vectors(tmp_path / "v")
