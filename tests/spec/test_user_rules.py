"""Rules about users: names, identities that are not theirs, and RBAC rules."""

from __future__ import annotations

import pytest

from tests.spec.sources import assert_starts, case, problems, users, warnings

REFUSED = [
    case(
        "user-twice",
        users("    - {name: ann}\n    - {name: ann}\n"),
        "9:14: spec.users[1].name: 'ann' is the name of an earlier user: their files would",
    ),
    case(
        "user-case",
        users("    - {name: ann}\n    - {name: Ann}\n"),
        "9:14: spec.users[1].name: 'Ann' differs only in case from 'ann', the name of an earlier user:",
    ),
    case(
        "user-system",
        users('    - {name: "system:admin"}\n'),
        "8:14: spec.users[0].name: 'system:admin' is reserved for Kubernetes: such a",
    ),
    case(
        "user-masters",
        users('    - {name: ann, groups: ["system:masters"]}\n'),
        "8:28: spec.users[0].groups[0]: 'system:masters' is reserved for Kubernetes: such a",
    ),
    case(
        "user-reserved",
        users('    - {name: kubernetes-admin, groups: ["kubeadm:cluster-admins"]}\n'),
        "8:14: spec.users[0].name: 'kubernetes-admin' is reserved for Kubernetes: such a",
        "8:41: spec.users[0].groups[0]: 'kubeadm:cluster-admins' is reserved for Kubernetes:",
    ),
    case(
        "role-empty",
        users("    - {name: ann, roles: [{namespace: web}]}\n"),
        "8:27: spec.users[0].roles[0]: grants nothing: give exactly one of clusterRole, role and",
    ),
    case(
        "role-double",
        users("    - {name: ann, roles: [{namespace: web, role: x, clusterRole: y}]}\n"),
        "8:27: spec.users[0].roles[0]: has clusterRole and role: give exactly one of clusterRole,",
    ),
    case(
        "rule-url-in-namespace",
        users(
            "    - {name: ann, roles: [{namespace: web, rules: [{nonResourceURLs: [/m], verbs: [get]}]}]}\n"
        ),
        "8:70: spec.users[0].roles[0].rules[0].nonResourceURLs: URLs are in no namespace: give them",
    ),
    case(
        "rule-both",
        users(
            "    - {name: ann, rules: [{nonResourceURLs: [/m], resources: [pods], "
            'apiGroups: [""], verbs: [get]}]}\n'
        ),
        "8:27: spec.users[0].rules[0]: has both resources and nonResourceURLs: make two rules of it",
    ),
    case(
        "rule-without-groups",
        users("    - {name: ann, rules: [{resources: [pods], verbs: [get]}]}\n"),
        '8:27: spec.users[0].rules[0].apiGroups: is missing: write [""] for the core group',
    ),
    case(
        "rule-without-resources",
        users('    - {name: ann, rules: [{apiGroups: [""], verbs: [get]}]}\n'),
        "8:27: spec.users[0].rules[0].resources: is missing: name resources, or give nonResourceURLs",
    ),
]

WARNED = [
    case(
        "user-override-idle",
        users("    - {name: ann, groups: [x, x], allowSystemIdentity: why not}\n"),
        "8:31: spec.users[0].groups[1]: 'x' is given twice: remove it",
        "8:56: spec.users[0].allowSystemIdentity: is not needed: the name and the groups are",
    ),
]

HARMLESS = {
    "a reason was given": users(
        '    - {name: "system:x", groups: ["system:masters"], allowSystemIdentity: why}\n'
    ),
}


@pytest.mark.parametrize(("source", "expected"), REFUSED)
def test_problems(source: str | bytes, expected: tuple[str, ...]) -> None:
    assert_starts(problems(source), expected)


@pytest.mark.parametrize(("source", "expected"), WARNED)
def test_warnings(source: str | bytes, expected: tuple[str, ...]) -> None:
    assert_starts(warnings(source), expected)


@pytest.mark.parametrize("source", HARMLESS.values(), ids=HARMLESS)
def test_nothing_is_said_about(source: str) -> None:
    assert warnings(source) == []


def test_rules_that_no_request_matches_are_warnings() -> None:
    rule = "    - {name: ann, rules: [{apiGroups: %s, resources: %s, verbs: %s}]}\n"
    told = warnings(users(rule % ("['', core, v1beta1, apps/v1]", "[Pods, pods/log]", "[GET, list, Foo]")))
    place = "spec.users[0].rules[0]"
    assert_starts(
        [each.split(" ", 1)[1] for each in told],
        (
            f"{place}.apiGroups: has what no request matches: 'core', the core group is \"\"; 'v1beta1', the",
            f"{place}.resources: has what no request matches: 'Pods', write pods",
            f"{place}.verbs: has what no request matches: 'GET', write get",
        ),
    )
    assert warnings(users(rule % ("['', apps, '*', example.com]", "['*', pods/*]", "['*', use, Use]"))) == []
    assert warnings(users(rule % ("[example.com]", "[Odd]", "[get]"))) == []
    urls = "    - {name: ann, rules: [{nonResourceURLs: %s, verbs: [get]}]}\n"
    [told_of_urls] = warnings(users(urls % "[metrics, /a/*/b, /livez/*, '*']"))
    assert told_of_urls.endswith("matches: 'metrics', write /metrics; '/a/*/b', a * stands at the end only")
    core = "{apiGroups: [core], resources: [x], verbs: [get]}"
    [told_of_role] = warnings(users(f"    - {{name: ann, roles: [{{namespace: web, rules: [{core}]}}]}}\n"))
    assert "spec.users[0].roles[0].rules[0].apiGroups: has what no request matches: 'core'" in told_of_role
