"""Every template repairs at least one small example, and no template is without one."""

# ruff: noqa: E501 - one example, one line
from __future__ import annotations

import pytest

from meritree.swe.edits import apply_splices
from meritree.swe.repair.context import SourceFile
from meritree.swe.repair.evidence import Evidence
from meritree.swe.repair.ingredients import RepoIndex
from meritree.swe.repair.templates import TEMPLATES, lines, propose

EVIDENCE = Evidence(
    exceptions=(("KeyError", "'size'"), ("TypeError", "unexpected keyword argument 'flag'")),
    expected=("'done'",),
    actual=("'dane'",),
)

TESTS = ["with raises(BadError):\n    assert f('from_test') == 7"]

# template, text before, line, fragment before -> fragment after (of the whole text)
CASES: list[tuple[str, str, int, str, str]] = [
    ("cmp_op", "def f(a, b):\n    return a < b\n", 2, "a < b", "a <= b"),
    ("cmp_op_const", "def f(a):\n    return a > 0\n", 2, "a > 0", "a >= 1"),
    ("cmp_in", "def f(a):\n    b = 'y'\n    return a == 'x'\n", 3, "a == 'x'", "a in ('x', 'y')"),
    ("bool_op", "def f(a, b):\n    return a and b\n", 2, "a and b", "a or b"),
    ("negate", "def f(a):\n    if a:\n        pass\n", 2, "if a", "if not a"),
    ("drop_operand", "def f(a, b):\n    return a or b\n", 2, "a or b", "b"),
    ("cond_const", "def f(a):\n    while a:\n        pass\n", 2, "while a", "while True"),
    ("cond_var", "def f(a):\n    if True:\n        pass\n", 2, "if True", "if a"),
    ("cond_add", "def f(a, b):\n    if a:\n        pass\n", 2, "if a", "if a and b is not None"),
    ("drop_unary", "def f(a):\n    return -a\n", 2, "-a", "a"),
    ("ifexp", "def f(a, b):\n    return a if b else 0\n", 2, "a if b else 0", "0 if b else a"),
    ("drop_if", "def f(a):\n    return [x for x in a if (x)]\n", 2, " if (x)]", "]"),
    ("none_test", "def f(a):\n    if a:\n        pass\n", 2, "if a:", "if a is not None:"),
    ("or_to_none_test", "def f(a):\n    return a or 1\n", 2, "a or 1", "1 if a is None else a"),
    ("isinstance_types", "def f(a):\n    return isinstance(a, int)\n", 2, "int", "(int, float)"),
    ("chain_clause", "def f(a, b, c):\n    return a and b or c\n", 2, "a and b or c", "a and (b or c)"),
    ("cmp_chain", "def f(a, b, c):\n    return a < b < c\n", 2, "a < b < c", "b < c"),
    ("bin_op", "def f(a, b):\n    return a + b\n", 2, "a + b", "a - b"),
    ("aug_op", "def f(a, b):\n    a += b\n", 2, "a += b", "a -= b"),
    ("off_by_one", "def f(a):\n    return range(len(a))\n", 2, "len(a)", "len(a) - 1"),
    ("arith_ins", "def f(a, b):\n    return a * 2\n", 2, "a * 2", "(a - b) * 2"),
    ("minmax", "def f(a, b):\n    return a\n", 2, "return a", "return min(b, a)"),
    ("swap_operands", "def f(a, b):\n    return a - b\n", 2, "a - b", "b - a"),
    ("reassoc", "def f(a, b, c):\n    return a - b - c\n", 2, "a - b - c", "a - (b - c)"),
    ("aug_assign", "def f(a, b):\n    a += b\n", 2, "a += b", "a = b"),
    ("assign_aug", "def f(a, b):\n    a = b\n", 2, "a = b", "a += b"),
    ("len_minus_one", "def f(a):\n    return len(a)\n", 2, "len(a)", "len(a) - 1"),
    ("int_division", "def f(a, b):\n    return a / b\n", 2, "a / b", "int(a / b)"),
    ("power_order", "def f(a, b):\n    return -a + b\n", 2, "-a + b", "-(a + b)"),
    ("var", "def f(a, b):\n    return a\n", 2, "return a", "return b"),
    ("var_attr", "class A:\n    def f(self, a):\n        self.a = 1\n        g(a)\n", 4, "g(a)", "g(self.a)"),
    ("missing_self", "class A:\n    def g(self): ...\n    def f(self):\n        return g()\n", 4, "return g", "return self.g"),
    ("var_other", "def f(a):\n    g(a)\n    h(a)\n", 3, "h(a)", "g(a)"),
    ("const", "def f():\n    return 1\n", 2, "return 1", "return 2"),
    ("const_var", "def f(n):\n    return 1\n", 2, "return 1", "return n"),
    ("const_str", "def f(a):\n    g('x')\n    return 'y'\n", 3, "return 'y'", "return 'x'"),
    ("expr_to_var", "def f(a, b):\n    return g(a)\n", 2, "g(a)", "b"),
    ("replace_all", "def f(a, b):\n    x = a.min()\n    return x - b.min()\n", 2, "a.min()\n    return x - b.min()", "a.max()\n    return x - b.max()"),
    ("clause_swap", "def f(a, b):\n    if not a and b > 3:\n        pass\n", 2, "not a and b > 3", "not a or b is not None"),
    ("elif_again", "def f(a):\n    if a.endswith('x'):\n        return a\n    return 0\n", 2, "return a\n", "return a\n    elif a.endswith('st'):\n        return a\n"),
    ("next_iter", "def f(a):\n    try:\n        return a[0]\n    except IndexError:\n        pass\n", 3, "a[0]\n    except IndexError", "next(iter(a))\n    except StopIteration"),
    ("ingredient", "def f(a):\n    x = a[0]\n    return a[1]\n", 3, "a[1]", "a[0]"),
    ("target", "def f(a, b):\n    a = 1\n    return b\n", 2, "a = 1", "b = 1"),
    ("bytes_str", "def f(a):\n    return a or ''\n", 2, "''", "b''"),
    ("swap_args", "def f(a, b):\n    return g(a, b)\n", 2, "g(a, b)", "g(b, a)"),
    ("drop_arg", "def f(a):\n    return g(a, flag=1)\n", 2, "g(a, flag=1)", "g(a)"),
    ("add_arg", "def f(a, b):\n    return g(a, k=1)\n", 2, "g(a, k=1)", "g(a, b, k=1)"),
    ("add_kw", "def f(a):\n    return sorted(a)\n", 2, "sorted(a)", "sorted(a, reverse=True)"),
    ("call_family", "def f(a):\n    return any(a)\n", 2, "any", "all"),
    ("attr_family", "def f(a):\n    return map(a.lower, a)\n", 2, "lower", "upper"),
    ("call_other", "def g(): ...\ndef f(a):\n    return h(a)\n", 3, "h(a)", "g(a)"),
    ("attr", "def f(a):\n    a.names = 1\n    return a.name\n", 3, "a.name\n", "a.names\n"),
    ("module_attr", "import os\ndef f(a):\n    return a + '/'\n", 3, "'/'", "os.sep"),
    ("drop_attr", "def f(a):\n    return a.b.c\n", 2, "a.b.c", "a.c"),
    ("unwrap_call", "def f(a):\n    return list(a)\n", 2, "list(a)", "a"),
    ("add_call", "def f(a):\n    a.go()\n    return a.go\n", 3, "return a.go", "return a.go()"),
    ("wrap_call", "def f(a):\n    return a\n", 2, "return a", "return list(a)"),
    ("method_wrap", "def f(a):\n    return a\n", 2, "return a", "return a.strip()"),
    ("or_default", "def f(a):\n    return g(a)\n", 2, "g(a)", "g(a or b'')"),
    ("await_missing", "async def f(a):\n    return a()\n", 2, "a()", "await a()"),
    ("sort_flags", "def f(a):\n    return sorted(a)\n", 2, "sorted(a)", "sorted(a, key=len)"),
    ("slice", "def f(a):\n    return a[1:]\n", 2, "a[1:]", "a[1:-1]"),
    ("slice_ins", "def f(a):\n    return a\n", 2, "return a", "return a[1:]"),
    ("index_ins", "def f(a):\n    return a\n", 2, "return a", "return a[0]"),
    ("drop_slice", "def f(a):\n    return a[1:]\n", 2, "a[1:]", "a"),
    ("drop_index", "def f(a):\n    return a[1]\n", 2, "a[1]", "a"),
    ("index_get", "def f(a, k):\n    return a[k]\n", 2, "a[k]", "a.get(k, 0)"),
    ("swap_tuple", "def f(a, b):\n    return a, b\n", 2, "a, b\n", "b, a\n"),
    ("list_wrap", "def f(a):\n    return a\n", 2, "return a", "return [a]"),
    ("list_unwrap", "def f(a):\n    return [a]\n", 2, "[a]", "a"),
    ("list_fill", "def f(a):\n    return []\n", 2, "[]", "[a]"),
    ("element_add", "def f(a):\n    return a in ('x', 'y')\n", 2, "'y')", "'y', 'from_test')"),
    ("element_drop", "def f(a):\n    return (a, 1, 2)\n", 2, "a, 1, 2", "a, 2"),
    ("dict_entry", "def f():\n    return {'a': 1}\n", 2, "1}", "1, 'from_test': 1}"),
    ("copy_before", "def f(a):\n    b = a\n", 2, "= a", "= a.copy()"),
    ("format_index", "def f(a):\n    return '{0} {0}'.format(a, a)\n", 2, "{0} {0}", "{0} {1}"),
    ("guard_ins", "def f(x, y):\n    x *= y\n", 2, "    x *=", "    if x is None:\n        return None\n    x *="),
    ("early_return", "def f(x):\n    g(x)\n    if x.a:\n        return 1\n", 2, "    g", "    if x.a:\n        return 1\n    g"),
    ("guard_stmt", "def f(x):\n    x.go()\n", 2, "    x.go()", "    if x is not None:\n        x.go()"),
    ("try_wrap", "def f(x):\n    x['size']\n", 2, "    x['size']\n", "    try:\n        x['size']\n    except KeyError:\n        pass\n"),
    ("except_widen", "try:\n    f()\nexcept OSError:\n    pass\n", 1, "OSError", "(OSError, KeyError)"),
    ("raise_ins", "def f(x):\n    x.go()\n", 2, "    x", "    if not x:\n        raise ValueError('f')\n    x"),
    ("raise_return", "def f(x):\n    raise ValueError(x)\n", 2, "raise ValueError(x)", "return None"),
    ("ins_assign", "def f(a, b):\n    g(a)\n", 2, "    g", "    b = a\n    g"),
    ("ins_aug", "def f(a):\n    g(a)\n", 2, "    g", "    a += 1\n    g"),
    ("ins_call", "def f(a, b):\n    a.append(1)\n    return a\n", 3, "    ret", "    a.append(b)\n    ret"),
    ("ins_copy", "def f(a):\n    g(a)\n    return a\n", 3, "    ret", "    g(a)\n    ret"),
    ("del_stmt", "def f(a):\n    g(a)\n    return a\n", 2, "    g(a)\n", ""),
    ("swap_stmt", "def f(a):\n    g(a)\n    h(a)\n", 2, "g(a)\n    h(a)", "h(a)\n    g(a)"),
    ("unwrap_if", "def f(a):\n    if a:\n        g(a)  # c\n", 2, "    if a:\n        g(a)  # c", "    g(a)  # c"),
    ("swap_branches", "if a:\n    b()\nelse:\n    c()\n", 1, "b()\nelse:\n    c()", "c()\nelse:\n    b()"),
    ("drop_else", "if a:\n    b()\nelse:\n    c()\n", 1, "else:\n    c()\n", ""),
    ("dedent", "for a in b:\n    c()\n    d()\n", 3, "    d()", "d()"),
    ("indent", "for a in b:\n    c()\nd()\n", 3, "\nd()", "\n    d()"),
    ("else_ins", "if a:\n    b()\nc()\n", 3, "c()", "else:\n    c()"),
    ("call_to_assign", "def f(x):\n    x.strip()\n", 2, "x.strip()", "x = x.strip()"),
    ("if_to_while", "if a:\n    b()\n", 1, "if", "while"),
    ("ret_replace", "def f(a):\n    return a\n", 2, "return a", "return 'done'"),
    ("ret_wrap", "def f(a):\n    g(a)\n", 2, "g(a)", "return g(a)"),
    ("ret_ins", "def f(a):\n    a = 1\n", 2, "a = 1\n", "a = 1\n    return a\n"),
    ("yield_kind", "def f(a):\n    yield a\n", 2, "yield a", "yield from a"),
    ("loop_ctl", "for a in b:\n    break\n", 2, "break", "continue"),
    ("default_arg", "def f(a=[]):\n    pass\n", 1, "[]", "None"),
    ("decorator", "class A:\n    def f(cls):\n        pass\n", 2, "    def", "    @classmethod\n    def"),
    ("super_call", "class A(B):\n    def __init__(self, x):\n        self.y = x\n", 3, "        self", "        super().__init__(x)\n        self"),
    ("rename_all", "def f(a, b):\n    return a[0] + a[1]\n", 2, "a[0] + a[1]", "b[0] + b[1]"),
    ("attr_all", "def f(a):\n    a.c\n    return a.b + a.b\n", 3, "a.b + a.b", "a.c + a.c"),
    ("operators_all", "def f(a, b):\n    return a < b and b < 3\n", 2, "a < b and b < 3", "a <= b and b <= 3"),
    ("arg_move", "def f(a, b):\n    return g(h(a, b))\n", 2, "g(h(a, b))", "g(h(a), b)"),
    ("cond_and_result", "def f(a):\n    if a > 0:\n        return 1\n", 2, "> 0:\n        return 1", ">= 0:\n        return 0"),
    ("guard_and_return", "def f(a):\n    return a\n", 2, "    return a", "    if a:\n        return a\n    return None"),
    ("default_and_guard", "def f(a=[]):\n    return a\n", 1, "a=[]):\n", "a=None):\n    if a is None:\n        a = []\n"),
    ("cond_extra", "def f(a, b):\n    if a:\n        return b\n", 2, "if a:", "if a and not isinstance(a, str):"),
    ("truth_add", "def f(a, b):\n    return a == 1\n", 2, "a == 1", "a == 1 and b is not None"),
    ("guard_rich", "def f(a):\n    return a.go()\n", 2, "    return a", "    if isinstance(a, str):\n        return a\n    return a"),
    ("wrap_rich", "def f(a):\n    a.go()\n", 2, "    a.go()", "    if not isinstance(a, list):\n        a.go()"),
    ("normalise", "def f(a):\n    return a.go()\n", 2, "    return", "    if isinstance(a, bytes):\n        a = a.decode()\n    return"),
    ("branch_ins", "def f(a):\n    if a.b:\n        return a\n    return 0\n", 2, "    if a.b:", "    if a is None:\n        return a\n    elif a.b:"),
    ("raise_wanted", "class BadError(Exception): ...\ndef f(a):\n    return a\n", 3, "    return", "    if not a:\n        raise BadError('invalid value')\n    return"),
    ("raise_instead", "class BadError(Exception): ...\ndef f(a):\n    raise ValueError(a)\n", 3, "ValueError(a)", "BadError(a)"),
    ("translate", "class BadError(Exception): ...\ndef f(a):\n    return a[0]\n", 3, "    return a[0]\n", "    try:\n        return a[0]\n    except KeyError:\n        raise BadError('invalid value')\n"),
    ("handler_body", "def f(a):\n    try:\n        g()\n    except OSError:\n        pass\n", 5, "pass", "raise"),
    ("regex_edit", "import re\nP = re.compile(r'[a-z]+')\n", 2, "[a-z]+", "[a-z_]+"),
    ("regex_flags", "import re\nP = re.compile(r'a', re.I)\n", 2, "re.I", "re.I | re.DOTALL"),
    ("text_diff", "def f(a):\n    return 'dane'\n", 2, "dane", "done"),
    ("format_edit", "def f(a):\n    return 'got {a}'\n", 2, "'got {a}'", "f'got {a}'"),
    ("word_add", "T = {'A': 1, 'B': 1}\n", 1, "1}", "1, 'FROM_TEST': 1}"),
    ("wrap_near", "from html import escape\ndef f(a):\n    return a\n", 3, "return a", "return escape(a)"),
    ("method_near", "def f(a, b):\n    a.replace('-', '_')\n    return b\n", 3, "return b", "return b.replace('-', '_')"),
    ("regroup", "def f(a, b):\n    return '%s' % a or b\n", 2, "a or b", "(a or b)"),
    ("ifexp_ins", "def f(a, b):\n    return g(a)\n", 2, "return g(a)", "return g(a) if a is not None else None"),
    ("getattr_default", "def f(a):\n    return a.b\n", 2, "a.b", "getattr(a, 'b', None)"),
    ("affix_tuple", "def f(a):\n    return a.startswith('x')\n", 2, "'x'", "('x', 'from_test')"),
    ("pass_names", "def f(a, k, **more):\n    return g(a)\n", 2, "g(a)", "g(a, **more)"),
    ("kw_elsewhere", "def f(a):\n    g(a, k=a.b)\n    return g(2)\n", 3, "g(2)", "g(2, k=a.b)"),
    ("ins_donor", "class A:\n    def f(self):\n        self.go()\n    def g(self):\n        return 1\n", 5, "        return", "        self.go()\n        return"),
    ("ins_attribute", "class A:\n    def f(self):\n        self.x = 1\n    def g(self):\n        self.go()\n", 5, "        self.go", "        self.x = None\n        self.go"),
    ("value_donor", "class A:\n    def f(self):\n        self.x = []\n    def g(self):\n        self.x = 2\n", 5, "= 2", "= []"),
    ("part_swap", "def f(a, k):\n    g(a.get(k))\n    b = {}\n", 3, "{}", "a.get(k)"),
    ("f_prefix", "def f(a):\n    return (\n        'got '\n        '{a}'\n    )\n", 3, "'{a}'", "f'{a}'"),
    ("pass_attributes", "class A:\n    a = b = 1\n    c = 2\n    def f(self):\n        g(a=self.a)\n", 5, "g(a=self.a)", "g(a=self.a, c=self.c)"),
    ("self_part", "class A:\n    def f(self):\n        self.x = 1\n        g(self)\n", 4, "g(self)", "g(self.x)"),
    ("clause_again", "def f(a):\n    if a == 'x':\n        pass\n", 2, "a == 'x'", "a == 'x' or a == 'from_test'"),
    ("ins_member", "def f(a):\n    seen = set()\n    g(a)\n    return seen\n", 3, "    g(a)", "    seen.add(a)\n    g(a)"),
    ("ins_update", "def f(a, b):\n    b = b + 1\n    while a > b:\n        g(a)\n", 4, "g(a)\n", "g(a)\n        b -= a\n"),
    ("extreme_of", "def f(a, b):\n    b = a + 1\n", 2, "b = a + 1", "b = max(b, a + 1)"),
    ("term_ins", "def f(a, b):\n    return a[b]\n", 2, "a[b]", "a[1 - b]"),
    ("piece_ins", "def f(a, b):\n    yield b\n", 2, "yield b", "yield [a] + b"),
    ("cond_compare", "def f(a, b):\n    while a[b] > a[b - 1]:\n        b -= 1\n", 2, "while a", "while b > 0 and a"),
    ("filter_ins", "def f(a, seen):\n    b = 1 in seen\n    return all(g(x) for x in a)\n", 3, "in a)", "in a if x not in seen)"),
    ("flat_sum", "def f(a, b):\n    return a + b // 2\n", 2, "a + b // 2", "(a + b) // 2"),
    ("exchange", "def f(a, b):\n    a = b\n", 2, "a = b", "b = a"),
    ("swap_names", "def f(a, i, j):\n    return a[i][j]\n", 2, "a[i][j]", "a[j][i]"),
    ("else_add", "def f(a, b):\n    for c in a:\n        if c:\n            b.append(c + 1)\n", 3, "1)\n", "1)\n        else:\n            b.append(c)\n"),
    ("call_with", "def f(g):\n    return map(lambda a, b: g, [1])\n", 2, "g, [1]", "g(a, b), [1]"),
]  # fmt: skip


def proposals(text: str, line: int, template: str, evidence: Evidence = EVIDENCE) -> list[str]:
    index = RepoIndex({"m.py": text}).with_hints(tests=TESTS)
    source = SourceFile("m.py", text)
    edits = propose(source, line, template, index, evidence)
    return [apply_splices(text, edit.splices) for edit in edits]


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_the_repair_is_among_the_proposals(case: tuple[str, str, int, str, str]) -> None:
    template, text, line, old, new = case
    assert text.count(old) >= 1
    results = proposals(text, line, template)
    assert text.replace(old, new, 1) in results
    assert text not in results
    assert len(set(results)) == len(results)


def test_every_template_has_an_example() -> None:
    assert {case[0] for case in CASES} == set(TEMPLATES)


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_lines_name_every_template_that_proposes_something(
    case: tuple[str, str, int, str, str],
) -> None:
    template, text, line, _, _ = case
    index = RepoIndex({"m.py": text}).with_hints(tests=TESTS)
    assert template in lines(SourceFile("m.py", text), [line], index, EVIDENCE)[line]


def test_edits_come_in_order_of_prior() -> None:
    text = "def f(a, b):\n    if a < b and a:\n        return a\n"
    source = SourceFile("m.py", text)
    for name in TEMPLATES:
        priors = [edit.prior for edit in propose(source, 2, name)]
        assert priors == sorted(priors, reverse=True)
        assert all(prior > 0 for prior in priors)


def test_the_exception_raised_by_the_tests_is_tried_first() -> None:
    text = "def f(x):\n    x['size']\n"
    first = proposals(text, 2, "try_wrap", Evidence(exceptions=(("pkg.Odd", ""),)))[0]
    assert "except Odd:" in first


def test_the_function_of_an_edit_is_the_outermost_one_and_empty_at_import() -> None:
    text = "class A:\n    x = 1\n    def f(self, a=2):\n        def g():\n            return 3\n"
    source = SourceFile("m.py", text)
    names = {line: {e.function for e in propose(source, line, "const")} for line in (2, 3, 5)}
    assert names == {2: {""}, 3: {""}, 5: {"A.f"}}


@pytest.mark.parametrize("test", ["a", "not a", "a and b", "a.startswith('x')"])
def test_nothing_is_added_to_a_truth_value(test: str) -> None:
    text = f"def f(a, b):\n    if {test}:\n        return b\n"
    assert not [new for new in proposals(text, 2, "off_by_one") if "+ 1" in new or "- 1" in new]
