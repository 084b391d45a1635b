"""A small simulated world, and a web server whose misbehaviour is written down request by request."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from esm2_amp.sources.download import RemoteFile
from esm2_amp.sources.spec import SimulationSpec


@pytest.fixture(scope="session")
def spec() -> SimulationSpec:
    return SimulationSpec(
        domain_families=3,
        motif_families=1,
        homotypic_families=0,
        domain_length=(40, 60),
        motif_stretch_length=(30, 40),
        motif_length=(6, 8),
        motif_repeats=2,
        domain_concentration=25.0,
        motif_concentration=8.0,
        module_identity=(0.6, 0.9),
        linker_identity=(0.4, 0.8),
        conservative_share=0.5,
        deletion_share=0.05,
        insertion_rate=0.02,
        linker_disorder=1.3,
        length_median=180.0,
        length_spread=0.4,
        length_range=(100, 400),
        modules_per_protein=(0.7, 0.3),
        homologues=(2, 3),
        train_families=20,
        val_families=14,
        test_families=16,
        train_pairs=240,
        val_pairs=40,
        c1_pairs=60,
        c2_pairs=60,
        c3_pairs=60,
        degree_spread=0.4,
        exact_degrees=False,
    )


@dataclass
class FakeWeb:
    """What the server holds, how it treats the next requests for a path, and what it was asked."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    plans: dict[str, list[Any]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)

    def add(self, path: str, content: bytes, *plan: Any) -> RemoteFile:
        """Serve a file; each entry of the plan is spent on one request, then all goes well.

        Entries: ``("cut", n)`` closes the connection after n bytes; ``"whole"`` ignores a range; ``"endless"`` sends
        more than the file; a number is a status to answer with; a text with ``:`` is where to redirect to.
        """
        self.files[path] = content
        self.plans[path] = list(plan)
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return RemoteFile(path.strip("/"), self.url + path, len(content), md5, "")

    def ranges(self, path: str) -> list[str | None]:
        return [headers.get("Range") for asked, headers in self.requests if asked == path]


class _Handler(BaseHTTPRequestHandler):
    web: FakeWeb
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path
        self.web.requests.append((path, dict(self.headers)))
        plan = self.web.plans.get(path, [])
        step = plan.pop(0) if plan else "fine"
        if isinstance(step, int):
            self._answer(step, b"")
        elif isinstance(step, str) and ":" in step:
            self._answer(302, b"", {"Location": step})
        elif path not in self.web.files:
            self._answer(404, b"")
        else:
            self._send(path, step)

    def _send(self, path: str, step: Any) -> None:
        content, tag = self.web.files[path], self.web.tags.get(path)
        asked = self.headers.get("Range")
        known = self.headers.get("If-Range") in (None, tag)
        start = int(asked.split("=")[1].rstrip("-")) if asked and known and step != "whole" else 0
        headers = {"ETag": tag} if tag else {}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        if step == "endless":
            self._answer(200, body * 3, {"Connection": "close"}, length=None)
        else:
            cut = step[1] if isinstance(step, tuple) else len(body)
            self._answer(206 if start else 200, body[:cut], headers, length=len(body))
            self.close_connection = self.close_connection or cut < len(body)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, length: int | None = 0) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.web.sent.append(len(body))  # before: the client may be done, and its test look, at once
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWeb]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    fake = FakeWeb()
    handler = type("Handler", (_Handler,), {"web": fake})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        fake.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield fake
        server.shutdown()
        thread.join()
