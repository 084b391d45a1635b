"""A student of a trained network whose score is an inner product of protein vectors, so that partners can be looked up.

score(a, b) = e(a) + e(b) + f(a) . g(b) + g(a) . f(b)

with f, g (R values) and e (one) of one perceptron on principal components of a protein's tokens. It is symmetric as the
networks are; f and g differ, so proteins unlike each other may attract each other, which the inner product of one
tower with itself could not say. Put together it is one inner product, q(a) . h(b), with

q(a) = [g(a), f(a), 1, e(a)] and h(b) = [f(b), g(b), e(b), 1].

Towers behind an inner product, taught by a better and slower scorer, as in retrieval of documents: Hofstaetter et al.
2020 (arXiv 2010.02666).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from esm2_amp.io.atomic import atomic_path
from esm2_amp.models.checkpoint import load_weights

Towers = tuple[Tensor, Tensor, Tensor]
"""f (n, R), g (n, R) and e (n,) of n proteins."""


@dataclass(frozen=True)
class StudentSize:
    """Sizes of a student.

    Attributes:
        components: K, principal components it reads of a protein; see :mod:`esm2_amp.screening.student_inputs`.
        hidden: width of its perceptron.
        rank: R, values of each tower.
    """

    components: int
    hidden: int
    rank: int


class Student(nn.Module):
    """Two towers; see the module.

    Args:
        size: of its layers.
        seed: of its first weights.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, size: StudentSize, seed: int) -> None:
        super().__init__()
        self.size, self.rank = size, size.rank
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.body = nn.Sequential(
                nn.Linear(size.components, size.hidden), nn.GELU(), nn.LayerNorm(size.hidden)
            )  # fmt: skip
            self.out = nn.Linear(size.hidden, 2 * size.rank + 1)
            self.skip = nn.Linear(size.components, 2 * size.rank + 1, bias=False)
        nn.init.zeros_(self.skip.weight)
        self.register_buffer("centre", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))

    def towers(self, inputs: Tensor) -> Towers:
        """The towers f (n, R), g (n, R) and e (n,) of proteins with the components (n, K)."""
        values: Tensor = self.out(self.body(inputs)) + self.skip(inputs)
        root = self.rank**-0.25  # a product of R terms as large as one term
        return values[:, : self.rank] * root, values[:, self.rank : -1] * root, values[:, -1]

    def score(self, towers: Towers, i: Tensor, j: Tensor) -> Tensor:
        """Scores (m,) of pairs (i, j), in units of the teacher's standard deviation around its mean."""
        f, g, own = towers
        return own[i] + own[j] + (f[i] * g[j]).sum(-1) + (g[i] * f[j]).sum(-1)

    def logits(self, inputs: Tensor, i: Tensor, j: Tensor) -> Tensor:
        """What the teacher's logits (m,) should be for the pairs (i, j) of proteins with the components (n, K)."""
        return self.score(self.towers(inputs), i, j) * self.scale + self.centre

    def vectors(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors q and h of proteins, (n, 2 R + 2) each: ``q(a) . h(b)`` is the score of (a, b)."""
        f, g, own = self.towers(inputs)
        one = torch.ones_like(own)[:, None]
        return torch.cat((g, f, one, own[:, None]), dim=1), torch.cat((f, g, own[:, None], one), dim=1)

    def save(self, file: Path) -> None:
        """Write its weights as safetensors, atomically."""
        with atomic_path(file) as path:
            save_file({name: tensor.contiguous() for name, tensor in self.state_dict().items()}, path)


def load_student(file: Path, size: StudentSize) -> Student:
    """A student of these sizes with the weights of a file.

    Raises:
        InputError: the file is damaged or of another student.
    """
    student = Student(size, 0)
    load_weights(student, file)
    return student.eval()
