"""pydantic's errors in pkigen's voice: unknown keys, wrong types and what YAML makes of scalars."""

from __future__ import annotations

import pytest

from tests.spec.sources import assert_starts, case, header, nodes, problems, spec, swapped, users

REFUSED = [
    case(
        "no-api-version",
        (
            "kind: Cluster\nmetadata: {name: t}\n"
            "spec: {kubernetesVersion: v1.36.2, nodes: [{name: a, roles: "
            "[control-plane], addresses: [192.0.2.1]}]}\n"
        ),
        "1:1: apiVersion: is missing: write apiVersion: pkigen/v1",
    ),
    case(
        "other-api-version",
        "apiVersion: v1\nkind: Pod\nspec: {containers: []}\n",
        "1:13: apiVersion: must be pkigen/v1, or kubeadm.k8s.io/v1beta4 for a kubeadm configuration,",
    ),
    case(
        "newer-api-version",
        swapped("pkigen/v1", "pkigen/v2"),
        "1:13: apiVersion: must be pkigen/v1, not 'pkigen/v2'",
    ),
    case("other-kind", swapped("Cluster", "Klaster"), "2:7: kind: must be Cluster, not 'Klaster'"),
    case(
        "no-metadata-no-spec",
        "apiVersion: pkigen/v1\nkind: Cluster\n",
        "1:1: metadata: is missing",
        "1:1: spec: is missing",
    ),
    case(
        "null-spec",
        "apiVersion: pkigen/v1\nkind: Cluster\nmetadata: {name: t}\nspec:\n",
        "4:6: spec: is empty: give it a value or remove the key",
    ),
    case(
        "unknown-top",
        spec("status: {}\n"),
        "7:1: status: is not a key here; known are apiVersion, kind, metadata, spec",
    ),
    case(
        "norway",
        spec("  kubelet: {rotateCertificates: no}\n"),
        "7:33: spec.kubelet.rotateCertificates: must be true or false: 'no' is text in YAML 1.2",
    ),
    case(
        "yes",
        spec("  kubelet:\n    rotateCertificates: yes\n"),
        "8:25: spec.kubelet.rotateCertificates: must be true or false: 'yes' is text in YAML 1.2",
    ),
    case(
        "quoted-true",
        spec('  kubelet: {rotateCertificates: "true"}\n'),
        "7:33: spec.kubelet.rotateCertificates: must be true or false: remove the quotes",
    ),
    case(
        "null-bool",
        spec("  kubelet: {rotateCertificates: null}\n"),
        "7:33: spec.kubelet.rotateCertificates: null is not a value here: put it in quotes if it is",
    ),
    case(
        "word-bool",
        spec("  kubelet: {rotateCertificates: often}\n"),
        "7:33: spec.kubelet.rotateCertificates: must be true or false, not 'often'",
    ),
    case(
        "list-bool",
        spec("  kubelet: {rotateCertificates: [true]}\n"),
        "7:33: spec.kubelet.rotateCertificates: must be true or false, not a list",
    ),
    case(
        "number-bool",
        spec("  kubelet: {rotateCertificates: 1}\n"),
        "7:33: spec.kubelet.rotateCertificates: must be true or false, not '1'",
    ),
    case(
        "octal-port",
        spec("  apiServer: {bindPort: 06443}\n"),
        "7:25: spec.apiServer.bindPort: must not begin with 0: YAML readers disagree whether 06443",
    ),
    case(
        "octal-names",
        "apiVersion: pkigen/v1\nkind: Cluster\nmetadata: {name: 012}\nspec:\n  kubernetesVersion: v1.36.2\n"
        "  certificates: {validity: 012}\n"
        "  nodes: [{name: 007, roles: [control-plane], addresses: [012]}]\n",
        '3:18: metadata.name: must be text: put it in quotes, "012"',
        "6:28: spec.certificates.validity: must be a duration such as 8760h, in quotes where YAML",
        '7:18: spec.nodes[0].name: must be text: put it in quotes, "007"',
        "7:59: spec.nodes[0].addresses[0]: must be an IP address, in quotes where YAML would read",
    ),
    case(
        "octal-key",
        spec("  012: x\n"),
        "7:3: spec: a key must be text, which '012' is not: put it in quotes",
    ),
    case(
        "number-without-end",
        spec(f"  apiServer: {{bindPort: {'9' * 5000}}}\n"),
        "7:25: spec.apiServer.bindPort: must be a whole number, not '9999999999",
    ),
    case(
        "digits-of-another-script",
        swapped("v1.36.2", "v1.3\u0666.2"),
        "5:22: spec.kubernetesVersion: must be an exact version such as v1.36.2",
    ),
    case(
        "version-with-leading-zeros",
        swapped("v1.36.2", "v01.036.02"),
        "5:22: spec.kubernetesVersion: must be an exact version such as v1.36.2",
    ),
    case(
        "duration-and-port-of-another-script",
        spec("  controlPlaneEndpoint: api:\u0664\u0664\u0663\n  certificates: {validity: \u0668h}\n"),
        "7:25: spec.controlPlaneEndpoint: must be a host or host:port, such as",
        "8:28: spec.certificates.validity: must be a duration in h, m and s such as",
    ),
    case(
        "base-60",
        spec("  apiServer: {bindPort: 10:20}\n"),
        "7:25: spec.apiServer.bindPort: must be a whole number; '10:20' is text, and a number of",
    ),
    case(
        "quoted-port",
        spec('  apiServer: {bindPort: "6443"}\n'),
        "7:25: spec.apiServer.bindPort: must be a number: remove the quotes",
    ),
    case(
        "float-port",
        spec("  apiServer: {bindPort: 6443.0}\n"),
        "7:25: spec.apiServer.bindPort: must be a whole number, not '6443.0'",
    ),
    case(
        "word-port",
        spec("  apiServer: {bindPort: https}\n"),
        "7:25: spec.apiServer.bindPort: must be a whole number, not 'https'",
    ),
    case(
        "list-port",
        spec("  apiServer: {bindPort: [6443]}\n"),
        "7:25: spec.apiServer.bindPort: must be a whole number, not a list",
    ),
    case(
        "version-as-number",
        swapped("v1.36.2", "1.36"),
        "5:22: spec.kubernetesVersion: must be a version such as v1.36.2, in quotes where YAML would",
    ),
    case(
        "name-as-number",
        (
            "apiVersion: pkigen/v1\nkind: Cluster\nmetadata: {name: 7}\nspec:\n"
            "  kubernetesVersion: v1.36.2\n"
            "  nodes: [{name: a, roles: [control-plane], addresses: [192.0.2.1]}]\n"
        ),
        '3:18: metadata.name: must be text: put it in quotes, "7"',
    ),
    case(
        "argument-as-number",
        spec("  scheduler: {extraArgs: [{name: v, value: 5}]}\n"),
        '7:44: spec.scheduler.extraArgs[0].value: must be text: put it in quotes, "5"',
    ),
    case(
        "argument-as-bool",
        spec("  scheduler: {extraArgs: [{name: x, value: true}]}\n"),
        '7:44: spec.scheduler.extraArgs[0].value: must be text: put it in quotes, "true"',
    ),
    case(
        "address-as-number",
        nodes("    - {name: a, roles: [control-plane], addresses: [1]}\n"),
        "7:53: spec.nodes[0].addresses[0]: must be an IP address, in quotes where YAML would read it",
    ),
    case(
        "duration-as-number",
        spec("  certificates: {validity: 8760}\n"),
        "7:28: spec.certificates.validity: needs a unit: write 8760h, 8760m or 8760s",
    ),
    case(
        "typo",
        spec("  networking: {serviceSubnet: [10.0.0.0/16]}\n"),
        "7:16: spec.networking.serviceSubnet: is not a key here; did you mean serviceSubnets?",
    ),
    case(
        "snake-case",
        spec("  image_repository: x\n"),
        "7:3: spec.image_repository: is not a key here; did you mean imageRepository?",
    ),
    case(
        "case",
        nodes("    - {Name: a, roles: [control-plane], addresses: [192.0.2.1]}\n"),
        "7:7: spec.nodes[0].name: is missing",
        "7:8: spec.nodes[0].Name: is not a key here; did you mean name?",
    ),
    case(
        "no-near-key",
        spec("  backups: {zzz: 1}\n"),
        "7:13: spec.backups.zzz: is not a key here; known are keep",
    ),
    case(
        "unknown-in-override",
        spec("  certificates: {overrides: {apiserver: {validty: 24h}}}\n"),
        "7:42: spec.certificates.overrides.apiserver.validty: is not a key here; did you mean validity?",
    ),
    case(
        "odd-key",
        spec('  "a b\\n": 1\n'),
        '7:3: spec["a b\\n"]: is not a key here; known are kubernetesVersion, runtime,',
    ),
    case(
        "long-key",
        spec(
            "  kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
            "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
            "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
            "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk: 1\n"
        ),
        '7:3: spec["kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk..."]: is not a key here;',
    ),
    case(
        "list-for-mapping",
        spec("  networking: []\n"),
        "7:15: spec.networking: must be a mapping of keys to values, not a list",
    ),
    case(
        "text-for-mapping",
        spec("  networking: x\n"),
        "7:15: spec.networking: must be a mapping of keys to values, not 'x'",
    ),
    case("mapping-for-list", spec("  users: {}\n"), "7:10: spec.users: must be a list, not a mapping"),
    case(
        "text-for-list",
        spec("  apiServer: {certSANs: api.internal}\n"),
        "7:25: spec.apiServer.certSANs: must be a list: write [api.internal]",
    ),
    case(
        "lines-for-list",
        spec('  apiServer: {certSANs: "api\\nok: nothing is wrong"}\n'),
        r"7:25: spec.apiServer.certSANs: must be a list: write ['api\nok: nothing is wrong']",
    ),
    case("null-list", spec("  users:\n"), "7:9: spec.users: is empty: give it a value or remove the key"),
    case(
        "mapping-for-text",
        spec("  imageRepository: {}\n"),
        "7:20: spec.imageRepository: must be text, not a mapping",
    ),
    case(
        "list-for-text",
        spec("  imageRepository: []\n"),
        "7:20: spec.imageRepository: must be text, not a list",
    ),
    case(
        "null-text",
        spec("  imageRepository: ~\n"),
        "7:20: spec.imageRepository: ~ is not a value here: put it in quotes if it is text, or remove",
    ),
    case(
        "node-is-text", nodes("    - a\n"), "7:7: spec.nodes[0]: must be a mapping of keys to values, not 'a'"
    ),
    case("nodes-missing", header(""), "5:3: spec.nodes: is missing"),
    case(
        "roles-empty",
        nodes("    - {name: a, roles: [], addresses: [192.0.2.1]}\n"),
        "7:24: spec.nodes[0].roles: must not be empty",
    ),
    case(
        "runtime",
        spec("  runtime: systmd\n"),
        "7:12: spec.runtime: must be static-pods or systemd, not 'systmd'; did you mean systemd?",
    ),
    case(
        "three-subnets",
        spec("  networking: {serviceSubnets: [10.0.0.0/16, fd00::/112, 10.1.0.0/16]}\n"),
        "7:32: spec.networking.serviceSubnets: may have at most 2 items",
    ),
    case(
        "volume-type",
        spec("  scheduler: {extraVolumes: [{name: x, hostPath: /a, mountPath: /b, pathType: Dir}]}\n"),
        '7:79: spec.scheduler.extraVolumes[0].pathType: must be "", DirectoryOrCreate, Directory,',
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
    *(
        case(
            f"algorithm-not-read-yet-{name}",
            spec(f"  certificates: {{keyAlgorithm: {name}}}\n"),
            f"7:32: spec.certificates.keyAlgorithm: {name} cannot be used yet: neither Kubernetes up to "
            "v1.37 nor etcd reads such keys (Go does from 1.27 on); choose RSA-2048, RSA-3072, RSA-4096",
        )
        for name in ("ML-DSA-44", "ML-DSA-65", "ML-DSA-87")
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
    case("backups", spec("  backups: {keep: 0}\n"), "7:19: spec.backups.keep: must be at least 1, not '0'"),
    case(
        "backups-many",
        spec("  backups: {keep: 100000}\n"),
        "7:19: spec.backups.keep: must be at most 1000, not '100000'",
    ),
    case(
        "role-without-namespace",
        users("    - {name: ann, roles: [{clusterRole: edit}]}\n"),
        "8:27: spec.users[0].roles[0].namespace: is missing",
    ),
    case(
        "rule-without-verbs",
        users('    - {name: ann, rules: [{apiGroups: [""], resources: [pods], verbs: []}]}\n'),
        "8:71: spec.users[0].rules[0].verbs: must not be empty",
    ),
]


@pytest.mark.parametrize(("source", "expected"), REFUSED)
def test_problems(source: str | bytes, expected: tuple[str, ...]) -> None:
    assert_starts(problems(source), expected)


def test_long_values_are_not_repeated() -> None:
    text = spec(f"  controlPlaneEndpoint: {'x' * 60_000}!\n  {'k' * 60_000}: 1\n  runtime: {'r' * 60_000}\n")
    assert all(len(problem) < 400 for problem in problems(text))


def test_many_unknown_keys_are_told_without_searching_for_each() -> None:
    found = problems(spec("".join(f"  kubelet{i}: 1\n" for i in range(1_200))))
    assert len(found) == 1_200
    assert found[0].endswith("did you mean kubelet?")
    assert found[-1].endswith("is not a key here")
