#!/usr/bin/env python3
"""Changes a module in one small way at a time, and shows which changes no test notices.

    python scripts/mutants.py MODULE [--every N] [--only N,N…] TEST…

Each changed module (a *mutant*) is put into a copy of the checkout, and what `TEST…` names runs there, up to
the first failure; of a change within one function, only the tests that enter this function in their process.
A mutant that all of them pass *survives*: either it means the same, or a test is missing. `--every 4` tries
one mutant of four, `--only 7,12` those numbers. Wording (strings with a blank in them), annotations and lines
of the log are left as they are.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from scripts.mutant_trials import Trials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_Item = TypeVar("_Item")
TOP = Path(__file__).resolve().parent.parent

LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".hypothesis")

_OPPOSITES: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.Continue: ast.Break,
    ast.Break: ast.Continue,
}
_TWINS = {"any": "all", "min": "max", "startswith": "endswith"}
_TWINS |= {second: first for first, second in _TWINS.items()}


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One change: of which line, what stood there, and what stands there now (None: nothing)."""

    line: int
    before: str
    after: str
    source: str

    def __str__(self) -> str:
        """One line."""
        before, after = (" ".join(text.split())[:90] for text in (self.before, self.after))
        return f"line {self.line}: {before}  ->  {after or 'nothing'}"


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of a module, in the order of its syntax tree."""
    tree = ast.parse(source)
    for parent, field, index, node in list(_places(tree)):
        present = getattr(parent, field)
        for other in _others(node):
            if index is None:
                setattr(parent, field, other)
            else:
                setattr(parent, field, [*present[:index], other, *present[index + 1 :]])
            text = ast.unparse(ast.fix_missing_locations(tree))
            setattr(parent, field, present)
            line = getattr(node, "lineno", 0) or getattr(parent, "lineno", 0)
            yield Mutant(line=line, before=ast.unparse(node), after=ast.unparse(other), source=text)


def _places(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Every node that may be changed: its parent, the field, the index there, and the node."""
    for field, value in ast.iter_fields(node):
        if field in {"annotation", "returns", "decorator_list", "bases"}:
            continue
        several = isinstance(value, list)
        for index, child in enumerate(value if several else [value]):
            is_wording = isinstance(node, ast.JoinedStr) and isinstance(child, ast.Constant)
            if isinstance(child, ast.AST) and not _is_left(child) and not is_wording:
                yield node, field, index if several else None, child
                yield from _places(child)


def _is_left(node: ast.AST) -> bool:
    """Imports, what only type checkers read, docstrings, and the log."""
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="logger")))):
            return True
    return False


def _others(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in the place of a node."""
    match node:
        case ast.stmt() | ast.ExceptHandler():
            yield from _other_statements(node)
        case ast.Constant():
            yield from _other_constants(node)
        case ast.Call():
            yield from _other_calls(node)
        case ast.expr() | ast.comprehension():
            yield from _other_expressions(node)


def _other_statements(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Continue() | ast.Break():
            yield _OPPOSITES[type(node)]()
        case ast.Expr() | ast.AugAssign() | ast.Raise():
            yield ast.Pass()
        case ast.Assign(targets=[target]) if not isinstance(target, ast.Name):
            yield ast.Pass()
        case ast.Return(value=value) if value is not None and not isinstance(value, ast.Constant):
            yield ast.Return(ast.Constant(None))
        case ast.If(test=test):
            yield _changed(node, test=ast.UnaryOp(ast.Not(), test))
            yield _changed(node, test=ast.Constant(value=False))
        case ast.ExceptHandler():
            yield _changed(node, body=[ast.Raise()])


def _other_constants(node: ast.Constant) -> Iterator[ast.AST]:
    match node.value:
        case bool():
            yield ast.Constant(not node.value)
        case int():
            yield ast.Constant(node.value + 1)
            yield ast.Constant(node.value - 1)
        case str() if node.value.strip() and " " not in node.value.strip():
            yield ast.Constant(f"XX{node.value}")


def _other_calls(node: ast.Call) -> Iterator[ast.AST]:
    match node.func:
        case ast.Name(id=name) if name in _TWINS:
            yield _changed(node, func=ast.Name(_TWINS[name]))
        case ast.Attribute(value=value, attr=name) if name in _TWINS:
            yield _changed(node, func=ast.Attribute(value, _TWINS[name]))
        case ast.Attribute(value=ast.Call() as earlier):
            yield earlier
    if len(node.args) > 1 and ast.unparse(node.func) != "isinstance":
        yield _changed(node, args=[node.args[1], node.args[0], *node.args[2:]])
    for index in range(len(node.keywords)):
        yield _changed(node, keywords=_without(node.keywords, index))


def _other_expressions(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Compare() | ast.BoolOp():
            yield from _other_conditions(node)
        case ast.BinOp(op=operator) if type(operator) in _OPPOSITES:
            yield _changed(node, op=_OPPOSITES[type(operator)]())
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.IfExp(body=first, orelse=second):
            yield first
            yield second
        case ast.comprehension(ifs=conditions):
            for index in range(len(conditions)):
                yield _changed(node, ifs=_without(conditions, index))
        case _:
            yield from _other_displays(node)


def _other_conditions(node: ast.Compare | ast.BoolOp) -> Iterator[ast.AST]:
    if isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            other = _OPPOSITES[type(operator)]()
            yield _changed(node, ops=[*node.ops[:index], other, *node.ops[index + 1 :]])
        return
    yield _changed(node, op=_OPPOSITES[type(node.op)]())
    for index in range(len(node.values)):
        rest = _without(node.values, index)
        yield _changed(node, values=rest) if len(rest) > 1 else rest[0]


def _other_displays(node: ast.AST) -> Iterator[ast.AST]:
    """A list, a set, a tuple or a dict without one of its elements."""
    match node:
        case ast.List(elts=elements, ctx=ast.Load()) | ast.Tuple(elts=elements, ctx=ast.Load()):
            for index in range(len(elements)):
                yield _changed(node, elts=_without(elements, index))
        case ast.Set(elts=elements) if len(elements) > 1:
            for index in range(len(elements)):
                yield _changed(node, elts=_without(elements, index))
        case ast.Dict(keys=keys, values=values):
            for index in range(len(keys)):
                yield _changed(node, keys=_without(keys, index), values=_without(values, index))


def _changed(node: ast.AST, **fields: object) -> ast.AST:
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def _without(items: list[_Item], index: int) -> list[_Item]:
    return items[:index] + items[index + 1 :]


# -- trying them ------------------------------------------------------------------------------------------


def main(arguments: list[str]) -> int:
    """Try the mutants that are asked for, and print those that survive; the exit code is 1 if any does."""
    asked = _asked(arguments)
    numbered = list(enumerate(mutants((TOP / asked.module).read_text(encoding="utf-8"))))
    chosen = [(number, each) for number, each in numbered if _is_chosen(number, asked)]
    survivors: list[int] = []
    with tempfile.TemporaryDirectory(prefix="pkigen-mutants-") as place, _log(Path(place)) as show:

        def try_all(trials: Trials) -> None:
            for number, mutant in chosen:
                if trials.survives(mutant.source):
                    survivors.append(number)
                    show(f"{number}: {mutant}")

        checkout = Path(shutil.copytree(TOP, Path(place) / "checkout", ignore=LEFT_OUT))
        _work_in(checkout)
        if Trials(checkout / asked.module, asked.tests, try_all).run():
            show((Path(place) / "log").read_text(encoding="utf-8", errors="replace")[-2000:])
            sys.exit("error: the tests do not pass without any mutant")
        show(f"{asked.module}: {len(survivors)} of {len(chosen)} survived; it has {len(numbered)} mutants")
    return int(bool(survivors))


@contextmanager
def _log(place: Path) -> Iterator[Callable[[str], None]]:
    """Have everything that is printed go to a file; what is yielded prints a line as before."""
    with (place / "log").open("wb") as log, os.fdopen(os.dup(1), "w", encoding="utf-8") as terminal:
        errors = os.dup(2)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield lambda line: print(line, file=terminal, flush=True)
        finally:
            os.dup2(errors, 2)
            os.close(errors)


def _work_in(checkout: Path) -> None:
    """Have this process, and those that it starts, import from a checkout and write no compiled modules."""
    sys.path.insert(0, str(checkout))
    sys.dont_write_bytecode = True
    os.environ |= {"PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}
    os.chdir(checkout)


def _asked(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS
    )
    parser.add_argument("module", help="a file of the package, from the top of the checkout")
    parser.add_argument("tests", nargs="+", help="what pytest is to run")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="one mutant of N, by number")
    parser.add_argument("--only", type=_numbers, default=frozenset(), metavar="N,N", help="these numbers")
    return parser.parse_args(arguments)


def _numbers(text: str) -> frozenset[int]:
    return frozenset(map(int, text.split(",")))


def _is_chosen(number: int, asked: argparse.Namespace) -> bool:
    return number in asked.only if asked.only else number % asked.every == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
