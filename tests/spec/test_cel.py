"""What can be said of a CEL expression without compiling it."""

from __future__ import annotations

import pytest

from pkigen.spec import cel


@pytest.mark.parametrize(
    ("expression", "variable", "fault"),
    [
        ("user.username != ''", "claims", "uses user, and only claims is there"),
        ("claims.hd == 'a'", "user", "uses claims, and only user is there"),
        ("has(claims['hd'])", "user", "uses claims, and only user is there"),
        ("claims.a == 'user.b' && claims.user == 'x'", "claims", None),
        ("claims.?user.orValue('') == '' // user.x", "claims", None),
        ("claims.all.exists(user, user.id == 'a')", "claims", None),
        ("user.groups.all(claims, claims.size() > 1)", "user", None),
        ("!user.username.startsWith('system:')", "user", None),
        ("power_user.x", "claims", None),
        ("(claims.a", "claims", "lacks a )"),
    ],
)
def test_an_expression_has_one_variable(expression: str, variable: str, fault: str | None) -> None:
    assert cel.fault(expression, variable) == fault
