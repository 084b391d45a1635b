"""Where studies are kept: what an address means, what is refused, and that no password is ever shown."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import optuna
import pytest

from esm2_amp.errors import InputError
from esm2_amp.tuning.storage import open_storage, parse_target
from esm2_amp.tuning.workers import FileWorkers

SECRET = "hunter2%40x"


@pytest.mark.parametrize(
    ("text", "kind", "shown"),
    [
        ("a/study.journal", "journal", "a/study.journal"),
        ("a/study.log", "journal", "a/study.log"),
        ("a/study.db", "sqlite", "a/study.db"),
        ("a/study.SQLite3", "sqlite", "a/study.SQLite3"),
        ("sqlite:///a/b", "sqlite", "a/b"),
        ("sqlite:////a/b.db", "sqlite", "/a/b.db"),
    ],
)
def test_what_an_address_means(text: str, kind: str, shown: str) -> None:
    target = parse_target(text)
    assert (target.kind, str(target)) == (kind, shown)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2"])
def test_a_server_is_reached_by_psycopg_and_shown_without_its_password(scheme: str) -> None:
    pytest.importorskip("psycopg")
    target = parse_target(f"{scheme}://me:{SECRET}@host:5433/db?password={SECRET}")
    assert target.url is not None
    assert target.url.drivername == "postgresql+psycopg"
    assert (target.url.password, target.url.port) == ("hunter2@x", 5433)
    assert str(target) == "postgresql://me:***@host:5433/db"


@pytest.mark.parametrize(
    "text",
    [f"mysql://me:{SECRET}@host/db", f"postgresql://me:{SECRET}@host:port/db", f"redis://:{SECRET}@host", "sqlite://"],
)
def test_an_address_that_is_not_understood_is_refused_without_its_password(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_target(text)
    assert text.partition(":")[0] in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_what_to_install_for_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esm2_amp.tuning.storage.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'esm2-amp\[postgres\]'"):
        parse_target("postgresql://host/db")


def test_a_server_that_cannot_be_reached() -> None:
    pytest.importorskip("psycopg")
    target = parse_target(f"postgresql://me:{SECRET}@127.0.0.1:9/db")
    said = r"postgresql://me:\*\*\*@127.0.0.1:9/db cannot be used: "
    with pytest.raises(InputError, match=said) as caught, open_storage(target):
        pass
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["pairs.tsv", "pairs.db"])
def test_a_file_that_is_something_else_is_left_as_it_is(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("protein_a\tprotein_b\n")
    with pytest.raises(InputError, match=name), open_storage(parse_target(str(tmp_path / name))):
        pass
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "protein_a\tprotein_b\n"


def test_a_torn_last_line_of_a_journal_is_cut(tmp_path: Path) -> None:
    target = parse_target(str(tmp_path / "j"))
    with open_storage(target) as (storage, _):
        optuna.create_study(study_name="whole", storage=storage)
    whole = (tmp_path / "j").read_bytes()
    (tmp_path / "j").write_bytes(whole + b'{"op_code":0,"worker_id":"x","study_na')
    with open_storage(target) as (storage, _):
        assert [study.study_name for study in storage.get_all_studies()] == ["whole"]
        assert (tmp_path / "j").read_bytes() == whole


def test_a_worker_lives_as_long_as_its_process(tmp_path: Path) -> None:
    mine = FileWorkers(tmp_path)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        theirs = FileWorkers(tmp_path)
        os.write(write, str(theirs.number).encode())
        signal.pause()
    number = int(os.read(read, 20))
    with mine.alone():
        assert mine.living() == {mine.number, number}
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with mine.alone():
        assert mine.living() == {mine.number}
    mine.leave()
    assert list(tmp_path.glob("worker.*")) == []
