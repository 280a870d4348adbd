"""Rules about lifetimes, about who has the CA keys, and about the names of certificates."""

from __future__ import annotations

import pytest

from tests.spec.sources import assert_starts, case, problems, spec, users, warnings

REFUSED = [
    case(
        "leaf-beyond-ca",
        spec("  certificates: {caValidity: 100h, validity: 200h}\n"),
        "7:46: spec.certificates.validity: 200h is longer than caValidity (100h): no certificate",
    ),
    case(
        "leaf-default-beyond-ca",
        spec("  certificates: {caValidity: 1000h}\n"),
        "7:17: spec.certificates.validity: 8760h is longer than caValidity (1000h): no certificate",
    ),
    case(
        "override-beyond-ca",
        spec("  certificates: {overrides: {apiserver: {validity: 90000h}}}\n"),
        "7:52: spec.certificates.overrides.apiserver.validity: 90000h is longer than the validity of",
    ),
    case(
        "override-beyond-own-ca",
        spec("  certificates: {overrides: {etcd-ca: {validity: 10000h}, etcd-peer: {validity: 20000h}}}\n"),
        "7:81: spec.certificates.overrides.etcd-peer.validity: 20000h is longer than the validity of",
    ),
    case(
        "ca-override-below-leaves",
        spec("  certificates: {overrides: {etcd-ca: {validity: 100h}}}\n"),
        "7:50: spec.certificates.overrides.etcd-ca.validity: 100h is shorter than the validity of",
    ),
    case(
        "user-validity",
        users("    - {name: ann, validity: 90000h}\n"),
        "8:29: spec.users[0].validity: 90000h is longer than the validity of the CA (87600h): no",
    ),
    case(
        "renew-too-early",
        spec("  certificates: {renewBefore: 8760h}\n"),
        "7:31: spec.certificates.renewBefore: 8760h is not shorter than the validity (8760h): the",
    ),
    case(
        "override-renew-too-early",
        spec("  certificates: {overrides: {admin.conf: {renewBefore: 24h, validity: 24h}}}\n"),
        '7:56: spec.certificates.overrides["admin.conf"].renewBefore: 24h is not shorter than the',
    ),
    case(
        "ca-keys-with-nobody",
        spec("  certificates: {caKeys: offline}\n"),
        "7:26: spec.certificates.caKeys: offline can only be used with authority: offline, which keeps the "
        "keys",
    ),
    case(
        "ca-keys-to-hand-out",
        spec("  certificates: {authority: offline, caKeys: offline, distributeCAKeys: true}\n"),
        "7:73: spec.certificates.distributeCAKeys: must be empty with caKeys: offline, where this site",
    ),
    case(
        "nobody-to-approve",
        spec("  certificates: {authority: offline, caKeys: offline, nodeKeys: node}\n"),
        "7:46: spec.certificates.caKeys: with offline, nobody at the site can approve the requests of",
    ),
    case(
        "name-of-a-leaf",
        spec("  certificates: {overrides: {apiserver: {commonName: api}}}\n"),
        "7:54: spec.certificates.overrides.apiserver.commonName: is for CAs only",
    ),
    case(
        "two-cas-of-one-name",
        spec("  certificates: {overrides: {etcd-ca: {commonName: kubernetes}}}\n"),
        "7:52: spec.certificates.overrides.etcd-ca.commonName: 'kubernetes' is what ca is called",
    ),
    case(
        "another-cas-name",
        spec("  certificates: {overrides: {ca: {commonName: etcd-ca}}}\n"),
        "7:47: spec.certificates.overrides.ca.commonName: 'etcd-ca' is what etcd-ca is called",
    ),
    case(
        "override-name",
        spec("  certificates: {overrides: {api-server: {validity: 24h}}}\n"),
        "7:30: spec.certificates.overrides.api-server: is not the name of a certificate; did you mean",
    ),
    case(
        "override-name-far",
        spec("  certificates: {overrides: {zzz: {validity: 24h}}}\n"),
        "7:30: spec.certificates.overrides.zzz: is not the name of a certificate; known are ca, etcd-ca,",
    ),
]

WARNED = [
    case(
        "ca-keys-offline",
        spec("  certificates: {authority: offline, caKeys: offline}\n"),
        "7:46: spec.certificates.caKeys: without ca.key the controller manager signs nothing: kubelets",
    ),
    case(
        "ca-keys-not-handed-out",
        spec("  certificates: {distributeCAKeys: false}\n"),
        "7:36: spec.certificates.distributeCAKeys: without ca.key the controller manager signs nothing:",
    ),
    case(
        "ca-key-of-no-member",
        spec(
            "  certificates: {distributeCAKeys: [ca, etcd-ca]}\n"
            "  etcd: {external: {endpoints: ['https://10.0.1.1:2379'], caFile: /etc/e/ca.crt}}\n"
        ),
        "7:41: spec.certificates.distributeCAKeys[1]: has no effect: no control-plane node runs etcd",
    ),
    case(
        "files-that-no-pod-need-mount",
        spec("  certificates: {kubeconfigs: files}\n  manage: [kubelet]\n"),
        "7:31: spec.certificates.kubeconfigs: pkigen does not manage the manifests: the scheduler's Pod must "
        "mount /etc/kubernetes/pki/scheduler",
    ),
    case(
        "override-no-effect",
        spec("  certificates: {overrides: {kube-proxy.conf: {validity: 24h}}}\n"),
        '7:30: spec.certificates.overrides["kube-proxy.conf"]: has no effect: kube-proxy runs in the',
    ),
]

REFUSED += [
    case(
        f"a name that a list of names cannot have, {name}",
        spec(f"  certificates: {{overrides: {{front-proxy-client: {{user: '{name}'}}}}}}\n"),
        "7:57: spec.certificates.overrides.front-proxy-client.user: must have no comma, quotes or $: in",
    )
    for name in ("a,b", '"a"', "a$$b")
]
MANY = ", ".join(f"n{number:03}.example.com" for number in range(1000))

REFUSED += [
    case(
        f"too many in {place}",
        spec(f"{before}[{MANY}]{after}\n"),
        f"{line}: spec.{place}: makes a certificate of over 20000 octets, which some clients refuse: "
        f"give at most about {most} of these 1000",
    )
    for place, before, after, line, most in (
        ("apiServer.certSANs", "  apiServer: {certSANs: ", "}", "7:25", 689),
        ("etcd.serverCertSANs", "  etcd: {serverCertSANs: ", "}", "7:26", 689),
        ("etcd.peerCertSANs", "  etcd: {peerCertSANs: ", "}", "7:24", 689),
        ("users[0].groups", "  users: [{name: a, groups: ", "}]", "7:29", 689),
    )
]

HARMLESS = {
    "names for which there is just room": spec(f"  apiServer: {{certSANs: [{MANY[:11000]}x]}}\n"),
    "short lives shrink the default window": spec(
        "  certificates: {validity: 24h, overrides: {apiserver: {validity: 1h}}}\n"
    ),
    "a short CA whose only leaf is shorter": spec(
        "  certificates: {overrides: {front-proxy-ca: {validity: 48h}, "
        "front-proxy-client: {validity: 24h}}}\n"
    ),
    "keys born on the nodes": spec("  certificates: {authority: offline, nodeKeys: node}\n"),
    "intermediates under an offline root": spec("  certificates: {authority: offline, caKeys: site}\n"),
    "files that pkigen's own Pods mount": spec("  certificates: {kubeconfigs: files}\n"),
    "files that units see anyway": spec(
        "  certificates: {kubeconfigs: files}\n  runtime: systemd\n  manage: []\n"
    ),
    "no CA keys, and no kubelet that needs them": spec(
        "  certificates: {authority: offline, caKeys: offline}\n  kubelet: {rotateCertificates: false}\n"
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
