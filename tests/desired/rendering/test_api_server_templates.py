"""The API server's flags in an operator's own templates: more, others, another order, and what is refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pkigen.desired.command_lines import CommandLines
from pkigen.desired.endpoints import endpoints
from pkigen.desired.file_references import foreign_files
from pkigen.desired.inventory import derive
from pkigen.desired.readers import ComponentName
from pkigen.desired.rendering import file_syntax, template_directory
from pkigen.desired.rendering.templates import Templates
from pkigen.desired.token_trust import rendered_with
from pkigen.errors import TemplateError
from tests.desired.rendering.clusters import MINORS, RUNTIMES, TOPOLOGIES, cluster, one, render

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "manifests/kube-apiserver.yaml"
LIST = "flags/kube-apiserver.j2"
WHOLE = '{% include "pkigen/flags/kube-apiserver.j2" %}\n'
ORIGINAL = '{% extends "pkigen/manifests/kube-apiserver.yaml.j2" %}\n{% block arguments %}\n'
ISSUER = "--service-account-issuer="
OTHERS = (
    "    - --audit-log-path=/var/log/a, b.log\n"
    '{% for argument in arguments | reverse if not argument.startswith("--service-account-issuer=") %}\n'
    "    - {{ argument | block }}\n{% endfor %}\n    - --service-account-issuer=https://issuer.example\n"
)


def _overrides(place: Path, arguments: str) -> Path:
    file = place / "own" / f"{MANIFEST}.j2"
    file.parent.mkdir(parents=True)
    file.write_text(f"{ORIGINAL}{arguments}{{% endblock %}}\n")
    return place / "own"


def _list(place: Path, text: str) -> Path:
    """A folder with one's own list of flags."""
    file = place / "own" / LIST
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return place / "own"


def _command(text: str) -> list[str]:
    (container,) = yaml.safe_load(text)["spec"]["containers"]
    program, *arguments = container["command"]
    assert program == "kube-apiserver"
    return arguments


def test_flags_are_added_changed_and_ordered(tmp_path: Path) -> None:
    spec = cluster()
    kept = [each for each in _command(one(render(spec), MANIFEST)) if not each.startswith(ISSUER)]
    found = _command(one(render(spec, overrides=_overrides(tmp_path, OTHERS)), MANIFEST))
    assert found == ["--audit-log-path=/var/log/a, b.log", *kept[::-1], f"{ISSUER}https://issuer.example"]


def test_what_is_rendered_is_what_runs(tmp_path: Path) -> None:
    more = "{{ super() }}    - --bind-address=10.99.0.1\n    - --client-ca-file=/etc/kubernetes/pki/own.crt\n"
    spec = cluster()
    files = render(spec, overrides=_overrides(tmp_path, more))
    inventory = derive(spec)
    for node in spec.control_plane:
        line = CommandLines(inventory, files.get).of(ComponentName.API_SERVER, node)
        assert line.file("client-ca-file") == f"nodes/{node.name}/etc/kubernetes/pki/own.crt"
    served = [each for each in endpoints(inventory, files.get) if each.component == "kube-apiserver"]
    assert {str(each.host) for each in served} == {"10.99.0.1"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            "    - --allow-privileged=true\n",
            (
                "lacks --advertise-address, --authorization-config, --client-ca-file, "
                "--enable-admission-plugins, --enable-bootstrap-token-auth and 22 more"
            ),
        ),
        ("{{ super() }}    - --insecure-port=0\n", "not a flag of kube-apiserver since v1.24"),
        ("{{ super() }}    - --anonymus-auth=false\n", "anonymous-auth"),
        ("{{ super() }}    - --anonymous-auth\n", "not of the form --NAME=VALUE"),
        ("{{ super() }}    - 5\n", "not of the form --NAME=VALUE"),
        ("{{ super() }}    - --secure_port=7443\n", "changes --secure-port: set it in extraArgs"),
    ],
)
def test_what_the_api_server_would_not_take_is_refused(
    arguments: str, complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(TemplateError) as caught:
        render(cluster(kubernetesVersion="v1.36.2"), overrides=_overrides(tmp_path, arguments))
    assert complaint in caught.value.message
    assert f"{MANIFEST}.j2" in caught.value.message


def test_flags_of_a_unit_are_changed(tmp_path: Path) -> None:
    original = "{% include 'pkigen/flags/component.env.j2' %}"
    file = tmp_path / "own" / "flags" / "component.env.j2"
    file.parent.mkdir(parents=True)
    file.write_text(
        f"{{% if variable != 'KUBE_APISERVER_FLAGS' %}}{original}{{% else %}}"
        '{{ variable }}="--anonymous-auth=false{% for argument in arguments %} {{ argument }}{% endfor %}"\n'
        "{% endif %}"
    )
    spec = cluster(runtime="systemd")
    text = one(render(spec, overrides=file.parents[1]), "flags/kube-apiserver.env")
    assert text.startswith('KUBE_APISERVER_FLAGS="--anonymous-auth=false --')


def test_every_flag_is_a_line_of_the_template() -> None:
    """None of them is made elsewhere, for any version, runtime or topology, but those of the spec."""
    named = set(re.findall(r"^--([a-z0-9-]+)=", (template_directory() / LIST).read_text(), re.MULTILINE))
    made = {
        each.removeprefix("--").partition("=")[0]
        for topology in TOPOLOGIES.values()
        for minor in MINORS
        for each in _command(one(render(cluster(version=f"v1.{minor}.1", **topology)), MANIFEST))
    }
    assert made - {"audit-log-path"} == named


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_ones_own_list_of_flags(runtime: str, tmp_path: Path) -> None:
    """More, changed and in another order, for both runtimes; those of the spec replace and follow."""
    extra = [{"name": "profiling", "value": "true"}, {"name": "v", "value": "2"}]
    spec = cluster(runtime=runtime, apiServer={"extraArgs": extra})
    text = (
        f"  --anonymous-auth=false\n\n{WHOLE}{{% if encrypts %}}\n  --v=9\n{{% endif %}}\n--profiling=false\n"
    )
    text += "--requestheader-allowed-names=front-proxy-client,{{ dns_domain }}\n"
    before, after = (
        [
            str(flag)
            for flag in CommandLines(inventory).of(ComponentName.API_SERVER, spec.control_plane[0]).flags
        ]
        for inventory in (derive(spec), rendered_with(derive(spec), Templates(_list(tmp_path, text))))
    )
    more = "--requestheader-allowed-names=front-proxy-client,cluster.local"
    assert after == ["--anonymous-auth=false", *before[:-2], more, *before[-2:]]
    files = render(spec, overrides=tmp_path / "own")
    if runtime == "systemd":
        (found,) = file_syntax.environment(one(files, "flags/kube-apiserver.env")).values()
        assert found == after
    else:
        assert _command(one(files, MANIFEST)) == after


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f"{WHOLE}# a comment\n", "argument 29 of kube-apiserver is not of the form --NAME=VALUE"),
        (f"{WHOLE}--profiling false\n", "argument 29 of kube-apiserver is not of the form --NAME=VALUE"),
        (f"{WHOLE}--secure-port=7443\n", "changes --secure-port: set it in extraArgs"),
        (f"{WHOLE}--tls-ca-file=/x\n", "'tls-ca-file' is not a flag of kube-apiserver since v1.11"),
        (f"{WHOLE}--authorization_mode=RBAC\n", ":2: 'authorization-mode' excludes authorization-config"),
        (WHOLE.replace("pkigen/", "pkigen/x"), "there is no template"),
        (f"{WHOLE}--v={{{{ verbosity }}}}\n", "'verbosity' is undefined"),
    ],
)
def test_a_list_that_would_not_start_is_refused(text: str, complaint: str, tmp_path: Path) -> None:
    overrides = _list(tmp_path, text)
    with pytest.raises(TemplateError) as caught:
        render(cluster(), overrides=overrides)
    assert complaint in caught.value.message
    assert caught.value.message.startswith(str(overrides / LIST))


LOGIN = {
    "name": "sso",
    "issuer": {"url": "https://sso.example.com", "audiences": ["a"]},
    "claimMappings": {"username": {"claim": "sub", "prefix": "oidc:"}},
}
JWT = {"authentication": {"jwt": [LOGIN]}}
PROBES = {"enabled": True, "conditions": [{"path": "/livez"}, {"path": "/readyz"}]}
BY_FLAGS = [
    {"name": "oidc-issuer-url", "value": "https://sso.example.com"},
    {"name": "oidc-client-id", "value": "a"},
]
NO_BUNDLES = "--feature-gates=ClusterTrustBundle=false"


@pytest.mark.parametrize(
    ("settings", "line", "complaint"),
    [
        (JWT, "--oidc-client-id=a", "'oidc-client-id' excludes authentication-config"),
        (
            {"authentication": {"anonymous": PROBES}},
            "--anonymous_auth=true",
            "'anonymous-auth' excludes spec.",
        ),
        (
            {"apiServer": {"extraArgs": BY_FLAGS}},
            "--authentication-config=/a.yaml",
            "'oidc-issuer-url' excludes authentication-config",
        ),
        ({}, "--service-account-signing-endpoint=/s", "'service-account-signing-endpoint' excludes service"),
        ({"version": "v1.36.2"}, "--authorization-policy-file=/p", ""),
        ({"version": "v1.37.0"}, NO_BUNDLES, "'ClusterTrustBundle' is true for good since v1.37"),
        ({"version": "v1.36.2"}, NO_BUNDLES, ""),
        (
            {"version": "v1.37.0"},
            "--feature-gates=SidecarContainers=true",
            "'SidecarContainers' is no feature",
        ),
        ({}, "--feature-gates=x:A=true", "'x' is no component of kube-apiserver"),
        ({"version": "v1.36.2"}, "--emulated-version=1.2", "'1.2' is not between 1.33 and 1.36"),
    ],
)
@pytest.mark.parametrize("place", [LIST, f"{MANIFEST}.j2"])
def test_flags_that_exclude_others_are_refused_at_their_line(
    settings: dict[str, Any], line: str, complaint: str, place: str, tmp_path: Path
) -> None:
    if place == LIST:
        overrides = _list(tmp_path, f"{WHOLE}{line}\n")
    else:
        overrides = _overrides(tmp_path, f"{{{{ super() }}}}    - {line}\n")
    lines = (overrides / place).read_text().splitlines()
    number = next(number for number, text in enumerate(lines, start=1) if line in text)
    if not complaint:
        assert line in _command(one(render(cluster(**settings), overrides=overrides), MANIFEST))
        return
    with pytest.raises(TemplateError) as caught:
        render(cluster(**settings), overrides=overrides)
    assert caught.value.message.startswith(f"{overrides / place}:{number}: {complaint}"), caught.value.message


def test_an_authorization_configuration_takes_the_place_of_the_modes(tmp_path: Path) -> None:
    original = (template_directory() / LIST).read_text()
    own = original.replace("--authorization-mode={{ authorization_mode }}", "--authorization-config=/x.yaml")
    command = _command(one(render(cluster(version="v1.31.1"), overrides=_list(tmp_path, own)), MANIFEST))
    assert "--authorization-config=/x.yaml" in command
    assert not [each for each in command if each.startswith("--authorization-mode")]


def test_tokens_are_for_the_issuer_that_is_rendered(tmp_path: Path) -> None:
    spec = cluster(**TOPOLOGIES["single"])
    text = f"--service-account-issuer=https://a.example\n{WHOLE}"
    inventory = rendered_with(derive(spec), Templates(_list(tmp_path, text)))
    (token,) = inventory.tokens.values()
    issuers = ("https://a.example", "https://kubernetes.default.svc.cluster.local")
    assert (token.issuer, token.audiences) == (issuers[0], issuers)
    assert inventory.token_trust.audiences == issuers
    # The control: by the spec alone it would be another.
    assert derive(spec).token_trust.issuer == issuers[1]


def test_what_is_planned_is_read_from_what_is_rendered(tmp_path: Path) -> None:
    """Before anything lies in a tree: files that pkigen does not make are named."""
    text = f"{WHOLE}--client-ca-file=/etc/kubernetes/pki/others.crt\n"
    inventory = rendered_with(derive(cluster()), Templates(_list(tmp_path, text)))
    assert [each.file for each in foreign_files(inventory)] == ["/etc/kubernetes/pki/others.crt"]
    assert not foreign_files(derive(cluster()))
