"""Whole fetches of tiny copies of the public records, in the forms in which figshare and Zenodo answer."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from esm2_amp.errors import InputError
from esm2_amp.io.fasta import read_fasta
from esm2_amp.io.pairs import iter_pairs
from esm2_amp.sources.catalog import CATALOG
from esm2_amp.sources.fetch import FetchResult, fetch
from esm2_amp.sources.services import BASE_URLS
from esm2_amp.sources.web import Retry

BERNETT = {
    "Intra0_neg_rr.txt": b"P00001 P00002\n",
    "Intra0_pos_rr.txt": b"P00001 P00003\n",
    "Intra1_neg_rr.txt": b"P00004 P00005\nP00004 P00006\n",
    "Intra1_pos_rr.txt": b"P00004 Q96PU5\nP00005 P00006\n",
    "Intra2_neg_rr.txt": b"P00007 P00008\n",
    "Intra2_pos_rr.txt": b"P00007 P00009\n",
    "human_swissprot_oneliner.fasta": "".join(f">P0000{i}\n{'MKV' * i}\n" for i in range(1, 10)).encode(),
    "human_swissprot.fasta": b">sp|P00001|X\nMM\n",
    "readme.md": b"not wanted",
}
DSCRIPT = {
    "human_train.tsv": b"9606.A\t9606.B\t1\n9606.A\t9606.C\t0\n",
    "human_test.tsv": b"9606.B\t9606.C\t0\n",
    "yeast_test.tsv": b"4932.A\t4932.B\t1\n",
    "human.fasta": b">9606.A\nMKA\n>9606.B\nMKC\n>9606.C\nMKD\n>9606.D\nMKE\n",
    "yeast.fasta": b">4932.A\nMYA\n>4932.B\nMYC\n",
}
ILP = {
    "Hippie-ILP-split-and-sampling/train.csv": b"protein1,protein2,label\nP1,P2,1\nP1,P1,0\n",
    "Hippie-ILP-split-and-sampling/val.csv": b"protein1,protein2,label\nP3,P4,1\n",
    "Hippie-ILP-split-and-sampling/test_balanced.csv": b"protein1,protein2,label\nP5,P6,1\n",
    "Hippie-random-split/train.csv": b"protein1,protein2,label\nP5,P6,1\n",
}


def figshare(web: Any, record: str, files: dict[str, bytes], page: int = 100) -> None:
    """Serve an article: its description, its file list in pages, its files."""
    entries = []
    for number, (name, content) in enumerate(files.items(), start=1):
        remote = web.add(f"/files/{number}", content)
        entry = {"id": number, "name": name, "size": len(content), "is_link_only": False}
        entries.append(entry | {"download_url": remote.url, "computed_md5": remote.md5, "supplied_md5": ""})
    about = {"title": "Data", "version": 4, "doi": "10.1/x", "license": {"value": 1, "name": "CC BY 4.0"}}
    web.add(f"/articles/{record}", json.dumps(about | {"files": entries[:10]}).encode())
    for number in range(1, 20):
        part = entries[(number - 1) * page : number * page]
        web.add(f"/articles/{record}/files?page={number}&page_size=100", json.dumps(part).encode())


def zenodo(web: Any, record: str, files: dict[str, bytes]) -> None:
    """Serve a record: one description, and its files."""
    entries = []
    for name, content in files.items():
        remote = web.add(f"/records/{record}/files/{name}/content", content)
        entry = {"id": "u-1", "key": name, "size": len(content), "checksum": f"md5:{remote.md5}"}
        entries.append(entry | {"links": {"self": remote.url}})
    about = {"title": "Data", "version": "1.0", "license": {"id": "cc-by-4.0"}}
    web.add(f"/records/{record}", json.dumps({"doi": "10.5281/x", "metadata": about, "files": entries}).encode())


def packed_zip(files: dict[str, bytes], top: str) -> bytes:
    with io.BytesIO() as stream:
        with zipfile.ZipFile(stream, "w") as archive:
            for name, content in files.items():
                archive.writestr(top + name, content)
        return stream.getvalue()


def packed_tar(files: dict[str, bytes], top: str) -> bytes:
    with io.BytesIO() as stream:
        with tarfile.open(fileobj=stream, mode="w:gz") as archive:
            for name, content in files.items():
                entry = tarfile.TarInfo(top + name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return stream.getvalue()


def get(name: str, web: Any, folder: Path) -> FetchResult:
    return fetch(name, folder, web.url, None, Retry(attempts=2, pause_s=0.0))


def rows(path: Path) -> list[tuple[str, str, int | None]]:
    return [(pair.a, pair.b, pair.label) for pair in iter_pairs(path)]


def asked_for_files(web: Any) -> int:
    return sum("/files/" in path and "?" not in path for path, _ in web.requests)


@pytest.mark.parametrize("page", [100, 2])
def test_a_figshare_article_becomes_the_standard_form(web: Any, tmp_path: Path, page: int) -> None:
    figshare(web, "21591618", BERNETT, page)
    result = get("bernett", web, tmp_path)
    assert rows(tmp_path / "train.tsv") == [
        ("P00004", "Q96PU5", 1),
        ("P00005", "P00006", 1),
        ("P00004", "P00005", 0),
        ("P00004", "P00006", 0),
    ]
    assert rows(tmp_path / "val.tsv") == [("P00001", "P00003", 1), ("P00001", "P00002", 0)]
    assert rows(tmp_path / "test.tsv") == [("P00007", "P00009", 1), ("P00007", "P00008", 0)]
    assert result.rows == {"train.tsv": 4, "val.tsv": 2, "test.tsv": 2}
    assert read_fasta(tmp_path / "proteins.fasta").get("P00003") is not None
    assert result.missing == ("Q96PU5",)
    assert result.version == "4"
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["ids_without_sequence"] == ["Q96PU5"]
    assert card["source"]["licence"] == "CC BY 4.0"
    assert {file["name"] for file in card["files"]} == BERNETT.keys() - {"human_swissprot.fasta", "readme.md"}
    assert card["pairs"]["train.tsv"] == {"rows": 4, "positive": 2, "negative": 2}


def test_a_second_fetch_transfers_nothing(web: Any, tmp_path: Path) -> None:
    figshare(web, "21591618", BERNETT)
    get("bernett", web, tmp_path)
    before = asked_for_files(web), (tmp_path / "train.tsv").read_bytes()
    get("bernett", web, tmp_path)
    assert (asked_for_files(web), (tmp_path / "train.tsv").read_bytes()) == before


def test_a_zenodo_record_becomes_the_standard_form(web: Any, tmp_path: Path) -> None:
    zenodo(web, "5140612", DSCRIPT)
    result = get("dscript", web, tmp_path)
    assert rows(tmp_path / "train.tsv") == [("9606.A", "9606.B", 1), ("9606.A", "9606.C", 0)]
    assert result.rows == {"train.tsv": 2, "val.tsv": 1, "test_yeast.tsv": 1}
    assert [protein.id for protein in read_fasta(tmp_path / "proteins.fasta")] == [
        "9606.A",
        "9606.B",
        "9606.C",
        "4932.A",
        "4932.B",
    ], "of both files, and only what the pairs name"
    assert result.missing == ()


@pytest.mark.parametrize(("pack", "name"), [(packed_zip, "dscript_data.zip"), (packed_tar, "dscript_data.tar.gz")])
def test_files_inside_an_archive_are_found(web: Any, tmp_path: Path, pack: Any, name: str) -> None:
    flat = {"data/pairs/" + key if key.endswith("tsv") else "data/seqs/" + key: DSCRIPT[key] for key in DSCRIPT}
    zenodo(web, "5140612", {"readme.txt": b"x", name: pack(flat, "top/")})
    result = get("dscript", web, tmp_path)
    assert result.rows == {"train.tsv": 2, "val.tsv": 1, "test_yeast.tsv": 1}
    assert result.proteins == 5


def test_the_right_folder_of_an_archive_is_taken_and_sequences_may_be_absent(web: Any, tmp_path: Path) -> None:
    files = {"results_prott5.zip": packed_zip(ILP, "wrong/"), "results_esm2.zip": packed_zip(ILP, "results_esm2/")}
    figshare(web, "33407437", files)
    result = get("bernett2026", web, tmp_path)
    assert rows(tmp_path / "train.tsv") == [("P1", "P2", 1), ("P1", "P1", 0)]
    assert result.rows == {"train.tsv": 2, "val.tsv": 1, "test.tsv": 1}
    assert result.missing == ("P1", "P2", "P3", "P4", "P5", "P6")
    assert not (tmp_path / "proteins.fasta").exists()
    assert not (tmp_path / "raw" / "results_prott5.zip").exists()


def test_a_record_without_a_needed_file_says_what_it_offers(web: Any, tmp_path: Path) -> None:
    figshare(web, "21591618", {name: BERNETT[name] for name in BERNETT if name != "Intra2_pos_rr.txt"})
    with pytest.raises(InputError) as caught:
        get("bernett", web, tmp_path / "new")
    assert "test.tsv" in str(caught.value)
    assert "Intra2_neg_rr.txt" in str(caught.value)
    assert "readme.md" in str(caught.value)
    assert asked_for_files(web) == 0, "nothing is downloaded in vain"
    assert not (tmp_path / "new").exists()


def test_two_candidates_for_a_needed_file_are_an_error(web: Any, tmp_path: Path) -> None:
    figshare(web, "21591618", BERNETT | {"old/Intra2_pos_rr.txt": b"P1 P2\n"})
    with pytest.raises(InputError, match="several files could be the source of test.tsv"):
        get("bernett", web, tmp_path)


def test_names_from_outside_stay_inside_the_folder(web: Any, tmp_path: Path) -> None:
    hostile = {f"../../{name}" if name.startswith("Intra0") else name: BERNETT[name] for name in BERNETT}
    figshare(web, "21591618", hostile)
    folder = tmp_path / "a" / "b" / "bernett"
    assert get("bernett", web, folder).rows["val.tsv"] == 2
    assert [path for path in tmp_path.rglob("*Intra0*") if path.parent != folder / "raw"] == []


@pytest.mark.parametrize("size", [0, 40, 200])
def test_a_damaged_archive_is_named(web: Any, tmp_path: Path, size: int) -> None:
    zenodo(web, "5140612", {"data.tar.gz": packed_tar(DSCRIPT, "")[:size]})
    with pytest.raises(InputError, match=r"data\.tar\.gz: the archive is damaged"):
        get("dscript", web, tmp_path)


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"metadata": {}}', b'{"metadata": {"title": 1}, "files": [1]}'])
def test_an_answer_that_is_not_understood_is_the_services_fault(web: Any, tmp_path: Path, answer: bytes) -> None:
    web.add("/records/5140612", answer)
    with pytest.raises(InputError, match="did not answer with JSON|is not understood"):
        get("dscript", web, tmp_path)


def test_pairs_without_labels_are_refused(web: Any, tmp_path: Path) -> None:
    zenodo(web, "5140612", DSCRIPT | {"human_train.tsv": b"9606.A\t9606.B\n"})
    with pytest.raises(InputError, match="without a label"):
        get("dscript", web, tmp_path)
    assert not (tmp_path / "train.tsv").exists()


def test_one_id_with_two_sequences_is_refused(web: Any, tmp_path: Path) -> None:
    zenodo(web, "5140612", DSCRIPT | {"fly.fasta": b">9606.A\nMWWW\n"})
    with pytest.raises(InputError, match="two different sequences have the id '9606.A'"):
        get("dscript", web, tmp_path)


def test_an_unknown_dataset_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="bernett, dscript, bernett2026"):
        fetch("bernet", tmp_path)


def test_the_catalogue_is_complete() -> None:
    for name, dataset in CATALOG.items():
        assert dataset.name == name
        assert {"train.tsv", "val.tsv", "proteins.fasta"} <= {part.output for part in dataset.parts}
        assert dataset.source.service in BASE_URLS
        assert "doi" in dataset.citation
        assert dataset.licence
