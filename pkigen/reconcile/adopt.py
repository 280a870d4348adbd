"""Takes over what another maker has made: as it was found, in one transaction; nothing is issued."""

from __future__ import annotations

from collections import Counter
from dataclasses import field, replace
from typing import TYPE_CHECKING

from pkigen.crypto.keys import public_der
from pkigen.desired.adopted import ABSENT
from pkigen.desired.certificates import KUBELET, KUBELET_SERVING
from pkigen.desired.generations import CA
from pkigen.desired.items import DesiredCertificate, DesiredCopy, MaterialKind
from pkigen.errors import AdoptionError
from pkigen.reconcile.adopted_state import TOLERATED
from pkigen.reconcile.division import Summary
from pkigen.reconcile.lock_builder import LockBuilder
from pkigen.reconcile.plan import Keep
from pkigen.reconcile.staging import Staging
from pkigen.reconcile.survey import Survey
from pkigen.records import dataclass
from pkigen.spec.model import Role
from pkigen.state.authority import load_all
from pkigen.state.ledger import Event, LedgerEntry
from pkigen.state.lockfile import certificate_facts
from pkigen.state.observed import NO_EMBEDDED_CERTIFICATE, content_at
from pkigen.state.reasons import TIME_REASONS, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pkigen.desired.adopted import Adopted
    from pkigen.desired.certificates import CertificateKind
    from pkigen.desired.readers import ComponentName
    from pkigen.reconcile.planner import Planner
    from pkigen.reconcile.surveyed import Surveyed
    from pkigen.reconcile.workbench import Tools
    from pkigen.state.views import StagedView
    from pkigen.store import Store

# An operator mends the first few, and asks again: a cluster of a hundred nodes has all faults a hundred
# times.
_MOST_NAMED = 8
_OWN_CERTIFICATE = b"kubelet-client-current.pem"
_USELESS = frozenset({Reason.MISSING, Reason.UNREADABLE, Reason.KEY_MISSING, Reason.KEY_UNREADABLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """A file as it is taken over; `private` says that it is one of the authority's own, kept by the vault."""

    path: str
    mode: int
    content: bytes = field(repr=False)
    private: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenOver:
    """How many objects were taken over, which are due, and how many differ, by reason."""

    objects: int
    due: tuple[str, ...]
    advice: Mapping[Reason, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outside:
    """What the cluster does without: CAs, the kubelets of some nodes, what does not run on which node."""

    cas: frozenset[CA]
    apart: frozenset[str]
    idle: Mapping[str, frozenset[ComponentName]]

    def is_unread(self, kind: CertificateKind, node: str) -> bool:
        """Whether nothing that runs on a node reads certificates of a kind."""
        return {read.component for read in kind.readers} <= self.idle.get(node, frozenset())


def take_over(
    planner: Planner,
    imports: Iterable[Import],
    store: Store,
    tools: Tools,
    *,
    idle: Mapping[str, frozenset[ComponentName]],
) -> TakenOver:
    """Take a cluster over, wholly or not at all.

    Args:
        planner: What its description asks for, and when.
        imports: Its files.
        store: A PKI directory that is new, held exclusively.
        tools: Clock and templates.
        idle: The components that do not run on each node: what only they read may be missing there.

    Raises:
        AdoptionError: The directory is in use, or what was found is not what the description says.
        AuthorityError: A CA is unfit.
        StoreError: The tree could not be written; nothing was.
    """
    if any(True for _ in store.walk()):
        raise AdoptionError(
            "the PKI directory is not empty: a cluster is taken over once, into a new one",
            hint="give another directory with -C",
        )
    with store.transaction() as transaction:
        staging = Staging(planner.inventory, store, transaction, tools.vault)
        for each in imports:
            if each.private:
                staging.stage_private(each.path, each.content)
            else:
                staging.stage(each.path, each.mode, each.content)
        # As in `apply`: the vault lists the private files that are there by now.
        staging.seal()
        # With the rotation that is under way, where the nodes trust two generations.
        planner = planner.at(staging.view)
        records = dict(_records(planner, staging.view, idle))
        # Surveyed twice: as if pkigen had made everything, which tells what differs, and with the records of
        # that.
        known = replace(planner, inventory=replace(planner.inventory, adopted=records))
        lock = LockBuilder(inventory=known.inventory, templates=planner.renderer.overrides())
        advice: Counter[Reason] = Counter()
        due: list[str] = []
        objects = 0
        for surveyed in _survey(known, staging.view).objects():
            lock.add(Summary.of(surveyed))
            objects += 1
            # One for each object: the first finding is the one that decides (`checks.CHECKS`).
            advice.update(finding.reason for finding in surveyed.advice[:1])
            if not isinstance(surveyed.action, Keep):
                due.append(surveyed.action.id)
            _record(surveyed, staging)
        staging.close(lock, now=tools.now)
        transaction.commit()
    return TakenOver(objects=objects, due=tuple(due), advice=dict(sorted(advice.items())))


def _survey(planner: Planner, view: StagedView) -> Survey:
    """With CAs that may share a key, as those of some other makers do (`taking_over`)."""
    return Survey(
        inventory=planner.inventory,
        reader=view,
        renderer=planner.renderer,
        authorities=load_all(view, planner.inventory, now=planner.now, taking_over=True),
        now=planner.now,
    )


def _records(
    planner: Planner, view: StagedView, idle: Mapping[str, frozenset[ComponentName]]
) -> Iterator[tuple[str, Adopted]]:
    """What each object that is not as pkigen would make it is taken over as.

    Raises:
        AdoptionError: Something that the cluster needs is missing, or does not work.
    """
    survey = _survey(planner, view)
    keys: set[bytes] = set()
    nodes = planner.inventory.cluster.spec.nodes
    apart = frozenset(node.name for node in nodes if node.roles == (Role.ETCD,))
    cas = frozenset(planner.inventory.authorities) - survey.authorities.keys()
    outside = _Outside(cas=cas, apart=apart, idle=idle)
    faults: list[str] = []
    for surveyed in survey.objects():
        item = surveyed.item
        faults.extend(_hard_faults(surveyed, view, outside))
        # First of the two: it has to see the key of every certificate, whatever is found about that.
        if not (_repeats(surveyed, keys) or surveyed.findings):
            continue
        if isinstance(item, DesiredCertificate) and surveyed.observed is not None:
            yield item.id, survey.state_of(item, surveyed.observed)
        elif isinstance(item, DesiredCopy):
            yield item.id, survey.state_of_copy(item)
    _require_none(faults)


def _require_none(faults: list[str]) -> None:
    if faults:
        rest = len(faults) - _MOST_NAMED
        more = f" and {rest} more" if rest > 0 else ""
        # A plugin's, a token's: nothing is wrong with it, and there is nothing to take over.
        is_other = any(NO_EMBEDDED_CERTIFICATE in each for each in faults)
        raise AdoptionError(
            f"the cluster cannot be taken over as it is: {'; '.join(faults[:_MOST_NAMED])}{more}",
            hint="leave an administrator's kubeconfig that logs in by a plugin or a token out of the copy: "
            "it is kept absent then; a component's needs its certificate"
            if is_other
            else "`pkigen verify TREE` of the same files says what is wrong with them; what is missing here "
            "has to be copied from its node",
        )


def _repeats(surveyed: Surveyed, keys: set[bytes]) -> bool:
    """Whether a certificate has the key of one before it, as other makers give one pair to several."""
    # CAs keep their keys, whatever is recorded of them (`unrecorded_sharing`).
    item = surveyed.item
    if not isinstance(item, DesiredCertificate) or item.issuer is None:
        return False
    if surveyed.observed is None or surveyed.observed.certificate is None:
        return False
    key = public_der(surveyed.observed.certificate.public_key())
    is_known = key in keys
    keys.add(key)
    return is_known


def _hard_faults(surveyed: Surveyed, view: StagedView, outside: _Outside) -> Iterator[str]:
    """Why an object cannot be taken over: what is due is renewed later, and what only differs is kept."""
    reasons = {finding.reason for finding in surveyed.findings}
    is_excused = (
        isinstance(surveyed.action, Keep)
        or (Reason.MISSING in reasons and _may_be_absent(surveyed, outside))
        or _is_of_kubelet(surveyed, view)
    )
    for finding in () if is_excused else surveyed.findings:
        # `TOLERATED` has the useless ones as well, for what may be absent; this object is needed.
        if finding.reason in _USELESS or finding.reason not in TOLERATED | TIME_REASONS:
            is_named = surveyed.item.id in finding.detail
            yield finding.detail if is_named else f"{surveyed.item.id}: {finding.detail}"


def _is_of_kubelet(surveyed: Surveyed, view: StagedView) -> bool:
    """Whether a kubelet has its certificate in a file of its own, which it renews through the cluster."""
    match surveyed.item:
        case DesiredCertificate(kind=kind) as item if kind is KUBELET and surveyed.observed is not None:
            return _OWN_CERTIFICATE in (content_at(view, item.file) or b"")
        case _:
            return False


def _may_be_absent(surveyed: Surveyed, outside: _Outside) -> bool:
    """Whether nothing that runs reads it by a file of another maker's.

    Kubelets of nodes that run etcd alone need not be in the cluster (kubeadm's guide to an external etcd has
    them stand alone).
    """
    match surveyed.item:
        case DesiredCertificate(kind=kind, node=node):
            # Only a configuration of pkigen's leads a kubelet to the serving certificate.
            if kind is KUBELET_SERVING or (kind is KUBELET and node in outside.apart):
                return True
            # Of a CA that the cluster does without, nobody has a certificate.
            return kind.issuer in outside.cas or outside.is_unread(kind, node or "")
        case DesiredCopy(material=MaterialKind.TRUST_BUNDLE, ca=CA.KUBERNETES, node=node):
            return node in outside.apart
        case DesiredCopy(ca=CA() as ca) if ca in outside.cas:
            return True
        # Only pkigen has such a file: kubeadm signs with `ca.crt` (`app/phases/controlplane/manifests.go`).
        case DesiredCopy(material=material):
            return material is MaterialKind.SIGNING_CERTIFICATE
        case _:
            return False


def _record(surveyed: Surveyed, staging: Staging) -> None:
    """A line for every certificate that was taken over."""
    observed = surveyed.observed
    if (
        isinstance(surveyed.item, DesiredCertificate)
        and observed is not None
        and observed.certificate is not None
    ):
        facts = certificate_facts(observed.certificate)
        staging.record(LedgerEntry(event=Event.ADOPTED, id=surveyed.item.id, reason=None, facts=facts))
    elif surveyed.adopted is not None and surveyed.adopted.found != ABSENT:
        staging.record(LedgerEntry(event=Event.ADOPTED, id=surveyed.item.id, reason=None, facts={}))
