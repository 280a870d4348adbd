"""Single values: what each reader refuses, told at the value's place."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from pkigen.spec.addresses import parse_host_port, parse_san
from pkigen.spec.certificates import Certificates
from pkigen.spec.values import parse_period
from tests.spec.sources import assert_starts, case, more_nodes, problems, spec, swapped, users

REFUSED = [
    case(
        "version-label",
        swapped("v1.36.2", "stable"),
        "5:22: spec.kubernetesVersion: must be an exact version such as v1.36.2",
    ),
    case(
        "version-old",
        swapped("v1.36.2", "v1.28.1"),
        "5:22: spec.kubernetesVersion: is not supported: this pkigen knows the flags of v1.29 to",
    ),
    case(
        "version-new",
        swapped("v1.36.2", "v1.99.1"),
        "5:22: spec.kubernetesVersion: is not supported: this pkigen knows the flags of v1.29 to",
    ),
    case(
        "name-of-two-lines",
        (
            'apiVersion: pkigen/v1\nkind: Cluster\nmetadata: {name: "a\\nb"}\nspec:\n'
            "  kubernetesVersion: v1.36.2\n"
            "  nodes: [{name: a, roles: [control-plane], addresses: [192.0.2.1]}]\n"
        ),
        "3:18: metadata.name: must be one line of printable text, without U+000A",
    ),
    case(
        "endpoint-port",
        spec("  controlPlaneEndpoint: api:99999\n"),
        "7:25: spec.controlPlaneEndpoint: must have a port between 1 and 65535",
    ),
    case(
        "endpoint-url",
        spec("  controlPlaneEndpoint: https://api:6443\n"),
        "7:25: spec.controlPlaneEndpoint: must be a host or host:port alone, without https:// in front",
    ),
    case(
        "endpoint-any",
        spec("  controlPlaneEndpoint: 0.0.0.0:6443\n"),
        "7:25: spec.controlPlaneEndpoint: must be an address that clients can reach",
    ),
    case(
        "endpoint-mapped",
        spec('  controlPlaneEndpoint: "[::ffff:10.0.0.1]:6443"\n'),
        "7:25: spec.controlPlaneEndpoint: is an IPv4-mapped IPv6 address, which the API server",
    ),
    case(
        "repository",
        spec('  imageRepository: "https://registry"\n'),
        "7:20: spec.imageRepository: must be a registry, and a lower-case path in it, such as",
    ),
    case(
        "host-bits",
        spec("  networking: {serviceSubnets: [10.96.0.1/12]}\n"),
        "7:33: spec.networking.serviceSubnets[0]: has host bits set: write 10.96.0.0/12",
    ),
    case(
        "no-prefix",
        spec("  networking: {serviceSubnets: [10.96.0.0]}\n"),
        "7:33: spec.networking.serviceSubnets[0]: needs a prefix length, such as",
    ),
    case(
        "not-a-subnet",
        spec("  networking: {podSubnets: [banana/12]}\n"),
        "7:29: spec.networking.podSubnets[0]: must be a subnet such as 10.96.0.0/12, not 'banana/12'",
    ),
    case(
        "netmask",
        spec(
            '  networking: {serviceSubnets: [10.96.0.0/255.240.0.0, 10.96.0.0, "fd00::", '
            "x, 10.0.0.0/, 10.96.0.0/012]}\n"
        ),
        "7:33: spec.networking.serviceSubnets[0]: must have a prefix length after the '/':",
        "7:56: spec.networking.serviceSubnets[1]: needs a prefix length, such as",
        "7:67: spec.networking.serviceSubnets[2]: needs a prefix length, such as fd00::/64",
        "7:77: spec.networking.serviceSubnets[3]: must be a subnet such as 10.96.0.0/12, not 'x'",
        "7:80: spec.networking.serviceSubnets[4]: must be a subnet such as 10.96.0.0/12, not",
        "7:91: spec.networking.serviceSubnets[5]: must have a prefix length after the '/':",
    ),
    case(
        "subnet-mapped-and-zoned",
        spec('  networking: {serviceSubnets: ["::ffff:10.96.0.0/112", "fe80::%eth0/112"]}\n'),
        "7:33: spec.networking.serviceSubnets[0]: is an IPv4-mapped IPv6 address, which the API",
        "7:57: spec.networking.serviceSubnets[1]: must not have a zone ('%'): certificates cannot",
    ),
    case(
        "domain",
        spec("  networking: {dnsDomain: Cluster.Local}\n"),
        "7:27: spec.networking.dnsDomain: must be a lower-case DNS name: letters, digits, '-' and",
    ),
    case(
        "san",
        spec('  apiServer: {certSANs: ["*"]}\n'),
        "7:26: spec.apiServer.certSANs[0]: must be an IP address, a DNS name or *. and a DNS name,",
    ),
    case(
        "san-wild-inside",
        spec("  apiServer: {certSANs: [a.*.b]}\n"),
        "7:26: spec.apiServer.certSANs[0]: must be an IP address, a DNS name or *. and a DNS name,",
    ),
    case(
        "san-almost-ip",
        spec("  apiServer: {certSANs: [10.0.0]}\n"),
        "7:26: spec.apiServer.certSANs[0]: must be an IP address, not '10.0.0'",
    ),
    case(
        "flag-dashes",
        spec('  apiServer: {extraArgs: [{name: --v, value: "1"}]}\n'),
        "7:34: spec.apiServer.extraArgs[0].name: must be the flag's name without dashes in front,",
    ),
    case(
        "flag-newline",
        spec('  apiServer: {extraArgs: [{name: v, value: "1\\n2"}]}\n'),
        "7:44: spec.apiServer.extraArgs[0].value: must be one line of printable text",
    ),
    case(
        "volume-path",
        spec("  apiServer: {extraVolumes: [{name: x, hostPath: etc, mountPath: /a/../b}]}\n"),
        "7:50: spec.apiServer.extraVolumes[0].hostPath: must be an absolute path without '..'",
        "7:66: spec.apiServer.extraVolumes[0].mountPath: must be an absolute path without '..'",
    ),
    case(
        "etcd-endpoint",
        spec("  etcd: {external: {endpoints: [10.0.0.1:2379]}}\n"),
        "7:33: spec.etcd.external.endpoints[0]: must be a URL such as https://10.0.0.31:2379",
    ),
    case(
        "image-tag",
        spec('  etcd: {imageTag: "a b"}\n'),
        "7:20: spec.etcd.imageTag: must be an image's tag, such as 3.6.8-0",
    ),
    case(
        "days",
        spec("  certificates: {validity: 365d}\n"),
        "7:28: spec.certificates.validity: must be a duration in h, m and s: write 8760h",
    ),
    case(
        "no-duration",
        spec("  certificates: {validity: soon}\n"),
        "7:28: spec.certificates.validity: must be a duration in h, m and s such as 8760h, 90m or",
    ),
    case(
        "zero-duration",
        spec("  certificates: {validity: 0h}\n"),
        "7:28: spec.certificates.validity: must be longer than zero",
    ),
    case(
        "too-long-duration",
        spec("  certificates: {caValidity: 99999999h}\n"),
        "7:30: spec.certificates.caValidity: must be at most 200 years (1753200h)",
    ),
    case(
        "directory",
        spec("  certificates: {directory: etc/pki}\n"),
        "7:29: spec.certificates.directory: must be an absolute path of letters, digits and . _ @ +",
    ),
    case(
        "text that is not what it looks like",
        spec(
            '  apiServer: {extraArgs: [{name: a, value: "\\u202efdp.exe"}, {name: b, value: "a\\nb"}]}\n'
            '  etcd: {extraEnvs: [{name: A, value: "a\\u00a0b"}]}\n'
        ),
        "7:44: spec.apiServer.extraArgs[0].value: must be one line of printable text, without U+202E",
        "7:79: spec.apiServer.extraArgs[1].value: must be one line of printable text, without U+000A",
        "8:39: spec.etcd.extraEnvs[0].value: must be one line of printable text, without U+00A0",
    ),
    case(
        "a name that no file system takes",
        spec(f"  certificates: {{directory: /{'d' * 256}}}\n"),
        "7:29: spec.certificates.directory: has a name of 256 characters: one may have 255",
    ),
    case(
        "a directory with the name of a file",
        spec("  certificates: {directory: /etc/kubernetes/admin.conf/pki}\n  etcd: {dataDir: /srv/x.yaml}\n"),
        "7:29: spec.certificates.directory: must be the path of a directory: 'admin.conf' is",
        "8:19: spec.etcd.dataDir: must be the path of a directory: 'x.yaml' is a file name",
    ),
    case(
        "directory of static Pods",
        spec("  certificates: {directory: /etc/kubernetes/manifests/pki}\n"),
        "7:29: spec.certificates.directory: must not be in /etc/kubernetes/manifests: the kubelet",
    ),
    case(
        "node-name",
        more_nodes("    - {name: Worker_1, roles: [worker], addresses: [192.0.2.2]}\n"),
        "8:14: spec.nodes[1].name: must be a lower-case DNS name: letters, digits, '-' and '.', each",
    ),
    case(
        "node-name-long",
        more_nodes(
            "    - {name: wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww, roles: "
            "[worker], addresses: [192.0.2.2]}\n"
        ),
        "8:14: spec.nodes[1].name: is 53 characters long: the kubelet's common name",
    ),
    case(
        "address-text",
        more_nodes("    - {name: b, roles: [worker], addresses: [host]}\n"),
        "8:46: spec.nodes[1].addresses[0]: must be an IP address, not 'host'",
    ),
    case(
        "address-mapped",
        more_nodes('    - {name: b, roles: [worker], addresses: ["::ffff:10.0.0.1"]}\n'),
        "8:46: spec.nodes[1].addresses[0]: is an IPv4-mapped IPv6 address, which the API server",
    ),
    case(
        "address-zone",
        more_nodes('    - {name: b, roles: [worker], addresses: ["fe80::1%eth0"]}\n'),
        "8:46: spec.nodes[1].addresses[0]: must not have a zone ('%'): certificates cannot name one",
    ),
    case(
        "address-any",
        more_nodes("    - {name: b, roles: [worker], addresses: [0.0.0.0]}\n"),
        "8:46: spec.nodes[1].addresses[0]: must be the address of one host",
    ),
    case(
        "address-of-everybody",
        more_nodes("    - {name: b, roles: [worker], addresses: [255.255.255.255]}\n"),
        "8:46: spec.nodes[1].addresses[0]: must be the address of one host",
    ),
    case(
        "user-name",
        users('    - {name: "x "}\n'),
        "8:14: spec.users[0].name: must not begin or end with a space, which nobody would see",
    ),
    case(
        "user-long",
        users("    - {name: uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu}\n"),
        "8:14: spec.users[0].name: is 65 characters long: a name in a certificate may have 64",
    ),
    case(
        "user-wide",
        users(f"    - {{name: {'ü' * 33}, groups: [{'ü' * 32}, {'é' * 33}]}}\n"),
        "8:14: spec.users[0].name: is 66 octets long in UTF-8: a name in a certificate may have 64",
        "8:92: spec.users[0].groups[1]: is 66 octets long in UTF-8",
    ),
    case(
        "ca-wide",
        spec(f"  certificates: {{overrides: {{ca: {{commonName: {'ü' * 29}}}}}}}\n"),
        "7:47: spec.certificates.overrides.ca.commonName: is 58 octets long in UTF-8: a name in a",
    ),
    case("user-empty", users('    - {name: ""}\n'), "8:14: spec.users[0].name: must not be empty"),
    case(
        "user-namespace",
        users("    - {name: ann, namespace: a.b}\n"),
        "8:30: spec.users[0].namespace: must be a DNS label: at most 63 lower-case letters, digits",
    ),
    case(
        "role-name",
        users("    - {name: ann, clusterRoles: [a/b]}\n"),
        "8:34: spec.users[0].clusterRoles[0]: must be the name of a role, without '/' and '%'",
    ),
]


@pytest.mark.parametrize(("source", "expected"), REFUSED)
def test_problems(source: str | bytes, expected: tuple[str, ...]) -> None:
    assert_starts(problems(source), expected)


@pytest.mark.parametrize(
    ("value", "refusal"),
    [
        ("[2001:db8:]:6443", "must be an IP address, not '2001:db8:'"),
        ("[2001:db8::1", "write IPv6 as [address]:port"),
        ("2001:db8::1]:6443", "write IPv6 as [address]:port"),
        ("[2001:db8::1]6443", "write IPv6 as [address]:port"),
        ("[2001:db8::1]:", "write IPv6 as [address]:port"),
        ("[2001:db8::1]:http", "write IPv6 as [address]:port"),
        ("2001:db8:::6443", "write IPv6 as [address]:port"),
        ("[2001:db8::1]:0", "must have a port between 1 and 65535"),
        ("api.example.com:65536", "must have a port between 1 and 65535"),
        ("[fe80::1%eth0]:6443", "must not have a zone ('%')"),
        ("[::ffff:10.0.0.1]:6443", "is an IPv4-mapped IPv6 address"),
        ("[api.example.com]:6443", "must be an IP address, not 'api.example.com'"),
        ("[]:6443", "must be a host or host:port"),
        (":6443", "must be a host or host:port"),
        ("", "must be a host or host:port"),
        ("api:https", "must be a host or host:port"),
        ("api:", "must be a host or host:port"),
        ("user@api:6443", "must be a host or host:port"),
        ("api:6443/", "must be a host or host:port"),
        ("HTTPS://api:6443", "must be a host or host:port alone, without https:// in front"),
        ("https://[2001:db8::1]:6443", "must be a host or host:port alone, without https:// in front"),
        ("10.0.0.256:6443", "must be an IP address, not '10.0.0.256'"),
        ("010.0.0.1:6443", "which others read as octal: write 10.0.0.1"),
    ],
)
def test_what_is_no_host_and_port(value: str, refusal: str) -> None:
    with pytest.raises(ValueError, match=re.escape(refusal)):
        parse_host_port(value)


@pytest.mark.parametrize(
    ("value", "refusal"),
    [
        ("https://api.example.com:6443/", "without scheme, port and path: write api.example.com"),
        ("api.example.com:6443", "without scheme, port and path: write api.example.com"),
        ("[2001:db8::1]", "without scheme, port and path: write 2001:db8::1"),
        ("10.0.0.1:6443", "without scheme, port and path: write 10.0.0.1"),
        ("*.example.com/x", "without scheme, port and path: write *.example.com"),
        ("[2001:db8:]:6443", "without scheme, port, brackets and path, not '[2001:db8:]:6443'"),
        ("api.example.com:", "without scheme, port, brackets and path, not 'api.example.com:'"),
        ("user@api:6443", "without scheme, port, brackets and path, not 'user@api:6443'"),
        ("api_x", "must be an IP address, a DNS name or *. and a DNS name, not 'api_x'"),
        ("2001:db8:::1", "must be an IP address, not '2001:db8:::1'"),
        ("fe80::1%eth0", "must not have a zone"),
    ],
)
def test_what_is_more_than_a_name(value: str, refusal: str) -> None:
    with pytest.raises(ValueError, match=re.escape(refusal)):
        parse_san(value)


@pytest.mark.parametrize("value", [True, 0, 1.5, None, -3])
def test_durations_are_text(value: object) -> None:
    with pytest.raises(ValueError, match=r"must be a duration such as 8760h|must be longer"):
        parse_period(value)


def test_long_paths_are_refused() -> None:
    with pytest.raises(ValidationError, match="5000 characters long: a path may have 4095"):
        Certificates(directory="/" + "x" * 4_999)
