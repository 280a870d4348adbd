"""What client-go refuses in a kubeconfig before it contacts a server, held against a real kubectl."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from pkigen.access.kubeconfig_faults import is_encrypted
from pkigen.access.kubeconfigs import Section, load
from tests.access.kubeconfig_files import shown, written
from tests.desired.rendering.reference_programs import find

if TYPE_CHECKING:
    from tests.access.team_cluster import TeamCluster

API = "client.authentication.k8s.io"
# Nobody listens there: who gets as far as this has taken the kubeconfig.
SERVER = "server: 'https://127.0.0.1:1', insecure-skip-tls-verify: true"
CERTIFICATE = "client-certificate: c.crt, client-key: c.key"

REFUSED = [
    ("token: x", f"{SERVER}, proxy-url: 'ftp://p:1'", "a proxy-url that does not begin with"),
    ("token: x", f"{SERVER}, proxy-url: 'socks5h://p:1'", "a proxy-url that does not begin with"),
    ("token: x", f"{SERVER}, proxy-url: 'p:3128'", "a proxy-url that does not begin with"),
    (
        "token: x",
        "server: 'https://127.0.0.1:1', certificate-authority: c.crt, certificate-authority-data: eA==",
        "certificate-authority beside certificate-authority-data",
    ),
    (
        f"{CERTIFICATE}, client-certificate-data: eA==",
        SERVER,
        "client-certificate beside client-certificate-data",
    ),
    (f"{CERTIFICATE}, client-key-data: eA==", SERVER, "client-key beside client-key-data"),
    ("token: x, username: joe", SERVER, "a token beside a user name or a password"),
    ("token: x, password: z", SERVER, "a token beside a user name or a password"),
    ("token: x, as-groups: [a]", SERVER, "as-groups, as-uid and as-user-extra without as"),
    ("token: x, as-uid: '7'", SERVER, "as-groups, as-uid and as-user-extra without as"),
    ("token: x, as-user-extra: {a: [b]}", SERVER, "as-groups, as-uid and as-user-extra without as"),
    (f"exec: {{apiVersion: {API}/v1beta1}}", SERVER, "exec without a command"),
    ("exec: {command: 'true'}", SERVER, "exec without the apiVersion"),
    (f"exec: {{command: 'true', apiVersion: {API}/v1alpha1}}", SERVER, "exec without the apiVersion"),
    (f"exec: {{command: 'true', apiVersion: {API}/v1}}", SERVER, "exec without the interactiveMode"),
    (
        f"exec: {{command: 'true', apiVersion: {API}/v1beta1, interactiveMode: never}}",
        SERVER,
        "exec without the interactiveMode",
    ),
    (
        f"exec: {{command: 'true', apiVersion: {API}/v1beta1, env: [{{value: x}}]}}",
        SERVER,
        "exec with a variable that has no name",
    ),
    (
        f"exec: {{command: 'true', apiVersion: {API}/v1beta1}}, auth-provider: {{name: oidc}}",
        SERVER,
        "exec beside an auth-provider",
    ),
]
TAKEN = [
    ("token: x", f"{SERVER}, proxy-url: 'socks5://127.0.0.1:1'"),
    ("token: x, as: root, as-groups: [a], as-uid: '7', as-user-extra: {a: [b]}", SERVER),
    (CERTIFICATE, SERVER),
    (f"{CERTIFICATE}, token: x", SERVER),
    (f"{CERTIFICATE}, exec: {{command: ./none, apiVersion: {API}/v1beta1}}", SERVER),
    (f"token: x, exec: {{command: ./none, apiVersion: {API}/v1, interactiveMode: Never}}", SERVER),
    ("token: x, tokenFile: none", SERVER),
]


def kubectl_said(place: TeamCluster, content: str) -> str:
    """What a real kubectl says of a kubeconfig when it uses it."""
    path = place.write("said", content)
    command = [find("kubectl"), "--kubeconfig", str(path), "get", "--raw", "/x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode != 0
    return done.stderr


def has_certificate(place: TeamCluster) -> None:
    """The certificate and the key of a person, as files beside the kubeconfigs."""
    path = place.tree / "users/dev1.conf"
    entry = load(path.read_bytes(), path).entries[Section.USER]["dev1"]
    for file, field in (("c.crt", "client-certificate"), ("c.key", "client-key")):
        place.write(file, entry.data(f"{field}-data"))


@pytest.mark.parametrize(("user", "cluster", "said"), REFUSED)
def test_what_kubectl_refuses(place: TeamCluster, user: str, cluster: str, said: str) -> None:
    has_certificate(place)
    content = written(user, cluster)
    assert f"broken:     kubectl refuses {said}" in shown(place, content)
    assert "was refused - did you specify" not in kubectl_said(place, content)


@pytest.mark.parametrize(("user", "cluster"), TAKEN)
def test_what_kubectl_takes(place: TeamCluster, user: str, cluster: str) -> None:
    has_certificate(place)
    content = written(user, cluster)
    assert "kubectl refuses" not in shown(place, content)
    assert "127.0.0.1:1" in kubectl_said(place, content)


def test_a_cluster_without_a_server(place: TeamCluster) -> None:
    content = written("token: x", "insecure-skip-tls-verify: true")
    assert "broken:     it has no server: kubectl asks localhost:8080 instead" in shown(place, content)
    assert "localhost:8080" in kubectl_said(place, content)


def test_a_token_that_no_header_can_hold(place: TeamCluster) -> None:
    content = written('token: "opaque\\n"', SERVER)
    assert "broken:     kubectl cannot send a token with a line break" in shown(place, content)
    assert "invalid header field value" in kubectl_said(place, content)


@pytest.mark.parametrize("server", ["http://a", "a:6443", "https://", " https://a", "https:a"])
def test_a_server_without_tls(place: TeamCluster, server: str) -> None:
    assert not is_encrypted(server)
    said = "without https:// kubectl sends no credential, and verifies nobody"
    assert said in shown(place, written("token: x", f"server: '{server}'"))
    assert said not in shown(place, written("token: x", "server: 'HTTPS://a:6443/k8s'"))
