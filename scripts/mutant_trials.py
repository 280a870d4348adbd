# noqa: INP001 -- the script beside it imports it
"""Runs the tests against one mutant after the other, each in a fork of one process that is ready to run them.

That process has imported the package and collected the tests, and it knows which functions of the module
each test enters, itself or by its fixtures. If a mutant differs in the body of one function only, the fork
takes over the changed code and runs the tests that enter this function, the quickest first. Otherwise it
forgets the package, imports it anew, and runs all tests.
"""

from __future__ import annotations

import ast
import gc
import json
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import CodeType, FrameType, FunctionType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

PATIENCE = 60
"""Seconds that each mutant has, beside five times what the tests need; one that takes longer is noticed."""
UNCHANGED_PATIENCE = 3600
BROKEN = 99
"""The exit code of a fork that could not run the tests."""
OURS = ("pkigen", "tests")
OPTIONS = ("-q", "-x", "-p", "no:cacheprovider")


@dataclass(kw_only=True, eq=False)
class Entered:
    """A plugin: which functions of the module, by their first lines, are entered in the course of what."""

    module: Path
    now: set[int] = field(default_factory=set)
    by_test: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    by_fixture: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    seconds: dict[str, float] = field(default_factory=dict)

    def profile(self, frame: FrameType, event: str, _argument: object) -> None:
        """What Python calls at every call: see `sys.setprofile`."""
        if event == "call" and frame.f_code.co_filename == str(self.module):
            self.now.add(frame.f_code.co_firstlineno)

    @contextmanager
    def _noted(self, entered: set[int]) -> Iterator[None]:
        around, self.now = self.now, entered
        try:
            yield
        finally:
            self.now = around
            around |= entered

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
        """Note what a fixture enters: it may be made in the course of another test."""
        with self._noted(self.by_fixture[fixturedef.argname]):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note what a test enters, and how long it takes."""
        begin = time.monotonic()
        with self._noted(self.by_test[item.nodeid]):
            result = yield
        self.seconds[item.nodeid] = time.monotonic() - begin
        return result

    def tests_by_function(self, items: list[pytest.Item]) -> dict[int, list[str]]:
        """The tests that enter each function, the quickest first."""
        found: dict[int, list[str]] = defaultdict(list)
        for item in sorted(items, key=lambda item: self.seconds.get(item.nodeid, 0)):
            names = getattr(item, "fixturenames", ())
            for line in self.by_test[item.nodeid].union(*(self.by_fixture[name] for name in names)):
                found[line].append(item.nodeid)
        return found


@dataclass(frozen=True)
class Change:
    """A function that a mutant changes: the first line of the one that is loaded, and its changed code."""

    line: int
    code: CodeType

    def take_over(self, module: Path) -> None:
        """Give the code to every function that is loaded from this line of a module."""
        for each in gc.get_objects():
            if isinstance(each, FunctionType) and _stands_at(each.__code__, module, self.line):
                each.__code__ = self.code


def changed_function(source: str, changed: str) -> Change | None:
    """The function in whose body two texts of a module differ; None if they differ elsewhere too."""
    functions, others = (list(_functions(ast.parse(text))) for text in (source, changed))
    pairs = [(one, other) for one, other in zip(functions, others, strict=False) if _differ(one, other)]
    if len(pairs) != 1 or _differ(_hollow(source), _hollow(changed)):
        return None
    one, other = map(_first_line, pairs[0])
    return Change(one, next(each for each in _codes(changed) if each.co_firstlineno == other))


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    """The functions of a module and the methods of its classes, without what is defined inside of them."""
    for each in ast.iter_child_nodes(tree):
        if isinstance(each, ast.FunctionDef):
            yield each
        else:
            yield from _functions(each)


def _differ(one: ast.AST, other: ast.AST) -> bool:
    return ast.dump(one) != ast.dump(other)


def _hollow(source: str) -> ast.AST:
    """A module without the bodies of its functions."""
    tree = ast.parse(source)
    for each in _functions(tree):
        each.body = [ast.Pass()]
    return tree


def _first_line(function: ast.FunctionDef) -> int:
    """As code objects count: decorators belong to the function."""
    return min([function.lineno, *(each.lineno for each in function.decorator_list)])


def _codes(source: str) -> Iterator[CodeType]:
    """The code objects of a module, outer ones before inner ones."""
    waiting = [compile(source, "mutant", "exec", dont_inherit=True)]
    for each in waiting:
        yield each
        waiting += [constant for constant in each.co_consts if isinstance(constant, CodeType)]


def _stands_at(code: CodeType, module: Path, line: int) -> bool:
    return code.co_firstlineno == line and code.co_filename == str(module)


class Trials:
    """A plugin that runs the collected tests once unchanged, and then on demand for each mutant."""

    def __init__(self, module: Path, tests: list[str], ready: Callable[[Trials], None]) -> None:
        """The module, what pytest is to run, and what to call when all is ready."""
        self._module = module
        self._source = module.read_text(encoding="utf-8")
        self._tests = tests
        self._ready = ready
        self._entered = Entered(module=module)
        self._items: dict[str, pytest.Item] = {}
        self._by_function: dict[int, list[str]] = {}
        self._loaded: frozenset[int] = frozenset()
        self._patience = UNCHANGED_PATIENCE

    def run(self) -> int:
        """Collect the tests, and do everything; pytest's exit code."""
        sys.setprofile(self._entered.profile)
        return int(pytest.main([*OPTIONS, *self._tests], plugins=[self]))

    @pytest.hookimpl
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests once unchanged, to see what they enter; then go on to the mutants."""
        sys.setprofile(None)
        self._items = {item.nodeid: item for item in session.items}
        self._loaded = frozenset(self._entered.now)
        record = self._module.with_suffix(".entered")
        if session.testsfailed or not self._passes(lambda: self._try_unchanged(session, record)):
            pytest.exit("the tests do not pass without any mutant", returncode=1)
        recorded = json.loads(record.read_text(encoding="utf-8"))
        self._by_function = {int(line): tests for line, tests in recorded["tests"].items()}
        self._patience = PATIENCE + int(5 * recorded["seconds"])
        self._ready(self)
        return True

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Print what fails: the log shows it if no mutant is the reason."""
        if report.failed:
            print(report.longreprtext)

    def survives(self, changed: str) -> bool:
        """Whether the tests pass with another text of the module."""
        self._module.write_text(changed, encoding="utf-8")
        change = changed_function(self._source, changed)
        if change is None or change.line in self._loaded:
            return self._passes(self._try_anew)
        return self._passes(lambda: self._try_change(change))

    def _try_unchanged(self, session: pytest.Session, record: Path) -> bool:
        session.config.pluginmanager.register(self._entered)
        sys.setprofile(self._entered.profile)
        # What a test has done by threads that it starts, it enters too.
        threading.setprofile(self._entered.profile)
        passed = _pass(session.items)
        threading.setprofile(None)
        sys.setprofile(None)
        tests = self._entered.tests_by_function(session.items)
        seconds = sum(self._entered.seconds.values())
        record.write_text(json.dumps({"tests": tests, "seconds": seconds}), encoding="utf-8")
        return passed

    def _try_change(self, change: Change) -> bool:
        try:
            change.take_over(self._module)
        except ValueError:  # what it takes from the scope around it is not the same
            return self._try_anew()
        return _pass([self._items[name] for name in self._by_function.get(change.line, ())])

    def _try_anew(self) -> bool:
        for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
            del sys.modules[name]
        return pytest.main([*OPTIONS, *self._tests]) == pytest.ExitCode.OK

    def _passes(self, attempt: Callable[[], bool]) -> bool:
        """Whether an attempt passes in a fork of this process, within its time."""
        child = os.fork()
        if not child:
            code = BROKEN
            try:
                os.setsid()
                signal.alarm(self._patience)
                code = int(not attempt())
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        # Whatever the tests have started and a failure has left.
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        if os.waitstatus_to_exitcode(status) == BROKEN:
            raise RuntimeError("an attempt ended before its tests did")
        return status == 0


def _pass(items: list[pytest.Item]) -> bool:
    """Run tests up to the first that fails."""
    for item, following in zip(items, [*items[1:], None], strict=False):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if item.session.testsfailed:
            return False
    return True
