"""The model of human interactions that ships scores real proteins offline, and says how weak it is."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

HUMAN = """\
>sp|P01308|INS_HUMAN Insulin
MALWMRLLPLLALLALWGPDPAAAFVNQHLCGSHLVEALYLVCGERGFFYTPKTRREAEDLQVGQVELGGGPGAGSLQPLALEGSLQKRGIVEQCCTSICSLYQLENYCN
>sp|P69905|HBA_HUMAN Hemoglobin subunit alpha
MVLSPADKTNVKAAWGKVGAHAGEYGAEALERMFLSFPTTKTYFPHFDLSHGSAQVKGHGKKVADALTNAVAHVDDMPNALSALSDLHAHKLRVDPVNFKLLSHCLLVTLAAHLPAEFTPAVHASLDKFLASVSTVLTSKYR
>sp|P68871|HBB_HUMAN Hemoglobin subunit beta
MVHLTPEEKSAVTALWGKVNVDEVGGEALGRLLVVYPWTQRFFESFGDLSTPDAVMGNPKVKAHGKKVLGAFSDGLAHLDNLKGTFATLSELHCDKLHVDPENFRLLGNVLVCVLAHHFGKEFTPPVQAAYQKVVAGVANALAHKYH
"""  # noqa: E501 - sequences


def test_real_proteins_are_scored_offline(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "human.fasta").write_text(HUMAN)
    (tmp_path / "pairs.tsv").write_text("P69905\tP68871\nP01308\tP68871\nP68871\tP69905\nP01308\tP00000\n")
    words = ["pairs=pairs.tsv", "fasta=human.fasta", "checkpoint=shipped:checkpoints/human_ampx", "output=scores.tsv"]
    outcome = cli(["predict", *words, "features.device=cpu"], tmp_path)
    assert outcome.code == 0, outcome.err
    with (tmp_path / "scores.tsv").open(newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [row["status"] == "ok" for row in rows] == [True, True, True, False]
    scores = [float(row["probability"]) for row in rows[:3]]
    assert all(0.1 < score < 0.9 for score in scores)  # calibrated: a model this weak is never sure
    assert scores[0] == scores[2] != scores[1]
    assert "On its validation pairs this model reached an AUROC of 0.6" in outcome.err
    assert "simulated" not in outcome.err
