"""AMP_CSE: AMPS that also reads the cls and eos tokens."""

from __future__ import annotations

from typing import ClassVar

from esm2_amp.layout import CLS_SEGMENTS_EOS, TokenLayout
from esm2_amp.models.amps import AMPS


class AMPCSE(AMPS):
    """logit = MLP(mean over tokens(TransformerEncoder([A_cls, A_segment0..9, A_eos, B_cls, B_segment0..9, B_eos]))).

    Source: Sun et al. 2025 (doi 10.1093/bib/bbaf434), ESM2_AMP_CSE.
    """

    layout: ClassVar[TokenLayout] = CLS_SEGMENTS_EOS
