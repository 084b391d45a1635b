"""The settings of a simulation, and what is refused before it starts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from esm2_amp.errors import InputError


@dataclass(frozen=True)
class SimulationSpec:
    """Everything that a simulation depends on, beside its seed. Ranges are (smallest, largest), inclusive.

    Attributes:
        domain_families: number of families of folded domains.
        motif_families: number of families of linear motifs; each is bound by one domain family.
        homotypic_families: how many of the domain families bind themselves.
        domain_length: residues of a domain.
        motif_stretch_length: residues of a motif module, that is of the linker with the motifs in it.
        motif_length: residues of one motif.
        motif_repeats: copies of the motif in a motif module.
        domain_concentration: how close the composition of a domain family stays to Swiss-Prot's: the sum of the
            parameters of a Dirichlet distribution. 20 gives strongly biased families, 500 hardly any difference.
        motif_concentration: the same for motif families.
        module_identity: share of the residues of its family's ancestor that a module conserves.
        linker_identity: share of the residues of its protein family's founder that the rest of a protein conserves.
        conservative_share: share of substitutions inside a group of alike residues.
        deletion_share: share of changed residues that are deleted rather than substituted.
        insertion_rate: chance that one to three residues are inserted behind a residue.
        linker_disorder: factor by which disorder-promoting residues are more frequent between modules.
        length_median: median length of the founders of protein families (lognormal).
        length_spread: standard deviation of the logarithm of that length.
        length_range: founders outside of it are drawn again.
        modules_per_protein: relative frequency of protein families with 1, 2, 3... modules.
        homologues: number of proteins in a protein family.
        train_families: number of protein families seen in training.
        val_families: number of protein families for validation only.
        test_families: number of protein families for testing only.
        train_pairs: pairs of the training file; half of them interact, as in every file.
        val_pairs: pairs of two validation proteins.
        c1_pairs: test pairs of two training proteins.
        c2_pairs: test pairs of a training and a test protein.
        c3_pairs: test pairs of two test proteins.
        degree_spread: standard deviation of the logarithm of how eagerly a protein is sampled into pairs; 0 for
            none. Real interaction lists have a few proteins in many pairs.
        exact_degrees: whether a protein has as many negative as positive pairs in the validation and test files too,
            as it always has in training, or only on average; see :func:`~esm2_amp.sources.matching.balanced_pairs`.
    """

    domain_families: int
    motif_families: int
    homotypic_families: int
    domain_length: tuple[int, int]
    motif_stretch_length: tuple[int, int]
    motif_length: tuple[int, int]
    motif_repeats: int
    domain_concentration: float
    motif_concentration: float
    module_identity: tuple[float, float]
    linker_identity: tuple[float, float]
    conservative_share: float
    deletion_share: float
    insertion_rate: float
    linker_disorder: float
    length_median: float
    length_spread: float
    length_range: tuple[int, int]
    modules_per_protein: tuple[float, ...]
    homologues: tuple[int, int]
    train_families: int
    val_families: int
    test_families: int
    train_pairs: int
    val_pairs: int
    c1_pairs: int
    c2_pairs: int
    c3_pairs: int
    degree_spread: float
    exact_degrees: bool

    @property
    def module_families(self) -> int:
        """Number of module families of both kinds."""
        return self.domain_families + self.motif_families

    def check(self) -> None:
        """Refuse settings that no simulation can satisfy.

        Raises:
            InputError: naming the setting, its value and what it may be.
        """
        self._check_ranges()
        self._check_shares()
        self._check_families()
        self._check_lengths()

    def _check_ranges(self) -> None:
        for name, value in asdict(self).items():
            if name.endswith(("_length", "_range", "_identity")) or name == "homologues":
                if len(value) != 2 or not 0 < value[0] <= value[1]:
                    raise _refused(name, value, "Give the smallest and the largest value, both above 0.")
            elif name != "modules_per_protein" and value < 0:
                raise _refused(name, value, "Give a number that is not negative.")
        for name in (
            "motif_repeats",
            "domain_concentration",
            "motif_concentration",
            "linker_disorder",
            "length_median",
        ):
            if getattr(self, name) <= 0:
                raise _refused(name, getattr(self, name), "Give a number above 0.")

    def _check_shares(self) -> None:
        for name in ("conservative_share", "deletion_share", "insertion_rate"):
            if getattr(self, name) > 1:
                raise _refused(name, getattr(self, name), "Give a share between 0 and 1.")
        for name in ("module_identity", "linker_identity"):
            if getattr(self, name)[1] > 1:
                raise _refused(name, getattr(self, name), "Give shares between 0 and 1.")
        shares = self.modules_per_protein
        if not shares or min(shares) < 0 or sum(shares) <= 0:
            raise _refused("modules_per_protein", shares, "Give the relative frequency of 1, 2, 3... modules.")

    def _check_families(self) -> None:
        free = self.domain_families - self.homotypic_families
        if free < self.motif_families or (free - self.motif_families) % 2 or self.module_families < 2:
            raise InputError(
                f"{self.domain_families} domain families of which {self.homotypic_families} bind themselves, and "
                f"{self.motif_families} motif families: these cannot be matched one to one",
                remedy="Every motif family needs a domain family of its own, and the other domain families that do "
                "not bind themselves must be an even number.",
            )
        if len(self.modules_per_protein) > self.module_families // 2:
            raise _refused(
                "modules_per_protein",
                self.modules_per_protein,
                f"With {self.module_families} module families a protein can hold {self.module_families // 2} at most.",
            )
        for name in ("train_pairs", "val_pairs", "c1_pairs", "c2_pairs", "c3_pairs"):
            if getattr(self, name) < 2 or getattr(self, name) % 2:
                raise _refused(name, getattr(self, name), "Give an even number: half of the pairs interact.")
        for name in ("train_families", "val_families", "test_families"):
            if getattr(self, name) < self.module_families:
                raise _refused(name, getattr(self, name), f"Give {self.module_families} or more, one a module family.")

    def _check_lengths(self) -> None:
        core = self.motif_repeats * self.motif_length[1]
        if self.motif_families and core > self.motif_stretch_length[0]:
            raise _refused("motif_stretch_length", self.motif_stretch_length, f"The motifs alone may need {core}.")
        longest = max(self.domain_length[1], self.motif_stretch_length[1] if self.motif_families else 0)
        needed = len(self.modules_per_protein) * longest
        if not needed < self.length_range[1]:
            raise _refused("length_range", self.length_range, f"The modules of one protein may need {needed} residues.")
        if not self.length_range[0] <= self.length_median <= self.length_range[1]:
            raise _refused("length_median", self.length_median, f"It must lie within {self.length_range}.")


def _refused(name: str, value: Any, remedy: str) -> InputError:
    return InputError(f"a simulation with {name} = {value} is not possible", remedy=remedy)
