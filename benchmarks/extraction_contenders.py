"""One contender of the extraction benchmark, in a process of its own (started by ``extraction.py``).

    python benchmarks/extraction_contenders.py SCRATCH CONTENDER EVERY

Every adapter loads its model and gives a function that turns proteins into features; what that function returns is
called after the clock has stopped and gives the features as an array for comparison. A contender that cannot run ends
with the traceback of its own error, whose last line ``extraction.py`` reports. EVERY is 1, or more to measure only
each so-manieth protein.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from extraction_measures import EncoderShape, Floats, products, tokens
from extraction_peers import BATCH, Collect, Job, Run, esm_cpp, esm_efficient, fair_esm, protloc

from esm2_amp.records import Protein

ROWS = 1024  # positions in one product of a linear layer, and our token budget on a CPU


def ours(job: Job, precision: str) -> Run:
    """ESM2-AMP: into a feature store on disk."""
    import torch

    from esm2_amp.features.encoder import Esm2Encoder, identify
    from esm2_amp.features.extract import ExtractionSettings, extract
    from esm2_amp.features.identity import LongPolicy
    from esm2_amp.features.store import FeatureStore

    identity = identify("benchmark", job.encoder)
    encoder = Esm2Encoder(job.encoder, identity, torch.device("cpu"), getattr(torch, precision))

    def run(proteins: Sequence[Protein]) -> Collect:
        folder = tempfile.mkdtemp(dir=job.scratch)
        settings = ExtractionSettings(LongPolicy("full", 1022), ROWS, workers=1, residue_states=False)
        extract(proteins, folder, identity, lambda: encoder, settings, lambda *_: None, lambda _: None)
        store = FeatureStore(folder)
        return lambda: store.gather(store.find([protein.key for protein in proteins]), range(13))

    return run


def transformers(job: Job, batch: int, in_order: bool) -> Run:
    """Hugging Face transformers with its fused attention, padded batches, the 13 tokens in memory."""
    import torch
    from transformers import EsmModel, EsmTokenizer

    tokenizer = EsmTokenizer(str(job.published / "vocab.txt"))
    model = EsmModel.from_pretrained(job.published, add_pooling_layer=False, attn_implementation="sdpa").eval()

    @torch.inference_mode()
    def run(proteins: Sequence[Protein]) -> Collect:
        order = sorted(range(len(proteins)), key=lambda i: -len(proteins[i].sequence))
        order = order if in_order else list(range(len(proteins)))
        rows: dict[int, Floats] = {}
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            inputs = tokenizer([proteins[i].sequence for i in chosen], return_tensors="pt", padding=True)
            states = model(**inputs).last_hidden_state.numpy()
            rows |= {i: tokens(s[: len(proteins[i].sequence) + 2]) for i, s in zip(chosen, states, strict=True)}
        return lambda: np.stack([rows[i] for i in range(len(proteins))])

    return run


def bare(job: Job, precision: str) -> Run:
    """No model: the matrix products of the encoder and nothing else, on values already in memory."""
    import torch

    dtype, shape = getattr(torch, precision), EncoderShape.of(job.encoder)

    @torch.inference_mode()
    def run(proteins: Sequence[Protein]) -> Collect:
        for m, k, n, count in products([len(p.sequence) for p in proteins], shape, ROWS):
            a, b, out = torch.ones(m, k, dtype=dtype), torch.ones(k, n, dtype=dtype), torch.empty(m, n, dtype=dtype)
            for _ in range(count):
                torch.mm(a, b, out=out)
        return lambda: None

    return run


def reference(job: Job) -> Run:
    """transformers, plain attention, float32, one protein at a time; writes ``published`` for the others."""
    import torch
    from safetensors.torch import save_file
    from transformers import EsmForMaskedLM, EsmTokenizer

    torch.manual_seed(0)
    model = EsmForMaskedLM.from_pretrained(job.encoder, attn_implementation="eager").eval()
    weights = {name: value.clone().contiguous() for name, value in model.state_dict().items()}
    frequencies = model.esm.rotary_embeddings.inv_freq  # published checkpoints hold them, rounded, in every layer
    for layer in range(model.config.num_hidden_layers):
        weights[f"esm.encoder.layer.{layer}.attention.self.rotary_embeddings.inv_freq"] = frequencies.clone()
    job.published.mkdir()
    save_file(weights, job.published / "model.safetensors", metadata={"format": "pt"})
    model.config.save_pretrained(job.published)
    shutil.copy(job.encoder / "vocab.txt", job.published)
    tokenizer = EsmTokenizer(str(job.published / "vocab.txt"))

    @torch.inference_mode()
    def run(proteins: Sequence[Protein]) -> Collect:
        inputs = (tokenizer(protein.sequence, return_tensors="pt") for protein in proteins)
        rows = [tokens(model.esm(**one).last_hidden_state[0].double().numpy()) for one in inputs]
        return lambda: np.stack(rows)

    return run


ADAPTERS: dict[str, Callable[[Job], Run]] = {
    "reference": reference,
    "ours, float32": lambda job: ours(job, "float32"),
    "ours, bfloat16": lambda job: ours(job, "bfloat16"),
    "ours, float16": lambda job: ours(job, "float16"),
    "protloc-mex-x, batches of 32": protloc,
    "fair-esm, extract.py recipe": fair_esm,
    "transformers, batches of 32": lambda job: transformers(job, BATCH, in_order=False),
    "transformers, sorted, batches of 32": lambda job: transformers(job, BATCH, in_order=True),
    "transformers, one by one": lambda job: transformers(job, 1, in_order=False),
    "esm-cpp, one by one": lambda job: esm_cpp(job, quantised=False, packed=False),
    "esm-cpp, one by one, AVX2 kernels": lambda job: esm_cpp(job, quantised=False, packed=False),
    "esm-cpp, packed, logits only": lambda job: esm_cpp(job, quantised=False, packed=True),
    "esm-cpp, one by one, int8": lambda job: esm_cpp(job, quantised=True, packed=False),
    "esm-efficient": esm_efficient,
    "bare products, float32": lambda job: bare(job, "float32"),
    "bare products, bfloat16": lambda job: bare(job, "bfloat16"),
}


def main() -> None:
    """Load, warm up on the two shortest proteins, measure, and write the features and the measurements."""
    scratch, name, every = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    job = Job(scratch)
    began = time.perf_counter()
    run = ADAPTERS[name](job)
    loaded = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run(sorted(job.proteins, key=lambda protein: len(protein.sequence))[:2])
    began, cpu = time.perf_counter(), time.process_time()
    collect = run(job.proteins[::every])
    measured = {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
        "load_seconds": loaded,
        "loaded_mb": memory / 1024,
    }
    features = collect()
    if features is not None:
        np.save(scratch / "features.npy", features)
    (scratch / "measured.json").write_text(json.dumps(measured))


if __name__ == "__main__":
    main()
