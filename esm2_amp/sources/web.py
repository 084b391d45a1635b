"""HTTP requests: what may be asked for, which failures may pass, and which are final."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import urlsplit

from esm2_amp.errors import InputError

_TIMEOUT_S = 60.0
_LONGEST_PAUSE_S = 60.0
_PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Answers of a server that may be different a little later."""
_MAX_ANSWER = 64 * 2**20


@dataclass(frozen=True)
class Retry:
    """How patient to be: at most ``attempts`` failures in a row, with pauses that double from ``pause_s`` seconds."""

    attempts: int
    pause_s: float

    def pause(self, failures: int, wanted: float) -> None:
        """Wait after the n-th failure in a row, at least as long as the server ``wanted``, at most a minute."""
        time.sleep(min(max(self.pause_s * 2 ** (failures - 1), wanted), _LONGEST_PAUSE_S))


PATIENT = Retry(attempts=6, pause_s=1.0)


class InterruptionError(Exception):
    """A failure that may pass: a cut connection, a busy server. ``wanted`` is the pause the server asks for, in s."""

    def __init__(self, reason: str, wanted: float = 0.0) -> None:
        self.wanted = wanted
        super().__init__(reason)


class _OnlyHttp(urllib.request.HTTPRedirectHandler):
    """Follow redirects to http and https only, and never from https to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        check_url(newurl)
        if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
            raise InputError(f"{req.full_url} leads to the unprotected {newurl}", remedy="Download the file by hand.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_OnlyHttp)


def check_url(url: str) -> None:
    """Refuse what is not a web address.

    Raises:
        InputError: another scheme than http and https, or no host.
    """
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        fine = False
    if not fine:
        raise InputError(f"'{url}' is not a web address", remedy="Only http:// and https:// addresses are fetched.")


def open_url(url: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
    """Ask for a URL; certificates are verified and redirects are followed.

    Args:
        url: what to ask for.
        headers: added to the request.

    Returns:
        The answer, with a status from 200 to 299; to be closed by the caller.

    Raises:
        InputError: the address, the certificate or the answer is final: nothing to gain by asking again.
        InterruptionError: the failure may pass.
    """
    check_url(url)
    plain = {"User-Agent": "esm2-amp", "Accept-Encoding": "identity"}
    request = urllib.request.Request(url, headers={**plain, **headers})  # noqa: S310 - checked above
    try:
        response: http.client.HTTPResponse = _OPENER.open(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        raise _answered(url, error) from error
    except urllib.error.URLError as error:
        raise _unreachable(url, error.reason) from error
    except (OSError, http.client.HTTPException) as error:
        raise InterruptionError(f"{url}: {error or type(error).__name__}") from error
    return response


def get_json(url: str, retry: Retry) -> Any:
    """Ask for a JSON document.

    Raises:
        InputError: the server refuses, keeps failing, or answers something else.
    """
    for failures in range(1, retry.attempts + 1):
        try:
            with open_url(url, {"Accept": "application/json"}) as response:
                text = response.read(_MAX_ANSWER)
            break
        except (InterruptionError, OSError, http.client.HTTPException) as error:
            if failures == retry.attempts:
                raise gave_up(url, failures, error) from error
            retry.pause(failures, getattr(error, "wanted", 0.0))
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{url} did not answer with JSON", remedy="Has the service changed or is it down?") from error


def gave_up(url: str, failures: int, error: Exception) -> InputError:
    """The error for a transfer that failed too often in a row."""
    return InputError(
        f"{url} could not be fetched: {failures} failures in a row, the last one: {error}",
        remedy="Try again later; what has been transferred is kept.",
    )


def _answered(url: str, error: urllib.error.HTTPError) -> Exception:
    if error.code in _PASSING:
        wanted = error.headers.get("Retry-After", "")
        return InterruptionError(
            f"the server answered {error.code} {error.reason}", float(wanted) if wanted.isdigit() else 0
        )
    remedies = {
        404: "It may have moved: look for it by hand.",
        403: "The server does not let programs in: use a browser.",
    }
    return InputError(
        f"{url}: the server answered {error.code} {error.reason}",
        remedy=remedies.get(error.code, "Download the file by hand."),
    )


def _unreachable(url: str, reason: object) -> Exception:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return InputError(
            f"{url}: the certificate of the server is not valid ({reason.verify_message})",
            remedy="Is there a proxy in between? Set SSL_CERT_FILE to its certificate.",
        )
    if isinstance(reason, socket.gaierror):
        host = urlsplit(url).hostname
        return InputError(f"{url}: the host '{host}' is not known here", remedy="Is this machine connected?")
    if isinstance(reason, ConnectionRefusedError):
        return InputError(f"{url}: nobody answers there", remedy="Check the address and the connection.")
    return InterruptionError(f"{url}: {reason}")
