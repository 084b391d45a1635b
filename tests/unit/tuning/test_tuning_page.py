"""The page of a sweep: whole, escaped, and able to be drawn from one trial on."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from esm2_amp.tuning.page import PlotlyJs, render_page

optuna.logging.set_verbosity(optuna.logging.WARNING)

EVIL = "</script><script>alert(1)</script>"


def study_of(values: list[float]) -> optuna.Study:
    study = optuna.create_study(direction="maximize")
    kinds = {"model.network.lr": FloatDistribution(0, 1), "model.network.kind": CategoricalDistribution([EVIL, "b"])}
    for number, value in enumerate(values):
        study.add_trial(
            create_trial(
                value=value,
                params={"model.network.lr": number / 10, "model.network.kind": EVIL if number % 2 else "b"},
                distributions=kinds,
                intermediate_values={0: value, 1: value},
                user_attrs={"folds": [value - 0.1, value + 0.1]},
            )
        )
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"reason": EVIL}))
    return study


def page(values: list[float], plotlyjs: PlotlyJs = "cdn") -> str:
    rows = [[n, "complete", value, EVIL] for n, value in enumerate(values)]
    table = (["trial", "state", "value", EVIL], rows)
    return render_page(study_of(values), "aupr", f"Sweep {EVIL}", EVIL, table, 0, {"data": EVIL}, plotlyjs)


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [0.5, 0.6], [0.1, 0.5, 0.3, 0.7, 0.2]])
def test_a_page_can_be_drawn_of_any_number_of_trials(values: list[float]) -> None:
    html = page(values)
    drawn = set(re.findall(r'Plotly\.newPlot\(\s*"(figure\d)"', html))
    assert drawn == {f"figure{n}" for n in range(5 if len(set(values)) > 1 else 4)}
    assert ("nothing is known" in html) == (len(set(values)) == 1)
    assert html.count('<tr class="best">') == 1


def test_nothing_of_the_user_becomes_markup() -> None:
    html = page([0.5, 0.6, 0.7])
    assert EVIL not in html
    assert "alert(1)" in html  # it is there, as text

    class Scripts(HTMLParser):
        found: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag == "script":
                self.found.append(self.get_starttag_text() or "")

    Scripts().feed(html)
    assert len(Scripts.found) == html.count("Plotly.newPlot(") + 2  # the library, and MathJax's setting


def test_the_library_is_where_it_was_asked_for() -> None:
    sizes = {kind: len(page([0.5, 0.6], kind)) for kind in ("cdn", "directory", "inline")}  # type: ignore[arg-type]
    assert 4_000_000 < sizes["inline"] < 6_000_000  # once
    assert sizes["cdn"] < 200_000
    assert 'src="plotly.min.js"' in page([0.5, 0.6], "directory")
    assert re.search(r'src="https://cdn.plot.ly/plotly-[\d.]+.min.js"', page([0.5, 0.6]))


def test_axes_have_names_that_can_be_read() -> None:
    html = page([0.5, 0.6])
    assert '"ticktext":["aupr","kind","lr"]' in html
