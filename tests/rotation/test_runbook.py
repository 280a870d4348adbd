from __future__ import annotations

import base64
import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from pkigen.reconcile.encrypted_data import rewriting
from tests.cli.shell import assert_sound
from tests.rotation.phases import PKI, SMALL, Workshop, spec_text

if TYPE_CHECKING:
    from pathlib import Path

STEPS = ("prepare", "promote", "finish")


def runbook(workshop: Workshop, what: str, step: str, *options: str) -> str:
    folder = workshop.place / f"runbook-{step}"
    workshop.step(what, step, f"--runbook {folder}", *options)
    assert (folder / "restart.sh").stat().st_mode & 0o111
    return (folder / "rotation.txt").read_text()


def commands(text: str) -> list[str]:
    """The lines that are shell commands."""
    starts = ("kubectl ", "rsync ", "systemctl ", "mv ", "while ", "until ", "rm ", "openssl ")
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line.startswith(starts)]


@pytest.mark.parametrize("what", ["ca kubernetes etcd front-proxy", "sa", "encryption-key"])
def test_every_runbook_is_whole(workshop: Workshop, what: str) -> None:
    identifiers = {"sa": "sa", "encryption-key": "encryption-key"}.get(what, "ca, etcd-ca, front-proxy-ca")
    for step in STEPS:
        text = runbook(workshop, what, step)
        assert text.startswith(f"cluster prod: after `{step}` of {identifiers}\n")
        numbers = re.findall(r"^(\d+)\. ", text, re.MULTILINE)
        assert numbers == [str(each) for each in range(1, len(numbers) + 1)]
        for line in commands(text):
            checked = subprocess.run(["sh", "-nc", line], check=False, capture_output=True, text=True)
            assert checked.returncode == 0, (line, checked.stderr)
        assert all(len(line.split("SHA-256")) < 3 for line in text.splitlines())


def test_what_goes_where(workshop: Workshop) -> None:
    text = runbook(workshop, "ca kubernetes", "prepare")
    for node in SMALL["nodes"]:
        assert f" nodes/{node['name']}/ root@{node['addresses'][0]}:/" in text
    assert "--delay-updates" in text
    section = text.partition("what changes on worker-1, worker-2:\n")[2]
    changed = re.findall(r"^     (/\S+)$", section.partition("\n\n")[0], re.MULTILINE)
    assert changed == ["/etc/kubernetes/kubelet.conf", f"/{PKI}/ca.crt"]
    assert "users/dev1.conf goes to its owner" in text
    later = runbook(workshop, "ca kubernetes", "promote")
    assert "every node must have the files of the previous step" in later


def test_what_restarts_in_which_order(workshop: Workshop) -> None:
    text = runbook(workshop, "ca kubernetes etcd", "prepare")
    restarts = re.findall(r"^   \d+\. (\S+): (\S+) must restart$", text, re.MULTILINE)
    components = [component for _, component in restarts]
    assert components == sorted(
        components,
        key=["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet"].index,
    )
    assert [node for node, component in restarts if component == "etcd"] == ["cp-1", "cp-2"]
    assert "kubelet-client-current.pem" not in text
    promoted = runbook(workshop, "ca kubernetes etcd", "promote")
    assert "cp-1: etcd reloads by itself" in promoted
    assert "cp-1: kube-apiserver reloads by itself" in promoted
    assert promoted.count("rm -f /var/lib/kubelet/pki/kubelet-client-current.pem") == 4
    assert "(rotate with --reuse-keys avoids it)" in promoted


def test_kubelets_that_do_not_renew_their_certificate(tmp_path: Path) -> None:
    spec = {**SMALL, "kubelet": {"rotateCertificates": False}}
    workshop = Workshop(place=tmp_path).made(spec_text(spec))
    runbook(workshop, "ca kubernetes", "prepare")
    assert (
        "kubelet-client-current.pem" not in runbook(workshop, "ca kubernetes", "promote").partition("4. ")[0]
    )


def test_units_are_restarted_as_units(tmp_path: Path) -> None:
    workshop = Workshop(place=tmp_path).made(spec_text({**SMALL, "runtime": "systemd"}))
    text = runbook(workshop, "sa", "prepare")
    assert "     systemctl restart kube-apiserver\n" in text
    assert "crictl" not in text
    pods = Workshop(place=tmp_path / "pods")
    pods.place.mkdir()
    text = runbook(pods.made(), "ca etcd", "prepare")
    assert "mv /etc/kubernetes/manifests/etcd.yaml /etc/kubernetes/etcd.yaml.away" in text
    assert "systemctl restart etcd" not in text


def test_how_to_see_that_it_took(workshop: Workshop) -> None:
    runbook(workshop, "ca kubernetes", "prepare")
    text = runbook(workshop, "ca kubernetes", "promote")
    lines = re.findall(r"^   (.+) on (\S+), (\S+): ([0-9a-f]{64})$", text, re.MULTILINE)
    assert {(component, node) for component, node, _, _ in lines} == {
        *(
            (component, node)
            for component in ("kube-apiserver", "etcd", "etcd peer")
            for node in ("cp-1", "cp-2")
        ),
        *(("kubelet", node["name"]) for node in SMALL["nodes"]),
    }
    certificate = workshop.tree / f"nodes/cp-1/{PKI}/apiserver.crt"
    shown = subprocess.run(
        ["openssl", "x509", "-in", certificate, "-noout", "-fingerprint", "-sha256"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    fingerprint = shown.partition("=")[2].strip().replace(":", "").lower()
    assert ("kube-apiserver", "cp-1", "10.0.0.11:6443", fingerprint) in lines


def test_what_is_to_be_done_in_the_cluster(workshop: Workshop) -> None:
    prepare = runbook(workshop, "ca kubernetes front-proxy", "prepare")
    for expected in (
        "-n kube-public get configmap cluster-info",
        "it must hold both CAs",
        "metadata.name=kube-root-ca.crt",
        "validatingwebhookconfigurations,mutatingwebhookconfigurations,apiservices",
        "caBundle",
        "type=kubernetes.io/service-account-token",
        "rollout restart",
        "extension-apiserver-authentication",
        "it must count 2",
        "forward: pkigen rotate ca kubernetes front-proxy --phase promote",
        "back:    pkigen rotate ca kubernetes front-proxy --phase rollback",
    ):
        assert expected in prepare, expected
    promote = runbook(workshop, "ca kubernetes front-proxy", "promote")
    assert "get certificatesigningrequests" in promote
    assert "rollout restart" not in promote
    finish = runbook(workshop, "ca kubernetes front-proxy", "finish")
    assert "it must hold the new CA alone" in finish
    assert "client-ca-file); it must count 1" in finish
    # API servers never take a CA out of it by themselves.
    forgotten = "-n kube-system delete configmap extension-apiserver-authentication"
    assert forgotten in finish
    assert forgotten not in prepare
    assert forgotten not in promote
    assert "`pkigen rollback` restores it as it was after `promote`" in finish
    assert "forward" not in finish


def run_with(kubectl: str, line: str, workshop: Workshop, tmp_path: Path) -> str:
    """What a line of a runbook prints, run as it is written with a kubectl of a few lines of shell."""
    shim = tmp_path / "bin/kubectl"
    shim.parent.mkdir()
    shim.write_text(f"#!/bin/sh\n{kubectl}")
    shim.chmod(0o755)
    return subprocess.run(
        ["sh", "-ec", line],
        check=True,
        cwd=workshop.tree,
        env={"PATH": f"{shim.parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    ).stdout


def test_the_cluster_info_command_puts_the_bundle_in(workshop: Workshop, tmp_path: Path) -> None:
    text = runbook(workshop, "ca kubernetes", "prepare")
    (line,) = [line for line in commands(text) if "cluster-info" in line]
    shim = (
        'case "$*" in\n'
        "*get*) echo 'data:'; echo '  kubeconfig: |'\n"
        "echo '        certificate-authority-data: b2xk'; echo '        server: s' ;;\n"
        f"*apply*) cat >{tmp_path}/applied ;;\nesac\n"
    )
    run_with(shim, line, workshop, tmp_path)
    applied = (tmp_path / "applied").read_text()
    (data,) = re.findall(r"certificate-authority-data: (\S+)", applied)
    assert base64.b64decode(data) == (workshop.tree / f"nodes/cp-1/{PKI}/ca.crt").read_bytes()
    assert "        server: s\n" in applied


def test_which_namespaces_lack_the_new_ca(workshop: Workshop, tmp_path: Path) -> None:
    text = runbook(workshop, "ca kubernetes", "prepare")
    assert "each namespace must count 2\n" in text
    (line,) = [line for line in commands(text) if "metadata.name=kube-root-ca.crt" in line]
    shim = (
        f"echo namespace default; cat nodes/cp-1/{PKI}/ca.crt\n"
        f"echo namespace web; cat nodes/cp-1/{PKI}/ca-signing.crt\necho namespace none\n"
    )
    assert sorted(run_with(shim, line, workshop, tmp_path).splitlines()) == ["default 2", "none 0", "web 1"]


def test_whose_ca_bundle_is_of_this_cluster(workshop: Workshop, tmp_path: Path) -> None:
    text = runbook(workshop, "ca kubernetes", "prepare")
    (line,) = [line for line in commands(text) if "caBundle" in line and " get " in line]
    shim = f'echo "APIService/v1.example.com $(base64 -w0 nodes/cp-1/{PKI}/ca.crt)"\n'
    shown = run_with(shim, line, workshop, tmp_path)
    assert shown.startswith("APIService/v1.example.com\n")
    assert re.findall(r"subject=.*CN ?= ?(\S+)", shown) == ["kubernetes", "kubernetes-g2"]


def test_a_ca_bundle_is_replaced(workshop: Workshop, tmp_path: Path) -> None:
    text = runbook(workshop, "ca kubernetes", "prepare")
    (line,) = [line for line in commands(text) if "patch apiservice NAME" in line]
    (patch,) = json.loads(run_with('echo "$8"\n', line, workshop, tmp_path))
    assert (patch["op"], patch["path"]) == ("replace", "/spec/caBundle")
    bundle = (workshop.tree / f"nodes/cp-1/{PKI}/ca.crt").read_bytes()
    assert base64.b64decode(patch["value"]) == bundle


@pytest.mark.parametrize(
    ("address", "etcd"),
    [
        ("10.0.0.11", "'http://127.0.0.1:2381/health'"),
        ("fd00::11", "'http://[::1]:2381/health'"),
    ],
)
def test_where_each_component_is_asked_for_its_health(tmp_path: Path, address: str, etcd: str) -> None:
    """Each where it listens: by the node's address family, and by what the spec binds it to."""
    spec = {
        **SMALL,
        "nodes": [{"name": "cp-1", "roles": ["control-plane"], "addresses": [address]}],
        "networking": {"serviceSubnets": ["fd01::/108" if ":" in address else "10.96.0.0/12"]},
        "scheduler": {"extraArgs": [{"name": "bind-address", "value": address}]},
    }
    workshop = Workshop(place=tmp_path).made(spec_text(spec))
    text = runbook(workshop, "ca kubernetes etcd", "prepare")
    host = f"[{address}]" if ":" in address else address
    for probe in (etcd, "'https://127.0.0.1:10257/healthz'", f"'https://{host}:10259/healthz'"):
        assert probe in text, probe
        assert probe in (tmp_path / "runbook-prepare/restart.sh").read_text()


def test_tokens(workshop: Workshop) -> None:
    assert "both must be there" in runbook(workshop, "sa", "prepare")
    promote = runbook(workshop, "sa", "promote")
    assert "# tokens of the previous key may be valid until 2027-11-22 03:00 UTC,\n" in promote
    assert "get --raw /openid/v1/jwks" in promote
    assert '"path":"/data/token"' in promote
    assert "one key" in runbook(workshop, "sa", "finish")


def test_secrets_are_written_again(workshop: Workshop) -> None:
    kubectl = f"kubectl --kubeconfig {workshop.tree}/nodes/cp-1/etc/kubernetes/admin.conf"
    command = f"{kubectl} get secrets --all-namespaces -o json | {kubectl} replace -f -"
    assert command not in runbook(workshop, "encryption-key", "prepare")
    assert command in runbook(workshop, "encryption-key", "promote")
    assert command in runbook(workshop, "encryption-key", "rollback")


@pytest.mark.parametrize(
    ("resource", "chosen"),
    [("*.", " --api-group="), ("*.apps", " --api-group=apps"), ("*.*", ""), ("deployments.apps", None)],
)
def test_whole_groups_are_written_again_one_by_one(resource: str, chosen: str | None) -> None:
    """kubectl knows no `*`; a live run is in no test, because it rewrites a whole cluster."""
    command = rewriting(resource, "kubectl")
    if chosen is None:
        assert command == f"kubectl get {resource} --all-namespaces -o json | kubectl replace -f -"
    else:
        assert command.startswith(f"kubectl api-resources{chosen} --verbs=list,update -o name | while ")
        assert "*" not in command
    subprocess.run(["sh", "-n", "-c", command], check=True)


def test_the_scripts_are_good_shell(workshop: Workshop) -> None:
    runbook(workshop, "ca kubernetes", "prepare")
    script = workshop.place / "runbook-prepare/restart.sh"
    subprocess.run(["sh", "-n", script], check=True)
    assert_sound(script)
