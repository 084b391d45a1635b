"""The model trained at the end of a sweep: once for each best trial, and never over another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from esm2_amp.errors import InputError
from esm2_amp.tasks import train, tune

TEMPLATE = {
    "model": {"name": "dpm", "optimizer": {"lr": 0.1}}, "batch_size": 8, "epochs": 2, "seed": 0,
    "run_dir": None, "resume": False, "features": {"folder": "f"},
}  # fmt: skip


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, bool]]:
    """Rate and ``resume`` of each training that was run; the one at 0.3 dies before it is finished."""
    calls: list[tuple[float, bool]] = []

    def run(cfg: DictConfig) -> dict[str, Any]:
        calls.append((cfg.model.optimizer.lr, cfg.resume))
        folder = Path(cfg.run_dir)
        folder.mkdir(exist_ok=True)
        OmegaConf.save(cfg, folder / "config.yaml")
        if cfg.model.optimizer.lr == 0.3 and not cfg.resume:
            raise KeyboardInterrupt
        (folder / "metrics.json").write_text(str(cfg.model.optimizer.lr))
        return {}

    monkeypatch.setattr(train, "run", run)
    return calls


def test_a_model_is_trained_once_gone_on_with_and_never_replaced(
    trained: list[tuple[float, bool]], tmp_path: Path
) -> None:
    def best(lr: float) -> None:
        tune.train_best(tmp_path, OmegaConf.create(TEMPLATE), {"model.optimizer.lr": lr})

    best(0.1)
    best(0.1)
    best(0.2)
    with pytest.raises(KeyboardInterrupt):
        best(0.3)
    best(0.3)
    assert trained == [(0.1, False), (0.2, False), (0.3, False), (0.3, True)]
    kept = {folder.name: (folder / "metrics.json").read_text() for folder in tmp_path.iterdir()}
    assert kept == {"best": "0.3", "best-1": "0.1", "best-2": "0.2"}


def test_an_option_that_the_model_has_not_is_refused() -> None:
    with pytest.raises(InputError, match=r"search.model.optimizer.lrr: model=dpm has no such option"):
        tune.with_options(OmegaConf.create(TEMPLATE), {"model.optimizer.lrr": 1})
