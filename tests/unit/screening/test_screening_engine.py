"""A screening from features to its one result, against scoring every pair by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from screening_world import (
    Tiny,
    at_prevalence,
    ids,
    of_rows,
    parts_of,
    probability,
    result,
    run,
    scorer,
    tokens,
)

from esm2_amp.errors import InputError
from esm2_amp.screening.background import Background
from esm2_amp.screening.engine import Blocks, sample, screen
from esm2_amp.screening.finish import COLUMNS, best, finish
from esm2_amp.screening.grid import Grid
from esm2_amp.screening.keep import Keep
from esm2_amp.screening.scorer import Scorer
from esm2_amp.screening.work import Unit

N = 40
GRIDS = {
    "all against all": Grid(N, N, 0, 7, False),
    "with themselves": Grid(N, N, 0, 7, True),
    "two sets": Grid(N, 15, 15, 7, False),
    "overlapping sets": Grid(N, 25, 12, 7, False),
    "one against all": Grid(N, 1, 0, 7, False),
    "thinned": None,
}


class Thin:
    """Some of the pairs of a grid, and a unit without any."""

    def __init__(self) -> None:
        self._work = Grid(N, N, 0, 10, False)

    def __len__(self) -> int:
        return len(self._work)

    def size(self, number: int) -> int:
        return len(self.unit(number).i)

    def unit(self, number: int) -> Unit:
        unit = self._work.unit(number)
        some = slice(0, 0) if number == 2 else slice(None, None, 6)
        return Unit(unit.a, unit.b, unit.i[some], unit.j[some], whole=False)


def expected(work: Grid | Thin, keep: Keep) -> pd.DataFrame:
    """By hand: all pairs one by one, ranked for each protein, filtered."""
    network, table = Tiny().eval(), tokens(N)
    units = [work.unit(number) for number in range(len(work))]
    a = np.concatenate([unit.a[unit.i] for unit in units])
    b = np.concatenate([unit.b[unit.j] for unit in units])
    with torch.no_grad():
        logit = np.array([float(network(table[[i]], table[[j]])) for i, j in zip(a, b, strict=True)], np.float32)
    frame = pd.DataFrame({"a": a, "b": b, "logit": logit, "probability": probability(logit)})
    ends = pd.concat([frame, frame.rename(columns={"a": "b", "b": "a"})]).drop_duplicates(["a", "b"])
    ends = ends.sort_values(["logit", "b"], ascending=[False, True])
    top = ends.groupby("a").head(keep.top or N)
    leading = set(zip(top["a"], top["b"], strict=True))
    held = [(i, j) in leading or (j, i) in leading for i, j in zip(a, b, strict=True)]
    for side in "ab":
        scores = {protein: some["logit"].to_numpy() for protein, some in ends.groupby("a")}
        frame[f"percentile_{side}"] = [
            ((scores[k] < x).sum() + (scores[k] <= x).sum()) / 2 / len(scores[k])
            for k, x in zip(frame[side], frame["logit"], strict=True)
        ]
    return frame[np.array(held) & (frame["probability"] >= (keep.threshold or 0))].reset_index(drop=True)


@pytest.mark.parametrize("keep", [Keep(None, None), Keep(None, 3), Keep(0.3, None), Keep(0.3, 3)], ids=str)
@pytest.mark.parametrize("mode", GRIDS)
def test_the_result_is_that_of_scoring_every_pair_by_itself(tmp_path: Path, mode: str, keep: Keep):
    work, told = GRIDS[mode] or Thin(), []
    parts = run(tmp_path / "parts", work, N, keep, seconds=0.01, advance=told.append)
    summary = result(parts, work, keep, tmp_path / "pairs.parquet")
    found, wanted = pd.read_parquet(tmp_path / "pairs.parquet"), expected(work, keep)
    assert list(found) == ["protein_a", "protein_b", *COLUMNS]
    assert [ids(N)[k] for k in wanted["a"]] == found["protein_a"].tolist()
    assert [ids(N)[k] for k in wanted["b"]] == found["protein_b"].tolist()
    for name in ("logit", "probability"):
        assert np.allclose(found[name], wanted[name], atol=1e-5)
    assert np.allclose(found["probability_at_prevalence"], at_prevalence(found["logit"].to_numpy()), rtol=1e-5)
    for name in ("percentile_a", "percentile_b"):  # few pairs: some share a bin
        assert np.abs(found[name] - wanted[name]).mean() < 0.01
    assert sum(told) == sum(work.size(number) for number in range(len(work))) == summary.scored.sum() - _ends(work)
    assert summary.pairs == len(found)
    for k in range(N):
        mine = wanted[(wanted["a"] == k) | (wanted["b"] == k)]
        assert summary.kept[k] == len(mine)
        if len(mine):
            row = mine.loc[mine["logit"].idxmax()]
            assert summary.best_partner[k] == row["a"] + row["b"] - k
            assert summary.best_logit[k] == pytest.approx(row["logit"], abs=1e-5)
        else:
            assert summary.best_partner[k] == -1
            assert np.isnan(summary.best_logit[k])


def _ends(work: Grid | Thin) -> int:
    """How many more ends than pairs there are: one a pair, but none of a protein's pair with itself."""
    units = [work.unit(number) for number in range(len(work))]
    return sum(int((unit.a[unit.i] != unit.b[unit.j]).sum()) for unit in units)


def test_scores_can_be_compared_with_those_of_other_pairs(tmp_path: Path):
    """Chosen pairs are the best: compared with one another they would look like any."""
    every, chosen = Grid(N, N, 0, 7, False), Thin()
    whole = run(tmp_path / "all", every, N, Keep(None, None), seconds=100)
    result(whole, every, Keep(None, None), tmp_path / "all.parquet")
    parts = parts_of(tmp_path / "parts", chosen, N, Keep(None, None), 100)
    screen(
        chosen, of_rows(tokens(N)), scorer(), Keep(None, None), probability, parts, share=(0, 1), advance=int,
        check=lambda: None,
    )  # fmt: skip
    background = whole.background()
    summary = finish(parts, len(chosen), Keep(None, None), at_prevalence, background, tmp_path / "p.parquet")
    found, wanted = (
        pd.read_parquet(file).astype({"protein_a": "str", "protein_b": "str"})
        for file in (tmp_path / "p.parquet", tmp_path / "all.parquet")
    )
    both = found.merge(wanted, on=["protein_a", "protein_b"])
    assert len(both) == len(found) == summary.pairs
    assert np.allclose(both["percentile_a_x"], both["percentile_a_y"], atol=0.03)
    assert (summary.mean_logit == background.means()).all()
    assert summary.scored.sum() == 2 * len(found)


def test_ties_are_ranked_by_the_partners_number(tmp_path: Path):
    """All logits equal: the first proteins are everybody's best."""

    class Level(Scorer):
        def logits(self, a: tuple[torch.Tensor, ...], b: tuple[torch.Tensor, ...]) -> torch.Tensor:
            return super().logits(a, b) * 0 + 1

    work, keep = Grid(20, 20, 0, 6, False), Keep(None, 2)
    parts = parts_of(tmp_path / "parts", work, 20, keep, 0.0)
    level = Level(Tiny(), torch.device("cpu"))
    screen(
        work, of_rows(tokens(20)), level, keep, probability, parts, share=(0, 1), advance=int, check=lambda: None
    )  # fmt: skip
    result(parts, work, keep, tmp_path / "p.parquet")
    found = pd.read_parquet(tmp_path / "p.parquet")
    pairs = set(zip(found["protein_a"].astype(str), found["protein_b"].astype(str), strict=True))
    names = ids(20)
    assert pairs == {(names[0], x) for x in names[1:]} | {(names[1], x) for x in names[2:]}
    assert set(found["percentile_a"]) == {0.5}


def test_what_is_prepared_is_used_again():
    asked: list[int] = []

    def features(numbers: np.ndarray) -> torch.Tensor:
        asked.append(int(numbers[0]))
        return tokens(N)[torch.from_numpy(numbers)]

    blocks = Blocks(features, scorer())
    for _ in range(2):
        for start in (0, 10, 20):
            blocks(np.arange(start, start + 10))
    assert asked == [0, 10, 20]


def test_blocks_that_do_not_fit_are_let_go(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("esm2_amp.screening.engine.CACHE_BYTES", 1)
    blocks = Blocks(of_rows(tokens(N)), scorer())
    for start in range(30):
        assert len(blocks(np.arange(start, start + 5))[0]) == 5
    assert len(blocks._held) == 2


def test_a_sample_is_from_over_all_the_work_and_always_the_same():
    work = Grid(500, 500, 0, 40, False)
    first, second = (sample(work, of_rows(tokens(500)), scorer(), 1000) for _ in range(2))
    assert (first == second).all()
    assert 900 <= len(first) <= 1100
    assert len(np.unique(first)) > 0.99 * len(first)
    assert len(sample(Grid(3, 3, 0, 40, False), of_rows(tokens(3)), scorer(), 1000)) == 3


def test_a_logit_that_is_not_finite_ends_the_run_by_the_names_of_both_and_loses_nothing(tmp_path: Path):
    table = tokens(N)
    table[23, 0, 0] = torch.nan
    work, keep = Grid(N, N, 0, 10, False), Keep(None, None)
    parts = parts_of(tmp_path, work, N, keep, 100.0)
    with pytest.raises(InputError, match=r"logit of P00000 and P00023 is nan"):
        screen(
            work, of_rows(table), scorer(), keep, probability, parts, share=(0, 1), advance=int, check=lambda: None
        )  # fmt: skip
    assert parts.done() == {0, 1}
    assert len(list(parts.kept())) == 2


def test_what_check_raises_ends_the_run_with_all_that_is_done(tmp_path: Path):
    work, keep, calls = Grid(N, N, 0, 10, False), Keep(None, 3), []

    def check() -> None:
        calls.append(None)
        if len(calls) == 5:
            raise KeyboardInterrupt

    parts = parts_of(tmp_path, work, N, keep, 100.0)
    with pytest.raises(KeyboardInterrupt):
        screen(
            work, of_rows(tokens(N)), scorer(), keep, probability, parts, share=(0, 1), advance=int, check=check
        )  # fmt: skip
    assert parts.done() == {0, 1, 2, 3}
    with pytest.raises(InputError, match="6 of 10 units are not scored yet"):
        result(parts, work, keep, tmp_path / "p.parquet")
    assert not (tmp_path / "p.parquet").exists()


def test_a_unit_cut_short_is_not_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    work, keep, add, calls = Grid(N, N, 0, 10, False), Keep(None, 3), Background.add, []

    def interrupted(self: Background, unit: Unit, logits: np.ndarray) -> None:
        add(self, unit, logits)
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Background, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, work, N, keep, seconds=100)
    parts = run(tmp_path, work, N, keep)
    assert result(parts, work, keep, tmp_path / "p.parquet").scored.tolist() == [N - 1] * N


@pytest.mark.parametrize("count", [1, 7, 100, 5000])
def test_the_best_pairs_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int):
    monkeypatch.setattr("esm2_amp.screening.finish._GROUP_ROWS", 30)
    work, keep = Grid(N, N, 0, 10, False), Keep(None, None)
    result(run(tmp_path / "parts", work, N, keep), work, keep, tmp_path / "p.parquet")
    assert pq.ParquetFile(tmp_path / "p.parquet").num_row_groups == 26
    everything = pd.read_parquet(tmp_path / "p.parquet").astype({"protein_a": "str", "protein_b": "str"})
    wanted = everything.sort_values("logit", ascending=False, kind="stable", ignore_index=True).head(count)
    pd.testing.assert_frame_equal(best(tmp_path / "p.parquet", count), wanted)


def test_a_result_without_pairs_is_one(tmp_path: Path):
    work, keep = Grid(N, N, 0, 10, False), Keep(1.0, None)
    summary = result(run(tmp_path / "parts", work, N, keep), work, keep, tmp_path / "p.parquet")
    assert summary.pairs == 0
    assert len(pd.read_parquet(tmp_path / "p.parquet")) == len(best(tmp_path / "p.parquet", 5)) == 0
    assert summary.scored.tolist() == [N - 1] * N


@pytest.fixture
def damage(tmp_path: Path) -> Callable[[str], Path]:
    """``damage(file)``: a screening of which one file of its second part is not what it was; the part."""

    def make(name: str) -> Path:
        run(tmp_path, Grid(N, N, 0, 10, False), N, Keep(None, 3))
        part = sorted(tmp_path.glob("part-*"))[1]
        content = bytearray((part / name).read_bytes())
        content[len(content) // 2] ^= 1
        (part / name).write_bytes(content)
        return part

    return make


@pytest.mark.parametrize("name", ["pairs.parquet", "background.parquet", "part.json"])
@pytest.mark.parametrize("way", ["changed", "cut", "gone"])
def test_a_damaged_part_is_named_and_can_be_scored_anew(
    tmp_path: Path, damage: Callable[[str], Path], name: str, way: str
):
    work, keep = Grid(N, N, 0, 10, False), Keep(None, 3)
    parts = run(tmp_path / "whole", work, N, keep)
    result(parts, work, keep, tmp_path / "whole.parquet")
    part = damage(name)
    if way == "cut":
        (part / name).write_bytes((part / name).read_bytes()[:-1])
    if way == "gone":
        (part / name).unlink()
    parts = parts_of(tmp_path, work, N, keep, 0.0)
    with pytest.raises(InputError, match=f"{part.name}: this part is damaged .*give the same command again"):
        result(parts, work, keep, tmp_path / "p.parquet")
    assert not (tmp_path / "p.parquet").exists()
    for file in part.glob("*"):
        file.unlink()
    part.rmdir()
    result(run(tmp_path, work, N, keep), work, keep, tmp_path / "p.parquet")
    assert (tmp_path / "p.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_a_record_that_names_another_unit_is_not_believed(tmp_path: Path):
    parts = run(tmp_path, Grid(N, N, 0, 10, False), N, Keep(None, 3))
    record = sorted(tmp_path.glob("part-*"))[1] / "part.json"
    record.write_text(record.read_text().replace('"units": [1]', '"units": [4]'))
    with pytest.raises(InputError, match=r"part.json has changed"):
        parts.done()


def test_parts_of_another_screening_are_refused_by_what_differs(tmp_path: Path):
    work = Grid(N, N, 0, 10, False)
    run(tmp_path, work, N, Keep(None, 3))
    with pytest.raises(InputError, match="another screening: top was 3, and is 4 now"):
        run(tmp_path, work, N, Keep(None, 4))
    (tmp_path / "plan" / "plan.json").write_text("{")
    with pytest.raises(InputError, match=r"plan.json: the plan cannot be read"):
        run(tmp_path, work, N, Keep(None, 3))
    (tmp_path / "plan" / "plan.json").unlink()
    with pytest.raises(InputError, match="parts without their plan"):
        run(tmp_path, work, N, Keep(None, 3))


def test_one_unit_in_two_parts_is_refused(tmp_path: Path):
    work, keep = Grid(N, N, 0, 10, False), Keep(None, 3)
    parts = run(tmp_path, work, N, keep)
    part = sorted(tmp_path.glob("part-*"))[1]
    copy = part.with_name("part-999999999")
    copy.mkdir()
    for file in part.glob("*"):
        (copy / file.name).write_bytes(file.read_bytes())
    with pytest.raises(InputError, match=f"holds pairs that {part.name} holds, too"):
        parts.done()


def test_a_second_process_of_the_same_rank_is_refused(tmp_path: Path):
    work, keep = Grid(N, N, 0, 10, False), Keep(None, 3)

    def second(pairs: int) -> None:
        run(tmp_path, work, N, keep)

    with pytest.raises(InputError, match="another process is writing to this screening"):
        run(tmp_path, work, N, keep, advance=second)
