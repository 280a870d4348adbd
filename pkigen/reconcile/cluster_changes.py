"""What a change asks of the running cluster: manifests to apply, objects to delete, in an order that is safe.

What is new comes before what is taken away, so that a user who is renamed, and an administrator, always has
one of both. Of what goes, bindings go first: at that moment the right is gone, whatever fails after it.
"""

from __future__ import annotations

import enum
import json
import shlex
from posixpath import join
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.desired.certificates import ADMIN, CLUSTER_ADMINS, SUPER_ADMIN
from pkigen.desired.items import DesiredFile
from pkigen.errors import PkigenError
from pkigen.reconcile.encrypted_data import (
    ENCRYPTED_RESOURCE,
    STORED,
    planned_writers,
    present_configuration,
    rewriting,
    stored,
    stored_until_now,
    writers,
    written_again,
)
from pkigen.reconcile.plan import Keep
from pkigen.records import dataclass
from pkigen.state.cluster_objects import ClusterObject, Held, ObjectForm, objects, superseded, unconfirmed
from pkigen.state.ledger import read_ledger
from pkigen.state.lockfile import read_lock, spec_facts
from pkigen.state.observed import content_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pkigen.desired.inventory import Inventory
    from pkigen.desired.rendering import Renderer
    from pkigen.reconcile.plan import Action
    from pkigen.spec.model import ClusterSpec
    from pkigen.state.lockfile import Lock
    from pkigen.state.observed import Reader

MAPPINGS = "spec.iam"
"""Stands for a manifest where there is none: `mappings` makes it."""
MAPPING = "IAMMapping"
_STAND_INS = (MAPPING, ENCRYPTED_RESOURCE)
"""Kinds of what is no object of the cluster."""
# A binding before its role: one that outlived it would give its subjects the next role of that name.
_GOES_FIRST = ("ClusterRoleBinding", "RoleBinding", "ClusterRole", "Role", "ServiceAccount")


class ClusterVerb(enum.StrEnum):
    """kubectl's words."""

    APPLY = "apply"
    DELETE = "delete"
    MAP = "map"
    """Not kubectl's alone: `pkigen access iam` merges spec.iam into the ConfigMap that it has got."""
    WRITE = "write"
    """What etcd holds is read and written again, with what encrypts it now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStep:
    """One command: `file` is what is applied, `object` what is deleted or, as a resource, written again.

    Paths are relative to the PKI directory, but for a kubeconfig whose key is on its `node` alone. Without a
    kubeconfig, the administrator's is not pkigen's.
    """

    verb: ClusterVerb
    kubeconfig: str
    file: str | None = None
    object: ClusterObject | None = None
    node: str | None = None

    def command(self, root: str = "") -> str:
        """The command, run where `root` leads to the PKI directory."""
        if self.verb is ClusterVerb.MAP:
            return self._mapping(root)
        if self.verb is ClusterVerb.WRITE and self.object is not None:
            return rewriting(self.object.name, shlex.join(self._kubectl(root)))
        words = [*self._kubectl(root), str(self.verb)]
        if self.file is not None:
            words += ["-f", join(root, self.file)]
        if self.object is not None:
            words += [self.object.kind.lower(), self.object.name]
            words += [] if self.object.namespace is None else ["--namespace", self.object.namespace]
            # Whoever does not know whether it was done does it again.
            words.append("--ignore-not-found")
        return shlex.join(words)

    def _kubectl(self, root: str) -> list[str]:
        return ["kubectl", "--kubeconfig", join(root, self.kubeconfig)] if self.kubeconfig else ["kubectl"]

    def _mapping(self, root: str) -> str:
        kubectl = shlex.join(self._kubectl(root))
        merge = shlex.join(("pkigen", "access", "iam", "--current", "-", "--config-map", "-C", root or "."))
        current = "get configmap aws-auth --namespace kube-system -o yaml"
        return f"{kubectl} {current} | {merge} | {kubectl} apply -f -"


# -- what a plan changes ----------------------------------------------------------------------------------


def given_until_now(
    actions: Iterable[Action], reader: Reader, renderer: Renderer, inventory: Inventory
) -> dict[str, tuple[bytes, ...]]:
    """By path, every content of the addons that change which the cluster may have been given.

    That is what lies there, and what the last spec asked for: a file may have been edited or deleted since.
    Likewise what etcd was written with, where that changes.
    Nothing, where a cluster is only being made.
    """
    lock = read_lock(reader)
    changed = sorted(path for path in _changed(actions) if path.startswith(f"{layout.ADDONS}/"))
    present = {path: content_at(reader, path) for path in changed}
    recorded = _recorded(lock, renderer, inventory, is_whole=None not in present.values())
    found = {
        path: tuple(dict.fromkeys(each for each in (present.get(path), recorded.get(path)) if each))
        for path in dict.fromkeys((*changed, *recorded))
    }
    if lock is None:
        return found if any(found.values()) else {}
    encrypted = stored_until_now(actions, reader, inventory, renderer)
    return found | _given_mappings(lock, inventory) | encrypted


def _given_mappings(lock: Lock, inventory: Inventory) -> dict[str, tuple[bytes, ...]]:
    """The mappings of AWS IAM that the last spec asked for, where they were others."""
    if lock.said("spec", "iam") == spec_facts(inventory.cluster)["spec"].get("iam"):
        return {}
    try:
        return {MAPPINGS: (mappings(lock.cluster()),)}
    except PkigenError:
        return {}  # an older pkigen's spec


def manifests(paths: Iterable[str], reader: Reader, inventory: Inventory) -> dict[str, bytes | None]:
    """What each path holds; what stands for a manifest, what the spec and the API servers' files say."""

    def content(path: str) -> bytes | None:
        if path == STORED:
            return stored(writers(present_configuration(reader, inventory)))
        return mappings(inventory.cluster) if path == MAPPINGS else content_at(reader, path)

    return {path: content(path) for path in paths}


def mappings(cluster: ClusterSpec) -> bytes:
    """The mappings of AWS IAM, each as if it were an object: their ConfigMap is not pkigen's alone."""
    documents = (
        {
            "kind": MAPPING,
            "metadata": {"name": each.arn.lower()},
            "username": each.username,
            "groups": sorted(set(each.groups)),
        }
        for each in cluster.spec.iam
    )
    return "".join(f"---\n{json.dumps(each)}\n" for each in documents).encode()


def _changed(actions: Iterable[Action]) -> set[str]:
    return {path for action in actions if not isinstance(action, Keep) for path in action.paths}


def _recorded(
    lock: Lock | None, renderer: Renderer, inventory: Inventory, *, is_whole: bool
) -> dict[str, bytes]:
    """The addons of the spec that the directory was made from last, where they may be others than lie there.

    Args:
        lock: Knows that spec.
        renderer: Has the templates.
        inventory: What must exist now.
        is_whole: Whether everything that changes lies there.
    """
    if lock is None or (is_whole and lock.spec == spec_facts(inventory.cluster)):
        return {}
    try:
        return {path: data for path, data in renderer.addons(lock.cluster()) if path in lock.paths}
    except PkigenError:
        return {}  # an older pkigen's spec, or a template that does not fit it: what lies there has to do


def planned_objects(
    given: Mapping[str, tuple[bytes, ...]],
    actions: Iterable[Action],
    inventory: Inventory,
    reader: Reader,
    renderer: Renderer,
    *,
    encrypts_anew: bool = False,
) -> Held:
    """What the cluster will hold that it should not, once a plan is carried out.

    Args:
        given: What it may have been given until now.
        actions: Of the plan.
        inventory: What must exist after it.
        reader: The PKI directory before it.
        renderer: Says what the manifests will hold.
        encrypts_anew: Whether another key encrypts what etcd holds.
    """
    if not given:
        return {}
    changed = _changed(actions)
    after = {path: _content(item, renderer, reader, changed) for path, item in _addons(inventory).items()}
    after[MAPPINGS] = mappings(inventory.cluster)
    if STORED in given:
        present = writers(present_configuration(reader, inventory))
        after[STORED] = stored(planned_writers(present, inventory, renderer, new_key=encrypts_anew))
    return superseded(given, {path: after.get(path) for path in given})


def _addons(inventory: Inventory) -> dict[str, DesiredFile]:
    return {
        item.path: item
        for item in inventory.items
        if isinstance(item, DesiredFile) and item.path.startswith(f"{layout.ADDONS}/")
    }


def _content(
    item: DesiredFile, renderer: Renderer, reader: Reader, changed: Iterable[str] = ()
) -> bytes | None:
    """What a manifest holds: what is somebody else's, and a trust bundle that stays, is on the disk."""
    if not item.managed or (item.trust is not None and item.path not in changed):
        return content_at(reader, item.path)
    return renderer.file(item)


# -- the commands -----------------------------------------------------------------------------------------


def remembered(reader: Reader) -> Held:
    """What the cluster may hold of earlier changes, by the ledger."""
    return unconfirmed(read_ledger(reader))


def unmapped(reader: Reader, cluster: ClusterSpec) -> frozenset[str]:
    """The ARNs, in lower case, that the spec has given up and the ConfigMap may still map."""
    wanted = {each.arn.lower() for each in cluster.spec.iam}
    return frozenset(each.name for each in remembered(reader) if each.kind == MAPPING) - wanted


def cluster_steps(
    held: Held, inventory: Inventory, reader: Reader, renderer: Renderer
) -> tuple[ClusterStep, ...]:
    """The commands that make the cluster hold what the spec asks for.

    Args:
        held: What it may hold of what is not so.
        inventory: What must exist.
        reader: The PKI directory.
        renderer: Says what the manifests hold.
    """
    if not held:
        return ()
    wanted = _wanted(held, inventory, reader, renderer)
    place = _kubeconfig(held, inventory)
    gone = [
        each
        for each, forms in held.items()
        # `{None}` alone: the cluster can only lack it, and there is nothing to delete.
        if each not in wanted and forms != {None} and each.kind not in _STAND_INS
    ]
    anew: dict[str, list[ClusterObject]] = {}
    for each, (path, form) in wanted.items():
        anew.setdefault(path, [])
        # A binding's roleRef is immutable (`ValidateRoleBindingUpdate`): it has to go before it can come.
        if any(old is not None and old.role != form.role for old in held[each]):
            anew[path].append(each)

    def deletions(of: Iterable[ClusterObject]) -> Iterator[ClusterStep]:
        for each in sorted(of, key=_turn):
            yield ClusterStep(verb=ClusterVerb.DELETE, object=each, kubeconfig=place.path, node=place.node)

    def steps() -> Iterator[ClusterStep]:
        # What need not be deleted before: until then everybody has a right that lasts.
        for path in sorted(anew, key=lambda each: (bool(anew[each]), each)):
            yield from deletions(anew[path])
            yield ClusterStep(verb=ClusterVerb.APPLY, file=path, kubeconfig=place.path, node=place.node)
        if any(each.kind == MAPPING for each in held):
            yield ClusterStep(verb=ClusterVerb.MAP, kubeconfig=place.path, node=place.node)
        yield from deletions(gone)
        # Last: it has to wait for every API server, and keeps nobody from what else is to be done.
        encrypted = {each.name: each for each in held if each.kind == ENCRYPTED_RESOURCE}
        for name in written_again(encrypted, inventory, renderer) if encrypted else ():
            yield ClusterStep(
                verb=ClusterVerb.WRITE, object=encrypted[name], kubeconfig=place.path, node=place.node
            )

    return tuple(steps())


def _wanted(
    held: Held, inventory: Inventory, reader: Reader, renderer: Renderer
) -> dict[ClusterObject, tuple[str, ObjectForm]]:
    """The objects among these that the spec asks for, each with the manifest that it is in."""
    found: dict[ClusterObject, tuple[str, ObjectForm]] = {}
    for path, item in _addons(inventory).items():
        for each, form in objects(_content(item, renderer, reader)).items():
            if each in held:
                found[each] = (path, form)
    return found


def _turn(each: ClusterObject) -> tuple[int, str, str]:
    known = each.kind in _GOES_FIRST
    return (_GOES_FIRST.index(each.kind) if known else len(_GOES_FIRST), each.namespace or "", each.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Administrator:
    """Whose rights the commands use; `node` is where they have to run, if its key is there alone."""

    path: str
    node: str | None


def _kubeconfig(held: Held, inventory: Inventory) -> _Administrator:
    # Whoever deletes the administrators' binding with admin.conf cannot make it again.
    touches_admins = any(each.name == CLUSTER_ADMINS for each in held)
    if not inventory.cluster.control_plane:
        # Another distribution's nodes: its administrator is whoever kubectl knows by itself.
        return _Administrator(path="", node=None)
    first = inventory.cluster.control_plane[0].name
    kind = SUPER_ADMIN if touches_admins else ADMIN
    item = inventory.certificates[kind.id_on(first)]
    if item.key_is_elsewhere:
        return _Administrator(path=item.file.removeprefix(f"{layout.NODES}/{first}"), node=first)
    return _Administrator(path=item.file, node=None)
