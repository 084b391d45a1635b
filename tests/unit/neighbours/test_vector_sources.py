"""Every form of embeddings gives the same vectors under the same ids; what is malformed is refused."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from esm2_amp.errors import InputError
from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.features.store_writer import StoreWriter
from esm2_amp.neighbours.ingest import ingest
from esm2_amp.neighbours.readers.recognise import SourceOptions, open_source
from esm2_amp.neighbours.vectors import Vectors

IDS = ["P69905", "sp|P68871|HBB_HUMAN", "ENSG00000134057.14", "β-globin", "a b", "x=y,z", "0012"]
N, DIM = len(IDS), 5
HALVES = (np.random.default_rng(7).normal(size=(N, DIM)) * 3).astype(np.float16)
HALVES[4, 1:] = 0  # something for a sparse matrix to leave out
PLAIN = SourceOptions(None, (), None, None)


def taken(source: str | Path, options: SourceOptions, folder: Path) -> Vectors:
    seen: list[int] = []
    report = ingest(str(source), folder, options, "error", seen.append, seen.append)
    assert seen[0] == sum(seen[1:]) == report.vectors.n
    return report.vectors


def holds(vectors: Vectors, ids: list[str] = IDS, values: np.ndarray = HALVES) -> None:
    assert sorted(vectors.ids(range(vectors.n))) == sorted(ids)
    rows = vectors.rows_of(ids)
    assert np.array_equal(vectors.data[rows].view(np.uint16), values.view(np.uint16))


def save_npz(folder: Path) -> tuple[str, SourceOptions]:
    (folder / "shards").mkdir()
    for number, part in enumerate((slice(0, 4), slice(4, 4), slice(4, N))):
        arrays = {f"/scratch/x/{i}/{IDS[i]}": HALVES[i] for i in range(N)[part]}
        (np.savez_compressed if number else np.savez)(folder / "shards" / f"{number}.npz", **arrays)
    return str(folder / "shards"), PLAIN


def save_npz_pattern(folder: Path) -> tuple[str, SourceOptions]:
    return str(Path(save_npz(folder)[0], "*.npz")), PLAIN


def save_npy(folder: Path) -> tuple[str, SourceOptions]:
    np.save(folder / "x.npy", np.asfortranarray(HALVES.astype(">f4")))
    (folder / "x.txt").write_text("\n".join(IDS) + "\n", encoding="utf-8")
    return str(folder / "x.npy"), PLAIN


def save_npy_named_ids(folder: Path) -> tuple[str, SourceOptions]:
    np.save(folder / "x.npy", HALVES)
    with gzip.open(folder / "names.gz", "wt", encoding="utf-8") as stream:
        stream.write("\r\n".join(IDS))
    return str(folder / "x.npy"), SourceOptions("npy", (), str(folder / "names.gz"), None)


def save_parquet_lists(folder: Path) -> tuple[str, SourceOptions]:
    for number, part in enumerate((slice(0, 3), slice(3, N))):
        lists = pa.array(HALVES[part].astype(np.float64).tolist(), pa.list_(pa.float32()))
        table = pa.table({"length": pa.array(range(len(lists))), "id": IDS[part], "embedding": lists})
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=2)
    return str(folder), PLAIN


def save_parquet_fixed(folder: Path) -> tuple[str, SourceOptions]:
    lists = pa.FixedSizeListArray.from_arrays(pa.array(HALVES.ravel(), pa.float16()), DIM)
    other = pa.array([[1.0]] * N)
    pq.write_table(pa.table({"v": lists, "w": other, "who": IDS}), folder / "x.pq")
    return str(folder / "x.pq"), SourceOptions("parquet", (), "who", "v")


def save_parquet_columns(folder: Path) -> tuple[str, SourceOptions]:
    columns = {f"d.{i}": HALVES[:, i].astype(np.float32) for i in (3, 1, 0, 4, 2)}
    pq.write_table(pa.table({"name": IDS, **dict(sorted(columns.items()))}), folder / "x.parquet")
    return str(folder / "x.parquet"), PLAIN


def save_hdf5_datasets(folder: Path) -> tuple[str, SourceOptions]:
    with h5py.File(folder / "x.h5", "w") as file:
        for number, (id_, vector) in enumerate(zip(IDS, HALVES, strict=True)):
            file.create_dataset(f"{number}" if number < 3 else f"some/{id_}", data=vector)
            if number < 3:
                file[f"{number}"].attrs["original_id"] = id_
    return str(folder / "x.h5"), PLAIN


def save_hdf5_matrix(folder: Path) -> tuple[str, SourceOptions]:
    with h5py.File(folder / "x.bin", "w") as file:
        file["ids"], file["vectors"] = IDS, HALVES.astype(np.float32)
    return str(folder / "x.bin"), PLAIN


def save_hdf5_named(folder: Path) -> tuple[str, SourceOptions]:
    with h5py.File(folder / "x.h5", "w") as file:
        file["a/who"], file["b/what"] = np.array([id_.encode() for id_ in IDS]), HALVES
    return str(folder / "x.h5"), SourceOptions("hdf5", (), "a/who", "b/what")


def _obs(file: h5py.File) -> None:
    file.create_group("obs").attrs["_index"] = "gene"
    file["obs/gene"] = IDS


def save_h5ad_dense(folder: Path) -> tuple[str, SourceOptions]:
    with h5py.File(folder / "x.h5ad", "w") as file:
        _obs(file)
        file["X"] = HALVES.astype(np.float32)
    return str(folder / "x.h5ad"), PLAIN


def _put_csr(file: h5py.File, path: str, matrix: Any) -> None:
    group = file.create_group(path)
    group.attrs["encoding-type"], group.attrs["shape"] = "csr_matrix", matrix.shape
    for part in ("data", "indices", "indptr"):
        group[part] = getattr(matrix, part)


def save_h5ad_sparse(folder: Path) -> tuple[str, SourceOptions]:
    with h5py.File(folder / "x.h5ad", "w") as file:
        _obs(file)
        file["X"] = np.zeros((N, 2), np.float32)
        _put_csr(file, "layers/scaled", sparse.csr_matrix(HALVES.astype(np.float32)))
    return str(folder / "x.h5ad"), SourceOptions(None, (), None, "layers/scaled")


def save_h5ad_old(folder: Path) -> tuple[str, SourceOptions]:
    with h5py.File(folder / "x.h5ad", "w") as file:
        file["obs"] = np.array([(id_.encode(),) for id_ in IDS], [("index", "S40")])
        file["X"], file["obsm/X_esm"] = np.zeros((N, 2)), HALVES
    return str(folder / "x.h5ad"), SourceOptions(None, (), None, "obsm/X_esm")


def save_word2vec_text(folder: Path) -> tuple[str, SourceOptions]:
    lines = [f"{id_} {' '.join(repr(float(v)) for v in row)}" for id_, row in zip(IDS, HALVES, strict=True)]
    (folder / "x.vec").write_text("\n".join([f"{N} {DIM}", *lines, ""]), encoding="utf-8")
    return str(folder / "x.vec"), PLAIN


def save_word2vec_binary(folder: Path, between: bytes = b"") -> tuple[str, SourceOptions]:
    words = [id_.replace(" ", "_") for id_ in IDS]  # a word of the binary format ends at its first space
    rows = [word.encode() + b" " + row.astype("<f4").tobytes() for word, row in zip(words, HALVES, strict=True)]
    (folder / "x.bin").write_bytes(f"{N} {DIM}\n".encode() + between.join([*rows, b""]))
    return str(folder / "x.bin"), PLAIN


def save_word2vec_c(folder: Path) -> tuple[str, SourceOptions]:
    name, options = save_word2vec_binary(folder, b"\n")
    Path(name).write_bytes(gzip.compress(Path(name).read_bytes()))
    return name, options


SAVERS = [value for name, value in globals().items() if name.startswith("save_")]


@pytest.mark.parametrize("save", SAVERS, ids=lambda save: save.__name__)
def test_a_form_gives_the_vectors_of_their_ids(save: Callable[[Path], Any], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    name, options = save(tmp_path / "in")
    ids = [id_.replace(" ", "_") for id_ in IDS] if save in (save_word2vec_binary, save_word2vec_c) else IDS
    holds(taken(name, options, tmp_path / "out"), ids)


@pytest.mark.parametrize("save", SAVERS, ids=lambda save: save.__name__)
def test_reading_may_begin_anywhere(
    save: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for reader in ("npz", "npy", "parquet", "hdf5", "h5ad", "word2vec", "store"):
        monkeypatch.setattr(f"esm2_amp.neighbours.readers.{reader}.BLOCK_BYTES", 20, raising=False)
        monkeypatch.setattr(f"esm2_amp.neighbours.readers.{reader}.rows_of_block", lambda *_: 2, raising=False)
    name, options = save(tmp_path)
    source = open_source(name, options)
    whole = np.concatenate(list(source.blocks(0)))
    assert whole.shape == (N, DIM) == (sum(map(len, source.ids())), source.dim)
    for start in range(1, N):
        assert np.array_equal(np.concatenate(list(source.blocks(start))), whole[start:])
    assert list(source.blocks(N)) == []
    assert len({source.place(position) for position in range(N)}) == N


def key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Four proteins of 13 tokens x 3; B has two ids, D has none; ids come in another order than rows."""
    values = np.arange(4 * 13 * 3, dtype=np.float16).reshape(4, 13, 3)
    with StoreWriter(tmp_path / "store", EncoderIdentity("mine", "a" * 64, 3), LongPolicy("full", 1022)) as writer:
        writer.append([key(name) for name in "ABCD"], [9] * 4, [9] * 4, values)
        writer.add_ids([("c", key("C")), ("b1", key("B")), ("a", key("A")), ("b2", key("B"))])
    return tmp_path / "store"


def test_a_store_gives_every_id_the_tokens_asked_for(store: Path, tmp_path: Path) -> None:
    vectors = taken(store, SourceOptions(None, ("mean", "cls"), None, None), tmp_path / "all")
    assert vectors.ids(range(5)) == ["a", "b1", "b2", "c", key("D")]
    first = np.arange(4)[:, None] * 39
    expected = np.hstack([first + [36, 37, 38], first + [0, 1, 2]])[[0, 1, 1, 2, 3]]
    assert np.array_equal(vectors.data, expected)
    assert vectors.manifest.source["tokens"] == ["mean", "cls"]
    assert EncoderIdentity(**vectors.manifest.source["encoder"]).name == "mine"
    firsts = taken(store, SourceOptions("store", (), "first", None), tmp_path / "first")
    assert np.array_equal(firsts.data, expected[[0, 1, 3, 4], :3])
    assert firsts.ids(range(4)) == ["a", "b1", "c", key("D")]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (SourceOptions(None, ("men",), None, None), "token 'men' is unknown"),
        (SourceOptions(None, ("cls", "cls"), None, None), "token 'cls' is there twice"),
        (SourceOptions(None, ("cls",), "some", None), "ids is 'some'"),
        (SourceOptions(None, ("cls",), None, "X"), "has no option key"),
        (SourceOptions("npz", (), None, None), "no feature store, .npz or Parquet file"),
        (SourceOptions("excel", (), None, None), "form is 'excel'"),
    ],
)
def test_options_that_do_not_fit_a_store_are_refused(
    store: Path, tmp_path: Path, options: SourceOptions, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        taken(store, options, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def put(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


def two_arrays(folder: Path, **arrays: Any) -> str:
    with h5py.File(folder / "x.h5", "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return str(folder / "x.h5")


def npy(folder: Path, array: np.ndarray, ids: str = "a\nb\n", **how: Any) -> str:
    np.save(folder / "x.npy", array, **how)
    (folder / "x.ids").write_text(ids)
    return str(folder / "x.npy")


def parquet(folder: Path, **columns: Any) -> str:
    pq.write_table(pa.table(columns), folder / "x.parquet")
    return str(folder / "x.parquet")


def h5ad_csr(folder: Path, indices: list[int]) -> str:
    matrix = sparse.csr_matrix(np.ones((N, 2), np.float32))
    matrix.indices[: len(indices)] = indices
    with h5py.File(folder / "x.h5ad", "w") as file:
        _obs(file)
        _put_csr(file, "X", matrix)
    return str(folder / "x.h5ad")


def h5ad_csc(folder: Path) -> str:
    name = h5ad_csr(folder, [])
    with h5py.File(name, "a") as file:
        file["X"].attrs["encoding-type"] = "csc_matrix"
    return name


def elsewhere(folder: Path) -> str:
    (folder / "secret").write_bytes(bytes(64))
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("a", (4,), "f4", external=[(str(folder / "secret"), 0, 64)])
    return str(folder / "x.h5")


TWO = np.ones((2, 3), np.float32)
MALFORMED: dict[str, tuple[Callable[[Path], str], str]] = {
    "nothing there": (lambda f: str(f / "none"), "does not exist"),
    "empty folder": (lambda f: str(f), "no feature store, .npz or Parquet file in this folder"),
    "empty file": (lambda f: put(f, "x.npz", b""), "of no known form"),
    "text": (lambda f: put(f, "x.csv", b"id,a,b\n"), "of no known form"),
    "npy: one line too few": (lambda f: npy(f, TWO, "a\n"), "1 lines for the 2 vectors"),
    "npy: an empty line": (lambda f: npy(f, TWO, "a\n\n"), "an empty id"),
    "npy: a tab": (lambda f: npy(f, TWO, "a\tb\nc\n"), "control character"),
    "npy: no utf-8": (lambda f: npy(f, TWO) and put(f, "x.ids", b"a\n\xff\n") and str(f / "x.npy"), "not UTF-8"),
    "npy: objects": (lambda f: npy(f, np.array([{}], object), allow_pickle=True), "not an array that can be read"),
    "npy: whole numbers": (lambda f: npy(f, TWO.astype(int)), "where one of \\(n, d\\) floats belongs"),
    "npy: cut": (lambda f: put(f, "x.ids", b"a") and put(f, "x.npy", b"\x93NUMPY\x01\x00v\x00{'de"), "not an array"),
    "npy: no dimension": (lambda f: npy(f, TWO[:, :0]), "holds no vector"),
    "npy: no vector": (lambda f: npy(f, TWO[:0], ""), "holds no vector"),
    "parquet: damaged": (lambda f: put(f, "x.parquet", b"PAR1xxxxPAR1"), "not a Parquet file"),
    "parquet: ragged": (lambda f: parquet(f, id=["a", "b"], v=[[1.0, 2.0], [1.0]]), "row 2: 1 values, the first"),
    "parquet: missing": (lambda f: parquet(f, id=["a", "b"], v=[[1.0], [None]]), "row 2: a vector with missing"),
    "parquet: no vector": (lambda f: parquet(f, id=["a", "b"], v=[[1.0], None]), "row 2: a vector with missing"),
    "parquet: no id": (lambda f: parquet(f, id=["a", None], v=[[1.0], [2.0]]), "row 2: no id"),
    "parquet: which ids": (lambda f: parquet(f, p=["a"], q=["a"], v=[[1.0]]), "cannot be told"),
    "parquet: which lists": (lambda f: parquet(f, p=["a"], v=[[1.0]], w=[[1.0]]), "several columns of lists"),
    "hdf5: states": (lambda f: two_arrays(f, a=TWO), "is float32\\(2, 3\\), not \\(d,\\)"),
    "hdf5: two sizes": (lambda f: two_arrays(f, a=TWO[0], b=TWO[0, :2]), "has 2 values, the first one 3"),
    "hdf5: fewer ids": (lambda f: two_arrays(f, ids=["a"], v=TWO), "'ids' has shape \\(1,\\), 'v' 2 rows"),
    "hdf5: values elsewhere": (elsewhere, "lie in another file"),
    "hdf5: damaged": (lambda f: put(f, "x.h5", b"\x89HDF\r\n\x1a\n" + bytes(100)), "damaged, or no HDF5"),
    "hdf5: nothing": (lambda f: two_arrays(f), "holds no vector"),
    "h5ad: columns that are not": (lambda f: h5ad_csr(f, [7, 3]), "damaged"),
    "h5ad: by columns": (h5ad_csc, "is csc_matrix"),
    "word2vec: no header": (lambda f: put(f, "x.vec", b"0.5 1 2\n"), "no word2vec file"),
    "word2vec: fewer": (lambda f: put(f, "x.vec", b"3 2\na 1 2\nb 1 2\n"), "2 vectors where its header promises 3"),
    "word2vec: more": (lambda f: put(f, "x.vec", b"1 2\na 1 2\nb 1 2\n"), "more vectors than the 1"),
    "word2vec: short line": (
        lambda f: put(f, "x.vec", b"2 2\na 1 2\nb 1\n"),
        "line 3: no line of a word and 2 numbers",
    ),
    "word2vec: no number": (lambda f: put(f, "x.vec", b"2 2\na 1 2\nb 1 q\n"), "line 3: not a number"),
    "word2vec: nan": (lambda f: put(f, "x.vec", b"1 2\na 1 nan\n"), "'a': value 2 of its vector, nan"),
    "word2vec: cut": (lambda f: put(f, "x.bin", b"2 2\na " + bytes(8) + b"b " + bytes(7)), "vector 2: cut short"),
    "word2vec: bad gzip": (
        lambda f: put(f, "x.gz", gzip.compress(b"1 2\na 1 2\n")[:-6] + bytes(6)),
        "gzip file is damaged",
    ),
    "word2vec: endless": (lambda f: put(f, "x.bin", b"999999999 999999\n" + b"a " + bytes(99)), "cut short"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_source_is_refused_and_leaves_nothing(case: str, tmp_path: Path) -> None:
    make, says = MALFORMED[case]
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match=says):
        taken(make(tmp_path / "in"), PLAIN, tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").glob("*")] in ([], ["lock"])
