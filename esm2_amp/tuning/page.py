"""A sweep as one HTML page: history, importances, parallel coordinates, spread over the folds, all trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import optuna
import plotly.graph_objects as go
from jinja2 import Environment
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import (
    plot_intermediate_values,
    plot_optimization_history,
    plot_parallel_coordinate,
    plot_param_importances,
)

from esm2_amp.tuning.trials import FOLDS

PlotlyJs = Literal["inline", "cdn", "directory"]
PLOTLYJS: tuple[PlotlyJs, ...] = ("inline", "cdn", "directory")
_SPREAD_OF = 30
"""So many of the best trials are drawn with their folds."""
_TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-size: .85rem; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #d9dfe5; text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.best { background: #e8f2ea; }
.wide { overflow-x: auto; } .note { color: #5a6772; }
@media print { body { max-width: none; margin: 0; } .wide { overflow: visible; } table { font-size: .6rem; } }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<p>{{ summary }}</p>
{% for figure in figures %}
<h2>{{ figure.title }}</h2>
<p class="note">{{ figure.note }}</p>
{{ figure.html | safe }}
{% endfor %}
<h2>Trials</h2>
<div class="wide"><table>
<thead><tr>{% for name in columns %}<th>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in rows %}
<tr{% if row[0] == best %} class="best"{% endif %}>{% for cell in row %}
<td{% if cell is number %} class="number"{% endif %}>{{ "%.5g" % cell if cell is float else cell }}</td>
{%- endfor %}</tr>{% endfor %}
</tbody></table></div>
<h2>Provenance</h2>
<table>{% for name, value in provenance.items() %}<tr><th>{{ name }}</th><td>{{ value }}</td></tr>{% endfor %}</table>
</body>
</html>
"""


def render_page(
    study: optuna.Study,
    metric: str,
    title: str,
    summary: str,
    table: tuple[Sequence[str], Sequence[Sequence[Any]]],
    best: int,
    provenance: Mapping[str, str],
    plotlyjs: PlotlyJs,
) -> str:
    """The page as text; whatever comes from the user is escaped.

    Args:
        study: with at least one completed trial.
        metric: what it aims at.
        title: of the page.
        summary: a sentence or two on top.
        table: columns and rows; the first cell is the trial's number.
        best: number of the best trial.
        provenance: what the numbers depend on.
        plotlyjs: the drawing library within the page (4.8 MB), from the network, or as ``plotly.min.js`` beside it.
    """
    environment = Environment(autoescape=True)
    return environment.from_string(_TEMPLATE).render(
        title=title,
        summary=summary,
        figures=_figures(study, metric, plotlyjs),
        columns=table[0],
        rows=table[1],
        best=best,
        provenance=provenance,
    )


def _figures(study: optuna.Study, metric: str, plotlyjs: PlotlyJs) -> list[dict[str, str]]:
    """Title, note and HTML of each figure; the drawing library comes with the first one."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    history = plot_optimization_history(study, target_name=metric)
    epochs = plot_intermediate_values(study).update_layout(xaxis_title="epoch, fold after fold", yaxis_title=metric)
    drawn: list[tuple[str, str, go.Figure | None]] = [
        ("History", "The value of each completed trial, and the best so far.", history),
        ("Folds", f"The score of each fold, of the best {_SPREAD_OF} trials at most.", _folds(study, done, metric)),
        ("Epochs", "The score so far after each epoch; a line that ends early is a pruned trial.", epochs),
        ("Parallel coordinates", "Each line is a completed trial.", _coordinates(study, done, metric)),
    ]
    varying = len(done) > 1 and len({trial.value for trial in done}) > 1
    importances = plot_param_importances(study) if varying else None
    note = "How much of the differences between trials goes with each hyperparameter (PED-ANOVA); from few trials, "
    note += "little is known." if varying else "nothing is known: it takes two completed trials with different values."
    drawn.append(("Importances", note, importances))
    library: dict[str, Any] = {"inline": True, "cdn": "cdn", "directory": "directory"}
    figures = []
    for number, (title, text, figure) in enumerate(drawn):
        html = (
            ""
            if figure is None
            else figure.update_layout(title=None, template="plotly_white", margin={"t": 30}).to_html(
                full_html=False,
                include_plotlyjs=library[plotlyjs] if number == 0 else False,
                div_id=f"figure{number}",
                config={"displaylogo": False, "responsive": True},
            )
        )
        figures.append({"title": title, "note": text, "html": html})
    return figures


def _coordinates(study: optuna.Study, done: Sequence[FrozenTrial], metric: str) -> go.Figure:
    """Optuna's, with names short enough to be read: ``hidden1`` for ``model.network.hidden1``."""
    figure = plot_parallel_coordinate(study, target_name=metric)
    names = sorted({name for trial in done for name in trial.params})
    return figure.update_xaxes(ticktext=[metric, *(name.split(".")[-1] for name in names)])


def _folds(study: optuna.Study, done: Sequence[FrozenTrial], metric: str) -> go.Figure:
    """Trials from best to worst; a point for each fold, a dash for their mean."""
    sign = -1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1
    shown = sorted(done, key=lambda trial: sign * (trial.value or 0))[:_SPREAD_OF]
    names = [f"trial {trial.number}" for trial in shown]
    points = [(name, score) for name, trial in zip(names, shown, strict=True) for score in trial.user_attrs[FOLDS]]
    figure = go.Figure()
    figure.add_scatter(
        x=[name for name, _ in points],
        y=[score for _, score in points],
        mode="markers",
        name="fold",
        marker={"opacity": 0.7},
    )
    means = [trial.value for trial in shown]
    marker = {"symbol": "line-ew", "size": 20, "line": {"width": 2}}
    figure.add_scatter(x=names, y=means, mode="markers", name="mean", marker=marker)
    return figure.update_yaxes(title=metric)
