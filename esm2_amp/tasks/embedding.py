"""From a configuration to features: which encoder, which store, compute what is missing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from esm2_amp.errors import InputError
from esm2_amp.features.embed import default_budget, workers_for
from esm2_amp.features.encoder import Esm2Encoder, identify, locate
from esm2_amp.features.extract import ExtractionReport, ExtractionSettings, extract, missing_proteins
from esm2_amp.features.identity import EncoderIdentity
from esm2_amp.features.store import FeatureStore
from esm2_amp.models.predictor import TrainedModel, check_trained_with
from esm2_amp.records import Protein
from esm2_amp.resources import SHIPPED, resolve
from esm2_amp.tasks.config_groups import EncoderConfig, FeaturesConfig
from esm2_amp.tasks.console import log, progress
from esm2_amp.tasks.options import at_least

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
IS_CHILD = any(int(os.environ.get(name) or 0) > 0 for name in _RANKS)
"""True in the further processes of a run that Lightning, torchrun or SLURM distributes; the first one writes."""


def check_features(cfg: FeaturesConfig) -> None:
    """Refuse impossible settings before any work."""
    at_least(features__token_budget=(cfg.token_budget, 16), features__threads=(cfg.threads, 1))
    cfg.policy()
    pick_device(cfg.device)
    if cfg.precision not in PRECISIONS:
        raise InputError(f"features.precision is {cfg.precision!r}", remedy=f"Use {', '.join(PRECISIONS)}.")


def set_threads(threads: int | None) -> None:
    """Limit torch's CPU threads; None leaves them."""
    if threads is not None:
        torch.set_num_threads(threads)


@contextmanager
def limited_threads(threads: int | None) -> Iterator[None]:
    """:func:`set_threads` for a while: extraction's threads are not those of the training that follows."""
    before = torch.get_num_threads()
    try:
        set_threads(threads)
        yield
    finally:
        torch.set_num_threads(before)


def pick_device(name: str) -> torch.device:
    """The device a name means; ``auto`` is the first GPU, or else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"features.device is {name!r}", remedy="Use auto, cpu, cuda or cuda:NUMBER.") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {name!r} asked for, but torch sees no CUDA GPU", remedy="Use features.device=cpu.")
    return device


class EncoderChoice:
    """The encoder a configuration names: found and identified, loaded only when needed."""

    def __init__(self, cfg: EncoderConfig, features: FeaturesConfig) -> None:
        path = None if cfg.path is None else resolve(cfg.path)
        own = cfg.path is not None and not cfg.path.startswith(SHIPPED)  # the user's folder, whatever the group's name
        self.name = Path(cfg.path or "").resolve().name if own else cfg.name or cfg.hub or "encoder"
        self.source = {"name": self.name, "path": cfg.path, "hub": cfg.hub, "revision": cfg.revision}
        self.folder = locate(self.name, path, cfg.hub, cfg.revision)
        self.identity: EncoderIdentity = identify(self.name, self.folder)
        self.features = features

    def load(self) -> Esm2Encoder:
        """Load the weights onto the device."""
        device = pick_device(self.features.device)
        return Esm2Encoder(self.folder, self.identity, device, PRECISIONS[self.features.precision])


def store_folder(cfg: FeaturesConfig, identity: EncoderIdentity) -> str:
    """Default folder of the feature store of an encoder."""
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in identity.name)
    residues = "-residues" if cfg.residues else ""
    return str(Path(cfg.folder) / f"{safe}-{identity.sha256[:12]}-{cfg.policy().tag}{residues}")


def settings_of(cfg: FeaturesConfig, width: int) -> ExtractionSettings:
    """How to compute: on a CPU one worker a core, on a GPU one that keeps it busy.

    Args:
        cfg: the configuration.
        width: D of the encoder.
    """
    device = pick_device(cfg.device)
    budget = cfg.token_budget or default_budget(device, width)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    workers = workers_for(memory, torch.get_num_threads(), budget, width) if device.type == "cpu" else 1
    return ExtractionSettings(cfg.policy(), budget, workers, cfg.residues)


def ensure_features(proteins: Sequence[Protein], choice: EncoderChoice, folder: str) -> FeatureStore:
    """Compute what the store at ``folder`` lacks, with a progress bar, and open it."""
    cfg = choice.features
    if IS_CHILD:  # the first process computes them, or has just done so
        while not is_complete(folder, proteins):
            time.sleep(1)
        return FeatureStore(folder)
    # a new store is not begun before the weights are known to load: a mistake leaves nothing behind
    loaded = None if (Path(folder) / "manifest.json").exists() else choice.load()
    began = time.monotonic()
    with limited_threads(cfg.threads), progress("features", "residues") as (begin, advance):

        def start(sequences: int, residues: int) -> None:
            if sequences:
                log.info(
                    "Computing features of %d sequences (%s residues) with %s.",
                    sequences,
                    f"{residues:,}",
                    choice.identity,
                )
            begin(residues)

        settings = settings_of(cfg, choice.identity.width)
        report = extract(proteins, folder, choice.identity, lambda: loaded or choice.load(), settings, start, advance)
    tell(report, time.monotonic() - began, folder)
    return FeatureStore(folder)


def model_features(
    model: TrainedModel, encoder: EncoderConfig, features: FeaturesConfig, proteins: Sequence[Protein]
) -> FeatureStore:
    """Features of the proteins as a trained model reads them, computed where they are missing.

    The encoder is the one the model names, unless ``encoder`` says where it is; the policy for long proteins is the
    model's, whatever ``features`` says.
    """
    identity, policy = model.card.identity, model.card.long_policy
    features = replace(features, long=policy.mode, max_residues=policy.max_residues)
    folder = store_folder(features, identity)
    given = encoder.path or encoder.hub
    if not given and is_complete(folder, proteins):
        return FeatureStore(folder)  # the encoder need not even be there
    choice = EncoderChoice(encoder if given else EncoderConfig(**model.card.encoder_source), features)
    check_trained_with(identity, choice.identity)
    return ensure_features(proteins, choice, folder)


def is_complete(folder: str, proteins: Sequence[Protein]) -> bool:
    """True if there is a store at ``folder`` with features of all the proteins."""
    return (Path(folder) / "manifest.json").exists() and not missing_proteins(proteins, FeatureStore(folder))


def tell(report: ExtractionReport, seconds: float, folder: str) -> None:
    """Say what an extraction did."""
    rate = f" at {report.residues / seconds:,.0f} residues/s" if report.computed and seconds else ""
    log.info("Features: %d computed%s, %d already in %s.", report.computed, rate, report.present, folder)
    if report.shortened:
        log.warning("%d long proteins were truncated (features.long, features.max_residues).", report.shortened)
