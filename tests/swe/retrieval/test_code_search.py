"""Code search on a small tree of real code: channels, fusion, changes."""

from __future__ import annotations

import math
import random
import textwrap
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.respond import Overloaded
from meritree.swe.retrieval import (
    CodeIndex,
    Dense,
    Fusion,
    TreeRetriever,
    build_index,
    files_of,
)
from meritree.swe.retrieval.lexical import K1, NOTHING, B, lexical
from meritree.swe.retrieval.pieces import index_file
from meritree.swe.retrieval.structural import Evidence, structural
from meritree.swe.retrieval.words import parts, words

SHOP = textwrap.dedent('''\
    """Prices of a small shop."""

    RATES = {"apple": 2}


    def parse_price(text):
        """Reads a price such as 2.50."""
        return float(text)


    class Basket:
        """What a customer buys."""

        limit = 10

        def add_item(self, name, count=1):
            self.items.append((name, parse_price(name) * count))

        def total(self):
            return sum(price for _, price in self.items)
    ''')
TAX = textwrap.dedent("""\
    from shop import Basket


    def total(basket, rate):
        return add_tax(basket.total(), rate)


    def add_tax(amount, rate):
        return amount + amount * rate
    """)
TESTS = textwrap.dedent("""\
    from tax import add_tax


    def test_tax_is_added():
        assert add_tax(100, 0.2) == 120
    """)
TREE = {
    "shop.py": SHOP,
    "tax.py": TAX,
    "tests/test_tax.py": TESTS,
    "web/cart.js": "function removeItem(cart, name) {\n  delete cart[name];\n}\n",
    "README.md": "# Shop\n\nA shop with a basket.\n",
}
TRACEBACK = textwrap.dedent("""\
    Traceback (most recent call last):
      File "/home/me/tests/test_tax.py", line 5, in test_tax_is_added
        assert add_tax(100, 0.2) == 120
      File "/home/me/tax.py", line 9, in add_tax
        return amount + amount * rate
    TypeError: unsupported operand
    """)


def only(channel: str) -> Fusion:
    return Fusion("rrf", {channel: 1.0})


def places(index: CodeIndex, query: str, k: int = 10) -> list[tuple[str, str]]:
    return [(hit.path, hit.symbol) for hit in index.search(query, k)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("parseHTTPHeader", ("parse", "http", "header", "parsehttpheader")),
        ("snake_case_names", ("snake", "case", "name", "snake_case_names")),
        ("größeÄndern", ("größe", "ändern", "größeändern")),
        ("class", ("class",)),
        ("__init__", ("init",)),
        ("utf8", ("utf", "8", "utf8")),
        ("___", ()),
    ],
)
def test_identifiers_are_words_and_their_parts(name: str, expected: tuple[str, ...]) -> None:
    assert parts(name) == expected


def test_python_is_cut_into_functions_classes_and_the_rest() -> None:
    index = index_file("shop.py", SHOP)
    cut = [(p.place.symbol, p.place.kind, p.place.start, p.place.end) for p in index.pieces]
    assert cut == [
        ("parse_price", "function", 6, 8),
        ("Basket", "class", 11, 20),
        ("Basket.add_item", "function", 16, 17),
        ("Basket.total", "function", 19, 20),
        ("", "module", 1, 21),
    ]
    own = {p.place.symbol: p.text for p in index.pieces}
    assert "limit = 10" in own["Basket"]
    assert "append" not in own["Basket"]
    assert "RATES" in own[""]
    assert "float" not in own[""]
    assert index.calls["parse_price"] == (2,)


def test_python_that_does_not_parse_is_searched_as_text() -> None:
    index = build_index({"old.py": "print 'hello price'\n" * 200})
    hits = index.search("price")
    assert hits[0].kind == "text"
    assert hits[0].path == "old.py"
    assert all(hit.end - hit.start < 60 for hit in hits)


def test_words_find_code_of_any_language_split_at_its_humps() -> None:
    index = build_index(TREE)
    assert index.search("remove an item from the cart")[0].path == "web/cart.js"
    assert places(index, "adding items")[0] == ("shop.py", "Basket.add_item")


def test_a_traceback_leads_to_the_function_that_raised_and_to_the_test() -> None:
    hits = build_index(TREE, fusion=only("structural")).search(TRACEBACK)
    assert (hits[0].path, hits[0].symbol) == ("tax.py", "add_tax")
    assert "raises in the traceback (line 9)" in hits[0].reasons["structural"]
    assert "is called by test_tax_is_added" in hits[0].reasons["structural"]
    assert (hits[1].path, hits[1].symbol) == ("tests/test_tax.py", "test_tax_is_added")


def test_what_a_failing_test_calls_is_found_though_no_frame_is_in_it() -> None:
    report = (
        "tests/test_tax.py:5: AssertionError\n"
        "FAILED tests/test_tax.py::test_tax_is_added - assert 101 == 120"
    )
    index = build_index(TREE, fusion=only("structural"))
    hits = index.search(report, within=lambda path: not path.startswith("tests/"))
    assert (hits[0].path, hits[0].symbol) == ("tax.py", "add_tax")


def test_a_dotted_name_tells_two_definitions_apart() -> None:
    index = build_index(TREE, fusion=only("structural"))
    assert places(index, "`Basket.total` is wrong")[0] == ("shop.py", "Basket.total")
    bare = {(hit.path, hit.symbol): hit for hit in index.search("`total` is wrong")}
    for one in (("shop.py", "Basket.total"), ("tax.py", "total")):
        assert "defines total, which is named" in bare[one].reasons["structural"]


def test_frames_further_out_count_less_and_definitions_share_their_name() -> None:
    index = build_index(TREE)
    evidence = Evidence(frame=1.0, fade=0.5, called=0.0, called_inside=0.0, calls=0.0, word=0.0)
    evidence = replace(evidence, defines=0.0, file=0.0)
    found = structural(TRACEBACK, index.files, 9, evidence)
    assert {p.symbol: what.score for p, what in found.items()} == {
        "add_tax": 1.0,
        "test_tax_is_added": 0.5,
    }
    found = structural("`total` is wrong", index.files, 9, Evidence(defines=0.6, calls=0.0))
    assert [what.score for what in found.values()] == [pytest.approx(0.3)] * 2


def test_lexical_scores_are_bm25() -> None:
    index = build_index({"a": "fox fox dog", "b": "dog cat cat cat cat"})
    # The name of a file is a word of it, three times.
    found = lexical("fox", index.files.values(), index.statistics, 9)
    idf = math.log(1 + (2 - 1 + 0.5) / (1 + 0.5))
    norm = K1 * (1 - B + B * 6 / 7)
    assert [(p.path, w.score) for p, w in found.items()] == [
        ("a", pytest.approx(idf * 2 * (K1 + 1) / (2 + norm)))
    ]
    twice = lexical("fox fox fox fox", index.files.values(), index.statistics, 9)
    assert [w.score for w in twice.values()] == [
        pytest.approx(2.0 * w.score) for w in found.values()
    ]


def test_numbers_that_say_nothing_of_code_do_not_count() -> None:
    index = build_index({"a.py": "x = 0x7f00aa\ny = 12\nz = 404\n"})
    assert index.search("<Thing at 0x7f00aa>, b.py:12: in g, line 404; took 0.12s") == []
    assert index.search("status 404")


def test_callers_of_a_named_function_are_found_after_it() -> None:
    index = build_index(TREE, fusion=only("structural"))
    assert places(index, "`parse_price` fails")[:2] == [
        ("shop.py", "parse_price"),
        ("shop.py", "Basket.add_item"),
    ]


def test_a_hit_tells_rank_and_reason_of_every_channel_that_found_it() -> None:
    hit = build_index(TREE).search("`add_tax` adds a wrong amount")[0]
    assert hit.symbol == "add_tax"
    assert hit.ranks == {"lexical": 1.0, "structural": 1.0}
    assert "shares" in hit.reasons["lexical"]
    assert "defines add_tax, which is named" in hit.reasons["structural"]
    assert str(hit).startswith("tax.py:8-9 add_tax (")


def test_fusion_is_that_of_reciprocal_ranks() -> None:
    index = build_index(TREE, fusion=Fusion("rrf", {"lexical": 2.0, "structural": 1.0}))
    for hit in index.search("`add_tax` adds a wrong amount"):
        weights = {"lexical": 2.0, "structural": 1.0}
        expected = sum(weights[name] / (60.0 + rank) for name, rank in hit.ranks.items())
        assert hit.score == pytest.approx(expected)


def test_a_question_without_any_known_word_finds_nothing() -> None:
    assert build_index(TREE).search("quantum chromodynamics") == []
    assert build_index({}).search("anything") == []
    assert build_index(TREE).search("") == []


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (lambda: build_index(TREE).search("x", 0), "k=0"),
        (lambda: Fusion("rrf", {"magic": 1.0}), "magic"),
        (lambda: Fusion("rrf", {"lexical": 0.0}), "weight above 0"),
        (lambda: Fusion("sum"), "sum"),  # type: ignore[arg-type]
    ],
)
def test_bad_requests_are_named(bad: object, word: str) -> None:
    with pytest.raises(BadInput, match=word):
        bad()  # type: ignore[operator]


def test_an_index_after_changes_is_the_index_of_the_changed_tree() -> None:
    rng = random.Random(1)
    lines = [line for text in TREE.values() for line in text.splitlines()]
    texts, index = dict(TREE), build_index(TREE)
    for _ in range(25):
        path = rng.choice([*TREE, "new.py"])
        text = None if rng.random() < 0.3 else "\n".join(rng.sample(lines, 8))
        index = index.changed({path: text})
        texts = {k: v for k, v in {**texts, path: text}.items() if v is not None}
        fresh = build_index(texts)
        assert index.statistics == fresh.statistics
        assert index.search("total basket tax item") == fresh.search("total basket tax item")
    assert index.changed(dict.fromkeys(texts)).statistics == NOTHING


def test_changing_a_tree_leaves_the_old_index_and_shares_what_stayed() -> None:
    old = build_index(TREE)
    before = old.search("add tax")
    new = old.changed({"tax.py": "def levy():\n    return 1\n"})
    assert old.search("add tax") == before
    assert new.search("levy")[0].symbol == "levy"
    assert new.files["shop.py"] is old.files["shop.py"]


@settings(max_examples=40, deadline=None)
@given(query=st.text(max_size=80), text=st.text(max_size=80))
def test_no_text_crashes_the_search(query: str, text: str) -> None:
    index = build_index({"a.py": text, "b.txt": text, "c.py": SHOP})
    for hit in index.search(query, 50):
        assert 1 <= hit.start <= hit.end
    list(words(query))


def test_an_endless_query_is_cut_and_answered() -> None:
    query = "add_tax is wrong\n" + "x" * 1_000_000 + "\n" + "tax " * 500_000
    assert build_index(TREE).search(query)[0].symbol == "add_tax"


# ---- dense ------------------------------------------------------------------------------


def letters(texts: Sequence[str]) -> list[list[float]]:
    """Vectors whose first place is the word *money* in any of its guises."""
    meant = ("price", "tax", "amount", "money", "total")
    return [[float(sum(t.count(word) for word in meant)), 1.0] for t in texts]


def test_embeddings_find_what_no_word_says() -> None:
    index = build_index(TREE, dense=Dense(letters))
    hit = index.search("money")[0]
    assert hit.ranks.keys() == {"dense"}
    assert "cosine" in hit.reasons["dense"]


def test_a_text_is_embedded_once_in_all_trees() -> None:
    asked: list[str] = []

    def embed(texts: Sequence[str]) -> list[list[float]]:
        asked.extend(texts)
        return letters(texts)

    index = build_index(TREE, dense=Dense(embed))
    index.search("money")
    first = len(asked)
    index.changed({"tax.py": TAX.replace("rate", "share")}).search("money")
    assert 0 < len(asked) - first <= 3  # the functions and the rest of one file
    assert len(set(asked)) == len(asked)


def failing(texts: Sequence[str]) -> list[list[float]]:
    raise Overloaded("the model is busy")


@pytest.mark.parametrize(
    ("embed", "complaint"),
    [
        (failing, "busy"),
        (lambda texts: [[1.0]], "vectors for"),
        (lambda texts: [[float("nan")] for _ in texts], "not finite"),
        (lambda texts: [[1.0] * (1 + len(t) % 2) for t in texts], "different lengths"),
    ],
)
def test_an_embedder_that_fails_leaves_the_other_channels(embed: object, complaint: str) -> None:
    dense = Dense(embed)  # type: ignore[arg-type]
    hits = build_index(TREE, dense=dense).search("add tax")
    assert hits[0].symbol == "add_tax"
    assert all("dense" not in hit.ranks for hit in hits)
    assert complaint in dense.complaints[0]


# ---- states of a search -----------------------------------------------------------------


class View:
    """A state whose file reads are counted."""

    def __init__(self, texts: dict[str, str]) -> None:
        self.texts = texts

    def paths(self) -> list[str]:
        return [*self.texts, "image.png"]

    def text(self, path: str) -> str | None:
        return self.texts.get(path)


def test_a_retriever_follows_the_states_of_a_search() -> None:
    retriever = TreeRetriever(within=lambda path: not path.startswith("tests/"))
    first, second = View(TREE), View({**TREE, "tax.py": "def levy(x):\n    return x\n"})
    assert retriever.retrieve("add tax", first, 3)[0].symbol == "add_tax"
    kept = retriever.index(first).files["shop.py"]
    assert retriever.retrieve("levy", second, 3)[0].symbol == "levy"
    assert "add_tax" not in {hit.symbol for hit in retriever.retrieve("add tax", second, 9)}
    assert retriever.index(second).files["shop.py"] is kept
    assert retriever.retrieve("add tax", first, 3)[0].symbol == "add_tax"


def test_files_of_hits_come_in_the_order_of_their_best_place() -> None:
    hits = build_index(TREE).search("total basket", 20)
    found = files_of(hits)
    assert found[0] == hits[0].path
    assert len(found) == len(set(found)) == len({hit.path for hit in hits})
