"""Chromium without a window for tests of pages: real keys, real layout, and everything it complains of or asks for.

It is spoken to over a pipe with the DevTools protocol, which needs no library.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE = 60.0
DESKTOP, PHONE = (1280, 900), (390, 844)
_KEYS = {
    "Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40,
    "Escape": 27, "End": 35, "Home": 36,
}  # fmt: skip


def find_browser() -> str | None:
    """Where Chromium is installed, None if it is not."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """One page at a time; ``complaints`` and ``requests`` are those since it was last opened."""

    def __init__(self, process: subprocess.Popen[bytes], reading: int, writing: int) -> None:
        self._process, self._reading, self._writing = process, reading, writing
        self._buffer, self._number, self._session = b"", 0, ""
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for part in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{part}.enable")

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        """Ask for something and wait for the answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": values}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE
        while b"\0" not in self._buffer:
            if not select.select([self._reading], [], [], max(0.0, until - time.monotonic()))[0]:
                raise TimeoutError("the browser does not answer")
            read = os.read(self._reading, 1 << 20)
            if not read:
                raise RuntimeError("the browser has ended")
            self._buffer += read
        line, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, event: str, found: dict[str, Any]) -> None:
        if event == "Page.loadEventFired":
            self.loaded = True
        elif event == "Network.requestWillBeSent":
            self.requests.append(found["request"]["url"])
        elif event == "Page.javascriptDialogOpening":
            self.complaints.append(f"dialog: {found['message']}")
            os.write(self._writing, json.dumps(self._dismissal()).encode() + b"\0")
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(f"exception: {found['exceptionDetails']}")
        elif event == "Runtime.consoleAPICalled":
            self.complaints.append(f"console: {found['args']}")
        elif event == "Log.entryAdded":
            self.complaints.append(f"log: {found['entry']['text']}")

    def _dismissal(self) -> dict[str, Any]:
        return {
            "id": 0,
            "method": "Page.handleJavaScriptDialog",
            "params": {"accept": False},
            "sessionId": self._session,
        }

    def open(
        self, page: Path, size: tuple[int, int], *, dark: bool = False, scripts: bool = True, fragment: str = ""
    ) -> None:
        """Show a file at a size in CSS pixels, in light or dark, with or without scripts, at ``fragment``."""
        self.complaints.clear()
        self.requests.clear()
        self.loaded = False
        self.call(
            "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False
        )
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.media("screen", dark=dark)
        self.call("Page.navigate", url=page.resolve().as_uri() + fragment)
        while not self.loaded:
            self._next()

    def media(self, kind: str, *, dark: bool = False) -> None:
        """Lay the page out for ``screen`` or ``print``."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=kind, features=[scheme])

    def value(self, script: str) -> Any:
        """What an expression is on the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key, as a person would."""
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=_KEYS[key],
                **({"text": "\r"} if key == "Enter" and kind == "keyDown" else {}),
            )  # fmt: skip

    def point(self, x: float, y: float) -> None:
        """Move the pointer there."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, x: float, y: float) -> None:
        """Press and release the left button there."""
        self.drag((x, y))

    def drag(self, *places: tuple[float, float]) -> None:
        """Press the left button at the first place, move on, release it at the last."""
        kinds = [
            ("mousePressed", places[0]),
            *(("mouseMoved", place) for place in places[1:]),
            ("mouseReleased", places[-1]),
        ]
        for kind, (x, y) in kinds:
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def wheel(self, x: float, y: float, by: float) -> None:
        """Turn the wheel there by so many pixels, downwards if positive."""
        self.call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=by)

    def picture(self, file: Path) -> None:
        """Save the whole page as PNG."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    def paper(self, file: Path) -> None:
        """Save the page as it prints."""
        file.write_bytes(base64.b64decode(self.call("Page.printToPDF", printBackground=False)["data"]))


@contextmanager
def browser(scratch: Path, program: str) -> Iterator[Browser]:
    """Run a browser with its profile in ``scratch``."""
    to_read, its_writing = os.pipe()
    its_reading, to_write = os.pipe()
    # the browser reads commands from file descriptor 3 and answers on 4
    redirect = f'exec "$0" "$@" 3<&{its_reading} 4>&{its_writing}'
    command = ["bash", "-c", redirect, program, "--headless=new", "--no-sandbox", "--disable-gpu",
               "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-extensions",
               f"--user-data-dir={scratch}", "--remote-debugging-pipe", "about:blank"]  # fmt: skip
    with subprocess.Popen(
        command, pass_fds=(its_reading, its_writing), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        os.close(its_reading)
        os.close(its_writing)
        try:
            found = Browser(process, to_read, to_write)
            yield found
            found._session = ""
            found.call("Browser.close")
        finally:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
            os.close(to_read)
            os.close(to_write)
