"""No value of a spec adds a line, a key or an argument, whatever it holds (validation is bypassed here)."""

from __future__ import annotations

import re
from functools import cache
from ipaddress import ip_address
from typing import Any

import pytest
import yaml
from hypothesis import given, settings

from pkigen.desired.generations import CA, Rotations
from pkigen.desired.inventory import EtcdMembership, Inventory
from pkigen.desired.items import DesiredFile, DesiredKubeconfig, FileKind
from pkigen.desired.rendering import Renderer, file_syntax
from pkigen.desired.rendering.quoting import (
    argument_word,
    environment_argument,
    unit_word,
    yaml_block_scalar,
    yaml_scalar,
)
from pkigen.errors import TemplateError
from pkigen.spec.certificates import Certificates
from pkigen.spec.components import APIServer, EnvironmentVariable, Etcd, ExtraArg, HostPathMount, Kubelet
from pkigen.spec.model import ClusterSpec, Encryption, EncryptionProvider, Networking, Node, Runtime
from pkigen.spec.users import NamespacedRole, PolicyRule, User, UserGroup
from pkigen.spec.values import person_stem
from tests.desired.rendering.clusters import ENCRYPTION_KEY, cluster
from tests.desired.rendering.hostile_strings import every, texts

STRINGS = every(1000)
LOADERS = [yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)]


def _spec(value: str, *, runtime: Runtime) -> ClusterSpec:
    """One cluster whose every text is the value."""
    base = cluster().spec
    extra = (ExtraArg.model_construct(name="extra", value=value),)
    variable = EnvironmentVariable.model_construct(name=value, value=f"x{value}")
    volume = HostPathMount.model_construct(
        name=value, host_path=value, mount_path=value, path_type=value, read_only=True
    )
    rule = PolicyRule.model_construct(
        api_groups=(value,),
        resources=(value,),
        verbs=(value,),
        resource_names=(value,),
        non_resource_urls=(value,),
    )
    node = Node.model_construct(
        name=value,
        roles=base.nodes[0].roles,
        addresses=(ip_address("10.0.0.11"),),
        cert_sans=(),
        bind_port=None,
        kubelet_extra_args=(),
    )
    user = User.model_construct(
        name=value,
        groups=(),
        namespace=value,
        cluster_roles=(value,),
        roles=(
            NamespacedRole.model_construct(namespace=value, cluster_role=value, role=value, rules=(rule,)),
        ),
        rules=(rule,),
    )
    group = UserGroup.model_construct(
        name=value, cluster_roles=user.cluster_roles, roles=user.roles, rules=user.rules
    )
    networking = Networking.model_construct(
        service_subnets=base.networking.service_subnets,
        pod_subnets=(),
        dns_domain=value,
    )
    spec = base.model_copy(
        update={
            "runtime": runtime,
            "image_repository": value,
            "networking": networking,
            "api_server": APIServer.model_construct(
                extra_args=extra,
                extra_volumes=(volume,),
                extra_envs=(variable,),
                cert_sans=(),
                bind_port=6443,
            ),
            "etcd": Etcd.model_construct(
                data_dir=value, image_tag=None, extra_args=extra, external=None, server_cert_sans=()
            ),
            "kubelet": Kubelet.model_construct(extra_args=extra, rotate_certificates=True),
            "certificates": Certificates.model_construct(directory=value),
            "encryption": Encryption.model_construct(
                provider=EncryptionProvider.SECRETBOX, resources=(value,)
            ),
            "nodes": (node,),
            "users": (user,),
            "groups": (group,),
        }
    )
    metadata = cluster().metadata.model_copy(update={"name": value})
    return ClusterSpec.model_construct(metadata=metadata, spec=spec)


@cache
def _reference(kind: FileKind) -> dict[str, Any]:
    container: dict[str, Any] = yaml.safe_load(_harmless(kind))["spec"]["containers"][0]
    return container


def _file(kind: FileKind, value: str) -> DesiredFile:
    group = person_stem(value) if kind is FileKind.ADDON_GROUP else None
    return DesiredFile(path="x", node=value, mode=0o644, kind=kind, user=person_stem(value), group=group)


_YAML_KINDS = (
    FileKind.ETCD,
    FileKind.KUBE_APISERVER,
    FileKind.KUBE_CONTROLLER_MANAGER,
    FileKind.KUBE_SCHEDULER,
    FileKind.KUBELET_CONFIGURATION,
    FileKind.KUBE_PROXY_CONFIGURATION,
    FileKind.ENCRYPTION_CONFIGURATION,
    FileKind.ADDON_USER,
    FileKind.ADDON_GROUP,
)
_SYSTEMD_KINDS = (
    FileKind.ETCD_UNIT,
    FileKind.ETCD_FLAGS,
    FileKind.KUBE_APISERVER_FLAGS,
    FileKind.KUBELET_FLAGS,
)


def _leaves(value: Any, found: list[str]) -> Any:
    """The shape of a document, and its texts."""
    if isinstance(value, dict):
        return {key: _leaves(item, found) for key, item in value.items()}
    if isinstance(value, list):
        return [_leaves(item, found) for item in value]
    if isinstance(value, str):
        found.append(value)
        return ""
    return value


def _shape(text: str, loader: Any) -> tuple[Any, list[str]]:
    found: list[str] = []
    return _leaves(list(yaml.load_all(text, Loader=loader)), found), found


@cache
def _harmless(kind: FileKind, runtime: Runtime = Runtime.STATIC_PODS) -> str:
    return _render(kind, "harmless", runtime)


def _render(kind: FileKind, value: str, runtime: Runtime = Runtime.STATIC_PODS) -> str:
    inventory = Inventory(
        cluster=_spec(value, runtime=runtime), items=(), rotations=Rotations(), etcd=EtcdMembership()
    )
    return Renderer(inventory).file(_file(kind, value), secrets=(ENCRYPTION_KEY,)).decode()


def _is_refused(kind: FileKind, value: str) -> bool:
    """Whether a value cannot be part of an argument of the API server, whose template has one a line."""
    if kind is not FileKind.KUBE_APISERVER or "\n" not in value:
        return False
    with pytest.raises(TemplateError, match="a line feed, which would begin another argument"):
        _render(kind, value)
    return True


def _check_yaml(kind: FileKind, value: str, loader: Any = LOADERS[-1]) -> None:
    if _is_refused(kind, value):
        return
    text = _render(kind, value)
    expected_shape, expected_texts = _shape(_harmless(kind), loader)
    shape, found = _shape(text, loader)
    assert shape == expected_shape
    # Objects are called after a person's stem. Volumes stand by name, so the order may differ.
    own = re.compile("(pkigen:(?:group:)?)harmless")
    named = [own.sub(lambda found: f"{found[1]}{person_stem(value)}", text) for text in expected_texts]
    assert sorted(found) == sorted(text.replace("harmless", value) for text in named)
    assert len(text.splitlines()) == text.count("\n") == _harmless(kind).count("\n")


@pytest.mark.parametrize("kind", _YAML_KINDS)
def test_yaml_files_keep_their_shape(kind: FileKind) -> None:
    for value in every(0):
        _check_yaml(kind, value)


@pytest.mark.parametrize("value", STRINGS[::7], ids=ascii)
def test_the_command_of_a_manifest(value: str) -> None:
    for kind in (FileKind.KUBE_APISERVER, FileKind.ETCD):
        if _is_refused(kind, value):
            continue
        pod = yaml.load(_render(kind, value), Loader=LOADERS[-1])  # noqa: S506 -- a safe loader
        container = pod["spec"]["containers"][0]
        assert container["command"][-1] == f"--extra={value}"
        reference = _reference(kind)
        assert set(container) == set(reference)
        assert container["command"] == [
            argument.replace("harmless", value) for argument in reference["command"]
        ]


def test_kubeconfigs() -> None:
    one = Renderer(Inventory(cluster=cluster(), items=(), rotations=Rotations(), etcd=EtcdMembership()))
    for value in STRINGS:
        item = DesiredKubeconfig(
            id="x",
            path="x",
            node=None,
            server=value,
            cluster=value,
            user=value,
            trust=CA.KUBERNETES,
            certificate="x",
            namespace=value,
        )
        text = one.kubeconfig(item, trust_bundle=b"a", certificate=b"b", key=b"c").decode()
        assert len(text.splitlines()) == 19
        assert yaml.load(text, Loader=LOADERS[-1]) == {  # noqa: S506 -- a safe loader
            "apiVersion": "v1",
            "clusters": [{"cluster": {"certificate-authority-data": "YQ==", "server": value}, "name": value}],
            "contexts": [
                {
                    "context": {"cluster": value, "namespace": value, "user": value},
                    "name": f"{value}@{value}",
                }
            ],
            "current-context": f"{value}@{value}",
            "kind": "Config",
            "users": [
                {"name": value, "user": {"client-certificate-data": "Yg==", "client-key-data": "Yw=="}}
            ],
        }


@pytest.mark.parametrize("kind", _SYSTEMD_KINDS)
def test_systemd_files_hold_the_value_or_refuse_it(kind: FileKind) -> None:
    refused = 0
    reference = _harmless(kind, Runtime.SYSTEMD)
    for value in STRINGS[::3]:
        if not value.isprintable() or (kind is FileKind.ETCD_UNIT and "$" in value):
            with pytest.raises(TemplateError, match="a value contains"):
                _render(kind, value, Runtime.SYSTEMD)
            refused += 1
            continue
        text = _render(kind, value, Runtime.SYSTEMD)
        assert len(text.splitlines()) == len(reference.splitlines())
        if kind is FileKind.ETCD_UNIT:
            keys = [setting[:2] for setting in file_syntax.unit_settings(text)]
            assert keys == [setting[:2] for setting in file_syntax.unit_settings(reference)]
            assert f"RequiresMountsFor={unit_word(value)}\n" in text
        else:
            ((name, flags),) = file_syntax.environment(text).items()
            ((same_name, same_flags),) = file_syntax.environment(reference).items()
            assert name == same_name
            assert flags == [flag.replace("harmless", value) for flag in same_flags]
    assert refused > 20


@settings(deadline=None)  # other tests run beside it
@given(texts())
def test_any_text_is_one_yaml_scalar_everywhere(value: str) -> None:
    for loader in LOADERS:
        plain, block = yaml_scalar(value), yaml_block_scalar(value)
        assert yaml.load(f"a: {plain}\n", Loader=loader) == {"a": value}  # noqa: S506 -- a safe loader
        assert yaml.load(f"a: {block}\n", Loader=loader) == {"a": value}  # noqa: S506 -- a safe loader
        assert yaml.load(f"- {block}\n", Loader=loader) == [value]  # noqa: S506 -- a safe loader
        flow = f"{{a: [{plain}, {plain}], b: {plain}}}"
        assert yaml.load(flow, Loader=loader) == {"a": [value, value], "b": value}  # noqa: S506 -- a safe loader
        if 0 < len(value) < 500:  # YAML wants a key within 1,024 characters
            assert yaml.load(f"{plain}: 1\n", Loader=loader) == {value: 1}  # noqa: S506 -- a safe loader
        assert plain.isprintable()
        assert block.isprintable()


@settings(deadline=None)  # other tests run beside it
@given(texts())
def test_any_printable_text_is_one_argument(value: str) -> None:
    if value.isprintable():
        line = f'F="--a={environment_argument(value)} {environment_argument("--b=" + value)}"\n'
        assert file_syntax.environment(line) == {"F": ["--a=" + value, "--b=" + value]}
    else:
        with pytest.raises(ValueError, match="cannot have"):
            argument_word(value)


@pytest.mark.parametrize("value", [None, 1.5, ["a"], {"a": "b"}, object()])
def test_what_is_no_scalar_is_refused(value: object) -> None:
    for quote in (yaml_scalar, unit_word, environment_argument):
        with pytest.raises(TypeError, match="not a scalar"):
            quote(value)


@pytest.mark.parametrize("quote", [yaml_scalar, unit_word, environment_argument])
def test_half_a_character_is_refused(quote: Any) -> None:
    with pytest.raises(ValueError, match="a lone surrogate"):
        quote("a\ud800")


def test_scalars_that_are_no_text() -> None:
    assert [yaml_scalar(value) for value in (True, False, 7, ip_address("10.0.0.1"), ip_address("::1"))] == [
        "true",
        "false",
        "7",
        "10.0.0.1",
        '"::1"',
    ]
    assert unit_word(5) == "5"


def test_what_was_quoted_is_not_quoted_again() -> None:
    for quote in (yaml_scalar, yaml_block_scalar, unit_word, environment_argument):
        assert quote(quote("a b")) == quote("a b")
        assert quote(quote("a b") + "") != quote("a b")
