"""The processes that share a work: started, connected by Lightning, and told when one of them is gone.

Lightning's own launcher ends the first process with SIGKILL, without a word, when another one dies. Hence the processes
of a machine are started here, in the way that Lightning documents for its users (``LOCAL_RANK`` in the environment);
those that torchrun, SLURM and other schedulers start are recognised by Lightning.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import distributed

from esm2_amp.errors import InputError
from esm2_amp.tasks.config_groups import TrainerConfig
from esm2_amp.tasks.options import at_least

_STARTER = "ESM2_AMP_STARTER"
"""Tells a process that was started here who did it."""
_TO_CONNECT, _TO_MEET = timedelta(minutes=3), timedelta(hours=6)
"""How long a process waits for the others: at the start, and where the faster ones wait for the slower ones.

A process that dies is noticed at once by those that wait for it; only a machine that loses its power is not."""
_LOOK_S, _LEAVE_S = 0.1, 60.0


class Team:
    """The processes of this run, as one of them sees them.

    Attributes:
        rank: number of this process; 0 is the first one's.
        count: how many there are.
        device: what this one computes on.
    """

    def __init__(self, fabric: Fabric, children: Sequence[subprocess.Popen[bytes]]) -> None:
        self.rank, self.count, self.device = fabric.global_rank, fabric.world_size, fabric.device
        self._children, self._starter = children, int(os.environ.get(_STARTER, "0"))
        self._group = distributed.new_group(backend="gloo", timeout=_TO_MEET)

    def check(self) -> None:
        """Raise if a process that was started by this one has failed, or the one that started this one is gone."""
        if any(child.poll() for child in self._children) or self._starter not in (0, os.getppid()):
            raise _stopped()

    def meet(self) -> None:
        """Wait until every process is here.

        Raises:
            InputError: one of them will not come.
        """
        self._finish(lambda: distributed.barrier(group=self._group, async_op=True))

    def smallest(self, value: int) -> int:
        """The smallest of the values that the processes call this with.

        Raises:
            InputError: one of them will not come.
        """
        number = torch.tensor(value)
        self._finish(lambda: distributed.all_reduce(number, distributed.ReduceOp.MIN, self._group, async_op=True))
        return int(number)

    def _finish(self, begin: Callable[[], Any]) -> None:
        """Wait for something that all processes do together, while looking after them."""
        try:
            work = begin()
            while not work.is_completed():
                self.check()
                time.sleep(_LOOK_S)
            work.wait()
        except RuntimeError as error:
            raise _stopped() from error


class Alone:
    """One process that shares its work with nobody, in place of a :class:`Team`."""

    rank, count = 0, 1

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def check(self) -> None:
        """Nobody else can be gone."""

    def meet(self) -> None:
        """Nobody else is to come."""


@contextmanager
def assembled(cfg: TrainerConfig) -> Iterator[Team]:
    """Start and connect the processes that a configuration asks for; those of this machine end with the block.

    Raises:
        InputError: the devices are not there, or a process does not start.
    """
    fabric = _fabric(cfg)
    environment = fabric.strategy.cluster_environment
    before = dict(os.environ)
    if _STARTER in os.environ and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first process's business, which ends this one
    children = [] if environment.creates_processes_externally else _start(fabric.strategy, cfg.num_nodes)
    try:
        try:
            fabric.launch()
            team = Team(fabric, children)
        except ValueError as error:  # a scheduler started another number of processes
            raise _refused(cfg, error) from error
        except RuntimeError as error:
            raise _stopped() from error
        yield team
        with suppress(subprocess.TimeoutExpired):
            for child in children:
                child.wait(_LEAVE_S)
    finally:
        for child in children:
            child.kill()
            child.wait()
        if distributed.is_initialized():
            distributed.destroy_process_group()
        os.environ.clear()
        os.environ.update(before)


def is_shared(cfg: TrainerConfig) -> bool:
    """Whether a configuration asks for anything but this one process on the device of ``features.device``."""
    return cfg.devices != 1 or cfg.num_nodes != 1 or cfg.strategy != "auto" or cfg.accelerator != "auto"


def check_team(cfg: TrainerConfig) -> None:
    """Refuse impossible settings before any work."""
    at_least(trainer__num_nodes=(cfg.num_nodes, 1))
    if cfg.strategy not in ("auto", "ddp"):
        raise InputError(f"trainer.strategy is {cfg.strategy!r}", remedy="Use auto or ddp.")
    if is_shared(cfg):
        _fabric(cfg)


def _fabric(cfg: TrainerConfig) -> Fabric:
    strategy = DDPStrategy(timeout=_TO_CONNECT)
    try:
        return Fabric(accelerator=cfg.accelerator, devices=cfg.devices, num_nodes=cfg.num_nodes, strategy=strategy)
    except (ValueError, TypeError, RuntimeError) as error:
        raise _refused(cfg, error) from error


def _refused(cfg: TrainerConfig, error: Exception) -> InputError:
    given = ", ".join(f"trainer.{name}={getattr(cfg, name)}" for name in ("accelerator", "devices", "num_nodes"))
    return InputError(f"{given}: {error}", remedy="See --help for the options of trainer.")


def _start(strategy: Any, machines: int) -> list[subprocess.Popen[bytes]]:
    """Start this command again for every further device of this machine."""
    environment, count = strategy.cluster_environment, strategy.num_processes
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = environment.main_address, str(environment.main_port)
    os.environ["NODE_RANK"], os.environ["WORLD_SIZE"] = str(environment.node_rank()), str(count * machines)
    os.environ["LOCAL_RANK"] = "0"
    if "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = str(max(1, torch.get_num_threads() // count))
    command = [sys.executable, "-m", "esm2_amp", *sys.argv[1:]]
    started = {_STARTER: str(os.getpid())}
    return [
        subprocess.Popen(command, env={**os.environ, **started, "LOCAL_RANK": str(rank)}) for rank in range(1, count)
    ]


def _stopped() -> InputError:
    return InputError("a process of this run stopped", remedy="Run the same command again; what is done is kept.")
