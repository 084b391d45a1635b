"""Put the results of ``extraction.py`` into its page: the figure, and the tables between the page's two marks.

python benchmarks/extraction_page.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "benchmarks" / "results" / "extraction.json"
PAGE = ROOT / "docs" / "benchmark-extraction.md"
FIGURE = ROOT / "docs" / "benchmark-extraction.svg"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
HEAD = (
    "contender", "residues/s", "ours float32 = 1", "residues per CPU second", "peak memory, MB", "of it since loading",
    "mean token: largest error", "1 - cosine", "all tokens: largest error", "1 - cosine", "features",
)  # fmt: skip


def distance(found: dict[str, Any] | None, count: int) -> tuple[str, str]:
    """Largest error and one minus the smallest cosine, as text."""
    if found is None:
        return "", ""
    if found["largest_error"] is None:
        return f"{found['not_finite']} of {count} proteins not finite", ""
    text = f"{found['largest_error']:.1e}"
    text += f" ({found['not_finite']} of {count} not finite)" if found["not_finite"] else ""
    return text, f"{max(0.0, 1 - found['smallest_cosine']):.0e}"


def cells(name: str, row: dict[str, Any], count: int) -> list[str]:
    """One line of the table."""
    peak, every = max(row["peak_mb"]), row["every"]
    found = row.get("errors", {})
    compared = len(range(0, count, every))
    return [
        name + (f" (1 protein in {every})" if every > 1 else ""),
        f"{row['residues_per_second']:,.0f}", f"{row['of_ours_float32']:.2f}", f"{row['residues_per_cpu_second']:,.0f}",
        f"{peak:,.0f}", f"{peak - max(row['loaded_mb']):,.0f}",
        *distance(found.get("mean"), compared), *distance(found.get("all_tokens"), compared), row["features"],
    ]  # fmt: skip


def table(head: tuple[str, ...], lines: list[list[str]]) -> list[str]:
    """A table in Markdown; numbers to the right."""
    ruler = ["---" if i in (0, len(head) - 1) else "---:" for i in range(len(head))]
    return ["| " + " | ".join(line) + " |" for line in (head, ruler, *lines)]


def goals(marks: dict[str, Any]) -> list[str]:
    """The marks the project set itself, and what was reached."""
    ways = [marks["by_clock"], marks["by_cpu_time"]]
    wanted = (
        ("ours, float32, to protloc-mex-x's batches of 32", "10", "ours_to_published"),
        ("ours, fastest precision, to protloc-mex-x's batches of 32", "-", "fastest_to_published"),
        ("ours, float32, to the best peer in float32", "1.3", "ours_to_best_peer"),
        ("ours, fastest precision, to the best peer in float32", "2", "fastest_to_best_peer"),
    )
    lines = [[what, mark, *(str(way.get(key, "-")) for way in ways)] for what, mark, key in wanted]
    for name in ways[0]["share_of_bare_products"]:
        shares = [way["share_of_bare_products"].get(name) for way in ways]
        lines.append([f"bare matrix products' share of the time of {name}", "60 %", *(f"{s:.0%}" for s in shares)])
    lines.append(["best peer in float32", "", *(way.get("best_peer", "-") for way in ways)])
    lines.append(["fastest precision", "", *(way.get("fastest_precision", "-") for way in ways)])
    return table(("ratio", "mark", "by the clock", "by CPU time"), lines)


def measured(result: dict[str, Any]) -> str:
    """The part of the page that a run replaces."""
    proteins, encoder = result["proteins"], result["encoder"]
    low, *middle, high = proteins["lengths_min_quartiles_max"]
    rows = {**result["contenders"], **result["bare_products"]}
    done = [cells(name, row, proteins["count"]) for name, row in rows.items() if row["status"] == "measured"]
    others = {name: row for name, row in rows.items() if row["status"] != "measured"}
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    shape = f"{encoder['layers']} layers, {encoder['width']} wide, {encoder['heads']} heads"
    return "\n".join(
        (
            f"Measured {result['date']} on {result['machine']}, {result['threads']} thread; {versions}.",
            f"Encoder `{encoder['name']}`: {shape}. {proteins['count']} proteins of `{proteins['file']}` "
            f"(seed {proteins['seed']}, at most {proteins['at_most_residues']:,} residues): "
            f"{proteins['residues']:,} residues, lengths {low} to {high}, quartiles {', '.join(map(str, middle))}; "
            f"{result['gigaoperations']:,.0f} thousand million operations in matrix products. "
            f"Fastest of {result['repeats']} turns. Largest value among the reference's features: "
            f"{result['largest_reference_value']:.1f}.",
            "",
            *table(HEAD, done), "",
            *(f"- **{name}**: {row['status']}" + (f": `{row['error']}`" if "error" in row else "") + "."
              for name, row in others.items()), "",
            *goals(result["marks"]),
        )
    )  # fmt: skip


def draw(result: dict[str, Any]) -> None:
    """Residues per second of every contender that ran, ours in another colour, pale where features are not finite."""
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "esm2-amp"  # the same figure gives the same file
    from matplotlib import pyplot as plt

    rows = {n: r for n, r in result["contenders"].items() if r["status"] == "measured"}
    names = sorted(rows, key=lambda name: rows[name]["residues_per_second"])
    speed = [rows[name]["residues_per_second"] for name in names]
    wrong = [rows[name].get("errors", {}).get("mean", {}).get("not_finite", 0) > 0 for name in names]
    figure, axes = plt.subplots(figsize=(8, 0.36 * len(names) + 1), layout="constrained")
    bars = axes.barh(
        [name + (" (not finite)" if bad else "") for name, bad in zip(names, wrong, strict=True)], speed,
        color=["tab:blue" if name.startswith("ours") else "tab:grey" for name in names],
    )  # fmt: skip
    for bar, bad in zip(bars, wrong, strict=True):
        bar.set_alpha(0.4 if bad else 1.0)
    axes.bar_label(bars, [f"{rows[name]['of_ours_float32']:.2f}" for name in names], padding=3)
    axes.set_xlabel("residues per second, one thread (numbers: ratio to ours in float32)")
    axes.margins(x=0.1)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(FIGURE, metadata={"Date": None})


def main() -> None:
    """Write page and figure."""
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{measured(result)}\n{END}{after}", encoding="utf-8")
    draw(result)


if __name__ == "__main__":
    main()
