"""The script that changes a module: each change is one, is valid Python, and is no wording."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
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
