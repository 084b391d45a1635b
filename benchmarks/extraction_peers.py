"""Adapters of the extraction benchmark for other packages: how each is used, written from its own documentation.

What an adapter does and gives back is said in ``extraction_contenders.py``. None of these packages is a dependency of
ours; each is imported by the adapter that uses it.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from extraction_measures import EncoderShape, Floats, tokens

from esm2_amp.records import Protein

Collect = Callable[[], Floats | None]
Run = Callable[[Sequence[Protein]], Collect]
BATCH = 32  # of the published extraction


class Job:
    """The folder that all contenders of one benchmark share.

    ``encoder`` is the user's folder; ``published`` holds the same weights under the names of the published
    checkpoints, with a language-model head (an untrained one where the encoder has none), as the peers expect it.
    """

    def __init__(self, scratch: Path) -> None:
        content = json.loads((scratch / "job.json").read_text(encoding="utf-8"))
        self.scratch, self.encoder = scratch, Path(content["encoder"])
        self.proteins = [Protein(name, sequence) for name, sequence in content["proteins"]]
        self.published = scratch / "published"


def protloc(job: Job) -> Run:
    """protloc-mex-x as its page shows it, all kinds of features, batches of 32: a table in memory."""
    import pandas as pd
    from protloc_mex_X.ESM2_fr import Esm2LastHiddenFeatureExtractor
    from transformers import AutoModelForMaskedLM, EsmTokenizer

    tokenizer = EsmTokenizer(str(job.published / "vocab.txt"))
    model = AutoModelForMaskedLM.from_pretrained(job.published, output_hidden_states=True)
    extractor = Esm2LastHiddenFeatureExtractor(
        tokenizer, model, compute_cls=True, compute_eos=True, compute_mean=True, compute_segments=True,
        device_choose="cpu",
    )  # fmt: skip

    def run(proteins: Sequence[Protein]) -> Collect:
        table = pd.DataFrame({"Entry": [p.id for p in proteins], "Sequence": [p.sequence for p in proteins]})
        with contextlib.redirect_stdout(io.StringIO()):
            found = extractor.get_last_hidden_features_combine(table, sequence_name="Sequence", batch_size=BATCH)

        def collect() -> Floats:
            values = found.drop(columns=["Entry", "Sequence"]).to_numpy(np.float64).reshape(len(proteins), 13, -1)
            return values[:, [0, *range(3, 13), 1, 2]]  # it writes cls, eos, mean, segments

        return collect

    return run


def fair_esm(job: Job) -> Run:
    """The recipe of fair-esm's scripts/extract.py with ``--include mean``: one .pt file for every protein."""
    import esm
    import torch
    from safetensors.torch import load_file

    shape = EncoderShape.of(job.published)
    alphabet = esm.Alphabet.from_architecture("ESM-1b")
    model = esm.ESM2(shape.layers, shape.width, shape.heads, alphabet).eval()
    weights = fair_names(load_file(job.published / "model.safetensors"))
    model.load_state_dict(weights)

    @torch.no_grad()
    def run(proteins: Sequence[Protein]) -> Collect:
        folder = Path(tempfile.mkdtemp(dir=job.scratch))
        dataset = esm.FastaBatchedDataset([p.id for p in proteins], [p.sequence for p in proteins])
        loader = torch.utils.data.DataLoader(
            dataset,
            collate_fn=alphabet.get_batch_converter(1022),
            batch_sampler=dataset.get_batch_indices(4096, extra_toks_per_seq=1),
        )
        for labels, sequences, positions in loader:
            states = model(positions, repr_layers=[shape.layers], return_contacts=False)["representations"]
            for row, (label, sequence) in enumerate(zip(labels, sequences, strict=True)):
                mean = {layer: state[row, 1 : len(sequence) + 1].mean(0).clone() for layer, state in states.items()}
                torch.save({"label": label, "mean_representations": mean}, folder / f"{label}.pt")

        def collect() -> Floats:
            files = [torch.load(folder / f"{p.id}.pt", weights_only=True) for p in proteins]
            return np.stack([file["mean_representations"][shape.layers].numpy()[None] for file in files])

        return collect

    return run


def fair_names(weights: dict[str, Any]) -> dict[str, Any]:
    """Weights under fair-esm's names instead of transformers'."""
    changes = (
        ("esm.encoder.layer.", "layers."), ("esm.encoder.", ""), ("esm.embeddings.word_embeddings", "embed_tokens"),
        ("esm.contact_head", "contact_head"), ("attention.LayerNorm", "self_attn_layer_norm"),
        ("attention.self.query", "self_attn.q_proj"), ("attention.self.key", "self_attn.k_proj"),
        ("attention.self.value", "self_attn.v_proj"), ("attention.output.dense", "self_attn.out_proj"),
        ("intermediate.dense", "fc1"), ("output.dense", "fc2"), (".LayerNorm", ".final_layer_norm"),
        ("lm_head.decoder", "lm_head"),
        ("attention.self.rotary_embeddings", "self_attn.rot_emb"),
    )  # fmt: skip
    renamed = {}
    for name, weight in weights.items():
        if name != "esm.rotary_embeddings.inv_freq":  # as in every layer
            for old, new in changes:
                name = name.replace(old, new)
            renamed[name] = weight
    return renamed


def esm_cpp(job: Job, quantised: bool, packed: bool) -> Run:
    """esm-cpp: hidden states one protein at a time, or its packed batches, which give logits only."""
    import esm_cpp as peer

    model, tokenizer = peer.Model.load_from_safetensors(str(job.published / "model.safetensors")), peer.Tokenizer()
    if quantised:
        model.quantize_weights()

    def run(proteins: Sequence[Protein]) -> Collect:
        ids = [np.asarray(tokenizer.encode(p.sequence), dtype=np.int32) for p in proteins]
        if packed:
            model.forward_scheduled(ids)
            return lambda: None
        rows = [tokens(model.forward_with_hidden_states(one)[1][-1]) for one in ids]
        return lambda: np.stack(rows)

    return run


def esm_efficient(job: Job) -> Run:
    """esm-efficient: there is no way to run it on a CPU, so this gets as far as its import."""
    from esme import ESM2

    raise RuntimeError(f"{ESM2.__name__} attends with flash_attn_varlen_func, which needs a CUDA device")
