"""Public datasets: where they live, on which terms, and which of their files become what."""

from __future__ import annotations

from dataclasses import dataclass

from esm2_amp.errors import InputError
from esm2_amp.sources.services import Source

_PACKED = r"\.(zip|tar|tar\.gz|tgz)"
_GZ = r"(\.gz)?"


@dataclass(frozen=True)
class Part:
    """One file of a dataset and what becomes of it.

    Attributes:
        output: the file of the standard form it goes into; several parts may share one.
        patterns: regular expressions for its name in the record, or for its path inside an archive of the record
            (the whole of it, in upper or lower case); the first that fits a file decides.
        label: the label of all its rows; None where the file itself has labels, and for sequences.
        required: whether the dataset is of no use without it.
    """

    output: str
    patterns: tuple[str, ...]
    label: int | None
    required: bool


@dataclass(frozen=True)
class Dataset:
    """A public dataset of protein pairs.

    Attributes:
        name: its name on the command line.
        title: what it is, in one line.
        licence: the licence its authors state, or "not stated".
        citation: what to cite.
        source: the record that holds it.
        parts: its files.
        archives: regular expressions for archives of the record to look into, where a file is not offered by
            itself; the most promising first.
        notes: what a user should know.
    """

    name: str
    title: str
    licence: str
    citation: str
    source: Source
    parts: tuple[Part, ...]
    archives: tuple[str, ...]
    notes: tuple[str, ...]


def _bernett_pairs(output: str, block: int) -> tuple[Part, ...]:
    return tuple(
        Part(output, (rf"(.*/)?Intra{block}_{kind}_rr\.txt{_GZ}",), label, True)
        for kind, label in (("pos", 1), ("neg", 0))
    )


_BERNETT = Dataset(
    name="bernett",
    title="Bernett et al. 2024: human gold standard without data leakage (HIPPIE v2.3, protein-disjoint splits)",
    licence="not stated here; see the licence of the record in card.json",
    citation="Bernett J, Blumenthal DB, List M. Cracking the black box of deep sequence-based protein-protein "
    "interaction prediction. Briefings in Bioinformatics 25(2):bbae076, 2024. doi 10.1093/bib/bbae076",
    source=Source("figshare", "21591618"),
    parts=(
        *_bernett_pairs("train.tsv", 1),
        *_bernett_pairs("val.tsv", 0),
        *_bernett_pairs("test.tsv", 2),
        Part(
            "proteins.fasta",
            (rf"(.*/)?human_swissprot_oneliner\.fasta{_GZ}", rf"(.*/)?human_swissprot\.fasta{_GZ}"),
            None,
            True,
        ),
    ),
    archives=(rf".*(gold|bernett|intra|swissprot).*{_PACKED}",),
    notes=(
        "Intra1 is for training, Intra0 for validation, Intra2 for the test; no two proteins of different blocks are "
        "more than 40 % identical, and every protein has about as many negative as positive pairs.",
        "The FASTA file of version 3 lacks Q96PU5, which occurs in 173 training pairs; version 4 has it.",
    ),
)


def _dscript_species(species: str) -> tuple[Part, ...]:
    return (
        Part(f"test_{species}.tsv", (rf"(.*/)?{species}_test\.tsv{_GZ}",), None, False),
        Part("proteins.fasta", (rf"(.*/)?{species}\.fasta{_GZ}",), None, False),
    )


_DSCRIPT = Dataset(
    name="dscript",
    title="Sledzieski et al. 2021 (D-SCRIPT): human training pairs and five other species, ten negatives a positive",
    licence="not stated here; see the licence of the record in card.json",
    citation="Sledzieski S, Singh R, Cowen L, Berger B. D-SCRIPT translates genome to phenome with sequence-based, "
    "structure-aware, genome-scale predictions of protein-protein interactions. Cell Systems 12(10):969-982, 2021. "
    "doi 10.1016/j.cels.2021.08.010",
    source=Source("zenodo", "5140612"),
    parts=(
        Part("train.tsv", (rf"(.*/)?human_train\.tsv{_GZ}",), None, True),
        Part("val.tsv", (rf"(.*/)?human_test\.tsv{_GZ}",), None, True),
        Part("proteins.fasta", (rf"(.*/)?human\.fasta{_GZ}",), None, True),
        *(part for species in ("mouse", "fly", "worm", "yeast", "ecoli") for part in _dscript_species(species)),
    ),
    archives=(rf".*(pairs|seqs|data|d-?script).*{_PACKED}", rf".*{_PACKED}"),
    notes=(
        "val.tsv holds the human pairs that the authors set aside; the tests are the other species, one file each.",
        "In the sets of the other species most proteins occur in negative pairs only: the number of positive pairs "
        "of a protein, without its sequence, gives an AUROC above 0.9. Print that baseline beside every result.",
    ),
)


def _ilp(name: str) -> tuple[str, ...]:
    return (rf"(.*/)?Hippie-ILP-split-and-sampling[/_-]{name}{_GZ}",)


_BERNETT_2026 = Dataset(
    name="bernett2026",
    title="Bernett et al. 2026: human interactions (HIPPIE v3.0), splits and negatives chosen by integer programming",
    licence="CC BY 4.0",
    citation="Bernett J et al. Are You Learning Biological Signal or Shortcuts? arXiv 2609.10193, 2026. "
    "Data: doi 10.6084/m9.figshare.33407437",
    source=Source("figshare", "33407437"),
    parts=(
        Part("train.tsv", _ilp(r"train\.csv"), None, True),
        Part("val.tsv", _ilp(r"val\.csv"), None, True),
        Part("test.tsv", _ilp(r"test_balanced\.csv"), None, True),
        Part("test_realistic.tsv", _ilp(r"test_realistic\.csv"), None, False),
        Part(
            "proteins.fasta",
            (
                rf"(.*/)?Hippie-ILP-split-and-sampling/(.*/)?sequences\.fasta{_GZ}",
                rf"(.*/)?hippie[^/]*\.fasta{_GZ}",
                rf"([^/]*/)?sequences\.fasta{_GZ}",
            ),
            None,
            False,
        ),
    ),
    archives=(
        rf".*Hippie-ILP-split-and-sampling.*{_PACKED}",
        rf".*results_esm2.*{_PACKED}",
        rf".*(hippie|esm2).*{_PACKED}",
    ),
    notes=(
        "test.tsv has as many negatives as positives (test_balanced.csv); test_realistic.tsv has ten times as many.",
        "The archives of this record are large (gigabytes).",
    ),
)

CATALOG = {dataset.name: dataset for dataset in (_BERNETT, _DSCRIPT, _BERNETT_2026)}
"""The known datasets by name."""


def find_dataset(name: str) -> Dataset:
    """Look a dataset up.

    Raises:
        InputError: no dataset has this name.
    """
    try:
        return CATALOG[name]
    except KeyError:
        raise InputError(f"no dataset is called '{name}'", remedy=f"The datasets are: {', '.join(CATALOG)}.") from None
