"""The script that changes a module: each change is one, is valid Python, and is no wording."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import mutant_trials
import mutants

SOURCE = '''
"""A module."""
import os

LIMITS = {1, 2}

def check(value: int, *, strict: bool = True) -> str | None:
    """Say why not."""
    logger.info("looked at %s", value)
    if value in LIMITS and not strict:
        return None
    raise ValueError(f"the value {value} is too large", hint="take another one")
'''

LIMITS = """
LIMIT = 3

def is_too_large(value: int) -> bool:
    \"""Say so.\"""
    return value > LIMIT

def unseen() -> str:
    return "unseen"

def is_nothing(value: int) -> bool:
    return value == 0
"""
TEST_OF_LIMITS = """
from concurrent.futures import ThreadPoolExecutor

from pkigen.limits import is_nothing, is_too_large

def test_limit() -> None:
    assert is_too_large(4)
    assert not is_too_large(2)

def test_in_threads() -> None:
    with ThreadPoolExecutor() as pool:
        assert list(pool.map(is_nothing, [0, 1])) == [True, False]
"""


def test_each_mutant_is_one_change_of_the_code() -> None:
    whole = ast.unparse(ast.parse(SOURCE))
    found = [each.source for each in mutants.mutants(SOURCE)]
    assert len(set(found)) == len(found)
    for source in found:
        ast.parse(source)
        changed = {*source.splitlines()} ^ {*whole.splitlines()}
        assert 1 <= len(changed) <= 3, changed
        for kept in ('"""Say why not."""', "logger.info('looked at %s', value)", "import os"):
            assert kept in source
    assert {str(each) for each in mutants.mutants(SOURCE)} >= {
        "line 5: {1, 2}  ->  {2}",
        "line 7: True  ->  False",
        "line 10: value in LIMITS  ->  value not in LIMITS",
        "line 10: value in LIMITS and (not strict)  ->  value in LIMITS or not strict",
        "line 10: not strict  ->  strict",
    }


def test_a_change_within_one_function_is_put_in_its_place() -> None:
    source = """
def decorated(function):
    return function

@decorated
def check(value):
    return [each for each in value if each > 1]
"""
    lines = ast.unparse(ast.parse(source))
    for changed, expected in (
        (lines.replace("each > 1", "each >= 1"), [1, 2]),
        (lines.replace("each > 1", "each <= 2"), [1, 2]),
        (lines.replace("@decorated", ""), None),
        (lines.replace("check(value)", "check(value=(1,))"), None),
    ):
        found = mutant_trials.changed_function(source, changed)
        if expected is None:
            assert found is None
            continue
        assert found is not None
        assert found.line == 5
        scope: dict[str, Any] = {}
        exec(compile(source, "module.py", "exec"), scope)  # noqa: S102
        found.take_over(Path("module.py"))
        assert scope["check"]([0, 1, 2]) == ([1, 2] if ">=" in changed else [0, 1, 2])


def test_survivors_are_told_from_what_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "pkigen").mkdir()
    (tmp_path / "tests").mkdir()
    for room in ("pkigen", "tests"):
        (tmp_path / room / "__init__.py").touch()
    (tmp_path / "pkigen" / "limits.py").write_text(LIMITS)
    (tmp_path / "tests" / "test_limits.py").write_text(TEST_OF_LIMITS)
    script = "import mutants, sys; mutants.TOP = mutants.Path(sys.argv.pop(1)); mutants.main(sys.argv[1:])"
    command = [sys.executable, "-c", script, str(tmp_path), "pkigen/limits.py", "tests/test_limits.py"]
    environment = os.environ | {"PYTHONPATH": str(Path(mutants.__file__).parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        "1: line 2: 3  ->  2",
        "3: line 6: value > LIMIT  ->  value >= LIMIT",
        "4: line 9: 'unseen'  ->  'XXunseen'",
        "pkigen/limits.py: 3 of 9 survived; it has 9 mutants",
    ], done.stderr
