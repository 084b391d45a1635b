"""Downloads against a real server on this machine that cuts, lies, refuses and redirects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from esm2_amp.errors import InputError
from esm2_amp.sources.download import RemoteFile, download
from esm2_amp.sources.web import Retry

CONTENT = bytes(range(256)) * 4000
AT_ONCE = Retry(attempts=3, pause_s=0.0)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "raw" / "pairs.txt"


def get(remote: RemoteFile, target: Path) -> bool:
    return download(remote, target, None, AT_ONCE)


def leftovers(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir() if path != target)


def test_the_right_file_arrives_once(web: Any, target: Path) -> None:
    remote = web.add("/pairs.txt", CONTENT)
    told: list[tuple[int, int]] = []
    assert download(remote, target, lambda done, total: told.append((done, total)), AT_ONCE)
    assert target.read_bytes() == CONTENT
    assert told == sorted(told)
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert not get(remote, target), "a verified file is not fetched again"
    assert len(web.requests) == 1
    assert leftovers(target) == []


def test_a_changed_file_is_fetched_again(web: Any, target: Path) -> None:
    remote = web.add("/pairs.txt", CONTENT)
    get(remote, target)
    target.write_bytes(CONTENT[:-1] + b"!")
    assert get(remote, target)
    assert target.read_bytes() == CONTENT


def test_a_wrong_hash_names_both_and_leaves_nothing(web: Any, target: Path) -> None:
    remote = web.add("/pairs.txt", CONTENT)
    with pytest.raises(InputError) as caught:
        get(replace(remote, md5="0" * 32), target)
    assert "0" * 32 in str(caught.value)
    assert remote.md5 in str(caught.value)
    assert not target.exists()
    assert leftovers(target) == []


def test_a_cut_connection_is_resumed_where_it_was_cut(web: Any, target: Path) -> None:
    web.tags["/pairs.txt"] = '"v1"'
    get(web.add("/pairs.txt", CONTENT, ("cut", 300_000)), target)
    assert target.read_bytes() == CONTENT
    assert web.ranges("/pairs.txt") == [None, "bytes=300000-"]
    assert web.requests[1][1]["If-Range"] == '"v1"'
    assert web.sent == [300_000, len(CONTENT) - 300_000], "only the rest is sent"


def test_cuts_may_go_on_as_long_as_something_arrives(web: Any, target: Path) -> None:
    cuts = [("cut", 100_000)] * 8  # more than the failures that are allowed in a row
    get(web.add("/pairs.txt", CONTENT, *cuts), target)
    assert target.read_bytes() == CONTENT
    assert sum(web.sent) == len(CONTENT)


def test_a_server_that_ignores_ranges_sends_the_whole_file(web: Any, target: Path) -> None:
    get(web.add("/pairs.txt", CONTENT, ("cut", 1000), "whole"), target)
    assert target.read_bytes() == CONTENT
    assert web.sent == [1000, len(CONTENT)]


def test_a_partial_file_of_an_earlier_process_is_resumed(web: Any, target: Path) -> None:
    remote = web.add("/pairs.txt", CONTENT)
    target.parent.mkdir()
    target.with_name("pairs.txt.part").write_bytes(CONTENT[:500_000])
    get(remote, target)
    assert target.read_bytes() == CONTENT
    assert web.ranges("/pairs.txt") == ["bytes=500000-"]


@pytest.mark.parametrize("size", [1000, len(CONTENT), len(CONTENT) + 5])
def test_a_partial_file_of_another_version_costs_one_more_transfer(web: Any, target: Path, size: int) -> None:
    remote = web.add("/pairs.txt", CONTENT)
    target.parent.mkdir()
    target.with_name("pairs.txt.part").write_bytes(b"x" * size)
    get(remote, target)
    assert target.read_bytes() == CONTENT
    assert leftovers(target) == []


def test_a_server_that_stops_sending_is_given_up_and_the_part_kept(web: Any, target: Path) -> None:
    remote = web.add("/pairs.txt", CONTENT, ("cut", 700), *[("cut", 0)] * 20)
    with pytest.raises(InputError, match="3 failures in a row.*700 of 1024000 bytes"):
        get(remote, target)
    assert leftovers(target) == ["pairs.txt.part"]
    web.plans["/pairs.txt"] = []
    get(remote, target)
    assert target.read_bytes() == CONTENT
    assert web.ranges("/pairs.txt")[-1] == "bytes=700-"


def test_a_busy_server_is_asked_again(web: Any, target: Path) -> None:
    get(web.add("/pairs.txt", CONTENT, 500, 503), target)
    assert target.read_bytes() == CONTENT
    with pytest.raises(InputError, match="3 failures in a row.*500"):
        get(web.add("/other.txt", CONTENT, *[500] * 9), target.with_name("other.txt"))
    assert len(web.ranges("/other.txt")) == 3


def test_a_missing_file_is_asked_for_once(web: Any, target: Path) -> None:
    with pytest.raises(InputError, match="404"):
        get(web.add("/pairs.txt", CONTENT, 404), target)
    assert len(web.requests) == 1


@pytest.mark.parametrize("status", [202, 403, 404])
def test_the_mirror_is_asked_where_the_first_address_refuses(web: Any, target: Path, status: int) -> None:
    remote = web.add("/pairs.txt", b"", *[status] * 9)
    mirror = web.add("/mirror.txt", CONTENT, ("cut", 10))
    get(replace(mirror, url=remote.url, mirror=mirror.url), target)
    assert target.read_bytes() == CONTENT
    assert web.ranges("/mirror.txt") == [None, "bytes=10-"]


def test_a_page_instead_of_the_file_is_refused(web: Any, target: Path) -> None:
    with pytest.raises(InputError, match="202"):
        get(web.add("/pairs.txt", CONTENT, 202), target)
    remote = web.add("/pairs.txt", b"<html>Who are you?</html>")
    with pytest.raises(InputError, match="25 bytes instead of the file of 9999 bytes"):
        get(replace(remote, size=9999), target)
    assert leftovers(target) == []


def test_more_bytes_than_announced_are_refused(web: Any, target: Path) -> None:
    with pytest.raises(InputError, match="more than the announced"):
        get(web.add("/pairs.txt", CONTENT, "endless"), target)
    assert leftovers(target) == []


def test_redirects_are_followed_and_keep_the_range(web: Any, target: Path) -> None:
    web.add("/real.txt", CONTENT, ("cut", 77))
    remote = web.add("/pairs.txt", CONTENT, f"{web.url}/real.txt", f"{web.url}/real.txt")
    get(remote, target)
    assert target.read_bytes() == CONTENT
    assert web.ranges("/real.txt") == [None, "bytes=77-"]


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://example.org/x", "data:text/plain,x"])
def test_only_web_addresses_are_fetched_directly_or_by_redirect(web: Any, target: Path, address: str) -> None:
    remote = web.add("/pairs.txt", CONTENT, address)
    with pytest.raises(InputError, match="is not a web address|is not allowed"):
        get(remote, target)
    with pytest.raises(InputError, match="is not a web address"):
        get(replace(remote, url=address), target)
    assert not target.exists()


def test_an_unreachable_server_is_named(target: Path) -> None:
    remote = RemoteFile("x", "http://127.0.0.1:1/x", 1, "", "")
    with pytest.raises(InputError, match=r"http://127\.0\.0\.1:1/x: nobody answers"):
        get(remote, target)


def test_a_folder_that_cannot_be_made_is_the_users_error(web: Any, tmp_path: Path) -> None:
    (tmp_path / "raw").write_text("a file")
    with pytest.raises(InputError, match="cannot write"):
        get(web.add("/pairs.txt", CONTENT), tmp_path / "raw" / "pairs.txt")


def test_an_empty_file_is_a_file(web: Any, target: Path) -> None:
    assert get(web.add("/empty", b""), target)
    assert target.read_bytes() == b""
