"""AE-RF and AE-DNN: models on coded pairs that are easier to explain than the network they stand beside.

An :class:`~esm2_amp.explain.autoencoder.Autoencoder` shortens each token; a random forest and a perceptron learn the
training pairs from the codes; their attributions are summed over the numbers of each token (Sun et al. 2025, doi
10.1093/bib/bbaf434). They explain themselves, not the network: how good they are is told with them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from esm2_amp.explain.autoencoder import Autoencoder
from esm2_amp.explain.codes import encode, mean_of_orders, token_sums
from esm2_amp.explain.dnn import CodeMlp, DnnExplainer
from esm2_amp.explain.forest import Forest
from esm2_amp.explain.tree_shap import tree_shap
from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.features.store import FeatureStore
from esm2_amp.layout import TokenLayout

PER_PAIR = ("ae_rf_shap", "ae_dnn_shap", "ae_dnn_ig")
"""The methods that explain each pair; ``ae_rf_gini`` says the same of all, see :meth:`Surrogate.gini`."""


class Explained(NamedTuple):
    """Attributions of n pairs, and what they explain."""

    signed: NDArray[np.float64]
    """(n, 2T) in the order of ``layout.pair_names``; above zero speaks for an interaction."""
    absolute: NDArray[np.float64]
    """(n, 2T) the sum of the absolute values that ``signed`` sums up."""
    score: NDArray[np.float64]
    """(n,) the explained number: the forest's probability, or the perceptron's logit."""
    base: float
    """The number that attributions start from."""

    def error(self) -> NDArray[np.float64]:
        """(n,) by how much base and signed attributions fail to add up to the score."""
        return np.abs(self.base + self.signed.sum(1) - self.score)


@dataclass(frozen=True, eq=False)
class Surrogate:
    """The fitted parts, and what they were fitted on."""

    layout: TokenLayout
    encoder: EncoderIdentity
    long: LongPolicy
    autoencoder: Autoencoder
    forest: Forest
    dnn: CodeMlp
    background: NDArray[np.float32]
    """(2m, 2TC) vectors of both orders of some training pairs."""
    ig_steps: int
    keys: NDArray[np.uint8]
    """(proteins, 32) SHA-256 of the training sequences."""
    pairs: NDArray[np.int32]
    """(n, 2) training pairs, as positions in ``keys``."""
    settings: dict[str, Any]
    """For the reader."""
    quality: dict[str, dict[str, Any]]
    """How good autoencoder, forest and dnn are on what they were not trained on."""
    fingerprint: str
    """Of all that it was fitted on; see :func:`~esm2_amp.explain.surrogate_fit.fingerprint`."""

    @cached_property
    def explainer(self) -> DnnExplainer:
        """Of the perceptron."""
        return DnnExplainer(self.dnn, self.background, self.ig_steps)

    def explain(
        self,
        method: str,
        store: FeatureStore,
        a: NDArray[np.int64],
        b: NDArray[np.int64],
        batch_size: int,
        advance: Callable[[int], None],
    ) -> Explained:
        """Attribute the score of each pair to its tokens; the mean of both orders of its chains.

        Beside the result, memory is needed for a batch only.

        Args:
            method: one of :data:`PER_PAIR`.
            store: features of the same encoder.
            a: (n,) store rows of the first proteins.
            b: (n,) store rows of the second proteins.
            batch_size: pairs explained at once.
            advance: told the pairs done.

        Raises:
            InputError: features of another encoder or policy.
            ValueError: an unknown method.
        """
        attribute = self._attribution(method)
        tokens = len(self.layout.pair_names)
        signed, absolute, score, base = np.empty((len(a), tokens)), np.empty((len(a), tokens)), np.empty(len(a)), 0.0
        for start in range(0, len(a), batch_size):
            part = slice(start, start + batch_size)
            vectors = self._vectors(store, a[part], b[part])
            values, base = attribute(vectors)
            signed[part], absolute[part] = token_sums(values, tokens)
            score[part] = self._score(method, vectors)
            advance(len(vectors) // 2)
        return Explained(signed, absolute, score, base)

    def gini(self) -> NDArray[np.float64]:
        """``ae_rf_gini``: Gini importances (2T,) of the tokens, never negative, sum 1; the same for every pair.

        The forest learnt both orders of each pair, so both chains get the mean of both.
        """
        chains = self.forest.gini().reshape(2, len(self.layout), -1).sum(-1)
        return np.tile(chains.mean(0), 2)

    def scores(
        self, method: str, store: FeatureStore, a: NDArray[np.int64], b: NDArray[np.int64], batch_size: int
    ) -> NDArray[np.float64]:
        """What a method explains, (n,): the forest's probability, or the perceptron's logit for ``ae_dnn_...``."""
        parts = [slice(start, start + batch_size) for start in range(0, len(a), batch_size)]
        return np.concatenate([[], *(self._score(method, self._vectors(store, a[p], b[p])) for p in parts)])

    def seen(self, store: FeatureStore, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n,) whether a pair is, in either order, among those that forest and perceptron were trained on."""
        place = {key.tobytes(): number for number, key in enumerate(self.keys)}
        trained = {(min(x, y), max(x, y)) for x, y in self.pairs.tolist()}
        first, second = ([place.get(key.tobytes(), -1) for key in store.index["key"][rows]] for rows in (a, b))
        return np.array([(min(x, y), max(x, y)) in trained for x, y in zip(first, second, strict=True)], dtype=bool)

    def _attribution(self, method: str) -> Callable[[NDArray[np.float32]], tuple[NDArray[np.float64], float]]:
        if method == "ae_rf_shap":
            return lambda vectors: tree_shap(self.forest, vectors)
        if method == "ae_dnn_shap":
            return self.explainer.shap
        if method == "ae_dnn_ig":
            return self.explainer.integrated_gradients
        raise ValueError(f"method {method!r}; the methods are {', '.join(PER_PAIR)}")

    def _score(self, method: str, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        if method.startswith("ae_rf_"):
            return mean_of_orders(self.forest.predict(vectors))
        return self.explainer.logits(vectors)

    def _vectors(self, store: FeatureStore, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float32]:
        """(2m, 2TC) of both orders of m pairs."""
        store.check_encoder(self.encoder)
        store.check_long(self.long)
        codes = encode(self.autoencoder, store, self.layout, np.concatenate((a, b)))
        return codes.pairs(np.concatenate((a, b)), np.concatenate((b, a)))
