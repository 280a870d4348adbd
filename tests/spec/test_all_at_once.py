"""However many faults a spec has, and of whatever kind, all of them are told at once.

Each line of `FAULTS` is a spec's only fault, then one of many: nothing that it says may be lost. None of them
is about what another one makes unreadable; of that, `test_builder` expects that nothing is concluded.
"""

from __future__ import annotations

import itertools

import pytest

from tests.spec.sources import HEAD, problems

# Below which key of `spec`, what stands there, and how its problem is told.
FAULTS: dict[str, tuple[str, str, str]] = {
    "a value that no reader takes": (
        "controlPlaneEndpoint",
        '"[2001:db8:]:6443"',
        "spec.controlPlaneEndpoint: must be an IP address",
    ),
    "a key that is none": ("imageRepositry", "x", "spec.imageRepositry: is not a key here; did you mean"),
    "a value of another type": ("runtime", "[]", "spec.runtime: must be"),
    "networking: a rule over two values": (
        "networking",
        "podSubnets: [10.96.0.0/16]",
        "spec.networking.podSubnets[0]: overlaps the service subnet 10.96.0.0/12",
    ),
    "networking: a value": (
        "networking",
        "dnsDomain: Cluster.Local",
        "spec.networking.dnsDomain: must be a lower-case DNS name",
    ),
    "apiServer: a value in a list": (
        "apiServer",
        'certSANs: ["https://api:6443"]',
        "spec.apiServer.certSANs[0]: must be a name or an address alone",
    ),
    "apiServer: a rule over a value and a default": (
        "apiServer",
        "bindPort: 10250",
        "spec.apiServer.bindPort: 10250 is the port of the kubelet",
    ),
    "apiServer: a rule over a list": (
        "apiServer",
        'extraArgs: [{name: tls-cert-file, value: ""}, {name: v, value: 7}]',
        "spec.apiServer.extraArgs[1].value: must be text",
    ),
    "etcd: a value": ("etcd", 'imageTag: "a b"', "spec.etcd.imageTag: must be an image's tag"),
    "certificates: a rule over a value and a default": (
        "certificates",
        "validity: 90000h",
        "spec.certificates.validity: 90000h is longer than caValidity (87600h)",
    ),
    "certificates: an unknown name": (
        "certificates",
        "overrides: {apisrver: {validity: 24h}}",
        "spec.certificates.overrides.apisrver: ",
    ),
    "certificates: a value": (
        "certificates",
        "directory: etc/pki",
        "spec.certificates.directory: must be an absolute path",
    ),
    "kubelet: a value": (
        "kubelet",
        "rotateCertificates: yes",
        "spec.kubelet.rotateCertificates: must be true or false",
    ),
    "a node: a value": (
        "nodes",
        "- {name: b_1, roles: [worker], addresses: [192.0.2.2]}",
        "spec.nodes[1].name: must be a lower-case DNS name",
    ),
    "a node: two of a kind": (
        "nodes",
        "- {name: c, roles: [worker], addresses: [192.0.2.3, 192.0.2.3]}",
        "spec.nodes[2].addresses[1]: ",
    ),
    "a node: what is missing": (
        "nodes",
        "- {name: d, addresses: [192.0.2.4]}",
        "spec.nodes[3].roles: is missing",
    ),
    "a user: a reserved name": (
        "users",
        '- {name: "system:x"}',
        "spec.users[0].name: 'system:x' is reserved",
    ),
    "a user: a rule over two values": (
        "users",
        "- {name: ann, validity: 90000h}",
        "spec.users[1].validity: 90000h is longer than the validity of the CA (87600h)",
    ),
}
# What stands in the place of list items that are no fault, so that every fault keeps its place.
HARMLESS = {
    "nodes": [
        f"- {{name: n{number}, roles: [worker], addresses: [198.51.100.{number}]}}" for number in (1, 2, 3)
    ],
    "users": ["- {name: eve}", "- {name: sue}"],
}


def spec_with(*names: str) -> str:
    """The smallest spec with these faults."""
    below: dict[str, list[str]] = {key: list(items) for key, items in HARMLESS.items()}
    order = {key: [name for name, fault in FAULTS.items() if fault[0] == key] for key in HARMLESS}
    for name in names:
        key, text, _ = FAULTS[name]
        if key in HARMLESS:
            below[key][order[key].index(name)] = text
        else:
            below.setdefault(key, []).append(text)
    below["nodes"].insert(0, "- {name: a, roles: [control-plane], addresses: [192.0.2.1]}")
    lines = []
    for key, items in below.items():
        is_block = key in HARMLESS or ": " in items[0]
        lines += [f"  {key}:", *(f"    {each}" for each in items)] if is_block else [f"  {key}: {items[0]}"]
    return HEAD + "\n".join(lines) + "\n"


def told(*names: str) -> set[str]:
    """The problems of a spec with these faults, without line and column."""
    return {problem.partition(": ")[2] for problem in problems(spec_with(*names))}


@pytest.fixture(scope="module")
def alone() -> dict[str, str]:
    """What is told of each fault where it is the only one."""
    return {name: problem for name in FAULTS for problem in told(name)}


@pytest.mark.parametrize("name", FAULTS)
def test_each_is_one_fault(name: str) -> None:
    (problem,) = told(name)
    assert problem.startswith(FAULTS[name][2])


def test_all_of_them_at_once(alone: dict[str, str]) -> None:
    assert told(*FAULTS) == set(alone.values())


@pytest.mark.parametrize("name", FAULTS)
def test_none_hides_another(name: str, alone: dict[str, str]) -> None:
    for other in FAULTS:
        if other != name:
            assert told(name, other) == {alone[name], alone[other]}


def test_of_any_three_none_is_left_for_later(alone: dict[str, str]) -> None:
    for names in itertools.islice(itertools.combinations(FAULTS, 3), 0, None, 7):
        assert told(*names) == {alone[name] for name in names}
