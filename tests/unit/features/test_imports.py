"""Embeddings of other programs become what extraction would have computed, or are refused by name."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from esm2_amp.errors import InputError
from esm2_amp.features.alphabet import encode
from esm2_amp.features.archives import open_source, spellings
from esm2_amp.features.encoder import Esm2Encoder
from esm2_amp.features.export import export_atlas, export_store, select
from esm2_amp.features.extract import ExtractionSettings, extract
from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.features.import_plan import Plan, match, plan
from esm2_amp.features.imports import check_against, write
from esm2_amp.features.store import FeatureStore
from esm2_amp.features.store_care import verify
from esm2_amp.io.fasta import ProteinSet
from esm2_amp.layout import SEGMENT_NAMES, STORED_TOKENS
from esm2_amp.records import Protein, sequence_key

FULL = LongPolicy("full", 1022)
POOLED = (*SEGMENT_NAMES, "mean")
States = Mapping[str, np.ndarray]


def silent(amount: int) -> None:
    """No progress bar."""


@pytest.fixture(scope="module")
def states(encoder: Esm2Encoder, proteins: tuple[Protein, ...]) -> States:
    """(L + 2, D) float32 of each protein, with cls and eos."""
    rows = {p.id: torch.from_numpy(encode(p.sequence)) for p in proteins}
    return {name: encoder.states(row, [len(row)]).numpy() for name, row in rows.items()}


@pytest.fixture(scope="module")
def extracted(encoder: Esm2Encoder, states: States, proteins: tuple[Protein, ...], tmp_path_factory: Any) -> Any:
    """What extraction gives: all tokens and the residue states."""
    folder = tmp_path_factory.mktemp("extracted") / "store"
    settings = ExtractionSettings(FULL, 1024, 1, True)
    extract(proteins, str(folder), encoder.identity, lambda: encoder, settings, lambda *_: None, lambda _: None)
    return FeatureStore(folder)


def write_pt(folder: Path, states: States, parts: tuple[str, ...] = ("per_tok", "mean", "bos"), layer: int = 2) -> Path:
    """As fair-esm's extract.py does, with whole header lines as labels."""
    for name, rows in states.items():
        label = f"{name} a description/of it"
        content: dict[str, Any] = {"label": label}
        if "per_tok" in parts:
            content["representations"] = {1: torch.zeros(2, 3), layer: torch.from_numpy(rows[1:-1].copy())}
        if "mean" in parts:
            content["mean_representations"] = {layer: torch.from_numpy(rows[1:-1].mean(axis=0))}
        if "bos" in parts:
            content["bos_representations"] = {layer: torch.from_numpy(rows[0].copy())}
        file = folder / f"{label}.pt"
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, file)
    return folder


def write_h5(folder: Path, states: States, means: bool = False, numbered: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    with h5py.File(folder / "x.h5", "w") as file:
        for i, (name, rows) in enumerate(states.items()):
            rows = rows[1:-1]
            data = file.create_dataset(str(i) if numbered else name, data=rows.mean(axis=0) if means else rows)
            if numbered:
                data.attrs["original_id"] = name
    return folder / "x.h5"


def write_npz(folder: Path, states: States, means: bool = False, packed: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    save = np.savez_compressed if packed else np.savez
    rows = {f"/scratch/x/468/{name}": r[1:-1].mean(axis=0) if means else r[1:-1] for name, r in states.items()}
    save(folder / "x.npz", **rows)
    return folder / "x.npz"


def planned(path: Path, proteins: Any, identity: EncoderIdentity, **options: Any) -> Plan:
    chosen = match(open_source(path), ProteinSet(proteins)).chosen
    settings = {"layers": 2, "long": FULL, "residue_states": False, **options}
    return plan(open_source(path), chosen, identity, **settings)


def imported(path: Path, proteins: Any, encoder: Esm2Encoder, store: Path, **options: Any) -> FeatureStore:
    ready = planned(path, proteins, encoder.identity, **options)
    assert min(check_against(encoder, ready, 3).values()) > 0.999
    write(ready, store, [(p.id, p.key) for p in ready.chosen.values()], silent, silent)
    assert list(verify(FeatureStore(store), silent)) == []
    return FeatureStore(store)


WITH_CLS = ("cls", *POOLED)
SOURCES: dict[str, tuple[Callable[..., Path], dict[str, Any], tuple[str, ...]]] = {
    "pt": (write_pt, {}, WITH_CLS),
    "pt, states": (write_pt, {"parts": ("per_tok",)}, POOLED),
    "pt, mean": (write_pt, {"parts": ("mean",)}, ("mean",)),
    "pt, mean and bos": (write_pt, {"parts": ("mean", "bos")}, ("cls", "mean")),
    "h5": (write_h5, {}, POOLED),
    "h5, mean": (write_h5, {"means": True}, ("mean",)),
    "h5, numbered": (write_h5, {"numbered": True}, POOLED),
    "npz": (write_npz, {}, POOLED),
    "npz, mean": (write_npz, {"means": True}, ("mean",)),
    "npz, packed": (write_npz, {"packed": True}, POOLED),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_what_is_imported_is_what_extraction_gives(
    kind: str, encoder: Esm2Encoder, proteins: Any, states: States, extracted: FeatureStore, tmp_path: Path
) -> None:
    make, options, tokens = SOURCES[kind]
    store = imported(make(tmp_path / "source", states, **options), proteins, encoder, tmp_path / "s")
    assert store.tokens == tokens
    assert sorted(store.ids()) == sorted(extracted.ids())
    theirs, ours = extracted.find([p.key for p in proteins]), store.find([p.key for p in proteins])
    assert (ours >= 0).all()
    assert store.lengths(ours).tolist() == [len(p.sequence) for p in proteins]
    wanted = extracted.gather(theirs, store.positions).astype(np.float32)
    np.testing.assert_allclose(store.gather(ours, store.positions), wanted, rtol=2**-10, atol=2e-6)


@pytest.mark.parametrize("kind", ["pt", "h5", "npz"])
def test_residue_states_are_kept_on_request(
    kind: str, encoder: Esm2Encoder, proteins: Any, states: States, tmp_path: Path
) -> None:
    path = SOURCES[kind][0](tmp_path / "source", states)
    store = imported(path, proteins, encoder, tmp_path / "s", residue_states=True)
    for protein in proteins:
        (row,) = store.find([protein.key])
        assert np.array_equal(store.residue_states(int(row)), states[protein.id][1:-1].astype(np.float16))


@pytest.mark.parametrize("ending", ["npz", "h5"])
@pytest.mark.parametrize("form", ["store", "mean", "cls", "eos", "segment0", "residues"])
def test_our_own_exports_come_back(
    form: str, ending: str, encoder: Esm2Encoder, proteins: Any, extracted: FeatureStore, tmp_path: Path
) -> None:
    path = tmp_path / f"x.{ending}"
    awkward = [
        Protein(name, p.sequence) for name, p in zip(["a/b", "b", "100%", ".", "a%2Fb", "c"], proteins, strict=True)
    ]
    if form == "store":
        export_store(select(extracted, awkward), path, silent)
    else:
        export_atlas(select(extracted, awkward), path, form, silent)
    store = imported(path, awkward, encoder, tmp_path / "s", residue_states=form == "residues")
    expected = {"store": STORED_TOKENS, "residues": POOLED}.get(form, (form,))
    assert store.tokens == expected
    assert [name for name, _ in store.ids()] == sorted((p.id for p in awkward), key=[i for i, _ in store.ids()].index)
    rows = store.find([p.key for p in awkward])
    theirs = extracted.gather(extracted.find([p.key for p in awkward]), store.positions)
    exact = form != "residues"  # pooled from rounded states
    ours = store.gather(rows, store.positions)
    assert np.array_equal(ours, theirs) if exact else np.allclose(ours, theirs, atol=4e-3)


def test_a_second_import_writes_nothing_twice(
    encoder: Esm2Encoder, proteins: Any, states: States, tmp_path: Path
) -> None:
    some = {name: states[name] for name in list(states)[:3]}
    imported(write_h5(tmp_path / "some", some), proteins, encoder, tmp_path / "s")
    imported(write_h5(tmp_path / "all", states), proteins, encoder, tmp_path / "s")
    assert len(FeatureStore(tmp_path / "s")) == len(proteins)


def test_truncated_proteins_need_the_policy_that_says_so(
    encoder: Esm2Encoder, proteins: Any, states: States, tmp_path: Path
) -> None:
    rows = {p.id: torch.from_numpy(encode(p.sequence[:50])) for p in proteins}
    cut = {name: encoder.states(row, [len(row)]).numpy() for name, row in rows.items()}
    path, truncate = write_npz(tmp_path / "source", cut), LongPolicy("truncate", 50)
    store = imported(path, proteins, encoder, tmp_path / "s", long=truncate)
    assert sorted(store.index["residues"].tolist()) == [1, 9, 10, 11, 50, 50]
    with pytest.raises(InputError, match=r"P60': it has 50 residues, protein P60 of the FASTA file 60\. .*truncate"):
        planned(path, proteins, encoder.identity)


def test_names_are_matched_and_nothing_is_dropped_unsaid() -> None:
    class Named:
        names = ("x/1", "1", "sp|ACC|NAME more words", "ACC2", "nobody", "/scratch/2", "same as 1")
        path, origin = Path("x"), dict[str, str]()

    fasta = [("1", "AAA"), ("x/1", "CCC"), ("sp|ACC|NAME", "DDD"), ("tr|ACC2|N", "EEE"), ("2", "FFF"), ("lost", "GGG")]
    found = match(Named(), ProteinSet([*(Protein(*p) for p in fasta), Protein("same", "AAA")]))  # type: ignore[arg-type]
    assert {name: protein.sequence[0] for name, protein in found.chosen.items()} == {
        "x/1": "C", "1": "A", "sp|ACC|NAME more words": "D", "ACC2": "E", "/scratch/2": "F",
    }  # fmt: skip
    assert (found.repeated, found.unknown, found.missing) == (["same as 1"], ["nobody"], ["lost"])
    assert ("same", sequence_key("AAA")) in found.ids


def test_spellings_begin_with_the_whole_name() -> None:
    assert spellings("a b/c d") == ("a b/c d", "a", "c d", "c")
    assert spellings("plain") == ("plain",)


def other_weights(identity: EncoderIdentity) -> EncoderIdentity:
    return EncoderIdentity("other", "f" * 64, identity.width)


def edited_pt(tmp_path: Path, states: States, edit: Callable[[dict[str, Any]], Any]) -> Path:
    folder = write_pt(tmp_path / "source", states)
    file = sorted(folder.rglob("*.pt"))[2]
    content = torch.load(file, weights_only=True)
    edit(content)
    torch.save(content, file)
    return folder


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c["representations"].pop(2), "gives the tokens|last layer"),
        (lambda c: c.update(representations={2: c["representations"][2][:-1]}), r"it has \d+ residues, protein P"),
        (lambda c: c.update(representations={2: c["representations"][2][:, :-1]}), r"shape \(\d+, 31\).*32 dimensions"),
        (lambda c: c["mean_representations"].update({3: c["mean_representations"][2]}), "last layer is 3, .* is 2"),
        (lambda c: c.pop("bos_representations"), "gives the tokens segment0.*, the ones before cls, segment0"),
        (lambda c: c.update(label="P1"), "says that it is 'P1', its name that it is 'P11'"),
        (lambda c: c.update(representations={2: "x"}), "a str where a tensor belongs"),
        (lambda c: c.clear(), "not a file of fair-esm's extract.py"),
    ],
)
def test_one_wrong_file_among_good_ones_is_named(
    edit: Callable[[dict[str, Any]], Any],
    message: str,
    encoder: Esm2Encoder,
    proteins: Any,
    states: States,
    tmp_path: Path,
) -> None:
    with pytest.raises(InputError, match=message):
        planned(edited_pt(tmp_path, states, edit), proteins, encoder.identity)


def test_nothing_of_a_file_is_executed(tmp_path: Path, encoder: Esm2Encoder, proteins: Any) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "boom"),)

    (tmp_path / "source").mkdir()
    torch.save({"label": "P1", "representations": {2: Bomb()}}, tmp_path / "source" / "P1.pt")
    with pytest.raises(InputError, match=r"P1\.pt: damaged, or not of tensors only"):
        planned(tmp_path / "source", proteins, encoder.identity)
    np.savez(tmp_path / "x.npz", P1=np.array([Bomb()], dtype=object))
    with pytest.raises(InputError, match="no embedding"):
        planned(tmp_path / "x.npz", proteins, encoder.identity)
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("name", ["x.h5", "x.npz", "x.pt"])
def test_a_damaged_file_is_named(
    name: str, tmp_path: Path, encoder: Esm2Encoder, proteins: Any, states: States
) -> None:
    good = {"h5": write_h5, "npz": write_npz, "pt": write_pt}[name[2:]](tmp_path / "good", states)
    file = good if good.is_file() else sorted(good.rglob("*.pt"))[0]
    (tmp_path / name).write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match=rf"{name}: damaged"):
        planned(tmp_path / name, [Protein("x", "A"), *proteins], encoder.identity)


def test_an_array_that_is_none_is_named(tmp_path: Path, proteins: Any, encoder: Esm2Encoder) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("P1.npy", b"no array")
    with pytest.raises(InputError, match=r"x\.npz: damaged at 'P1'"):
        planned(tmp_path / "x.npz", proteins, encoder.identity)


@pytest.mark.parametrize("form", ["store", "atlas", "foreign"])
def test_a_flipped_bit_in_a_zip_is_named(
    form: str, tmp_path: Path, proteins: Any, encoder: Esm2Encoder, extracted: FeatureStore, states: States
) -> None:
    path = tmp_path / "x.npz"
    if form == "foreign":
        path = write_npz(tmp_path, states)
    else:
        chosen = select(extracted, None)
        export_store(chosen, path, silent) if form == "store" else export_atlas(chosen, path, "residues", silent)
    content = bytearray(path.read_bytes())
    content[-len(content) // 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.npz: damaged at"):
        imported(path, proteins, encoder, tmp_path / "s")


def test_an_export_of_another_encoder_or_policy_is_refused(
    encoder: Esm2Encoder, proteins: Any, extracted: FeatureStore, tmp_path: Path
) -> None:
    export_atlas(select(extracted, None), tmp_path / "x.npz", "mean", silent)
    with pytest.raises(InputError, match=r"features of tiny .*, not of other"):
        planned(tmp_path / "x.npz", proteins, other_weights(encoder.identity))
    with pytest.raises(InputError, match="made with long=full, not truncate at 50"):
        planned(tmp_path / "x.npz", proteins, encoder.identity, long=LongPolicy("truncate", 50))


def test_embeddings_of_other_weights_or_sequences_are_seen_through(
    encoder: Esm2Encoder, proteins: Any, states: States, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    strange = {name: rng.normal(size=rows.shape).astype(np.float32) for name, rows in states.items()}
    ready = planned(write_h5(tmp_path / "a", strange), proteins, encoder.identity)
    with pytest.raises(InputError, match=r"'P1': its segment0 is not what tiny .* computes for P1 \(cosine -?0\.\d+\)"):
        check_against(encoder, ready, 3)
    assert check_against(encoder, ready, 0) == {}


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_values_that_float16_cannot_hold_are_named(
    value: float, encoder: Esm2Encoder, proteins: Any, states: States, tmp_path: Path
) -> None:
    bad = {name: rows.copy() for name, rows in states.items()}
    bad["P60"][7, 3] = value * 100
    ready = planned(write_npz(tmp_path / "a", bad), proteins, encoder.identity)
    with pytest.raises(InputError, match=r"P60': a value is not finite, or too large for float16"):
        write(ready, tmp_path / "s", [], silent, silent)
    assert list(verify(FeatureStore(tmp_path / "s"), silent)) == []
