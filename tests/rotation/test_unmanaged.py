"""Which flags of the spec's own stand against a rotation, and what is to be done about each."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.crypto.issuance import CertificateContent, certificate_pem, issue
from pkigen.crypto.keys import public_pem
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from pkigen.desired.generations import Phase, Rotations
from pkigen.desired.inventory import derive
from pkigen.desired.rendering.templates import Templates
from pkigen.rotation.phases import COMMANDS
from pkigen.rotation.step_names import RotationStep
from pkigen.rotation.unmanaged import unmanaged
from tests.rotation.phases import Photograph
from tests.samples import CP1, CP2, ENDPOINT, NOW, W1, spec

if TYPE_CHECKING:
    from pathlib import Path

PREPARE, PROMOTE, FINISH, ROLLBACK = RotationStep
PKI = "/etc/kubernetes/pki"
NO_TWO = "which does not hold two generations of"
TWO = "which would hold two generations of ca: the controller manager accepts exactly one"
APART = "which does not change together with the certificate that it belongs to"
COUNTS_MORE = "which counts more than every flag: nobody knows here what it says"
NOT_OURS = "which pkigen does not manage: it would not rotate with the rest"


def arg(section: str, name: str, value: str, **more: Any) -> dict[str, Any]:
    return {section: {"extraArgs": [{"name": name, "value": value}], **more}}


def ask(
    identifier: str,
    step: RotationStep = PREPARE,
    *,
    files: dict[str, bytes] | None = None,
    nodes: tuple[dict[str, Any], ...] = (CP1, W1),
    **settings: Any,
) -> tuple[str, str] | None:
    """What stands against it, and the way out."""
    phase = Phase.PROMOTED if step is FINISH else Phase.PREPARED
    inventory = derive(spec(*nodes, **settings), rotations=Rotations(phases={identifier: phase}))
    found = unmanaged(inventory, Photograph(files or {}), (identifier,), step)
    return None if found is None else (found.message, found.hint)


@pytest.mark.parametrize("identifier", COMMANDS)
@pytest.mark.parametrize("step", RotationStep)
def test_nothing_stands_against_pkigens_own_files(identifier: str, step: RotationStep) -> None:
    assert ask(identifier, step, encryption={}) is None
    paths = {"kubeconfigs": "files"}
    assert ask(identifier, step, encryption={}, certificates=paths) is None
    assert ask(identifier, step, encryption={}, manage=["kubelet", "addons"]) is None


def test_a_bundle_of_the_operators_own_stands_against_its_ca_alone_and_not_in_the_way_back() -> None:
    own = arg("apiServer", "client-ca-file", f"{PKI}/mul.crt")
    for step in (PREPARE, PROMOTE, FINISH):
        refused = ask("ca", step, **own)
        assert refused is not None
        assert refused[0] == f"kube-apiserver on cp-1 reads {PKI}/mul.crt (--client-ca-file), {NOT_OURS}"
        own_file, _, copy = refused[1].partition("; or ")
        assert own_file.startswith("take client-ca-file out of extraArgs and `pkigen apply`: ")
        assert copy == f"put a copy of your file, with the next CA in it, at nodes/cp-1{PKI}/mul.crt"
    assert ask("ca", ROLLBACK, **own) is None
    assert ask("etcd-ca", **own) is None
    unmanaged_manifests = ask("ca", manage=["kubelet", "addons"], **own)
    assert unmanaged_manifests is not None
    assert unmanaged_manifests[1].startswith("add manifests to `manage` in the spec and `pkigen apply`")


def certificate(name: str) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    content = CertificateContent(
        subject=Subject(common_name=name), sans=SANs.of(), profile=Profile.CA, validity=timedelta(days=9)
    )
    made = issue(content, key=key, issuer=None, now=NOW, entropy=lambda count: bytes(range(1, count + 1)))
    return certificate_pem(made.certificate)


def test_a_copy_of_it_in_the_tree_that_holds_the_next_ca_is_enough() -> None:
    own = arg("apiServer", "client-ca-file", f"{PKI}/mul.crt")
    following, other = certificate("kubernetes-g2"), certificate("kubernetes")
    place, successor = f"nodes/cp-1{PKI}/mul.crt", "pki/ca-next.crt"
    assert ask("ca", files={place: other + following, successor: following}, **own) is None
    # The bundle needs the CA itself, and nothing that stands above it.
    assert ask("ca", files={place: following, successor: following + other}, **own) is None
    lacking = f"kube-apiserver on cp-1 reads {PKI}/mul.crt (--client-ca-file), {NO_TWO} ca"
    for files in ({place: other, successor: following}, {place: other}, {place: b"?", successor: following}):
        refused = ask("ca", files=files, **own)
        assert refused is not None
        assert refused[0] == lacking
        # What is distributed already trusts it, or does not: that is the proof's affair.
        assert ask("ca", PROMOTE, files=files, **own) is None


@pytest.mark.parametrize(
    ("identifier", "given", "said", "hint"),
    [
        (
            "ca",
            arg("apiServer", "client-ca-file", f"{PKI}/etcd/ca.crt"),
            f"kube-apiserver on cp-1 reads {PKI}/etcd/ca.crt (--client-ca-file), {NO_TWO} ca",
            "take client-ca-file out of extraArgs and",
        ),
        (
            "ca",
            arg("apiServer", "client-ca-file", f"{PKI}/apiserver.crt"),
            f"kube-apiserver on cp-1 reads {PKI}/apiserver.crt (--client-ca-file), {NO_TWO} ca",
            "take client-ca-file out of extraArgs and",
        ),
        (
            "ca",
            arg("controllerManager", "cluster-signing-cert-file", f"{PKI}/ca.crt"),
            f"kube-controller-manager on cp-1 reads {PKI}/ca.crt (--cluster-signing-cert-file), {TWO}",
            "take cluster-signing-cert-file out of extraArgs and",
        ),
        (
            "ca",
            arg("scheduler", "kubeconfig", "/etc/kubernetes/own.conf"),
            f"kube-scheduler on cp-1 reads /etc/kubernetes/own.conf (--kubeconfig), {NOT_OURS}",
            "take kubeconfig out of extraArgs and",
        ),
        (
            "ca",
            arg("apiServer", "tls-private-key-file", f"{PKI}/other.key"),
            f"kube-apiserver on cp-1 reads {PKI}/other.key (--tls-private-key-file), {APART}",
            "take tls-private-key-file out of extraArgs, tls-cert-file too, and `pkigen apply`",
        ),
        (
            "etcd-ca",
            arg("etcd", "config-file", "/etc/etcd.yaml"),
            f"etcd on cp-1 reads /etc/etcd.yaml (--config-file), {COUNTS_MORE}",
            "take config-file out of extraArgs, or out of extraEnvs, and `pkigen apply`",
        ),
    ],
)
def test_what_leads_elsewhere_is_named(identifier: str, given: dict[str, Any], said: str, hint: str) -> None:
    found = ask(identifier, **given)
    assert found is not None
    assert found[0] == said
    assert found[1].startswith(hint)


def test_an_own_kubeconfig_needs_the_next_ca_too_and_an_own_signer_does_not() -> None:
    own = arg("scheduler", "kubeconfig", "/etc/kubernetes/own.conf")
    files = {"nodes/cp-1/etc/kubernetes/own.conf": b"kind: Config", "pki/ca-next.crt": certificate("g2")}
    found = ask("ca", files=files, **own)
    assert found is not None
    assert found[0] == (f"kube-scheduler on cp-1 reads /etc/kubernetes/own.conf (--kubeconfig), {NO_TWO} ca")
    signer = {"nodes/cp-1/etc/kubernetes/pki/signer.crt": certificate("signer")}
    assert (
        ask("ca", files=signer, **arg("controllerManager", "cluster-signing-cert-file", f"{PKI}/signer.crt"))
        is None
    )


def test_kubeconfigs_of_ones_own_names_are_fit() -> None:
    """A component that is led to another of pkigen's kubeconfigs takes up the CA with that."""
    assert ask("ca", **arg("scheduler", "kubeconfig", "/etc/kubernetes/admin.conf")) is None


def test_token_keys_must_have_the_next_one() -> None:
    nodes, own = (CP1, CP2, W1), f"{PKI}/own.pub"
    key, other = (public_pem(ec.generate_private_key(ec.SECP256R1()).public_key()) for _ in range(2))
    given = {**ENDPOINT, **arg("apiServer", "service-account-key-file", own)}
    copies = {f"nodes/{node}{PKI}/own.pub": key for node in ("cp-1", "cp-2")}
    following = {"pki/sa-next.pub": key}
    assert ask("sa", nodes=nodes, files={**copies, **following}, **given) is None
    said = (
        f"kube-apiserver on cp-2 takes tokens of the keys in {own} alone (--service-account-key-file): it "
        "would accept none of the next key"
    )
    for changed in (other, b"?"):
        found = ask(
            "sa", nodes=nodes, files={**copies, **following, f"nodes/cp-2{PKI}/own.pub": changed}, **given
        )
        assert found is not None
        assert found[0] == said
        assert found[1].startswith("take service-account-key-file out of extraArgs and `pkigen apply`")
    without = ask("sa", nodes=nodes, files=copies, **given)
    assert without is not None
    assert without[0] == said.replace("cp-2", "cp-1")
    unreadable = ask("sa", nodes=nodes, files=dict.fromkeys(copies, b"?"), **given)
    assert unreadable == without
    other_file = ask("sa", **arg("apiServer", "service-account-key-file", f"{PKI}/apiserver.crt"))
    assert other_file is not None
    assert other_file[0].startswith(f"kube-apiserver on cp-1 takes tokens of the keys in {PKI}/apiserver.crt")
    # The present key's file alone is accepted already; it is the next one that must be named.
    present = ask("sa", **arg("apiServer", "service-account-key-file", f"{PKI}/sa.pub"))
    assert present is not None
    assert present[0].startswith(f"kube-apiserver on cp-1 takes tokens of the keys in {PKI}/sa.pub alone")
    assert ask("sa", PROMOTE, **arg("apiServer", "service-account-key-file", f"{PKI}/sa.pub")) is None


def test_where_a_flag_stands_is_said(tmp_path: Path) -> None:
    """A template of the operator's own has the flags of the API server that the spec does not have."""
    file = tmp_path / "flags/kube-apiserver.j2"
    file.parent.mkdir()
    file.write_text(f'{{% include "pkigen/flags/kube-apiserver.j2" %}}\n--client-ca-file={PKI}/others.crt\n')
    places = {}
    for templates in (Templates(tmp_path), Templates(None), None):
        for given in ({}, arg("apiServer", "client-ca-file", f"{PKI}/mul.crt")):
            cluster = spec(CP1, **given, **arg("scheduler", "kubeconfig", "/etc/kubernetes/own.conf"))
            derived = derive(cluster, rotations=Rotations(phases={"ca": Phase.PREPARED}))
            inventory = replace(derived, templates=templates)
            found = unmanaged(inventory, Photograph({}), ("ca",), PREPARE)
            assert found is not None
            is_own = templates is not None and templates.are_overridden
            places[is_own, bool(given)] = found.hint.partition(" out of ")[::2]
    extra = "extraArgs and `pkigen apply`"
    of_template = f"the templates in {tmp_path} and `pkigen apply`"
    said = {key: (flag, rest.partition(":")[0]) for key, (flag, rest) in places.items()}
    assert said == {
        (True, False): ("take client-ca-file", of_template),
        (True, True): ("take client-ca-file", extra),
        (False, True): ("take client-ca-file", extra),
        (False, False): ("take kubeconfig", extra),
    }
    # One of another component's is not in a template of flags.
    file.write_text('{% include "pkigen/flags/kube-apiserver.j2" %}\n')
    inventory = replace(
        derive(spec(CP1, **arg("scheduler", "kubeconfig", "/etc/kubernetes/own.conf"))),
        templates=Templates(tmp_path),
    )
    found = unmanaged(inventory, Photograph({}), ("ca",), PREPARE)
    assert found is not None
    assert found.hint.startswith(f"take kubeconfig out of {extra}")


def test_the_next_key_in_place_of_the_next_ca() -> None:
    found = ask("sa", **arg("controllerManager", "service-account-private-key-file", f"{PKI}/own.key"))
    assert found is not None
    assert found[0].startswith(f"kube-controller-manager on cp-1 reads {PKI}/own.key")
    assert f"a copy of your file, with the next key in it, at nodes/cp-1{PKI}/own.key" in found[1]
