"""The API server's flags in an operator's own templates: more, others, another order, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from pkigen.desired.command_lines import CommandLines
from pkigen.desired.connections import endpoints
from pkigen.desired.inventory import derive
from pkigen.desired.readers import ComponentName
from pkigen.errors import TemplateError
from tests.desired.rendering.clusters import cluster, one, render

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "manifests/kube-apiserver.yaml"
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
        ("    - --allow-privileged=true\n", "lacks --advertise-address, --authorization-config"),
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
