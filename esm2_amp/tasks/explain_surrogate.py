"""The models that ``ae_...`` explain: fitted on the training pairs, or taken from where they were kept."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from numpy.typing import NDArray

from esm2_amp.explain.explained import Surrogate as Quality
from esm2_amp.explain.methods import OF_A_SURROGATE
from esm2_amp.explain.page_words import method as known
from esm2_amp.explain.surrogate import Surrogate
from esm2_amp.explain.surrogate_files import load_surrogate, save_surrogate
from esm2_amp.explain.surrogate_fit import fingerprint, fit_surrogate
from esm2_amp.features.store import FeatureStore
from esm2_amp.tasks.console import log, progress
from esm2_amp.tasks.embedding import limited_threads
from esm2_amp.tasks.explain_input import Scored

_KEPT = "surrogates"
_WEAK = 0.6
"""AUROC on held-out training pairs below which a surrogate is said to know little."""
Values = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Taught:
    """A surrogate, or None where no method asks for one."""

    surrogate: Surrogate | None
    store: FeatureStore

    def explain(self, method: str, a: NDArray[np.int64], b: NDArray[np.int64]) -> tuple[Values, Values]:
        """Signed and absolute values (n, 2T) of pairs given by their store rows."""
        if self.surrogate is None:
            raise ValueError(f"no surrogate for {method}")
        if method == "ae_rf_gini":
            same = np.tile(self.surrogate.gini().astype(np.float32), (len(a), 1))
            return same, same
        found = self.surrogate.explain(method, self.store, a, b, len(a), lambda _: None)
        return found.signed.astype(np.float32), found.absolute.astype(np.float32)

    def quality(self, methods: Sequence[str]) -> list[Quality]:
        """How well the models behind the methods tell training pairs of unseen proteins apart."""
        if self.surrogate is None:
            return []
        rows = []
        for part, name in (("forest", "ae_rf"), ("dnn", "ae_dnn")):
            titles = [known(method).title for method in methods if method.startswith(name)]
            auroc = float(self.surrogate.quality[part]["auroc"])
            warning = "It knows little: do not read much into its explanations." if auroc < _WEAK else ""
            rows += [Quality(", ".join(titles), auroc, warning)] if titles else []
        return rows

    def trained_on(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> int:
        """How many of the pairs are among those that it was fitted on."""
        return 0 if self.surrogate is None else int(self.surrogate.seen(self.store, a, b).sum())


def teach(scored: Scored, methods: Sequence[str]) -> Taught:
    """Fit the surrogates that some of the methods need, or take those that were kept beside the feature stores.

    Raises:
        InputError: pairs that they cannot be fitted on.
    """
    inputs = scored.inputs
    if inputs.training is None or not any(name in OF_A_SURROGATE for name in methods):
        return Taught(None, scored.store)
    table, layout, config = inputs.training, inputs.model.network.layout, inputs.config
    rows = scored.store.find([protein.key for protein in table.proteins])
    settings = config.surrogate.settings(config.seed)
    pairs = (scored.store, layout, rows[table.a], rows[table.b], table.label, settings)
    folder = Path(config.features.folder) / _KEPT / fingerprint(*pairs)[:16]
    if folder.exists():
        return Taught(load_surrogate(folder), scored.store)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    log.info("Teaching a forest and a perceptron on %s training pairs.", f"{min(len(table), settings.max_pairs):,}")
    # layers this small take longer on several threads, and many times longer where the cores are busy
    with limited_threads(1), progress("surrogates", "steps") as (begin, advance):
        begin(settings.steps() + len(np.unique(rows)))
        cache, jobs = folder.parent / "codes", os.cpu_count() or 1
        surrogate = fit_surrogate(*pairs, cache=cache, jobs=jobs, advance=advance)
    save_surrogate(surrogate, folder)
    return Taught(surrogate, scored.store)
