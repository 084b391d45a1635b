"""What the memory benchmark reports is what it saw, of proteins as long as it says."""

from pathlib import Path

import numpy as np
import pytest
from flat_memory import LONGEST, MEDIAN, SHORTEST, SPREAD, Sample, draw_lengths, summary, write_proteins

from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.features.store import FeatureStore
from esm2_amp.features.store_writer import StoreWriter
from esm2_amp.io.fasta import read_fasta
from esm2_amp.records import sequence_key


def test_lengths_are_lognormal_within_their_bounds():
    lengths = draw_lengths(np.random.default_rng(0), 20_000)
    assert len(lengths) == 20_000
    assert lengths.min() >= SHORTEST
    assert lengths.max() <= LONGEST
    assert np.median(lengths) == pytest.approx(MEDIAN, rel=0.03)
    assert np.log(lengths).std() == pytest.approx(SPREAD, rel=0.05)


def test_proteins_are_distinct_and_counted(tmp_path: Path):
    residues = write_proteins(tmp_path / "p.fasta", 50, seed=0)
    proteins = list(read_fasta(str(tmp_path / "p.fasta")))
    assert len({protein.key for protein in proteins}) == 50
    assert sum(len(protein.sequence) for protein in proteins) == residues


def test_marks_are_at_shares_of_the_rows_and_speed_is_of_the_rows_seen(tmp_path: Path):
    with StoreWriter(tmp_path / "s", EncoderIdentity("e", "0" * 64, 4), LongPolicy("full", 1022)) as writer:
        keys = [sequence_key("A" * (n + 1)) for n in range(100)]
        writer.add_ids([(f"P{n}", key) for n, key in enumerate(keys)])
        writer.append(keys, range(1, 101), range(1, 101), np.zeros((100, 13, 4), np.float16))
    seen = [(0, 0, 10), (1, 4, 20), (2, 6, 30), (3, 26, 25), (4, 60, 40), (11, 100, 35)]
    found = summary([Sample(s, rows, mib, mib / 2) for s, rows, mib in seen], FeatureStore(tmp_path / "s"), 1000)
    assert found["peak_mib"] == 40
    assert found["resident_mib_after"] == {"5%": 30, "25%": 25, "50%": 40, "75%": 35, "100%": 35}
    assert found["own_mib_after"]["5%"] == 15
    assert found["residues_per_second"] == round(0.96 * 1000 / 10)
    files = sum((tmp_path / "s" / name).stat().st_size for name in ("index.bin", "ids.tsv", "manifest.json"))
    assert found["overhead_bytes_per_protein"] == round(files / 100, 1)
    assert found["overhead_percent"] == round(100 * files / (100 * 13 * 4 * 2), 2)
