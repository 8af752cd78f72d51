"""The house rules that a program can check, over the sources as text and as syntax trees.

A rule yields sentences with file and line; the tests pass when no rule has anything to say.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LONGEST_FILE = 500
LONGEST_OPENING = 6
"""Lines of text in the sentence or two that open a module."""

_VAGUE = {"util", "utils", "helper", "helpers", "common", "manager", "impl"}
_OTHER_WORDS_FOR_INSTANCE = {"machine", "machines", "pod", "pods", "vm", "vms"}
_WALL_CLOCK = re.compile(r"time\.(time|time_ns)|(datetime\.)?(datetime|date)\.(now|utcnow|today)")
_ENVIRONMENT = re.compile(r"os\.(environb?|getenvb?|putenv|unsetenv)")
_SQL = re.compile(
    r"\s*(SELECT\s.*\sFROM\s|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|WITH\s+\w+\s+AS\s)",
    re.DOTALL,
)
_STATEMENT_VERBS = {"run", "run_many", "one", "all"}
_SQL_BELONGS = re.compile(
    r"src/berth/(core/\w+/store(\.py|/\w+\.py)|base/(db\w*|leases|sqlite|postgres)\.py|migrations/.*)"
)
_MONEY = re.compile(r"src/berth/core/((ledger|billing)/.*|\w+/rates\.py)")
# Spelled so that this file does not find itself.
_UNFINISHED = re.compile(r"\b(TO[D]O|FIX[M]E|XX[X]|HAC[K])\b")
_PATCHING = re.compile(r"(monkeypatch\.(setattr|delattr|setitem|delitem)|(mock\.|mocker\.)?patch(\.\w+)?)")
_REGISTRY = re.compile(r"://([^/\s]*[.@])?(pypi|registry|mirrors?|artifactory|nexus|devpi|deb|npm)\b")
_TEXT = {
    ".py",
    ".md",
    ".toml",
    ".lock",
    ".cfg",
    ".ini",
    ".html",
    ".css",
    ".js",
    ".json",
    ".yml",
    ".yaml",
    ".sh",
}


@dataclass(frozen=True)
class Source:
    """One Python file, read once for all rules."""

    name: str
    """Its path from the root of the checkout, with forward slashes."""
    text: str
    tree: ast.Module
    nodes: tuple[ast.AST, ...]

    def at(self, node: ast.AST | int, sentence: str) -> str:
        line = node if isinstance(node, int) else getattr(node, "lineno", 1)
        return f"{self.name}:{line}: {sentence}"


Rule = Callable[[Source], Iterator[str]]


def rules() -> list[Rule]:
    return [
        files_stay_short,
        modules_open_with_a_sentence,
        names_say_something,
        nothing_is_left_unfinished,
        only_settings_reads_the_environment,
        only_the_clock_tells_the_time,
        only_stores_hold_sql,
        money_is_never_a_float,
        our_code_is_not_patched,
        nothing_sleeps,
    ]


def test_the_house_is_tidy() -> None:
    problems = [problem for source in sources() for rule in rules() for problem in rule(source)]
    assert not problems, "\n" + "\n".join(problems)


def test_no_file_names_a_package_registry() -> None:
    problems = [
        f"{name}:{number}: says where packages are downloaded; every machine has its own answer"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if _REGISTRY.search(line) or (name.endswith(".lock") and "://" in line)
    ]
    assert not problems, "\n" + "\n".join(problems)


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("src/berth/core/x/service.py", "x = 1\n", "modules_open_with_a_sentence"),
        ("src/berth/core/x/service.py", '"""\n' + "a\n" * 7 + '"""', "modules_open_with_a_sentence"),
        ("src/berth/core/x/service.py", "x = 1\n" * 501, "files_stay_short"),
        ("src/berth/core/x/utils.py", "", "names_say_something"),
        ("src/berth/core/x/service.py", "class KeyManager: pass", "names_say_something"),
        ("src/berth/core/x/service.py", "def base_price(): pass", "names_say_something"),
        ("src/berth/loops/x.py", "def stop(vm_id): pass", "names_say_something"),
        ("src/berth/loops/x.py", "for machine in (): pass", "names_say_something"),
        ("src/berth/loops/x.py", "# TO" + "DO later", "nothing_is_left_unfinished"),
        ("src/berth/loops/x.py", "import os\nos.environ['HOME']", "only_settings_reads_the_environment"),
        ("src/berth/loops/x.py", "from os import getenv", "only_settings_reads_the_environment"),
        ("src/berth/loops/x.py", "import time\ntime.time()", "only_the_clock_tells_the_time"),
        ("src/berth/loops/x.py", "from time import time_ns", "only_the_clock_tells_the_time"),
        (
            "src/berth/loops/x.py",
            "from datetime import datetime\ndatetime.now()",
            "only_the_clock_tells_the_time",
        ),
        ("src/berth/core/x/service.py", "a = 'SELECT 1 FROM t'", "only_stores_hold_sql"),
        ("src/berth/core/x/service.py", "a = f'UPDATE {t} SET a = 1'", "only_stores_hold_sql"),
        ("src/berth/core/x/service.py", "tx.all(statement)", "only_stores_hold_sql"),
        ("src/berth/core/ledger/service.py", "def f(a: float): pass", "money_is_never_a_float"),
        ("src/berth/core/billing/rates.py", "a = b / 2", "money_is_never_a_float"),
        ("src/berth/core/catalog/rates.py", "a = 1.5", "money_is_never_a_float"),
        ("tests/x.py", "monkeypatch.setattr('berth.app.FACES', ())", "our_code_is_not_patched"),
        (
            "tests/x.py",
            "from berth import app\nmonkeypatch.setattr(app, 'FACES', ())",
            "our_code_is_not_patched",
        ),
        (
            "tests/x.py",
            "from unittest import mock\nmock.patch('berth.app.FACES')",
            "our_code_is_not_patched",
        ),
        ("tests/x.py", "import time\ntime.sleep(1)", "nothing_sleeps"),
    ],
)
def test_a_rule_notices(name: str, text: str, rule: str) -> None:
    by_name = {each.__name__: each for each in rules()}
    assert list(by_name[rule](source(name, text)))


def files_stay_short(source: Source) -> Iterator[str]:
    lines = source.text.count("\n")
    if lines > LONGEST_FILE:
        yield source.at(LONGEST_FILE, f"the file has {lines} lines; split it by what it decides")


def modules_open_with_a_sentence(source: Source) -> Iterator[str]:
    opening = ast.get_docstring(source.tree)
    if not opening:
        yield source.at(1, "the module does not open with what it keeps true")
    elif len([line for line in opening.splitlines() if line.strip()]) > LONGEST_OPENING:
        yield source.at(1, f"the module's opening is longer than {LONGEST_OPENING} lines")


def names_say_something(source: Source) -> Iterator[str]:
    speaks_of_instances = source.name.startswith(("src/berth/core/", "src/berth/loops/", "src/berth/base/"))
    banned = _VAGUE | _OTHER_WORDS_FOR_INSTANCE if speaks_of_instances else _VAGUE
    parts = Path(source.name).with_suffix("").parts
    for node, name in [(ast.Pass(lineno=1), part) for part in parts] + list(_defined_names(source)):
        words = _words(name)
        if bad := banned.intersection(words):
            yield source.at(node, f"`{name}`: the word {', '.join(sorted(bad))} is not used here")
        if words[0] == "base" and len(words) > 1 and words != ["base", "url"]:
            yield source.at(node, f"`{name}`: say what it is, not that others build on it")


def nothing_is_left_unfinished(source: Source) -> Iterator[str]:
    for number, line in enumerate(source.text.splitlines(), 1):
        if _UNFINISHED.search(line):
            yield source.at(number, "unfinished work belongs in an issue, not in the source")


def only_settings_reads_the_environment(source: Source) -> Iterator[str]:
    if source.name.startswith("src/") and source.name != "src/berth/settings.py":
        for node, dotted in _dotted_names(source):
            if _ENVIRONMENT.fullmatch(dotted):
                yield source.at(node, f"`{dotted}`: only settings.py reads the environment; take a parameter")


def only_the_clock_tells_the_time(source: Source) -> Iterator[str]:
    if source.name.startswith("src/") and source.name != "src/berth/base/clock.py":
        for node, dotted in _dotted_names(source):
            if _WALL_CLOCK.fullmatch(dotted):
                yield source.at(node, f"`{dotted}`: time comes from `tx.now` or a Clock")


def only_stores_hold_sql(source: Source) -> Iterator[str]:
    if not source.name.startswith("src/") or _SQL_BELONGS.fullmatch(source.name):
        return
    prose = {id(node.value) for node in source.nodes if isinstance(node, ast.Expr)}
    for node in source.nodes:
        if _is_statement_call(node):
            yield source.at(node, "only a store runs statements")
        elif id(node) not in prose and _SQL.match(_text_of(node)):
            yield source.at(node, "SQL stands in the noun's store.py, nowhere else")


def money_is_never_a_float(source: Source) -> Iterator[str]:
    if not _MONEY.fullmatch(source.name):
        return
    for node in source.nodes:
        match node:
            case ast.Constant(value=float()):
                yield source.at(node, "a float beside money; micro-dollars are whole")
            case ast.Name(id="float"):
                yield source.at(node, "a float beside money; micro-dollars are whole")
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield source.at(node, "`/` makes a float; divide with // and say which way it rounds")
            case _:
                pass


def our_code_is_not_patched(source: Source) -> Iterator[str]:
    if not source.name.startswith("tests/"):
        return
    imported = _imports(source)
    for node in source.nodes:
        if not isinstance(node, ast.Call) or not _PATCHING.fullmatch(_dotted(node.func)):
            continue
        target = node.args[0] if node.args else None
        if isinstance(target, ast.Constant):
            owner = str(target.value)
        else:
            owner = imported.get(_dotted(target).partition(".")[0], "berth")
        if owner.partition(".")[0] in {"berth", "tests", "bench"}:
            yield source.at(node, "a test patches our own code: a parameter is missing there")


def nothing_sleeps(source: Source) -> Iterator[str]:
    if source.name.startswith(("tests/", "src/berth/core/")):
        for node, dotted in _dotted_names(source):
            if dotted == "time.sleep":
                yield source.at(node, "nothing sleeps here: turn the clock, or wait for what should happen")


@cache
def sources() -> tuple[Source, ...]:
    return tuple(source(name, text) for name, text in texts() if name.endswith(".py"))


def source(name: str, text: str) -> Source:
    tree = ast.parse(text, name)
    return Source(name, text, tree, tuple(ast.walk(tree)))


@cache
def texts() -> tuple[tuple[str, str], ...]:
    """The name and text of every file that people write."""
    top = [path for path in ROOT.iterdir() if path.is_file()]
    below = [
        path for folder in ("src", "tests", "bench", "docs", ".ci") for path in (ROOT / folder).rglob("*")
    ]
    written = [path for path in top + below if path.is_file() and _is_text(path)]
    return tuple((path.relative_to(ROOT).as_posix(), path.read_text("utf-8")) for path in sorted(written))


def _is_text(path: Path) -> bool:
    return path.suffix in _TEXT or path.name in {"Makefile", "LICENSE", "run"}


def _words(name: str) -> list[str]:
    """`KeyManager` and `key_manager` are both key, manager."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_+", " ", name.strip("_")).lower()
    return spaced.split() or [""]


def _defined_names(source: Source) -> Iterator[tuple[ast.AST, str]]:
    for node in source.nodes:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node, name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()):
                yield node, name
            case ast.Attribute(attr=name, ctx=ast.Store()) | ast.alias(asname=str(name)):
                yield node, name
            case _:
                pass


def _dotted_names(source: Source) -> Iterator[tuple[ast.AST, str]]:
    """Every `a.b.c` of the file, and what `from a.b import c` brings in, under its full name."""
    for node in source.nodes:
        match node:
            case ast.Attribute():
                yield node, _dotted(node)
            case ast.ImportFrom(module=str(module), names=names):
                for each in names:
                    yield node, f"{module}.{each.name}"
            case _:
                pass


def _dotted(node: ast.AST | None) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{_dotted(value)}.{name}"
        case _:
            return ""


def _imports(source: Source) -> dict[str, str]:
    """What each imported name stands for."""
    found: dict[str, str] = {}
    for node in source.nodes:
        match node:
            case ast.Import(names=names):
                found.update((each.asname or each.name.partition(".")[0], each.name) for each in names)
            case ast.ImportFrom(module=str(module), names=names):
                found.update((each.asname or each.name, f"{module}.{each.name}") for each in names)
            case _:
                pass
    return found


def _text_of(node: ast.AST) -> str:
    """A string's text, with a word in place of what an f-string fills in."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_text_of(value) or "filled" for value in values)
        case _:
            return ""


def _is_statement_call(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="tx"), attr=verb)):
            return verb in _STATEMENT_VERBS
        case _:
            return False
