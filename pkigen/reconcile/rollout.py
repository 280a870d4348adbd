"""The steps that bring a change to its nodes: what is copied where, what restarts, how one knows it is up.

Runbooks and `-o json` are made of these steps. Files that start a component by arriving
(manifests, units, flags) come to a node with its first step that needs them, so that no two nodes lose the
same component at once; everything else is copied before.
"""

from __future__ import annotations

import enum
import shlex
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.desired.endpoints import endpoints
from pkigen.desired.readers import ComponentName
from pkigen.reconcile.file_readers import Effect
from pkigen.reconcile.plan import Remove
from pkigen.reconcile.restart_commands import health_check, health_url, restart_commands
from pkigen.reconcile.restart_map import Restart, leftovers, restart_map, verifies_kubelets_later
from pkigen.records import dataclass
from pkigen.spec.certificates import KeyHome
from pkigen.spec.model import Runtime
from pkigen.state.lockfile import certificate_facts
from pkigen.state.observed import content_at, observe_certificate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pkigen.desired.inventory import Inventory
    from pkigen.reconcile.plan import Action
    from pkigen.spec.model import ClusterSpec, Node
    from pkigen.state.observed import Reader

STARTING = (layout.MANIFESTS_DIRECTORY, layout.FLAGS_DIRECTORY, layout.SYSTEMD_DIRECTORY)
"""Whose files start something by arriving, or name files that must be there before."""
_KUBELET = (layout.KUBELET_DIRECTORY,)


class StepKind(enum.StrEnum):
    """What a step does."""

    COPY = "copy"
    MEMBER = "member"
    COMPONENT = "component"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A part of a node's tree that goes to the node: what is below `only`, where it names anything.

    What is below `but` is left out. `files` are those that the change concerns, as the node knows them.
    `is_sealed` says that the node's keys are on the node alone: it gets a sealed bundle, because copying
    kubeconfigs over it would take its keys.
    """

    source: str
    only: tuple[str, ...] = ()
    but: tuple[str, ...] = ()
    files: tuple[str, ...]
    is_sealed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What runs a component on its node: a static Pod's manifest, or a unit."""

    manifest: str | None
    unit: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpCheck:
    """How one sees on the node that a component is up: an address, or whose rights to ask it with."""

    url: str
    kubeconfig: str | None
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedCertificate:
    """The certificate that an endpoint must serve after the step; no digest where it is not issued yet."""

    component: str
    address: str
    certificate: str
    sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStep:
    """One thing to do for one node.

    `number` is the step's place in the restart map, by which `restart.sh` knows it. `commands` run on the
    node, those of a copy where the PKI directory is. Without `health` nothing has to be waited for.
    """

    kind: StepKind
    node: str
    host: str
    number: int | None = None
    restart: Restart | None = None
    copy: Copy | None = None
    process: Process | None = None
    removes: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    health: UpCheck | None = None
    evidence: tuple[ServedCertificate, ...] = ()


def rollout(
    inventory: Inventory, changes: Iterable[Action], reader: Reader | None = None
) -> tuple[RolloutStep, ...]:
    """Every step, in an order that is safe.

    Args:
        inventory: What must exist after the changes.
        changes: What is brought to the nodes.
        reader: The tree with the changes in it, which shows what endpoints must serve.
    """
    return tuple(_Rollout(inventory, tuple(changes), reader).steps())


def changed_files(changes: Iterable[Action]) -> dict[str, tuple[str, ...]]:
    """What is to be copied to which node, as paths there."""
    changed: dict[str, set[str]] = {}
    for change in changes:
        if change.node is not None and not isinstance(change, Remove):
            prefix = f"{layout.NODES}/{change.node}"
            changed.setdefault(change.node, set()).update(path.removeprefix(prefix) for path in change.paths)
    return {node: tuple(sorted(files)) for node, files in changed.items()}


class _Rollout:
    def __init__(self, inventory: Inventory, changes: tuple[Action, ...], reader: Reader | None) -> None:
        self._cluster = inventory.cluster
        self._nodes = {node.name: node for node in inventory.cluster.spec.nodes}
        self._files = {node: each for node, each in changed_files(changes).items() if node in self._nodes}
        self._in_one = {node for node in self._files if self._comes_in_one(node)}
        self._restarts = restart_map(inventory, changes)
        self._leftovers = leftovers(inventory, changes)
        self._evidence = _evidence(inventory, reader) if self._restarts else {}

    def steps(self) -> Iterator[RolloutStep]:
        waiting = self._waiting()
        numbered = list(enumerate(self._restarts, start=1))
        if verifies_kubelets_later(self._restarts):
            # They come first in the restart map, too.
            kubelets = [each for each in numbered if each[1].component is ComponentName.KUBELET]
            numbered = numbered[len(kubelets) :]
            # Manifests must not come along: they would start API servers that verify kubelets already.
            yield from self._copies(self._files, only=_KUBELET)
            yield from self._restarting(kubelets, set())
        yield from self._copies((node for node in waiting if node not in self._in_one), but=STARTING)
        left = set(waiting)
        yield from self._restarting(numbered, left)
        # What nothing on the node waits for.
        yield from self._copies(sorted(left), only=STARTING)
        yield from (removing(self._nodes[node], files) for node, files in self._leftovers.items())

    def _waiting(self) -> list[str]:
        """The nodes that may get files before the first step: all but those whose etcd restarts in turn."""
        in_turn = {step.node for step in self._restarts if step.copies}
        return [node for node in self._nodes if node not in in_turn]

    def _comes_in_one(self, node: str) -> bool:
        """Whether a node gets what starts its components together with all else: bundles are not divided."""
        is_sealed = self._cluster.key_home(self._nodes[node]) is KeyHome.NODE
        return is_sealed and any(_is_chosen(path, STARTING, ()) for path in self._files[node])

    def _restarting(self, numbered: Iterable[tuple[int, Restart]], left: set[str]) -> Iterator[RolloutStep]:
        """Lines of the restart map, each after the files that it needs; who got those is no longer `left`."""
        for number, restart in numbered:
            if restart.copies:
                yield from self._copies([restart.node])
            elif restart.node in left and (restart.node in self._in_one or _needs_starting_files(restart)):
                yield from self._copies([restart.node], only=STARTING)
                left.remove(restart.node)
            host = self._nodes[restart.node].host
            yield restarting(number, restart, self._cluster, host=host, served=self._evidence)

    def _copies(
        self, nodes: Iterable[str], *, only: tuple[str, ...] = (), but: tuple[str, ...] = ()
    ) -> Iterator[RolloutStep]:
        """One step for each of these nodes of which something of that kind changes."""
        for name in nodes:
            files = tuple(path for path in self._files.get(name, ()) if _is_chosen(path, only, but))
            node = self._nodes[name]
            if files:
                sealed = self._cluster.key_home(node) is KeyHome.NODE
                copy = Copy(
                    source=f"{layout.NODES}/{name}",
                    # A bundle is installed as a whole.
                    only=() if sealed else only,
                    but=() if sealed else but,
                    files=files,
                    is_sealed=sealed,
                )
                yield RolloutStep(
                    kind=StepKind.COPY,
                    node=name,
                    host=node.host,
                    copy=copy,
                    commands=tuple(_copy_commands(copy, node)),
                )


def _needs_starting_files(restart: Restart) -> bool:
    """Whether a step is about what starts its component; one that names the unit or manifest of before is."""
    return bool(restart.removes) or any(_is_chosen(path, STARTING, ()) for path in restart.files)


def _is_chosen(path: str, only: Sequence[str], but: Sequence[str]) -> bool:
    """By whole directories, as the filters of rsync in `_copy_commands` have them."""
    if any(path.startswith(f"{each}/") for each in but):
        return False
    return not only or any(path.startswith(f"{each}/") for each in only)


def _copy_commands(copy: Copy, node: Node) -> Iterator[str]:
    """For a person with rsync: files by their checksum, all put in place at the end."""
    if copy.is_sealed:
        yield f"pkigen airgap bundle create --node {node.name} --out MEDIUM   # its keys are there"
        yield f"# and on {node.name}: pkigen airgap bundle install FILE"
        return
    host = f"[{node.host}]" if ":" in node.host else node.host
    filters = [f"--exclude={path}" for path in copy.but]
    if copy.only:
        # Rules of rsync: the directories on the way, what is below them, and nothing else.
        ways = [parent for path in copy.only for parent in _ways(path)]
        filters = [f"--include={path}/" for path in dict.fromkeys(ways)]
        filters += [f"--include={path}/**" for path in copy.only] + ["--exclude=*"]
    # Not -a: owners, groups and links of this machine mean nothing on a node.
    # --delay-updates: until its end everything waits in `.~tmp~`, and the kubelet takes no name that begins
    # with a dot for a manifest (pkg/kubelet/config/file.go, extractFromDir).
    words = ("rsync", "-rptc", "--delay-updates", "--chown=root:root", *map(shlex.quote, filters))
    yield " ".join((*words, f"{copy.source}/", f"root@{host}:/"))


def _ways(path: str) -> Iterator[str]:
    """A directory and those above it, the topmost first."""
    parts = path.strip("/").split("/")
    for end in range(1, len(parts) + 1):
        yield f"/{'/'.join(parts[:end])}"


def removing(node: Node, files: tuple[str, ...]) -> RolloutStep:
    """The step that takes away what copying left on a node."""
    commands = tuple(f"rm -f {shlex.quote(path)}" for path in files)
    return RolloutStep(kind=StepKind.REMOVE, node=node.name, host=node.host, removes=files, commands=commands)


def restarting(
    number: int,
    restart: Restart,
    cluster: ClusterSpec,
    *,
    host: str,
    served: Mapping[tuple[str, str], tuple[ServedCertificate, ...]],
) -> RolloutStep:
    """One line of the restart map as a step; `served` is what components must serve then."""
    commands = restart_commands(restart, cluster)
    is_member = restart.member is not None
    # A member that is awaited, or at another address, may be what etcd lacks for a quorum: none is healthy
    # before it starts there, and that is a later step, which waits for the same.
    is_awaited = restart.effect in {Effect.ADMITS, Effect.MOVES}
    is_waited_for = (bool(commands) or restart.effect is Effect.RECREATED) and not is_awaited
    return RolloutStep(
        kind=StepKind.MEMBER if is_member else StepKind.COMPONENT,
        node=restart.node,
        host=host,
        number=number,
        restart=restart,
        process=None if is_member else _process(restart.component, cluster.spec.runtime),
        removes=restart.removes,
        commands=commands,
        health=_health(restart, cluster) if is_waited_for else None,
        evidence=() if is_member else served.get((restart.component, restart.node), ()),
    )


def _process(component: ComponentName, runtime: Runtime) -> Process:
    """What a component runs as; the kubelet and kube-proxy are units everywhere."""
    by_unit = runtime is Runtime.SYSTEMD or component in {ComponentName.KUBELET, ComponentName.KUBE_PROXY}
    if by_unit:
        return Process(manifest=None, unit=component)
    return Process(manifest=f"{layout.MANIFESTS_DIRECTORY}/{component}.yaml", unit=None)


def _health(restart: Restart, cluster: ClusterSpec) -> UpCheck:
    is_server = restart.component is ComponentName.API_SERVER
    return UpCheck(
        url=health_url(restart, cluster),
        # It may answer nobody whom it does not know.
        kubeconfig="/etc/kubernetes/controller-manager.conf" if is_server else None,
        command=health_check(restart, cluster),
    )


def _evidence(
    inventory: Inventory, reader: Reader | None
) -> dict[tuple[str, str], tuple[ServedCertificate, ...]]:
    """What each component on each node must serve, by component and node."""
    found: dict[tuple[str, str], list[ServedCertificate]] = {}
    for node, each in evidence(inventory, reader):
        # etcd serves its peers at a port of their own.
        found.setdefault((each.component.partition(" ")[0], node), []).append(each)
    return {key: tuple(each) for key, each in found.items()}


def evidence(inventory: Inventory, reader: Reader | None) -> Iterator[tuple[str, ServedCertificate]]:
    """What every endpoint of the cluster must serve, with its node."""
    read = None if reader is None else (lambda path: content_at(reader, path))
    for each in endpoints(inventory, read):
        yield (
            each.node,
            ServedCertificate(
                component=each.component,
                address=each.address,
                certificate=each.certificate,
                sha256=_digest(inventory, reader, each.certificate),
            ),
        )


def _digest(inventory: Inventory, reader: Reader | None, identifier: str) -> str | None:
    if reader is None:
        return None
    certificate = observe_certificate(reader, inventory.certificates[identifier].location).certificate
    if certificate is None:
        return None
    return str(certificate_facts(certificate)["fingerprint"]).removeprefix("sha256:")
