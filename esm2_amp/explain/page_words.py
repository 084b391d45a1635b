"""Words and numbers of the explanation pages: what a method measures, how a number is written, names cut to size."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from esm2_amp.explain.explained import Values

MISSING = "–"
LONGEST_NAME = 48
LONGEST_TEXT = 600
_STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Method(NamedTuple):
    """How a method is called, in which unit its values are, and what they say; ``signed``: for and against."""

    title: str
    signed: bool
    unit: str
    meaning: str


class Measure(NamedTuple):
    """How a measure of faithfulness is called, whether high is good (None: neither), and what it says."""

    title: str
    high_is_good: bool | None
    meaning: str


METHODS = {
    "occlusion": Method(
        "Occlusion", True, "logit", "how far the logit falls when the token is replaced by the training proteins' mean"
    ),
    "ig": Method(
        "Integrated gradients", True, "logit",
        "the token's part of the difference between the pair's logit and the logit of mean proteins; the parts add up",
    ),
    "attention": Method(
        "Attention", False, "share", "how much of all attention the token receives, over layers, heads and tokens"
    ),
    "rollout": Method(
        "Attention rollout", False, "share", "attention followed through all layers, residual connections included"
    ),
    "ae_rf_shap": Method(
        "AE-RF, SHAP", True, "probability", "the token's part of the probability that a random forest on codes gives"
    ),
    "ae_rf_gini": Method(
        "AE-RF, Gini", False, "share", "how much the forest's splits lean on the token; the same for every pair"
    ),
    "ae_dnn_shap": Method(
        "AE-DNN, SHAP", True, "logit", "the token's part of the logit that a dense network on codes gives"
    ),
    "ae_dnn_ig": Method(
        "AE-DNN, IG", True, "logit",
        "the token's part of the difference between that dense network's logit and its logit of the baseline",
    ),
}  # fmt: skip
"""The methods by the name under which they are asked for and stand in ``attributions.tsv``."""

MEASURES = {
    "hit": Measure("hit", True, "share of true positives with a token that carries the interaction in the k highest"),
    "rank": Measure("mean rank", False, "place of the best token that carries the interaction; 1 is best"),
    "both": Measure("both chains", True, "share of true positives whose highest token of each chain carries it"),
    "auroc": Measure("AUROC", True, "how well the values tell tokens that carry the interaction from others"),
    "aupr": Measure("AUPR", True, "the same as average precision"),
    "deletion": Measure(
        "deletion", False, "area under the probability of the call while the highest tokens are taken away first"
    ),
    "insertion": Measure(
        "insertion", True, "area under that probability while the highest tokens are put back first into mean proteins"
    ),
    "comprehensiveness": Measure(
        "comprehen\u00adsiveness", True,
        "how far that probability falls without the k highest tokens (DeYoung et al. 2020)",
    ),
    "sufficiency": Measure(
        "sufficiency", False, "how far that probability falls with the k highest tokens alone (DeYoung et al. 2020)"
    ),
    "stability": Measure("stability", True, "Spearman's correlation between runs with different seeds"),
}  # fmt: skip
"""The measures by name, without the ``@k`` of those that look at k tokens, in the order in which a page shows them."""


def method(name: str) -> Method:
    """What is known of a method; one that is not known is taken as signed and called by its name."""
    return METHODS.get(name) or Method(name, True, "", "")


def measure(name: str) -> Measure:
    """What is known of a measure; one that is not known has no good direction and is called by its name."""
    base, at, k = name.partition("@")
    known = MEASURES.get(base)
    return Measure(name, None, "") if known is None else known._replace(title=f"{known.title}{at}{k}")


def ordered_measures(names: Iterable[str]) -> list[str]:
    """Known measures in the order of :data:`MEASURES`, then the others, each once; equals as they came."""
    places = {name: place for place, name in enumerate(MEASURES)}
    return sorted(dict.fromkeys(names), key=lambda name: places.get(name.partition("@")[0], len(places)))


def explained_measures(names: Iterable[str]) -> list[tuple[str, str]]:
    """Title and meaning of the known ones among measures, those of several k once."""
    bases = {name.partition("@")[0]: "@k" if "@" in name else "" for name in names}
    known = [(MEASURES[base], at) for base, at in bases.items() if base in MEASURES]
    return [(found.title.replace("\u00ad", "") + at, found.meaning) for found, at in known]


def short(text: str, longest: int = LONGEST_NAME) -> str:
    """The text, or its start and end around an ellipsis where it is longer than ``longest`` characters.

    Characters that steer what stands around them (controls, changes of the writing direction) are shown as a box.
    """
    text = _STEERING.sub("�", text)
    if len(text) <= longest:
        return text
    end = longest // 3
    return f"{text[: longest - end - 1]}…{text[-end:]}"


def plain(value: float, digits: int = 3) -> str:
    """A number with so many digits, with a true minus sign; a dash if it is not finite."""
    if not math.isfinite(value):
        return MISSING
    size = abs(value)
    text = f"{size:.{digits}f}" if size == 0 or 1e-3 <= size < 1e4 else f"{size:.{digits - 1}e}"
    return f"−{text}" if value < 0 else text


def signed(value: float, digits: int = 3) -> str:
    """The same with a plus sign before what is above zero."""
    return f"+{plain(value, digits)}" if value > 0 and math.isfinite(value) else plain(value, digits)


def written(name: str, value: float) -> str:
    """A value of a method, signed where the method is."""
    return signed(value) if method(name).signed else plain(value)


def direction(name: str, value: float) -> str:
    """What the sign of a value says, in words; nothing for methods without a sign."""
    if not method(name).signed or value == 0 or not math.isfinite(value):
        return ""
    return "speaks for interaction" if value > 0 else "speaks against interaction"


def largest(values: Values) -> float:
    """The largest finite absolute value, 0 where there is none."""
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max()) if finite.size else 0.0


def in_favour(name: str, values: Values, called: bool) -> Values:
    """Values by how much they speak for what was called: turned round where the call is "no" and the method signed."""
    return -values if method(name).signed and not called else values


def ranked(name: str, values: Values, called: bool) -> list[int]:
    """Positions of the tokens from the one that speaks most for the call; ties in their order.

    Args:
        name: of the method.
        values: (2T,); what is not finite is left out.
        called: whether the pair was called interacting.
    """
    favour = in_favour(name, values, called)
    return [int(place) for place in np.argsort(-favour, kind="stable") if np.isfinite(favour[place])]
