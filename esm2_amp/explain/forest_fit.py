"""Grow a random forest on coded pairs, its options chosen by Optuna on cross-validation folds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.samplers import TPESampler
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, roc_auc_score

from esm2_amp.data.folds import Fold
from esm2_amp.errors import InputError
from esm2_amp.explain.codes import CodedPairs, mean_of_orders
from esm2_amp.explain.forest import Forest, from_classifier
from esm2_amp.tuning.space import SearchSpace, read_range

OPTIONS = ("max_depth", "max_features", "max_samples", "min_samples_leaf", "min_samples_split")
"""What may be searched: options of :class:`sklearn.ensemble.RandomForestClassifier` that change what is learnt."""


@dataclass(frozen=True)
class ForestSettings:
    """How a forest is grown.

    Every trial of the search grows ``trial_trees`` trees in each fold, the forest itself has ``trees``. ``space`` has
    a value or a range (see :func:`esm2_amp.tuning.space.read_range`) for any of :data:`OPTIONS`.
    """

    trees: int
    trial_trees: int
    trials: int
    space: Mapping[str, Any]

    def __post_init__(self) -> None:
        for name, value in (("trees", self.trees), ("trial_trees", self.trial_trees), ("trials", self.trials)):
            if value < 1:
                raise InputError(f"forest {name} is {value}", remedy="Give 1 or more.")
        self.search_space()

    def search_space(self) -> SearchSpace:
        """The ranges and the fixed values.

        Raises:
            InputError: an option that cannot be searched, or a malformed range.
        """
        if unknown := sorted(set(self.space) - set(OPTIONS)):
            raise InputError(f"forest space: {unknown[0]!r} cannot be set", remedy=f"Use {', '.join(OPTIONS)}.")
        ranges = {name: value for name, value in self.space.items() if isinstance(value, Mapping)}
        return SearchSpace(
            {name: read_range(value, f"forest space {name}") for name, value in ranges.items()},
            {name: value for name, value in self.space.items() if name not in ranges},
        )


@dataclass(frozen=True)
class HeldOut:
    """What a model is worth on pairs it was not trained on: means over folds, both orders of a pair averaged.

    ``chosen`` is what these folds chose, so the numbers are a little too good.
    """

    auroc: float
    accuracy: float
    chosen: dict[str, Any]


def tune_forest(
    pairs: CodedPairs,
    folds: Sequence[Fold],
    settings: ForestSettings,
    seed: int,
    jobs: int,
    advance: Callable[[int], None],
) -> HeldOut:
    """Search for the options with the best AUROC, averaged over folds.

    Args:
        pairs: training pairs; a forest learns both orders of each.
        folds: of these pairs.
        settings: what to search.
        seed: of the search and of every forest.
        jobs: processor cores.
        advance: told the trials done.

    Raises:
        InputError: scikit-learn refuses a value.
    """
    space = settings.search_space()
    study = optuna.create_study(direction="maximize", sampler=TPESampler(seed=seed, n_startup_trials=4))
    trials = settings.trials if space.ranges else 1
    found: dict[int, HeldOut] = {}
    for _ in range(trials):
        trial = study.ask(space.ranges)
        options = space.options(trial.params)
        found[trial.number] = _held_out(pairs, folds, options, settings.trial_trees, seed, jobs)
        study.tell(trial, found[trial.number].auroc)
        advance(1)
    advance(settings.trials - trials)
    return found[study.best_trial.number]


def grow_forest(
    pairs: CodedPairs, chosen: NDArray[np.int64], options: Mapping[str, Any], trees: int, seed: int, jobs: int
) -> Forest:
    """Grow a forest on both orders of the chosen pairs.

    Raises:
        InputError: scikit-learn refuses a value.
    """
    classifier = RandomForestClassifier(trees, random_state=seed, n_jobs=jobs)
    vectors, label = pairs.both_orders(chosen)
    try:
        classifier.set_params(**options).fit(vectors, label)
    except ValueError as error:
        raise InputError(f"a forest cannot be grown ({error})", remedy="Correct the forest's space.") from error
    return from_classifier(classifier)


def _held_out(
    pairs: CodedPairs, folds: Sequence[Fold], options: dict[str, Any], trees: int, seed: int, jobs: int
) -> HeldOut:
    aurocs, accuracies = [], []
    for fold in folds:
        forest = grow_forest(pairs, fold.train, options, trees, seed, jobs)
        probability = mean_of_orders(forest.predict(pairs.both_orders(fold.held)[0]))
        aurocs.append(roc_auc_score(pairs.label[fold.held], probability))
        accuracies.append(accuracy_score(pairs.label[fold.held], probability >= 0.5))
    return HeldOut(float(np.mean(aurocs)), float(np.mean(accuracies)), options)
