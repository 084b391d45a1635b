"""The file lists of the services where datasets live: figshare and Zenodo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from esm2_amp.errors import InputError
from esm2_amp.sources.download import RemoteFile
from esm2_amp.sources.web import PATIENT, Retry, get_json

Service = Literal["figshare", "zenodo"]
BASE_URLS: dict[Service, str] = {"figshare": "https://api.figshare.com/v2", "zenodo": "https://zenodo.org/api"}
"""Where the services answer."""

_PAGE = 100
_MAX_PAGES = 100


@dataclass(frozen=True)
class Source:
    """A record of a service: a figshare article or a Zenodo record, by its number."""

    service: Service
    record: str


@dataclass(frozen=True)
class Record:
    """What a service says about a record: its newest version and the files of that."""

    title: str
    version: str
    licence: str
    doi: str
    files: tuple[RemoteFile, ...]


def list_files(source: Source, base_url: str, retry: Retry = PATIENT) -> Record:
    """Ask a service what a record holds now.

    Args:
        source: the record.
        base_url: where the service answers; see :data:`BASE_URLS`.
        retry: how patient to be.

    Raises:
        InputError: the service refuses, fails, or answers what this program does not understand.
    """
    read = {"figshare": _figshare, "zenodo": _zenodo}[source.service]
    try:
        return read(base_url.rstrip("/"), source.record, retry)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{source.service} described record {source.record} in a form that is not understood ({error!r})",
            remedy="The service may have changed: download the files by hand.",
        ) from error


def _figshare(base_url: str, record: str, retry: Retry) -> Record:
    # https://docs.figshare.com: GET /articles/{id} is the newest public version; its file list comes in pages
    url = f"{base_url}/articles/{record}"
    article = get_json(url, retry)
    entries: dict[int, dict[str, Any]] = {}
    for page in range(1, _MAX_PAGES + 1):
        answer = get_json(f"{url}/files?page={page}&page_size={_PAGE}", retry)
        new = {entry["id"]: entry for entry in answer if entry["id"] not in entries}
        entries |= new
        if not new:  # the service may cap the size of a page, or not know pages at all
            break
    files = tuple(_figshare_file(base_url, entry) for entry in entries.values() if not entry.get("is_link_only"))
    licence = (article.get("license") or {}).get("name") or "not stated"
    return Record(article["title"], str(article.get("version", "")), licence, article.get("doi") or "", files)


def _figshare_file(base_url: str, entry: dict[str, Any]) -> RemoteFile:
    md5 = entry.get("computed_md5") or entry.get("supplied_md5") or ""
    # figshare's download host may demand a browser (status 202 or 403); the same file is offered by its API
    mirror = f"{base_url}/file/download/{entry['id']}"
    return RemoteFile(str(entry["name"]), str(entry["download_url"]), int(entry["size"]), md5.lower(), mirror)


def _zenodo(base_url: str, record: str, retry: Retry) -> Record:
    # https://developers.zenodo.org: a record lists its files with checksum "md5:..."
    answer = get_json(f"{base_url}/records/{record}", retry)
    about = answer["metadata"]
    files = tuple(_zenodo_file(entry) for entry in answer["files"])
    licence = (about.get("license") or {}).get("id") or "not stated"
    return Record(about["title"], str(about.get("version", "")), licence, answer.get("doi") or "", files)


def _zenodo_file(entry: dict[str, Any]) -> RemoteFile:
    kind, _, digest = entry.get("checksum", "").rpartition(":")
    url = entry["links"].get("content") or entry["links"]["self"]
    return RemoteFile(str(entry["key"]), str(url), int(entry["size"]), digest.lower() if kind == "md5" else "", "")
