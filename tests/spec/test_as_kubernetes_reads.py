"""What Kubernetes and kubeadm read is read, with the value that they give it; the rest is refused."""

from __future__ import annotations

import pytest

from pkigen.desired.command_lines import CommandLines
from pkigen.desired.inventory import derive
from pkigen.desired.readers import ComponentName
from pkigen.spec.addresses import parse_san
from pkigen.spec.user_rules import is_reserved_group, is_reserved_user
from pkigen.spec.values import (
    parse_directory,
    parse_flag,
    parse_host_path,
    parse_image_repository,
    parse_image_tag,
    parse_mount_path,
    parse_person,
    parse_version,
    person_stem,
)
from tests.spec.sources import cluster, loaded, problems, spec, swapped_kubeadm, warnings

_DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "version", "tag"),
    [
        ("v1.36.2+vmware.1", "v1.36.2+vmware.1", "v1.36.2_vmware.1"),
        ("1.36.2+rke2r1", "v1.36.2+rke2r1", "v1.36.2_rke2r1"),
        ("v1.36.0-rc.1", "v1.36.0-rc.1", "v1.36.0-rc.1"),
        ("v1.36.0-alpha.0.206+abc-1", "v1.36.0-alpha.0.206+abc-1", "v1.36.0-alpha.0.206_abc-1"),
        ("v1.36.2-eks-1-29-5", "v1.36.2-eks-1-29-5", "v1.36.2-eks-1-29-5"),
        ("v1.36.2-0", "v1.36.2-0", "v1.36.2-0"),
        ("v1.36.2-01a+01", "v1.36.2-01a+01", "v1.36.2-01a_01"),
    ],
)
def test_versions(text: str, version: str, tag: str) -> None:
    read = parse_version(text)
    assert (str(read), read.image_tag) == (version, tag)


@pytest.mark.parametrize(
    "text",
    ["v1.36.2-", "v1.36.2+", "v1.36.2_x", "v1.36.2foo", "v1.36.2-rc.01", "v1.36.2-rc..1", "v1.36.2+a+b",
     "v1.36.2-rc.1+b_c", "v1.36.2.1", "v1.36", "vv1.36.2", "V1.36.2", "v1.36.2+é", f"v1.36.2+{'a' * 125}"],
)  # fmt: skip
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be an exact version|is 133 characters long"):
        parse_version(text)


def test_the_version_is_the_tag_of_the_images() -> None:
    cluster_spec = loaded(swapped_kubeadm("v1.36.2", "ci/v1.36.2-alpha.1+build.7")).spec
    assert str(cluster_spec.spec.kubernetes_version) == "v1.36.2-alpha.1+build.7"
    assert cluster_spec.spec.image_repository == "gcr.io/k8s-staging-ci-images"
    assert cluster_spec.spec.etcd.image_repository == "registry.k8s.io"
    assert (
        loaded(swapped_kubeadm("v1.36.2", "release/v1.36.2")).spec.spec.image_repository == "registry.k8s.io"
    )
    [told] = problems(swapped_kubeadm("v1.36.2", "ci/latest"))
    assert "'ci/latest' is a label" in told


def test_a_repository_of_ones_own_is_kept_for_builds_of_the_ci() -> None:
    own = loaded(
        cluster("imageRepository: registry.example.com\n").replace("v1.36.2", "ci/v1.36.2")
    ).spec.spec
    assert (own.image_repository, own.etcd.image_repository) == ("registry.example.com", None)


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/etc/kubernetes/pki/", "/etc/kubernetes/pki"),
        ("//etc//kubernetes/./pki//", "/etc/kubernetes/pki"),
        ("/srv", "/srv"),
    ],
)
def test_slashes_at_the_end_and_twice_mean_nothing(given: str, path: str) -> None:
    assert parse_directory(given) == parse_host_path(given) == parse_mount_path(given) == path


@pytest.mark.parametrize(
    "path", ["etc", "", "/etc/../pki", "/..", "/a\nb", "/a\0b", "/a\u202eb", f"/{'ä' * 128}"]
)
def test_what_is_no_path_of_a_volume(path: str) -> None:
    for read in (parse_host_path, parse_mount_path):
        with pytest.raises(ValueError, match=r"must be an absolute path|printable|has a name of"):
            read(path)


def test_paths_of_volumes_may_have_spaces() -> None:
    assert parse_host_path("/data/audit logs/ä/") == "/data/audit logs/ä"
    assert parse_host_path("/") == "/"
    for path in ("/", "/a:b"):
        with pytest.raises(ValueError, match="below /"):
            parse_mount_path(path)
    with pytest.raises(ValueError, match="letters, digits"):
        parse_directory("/data/my pki")


def test_images_may_have_a_digest() -> None:
    for tag in ("3.6.8-0", f"v3.5.21@sha256:{_DIGEST}", f"v3@sha512:{_DIGEST * 2}"):
        assert parse_image_tag(tag) == tag
    for tag in (
        f"@sha256:{_DIGEST}",
        f"v3@sha256:{_DIGEST[1:]}",
        f"v3@sha256:{_DIGEST.upper()}",
        "v3@md5:00",
        "v3@",
    ):
        with pytest.raises(ValueError, match="must be an image's tag"):
            parse_image_tag(tag)
    with pytest.raises(ValueError, match="must not end with '/'"):
        parse_image_repository("registry.example.com/k8s/")


def test_a_flag_is_the_same_with_either_spelling() -> None:
    assert parse_flag("audit_log_path") == "audit-log-path"
    for name in ("--v", "_v", "Audit", "a b", ""):
        with pytest.raises(ValueError, match="without dashes in front"):
            parse_flag(name)
    text = cluster(
        "apiServer: {extraArgs: [{name: secure_port, value: '7443'}, {name: etcd_servers, value: x}]}\n"
    )
    inventory = derive(loaded(text).spec)
    made = CommandLines(inventory).of(ComponentName.API_SERVER, inventory.cluster.control_plane[0]).flags
    assert [flag.value for flag in made if flag.name == "secure-port"] == ["7443"]
    assert [flag.value for flag in made if flag.name == "etcd-servers"] == ["x"]
    assert not [flag for flag in made if "_" in flag.name]


def test_a_workers_address_is_found_with_either_spelling() -> None:
    text = cluster(
        "---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\nnodeRegistration: {name: w1, "
        'kubeletExtraArgs: [{name: node_ip, value: "192.0.2.7"}, '
        "{name: container_runtime_endpoint, value: u}], "
        "criSocket: unix:///x}\n"
    )
    worker = loaded(text).spec.spec.nodes[1]
    assert [str(address) for address in worker.addresses] == ["192.0.2.7"]
    assert [(flag.name, flag.value) for flag in worker.kubelet_extra_args][1:] == [
        ("container-runtime-endpoint", "u")
    ]


MERGED = """\
apiVersion: kubeadm.k8s.io/v1beta3
kind: ClusterConfiguration
clusterName: c
kubernetesVersion: v1.36.2
apiServer:
  extraArgs: &common
    feature-gates: "A=true"
    v: "2"
scheduler:
  extraArgs: &mine {v: "5", bind-address: 10.0.0.9}
controllerManager:
  extraArgs:
    SOURCE
---
apiVersion: kubeadm.k8s.io/v1beta3
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: 10.20.0.11}
nodeRegistration: {name: cp1}
"""


@pytest.mark.parametrize(
    ("source", "merged"),
    [
        ("<<: *common", {"feature-gates": "A=true", "v": "2"}),
        ("<<: *common\n    bind-address: ::1", {"feature-gates": "A=true", "v": "2", "bind-address": "::1"}),
        ("<<: *common\n    v: '9'", {"feature-gates": "A=true", "v": "9"}),
        ("v: '9'\n    <<: *common", {"feature-gates": "A=true", "v": "9"}),
        ("<<: [*common, *mine]", {"feature-gates": "A=true", "v": "2", "bind-address": "10.0.0.9"}),
        ("<<: [*mine, *common]", {"feature-gates": "A=true", "v": "5", "bind-address": "10.0.0.9"}),
        ("<<: {<<: *mine, v: '7'}", {"v": "7", "bind-address": "10.0.0.9"}),
        ("<<: []\n    v: '1'", {"v": "1"}),
    ],
)
def test_merge_keys(source: str, merged: dict[str, str]) -> None:
    """An own key counts more than a merged one, wherever it stands; an earlier mapping more than a later."""
    arguments = loaded(MERGED.replace("SOURCE", source)).spec.spec.controller_manager.extra_args
    assert {argument.name: argument.value for argument in arguments} == merged


def test_what_was_merged_keeps_its_place() -> None:
    text = MERGED.replace("SOURCE", "<<: *common").replace('feature-gates: "A=true"', "feature-gates: 3")
    assert [problem.split(": ")[0] for problem in problems(text)] == ["7:20", "7:20"]


def test_a_quoted_merge_key_is_a_key() -> None:
    [told] = problems(MERGED.replace("SOURCE", "'<<': x"))
    assert told.startswith(
        "13:5: ClusterConfiguration.controllerManager.extraArgs.<<: must be the flag's name"
    )


@pytest.mark.parametrize(
    ("name", "file_name"),
    [
        ("prod", "prod"),
        ("K8s-Prod", "K8s-Prod"),
        ("my_cluster", "my_cluster"),
        ("../../etc", "_.._.._etc"),
        ("/etc", "_etc"),
        (".", "_."),
        ("..", "_.."),
        ("-rf", "_-rf"),
        ("a b; reboot", "a_b__reboot"),
        ("käse", "k_se"),
        (".pkigen", "_.pkigen"),
    ],
)
def test_names_of_clusters(name: str, file_name: str) -> None:
    text = cluster(f'clusterName: "{name}"\n')
    assert (loaded(text).spec.name, loaded(text).spec.file_name) == (name, file_name)


@pytest.mark.parametrize(
    "name", ["Domain Users", "/devs", "CORP\\admins", "oidc:a@example.com", "cn=a,ou=b", "Jürgen"]
)
def test_names_of_identity_providers(name: str) -> None:
    assert parse_person(name) == name
    assert not is_reserved_user(name)
    assert not is_reserved_group(name)


@pytest.mark.parametrize(
    "name",
    ["system:masters", "System:masters", "ｓｙｓｔｅｍ:x", "ѕуѕтем:masters", "system :x",  # noqa: RUF001
     "syst\u0301em:x", "ſystem:m", "system꞉masters"],  # noqa: RUF001
)  # fmt: skip
def test_what_looks_like_kubernetes_own_is_reserved(name: str) -> None:
    assert is_reserved_user(name)
    assert is_reserved_group(name)


@pytest.mark.parametrize(
    "name", ["a\nb", "a\x1b[2J", "a\u200bb", "a\u202eb", "a\u00a0b", " a", "a ", "a" * 65]
)
def test_what_nobody_could_read_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"printable|space|65 characters"):
        parse_person(name)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("dev1", "dev1"),
        ("users.dev-1@example.com", "users.dev-1@example.com"),
        ("CORP\\jane", "CORP=5Cjane"),
        ("Jane Doe", "Jane=20Doe"),
        ("/devs", "=2Fdevs"),
        ("..", "=2E."),
        ("a/../b", "a=2F..=2Fb"),
        ("a,b%", "a=2Cb=25"),
        ("a=2Cb=25", "a=3D2Cb=3D25"),
        ("-x", "=2Dx"),
        ("users:jane", "users=3Ajane"),
        ("Jürgen", "Jürgen"),
    ],
)
def test_what_files_of_people_are_called(name: str, stem: str) -> None:
    assert person_stem(name) == stem


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("https://api.example.com", "api.example.com"),
        ("api.example.com:6443", "api.example.com"),
        ("https://API.example.com:6443/healthz", "api.example.com"),
        ("10.0.0.1:6443", "10.0.0.1"),
        ("110.0.0.9/24", "110.0.0.9"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:6443", "2001:db8::1"),
        ("*.example.com:443", "*.example.com"),
    ],
)
def test_a_san_is_a_name_alone(given: str, meant: str) -> None:
    with pytest.raises(
        ValueError, match=f"without scheme, port and path: write {meant.replace('*', '[*]')}$"
    ):
        parse_san(given)
    assert parse_san(meant) == meant


@pytest.mark.parametrize(
    ("endpoint", "way"),
    [
        ("2001:db8::6443", "write [2001:db8::]:6443"),
        ("2001:db8::1:6443", "write [2001:db8::1]:6443"),
        ("fd00:1:2:3:4:5::6443", "write [fd00:1:2:3:4:5::]:6443"),
        ("2001:db8:0:0:0:0:1:6443", "write the whole address in brackets, and :6443 behind them"),
        ("::6443", "write the whole address in brackets, and :6443 behind them"),
    ],
)
def test_a_port_that_became_part_of_an_address(endpoint: str, way: str) -> None:
    [told] = warnings(spec(f'  controlPlaneEndpoint: "{endpoint}"\n'))
    assert told.endswith(way)


CONFIG_MAP = """\
apiVersion: v1
data:
  ClusterConfiguration: |
    apiVersion: kubeadm.k8s.io/v1beta4
    kind: ClusterConfiguration
kind: ConfigMap
metadata: {name: kubeadm-config, namespace: kube-system}
"""


def test_a_config_map_is_told_as_one() -> None:
    [told] = problems(CONFIG_MAP)
    assert "-o jsonpath='{.data.ClusterConfiguration}'`" in told
    [other] = problems(CONFIG_MAP.replace("ClusterConfiguration: |", "other: |"))
    assert other.endswith("or kubeadm.k8s.io/v1beta4 for a kubeadm configuration, not 'v1'")


def test_rules_run_over_what_can_be_judged() -> None:
    """A node's wrong address hides nothing that is said of roles, names and ports."""
    text = (
        spec("")
        .replace("roles: [control-plane]", "roles: [worker]")
        .replace("addresses: [192.0.2.1]", "addresses: [x]")
    )
    assert [told.split(": ", 2)[2][:20] for told in problems(text)] == [
        "no node has the role",
        "must be an IP addres",
    ]
    # A role that cannot be read may be the one that is missing.
    [told] = problems(text.replace("roles: [worker]", "roles: [master]").replace("[x]", "[192.0.2.1]"))
    assert "master" in told
