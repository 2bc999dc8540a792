"""What actions do to a situation, and what an agent is told when one cannot be done."""

from __future__ import annotations

from pathlib import Path

import pytest

from meritree.swe.agent import actions as act
from meritree.swe.agent.retrieval import LexicalRetriever
from meritree.swe.agent.situation import Files, Situation
from meritree.swe.agent.workspace import Step, Workspace
from meritree.swe.store import ObjectStore

CART = '''\
class Cart:
    """Things to buy."""

    def total(self, prices):
        result = 0
        for price in prices:
            result += price
        return result


def tax(amount):
    return amount * 0.19
'''
FILES = {
    "shop/cart.py": CART,
    "shop/old.js": "export function addItem(x) {\n  return x;\n}\nclass Basket {}\n",
    "tests/test_cart.py": "def test(): pass\n",
    "data.bin": "a\0b",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Situation]:
    root = tmp_path_factory.mktemp("repo")
    for name, text in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    store = ObjectStore(tmp_path_factory.mktemp("store") / "objects")
    base = store.snapshot_folder(root).tree
    workspace = Workspace(Files(store, base), test_files=["tests/test_cart.py"])
    return workspace, Situation(base)


def do(place: tuple[Workspace, Situation], *actions: act.Action) -> Step:
    workspace, situation = place
    for action in actions:
        step = workspace.perform(situation, action)
        situation = step.situation
    return step


def test_a_replacement_changes_the_files_and_shows_them(place: tuple[Workspace, Situation]) -> None:
    step = do(place, act.Replace("shop/cart.py", "amount * 0.19", "amount * 0.2"))
    assert "12\t    return amount * 0.2" in step.observation.text
    assert step.observation.lines == {"shop/cart.py": (12, 12)}
    assert step.observation.spans == {"shop/cart.py": frozenset({"tax"})}
    assert step.situation.tree != place[1].tree
    back = do(
        (place[0], step.situation), act.Replace("shop/cart.py", "amount * 0.2", "amount * 0.19")
    )
    assert back.situation.tree == place[1].tree
    assert back.situation.changes == {}


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (
            act.Replace("shop/cart.py", "result", "r"),
            "occurs 3 times in shop/cart.py, on lines 5, 7, 8",
        ),
        (act.Replace("shop/cart.py", "return amount * 0.18", ""), "Nearest are lines 12 to 12 ("),
        (act.Replace("shop/cart.py", "zzz\nqqq", ""), "nor anything like it"),
        (act.Replace("shop/cart.py", "return result", "return ("), "line 8: '(' was never closed"),
        (act.Replace("shop/cart.py", "", "x"), "old is empty"),
        (act.Replace("shop/kart.py", "a", "b"), "did you mean shop/cart.py?"),
        (act.Replace("tests/test_cart.py", "pass", "assert 1"), "test files judge the patch"),
        (act.Create("tests/test_new.py", "x = 1\n"), "test files judge the patch"),
        (act.Create("conftest.py", "x = 1\n"), "judge the patch"),
        (act.Create("pytest.ini", "[pytest]\n"), "configures the tests"),
        (act.Create("json.py", "x = 1\n"), "would hide the module 'json'"),
        (act.Create("sitecustomize.py", "x = 1\n"), "would hide the module 'sitecustomize'"),
        (act.Create("shop/cart.py/x.py", "x = 1\n"), "shop/cart.py is a file"),
        (act.Create("shop", "x"), "shop is a folder"),
        (act.Create("../out.py", "x = 1\n"), "may not hold empty parts, . or .."),
        (act.Create("/etc/passwd", "x"), "relative to the repository's root"),
        (act.Create(".git/config", "x"), "git's own folder"),
        (act.Create("a\ud800.py", "x"), "cannot be written as UTF-8"),
        (act.Create("a.txt", "x\ud800"), "is written in utf-8, which lacks"),
        (act.Create("a.txt", "x\0"), "NUL"),
        (act.Insert("shop/cart.py", 99, "x = 1"), "has 12 lines; line 99 is none"),
        (act.Delete("nothing.py"), "there is no file nothing.py"),
        (act.View("data.bin"), "no text file"),
        (act.View("shop/cart.py", symbol="Cart.size"), "it defines Cart, Cart.total, tax"),
        (act.View("shop/cart.py", 50), "has only 12 lines"),
        (act.ListFiles("nowhere"), "no files in nowhere"),
        (act.WriteTest("x = 1\n"), "no test function"),
    ],
)
def test_what_cannot_be_done_is_said_precisely_and_changes_nothing(
    place: tuple[Workspace, Situation], action: act.Action, said: str
) -> None:
    step = do(place, action)
    assert said in step.observation.text
    assert step.observation.expects_correction
    assert (step.situation.tree, step.situation.changes) == (place[1].tree, {})


def test_looking_finds_definitions_text_and_passages_in_any_language(
    place: tuple[Workspace, Situation],
) -> None:
    assert "shop/cart.py:4-8" in do(place, act.FindFunction("total", "Cart")).observation.text
    assert "shop/old.js:1" in do(place, act.FindFunction("addItem")).observation.text
    assert "shop/old.js:4" in do(place, act.FindClass("Basket")).observation.text
    assert "alike are Cart" in do(place, act.FindClass("Kart")).observation.text
    text = do(place, act.FindText("0.19")).observation.text
    assert text == "shop/cart.py:12: return amount * 0.19"
    assert do(place, act.View("shop/cart.py", symbol="tax")).observation.found == 2
    first = do(place, act.Search("how are the prices of a cart totalled")).observation.text
    assert first.startswith("shop/cart.py, from line 1:")
    assert LexicalRetriever().retrieve("", place[0].files.of({}), 3) == ()


def test_reading_in_another_order_is_the_same_situation(
    place: tuple[Workspace, Situation],
) -> None:
    one, two = act.View("shop/cart.py"), act.FindText("0.19")
    assert do(place, one, two).situation.key == do(place, two, one).situation.key
    assert do(place, one).situation.key != do(place, two).situation.key
    assert do(place, one, one).situation.key == do(place, one).situation.key


def test_plans_and_the_agents_own_test_are_part_of_the_situation_but_not_of_the_patch(
    place: tuple[Workspace, Situation],
) -> None:
    test = act.WriteTest("def test_tax():\n    assert 0\n")
    step = do(place, test)
    assert step.situation.changes == {}
    assert step.situation.tree == place[1].tree
    assert step.situation.key != place[1].key
    assert do(place, act.Plan("a b")).situation.key != do(place, act.Plan("c d")).situation.key


def test_created_and_deleted_files_make_a_patch(place: tuple[Workspace, Situation]) -> None:
    workspace, start = place
    step = do(place, act.Create("shop/new.py", "N = 1\n"), act.Delete("shop/old.js"))
    diff = workspace.files.store.diff(start.tree, step.situation.tree)
    assert "new file mode 100644\n" in diff
    assert "deleted file mode 100644\n" in diff
    assert "+N = 1" in diff
    view = workspace.files.of(step.situation.changes)
    assert "shop/new.py" in view.paths()
    assert not view.exists("shop/old.js")


def test_long_files_are_shown_by_their_outline(tmp_path: Path) -> None:
    text = "".join(f"def f{n}():\n    return {n}\n\n" for n in range(300))
    (tmp_path / "big.py").write_text(text)
    store = ObjectStore(tmp_path / "objects")
    base = store.snapshot_folder(tmp_path, ["objects"]).tree
    workspace = Workspace(Files(store, base))
    shown = workspace.perform(Situation(base), act.View("big.py")).observation.text
    assert "big.py has 900 lines" in shown
    assert "def f7():" in shown
    assert "... and 100 more" in shown
    part = workspace.perform(Situation(base), act.View("big.py", 4, 5)).observation
    assert part.text == "big.py, lines 4 to 5 of 900:\n    4\tdef f1():\n    5\t    return 1"
