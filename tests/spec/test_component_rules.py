"""Rules about etcd and the settings of control-plane components."""

from __future__ import annotations

import pytest

from tests.spec.sources import assert_starts, case, problems, spec, warnings


def _signing(kind: str, value: str) -> str:
    return f"{{name: cluster-signing-{kind}-file, value: {value}}}"


def signers(*arguments: str) -> str:
    return spec(f"  controllerManager: {{extraArgs: [{', '.join(arguments)}]}}\n")


SIGNER = _signing("kubelet-client-cert", "/etc/kubernetes/pki/a")

EXTERNAL = '  etcd: {external: {endpoints: ["https://e:2379"], caFile: /srv/e/ca.crt}}\n'
OVER_OURS = (
    ("apiServer", "/etc/ssl/certs", "ca-certs", ""),
    ("apiServer", "/etc/kubernetes/pki", "k8s-certs", ""),
    ("apiServer", "/srv/pki", "k8s-certs", "  certificates: {directory: /srv/pki}\n"),
    ("apiServer", "/srv/e", "etcd-certs-0", EXTERNAL),
    ("controllerManager", "/etc/kubernetes/pki", "k8s-certs", ""),
    ("controllerManager", "/etc/kubernetes/controller-manager.conf", "kubeconfig", ""),
    ("scheduler", "/etc/kubernetes/scheduler.conf", "kubeconfig", ""),
)

REFUSED = [
    case(
        "volume-twice",
        spec(
            "  scheduler:\n    extraVolumes:\n    - {name: x, hostPath: /a, mountPath: /b}\n"
            "    - {name: x, hostPath: /c, mountPath: /b}\n"
        ),
        "10:14: spec.scheduler.extraVolumes[1].name: 'x' is the name of an earlier volume already",
        "10:42: spec.scheduler.extraVolumes[1].mountPath: '/b' is the mount path of an earlier",
    ),
    *(
        case(
            f"volume-over-{component}-{path}",
            spec(
                f"{more}  {component}:\n    extraVolumes:\n"
                f"    - {{name: x, hostPath: /a, mountPath: {path}}}\n"
            ),
            f"{9 + len(more.splitlines())}:42: spec.{component}.extraVolumes[0].mountPath: '{path}' is "
            f"mounted by pkigen already: Kubernetes refuses the Pod; name the volume {owner} ",
        )
        for component, path, owner, more in OVER_OURS
    ),
    case(
        "etcd-cert-alone",
        spec('  etcd: {external: {endpoints: ["https://e:2379"], caFile: /c, certFile: /a}}\n'),
        "7:74: spec.etcd.external.certFile: also needs keyFile",
    ),
    case(
        "etcd-key-alone",
        spec('  etcd: {external: {endpoints: ["https://e:2379"], keyFile: /a}}\n'),
        "7:61: spec.etcd.external.keyFile: also needs certFile",
    ),
    case(
        "etcd-without-ca",
        spec('  etcd: {external: {endpoints: ["https://e:2379"], certFile: /a, keyFile: /b}}\n'),
        "7:62: spec.etcd.external.certFile: also needs caFile",
    ),
    case(
        "etcd-http-with-files",
        spec('  etcd: {external: {endpoints: ["http://e:2379"], caFile: /a}}\n'),
        "7:33: spec.etcd.external.endpoints[0]: must begin with https:// because certificate files",
    ),
    case(
        "etcd-mixed",
        spec('  etcd: {external: {endpoints: ["http://e:2379", "https://f:2379"]}}\n'),
        "7:33: spec.etcd.external.endpoints[0]: must begin with https:// like the other endpoints",
    ),
    case(
        "certificates where the host's are",
        spec("  certificates: {directory: /etc/ssl/certs/}\n"),
        "7:29: spec.certificates.directory: /etc/ssl/certs is mounted for the host's own CAs",
    ),
    case(
        "data where the certificates are",
        spec("  certificates: {directory: /srv/pki}\n  etcd: {dataDir: /srv/pki/etcd}\n"),
        "8:19: spec.etcd.dataDir: /srv/pki/etcd is where etcd's certificates are: Kubernetes refuses",
    ),
    case(
        "signers-twice",
        signers("{name: cluster-signing-duration, value: 24h}", SIGNER),
        "7:81: spec.controllerManager.extraArgs[1]: cluster-signing-kubelet-client-cert-file cannot be "
        "combined with cluster-signing-cert-file",
    ),
    case(
        "signers-twice-again",
        signers(SIGNER, _signing("cert", '""'), _signing("cert", "/etc/kubernetes/pki/a")),
        "7:35: spec.controllerManager.extraArgs[0]: cluster-signing-kubelet-client-cert-file cannot be",
    ),
]

WARNED = [
    case(
        "the same variable twice",
        spec("  etcd: {extraEnvs: [{name: A, value: b}, {name: B}, {name: A}]}\n"),
        "7:61: spec.etcd.extraEnvs[2].name: 'A' is given twice: this one is used",
    ),
    case(
        "environment-and-time-with-systemd",
        spec("  runtime: systemd\n  etcd: {extraEnvs: [{name: A}]}\n  startupTimeout: 5m\n"),
        "8:10: spec.etcd.extraEnvs: has no effect: with the systemd runtime, set the environment in a",
        "9:3: spec.startupTimeout: has no effect: with the systemd runtime, units wait for their",
    ),
    case(
        "volumes-with-systemd",
        spec("  runtime: systemd\n  scheduler: {extraVolumes: [{name: x, hostPath: /a, mountPath: /b}]}\n"),
        "8:15: spec.scheduler.extraVolumes: has no effect: with the systemd runtime, programs see",
    ),
    case(
        "etcd-http",
        spec('  etcd: {external: {endpoints: ["http://e:2379", "http://e:2379"]}}\n'),
        "7:33: spec.etcd.external.endpoints[0]: is not encrypted: every Secret crosses the network",
        "7:50: spec.etcd.external.endpoints[1]: is not encrypted: every Secret crosses the network",
        "7:50: spec.etcd.external.endpoints[1]: is given twice: remove it",
    ),
    case(
        "etcd-local-and-external",
        spec('  etcd: {dataDir: /x, external: {endpoints: ["https://e:2379"]}}\n'),
        "7:10: spec.etcd.dataDir: has no effect: etcd is external",
    ),
]

HARMLESS = {
    "volumes of several components": spec(
        "  apiServer: {extraVolumes: [{name: x, hostPath: /a, mountPath: /a}]}\n"
        "  scheduler: {extraVolumes: [{name: x, hostPath: /a, mountPath: /a}]}\n"
    ),
    "a volume in the place of pkigen's own": spec(
        "  scheduler: {extraVolumes: [{name: kubeconfig, hostPath: /a, mountPath: "
        "/etc/kubernetes/scheduler.conf}]}\n"
    ),
    "no default signing certificate": signers(SIGNER, _signing("cert", '""')),
    "no default signing key": signers(_signing("key", '""'), SIGNER),
    "no file of one signer": signers(_signing("kubelet-client-cert", '""')),
    "no signing key on the nodes": signers(SIGNER).replace(
        "spec:", "spec:\n  kubelet: {rotateCertificates: false}\n  certificates: {distributeCAKeys: false}"
    ),
    "the same SAN for the API server twice": spec("  apiServer: {certSANs: [a.b, A.B]}\n"),
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
