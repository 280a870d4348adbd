"""A real API server that an operator's own list of flags starts: one more, others, another order."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from tests.faults import scenes
from tests.live import programs
from tests.live.control_plane import (
    Cluster,
    apply_addons,
    boot_static_pods,
    plug_in,
    spec_text,
    static_pods,
    until_answered,
)
from tests.live.hosts import Network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.live

_ADDRESS, _OTHER_PORT = "10.20.0.11", 7443
_ISSUERS = ["https://issuer.example", "https://kubernetes.default.svc.cluster.local"]
_FLAGS = f"""{{# Who signs comes first; tokens of before are taken, too. #}}
--service-account-issuer={_ISSUERS[0]}
{{% include "pkigen/flags/kube-apiserver.j2" %}}
--profiling=false
--kubelet-preferred-address-types=Hostname,InternalIP
"""
_SPEC = {
    "nodes": [{"name": "cp-1", "roles": ["control-plane"], "addresses": [_ADDRESS]}],
    "users": [{"name": "dev1", "clusterRoles": ["view"]}],
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    programs.require(*programs.LEAST)
    scratch = tmp_path_factory.mktemp("own")
    spec, out, own = scratch / "cluster.yaml", scratch / "out", scratch / "templates"
    (own / "flags").mkdir(parents=True)
    (own / "flags/kube-apiserver.j2").write_text(_FLAGS)
    spec.write_text(spec_text("own", _SPEC))
    for command in (("init", spec, "-C", out, "--templates", own), ("verify", "-C", out)):
        done = scenes.pkigen(*command)
        assert done.code == 0, done
    made = Cluster(out=out, scratch=scratch)
    with Network() as network:
        plug_in(network, made, {"cp-1": (_ADDRESS,)})
        boot_static_pods(made)
        apply_addons(made, "cp-1", made.kubeconfig("cp-1", "super-admin.conf"))
        yield made


@pytest.fixture(scope="module")
def admin(cluster: Cluster) -> Path:
    return cluster.kubeconfig("cp-1", "admin.conf")


def _claims(token: str) -> dict[str, object]:
    payload = token.split(".")[1]
    found: dict[str, object] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


def test_the_command_line_is_what_the_template_renders(cluster: Cluster) -> None:
    command = static_pods(cluster, "cp-1")["kube-apiserver"].command
    assert command[1] == f"--service-account-issuer={_ISSUERS[0]}"
    assert command[-2:] == ("--profiling=false", "--kubelet-preferred-address-types=Hostname,InternalIP")


def test_a_flag_that_is_added_counts(cluster: Cluster, admin: Path) -> None:
    asked = ("get", "--raw", "/debug/pprof/symbol")
    done = cluster.try_kubectl("cp-1", admin, *asked)
    assert done.returncode != 0
    assert "could not find the requested resource" in done.stderr
    # The control: another one beside it, without that flag.
    command = static_pods(cluster, "cp-1")["kube-apiserver"].command
    others = [each for each in command if each != "--profiling=false"]
    machine = cluster.machines["cp-1"]
    process = machine.start("kube-apiserver", (*others, f"--secure-port={_OTHER_PORT}"))
    until_answered(machine, process, f"https://{_ADDRESS}:{_OTHER_PORT}/readyz")
    server = ("--server", f"https://{_ADDRESS}:{_OTHER_PORT}")
    assert "num_symbols" in cluster.kubectl("cp-1", admin, *server, *asked)


def test_the_order_of_a_flag_counts(cluster: Cluster, admin: Path) -> None:
    cluster.kubectl("cp-1", admin, "create", "serviceaccount", "deployer")
    theirs = _claims(cluster.kubectl("cp-1", admin, "create", "token", "deployer").strip())
    assert theirs["iss"] == _ISSUERS[0]
    assert theirs["aud"] == _ISSUERS
    served = json.loads(cluster.kubectl("cp-1", admin, "get", "--raw", "/.well-known/openid-configuration"))
    assert served["issuer"] == _ISSUERS[0]


def test_tokens_that_are_signed_offline_are_taken(cluster: Cluster, admin: Path) -> None:
    """They are for the issuer that the template names, which the spec does not know."""
    made = cluster.kubectl("cp-1", admin, "create", "serviceaccount", "offline", "-o", "json")
    found = json.loads(made)
    uid = found["metadata"]["uid"]
    kubeconfig = cluster.scratch / "default.conf"
    command = ("access", "token", "--service-account", "default/offline", "--uid", uid)
    done = scenes.pkigen(*command, "--kubeconfig", kubeconfig, "--validity", "1h", "-C", cluster.out)
    assert done.code == 0, done
    user, _ = cluster.whoami("cp-1", kubeconfig)
    assert user == "system:serviceaccount:default:offline"


def test_discovery_is_byte_for_byte_what_is_served(cluster: Cluster, admin: Path) -> None:
    for document, path in (
        ("configuration", "/.well-known/openid-configuration"),
        ("jwks", "/openid/v1/jwks"),
    ):
        said = scenes.pkigen("access", "oidc", document, "-C", cluster.out)
        assert said.out.strip() == cluster.kubectl("cp-1", admin, "get", "--raw", path).strip(), said
