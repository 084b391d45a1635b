"""What a student reads: pooled tokens, their components, and the file that keeps them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from esm2_amp.errors import InputError
from esm2_amp.models.dpm import DPM, DPMHyper
from esm2_amp.screening.scorer import Scorer
from esm2_amp.screening.student_inputs import described, student_inputs


def test_vectors_stay_and_many_tokens_are_pooled() -> None:
    vectors, tokens = torch.randn(2, 3), torch.randn(2, 5, 2000, generator=torch.Generator().manual_seed(0))
    x = tokens.numpy()
    expected = np.concatenate([vectors.numpy(), x.mean(1), x.std(1), x.max(1), x.min(1)], axis=1)
    assert np.allclose(described((vectors, tokens)).numpy(), expected, atol=1e-6)
    assert torch.equal(described((tokens[..., :1600],)), tokens[..., :1600].flatten(1))


def test_inputs_are_kept_and_of_these_proteins(tmp_path: Path) -> None:
    tokens = torch.randn(60, 1, 8, generator=torch.Generator().manual_seed(0))
    scorer = Scorer(DPM(8, DPMHyper(None, 4, 4, 4)), torch.device("cpu"))
    file = tmp_path / "inputs.safetensors"
    asked: list[int] = []

    def features(rows: np.ndarray) -> torch.Tensor:
        asked.extend(rows.tolist())
        return tokens[torch.from_numpy(rows)]

    inputs = student_inputs(features, scorer, 60, 5, 0, file)
    assert inputs.shape == (60, 5)
    assert inputs.isfinite().all()
    before = len(asked)
    assert torch.equal(student_inputs(features, scorer, 60, 5, 0, file), inputs)
    assert len(asked) == before
    with pytest.raises(InputError, match="not \\(61, 5\\)"):
        student_inputs(features, scorer, 61, 5, 0, file)
    file.write_bytes(b"no tensors")
    with pytest.raises(InputError, match="damaged"):
        student_inputs(features, scorer, 60, 5, 0, file)
