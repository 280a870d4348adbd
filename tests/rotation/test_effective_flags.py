"""Where `extraArgs` lead a component to other files: nothing is proven about what does not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pkigen.desired.command_lines import EffectiveFlags
from pkigen.desired.connections import Edge, edges
from pkigen.desired.endpoints import endpoints
from pkigen.desired.inventory import Inventory, derive
from pkigen.desired.readers import ComponentName
from pkigen.desired.rendering.flags import Flag
from pkigen.rotation.phases import COMMANDS
from pkigen.spec.model import ClusterSpec
from tests.rotation.phases import Workshop, spec_text

PKI = "/etc/kubernetes/pki"
NODES = [
    {"name": "cp1", "roles": ["control-plane"], "addresses": ["10.77.0.10"]},
    {"name": "w1", "roles": ["worker"], "addresses": ["10.77.0.21"]},
]


def kubeadm(component: str, *flags: tuple[str, str]) -> str:
    """As people post it: a kubeadm configuration with extraArgs."""
    extra = "\n".join(f"  - {{name: {name}, value: {value}}}" for name, value in flags)
    return (
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n"
        "localAPIEndpoint: {advertiseAddress: 10.77.0.10}\nnodeRegistration: {name: cp1}\n---\n"
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nclusterName: case\n"
        f"kubernetesVersion: v1.36.2\nencryptionAlgorithm: ECDSA-P256\n{component}:\n  extraArgs:\n{extra}\n"
    )


def native(**settings: Any) -> str:
    return spec_text({"kubernetesVersion": "v1.36.2", "nodes": NODES, **settings}, name="case")


def extra(*flags: tuple[str, str]) -> dict[str, Any]:
    return {"extraArgs": [{"name": name, "value": value} for name, value in flags]}


SIGNING = "cluster-signing-cert-file"
BUNDLE = f"{PKI}/ca.crt"
MINE = f"{PKI}/mine.crt"
# What rotates, the component with its flags, and which flag the refusal names.
LED_ELSEWHERE: dict[str, tuple[str, str, str, list[tuple[str, str]]]] = {
    "case 01": (
        "ca",
        "controllerManager",
        SIGNING,
        [(SIGNING, BUNDLE), ("cluster-signing-key-file", f"{PKI}/ca.key")],
    ),
    **{
        name: (
            "ca",
            "controllerManager",
            f"cluster-signing-{name}-cert-file",
            [
                (SIGNING, '""'),
                ("cluster-signing-key-file", '""'),
                (f"cluster-signing-{name}-cert-file", BUNDLE),
                (f"cluster-signing-{name}-key-file", f"{PKI}/ca.key"),
            ],
        )
        for name in ("kube-apiserver-client", "kubelet-client", "kubelet-serving", "legacy-unknown")
    },
    "case 02": ("ca", "apiServer", "client-ca-file", [("client-ca-file", f"{PKI}/mul_ca.crt")]),
    "the last one counts": (
        "ca",
        "apiServer",
        "client-ca-file",
        [("client-ca-file", BUNDLE), ("client-ca-file", MINE)],
    ),
    "never two": ("ca", "apiServer", "client-ca-file", [("client-ca-file", f"{PKI}/ca-signing.crt")]),
    **{
        f"{component} {flag}": (owner, component, flag, [(flag, MINE)])
        for owner, component, flags in (
            (
                "ca",
                "apiServer",
                ["tls-cert-file", "kubelet-certificate-authority", "kubelet-client-certificate"],
            ),
            ("front-proxy-ca", "apiServer", ["requestheader-client-ca-file", "proxy-client-cert-file"]),
            ("etcd-ca", "apiServer", ["etcd-cafile", "etcd-certfile"]),
            ("sa", "apiServer", ["service-account-key-file", "service-account-signing-key-file"]),
            ("sa", "controllerManager", ["service-account-private-key-file"]),
            (
                "ca",
                "controllerManager",
                ["root-ca-file", "client-ca-file", "kubeconfig", "authentication-kubeconfig"],
            ),
            ("front-proxy-ca", "controllerManager", ["requestheader-client-ca-file"]),
            ("ca", "scheduler", ["kubeconfig", "authentication-kubeconfig"]),
        )
        for flag in flags
    },
    **{
        f"{component} {flag}": (owner, component, flag, [(flag, value)])
        for owner, component, flag, value in (
            ("ca", "apiServer", "tls-private-key-file", f"{PKI}/mine.key"),
            ("ca", "apiServer", "kubelet-client-key", f"{PKI}/apiserver.key"),
            ("front-proxy-ca", "apiServer", "proxy-client-key-file", f"{PKI}/mine.key"),
            ("etcd-ca", "apiServer", "etcd-keyfile", f"{PKI}/mine.key"),
            ("ca", "apiServer", "peer-ca-file", MINE),
            ("etcd-ca", "apiServer", "etcd-servers-overrides", "'/events#https://10.9.9.9:2379'"),
        )
    },
    "a certificate with another's key": (
        "ca",
        "apiServer",
        "tls-private-key-file",
        [("tls_private_key_file", f"{PKI}/apiserver-kubelet-client.key")],
    ),
    "sni": (
        "ca",
        "apiServer",
        "tls-cert-file",
        [("tls-sni-cert-key", f"'{MINE},{PKI}/mine.key:example.com'")],
    ),
    "case 04": (
        "sa",
        "apiServer",
        "service-account-key-file",
        [("service-account-key-file", f"{PKI}/sa.pub"), ("service-account-key-file", f"{PKI}/sa-pkcs8.pub")],
    ),
    "no key at all": ("sa", "apiServer", "service-account-key-file", [("service-account-key-file", '""')]),
    "another etcd": ("etcd-ca", "apiServer", "etcd-servers", [("etcd-servers", "'https://10.9.9.9:2379'")]),
    "case 04, written out": (
        "sa",
        "apiServer",
        "service-account-key-file",
        [("service-account-key-file", f"{PKI}/sa.pub")],
    ),
}


def refused(workshop: Workshop, identifier: str, flag: str) -> str:
    before = workshop.photograph()
    result = workshop.rotate(*COMMANDS[identifier].split(), "--phase prepare")
    assert result.code == 1, result
    assert f"--{flag}" in result.error
    assert f"take {flag} out of extraArgs" in result.hint
    assert workshop.photograph() == before
    return result.error


@pytest.mark.parametrize("name", LED_ELSEWHERE)
def test_prepare_is_refused_where_a_flag_keeps_the_next_generation_out(tmp_path: Path, name: str) -> None:
    identifier, component, flag, flags = LED_ELSEWHERE[name]
    workshop = Workshop(place=tmp_path).made(kubeadm(component, *flags))
    refused(workshop, identifier, flag)
    # The control: what the flag has nothing to do with rotates.
    other = "front-proxy-ca" if identifier != "front-proxy-ca" else "etcd-ca"
    workshop.step(COMMANDS[other], "prepare")


@pytest.mark.parametrize("flag", ["trusted-ca-file", "peer-trusted-ca-file", "cert-file", "peer-cert-file"])
def test_the_files_of_etcd(tmp_path: Path, flag: str) -> None:
    workshop = Workshop(place=tmp_path).made(native(etcd=extra((flag, f"{PKI}/etcd/mine.crt"))))
    said = refused(workshop, "etcd-ca", flag)
    assert said.startswith(f"etcd on cp1 reads {PKI}/etcd/mine.crt (--{flag}), which pkigen does not manage")


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("key-file", f"{PKI}/etcd/peer.key"),
        ("peer-key-file", "/srv/mine.key"),
        ("cert-file", f"{PKI}/etcd/peer.crt"),
        ("client-cert-file", "/srv/mine.crt"),
        ("peer-client-cert-file", "/srv/mine.crt"),
        ("config-file", "/srv/etcd.yaml"),
    ],
)
def test_what_else_etcd_reads(tmp_path: Path, flag: str, value: str) -> None:
    """A key that stays when its certificate is issued anew, and a file that counts more than every flag."""
    workshop = Workshop(place=tmp_path).made(native(etcd=extra((flag, value))))
    named = flag.replace("cert-file", "key-file") if value == f"{PKI}/etcd/peer.crt" else flag
    refused(workshop, "etcd-ca", named)
    workshop.step("ca kubernetes", "prepare")


@pytest.mark.parametrize(
    ("variable", "flag"),
    [("ETCD_CONFIG_FILE", "config-file"), ("ETCD_PEER_CLIENT_CERT_FILE", "peer-client-cert-file")],
)
def test_what_etcd_reads_from_its_environment(tmp_path: Path, variable: str, flag: str) -> None:
    variables = [{"name": variable, "value": "/srv/mine"}, {"name": "ETCD_TRUSTED_CA_FILE", "value": "/x"}]
    workshop = Workshop(place=tmp_path).made(native(etcd={"extraEnvs": variables}))
    refused(workshop, "etcd-ca", flag)  # the other has a flag, which counts more


def test_a_pair_of_the_operators_own_needs_no_key_here(tmp_path: Path) -> None:
    """Both files are foreign: the certificate is judged where a copy of it is, and its key stays away."""
    pair = (("kubelet-client-certificate", "/srv/mine.crt"), ("kubelet-client-key", "/srv/mine.key"))
    workshop = Workshop(place=tmp_path).made(kubeadm("apiServer", *pair))
    own = workshop.tree / "nodes/cp1/srv/mine.crt"
    own.parent.mkdir(parents=True)
    own.write_bytes((workshop.tree / f"nodes/cp1{PKI}/apiserver-kubelet-client.crt").read_bytes())
    workshop.step("ca kubernetes", "prepare")
    result = workshop.rotate("ca", "kubernetes", "--phase promote", "--assume-distributed")
    assert result.code == 0


@pytest.mark.parametrize(
    ("component", "flag"), [("scheduler", "config"), ("kubelet", "config"), ("kubelet", "config-dir")]
)
def test_a_configuration_that_nobody_has_here_is_named(tmp_path: Path, component: str, flag: str) -> None:
    """It may name files that rotate, so nothing is refused; but what it says is not proven."""
    workshop = Workshop(place=tmp_path).made(native(**{component: extra((flag, "/srv/mine"))}))
    program = "kubelet on cp1, w1" if component == "kubelet" else "kube-scheduler on cp1"
    line = f"not judged: {program} reads /srv/mine (--{flag}), which pkigen does not manage"
    assert line in workshop.run("plan", workshop.spec, "-C", workshop.tree).out
    result = workshop.rotate("ca", "kubernetes", "--phase prepare")
    assert (result.code, line in result.out + result.err) == (0, True)


def test_a_schedulers_configuration_is_followed(tmp_path: Path) -> None:
    """It names the kubeconfig, and the flag counts no more."""
    workshop = Workshop(place=tmp_path).made(native(scheduler=extra(("config", "/srv/scheduler.yaml"))))
    own = workshop.tree / "nodes/cp1/srv/scheduler.yaml"
    own.parent.mkdir(parents=True)
    text = "kind: KubeSchedulerConfiguration\nclientConnection: {kubeconfig: /srv/mine.conf}\n"
    own.write_text(text)
    refused(workshop, "ca", "kubeconfig")
    own.write_text(text.replace("/srv/mine.conf", "/etc/kubernetes/scheduler.conf"))
    workshop.step("ca kubernetes", "prepare")


@pytest.mark.parametrize("flag", ["client-ca-file", "tls-cert-file", "tls-private-key-file", "kubeconfig"])
def test_the_files_of_kubelets(tmp_path: Path, flag: str) -> None:
    workshop = Workshop(place=tmp_path).made(native(kubelet=extra((flag, "/srv/mine"))))
    if flag == "tls-private-key-file":
        refused(workshop, "ca", flag)
        return
    said = refused(workshop, "ca", flag)
    assert said.startswith(f"kubelet on cp1 reads /srv/mine (--{flag}), which pkigen does not manage")


def test_a_kubelet_whose_configuration_nobody_has_is_judged_by_nobody() -> None:
    assert {edge.server_certificate for edge in kubelet_edges()} == {None}


def kubelet_edges() -> list[Edge]:
    cluster = ClusterSpec.model_validate(
        {
            "metadata": {"name": "case"},
            "spec": {
                "kubernetesVersion": "v1.36.2",
                "nodes": NODES,
                "kubelet": extra(("config", "/srv/mine")),
            },
        }
    )
    return [edge for edge in edges(derive(cluster)) if edge.server.component == "kubelet"]


def test_a_file_of_the_operators_own_is_judged_by_what_it_holds(tmp_path: Path) -> None:
    """Case 02, with the file in the tree: it holds the present CA, and takes part in no rotation."""
    workshop = Workshop(place=tmp_path).made(kubeadm("apiServer", ("client-ca-file", f"{PKI}/mul_ca.crt")))
    verified = workshop.run("verify", "-C", workshop.tree)
    line = (
        f"not judged: kube-apiserver on cp1 reads {PKI}/mul_ca.crt (--client-ca-file), "
        "which pkigen does not manage"
    )
    assert (verified.code, line in verified.out + verified.err) == (0, True)
    assert line in workshop.run("plan", workshop.spec, "-C", workshop.tree).out
    assert line in workshop.run("rotate", "ca", "etcd", workshop.spec, "-C", workshop.tree, "--prove").out
    own = workshop.tree / f"nodes/cp1{PKI}/mul_ca.crt"
    own.write_bytes((workshop.tree / "pki/etcd/ca.crt").read_bytes())
    wrong = workshop.run("verify", "-C", workshop.tree)
    assert wrong.code == 4
    assert "mul_ca.crt) refuses the certificate cp1/super-admin.conf" in wrong.out
    own.write_bytes((workshop.tree / "pki/ca.crt").read_bytes())
    assert workshop.run("verify", "-C", workshop.tree).code == 0
    said = refused(workshop, "ca", "client-ca-file")
    assert said == (
        f"kube-apiserver on cp1 reads {PKI}/mul_ca.crt (--client-ca-file), which does not hold two "
        "generations of ca"
    )


def test_a_file_that_has_the_next_ca_already_takes_part(tmp_path: Path) -> None:
    """The way out of case 02 that keeps the flag: bring the next CA, and put it into one's own file first."""
    text = kubeadm("apiServer", ("client-ca-file", f"{PKI}/mul_ca.crt"))
    other = Workshop(place=tmp_path / "other")
    other.place.mkdir()
    other.made(text.replace("clusterName: case", "clusterName: other"))
    workshop = Workshop(place=tmp_path).made(text)
    for kind in ("crt", "key"):
        brought = workshop.tree / f"pki/ca-next.{kind}"
        brought.write_bytes((other.tree / f"pki/ca.{kind}").read_bytes())
        brought.chmod(0o600 if kind == "key" else 0o644)
    own = workshop.tree / f"nodes/cp1{PKI}/mul_ca.crt"
    bundle = [(workshop.tree / f"pki/{name}.crt").read_bytes() for name in ("ca", "ca-next")]
    own.write_bytes(b"".join(bundle))
    for step in ("prepare", "promote"):
        workshop.step("ca kubernetes", step)
    # The control: without it, what the next CA signs would be refused.
    own.write_bytes(bundle[0])
    result = workshop.rotate("ca", "kubernetes", "--phase rollback", "--phase finish", "--assume-distributed")
    assert result.code == 1
    assert "this step would break a connection" in result.error


def inventory(**settings: Any) -> Inventory:
    return derive(
        ClusterSpec.model_validate(
            {
                "metadata": {"name": "case"},
                "spec": {"kubernetesVersion": "v1.36.2", "nodes": NODES, **settings},
            }
        )
    )


def test_where_endpoints_are_dialled() -> None:
    """What the flags say, not what is usual."""
    found = inventory(
        apiServer=extra(("secure-port", "7443")),
        etcd=extra(
            ("listen-client-urls", "https://127.0.0.1:3379,https://10.77.0.10:3379"),
            ("listen-peer-urls", "https://0.0.0.0:3380"),
        ),
        kubelet=extra(("port", "11250")),
    )
    assert [(each.component, each.address) for each in endpoints(found)] == [
        ("kube-apiserver", "10.77.0.10:7443"),
        ("etcd", "10.77.0.10:3379"),
        ("etcd peer", "10.77.0.10:3380"),
        ("kubelet", "10.77.0.10:11250"),
        ("kubelet", "10.77.0.21:11250"),
    ]


def test_a_flag_is_read_as_its_program_reads_it() -> None:
    """`_` is `-`, and of several instances the last one counts; etcd knows flags by one spelling alone."""
    node = inventory().cluster.control_plane[0]
    flags = (Flag("client-ca-file", "/a"), Flag("client_ca_file", "/b"))
    for component, value in ((ComponentName.API_SERVER, "/b"), (ComponentName.ETCD, "/a")):
        line = EffectiveFlags(component=component, node=node, flags=flags)
        assert line.value("client-ca-file") == value
    assert line.file("client-ca-file") == "nodes/cp1/a"
    assert line.place("/etc/kubernetes/pki/../pki//ca.crt") == "nodes/cp1/etc/kubernetes/pki/ca.crt"


@pytest.mark.parametrize(
    ("component", "flag", "value"),
    [
        ("apiServer", "kubelet-client-certificate", f"{PKI}/ca.crt"),
        ("apiServer", "etcd-certfile", f"{PKI}/etcd/server.key"),
        ("etcd", "cert-file", f"{PKI}/etcd/peer.key"),
        ("kubelet", "tls-cert-file", "/var/lib/kubelet/config.yaml"),
        ("scheduler", "kubeconfig", f"{PKI}/sa.pub"),
    ],
)
def test_a_file_of_ours_that_is_nothing_to_show(
    tmp_path: Path, component: str, flag: str, value: str
) -> None:
    """A CA, a key, a manifest where a certificate is wanted: a finding, and no step is taken."""
    workshop = Workshop(place=tmp_path).made(native(**{component: extra((flag, value))}))
    verified = workshop.run("verify", "-C", workshop.tree)
    assert verified.code == 4
    assert "broken-edge" in verified.out
    assert "PRIVATE KEY" not in verified.out + verified.err
    owner = "etcd-ca" if "etcd" in (component, flag.partition("-")[0]) else "ca"
    assert workshop.rotate(*COMMANDS[owner].split(), "--phase prepare").code == 1


def test_a_volume_leads_elsewhere() -> None:
    """What an API server calls /etc/certs/ca.crt is the host's /etc/kubernetes/pki/ca.crt."""
    volume = {"name": "certs", "hostPath": PKI, "mountPath": "/etc/certs"}
    found = inventory(apiServer={**extra(("client-ca-file", "/etc/certs/ca.crt")), "extraVolumes": [volume]})
    trusts = {edge.server_trust for edge in edges(found) if edge.server.component == "kube-apiserver"}
    assert trusts == {f"nodes/cp1{PKI}/ca.crt", None}


def test_names_with_a_certificate_of_their_own() -> None:
    """`--tls-sni-cert-key`: who asks for the name sees another certificate."""
    flag = ("tls-sni-cert-key", f"{PKI}/etcd/server.crt,{PKI}/etcd/server.key:*.default.svc")
    served = {
        name: edge.server_certificate
        for edge in edges(inventory(apiServer=extra(flag)))
        if edge.client.component == "Pods, as published"
        for name in edge.names
    }
    assert served == {
        "kubernetes.default.svc": "cp1/etcd-server",
        "kubernetes.default.svc.cluster.local": "cp1/apiserver",
        "10.96.0.1": "cp1/apiserver",
    }


def test_a_kubelets_configuration_of_the_operators_own(tmp_path: Path) -> None:
    """A template of his may name other files; so the edges follow what it has rendered."""
    templates = tmp_path / "templates/kubelet"
    templates.mkdir(parents=True)
    original = Path(__file__).parents[2] / "templates/kubelet/config.yaml.j2"
    changed = original.read_text().replace("{{ client_ca_file }}", "/srv/clients.crt") + "port: 11250\n"
    (templates / "config.yaml.j2").write_text(changed)
    workshop = Workshop(place=tmp_path)
    workshop.spec.write_text(native())
    where = (workshop.spec, "-C", workshop.tree, "--templates", templates.parent)
    assert workshop.run("init", *where).code == 0
    result = workshop.run("rotate", "ca", "kubernetes", *where, "--yes")
    assert result.code == 1
    assert result.error.startswith("kubelet on cp1 reads /srv/clients.crt (--client-ca-file), which pkigen")
