"""The restart map against what real components were seen to do with a file that changes under them.

What is observed is a component and one of its settings that names a file. Which file that is, the rendered
flags and configurations say; so nothing here repeats the tables of `desired.certificates` and
`reconcile.restart_map`. A setting that names a file and is not among the observations fails the test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pkigen.desired.generations import SA, Phase, Rotations
from pkigen.desired.inventory import EtcdMembership, Inventory, derive
from pkigen.desired.items import KUBECONFIG_KINDS, DesiredFile, FileKind
from pkigen.desired.readers import ComponentName
from pkigen.desired.rendering import Renderer, read_back
from pkigen.reconcile.file_readers import Effect, own_kubelet_certificate
from pkigen.reconcile.plan import Create, Reissuance, Remove, Renew, Rewrite
from pkigen.reconcile.restart_commands import restart_commands
from pkigen.reconcile.restart_map import Restart, leftovers, restart_map, verifies_kubelets_later
from pkigen.state.reasons import Reason
from tests.samples import CP1, CP2, CP3, ENDPOINT, NOW, W1, node, spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.reconcile.plan import Action

ETCD, API_SERVER = ComponentName.ETCD, ComponentName.API_SERVER
MANAGER, SCHEDULER = ComponentName.CONTROLLER_MANAGER, ComponentName.SCHEDULER
KUBELET, KUBE_PROXY = ComponentName.KUBELET, ComponentName.KUBE_PROXY


@dataclass(frozen=True, slots=True)
class Observation:
    """Whether a running component takes up a file that has changed, and where that was seen.

    `source` is a test of real programs; where no such test runs that component, it is the place in the
    source of Kubernetes 1.36.2 (`S/` is `staging/src/k8s.io/`) or of etcd 3.6 that decides it.
    """

    takes_up: bool
    source: str


def takes_up(source: str) -> Observation:
    return Observation(takes_up=True, source=source)


def keeps(source: str) -> Observation:
    return Observation(takes_up=False, source=source)


_ETCD_LIVE = "tests/live/test_etcd_reload.py: etcd 3.6"
_ROTATED_LIVE = "tests/live/test_rotation_control_plane.py: promoted under load, no API server restarted"
_EMBEDDED = "S/client-go/transport/transport.go:134: embedded data is read once"

OBSERVED: dict[tuple[ComponentName, str], Observation] = {
    (ETCD, "cert-file"): takes_up(f"{_ETCD_LIVE} serves the new certificate to the next connection"),
    (ETCD, "key-file"): takes_up(f"{_ETCD_LIVE}, with the certificate"),
    (ETCD, "peer-cert-file"): takes_up(f"{_ETCD_LIVE}, on the peers' port"),
    (ETCD, "peer-key-file"): takes_up(f"{_ETCD_LIVE}, on the peers' port"),
    (ETCD, "trusted-ca-file"): keeps(f"{_ETCD_LIVE} lets in who is of an added CA after a restart only"),
    (ETCD, "peer-trusted-ca-file"): keeps(f"{_ETCD_LIVE}, on the peers' port"),
    (API_SERVER, "client-ca-file"): takes_up("tried with 1.36.2: within a second, also what is removed"),
    (API_SERVER, "requestheader-client-ca-file"): takes_up(_ROTATED_LIVE),
    # Tried with 1.36.2 too: a pair that does not fit is ignored, and served a second after it fits.
    (API_SERVER, "tls-cert-file"): takes_up(_ROTATED_LIVE),
    (API_SERVER, "tls-private-key-file"): takes_up(_ROTATED_LIVE),
    (API_SERVER, "proxy-client-cert-file"): takes_up("S/kube-aggregator/pkg/apiserver/apiserver.go:306"),
    (API_SERVER, "proxy-client-key-file"): takes_up("S/kube-aggregator/pkg/apiserver/apiserver.go:306"),
    (API_SERVER, "kubelet-client-certificate"): takes_up(_ROTATED_LIVE),
    (API_SERVER, "kubelet-client-key"): takes_up(_ROTATED_LIVE),
    (API_SERVER, "kubelet-certificate-authority"): takes_up(
        "tests/live/test_reload_by_path.py: 1.36.2 within five minutes, before that never"
    ),
    (API_SERVER, "etcd-certfile"): takes_up("etcd client/pkg/transport/listener.go:493: per handshake"),
    (API_SERVER, "etcd-keyfile"): takes_up("etcd client/pkg/transport/listener.go:493: per handshake"),
    (API_SERVER, "etcd-cafile"): keeps("etcd client/pkg/transport/listener.go:576: read once"),
    (API_SERVER, "service-account-key-file"): keeps("pkg/kubeapiserver/options/authentication.go:627"),
    (API_SERVER, "service-account-signing-key-file"): keeps(
        "pkg/controlplane/apiserver/options/options.go:310"
    ),
    (API_SERVER, "encryption-provider-config"): keeps(
        "S/apiserver/pkg/server/options/etcd.go: --encryption-provider-config-automatic-reload is off"
    ),
    (API_SERVER, "authentication-config"): takes_up(
        "tests/live/test_ways_in.py: another audience, and the same process"
    ),
    (API_SERVER, "authorization-config"): takes_up("pkg/kubeapiserver/authorizer/reload.go:168"),
    (MANAGER, "client-ca-file"): takes_up("S/apiserver/pkg/server/options/authentication.go:164"),
    (MANAGER, "requestheader-client-ca-file"): takes_up(
        "S/apiserver/pkg/server/options/authentication.go:201"
    ),
    (MANAGER, "cluster-signing-cert-file"): takes_up("pkg/controller/certificates/signer/ca_provider.go:32"),
    (MANAGER, "cluster-signing-key-file"): takes_up("pkg/controller/certificates/signer/ca_provider.go:32"),
    (MANAGER, "root-ca-file"): keeps("cmd/kube-controller-manager/app/certificates.go:264"),
    (MANAGER, "service-account-private-key-file"): keeps(
        "cmd/kube-controller-manager/app/service_accounts.go:54"
    ),
    (MANAGER, "kubeconfig"): keeps(_EMBEDDED),
    (MANAGER, "authentication-kubeconfig"): keeps(_EMBEDDED),
    (MANAGER, "authorization-kubeconfig"): keeps(_EMBEDDED),
    (SCHEDULER, "kubeconfig"): keeps(_EMBEDDED),
    (SCHEDULER, "authentication-kubeconfig"): keeps(_EMBEDDED),
    (SCHEDULER, "authorization-kubeconfig"): keeps(_EMBEDDED),
    (KUBELET, "kubeconfig"): keeps("pkg/kubelet/certificate/transport.go:166, and its CA too"),
    (KUBELET, "authentication.x509.clientCAFile"): takes_up("cmd/kubelet/app/auth.go:76"),
    (KUBELET, "tlsCertFile"): takes_up("pkg/kubelet/kubelet.go:951: on since 1.31"),
    (KUBELET, "tlsPrivateKeyFile"): takes_up("pkg/kubelet/kubelet.go:951"),
    (KUBE_PROXY, "clientConnection.kubeconfig"): keeps(_EMBEDDED),
    # What a kubeconfig names by path.
    **{
        (component, f"kubeconfig: {field}"): takes_up(source)
        for component, source in (
            (MANAGER, "tests/live/test_reload_by_path.py: within five minutes"),
            (SCHEDULER, "tests/live/test_reload_by_path.py: within five minutes"),
            (
                KUBELET,
                "cmd/kubelet/app/server.go:1060: without rotateCertificates, client-go's own transport",
            ),
            (KUBE_PROXY, "cmd/kube-proxy/app/server.go: client-go's own transport"),
        )
        for field in ("certificate-authority", "client-certificate", "client-key")
    },
    **{
        (KUBELET, f"kubeconfig: {field}, with rotateCertificates"): keeps(
            "pkg/kubelet/certificate/transport.go:166: its own certificate, and the CA of its start"
        )
        for field in ("certificate-authority", "client-certificate", "client-key")
    },
}

# What a component runs by: the kubelet starts a static Pod anew whose manifest has changed
# (pkg/kubelet/config/file_linux.go), and nobody reads the rest again.
DEFINITIONS = {
    FileKind.ETCD: (ETCD, Effect.RECREATED),
    FileKind.KUBE_APISERVER: (API_SERVER, Effect.RECREATED),
    FileKind.KUBE_CONTROLLER_MANAGER: (MANAGER, Effect.RECREATED),
    FileKind.KUBE_SCHEDULER: (SCHEDULER, Effect.RECREATED),
    FileKind.ETCD_UNIT: (ETCD, Effect.RESTART),
    FileKind.KUBE_APISERVER_UNIT: (API_SERVER, Effect.RESTART),
    FileKind.KUBE_CONTROLLER_MANAGER_UNIT: (MANAGER, Effect.RESTART),
    FileKind.KUBE_SCHEDULER_UNIT: (SCHEDULER, Effect.RESTART),
    FileKind.KUBELET_UNIT: (KUBELET, Effect.RESTART),
    FileKind.KUBE_PROXY_UNIT: (KUBE_PROXY, Effect.RESTART),
    FileKind.ETCD_FLAGS: (ETCD, Effect.RESTART),
    FileKind.KUBE_APISERVER_FLAGS: (API_SERVER, Effect.RESTART),
    FileKind.KUBE_CONTROLLER_MANAGER_FLAGS: (MANAGER, Effect.RESTART),
    FileKind.KUBE_SCHEDULER_FLAGS: (SCHEDULER, Effect.RESTART),
    FileKind.KUBELET_FLAGS: (KUBELET, Effect.RESTART),
    FileKind.KUBE_PROXY_FLAGS: (KUBE_PROXY, Effect.RESTART),
    FileKind.KUBELET_CONFIGURATION: (KUBELET, Effect.RESTART),
    FileKind.KUBE_PROXY_CONFIGURATION: (KUBE_PROXY, Effect.RESTART),
    FileKind.CONTROLLER_MANAGER_KUBECONFIG: (MANAGER, Effect.RESTART),
    FileKind.SCHEDULER_KUBECONFIG: (SCHEDULER, Effect.RESTART),
    FileKind.KUBELET_KUBECONFIG: (KUBELET, Effect.RESTART),
    FileKind.KUBE_PROXY_KUBECONFIG: (KUBE_PROXY, Effect.RESTART),
}
_CONFIGURATIONS = {FileKind.KUBELET_CONFIGURATION, FileKind.KUBE_PROXY_CONFIGURATION}
_UNITS = {kind for kind in DEFINITIONS if kind.endswith(".service")}

_FILES, _FIXED = {"kubeconfigs": "files"}, {"rotateCertificates": False}
_ETCD_1 = node("etcd-1", "10.0.0.31", "etcd")
CLUSTERS = {
    "static-pods": derive(spec(CP1, CP2, W1, encryption={}, **ENDPOINT)),
    "units": derive(spec(CP1, W1, runtime="systemd", certificates={"directory": "/opt/pki"})),
    "dedicated-etcd": derive(spec(CP1, _ETCD_1)),
    "external-etcd": derive(spec(CP1, etcd={"external": {"endpoints": ["http://10.0.1.1:2379"]}})),
    "every-ca-key": derive(spec(CP1, certificates={"distributeCAKeys": ["ca", "etcd-ca", "front-proxy-ca"]})),
    "no-ca-keys": derive(spec(CP1, certificates={"distributeCAKeys": False})),
    "by-path": derive(spec(CP1, CP2, W1, certificates=_FILES, kubelet=_FIXED, **ENDPOINT)),
    "by-path-renewing": derive(spec(CP1, W1, certificates=_FILES)),
    "by-path-units": derive(spec(CP1, W1, runtime="systemd", certificates=_FILES, kubelet=_FIXED)),
    "issuers": derive(spec(CP1, W1, authentication={})),
    "two-token-keys": derive(spec(CP1, W1), Rotations(phases={SA: Phase.PREPARED})),
}


@pytest.mark.parametrize("name", CLUSTERS)
def test_every_file_asks_what_was_observed_of_its_readers(name: str) -> None:
    inventory = CLUSTERS[name]
    expected = expectations(inventory)
    files = [path for item in inventory.items if item.node is not None for path in item.paths]
    assert expected.keys() <= set(files)
    for path in files:
        assert asked(inventory, path) == expected.get(path, {}), path


def expectations(inventory: Inventory) -> dict[str, dict[ComponentName, Effect]]:
    """What each file of the nodes asks of whom, from the observations and the rendered settings alone."""
    own = inventory.paths
    found: dict[str, dict[ComponentName, Effect]] = {}
    for component, on, setting, value in settings(inventory):
        path = f"nodes/{on}{value}"
        if path in own and setting != "config":
            takes_it_up = OBSERVED[component, setting].takes_up
            before = found.setdefault(path, {}).get(component, Effect.RELOADS)
            found[path][component] = before if takes_it_up else Effect.RESTART
    for item in inventory.items:
        if isinstance(item, DesiredFile) and item.kind in DEFINITIONS:
            component, effect = DEFINITIONS[item.kind]
            found[item.path] = {component: effect}
        # No flag names it but the configuration, with which it is read (authorizer/reload.go:126).
        if isinstance(item, DesiredFile) and item.kind is FileKind.AUTHORIZATION_WEBHOOK:
            found[item.path] = {API_SERVER: Effect.RELOADS}
    return found


def settings(inventory: Inventory) -> Iterator[tuple[ComponentName, str, str, str]]:
    """Component, node, setting and value of everything that the rendered files say."""
    renderer = Renderer(inventory)
    for item in inventory.items:
        if not isinstance(item, DesiredFile) or item.kind not in DEFINITIONS or item.node is None:
            continue
        component, _ = DEFINITIONS[item.kind]
        text = "" if item.kind in _UNITS else renderer.file(item).decode()
        if item.kind in KUBECONFIG_KINDS:
            for setting, value in named(yaml.safe_load(text)):
                renews = component is KUBELET and inventory.cluster.spec.kubelet.rotate_certificates
                yield component, item.node, f"{setting}{', with rotateCertificates' * renews}", value
        elif item.kind in _CONFIGURATIONS:
            for setting, value in flattened(yaml.safe_load(text)):
                yield component, item.node, setting, value
        elif text:
            given = read_back.arguments(text, item.kind)
            assert given is not None, item.path
            for argument in given:
                setting, _, value = argument.removeprefix("--").partition("=")
                yield component, item.node, setting, value
        if item.kind is FileKind.KUBELET_CONFIGURATION:
            # Of static Pods' kubelets, the unit that the package brings says so (10-kubeadm.conf).
            yield component, item.node, "kubeconfig", "/etc/kubernetes/kubelet.conf"


def named(kubeconfig: Any) -> Iterator[tuple[str, str]]:
    """What a kubeconfig names by path."""
    for field, value in {**kubeconfig["clusters"][0]["cluster"], **kubeconfig["users"][0]["user"]}.items():
        if value.startswith("/"):
            yield f"kubeconfig: {field}", value


def flattened(content: Any, above: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield from flattened(value, f"{above}.{key}" if above else key)
    else:
        yield above, str(content)


def asked(inventory: Inventory, path: str) -> dict[ComponentName, Effect]:
    """What the restart map asks for when one file changes, of the components of its own node."""
    change = Rewrite(id=path, paths=(path,), node=None, reason=Reason.CONTENT_CHANGED)
    steps = restart_map(inventory, [change])
    on = path.split("/")[1]
    assert {step.node for step in steps} <= {on}
    assert all(path.removeprefix(f"nodes/{on}") in step.files for step in steps)
    for step in steps:
        commands = restart_commands(step, inventory.cluster)
        assert bool(commands) is (step.effect is Effect.RESTART or step.copies)
    found = {step.component: step.effect for step in steps}
    assert len(found) == len(steps)
    return found


def test_anonymous_access_is_read_at_start_alone() -> None:
    """tests/live/test_ways_in.py: the API server refuses the whole of such a file."""
    inventory = CLUSTERS["issuers"]
    path = "nodes/cp-1/etc/kubernetes/pki/authentication-config.yaml"
    for reason, effect in (
        (Reason.CONTENT_CHANGED, Effect.RELOADS),
        (Reason.ANONYMOUS_CHANGED, Effect.RESTART),
    ):
        change = Rewrite(id=path, paths=(path,), node="cp-1", reason=reason)
        assert [step.effect for step in restart_map(inventory, (change,))] == [effect]


def test_every_observation_is_of_a_setting_that_is_rendered() -> None:
    rendered = {(found[0], found[2]) for inventory in CLUSTERS.values() for found in settings(inventory)}
    assert OBSERVED.keys() <= rendered
    assert all(observation.source for observation in OBSERVED.values())


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_order_is_safe(name: str) -> None:
    """Each component on one node after the other, and before those that need it."""
    inventory = CLUSTERS[name]
    files = [path for item in inventory.items for path in item.paths]
    changes = [Rewrite(id=path, paths=(path,), node=None, reason=Reason.CONTENT_CHANGED) for path in files]
    order = [ETCD, API_SERVER, MANAGER, SCHEDULER, KUBELET, KUBE_PROXY]
    steps = [(order.index(step.component), step.node) for step in restart_map(inventory, changes)]
    assert steps == sorted(set(steps))


def _of_kubelets(**settings: Any) -> Effect:
    """What a new CA of the kubelets asks of an API server."""
    rotations = settings.pop("rotations", Rotations())
    inventory = derive(spec(CP1, W1, allowUnknownFlags=True, **settings), rotations)
    return asked(inventory, "nodes/cp-1/etc/kubernetes/pki/ca.crt")[API_SERVER]


@pytest.mark.parametrize(
    ("version", "gates", "effect"),
    [
        ("v1.35.9", None, Effect.RESTART),
        ("v1.36.0", None, Effect.RELOADS),
        ("v1.37.0", "AllAlpha=true", Effect.RELOADS),
        ("v1.36.2", "ClientsAllowCARotation=false", Effect.RESTART),
        ("v1.36.2", "WatchList=true,ClientsAllowCARotation=False", Effect.RESTART),
        ("v1.36.2", "AllBeta=false", Effect.RESTART),
        ("v1.36.2", "ClientsAllowCARotation=true,AllBeta=false", Effect.RELOADS),
    ],
)
def test_an_api_server_reads_the_ca_of_kubelets_again_from_a_version_on(
    version: str, gates: str | None, effect: Effect
) -> None:
    more = {"extraArgs": [{"name": "feature-gates", "value": gates}]} if gates else {}
    assert _of_kubelets(kubernetesVersion=version, apiServer=more) is effect


@pytest.mark.parametrize(("crossed", "effect"), [(True, Effect.RELOADS), (False, Effect.RESTART)])
def test_without_a_cross_certificate_it_must_have_both_cas_before_promote(
    crossed: object, effect: Effect
) -> None:
    rotations = Rotations(phases={"ca": Phase.PREPARED}, crossed=frozenset(["ca"] if crossed else []))
    assert _of_kubelets(rotations=rotations) is effect
    promoted = Rotations(phases={"ca": Phase.PROMOTED})
    assert _of_kubelets(rotations=promoted) is Effect.RELOADS, "it has had both for long"


_OF_COMPONENTS = {
    MANAGER: "nodes/cp-1/etc/kubernetes/pki/controller-manager",
    SCHEDULER: "nodes/cp-1/etc/kubernetes/pki/scheduler",
    KUBELET: "nodes/cp-1/etc/kubernetes/pki/kubelet",
    KUBE_PROXY: "nodes/cp-1/etc/kubernetes/pki/kube-proxy",
}


@pytest.mark.parametrize("component", _OF_COMPONENTS)
@pytest.mark.parametrize(
    ("version", "crossed", "effect"),
    [
        ("v1.36.2", True, Effect.RELOADS),
        ("v1.36.2", False, Effect.RESTART),
        ("v1.35.9", True, Effect.RESTART),
    ],
)
def test_files_that_kubeconfigs_name_are_read_again(
    component: ComponentName, version: str, crossed: object, effect: Effect
) -> None:
    """Certificates in every version; CAs from v1.36 on, at *prepare* only with a cross certificate."""
    rotations = Rotations(phases={"ca": Phase.PREPARED}, crossed=frozenset(["ca"] if crossed else []))
    inventory = derive(
        spec(CP1, W1, kubernetesVersion=version, runtime="systemd", certificates=_FILES, kubelet=_FIXED),
        rotations,
    )
    directory = _OF_COMPONENTS[component]
    assert asked(inventory, f"{directory}/ca.crt") == {component: effect}
    for file in ("client.crt", "client.key"):
        assert asked(inventory, f"{directory}/{file}") == {component: Effect.RELOADS}


def test_a_gate_of_a_component_is_its_own() -> None:
    gate = {"extraArgs": [{"name": "feature-gates", "value": "ClientsAllowCARotation=false"}]}
    inventory = derive(spec(CP1, W1, certificates=_FILES, scheduler=gate))
    assert asked(inventory, f"{_OF_COMPONENTS[SCHEDULER]}/ca.crt") == {SCHEDULER: Effect.RESTART}
    assert asked(inventory, f"{_OF_COMPONENTS[MANAGER]}/ca.crt") == {MANAGER: Effect.RELOADS}


def test_a_flag_of_one_node_is_of_its_kubelet_alone() -> None:
    own = {**W1, "kubeletExtraArgs": [{"name": "rotate-certificates", "value": "true"}]}
    inventory = derive(spec(CP1, own, certificates=_FILES, kubelet=_FIXED))
    path = "etc/kubernetes/pki/kubelet/client.crt"
    assert asked(inventory, f"nodes/worker-1/{path}") == {KUBELET: Effect.RESTART}
    assert asked(inventory, f"nodes/cp-1/{path}") == {KUBELET: Effect.RELOADS}


def test_of_kubelets_that_somebody_else_configures_nothing_is_known() -> None:
    inventory = derive(spec(CP1, W1, certificates=_FILES, kubelet=_FIXED, manage=["manifests"]))
    assert asked(inventory, f"{_OF_COMPONENTS[KUBELET]}/ca.crt") == {KUBELET: Effect.RESTART}
    assert asked(inventory, f"{_OF_COMPONENTS[KUBELET]}/client.crt") == {KUBELET: Effect.RESTART}


# -- in which order, and with what around it --------------------------------------------------------------

ETCD_MANIFEST = "/etc/kubernetes/manifests/etcd.yaml"


def rewritten(node_name: str, path: str, reason: Reason = Reason.CONTENT_CHANGED) -> Rewrite:
    here = f"nodes/{node_name}{path}"
    return Rewrite(id=here, paths=(here,), node=node_name, reason=reason)


def test_members_of_etcd_get_their_files_in_turn_and_one_that_moves_is_told_to_the_others() -> None:
    inventory = derive(spec(CP1, CP2, CP3, W1, **ENDPOINT))
    changes = (
        rewritten("cp-2", ETCD_MANIFEST, Reason.MEMBER_MOVES),
        rewritten("cp-1", ETCD_MANIFEST),
        rewritten("cp-1", "/etc/kubernetes/manifests/kube-apiserver.yaml"),
    )
    found = [
        (each.component, each.node, each.effect, each.member, each.copies, each.moves)
        for each in restart_map(inventory, changes)
    ]
    assert found == [
        (ETCD, "cp-1", Effect.RECREATED, None, True, False),
        (ETCD, "cp-2", Effect.MOVES, "cp-2", False, False),
        (ETCD, "cp-2", Effect.RECREATED, None, True, True),
        (API_SERVER, "cp-1", Effect.RECREATED, None, False, False),
    ]


def of(steps: tuple[Restart, ...], component: ComponentName = ETCD) -> list[tuple[str, Effect, str | None]]:
    """Of one component, in order: on which node, what is asked, and about whom."""
    return [(each.node, each.effect, each.member) for each in steps if each.component is component]


def made(inventory: Inventory, *nodes: str) -> tuple[Create, ...]:
    """Everything that some nodes hold is new."""
    return tuple(
        Create(id=item.id, paths=item.paths, node=item.node, reason=Reason.MISSING)
        for item in inventory.items
        if item.node in nodes and item.paths
    )


A1 = node("a-1", "10.0.0.9", "control-plane")


def test_members_that_join_are_admitted_one_by_one_after_what_the_others_need() -> None:
    """By whoever has been there longest; who is there already comes first, whatever it is called."""
    membership = EtcdMembership(founders=("cp-1",), joined=("cp-2", "a-1"))
    inventory = derive(spec(CP1, CP2, A1, **ENDPOINT), etcd=membership)
    changes = (*made(inventory, "a-1", "cp-2"), rewritten("cp-1", ETCD_MANIFEST))
    steps = restart_map(inventory, changes)
    assert of(steps) == [
        ("cp-1", Effect.RECREATED, None),
        ("cp-1", Effect.ADMITS, "a-1"),
        ("a-1", Effect.STARTS, None),
        ("cp-1", Effect.ADMITS, "cp-2"),
        ("cp-2", Effect.STARTS, None),
    ]
    # Whose etcd has run, and who founds the cluster, is not admitted.
    assert of(restart_map(inventory, (rewritten("a-1", ETCD_MANIFEST),))) == [("a-1", Effect.RECREATED, None)]
    assert of(restart_map(inventory, made(inventory, "cp-1"))) == [("cp-1", Effect.STARTS, None)]
    files = {path for item in inventory.items if item.node == "cp-2" for path in item.paths}
    others = tuple(
        each
        for each in made(inventory, "cp-2")
        if "/etcd" not in each.id and not files.isdisjoint(each.paths) and "etcd" not in str(each.paths)
    )
    again = of(restart_map(inventory, (*others, rewritten("cp-2", ETCD_MANIFEST))))
    assert again == [("cp-2", Effect.RECREATED, None)], "its etcd has run, whatever else is new there"
    # An address that a new member has from the beginning is none that changes.
    moved = (*made(inventory, "a-1"), rewritten("a-1", ETCD_MANIFEST, Reason.MEMBER_MOVES))
    assert Effect.MOVES not in {effect for _, effect, _ in of(restart_map(inventory, moved))}


def test_a_component_is_new_where_all_of_its_own_files_are() -> None:
    """A copy of a CA is new on a node whose component has run for long."""
    inventory = derive(spec(CP1, W1))
    steps = restart_map(inventory, made(inventory, "worker-1"))
    assert of(steps, KUBELET) == [("worker-1", Effect.STARTS, None)]
    assert of(steps, API_SERVER) == []
    (bundle,) = (each for each in made(inventory, "worker-1") if each.id.endswith("/pki/ca.crt"))
    assert of(restart_map(inventory, (bundle,)), KUBELET) == [("worker-1", Effect.RELOADS, None)]
    every = made(inventory, "worker-1")
    without = tuple(each for each in every if each.id != bundle.id)
    assert of(restart_map(inventory, without), KUBELET) == [("worker-1", Effect.STARTS, None)]
    changed = tuple(
        Rewrite(id=each.id, paths=each.paths, node=each.node, reason=Reason.CONTENT_CHANGED) for each in every
    )
    assert of(restart_map(inventory, changed), KUBELET) == [("worker-1", Effect.RESTART, None)]
    less = tuple(each for each in every if not each.id.endswith("config.yaml"))
    assert of(restart_map(inventory, less), KUBELET) == [("worker-1", Effect.RESTART, None)]


def removed(path: str, reason: Reason = Reason.NOT_WANTED) -> Remove:
    return Remove(id=path, paths=(path,), node=path.split("/")[1], reason=reason)


PEER = "etc/kubernetes/pki/etcd/peer.crt"


def test_a_member_that_goes_is_let_go_first_by_one_that_stays_where_it_is() -> None:
    membership = EtcdMembership(founders=("cp-1", "cp-2", "cp-3", "old"))
    inventory = derive(spec(CP1, CP2, CP3, **ENDPOINT), etcd=membership)
    changes = (
        rewritten("cp-1", ETCD_MANIFEST, Reason.MEMBER_MOVES),
        removed(f"nodes/old/{PEER}"),
        removed(f"nodes/b-old/{PEER}"),
        # What only looks like it, and who stays.
        removed(f"nodes/other/{PEER}.bak"),
        removed(f"nodes/cp-3/{PEER}"),
        rewritten("cp-4", f"/{PEER}"),
    )
    assert of(restart_map(inventory, changes))[:3] == [
        ("cp-2", Effect.EXPELS, "b-old"),
        ("cp-2", Effect.EXPELS, "old"),
        ("cp-1", Effect.MOVES, "cp-1"),
    ]
    external = derive(spec(CP1, etcd={"external": {"endpoints": ["https://10.0.1.1:2379"]}}))
    assert restart_map(external, changes[1:3]) == (), "nobody is left to be asked"


def test_where_all_move_the_first_is_asked() -> None:
    inventory = derive(spec(CP1, CP2, **ENDPOINT), etcd=EtcdMembership(founders=("cp-1", "cp-2")))
    movers = tuple(rewritten(name, ETCD_MANIFEST, Reason.MEMBER_MOVES) for name in ("cp-1", "cp-2"))
    found = of(restart_map(inventory, (*movers, removed(f"nodes/old/{PEER}"))))
    assert found[0] == ("cp-1", Effect.EXPELS, "old")
    later = derive(
        spec(CP1, CP2, **ENDPOINT), etcd=EtcdMembership(founders=("old",), joined=("cp-2", "cp-1"))
    )
    found = of(restart_map(later, (removed(f"nodes/old/{PEER}"),)))
    assert found == [("cp-2", Effect.EXPELS, "old")], "no founder is left"


def test_a_single_member_that_moves_gets_its_files_in_its_turn() -> None:
    inventory = derive(spec(CP1, W1))
    steps = restart_map(inventory, (rewritten("cp-1", ETCD_MANIFEST, Reason.MEMBER_MOVES),))
    assert [(each.effect, each.copies, each.moves) for each in steps] == [
        (Effect.MOVES, False, False),
        (Effect.RECREATED, True, True),
    ]


def test_several_members_wait_only_where_the_files_themselves_restart_them() -> None:
    inventory = derive(spec(CP1, CP2, **ENDPOINT))
    (step,) = restart_map(inventory, (rewritten("cp-1", "/etc/kubernetes/pki/etcd/server.crt"),))
    assert (step.effect, step.copies) == (Effect.RELOADS, False)
    (step,) = restart_map(inventory, (rewritten("cp-1", ETCD_MANIFEST),))
    assert (step.effect, step.copies) == (Effect.RECREATED, True)


CONFIGURATION = "/var/lib/kubelet/config.yaml"
API_MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"


def test_kubelets_come_first_where_api_servers_begin_to_verify_them() -> None:
    inventory = derive(spec(W1, CP1))
    kubelets = (rewritten("worker-1", CONFIGURATION), rewritten("cp-1", CONFIGURATION))
    for change, first in (
        (rewritten("cp-1", API_MANIFEST, Reason.VERIFIES_KUBELETS), True),
        (rewritten("cp-1", API_MANIFEST), False),
    ):
        steps = restart_map(inventory, (*kubelets, change))
        order = [KUBELET, KUBELET, API_SERVER] if first else [API_SERVER, KUBELET, KUBELET]
        assert [each.component for each in steps] == order
        assert verifies_kubelets_later(steps) is first
        assert [each.node for each in steps if each.component is KUBELET] == ["cp-1", "worker-1"]
    gone = removed("nodes/cp-1/etc/x", Reason.VERIFIES_KUBELETS)
    steps = restart_map(inventory, (*kubelets, rewritten("cp-1", API_MANIFEST), gone))
    assert steps[0].component is API_SERVER
    everywhere = Rewrite(id="x", paths=(), node=None, reason=Reason.VERIFIES_KUBELETS)
    steps = restart_map(inventory, (*kubelets, rewritten("cp-1", API_MANIFEST), everywhere))
    assert steps[0].component is API_SERVER
    for alone in (kubelets, (change,), ()):
        assert not verifies_kubelets_later(restart_map(inventory, alone))


def test_another_order_in_a_bundle_asks_nothing_of_who_has_read_it() -> None:
    inventory = derive(spec(CP1, W1))
    assert restart_map(inventory, (rewritten("cp-1", API_MANIFEST, Reason.ORDER_CHANGED),)) == ()


def test_a_kubelet_forgets_its_own_certificate_for_a_newer_one() -> None:
    """It reads kubelet.conf only while it has none of its own, be that as old as it may."""
    inventory = derive(spec(CP1, W1))
    conf = "nodes/worker-1/etc/kubernetes/kubelet.conf"
    own = ("/var/lib/kubelet/pki/kubelet-client-current.pem",)
    issued = Reissuance(issuer="ca", key_algorithm="", expires=NOW, will_expire=NOW)
    cases: list[tuple[Action, tuple[str, ...]]] = [
        (
            Renew(id="worker-1/kubelet.conf", paths=(conf,), node="worker-1", reason=None, reissuance=issued),
            own,
        ),
        (Rewrite(id="worker-1/kubelet.conf", paths=(conf,), node="worker-1", reason=Reason.MODE), ()),
        (
            Rewrite(
                id="worker-1/kubelet.conf",
                paths=(conf,),
                node="worker-1",
                reason=Reason.CREDENTIAL_CHANGED,
            ),
            own,
        ),
    ]
    for change, forgets in cases:
        (step,) = restart_map(inventory, (change,))
        assert (step.component, step.node, step.forgets) == (KUBELET, "worker-1", forgets)
    fixed = derive(spec(CP1, W1, kubelet=_FIXED))
    assert [each.forgets for each in restart_map(fixed, (cases[0][0],))] == [()]
    # One that has never run has nothing of its own yet.
    first = tuple(each for each in made(inventory, "worker-1") if each.id != "worker-1/kubelet.conf")
    anew = Create(id="worker-1/kubelet.conf", paths=(conf,), node="worker-1", reason=None, reissuance=issued)
    (step,) = restart_map(inventory, (*first, anew))
    assert (step.effect, step.forgets) == (Effect.STARTS, ())


def test_a_single_member_need_not_wait_for_its_files() -> None:
    (step,) = restart_map(derive(spec(CP1, W1)), (rewritten("cp-1", ETCD_MANIFEST),))
    assert (step.effect, step.copies) == (Effect.RECREATED, False)


def test_what_is_removed_is_left_to_a_step_or_told_by_node() -> None:
    inventory = derive(spec(CP1, W1, runtime="systemd"))
    gone = [
        f"nodes/{name}" for name in ("cp-1/etc/kubernetes/manifests/etcd.yaml", "cp-1/etc/x", "old/etc/x")
    ]
    removals = tuple(
        Remove(id=path, paths=(path,), node=path.split("/")[1], reason=Reason.NOT_WANTED) for path in gone
    )
    changes = (*removals, rewritten("cp-1", "/etc/systemd/system/etcd.service"))
    (step,) = restart_map(inventory, changes)
    assert step.removes == (ETCD_MANIFEST,)
    assert leftovers(inventory, changes) == {"cp-1": ("/etc/x",)}
    unit = removed("nodes/cp-1/etc/systemd/system/kube-scheduler.service")
    (step,) = restart_map(inventory, (unit, rewritten("cp-1", "/etc/kubernetes/scheduler.conf")))
    assert step.removes == ("/etc/systemd/system/kube-scheduler.service",)
    # What goes is asked of nobody; the step that has its reader do without it has a reason of its own.
    assert restart_map(inventory, (removed("nodes/cp-1/etc/kubernetes/pki/ca.crt"),)) == ()
    assert leftovers(inventory, removals) == {"cp-1": (ETCD_MANIFEST, "/etc/x")}


@pytest.mark.parametrize(
    ("cluster_flags", "node_flags", "expected"),
    [
        ({}, {}, "/var/lib/kubelet/pki"),
        ({"rotate-certificates": "false"}, {}, None),
        ({"rotate-certificates": "false"}, {"rotate-certificates": "T"}, "/var/lib/kubelet/pki"),
        ({"rotate-certificates": "1", "cert-dir": "/a"}, {}, "/a"),
        ({"cert-dir": "/a"}, {"cert-dir": "/b", "rotate-certificates": "TRUE"}, "/b"),
        ({}, {"rotate-certificates": "0"}, None),
    ],
)
def test_where_a_kubelet_keeps_the_certificate_that_it_renews(
    cluster_flags: dict[str, str], node_flags: dict[str, str], expected: str | None
) -> None:
    def given(flags: dict[str, str]) -> list[dict[str, str]]:
        return [{"name": name, "value": value} for name, value in flags.items()]

    one = node("worker-1", "10.0.0.21", kubeletExtraArgs=given(node_flags))
    cluster = spec(CP1, one, kubelet={"extraArgs": given(cluster_flags)})
    found = own_kubelet_certificate(
        cluster, next(each for each in cluster.spec.nodes if each.name == "worker-1")
    )
    assert found == (None if expected is None else f"{expected}/kubelet-client-current.pem")
