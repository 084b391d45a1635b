"""Sentences of an explanation's page: which method to trust, what was left out, where everything comes from."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from esm2_amp.explain.explained import Faithfulness
from esm2_amp.explain.page_words import method as known
from esm2_amp.explain.summary import K
from esm2_amp.io.pairs import counted
from esm2_amp.tasks.controls import banner_of
from esm2_amp.tasks.explain_results import Explained
from esm2_amp.tasks.reporting import model_provenance
from esm2_amp.tasks.training_data import file_hash


def lead_sentence(table: Sequence[Faithfulness], better: Collection[str], tokens: int) -> str:
    """Which method to trust on these pairs, beside random values.

    Args:
        table: methods from the most to the least faithful, then random values.
        better: methods that are clearly better than random values.
        tokens: of a pair.
    """
    if not table:
        return "How true the methods are was not measured (faithfulness.pairs=0): compare them before believing one."
    random = next(row.measures for row in table if row.kind == "random")
    name, numbers = known(table[0].method).title, table[0].measures
    if table[0].method not in better:
        return f"No method is clearly better than random values on these pairs: believe none. ({name} comes first.)"
    gone, luck = (measures[f"comprehensiveness@{K}"].value for measures in (numbers, random))
    said = (
        f"Trust {name} first: without the {K} of {tokens} tokens that it ranks highest, the probability of the model's "
        f"call falls by {gone:.2f}, without {K} random ones by {luck:.2f}."
    )
    if "hit@2" in numbers and "hit@2" in random:
        hits, chance = numbers["hit@2"].value, random["hit@2"].value
        said += f" The planted truth is among its top 2 in {hits:.0%} of true positives (random values: {chance:.0%})."
    weak = [known(row.method).title for row in table if row.kind == "method" and row.method not in better]
    return said + (f" Not clearly better than random values: {', '.join(weak)}." if weak else "")


def notes_of(done: Explained) -> list[str]:
    """What a reader must know about this explanation."""
    rows, explained = len(done.scored.rows), len(done.scored.explained)
    notes = []
    if explained < rows:
        notes.append(f"{counted(rows - explained, 'row')} of {rows:,} could not be explained: pairs.tsv says why.")
    notes.append(f"What stands for a token of which nothing is known: {done.scored.background}.")
    if any(name.startswith("ae_") for name in done.explainer.methods):
        notes.append(
            "ae_* explain other models than the one whose probability is shown: a forest and a perceptron taught on "
            "the same training pairs from compressed tokens."
        )
        if seen := done.taught.trained_on(*done.scored.places(done.scored.explained)):
            notes.append(f"{counted(seen, 'explained pair')} stood among the pairs that these models were taught on.")
    return notes


def provenance_of(done: Explained) -> list[tuple[str, str]]:
    """Names and values: files by their hashes, the model, settings."""
    inputs = done.scored.inputs
    files = [("pairs", inputs.pairs_file), ("sequences", inputs.fasta_file)]
    if inputs.files is not None:
        files.append(("training pairs", inputs.files.pairs))
    files += [("regions", file) for file in done.regions.files]
    named = [(name, f"{file}, SHA-256 {file_hash(file)}") for name, file in files]
    config = inputs.config
    settings = [
        ("baseline", done.scored.background),
        ("integrated gradients", f"tolerance {config.ig.tolerance}, at most {config.ig.max_steps} steps"),
        ("seed", str(config.seed)),
    ]
    return [*named, ("model", str(inputs.model.folder)), *model_provenance(inputs.model.card), *settings]


def banner(done: Explained) -> str | None:
    """A warning that stands above everything: simulated data, a control."""
    return banner_of(done.scored.inputs.model.card.training)


def calibration_of(done: Explained) -> str:
    """What the probabilities are worth."""
    card = done.scored.inputs.model.card
    method = card.calibration["method"]
    if method == "none":
        return "The probabilities are not calibrated."
    return (
        f"The probabilities are calibrated ({method}) on the model's validation pairs: they are the chance among pairs "
        "like those, commonly half of them interacting, not among all pairs of a proteome."
    )
