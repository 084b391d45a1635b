"""Reading and writing FASTA: everything people have is read; every mistake is named with its place."""

from __future__ import annotations

import gzip
import os
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esm2_amp.errors import InputError
from esm2_amp.io.fasta import ProteinSet, clean_sequence, read_fasta, write_fasta
from esm2_amp.records import RESIDUES, Protein

WORDS = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=12)
SEQUENCES = st.text(st.sampled_from(sorted(RESIDUES)), min_size=1, max_size=200)


def write(folder: Path, content: bytes | str, name: str = "proteins.fasta") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(folder: Path, content: bytes | str) -> list[tuple[str, str]]:
    return [(protein.id, protein.sequence) for protein in read_fasta(write(folder, content))]


@settings(deadline=None, derandomize=True)
@given(st.dictionaries(WORDS, SEQUENCES, min_size=1, max_size=6), st.integers(1, 80), st.booleans())
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, records: dict[str, str], width: int, packed: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / ("round_trip.fasta" + (".gz" if packed else ""))
    proteins = [Protein(name, sequence) for name, sequence in records.items()]
    write_fasta(path, proteins, width)
    assert list(read_fasta(path)) == proteins
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == packed


def test_lines_are_wrapped_at_the_width(tmp_path: Path) -> None:
    write_fasta(tmp_path / "x.fasta", [Protein("a", "MKVLAWY"), Protein("b", "MKV")], width=3)
    assert (tmp_path / "x.fasta").read_text() == ">a\nMKV\nLAW\nY\n>b\nMKV\n"


@pytest.mark.parametrize("protein", [Protein("two words", "MKV"), Protein("", "MKV"), Protein("a", "")])
def test_what_could_not_be_read_back_is_not_written(tmp_path: Path, protein: Protein) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        write_fasta(tmp_path / "x.fasta", [protein])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    [
        ">a first protein\nMKVLAW\n>b\nGGX\n",
        ">a\nMKVLAW\n>b\nGGX",  # no line end at the end
        ">a\r\nMKV\r\nLAW\r\n>b\r\nGGX\r\n",
        ">a\rMKVLAW\r>b\rGGX\r",  # old Macintosh
        "\ufeff>a\nMKVLAW\n>b\nGGX\n",
        "\n\n>a\n\nMKV\n\nLAW\n\n\n>b\nGGX\n\n",
        ">a\nmkvlaw\n>b\nggx\n",
        ">a\n  MKV LAW \n>b\nG\tGX\n",
        ">a\nMKVLAW*\n>b\nGGX\n*\n",
        b">a caf\xe9, in Latin-1\nMKVLAW\n>b\nGGX\n",
        "> a\nMKVLAW\n>b\nGGX\n",
    ],
)
def test_forms_people_have_are_read_alike(tmp_path: Path, content: bytes | str) -> None:
    assert read(tmp_path, content) == [("a", "MKVLAW"), ("b", "GGX")]
    packed = gzip.compress(content.encode() if isinstance(content, str) else content)
    assert read(tmp_path, packed) == [("a", "MKVLAW"), ("b", "GGX")]  # by its bytes: the name says plain


def test_a_plain_file_named_gz_is_read(tmp_path: Path) -> None:
    assert [p.id for p in read_fasta(write(tmp_path, ">a\nMKV\n", "x.fasta.gz"))] == ["a"]


def test_all_residues_of_the_vocabulary_and_nucleotides_are_read(tmp_path: Path) -> None:
    letters = "".join(sorted(RESIDUES))
    assert read(tmp_path, f">a\n{letters}\n>dna\nACGT\n") == [("a", letters), ("dna", "ACGT")]


def test_a_pipe_is_read(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, gzip.compress(b">a\nMKV\n"))
    os.close(writing)
    try:
        assert [p.sequence for p in read_fasta(f"/dev/fd/{reading}")] == ["MKV"]
    finally:
        os.close(reading)


def test_uniprot_records_are_found_by_id_and_by_accession(tmp_path: Path) -> None:
    text = ">sp|P69905|HBA_HUMAN Hemoglobin OS=Homo sapiens\nMVL\n>tr|A0A0-2|X\nMKV\n>P1 plain\nGG\n>a|b|c|d\nAA\n"
    proteins = read_fasta(write(tmp_path, text))
    assert proteins.get("P69905") == proteins.get("sp|P69905|HBA_HUMAN") == Protein("sp|P69905|HBA_HUMAN", "MVL")
    assert proteins.get("A0A0-2") == Protein("tr|A0A0-2|X", "MKV")
    assert proteins.get("P1") == Protein("P1", "GG")
    for absent in ("HBA_HUMAN", "sp", "b", "p1", ""):
        assert proteins.get(absent) is None


def test_an_id_comes_before_an_accession() -> None:
    proteins = ProteinSet([Protein("sp|P1|X", "MKV"), Protein("P1", "GGG")])
    assert proteins.get("P1") == Protein("P1", "GGG")


def test_an_accession_of_two_sequences_is_never_chosen_silently(tmp_path: Path) -> None:
    proteins = read_fasta(write(tmp_path, ">sp|P1|X\nMKV\n>tr|P1|Y\nMKVL\n>sp|P2|X\nMM\n>tr|P2|Y\nMM\n"))
    with pytest.raises(InputError, match=r"proteins.fasta: the accession 'P1' .*'sp\|P1\|X' \(line 1\) and .*line 3"):
        proteins.get("P1")
    assert proteins.get("sp|P1|X") == Protein("sp|P1|X", "MKV")
    assert proteins.get("P2") == Protein("sp|P2|X", "MM")  # one sequence: nothing to choose


def test_a_repeated_record_is_kept_once_and_counted(tmp_path: Path) -> None:
    proteins = read_fasta(write(tmp_path, ">a\nMKV\n>b\nGG\n>a again\nmk v*\n>a\nMKV\n"))
    assert [p.id for p in proteins] == ["a", "b"]
    assert len(proteins) == 2
    assert proteins.repeated == ("a", "a")


def test_proteins_without_a_file_follow_the_same_rules() -> None:
    proteins = ProteinSet([Protein("b", "MKV"), Protein("a", "GG"), Protein("b", "MKV")])
    assert [p.id for p in proteins] == ["b", "a"]
    assert proteins.repeated == ("b",)
    with pytest.raises(InputError, match="two different sequences have the id 'a'"):
        ProteinSet([Protein("a", "MKV"), Protein("a", "MK")])


MISTAKES = {
    "text before the first header": ("\nMKV\n>a\nMKV\n", 2, "text before the first '>'", "FASTA has a line"),
    "a list of pairs": ("P1\tP2\t1\n", 1, "looks like a list of pairs", "FASTA has a line"),
    "Bernett's raw list": ("P1 P2\n", 1, "looks like a list of pairs", "FASTA has a line"),
    "FASTQ": ("@read1\nACGT\n+\nIIII\n", 1, "looks like FASTQ", "FASTA has a line"),
    "GenBank": ("LOCUS       X 12 aa\n", 1, "looks like a GenBank record", "FASTA has a line"),
    "a web page": ("<!DOCTYPE html>\n", 1, "looks like a web page", "FASTA has a line"),
    "an alignment": ("CLUSTAL W\n\na MK-V\n", 1, "looks like an alignment", "FASTA has a line"),
    "no id": (">a\nMKV\n>\nMKV\n", 3, "a header without an id", ""),
    "no id but blanks": (">  \nMKV\n", 1, "a header without an id", ""),
    "an id in Latin-1": (b">a\nMKV\n>caf\xe9\nMKV\n", 3, "is not UTF-8", "UTF-8"),
    "no residues": (">a\nMKV\n>b\n>c\nMKV\n", 3, "record 'b' has no residues", "Remove"),
    "no residues at the end": (">a\nMKV\n>b\n\n", 3, "record 'b' has no residues", "Remove"),
    "a stop only": (">a\n*\n", 1, "record 'a' has no residues", "Remove"),
    "two sequences": (">a\nMKV\n>b\nMM\n>a\nMKL\n", 5, "the id 'a' (the first is on line 1)", "of its own"),
    "a bad letter": (">a x\nMKV\nLA W!\n", 3, "record 'a': character '!' at position 7", "letters are"),
    "a small bad letter": (">a\nmkv\n\nlaw@\n", 4, "record 'a': character '@' at position 7", "letters are"),
    "an inner stop": (">a\nMK*V*\n", 2, "character '*' at position 3", "end only"),
    "two stops": (">a\nMKV**\n", 2, "character '*' at position 4", "end only"),
    "a gap": (">a\nMK\n-V\n", 3, "character '-' at position 3", "alignment gaps"),
    "a gap of dots": (">a\n..MKV\n", 2, "character '.' at position 1", "alignment gaps"),
    "a digit": (">a\n1 MKV\n", 2, "character '1' at position 1", "numbers"),
    "a header in the line": (">a\nMKV>b\nMKV\n", 2, "character '>' at position 4", "line of its own"),
    "a Greek capital that looks Latin": (">a\nMK\u0391\n", 2, "(U+0391) at position 3", "letters are"),
    "a dotless i, whose capital is I": (">a\nMK\u0131\n", 2, "(U+0131) at position 3", "letters are"),
    "a byte outside UTF-8": (b">a\nMK\xc4\n", 2, "at position 3", "letters are"),
    "a control character": (">a\nMK\x1aV\n", 2, r"'\x1a' (U+001A) at position 3", "letters are"),
    "an empty file": ("", None, "empty", "FASTA has a line"),
    "blank lines only": ("\n \r\n", None, "empty", "FASTA has a line"),
    "an empty gzip": (gzip.compress(b""), None, "empty", "FASTA has a line"),
    "a gzip cut short": (gzip.compress(os.urandom(9999).hex().encode())[:-9], None, "damaged or cut short", "again"),
}


@pytest.mark.parametrize(("content", "line", "what", "remedy"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_named_with_its_place(
    tmp_path: Path, content: bytes | str, line: int | None, what: str, remedy: str
) -> None:
    path = write(tmp_path, content)
    with pytest.raises(InputError) as caught:
        read_fasta(path)
    assert what in caught.value.what
    assert (caught.value.file, caught.value.line) == (path, line)
    assert remedy in caught.value.remedy


LOOSE = st.text(st.sampled_from("MKVmkvJux \t\r\n\x1f*-.1!>\u0131\u0391\u2003"), max_size=12)


def outcome(read: Callable[[], str]) -> tuple[str, str]:
    try:
        return read(), ""
    except InputError as error:
        return error.what, error.remedy


@settings(deadline=None, derandomize=True, max_examples=300)
@given(LOOSE.filter(lambda text: not re.search(r"(^|[\r\n])>", text)))
def test_a_string_is_read_as_in_a_file(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = write(tmp_path_factory.getbasetemp(), f">a\n{text}\n", "string.fasta")
    from_file = outcome(lambda: next(iter(read_fasta(path))).sequence)
    assert outcome(lambda: clean_sequence("a", text)) == from_file


def test_a_string_is_cleaned_and_a_mistake_in_it_has_no_file() -> None:
    assert clean_sequence("a", " mkv\n LAw*\n") == "MKVLAW"
    with pytest.raises(InputError) as caught:
        clean_sequence("P1", "mk v\nl-w")
    assert str(caught.value) == (
        "record 'P1': character '-' at position 5 is not an amino acid. "
        "Remove the alignment gaps: sequences must be unaligned."
    )
    for empty in ("", " \n", "*"):
        with pytest.raises(InputError, match="record 'P1' has no residues"):
            clean_sequence("P1", empty)


def test_memory_stays_near_the_sequences_themselves(tmp_path: Path) -> None:
    path = tmp_path / "many.fasta"
    write_fasta(path, (Protein(f"sp|P{i}|X", f"{'MKVLAWYQ' * 50}"[i % 7 :]) for i in range(5000)))
    tracemalloc.start()
    proteins = read_fasta(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(proteins) == 5000
    assert peak < 2 * 5000 * 400 + 4_000_000
