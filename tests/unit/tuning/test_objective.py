"""A trial: fresh weights in every fold, the same folds for every trial, nothing of the held pairs in the training."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from sklearn.metrics import average_precision_score

from esm2_amp.data.dataset import PairDataset
from esm2_amp.errors import InputError
from esm2_amp.layout import MEAN
from esm2_amp.models.dpm import DPM
from esm2_amp.models.network import PairNetwork
from esm2_amp.models.optimisation import Optimisation
from esm2_amp.models.predictor import score
from esm2_amp.tuning.objective import Candidate, CrossValidation, Moment, make_folds
from esm2_amp.tuning.pruning import FoldMedianPruner
from esm2_amp.tuning.scores import metric_of
from esm2_amp.tuning.space import SearchSpace
from esm2_amp.tuning.trials import Objective

OPTIONS: dict[str, Any] = {
    "accelerator": "cpu", "devices": 1, "logger": False, "enable_progress_bar": False, "enable_model_summary": False,
}  # fmt: skip
EPOCHS = 2
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers", "ignore:Checkpoint directory", "ignore:.*LeafSpec", "ignore:.*isinstance"
)
optuna.logging.set_verbosity(optuna.logging.WARNING)


class Watched:
    """Candidates that keep the networks they make, and their weights when they are made."""

    def __init__(self, hyper: Any, lr: float = 1e-3) -> None:
        self.networks: list[PairNetwork] = []
        self.initial: list[torch.Tensor] = []
        optimisation = Optimisation(lr, 0.01, 0.1, 5, 1e-8, None)

        def build() -> PairNetwork:
            self.networks.append(network := DPM(32, hyper))
            self.initial.append(torch.cat([p.detach().flatten().clone() for p in network.parameters()]))
            return network

        self.candidate = Candidate(build, optimisation, standardise=True, batch_size=16)


@pytest.fixture
def hyper(make_network: Callable[..., PairNetwork]) -> Any:
    return make_network("dpm").hyper


def validation_of(pairs: PairDataset, metric: str = "aupr", split: str = "stratified", k: int = 3) -> CrossValidation:
    folds = make_folds(split, pairs.a, pairs.b, pairs.label, k, seed=1)
    return CrossValidation(
        pairs.store, pairs.a, pairs.b, pairs.label, folds, metric_of(metric), EPOCHS, 8, 1, 0, OPTIONS
    )


Pairs = Callable[..., PairDataset]


def test_every_fold_has_its_own_weights_and_every_trial_the_same_folds(
    dataset: Pairs, hyper: Any, tmp_path: Path
) -> None:
    validation = validation_of(dataset(MEAN))
    first, second = Watched(hyper), Watched(hyper)
    scores = [validation.run(trial.candidate, tmp_path, lambda moment: None) for trial in (first, second)]
    assert len(first.initial) == 3
    for i in range(3):
        for j in range(i):
            assert not torch.equal(first.initial[i], first.initial[j])
    assert all(torch.equal(x, y) for x, y in zip(first.initial, second.initial, strict=True))
    assert scores[0] == scores[1]  # the same candidate, the same folds and seeds: the same numbers
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("split", ["stratified", "proteins"])
def test_a_fold_is_trained_without_its_held_pairs_and_measured_on_them(
    split: str, dataset: Pairs, hyper: Any, tmp_path: Path
) -> None:
    pairs = dataset(MEAN)
    validation, trial = validation_of(pairs, split=split, k=2), Watched(hyper)
    scores = validation.run(trial.candidate, tmp_path, lambda moment: None)
    for fold, network, told in zip(validation.folds, trial.networks, scores, strict=True):
        proteins = np.unique(np.concatenate((pairs.a[fold.train], pairs.b[fold.train])))
        tokens = pairs.store.gather(proteins, MEAN.stored).astype(np.float64)
        assert np.allclose(network.standardise.mean.numpy(), tokens.mean(axis=0), atol=1e-5)
        held = PairDataset(pairs.store, MEAN, pairs.a[fold.held], pairs.b[fold.held], pairs.label[fold.held])
        logits = score(network, held, 64, torch.device("cpu"), lambda _: None)
        assert told == pytest.approx(average_precision_score(held.label, logits))


@pytest.mark.parametrize("metric", ["auroc", "mcc", "loss"])
def test_the_score_so_far_is_the_mean_of_finished_folds_and_the_best_of_this_one(
    metric: str, dataset: Pairs, hyper: Any, tmp_path: Path
) -> None:
    moments: list[Moment] = []
    validation = validation_of(dataset(MEAN), metric)
    scores = validation.run(Watched(hyper).candidate, tmp_path, moments.append)
    assert [(moment.fold, moment.epoch) for moment in moments] == [(f, e) for f in range(3) for e in range(EPOCHS)]
    assert [list(moment.folds_done) for moment in moments] == [scores[:f] for f in range(3) for _ in range(EPOCHS)]
    for before, after in zip(moments[::2], moments[1::2], strict=True):
        assert validation.metric.best(before.score, after.score) == after.score


def test_a_training_that_diverges_is_told_from_a_bug(dataset: Pairs, hyper: Any, tmp_path: Path) -> None:
    pairs = dataset(MEAN)
    trial = Watched(hyper, lr=1.0)

    def broken() -> PairNetwork:
        network = trial.candidate.build()
        with torch.no_grad():
            next(network.parameters()).fill_(float("inf"))
        return network

    with pytest.raises(InputError, match="diverged"):
        validation_of(pairs).run(trial.candidate._replace(build=broken), tmp_path, lambda moment: None)


def run_study(objective: Objective, pruner: optuna.pruners.BasePruner, values: list[float]) -> optuna.Study:
    """One trial after completed ones that had these values all along."""
    study = optuna.create_study(direction="maximize", pruner=pruner)
    lr = FloatDistribution(1e-5, 1e-2)
    for value in values:
        steps = dict.fromkeys(range(3 * EPOCHS), value)
        study.add_trial(
            optuna.trial.create_trial(
                params={"lr": 1e-3}, distributions={"lr": lr}, value=value, intermediate_values=steps
            )
        )
    trial = study.ask({"lr": lr})
    try:
        study.tell(trial, objective(trial))
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    return study


def test_a_trial_reports_every_epoch_of_every_fold(dataset: Pairs, hyper: Any, tmp_path: Path) -> None:
    designed: list[dict[str, Any]] = []

    def design(options: dict[str, Any]) -> Candidate:
        designed.append(options)
        return Watched(hyper, options["lr"]).candidate

    objective = Objective(
        validation_of(dataset(MEAN)), design, SearchSpace({}, {"scale_from": 7}), tmp_path, lambda *_: None
    )
    trial = run_study(objective, optuna.pruners.NopPruner(), []).trials[-1]
    assert sorted(trial.intermediate_values) == list(range(3 * EPOCHS))
    assert trial.value == statistics.fmean(trial.user_attrs["folds"]) == trial.intermediate_values[3 * EPOCHS - 1]
    assert designed == [{"scale_from": 7, **trial.params}]


def test_a_hopeless_trial_ends_within_a_fold_and_keeps_the_scores_of_the_finished_ones(
    dataset: Pairs, hyper: Any, tmp_path: Path
) -> None:
    validation = validation_of(dataset(MEAN))
    objective = Objective(
        validation, lambda _: Watched(hyper).candidate, SearchSpace({}, {}), tmp_path, lambda *_: None
    )
    trial = run_study(objective, FoldMedianPruner(EPOCHS, 1, warmup_epochs=EPOCHS), [2.0]).trials[-1]
    assert trial.state == TrialState.PRUNED
    assert sorted(trial.intermediate_values) == [0, 1, 2]
    assert len(trial.user_attrs["folds"]) == 1
    assert list(tmp_path.iterdir()) == []
    late = run_study(objective, FoldMedianPruner(EPOCHS, 1, warmup_epochs=3 * EPOCHS - 1), [2.0]).trials[-1]
    assert late.state == TrialState.COMPLETE  # all its work was done


def test_an_unknown_split_is_refused(dataset: Pairs) -> None:
    with pytest.raises(InputError, match="'random'"):
        validation_of(dataset(MEAN), split="random")
