"""esm2-amp neighbours, as people call it: what comes out is what brute force finds; mistakes end with exit code 2."""

from __future__ import annotations

import csv
import io
import itertools
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esm2_amp.io.fasta import read_fasta

ODD = ["1e5", "null", "a=b", "sp|P2|X", "x y", "it's", 'q"t"', "Ünï☃", "A.1", "${x}", "[z]", "{y}", "\\", "a,b", "007"]
HOSTILE = ["<script>alert(1)</script>", "[x](javascript:alert(1))", "a|b`*_", "[red]r[/red]"]
NAMES = [*ODD, *HOSTILE, *(f"P{i:02}" for i in range(21))]
ZERO = "P20"
METADATA = {"organism": lambda i: ["9606", "10090"][i % 2], "symbol": lambda i: f"SYM{i}" if i != 30 else "SYM29"}


def vectors_of(names: list[str]) -> np.ndarray:
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(6, 12))
    x = centres[rng.integers(0, 6, len(names))] + 0.3 * rng.normal(size=(len(names), 12))
    x[names.index("P19")] = x[names.index("P18")]  # a duplicate
    x[names.index(ZERO)] = 0
    return x.astype(np.float16)


X = vectors_of(NAMES)


def done(outcome: Any) -> Any:
    assert outcome.code == 0, outcome.err
    return outcome


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, cli: Any) -> Path:
    """A working folder with ``near``, made by ingest."""
    place = tmp_path_factory.mktemp("neighbours")
    np.save(place / "x.npy", X)
    (place / "x.ids").write_text("".join(f"{name}\n" for name in NAMES), encoding="utf-8")
    with (place / "meta.tsv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(["id", *METADATA, "description"])
        for i, name in enumerate(NAMES):
            writer.writerow([name, *(make(i) for make in METADATA.values()), f"<i>about {i}</i> | [y](z)"])
    done(cli(["neighbours", "ingest", "source=x.npy", "vectors=near", "metadata=meta.tsv"], place))
    return place


@pytest.fixture
def near(folder: Path, cli: Any) -> Any:
    """``near(*words)``: a command about these vectors."""

    def run(action: str, *words: str) -> Any:
        return cli(["neighbours", action, "vectors=near", *words], folder)

    return run


def table(file: Path) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    with file.open(encoding="utf-8", newline="") as stream:
        head, *rows = (tuple(row) for row in csv.reader(stream, delimiter="\t"))
    return head, rows


def closeness(metric: str) -> np.ndarray:
    """(n, n), larger is nearer; NaN where a cosine is undefined."""
    x = X.astype(np.float64)
    if metric == "ip":
        return x @ x.T
    if metric == "l2":
        return -np.linalg.norm(x[:, None] - x[None], axis=2)
    norms = np.linalg.norm(x, axis=1)
    with np.errstate(invalid="ignore"):
        return x @ x.T / np.outer(norms, norms)


def best(scores: np.ndarray, k: int, out: list[int]) -> list[int]:
    scores = scores.copy()
    scores[out] = np.nan
    order = np.lexsort((np.arange(len(scores)), -scores))
    return [i for i in order.tolist() if not np.isnan(scores[i])][:k]


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_similar_finds_what_brute_force_finds(metric: str, near: Any, folder: Path) -> None:
    done(near("similar", "ids=P01,P18,x y", "k=5", f"metric={metric}", "output=hits.tsv"))
    head, rows = table(folder / "hits.tsv")
    assert head == ("query", "hit", "score")
    sign = -1 if metric == "l2" else 1  # a distance is printed as it is
    scores = closeness(metric)
    expected = [(q, NAMES[i], sign * scores[NAMES.index(q), i])
                for q in ("P01", "P18", "x y") for i in best(scores[NAMES.index(q)], 5, [NAMES.index(q)])]  # fmt: skip
    assert [row[:2] for row in rows] == [row[:2] for row in expected]
    np.testing.assert_allclose([float(row[2]) for row in rows], [row[2] for row in expected], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", [*ODD[:-2], *HOSTILE, "007"])
def test_an_id_is_what_the_shell_gave(name: str, near: Any, folder: Path) -> None:
    word = '"' + name.replace('"', '""') + '"' if name[0] in '["' else name
    done(near("similar", f"ids={word},P01", "k=2", "output=hits.tsv"))
    assert [row[0] for row in table(folder / "hits.tsv")[1]] == [name, name, "P01", "P01"]
    done(near("analogy", f"a={name}", "b=P01", "k=1", "output=four.tsv"))
    assert table(folder / "four.tsv")[1][0][:2] == (name, "P01")


@pytest.mark.parametrize("word", ["ids=P01,P02", "ids=[P01,P02]", "ids=P01, P02", 'ids="P01","P02"', "ids=[P01, P02]"])
def test_ids_may_be_written_in_several_ways(word: str, near: Any, folder: Path) -> None:
    done(near("similar", word, "k=1", "output=hits.tsv"))
    assert [row[0] for row in table(folder / "hits.tsv")[1]] == ["P01", "P02"]


def test_an_id_with_a_comma_stands_between_quotes(near: Any, folder: Path) -> None:
    done(near("similar", 'ids="a,b",P01', "k=1", "output=hits.tsv"))
    assert [row[0] for row in table(folder / "hits.tsv")[1]] == ["a,b", "P01"]


def test_a_file_of_ids_answers_every_line_in_order(near: Any, folder: Path) -> None:
    asked = [name for name in NAMES if name != ZERO] + ["P01"]
    (folder / "ask.txt").write_text("".join(f"{name}\n" for name in asked), encoding="utf-8")
    done(near("similar", "ids_file=ask.txt", "k=1", "output=hits.tsv"))
    rows = table(folder / "hits.tsv")[1]
    assert [row[0] for row in rows] == asked
    assert all(row[0] != row[1] for row in rows)


def test_a_zero_vector_is_no_hit_and_has_none(near: Any, folder: Path) -> None:
    outcome = done(near("similar", f"ids={ZERO},P01", "k=100", "output=hits.tsv"))
    rows = table(folder / "hits.tsv")[1]
    assert {row[0] for row in rows} == {"P01"}
    assert len(rows) == len(NAMES) - 2
    assert ZERO in outcome.err


def test_vectors_of_a_file_are_asked(near: Any, folder: Path) -> None:
    np.save(folder / "q.npy", X[[5, 6]].astype(np.float32))
    np.savez(folder / "q.npz", one=X[5], two=X[6].astype(np.float64))
    for file, names in (("q.npy", ["q.npy 0", "q.npy 1"]), ("q.npz", ["one", "two"])):
        done(near("similar", f"query={file}", "k=1", "output=hits.tsv", "page=p.html"))
        # a vector from outside is none of the stored ones: its own row is a hit
        assert [row[:2] for row in table(folder / "hits.tsv")[1]] == [(names[0], NAMES[5]), (names[1], NAMES[6])]
    np.save(folder / "short.npy", np.ones(7, np.float32))
    outcome = near("similar", "query=short.npy")
    assert outcome.code == 2
    assert "7 dimensions, the vectors 12" in outcome.err


def analogies(a: int, b: int | None, c: int | None, op: str, most: float | None) -> list[tuple[float, tuple[int, ...]]]:
    """Every analogy with its score, best first, by the definition."""
    x, sign, cosine = X.astype(np.float64), {"difference": -1, "sum": 1}[op], np.nan_to_num(closeness("cosine"))
    found = []
    for q in range(len(x)) if b is None else [b]:
        if q == a or not (u := x[a] + sign * x[q]).any():
            continue
        for i, j in itertools.permutations(range(len(x)), 2) if c is None else ((c, j) for j in range(len(x))):
            v = x[i] + sign * x[j]
            if len({a, q, i, j}) < 4 or not v.any() or (op == "sum" and c is None and most is None and i > j):
                continue
            if most is None or ((c is not None or cosine[a, i] <= most) and cosine[q, j] <= most):
                found.append((float(u @ v / np.linalg.norm(u) / np.linalg.norm(v)), (a, q, i, j)))
    return sorted(found, key=lambda one: (-one[0], one[1]))


ANALOGIES = [
    *(
        ("difference", given, most)
        for given, most in (("a", None), ("a", 0.5), ("ab", None), ("ab", 0.2), ("abc", None))
    ),
    *(("sum", given, None) for given in ("a", "ab", "abc")),
]


@pytest.mark.parametrize(("op", "given", "most"), ANALOGIES)
def test_analogies_are_those_of_brute_force(op: str, given: str, most: float | None, near: Any, folder: Path) -> None:
    names = dict(zip(given, ["P03", "P08", "it's"], strict=False))
    limit = [] if most is None else [f"max_similarity={most}"]
    done(
        near("analogy", *(f"{key}={name}" for key, name in names.items()), "k=7", f"op={op}", *limit, "output=four.tsv")
    )
    head, rows = table(folder / "four.tsv")
    assert head == ("a", "b", "c", "d", "score")
    a, b, c = ([NAMES.index(name) for name in names.values()] + [None, None])[:3]
    expected = analogies(a, b, c, op, most)
    np.testing.assert_allclose([float(row[4]) for row in rows], [score for score, _ in expected[:7]], rtol=1e-6)
    by_names = {tuple(NAMES[i] for i in four): score for score, four in expected}
    for row in rows:
        assert by_names[row[:4]] == pytest.approx(float(row[4]), rel=1e-6)
        assert len(set(row[:4])) == 4


def test_a_file_of_analogies_is_answered_line_by_line(near: Any, folder: Path) -> None:
    (folder / "ask.tsv").write_text("P01\tP02\nP03\nx y\tP04\tit's\n", encoding="utf-8")
    done(near("analogy", "ids_file=ask.tsv", "k=2", "output=four.tsv"))
    rows = table(folder / "four.tsv")[1]
    assert [row[0] for row in rows] == ["P01", "P01", "P03", "P03", "x y", "x y"]
    for words, part in (
        (["a=P01", "b=P02"], rows[:2]),
        (["a=P03"], rows[2:4]),
        (["a=x y", "b=P04", "c=it's"], rows[4:]),
    ):
        done(near("analogy", *words, "k=2", "output=one.tsv"))
        assert table(folder / "one.tsv")[1] == part


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_closest_pairs_are_those_of_brute_force(metric: str, near: Any, folder: Path) -> None:
    done(near("closest-pairs", "k=20", f"metric={metric}", "output=pairs.tsv"))
    head, rows = table(folder / "pairs.tsv")
    assert head == ("a", "b", "score")
    scores = closeness(metric)
    pairs = [(scores[i, j], i, j) for i, j in itertools.combinations(range(len(X)), 2) if not np.isnan(scores[i, j])]
    expected = sorted(pairs, key=lambda one: (-one[0], one[1:]))[:20]
    sign = -1 if metric == "l2" else 1
    np.testing.assert_allclose([float(r[2]) for r in rows], [sign * s for s, *_ in expected], rtol=1e-5, atol=1e-5)
    assert {frozenset(row[:2]) for row in rows} == {frozenset((NAMES[i], NAMES[j])) for _, i, j in expected}
    if metric == "cosine":
        assert set(rows[0][:2]) == {"P18", "P19"}


def test_a_filter_chooses_what_may_be_found(near: Any, folder: Path) -> None:
    done(near("similar", "ids=P01", "k=100", "filter=organism=9606", "output=hits.tsv"))
    hits = {row[1] for row in table(folder / "hits.tsv")[1]}
    assert hits == {name for i, name in enumerate(NAMES) if i % 2 == 0} - {"P01", ZERO}
    done(near("closest-pairs", "k=100000", "filter=organism=10090", "output=pairs.tsv"))
    odd = {name for i, name in enumerate(NAMES) if i % 2} - {ZERO}
    assert {name for row in table(folder / "pairs.tsv")[1] for name in row[:2]} == odd
    done(near("analogy", "a=P01", "b=P02", "k=100000", "filter=organism=10090", "output=four.tsv"))
    found = {name for row in table(folder / "four.tsv")[1] for name in row[2:4]}
    assert found <= {name for i, name in enumerate(NAMES) if i % 2} - {"P01", "P02"}
    assert near("similar", "ids=P01", "filter=colour=red").code == 2


def test_a_symbol_stands_for_its_id(near: Any, folder: Path) -> None:
    done(near("similar", f"ids=SYM{NAMES.index('P01')}", "k=2", "output=hits.tsv"))
    rows = table(folder / "hits.tsv")[1]
    done(near("similar", "ids=P01", "k=2", "output=hits.tsv"))
    assert [row[1:] for row in rows] == [row[1:] for row in table(folder / "hits.tsv")[1]]
    outcome = done(near("analogy", f"a=SYM{NAMES.index('P01')}", "b=P02", "k=2", "output=four.tsv"))
    assert "is P01" in outcome.err
    assert {row[0] for row in table(folder / "four.tsv")[1]} == {"P01"}
    outcome = near("similar", "ids=SYM29")
    assert outcome.code == 2
    assert NAMES[29] in outcome.err
    assert NAMES[30] in outcome.err


class Tags(HTMLParser):
    """The elements of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]


def test_hostile_names_are_harmless_wherever_they_go(near: Any, folder: Path) -> None:
    link = "link=https://example.org/{id}?q={symbol}"
    files = ["output=h.tsv", "markdown=h.md", "page=h.html"]
    (folder / "ask.txt").write_text("".join(f"{name}\n" for name in HOSTILE), encoding="utf-8")
    outcome = done(near("similar", "ids_file=ask.txt", "k=40", link, *files))
    assert "[red]r[/red]" in outcome.out  # as text, and not as a colour
    page = Tags()
    page.feed((folder / "h.html").read_text(encoding="utf-8"))
    assert page.tags.count("script") == 2  # our own two
    assert "i" not in page.tags
    assert all(link.startswith("https://example.org/") for link in page.links)
    assert page.links
    lines = (folder / "h.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in rows} == {rows[0].count("|")}
    assert not any(re.search(r"<script|(?<!\\)\]\(javascript", line) for line in lines)
    assert (folder / "h.html").stat().st_size < 3_000_000


def test_all_outputs_of_all_queries(near: Any, folder: Path) -> None:
    for action, *words in (["similar", "ids=P01"], ["analogy", "a=P01", "b=P02"], ["closest-pairs"]):
        done(near(action, *words, "k=3", "output=o.csv.gz", "markdown=o.md", "page=o.html", "map.colour=organism"))
        assert "9606" in (folder / "o.html").read_text(encoding="utf-8")
    done(near("map", "page=map.html", "map.points=5"))
    outcome = done(near("info"))
    assert f"{len(NAMES)}" in outcome.out
    assert "12" in outcome.out


def test_clusters_of_analogies_are_drawn(near: Any, folder: Path) -> None:
    done(near("analogy", "a=P01", "b=P02", "k=30", "clusters=3", "page=c.html", "output=c.tsv"))
    assert "cluster 2" in (folder / "c.html").read_text(encoding="utf-8")
    head, rows = table(folder / "c.tsv")
    assert head == ("a", "b", "c", "d", "score", "cluster")
    assert {row[5] for row in rows} == {"0", "1", "2"}


def test_an_index_is_found_by_itself(near: Any, folder: Path, cli: Any) -> None:
    done(cli(["neighbours", "ingest", "source=x.npy", "vectors=indexed"], folder))
    outcome = done(cli(["neighbours", "index", "vectors=indexed", "factory=IVF4,Flat", "memory_gb=2"], folder))
    assert "bytes a vector" in outcome.out  # the plan
    done(cli(["neighbours", "recall", "vectors=indexed", "index.samples=20", "k=3"], folder))
    for words in ([], ["exact=true"]):
        outcome = done(
            cli(["neighbours", "similar", "vectors=indexed", "ids=P01", "k=3", "output=i.tsv", *words], folder)
        )
        assert ("IVF4,Flat" in outcome.err) == (not words)
        done(near("similar", "ids=P01", "k=3", "output=e.tsv"))
        if words:
            assert table(folder / "i.tsv") == table(folder / "e.tsv")


@pytest.mark.slow
def test_a_database_gives_the_same_answers(near: Any, folder: Path) -> None:
    pytest.importorskip("milvus_lite")
    where = "milvus.uri=lite.db"
    assert "holds 0 vectors" in near("similar", "ids=P01", where).err
    assert "40 vectors are in lite.db" in done(near("index", where)).out
    np.save(folder / "q.npy", X[[5, 6]].astype(np.float32))
    for words in (["ids=P01,x y,it's"], ["ids=P01", "filter=organism=9606"], ["query=q.npy"]):
        done(near("similar", *words, "k=4", where, "output=m.tsv"))
        done(near("similar", *words, "k=4", "output=e.tsv"))
        assert table(folder / "m.tsv") == table(folder / "e.tsv")
    assert near("similar", "ids=P01", where, "metric=l2").code == 2  # the collection is by cosine


def test_sequences_are_embedded_as_the_vectors_were(world: Any, warm: Path, cli: Any) -> None:
    (store,) = (warm / "features").iterdir()
    done(cli(["neighbours", "ingest", f"source={store}", "vectors=near", "ingest.token=[cls,mean]"], warm))
    protein = next(iter(read_fasta(world.fasta)))
    (warm / "q.fasta").write_text(f">new\n{protein.sequence}\n>newer\n{protein.sequence[:-3]}WWW\n")
    command = [
        "neighbours",
        "similar",
        "vectors=near",
        "fasta=q.fasta",
        "k=1",
        "output=hits.tsv",
        "features.device=cpu",
    ]
    done(cli([*command, f"encoder.path={world.encoder}"], warm))
    rows = table(warm / "hits.tsv")[1]
    assert rows[0][:2] == ("new", protein.id)
    assert float(rows[0][2]) == pytest.approx(1, abs=1e-6)
    assert rows[1][0] == "newer"
    (warm / "q.fasta").write_text(">another\nMKVLAWWWWKLQ\n")
    outcome = cli(command, warm)  # the shipped encoder
    assert outcome.code == 2
    assert "not of small" in outcome.err


MISTAKES = {
    "no vectors": (["similar", "vectors=nowhere", "ids=P01"], "no vectors here"),
    "nothing asked": (["similar"], "nothing is asked"),
    "two questions": (["similar", "ids=P01", "fasta=x.fasta"], "ids and fasta are given together"),
    "unknown id": (["similar", "ids=P01,P002"], "Did you mean .*'P02'"),
    "an empty id": (["similar", "ids=P01,,P02"], "has an empty id"),
    "k": (["similar", "ids=P01", "k=0"], "k is 0"),
    "metric": (["similar", "ids=P01", "metric=manhattan"], "metric is 'manhattan'. Use cosine, ip, l2"),
    "op": (["analogy", "a=P01", "op=product"], "op is 'product'"),
    "threshold": (["analogy", "a=P01", "max_similarity=2"], "max_similarity is 2"),
    "no a": (["analogy", "b=P01"], "nothing is asked"),
    "c alone": (["analogy", "a=P01", "c=P02"], "c without b"),
    "equal vectors": (["analogy", "a=P18", "b=P19"], "'P18' and 'P19' have equal vectors"),
    "same id": (["analogy", "a=P01", "b=P01"], "not different vectors"),
    "input": (["similar", "ids_file=ask0.txt", "markdown=ask0.txt"], "is not Markdown"),
    "output is input": (["similar", "ids_file=ask.tsv", "output=ask.tsv"], "is an input too"),
    "among the vectors": (["similar", "ids=P01", "output=near/o.tsv"], "lies among the vectors"),
    "no table": (["similar", "ids=P01", "output=hits.docx"], "is not a table"),
    "map": (["similar", "ids=P01", "map.method=tsne"], "map is 'tsne'"),
    "link": (["similar", "ids=P01", "link=http://x.example/{id}", "markdown=x.md"], "https"),
    "action": (["dance", "ids=P01"], "'dance' is not KEY=VALUE"),
    "action as a value": (["action=dance"], "neighbours cannot 'dance'"),
    "form": (["ingest", "vectors=new", "source=x.npy", "ingest.form=docx"], "docx"),
    "no source": (["ingest", "vectors=new"], "source is not given"),
    "no file": (["ingest", "vectors=new", "source=nothing.npz"], "nothing.npz"),
    "another source": (["ingest", "source=q.npz"], "another"),
    "no index": (["recall"], "index"),
    "no page": (["map"], "page is not given"),
    "fasta": (["similar", "fasta=x.fasta"], "do not come from a feature store"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_with_one_message(name: str, near: Any, folder: Path, cli: Any) -> None:
    words, message = MISTAKES[name]
    np.savez(folder / "q.npz", one=X[5])
    for file in ("ask.tsv", "ask0.txt"):
        (folder / file).write_text("P01\n")
    (folder / "x.fasta").write_text(">x\nMKV\n")
    before = {file for file in folder.rglob("*") if not file.name.endswith("lock")}
    where = [] if any(word.startswith("vectors=") for word in words) else ["vectors=near"]
    outcome = cli(["neighbours", *words, *where], folder)
    assert outcome.code == 2, outcome.out
    mistakes = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert len(mistakes) == 1
    assert re.search(message, mistakes[0]), mistakes[0]
    assert "Traceback" not in outcome.err
    assert {file for file in folder.rglob("*") if not file.name.endswith("lock")} == before
    assert (folder / "ask.tsv").read_text() == "P01\n"


def test_a_conversation_through_a_pipe(near: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "help",
        "similar P01 'x y' k=2",
        "save talk.tsv",
        "analogy P01 P02 k=1 op=sum",
        "analogy P01 P02 P03",
        "closest k=1",
        "find P0",
        "",
        "quit",
        "never read",
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    outcome = done(near("prompt"))
    assert [row[0] for row in table(folder / "talk.tsv")[1]] == ["P01", "P01", "x y", "x y"]
    assert "P18" in outcome.out  # of the closest pair
    done(near("similar", "ids=P01,x y", "k=2", "output=same.tsv"))
    assert table(folder / "same.tsv") == table(folder / "talk.tsv")


def test_a_conversation_goes_on_after_a_mistake(near: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "similar nobody",
        "dance",
        "similar 'open",
        "closest k=many",
        "similar",
        "similar P01 k=1",
        "save nowhere.docx",
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    outcome = near("prompt")
    assert outcome.code == 2
    assert outcome.err.count("error: ") == 7
    assert "6 of 7 lines could not be answered" in outcome.err
    assert "P01" in outcome.out
