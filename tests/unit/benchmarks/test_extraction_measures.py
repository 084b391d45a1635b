"""The extraction benchmark counts what torch counts, compares what it says, and calls a rival only who is right."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from extraction import marks, sample
from extraction_measures import EncoderShape, errors, operations, products, tokens
from torch.utils.flop_counter import FlopCounterMode
from transformers import EsmConfig, EsmModel

from esm2_amp.features.pooling import BatchPool, Piece

ROOT = Path(__file__).parents[3]
SHAPE = EncoderShape(layers=2, width=12, heads=3, inner=20)


def counted_by_torch(length):
    config = EsmConfig(
        vocab_size=33, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20,
        position_embedding_type="rotary", pad_token_id=1, mask_token_id=32, attn_implementation="eager",
    )  # fmt: skip
    model = EsmModel(config, add_pooling_layer=False).eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(input_ids=torch.full((1, length + 2), 5))
    return sum(counter.get_flop_counts()["EsmModel.encoder"].values())


@pytest.mark.parametrize("length", [1, 7, 30])
def test_the_operations_of_a_protein_are_those_torch_counts(length):
    assert operations(products([length], SHAPE, rows=8)) == counted_by_torch(length)


def test_the_operations_of_proteins_add_up_however_the_rows_are_cut():
    lengths = [1, 7, 30]
    alone = sum(operations(products([length], SHAPE, rows=1000)) for length in lengths)
    assert [operations(products(lengths, SHAPE, rows)) for rows in (1, 5, 1000)] == [alone] * 3
    assert max(p.m for p in products([30], SHAPE, rows=5) if p.n == SHAPE.inner) == 5


@pytest.mark.parametrize("length", [1, 9, 10, 23])
def test_the_reference_pools_as_the_project_does(length):
    states = torch.randn(1, length + 2, 4, generator=torch.Generator().manual_seed(0))
    pool = BatchPool([length], [Piece(0, 0, length)], states.shape[-1], states.device, residue_states=False)
    pool.add([Piece(0, 0, length)], states[0])
    np.testing.assert_allclose(tokens(states[0].numpy()), pool.tokens()[0].numpy(), atol=1e-6)


def test_errors_are_the_largest_distance_and_the_smallest_cosine():
    exact = np.array([[[3.0, 4.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 2.0]], [[1.0, 1.0], [1.0, 1.0]]])
    found = exact.copy()
    found[0, 0] = [4.0, 3.0]  # cosine 24 / 25
    found[0, 1] = [0.5, 0.0]  # no cosine: zero in the reference
    found[2, 0, 0] = np.nan
    result = errors(found, exact)
    assert result == {"not_finite": 1, "largest_error": 1.0, "smallest_cosine": pytest.approx(0.96)}
    assert errors(0 * found, exact)["smallest_cosine"] == 0.0
    assert errors(np.nan * found, exact) == {"not_finite": 3, "largest_error": None, "smallest_cosine": None}


def test_a_rival_is_in_float32_and_right():
    def row(speed, bad=0):
        return {"speed": speed, "errors": {"mean": {"not_finite": bad}}}

    rows = {
        "ours, float32": row(20.0), "ours, bfloat16": row(50.0), "protloc-mex-x, batches of 32": row(2.0),
        "transformers, one by one": row(10.0), "esm-cpp, one by one": row(40.0, bad=1),
        "esm-cpp, one by one, int8": row(60.0), "bare products, float32": {"speed": 25.0}, "esm-efficient": {},
    }  # fmt: skip
    assert marks(rows, "speed") == {
        "best_peer": "transformers, one by one", "ours_to_best_peer": 2.0,
        "fastest_precision": "ours, bfloat16", "fastest_to_best_peer": 5.0,
        "ours_to_published": 10.0, "fastest_to_published": 25.0,
        "share_of_bare_products": {"ours, float32": 0.8},
    }  # fmt: skip


def test_a_sample_is_the_same_for_a_seed_and_has_each_sequence_once(tmp_path):
    fasta = tmp_path / "p.fasta"
    fasta.write_text("".join(f">{i}\nM{'ACDEFGHIKL'[i % 8] * (i % 8 + 1)}\n" for i in range(16)) + f">z\n{'A' * 50}\n")
    first, second = (sample(str(fasta), 100, 20, 1) for _ in range(2))
    assert first == second
    assert sorted(len(p.sequence) for p in first) == list(range(2, 10))
    assert len({p.id for p in first}) == 8


@pytest.mark.slow
def test_the_benchmark_runs_on_what_ships(tmp_path):
    output = tmp_path / "result.json"
    script = [sys.executable, "benchmarks/extraction.py", "--quick", "--proteins", "3", "--output", str(output)]
    subprocess.run([*script, "--only", "ours, float32", "one by one", "products, float32"], cwd=ROOT, check=True)
    result = json.loads(output.read_text())
    own = result["contenders"]["ours, float32"]
    assert own["errors"]["all_tokens"]["not_finite"] == 0
    assert own["errors"]["all_tokens"]["largest_error"] < 0.01  # rounding to float16 in the store
    assert result["contenders"]["transformers, one by one"]["errors"]["all_tokens"]["largest_error"] < 1e-4
    assert set(result["marks"]["by_clock"]["share_of_bare_products"]) == {"ours, float32"}
