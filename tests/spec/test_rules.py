"""Values that do not fit their field, and values that do not go together."""

from __future__ import annotations

import pytest

from tests.spec.sources import (
    assert_starts,
    case,
    header,
    more_nodes,
    nodes,
    problems,
    spec,
    swapped,
    users,
    warnings,
)

BAD_VALUES = [
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
        "name-upper",
        (
            "apiVersion: pkigen/v1\nkind: Cluster\nmetadata: {name: Prod}\nspec:\n"
            "  kubernetesVersion: v1.36.2\n"
            "  nodes: [{name: a, roles: [control-plane], addresses: [192.0.2.1]}]\n"
        ),
        "3:18: metadata.name: must be a lower-case DNS name: letters, digits, '-' and '.', each",
    ),
    case(
        "runtime",
        spec("  runtime: systmd\n"),
        "7:12: spec.runtime: must be static-pods or systemd, not 'systmd'; did you mean systemd?",
    ),
    case(
        "endpoint-port",
        spec("  controlPlaneEndpoint: api:99999\n"),
        "7:25: spec.controlPlaneEndpoint: must have a port between 1 and 65535",
    ),
    case(
        "endpoint-url",
        spec("  controlPlaneEndpoint: https://api:6443\n"),
        "7:25: spec.controlPlaneEndpoint: must be a host or host:port; write IPv6 as [address]:port",
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
        "endpoint-in-services",
        spec("  controlPlaneEndpoint: 10.96.0.5:6443\n"),
        "7:25: spec.controlPlaneEndpoint: is inside the service subnet 10.96.0.0/12, whose addresses",
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
        "7:33: spec.networking.serviceSubnets[0]: needs the length of its prefix, such as",
    ),
    case(
        "not-a-subnet",
        spec("  networking: {podSubnets: [banana/12]}\n"),
        "7:29: spec.networking.podSubnets[0]: must be a subnet such as 10.96.0.0/12, not 'banana/12'",
    ),
    case(
        "three-subnets",
        spec("  networking: {serviceSubnets: [10.0.0.0/16, fd00::/112, 10.1.0.0/16]}\n"),
        "7:32: spec.networking.serviceSubnets: may have at most 2 items",
    ),
    case(
        "same-family",
        spec("  networking: {serviceSubnets: [10.0.0.0/16, 10.1.0.0/16]}\n"),
        "7:46: spec.networking.serviceSubnets[1]: is IPv4 like 10.0.0.0/16: two subnets are for dual",
    ),
    case(
        "same-family-pods",
        spec("  networking: {podSubnets: [10.0.0.0/16, 10.1.0.0/16]}\n"),
        "7:42: spec.networking.podSubnets[1]: is IPv4 like 10.0.0.0/16: two subnets are for dual",
    ),
    case(
        "services-too-small",
        spec("  networking: {serviceSubnets: [10.0.0.0/29]}\n"),
        "7:33: spec.networking.serviceSubnets[0]: is too small, services need 10 addresses: use /28",
    ),
    case(
        "services-too-large",
        spec('  networking: {serviceSubnets: ["fd00::/64"]}\n'),
        "7:33: spec.networking.serviceSubnets[0]: is too large for the API server: use /108 or a",
    ),
    case(
        "pods-too-small",
        spec("  networking: {podSubnets: [10.0.0.0/29]}\n"),
        "7:29: spec.networking.podSubnets[0]: is too small: pods need 14 addresses",
    ),
    case(
        "pods-below-node-mask",
        spec("  networking: {podSubnets: [10.0.0.0/25]}\n"),
        "7:29: spec.networking.podSubnets[0]: is smaller than what one node gets from it (/24)",
    ),
    case(
        "pods-above-node-mask",
        spec('  networking: {podSubnets: ["fd00::/40"]}\n'),
        "7:29: spec.networking.podSubnets[0]: is too large to be divided into /64 for each node: use",
    ),
    case(
        "node-mask-is-no-number",
        spec(
            "  networking: {podSubnets: [10.0.0.0/16]}\n"
            "  controllerManager: {extraArgs: [{name: node-cidr-mask-size, value: big}]}\n"
        ),
        "8:70: spec.controllerManager.extraArgs[0].value: must be the prefix length of a node's",
    ),
    case(
        "overlap",
        spec("  networking: {podSubnets: [10.96.0.0/16]}\n"),
        "7:29: spec.networking.podSubnets[0]: overlaps the service subnet 10.96.0.0/12: pods and",
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
        "7:50: spec.apiServer.extraVolumes[0].hostPath: must be an absolute path of letters, digits",
        "7:66: spec.apiServer.extraVolumes[0].mountPath: must be an absolute path of letters, digits",
    ),
    case(
        "volume-twice",
        spec(
            "  scheduler:\n    extraVolumes:\n    - {name: x, hostPath: /a, mountPath: /b}\n"
            "    - {name: x, hostPath: /c, mountPath: /b}\n"
        ),
        "10:14: spec.scheduler.extraVolumes[1].name: 'x' is the name of an earlier volume already",
        "10:42: spec.scheduler.extraVolumes[1].mountPath: '/b' is the mount path of an earlier",
    ),
    case(
        "volume-type",
        spec("  scheduler: {extraVolumes: [{name: x, hostPath: /a, mountPath: /b, pathType: Dir}]}\n"),
        '7:79: spec.scheduler.extraVolumes[0].pathType: must be "", DirectoryOrCreate, Directory,',
    ),
    case(
        "etcd-endpoint",
        spec("  etcd: {external: {endpoints: [10.0.0.1:2379]}}\n"),
        "7:33: spec.etcd.external.endpoints[0]: must be a URL such as https://10.0.0.31:2379",
    ),
    case(
        "etcd-cert-alone",
        spec('  etcd: {external: {endpoints: ["https://e:2379"], caFile: /c, certFile: /a}}\n'),
        "7:74: spec.etcd.external.certFile: needs keyFile beside it",
    ),
    case(
        "etcd-key-alone",
        spec('  etcd: {external: {endpoints: ["https://e:2379"], keyFile: /a}}\n'),
        "7:61: spec.etcd.external.keyFile: needs certFile beside it",
    ),
    case(
        "etcd-without-ca",
        spec('  etcd: {external: {endpoints: ["https://e:2379"], certFile: /a, keyFile: /b}}\n'),
        "7:62: spec.etcd.external.certFile: needs caFile beside it",
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
        "etcd-role-and-external",
        header(
            "  nodes: [{name: a, roles: [control-plane, etcd], addresses: [192.0.2.1]}]\n"
            '  etcd: {external: {endpoints: ["https://e:2379"]}}\n'
        ),
        "6:44: spec.nodes[0].roles[1]: etcd is external (spec.etcd.external): no node can have the",
    ),
    case(
        "image-tag",
        spec('  etcd: {imageTag: "a b"}\n'),
        "7:20: spec.etcd.imageTag: must be an image's tag, such as 3.6.8-0",
    ),
    case(
        "algorithm",
        spec("  certificates: {keyAlgorithm: RSA-1024}\n"),
        "7:32: spec.certificates.keyAlgorithm: must be RSA-2048, RSA-3072, RSA-4096, ECDSA-P256 or",
    ),
    case(
        "algorithm-near",
        spec("  certificates: {keyAlgorithm: ecdsa-p256}\n"),
        "7:32: spec.certificates.keyAlgorithm: must be RSA-2048, RSA-3072, RSA-4096, ECDSA-P256 or",
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
        "7:26: spec.certificates.caKeys: offline goes with authority: offline, which keeps the keys",
    ),
    case(
        "ca-keys-to-hand-out",
        spec("  certificates: {authority: offline, caKeys: offline, distributeCAKeys: true}\n"),
        "7:73: spec.certificates.distributeCAKeys: cannot be true with caKeys: offline, where this site",
    ),
    case(
        "nobody-to-approve",
        spec("  certificates: {authority: offline, caKeys: offline, nodeKeys: node}\n"),
        "7:46: spec.certificates.caKeys: offline leaves nobody here who could approve what",
    ),
    case(
        "override-name",
        spec("  certificates: {overrides: {api-server: {validity: 24h}}}\n"),
        "7:30: spec.certificates.overrides.api-server: is no certificate's name; did you mean",
    ),
    case(
        "override-name-far",
        spec("  certificates: {overrides: {zzz: {validity: 24h}}}\n"),
        "7:30: spec.certificates.overrides.zzz: is no certificate's name; known are ca, etcd-ca,",
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
        "7:29: spec.certificates.directory: must be a directory's path: 'admin.conf' is what files",
        "8:19: spec.etcd.dataDir: must be a directory's path: 'x.yaml' is what files are called",
    ),
    case(
        "directory of static Pods",
        spec("  certificates: {directory: /etc/kubernetes/manifests/pki}\n"),
        "7:29: spec.certificates.directory: must not be in /etc/kubernetes/manifests: the kubelet",
    ),
    case(
        "provider",
        spec("  encryption: {provider: rot13}\n"),
        "7:26: spec.encryption.provider: must be secretbox, aescbc or aesgcm, not 'rot13'",
    ),
    case(
        "no-resources",
        spec("  encryption: {resources: []}\n"),
        "7:27: spec.encryption.resources: must not be empty",
    ),
    case(
        "encryption-twice",
        spec("  encryption: {}\n  apiServer: {extraArgs: [{name: encryption-provider-config, value: /x}]}\n"),
        "8:27: spec.apiServer.extraArgs[0]: replaces the configuration that spec.encryption makes:",
    ),
    case("backups", spec("  backups: {keep: 0}\n"), "7:19: spec.backups.keep: must be at least 1, not '0'"),
    case(
        "backups-many",
        spec("  backups: {keep: 100000}\n"),
        "7:19: spec.backups.keep: must be at most 1000, not '100000'",
    ),
    case(
        "port-of-etcd",
        spec("  apiServer: {bindPort: 2379}\n"),
        "7:25: spec.apiServer.bindPort: 2379 is the port of etcd's clients on every control-plane",
    ),
    case(
        "port-of-kubelet",
        nodes("    - {name: a, roles: [control-plane], addresses: [192.0.2.1], bindPort: 10250}\n"),
        "7:75: spec.nodes[0].bindPort: 10250 is the port of the kubelet on this node",
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
        "node-twice",
        more_nodes("    - {name: a, roles: [worker], addresses: [192.0.2.2]}\n"),
        "8:14: spec.nodes[1].name: 'a' is the name of an earlier node already: each needs",
    ),
    case(
        "address-twice",
        more_nodes("    - {name: b, roles: [worker], addresses: [192.0.2.1]}\n"),
        "8:46: spec.nodes[1].addresses[0]: 192.0.2.1 is an address of the node 'a' already",
    ),
    case(
        "address-twice-same-node",
        more_nodes("    - {name: b, roles: [worker], addresses: [192.0.2.2, 192.0.2.2]}\n"),
        "8:57: spec.nodes[1].addresses[1]: 192.0.2.2 is an address of this node already",
    ),
    case(
        "address-v6-forms",
        more_nodes('    - {name: b, roles: [worker], addresses: ["fd00::1", "fd00:0::1"]}\n'),
        "8:57: spec.nodes[1].addresses[1]: fd00::1 is an address of this node already",
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
        "subnet-mapped-and-zoned",
        spec('  networking: {serviceSubnets: ["::ffff:10.96.0.0/112", "fe80::%eth0/112"]}\n'),
        "7:33: spec.networking.serviceSubnets[0]: is an IPv4-mapped IPv6 address, which the API",
        "7:57: spec.networking.serviceSubnets[1]: must not have a zone ('%'): certificates cannot",
    ),
    case(
        "address-in-services",
        more_nodes("    - {name: b, roles: [worker], addresses: [10.96.0.7]}\n"),
        "8:46: spec.nodes[1].addresses[0]: is inside the service subnet 10.96.0.0/12, whose",
    ),
    case(
        "no-control-plane",
        nodes("    - {name: b, roles: [worker], addresses: [192.0.2.1]}\n"),
        "7:5: spec.nodes: no node has the role control-plane: give it to at least one",
    ),
    case(
        "node-ip",
        more_nodes(
            "    - {name: b, roles: [worker], addresses: [192.0.2.2], kubeletExtraArgs: "
            "[{name: node-ip, value: eth0}]}\n"
        ),
        "8:100: spec.nodes[1].kubeletExtraArgs[0].value: must be an IP address, not 'eth0'",
    ),
    case(
        "user-name",
        users('    - {name: "-x"}\n'),
        "8:14: spec.users[0].name: must begin with a letter or digit; then letters, digits and . _ :",
    ),
    case(
        "user-long",
        users("    - {name: uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu}\n"),
        "8:14: spec.users[0].name: is 65 characters long: a name in a certificate may have 64",
    ),
    case("user-empty", users('    - {name: ""}\n'), "8:14: spec.users[0].name: must not be empty"),
    case(
        "user-twice",
        users("    - {name: ann}\n    - {name: ann}\n"),
        "9:14: spec.users[1].name: 'ann' is the name of an earlier user: their files would",
    ),
    case(
        "user-case",
        users("    - {name: ann}\n    - {name: Ann}\n"),
        "9:14: spec.users[1].name: 'Ann' differs only in case from 'ann', the name of an earlier user:",
    ),
    case(
        "user-system",
        users('    - {name: "system:admin"}\n'),
        "8:14: spec.users[0].name: 'system:admin' is an identity of Kubernetes itself: such a",
    ),
    case(
        "user-masters",
        users('    - {name: ann, groups: ["system:masters"]}\n'),
        "8:28: spec.users[0].groups[0]: 'system:masters' is a group of Kubernetes itself: such a",
    ),
    case(
        "user-reserved",
        users('    - {name: kubernetes-admin, groups: ["kubeadm:cluster-admins"]}\n'),
        "8:14: spec.users[0].name: 'kubernetes-admin' is an identity of Kubernetes itself: such a",
        "8:41: spec.users[0].groups[0]: 'kubeadm:cluster-admins' is a group of Kubernetes itself:",
    ),
    case(
        "user-validity",
        users("    - {name: ann, validity: 90000h}\n"),
        "8:29: spec.users[0].validity: 90000h is longer than the validity of the CA (87600h): no",
    ),
    case(
        "user-namespace",
        users("    - {name: ann, namespace: a.b}\n"),
        "8:30: spec.users[0].namespace: must be a DNS label: at most 63 lower-case letters, digits",
    ),
    case(
        "role-empty",
        users("    - {name: ann, roles: [{namespace: web}]}\n"),
        "8:27: spec.users[0].roles[0]: grants nothing: give exactly one of clusterRole, role and",
    ),
    case(
        "role-double",
        users("    - {name: ann, roles: [{namespace: web, role: x, clusterRole: y}]}\n"),
        "8:27: spec.users[0].roles[0]: has clusterRole and role: give exactly one of clusterRole,",
    ),
    case(
        "role-name",
        users("    - {name: ann, clusterRoles: [a/b]}\n"),
        "8:34: spec.users[0].clusterRoles[0]: must be the name of a role, without '/' and '%'",
    ),
    case(
        "role-without-namespace",
        users("    - {name: ann, roles: [{clusterRole: edit}]}\n"),
        "8:27: spec.users[0].roles[0].namespace: is missing",
    ),
    case(
        "rule-url-in-namespace",
        users(
            "    - {name: ann, roles: [{namespace: web, rules: [{nonResourceURLs: [/m], verbs: [get]}]}]}\n"
        ),
        "8:70: spec.users[0].roles[0].rules[0].nonResourceURLs: URLs are in no namespace: give them",
    ),
    case(
        "rule-both",
        users(
            "    - {name: ann, rules: [{nonResourceURLs: [/m], resources: [pods], "
            'apiGroups: [""], verbs: [get]}]}\n'
        ),
        "8:27: spec.users[0].rules[0]: has both resources and nonResourceURLs: make two rules of it",
    ),
    case(
        "rule-without-groups",
        users("    - {name: ann, rules: [{resources: [pods], verbs: [get]}]}\n"),
        '8:27: spec.users[0].rules[0].apiGroups: is missing: write [""] for the core group',
    ),
    case(
        "rule-without-resources",
        users('    - {name: ann, rules: [{apiGroups: [""], verbs: [get]}]}\n'),
        "8:27: spec.users[0].rules[0].resources: is missing: name resources, or give nonResourceURLs",
    ),
    case(
        "rule-without-verbs",
        users('    - {name: ann, rules: [{apiGroups: [""], resources: [pods], verbs: []}]}\n'),
        "8:71: spec.users[0].rules[0].verbs: must not be empty",
    ),
    case(
        "everything-at-once",
        (
            "apiVersion: pkigen/v1\nkind: Cluster\nmetadata: {nme: t}\nspec:\n"
            "  kubernetesVersion: latest\n"
            "  networking: {serviceSubnets: [10.96.0.0/12, x], podSubnets: [10.96.0.0/16]}\n"
            "  nodes:\n    - {name: a, roles: [control-plane], addresses: [banana]}\n"
            "    - {name: b, roles: [worker], addresses: [192.0.2.2]}\n    - 7\n"
            "    - {name: b, roles: [worker], addresses: [192.0.2.2]}\n"
            "    - {roles: [worker], addresses: [192.0.2.2]}\n  users:\n"
            '    - {name: "system:x", validity: 1000000h}\n'
        ),
        "3:11: metadata.name: is missing",
        "3:12: metadata.nme: is no key here; did you mean name?",
        "5:22: spec.kubernetesVersion: must be an exact version such as v1.36.2",
        "6:47: spec.networking.serviceSubnets[1]: must be a subnet such as 10.96.0.0/12, not 'x'",
        "6:64: spec.networking.podSubnets[0]: overlaps the service subnet 10.96.0.0/12: pods and",
        "8:53: spec.nodes[0].addresses[0]: must be an IP address, not 'banana'",
        "10:7: spec.nodes[2]: must be a mapping of keys to values, not '7'",
        "11:14: spec.nodes[3].name: 'b' is the name of an earlier node already: each needs",
        "11:46: spec.nodes[3].addresses[0]: 192.0.2.2 is an address of the node 'b' already",
        "12:7: spec.nodes[4].name: is missing",
        "12:37: spec.nodes[4].addresses[0]: 192.0.2.2 is an address of the node 'b' already",
        "14:14: spec.users[0].name: 'system:x' is an identity of Kubernetes itself: such a",
        "14:36: spec.users[0].validity: 1000000h is longer than the validity of the CA (87600h): no",
    ),
    case(
        "netmask",
        spec(
            '  networking: {serviceSubnets: [10.96.0.0/255.240.0.0, 10.96.0.0, "fd00::", '
            "x, 10.0.0.0/, 10.96.0.0/012]}\n"
        ),
        "7:33: spec.networking.serviceSubnets[0]: must have the length of its prefix after the '/':",
        "7:56: spec.networking.serviceSubnets[1]: needs the length of its prefix, such as",
        "7:67: spec.networking.serviceSubnets[2]: needs the length of its prefix, such as fd00::/64",
        "7:77: spec.networking.serviceSubnets[3]: must be a subnet such as 10.96.0.0/12, not 'x'",
        "7:80: spec.networking.serviceSubnets[4]: must be a subnet such as 10.96.0.0/12, not",
        "7:91: spec.networking.serviceSubnets[5]: must have the length of its prefix after the '/':",
    ),
]

WARNED = [
    case(
        "endpoint-v6-port",
        spec("  controlPlaneEndpoint: fd00::1:6443\n"),
        "7:25: spec.controlPlaneEndpoint: is an IPv6 address without a port: if 6443 is meant as",
    ),
    case(
        "family-without-pods",
        spec('  networking: {serviceSubnets: [10.96.0.0/12, "fd00::/112"], podSubnets: [10.244.0.0/16]}\n'),
        "7:47: spec.networking.serviceSubnets[1]: no pod subnet is IPv6: services of this family",
    ),
    case(
        "subnets for nobody",
        spec(
            "  networking: {serviceSubnets: [224.0.0.0/16], podSubnets: [169.254.0.0/16]}\n"
            "  controllerManager: {extraArgs: [{name: allocate-node-cidrs, value: 'false'}]}\n"
        ),
        "7:33: spec.networking.serviceSubnets[0]: is multicast: nothing there could be reached",
        "7:61: spec.networking.podSubnets[0]: is link-local: nothing there could be reached",
    ),
    case(
        "an address that no API server publishes",
        swapped("192.0.2.1", "127.0.0.1"),
        "6:57: spec.nodes[0].addresses[0]: is loopback: the API server cannot publish it as its own",
    ),
    case(
        "the same variable twice",
        spec("  etcd: {extraEnvs: [{name: A, value: b}, {name: B}, {name: A}]}\n"),
        "7:61: spec.etcd.extraEnvs[2].name: 'A' is given before already: this one counts",
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
    case(
        "ca-keys-offline",
        spec("  certificates: {authority: offline, caKeys: offline}\n"),
        "7:46: spec.certificates.caKeys: without CA keys the controller manager signs nothing: kubelets",
    ),
    case(
        "ca-keys-not-handed-out",
        spec("  certificates: {distributeCAKeys: false}\n"),
        "7:36: spec.certificates.distributeCAKeys: without CA keys the controller manager signs nothing:",
    ),
    case(
        "override-no-effect",
        spec("  certificates: {overrides: {kube-proxy.conf: {validity: 24h}}}\n"),
        '7:30: spec.certificates.overrides["kube-proxy.conf"]: has no effect: kube-proxy runs in the',
    ),
    case(
        "role-twice",
        more_nodes(
            "    - {name: b, roles: [worker, worker], addresses: [192.0.2.2], certSANs: "
            "[x, x], bindPort: 1}\n"
        ),
        "8:33: spec.nodes[1].roles[1]: worker is given twice: remove it",
        "8:80: spec.nodes[1].certSANs[1]: 'x' is given twice: remove it",
        "8:84: spec.nodes[1].bindPort: has no effect: only control-plane nodes run an API server",
    ),
    case(
        "hostname-override",
        more_nodes(
            "    - {name: b, roles: [worker], addresses: [192.0.2.2], kubeletExtraArgs: "
            "[{name: hostname-override, value: c}]}\n"
        ),
        "8:110: spec.nodes[1].kubeletExtraArgs[0].value: the kubelet would register as 'c', but its",
    ),
    case(
        "ha-without-endpoint-even",
        more_nodes("    - {name: b, roles: [control-plane], addresses: [192.0.2.2]}\n"),
        "5:3: spec.controlPlaneEndpoint: is missing with 2 control-plane nodes: kubeconfigs name a",
        "7:5: spec.nodes: give 2 etcd members, an even number: they survive no more failures than 1",
    ),
    case(
        "wrong-family",
        more_nodes('    - {name: b, roles: [control-plane, etcd], addresses: ["fd00::2"]}\n'),
        "5:3: spec.controlPlaneEndpoint: is missing with 2 control-plane nodes: kubeconfigs name a",
        "8:59: spec.nodes[1].addresses[0]: is of another family than the first service subnet",
    ),
    case(
        "in-pods",
        spec("  networking: {podSubnets: [192.0.2.0/24]}\n"),
        "6:57: spec.nodes[0].addresses[0]: is inside the pod subnet 192.0.2.0/24: a pod may get the",
    ),
    case(
        "user-override-idle",
        users("    - {name: ann, groups: [x, x], allowSystemIdentity: why not}\n"),
        "8:31: spec.users[0].groups[1]: 'x' is given twice: remove it",
        "8:56: spec.users[0].allowSystemIdentity: is not needed: the name and the groups are",
    ),
]


@pytest.mark.parametrize(("source", "expected"), BAD_VALUES)
def test_value_problems(source: str | bytes, expected: tuple[str, ...]) -> None:
    assert_starts(problems(source), expected)


@pytest.mark.parametrize(("source", "expected"), WARNED)
def test_warnings(source: str | bytes, expected: tuple[str, ...]) -> None:
    assert_starts(warnings(source), expected)


HARMLESS = {
    "controller manager does not allocate": spec(
        "  networking: {podSubnets: [10.244.0.0/26]}\n"
        '  controllerManager: {extraArgs: [{name: allocate-node-cidrs, value: "false"}]}\n'
    ),
    "smaller nodes": spec(
        "  networking: {podSubnets: [10.244.0.0/25]}\n"
        '  controllerManager: {extraArgs: [{name: node-cidr-mask-size-ipv4, value: "26"}]}\n'
    ),
    "the last flag counts": spec(
        "  networking: {podSubnets: [10.244.0.0/25]}\n  controllerManager:\n    extraArgs:\n"
        '    - {name: node-cidr-mask-size, value: "24"}\n    - {name: node-cidr-mask-size, value: "26"}\n'
    ),
    "another family without reconciler": nodes(
        '    - {name: a, roles: [control-plane], addresses: ["2001:db8::1"]}\n'
        "  apiServer: {extraArgs: [{name: endpoint-reconciler-type, value: none}]}\n"
    ),
    "IPv6 endpoint without a port": spec('  controlPlaneEndpoint: "2001:db8::a"\n'),
    "own port": nodes("    - {name: a, roles: [control-plane], addresses: [192.0.2.1], bindPort: 7443}\n"),
    "etcd's port where etcd is external": spec(
        '  apiServer: {bindPort: 2379}\n  etcd: {external: {endpoints: ["https://192.0.2.9:2379"]}}\n'
    ),
    "short lives shrink the default window": spec(
        "  certificates: {validity: 24h, overrides: {apiserver: {validity: 1h}}}\n"
    ),
    "a short CA whose only leaf is shorter": spec(
        "  certificates: {overrides: {front-proxy-ca: {validity: 48h}, "
        "front-proxy-client: {validity: 24h}}}\n"
    ),
    "a reason was given": users(
        '    - {name: "system:x", groups: ["system:masters"], allowSystemIdentity: why}\n'
    ),
    "volumes of several components": spec(
        "  apiServer: {extraVolumes: [{name: x, hostPath: /a, mountPath: /a}]}\n"
        "  scheduler: {extraVolumes: [{name: x, hostPath: /a, mountPath: /a}]}\n"
    ),
    "the same SAN for the API server twice": spec("  apiServer: {certSANs: [a.b, A.B]}\n"),
    "keys born on the nodes": spec("  certificates: {authority: offline, nodeKeys: node}\n"),
    "intermediates under an offline root": spec("  certificates: {authority: offline, caKeys: site}\n"),
    "no CA keys, and no kubelet that needs them": spec(
        "  certificates: {authority: offline, caKeys: offline}\n  kubelet: {rotateCertificates: false}\n"
    ),
    "the node's own name": nodes(
        "    - name: a\n      roles: [control-plane]\n      addresses: [192.0.2.1]\n"
        "      kubeletExtraArgs: [{name: hostname-override, value: a}, {name: node-ip, value: 192.0.2.1}]\n"
    ),
}


@pytest.mark.parametrize("source", HARMLESS.values(), ids=HARMLESS)
def test_nothing_is_said_about(source: str) -> None:
    assert warnings(source) == []


VOID = {
    "an endpoint that may be there": more_nodes(
        "    - {name: b, roles: [worker], addresses: [192.0.2.2]}\n  controlPlaneEndpoint: a_b\n"
    ),
    "a control-plane node that may be there": nodes("    - {name: b, roles: [cp], addresses: [192.0.2.2]}\n"),
    "the validity of a CA": spec(
        "  certificates: {caValidity: 20y, overrides: {apiserver: {validity: 100000h}}}\n"
    ),
    "CA keys of an authority that may be offline": spec("  certificates: {caKeys: offline, authority: 7}\n"),
    "a port of etcd that may be external": spec("  apiServer: {bindPort: 2379}\n  etcd: {external: 7}\n"),
    "the mask of nodes": spec(
        "  networking: {podSubnets: [10.0.0.0/26]}\n  controllerManager: {extraArgs: [{name: x, value: 7}]}\n"
    ),
    "a service subnet by default": spec("  networking: {serviceSubnets: 7, podSubnets: [10.96.0.0/16]}\n"),
}


@pytest.mark.parametrize("source", VOID.values(), ids=VOID)
def test_nothing_is_concluded_from_what_could_not_be_read(source: str) -> None:
    assert len(problems(source)) == 1
