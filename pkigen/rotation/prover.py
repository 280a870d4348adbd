"""The proof that a step of a rotation breaks no connection, however far its files have been distributed.

What can be partly updated is the connection, not the cluster: the credential of one end is verified by the
trust of the other end, and either end holds the files of before or after the step. So each credential, old
and new, is verified by each trust, old and new. These four cases cover every partly distributed cluster, and
every process that has reloaded only some of its files (`reconcile.restart_map` knows which): in any mixture,
each connection is one of the four cases.

Not only TLS counts. The controller manager signs certificates that others verify, API servers and controller
managers sign tokens that API servers verify, and API servers encrypt what other API servers must read. Tokens
are verified by flags and files, which do not change at the same time, so their mixture is a case too.

The proof does not cover what is older than the step: files that were never distributed, tokens and
certificates of the generation to be removed. `rotation.phases.premises` lists these assumptions.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from functools import partial
from typing import TYPE_CHECKING

from pkigen.crypto.keys import public_der
from pkigen.crypto.path_verifier import PathVerifier
from pkigen.desired.command_lines import CommandLines
from pkigen.desired.connections import Peer, edges
from pkigen.desired.file_references import SIGNERS, foreign_files
from pkigen.desired.generations import CA, Phase, Slot, ca_id, ca_location
from pkigen.desired.items import DesiredCertificate, DesiredFile, FileKind, sends_cross
from pkigen.desired.readers import ComponentName
from pkigen.reconcile.progress import SILENCE
from pkigen.records import dataclass
from pkigen.rotation.held_files import HeldFiles, Unprovable
from pkigen.rotation.proof import CASES, Age, Presented, Proof, ProofRow, State, Verdict, row_name
from pkigen.state.observed import Fault, content_at, observe_certificate, observe_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from cryptography import x509

    from pkigen.desired.connections import Edge
    from pkigen.desired.file_references import FileReference
    from pkigen.reconcile.progress import Progress
    from pkigen.spec.model import Node

logger = logging.getLogger(__name__)

_TOKEN_FLAG_FILES = {
    FileKind.KUBE_APISERVER: "kube-apiserver",
    FileKind.KUBE_APISERVER_FLAGS: "kube-apiserver",
    FileKind.KUBE_CONTROLLER_MANAGER: "kube-controller-manager",
    FileKind.KUBE_CONTROLLER_MANAGER_FLAGS: "kube-controller-manager",
}
"""Where the flags stand that name the keys of tokens: in a static Pod or a flag file, by the runtime."""


# What such peers are called in the proof: they are on no node and in no inventory.
_UNTOUCHED = "a client that was never touched"
_UNTOUCHED_SERVER = "an aggregated API server that was never touched"


_NOT_YET = (Age.NEW, Age.OLD)
"""What one process never shows to itself: it has its new keys for both uses from the same start on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """The name of a row, and the four cases of one of its edges; one that is not `binding` may end."""

    kind: str
    verdicts: tuple[Verdict, ...]
    binding: bool


def prove(old: State, new: State, *, now: datetime, progress: Progress = SILENCE) -> Proof:
    """Judge every edge in every mixture of the old and the new files."""
    broken: list[Verdict] = []
    rows: dict[tuple[str, bool], list[int]] = {}
    number = count = 0
    prover = _Prover(old, new, now, progress)
    for group in prover.groups():
        count += 1
        number += len(group.verdicts)
        # The four cases, and behind them the number of edges.
        row = rows.setdefault((group.kind, group.binding), [0] * (len(CASES) + 1))
        row[-1] += 1
        for case, verdict in enumerate(group.verdicts):
            row[case] += verdict.refusal is None
        # The others are counted, not kept: a large cluster has hundreds of thousands.
        if group.binding:
            broken.extend(_broken(group.verdicts))
    table = tuple(
        ProofRow(edge=kind, count=row[-1], held=(row[0], row[1], row[2], row[3]), binding=binding)
        for (kind, binding), row in rows.items()
    )
    logger.info("proved: %d cases of %d edges, %d broken", number, count, len(broken))
    return Proof(
        verdicts=number, edges=count, broken=tuple(broken), table=table, unjudged=tuple(prover.unjudged())
    )


def _broken(verdicts: Sequence[Verdict]) -> Iterator[Verdict]:
    """What a step breaks; an edge that does not hold before it need only hold after it."""
    was_broken = verdicts[0].refusal is not None
    for verdict in verdicts:
        # Once every end has its new files it must hold, whatever was broken before.
        is_after = (verdict.presented, verdict.trusted) == (Age.NEW, Age.NEW)
        if verdict.refusal is not None and (is_after or not was_broken):
            yield verdict


class _Prover:
    """Asks of every edge whether it holds, in each mixture of the files before and after a step."""

    def __init__(self, old: State, new: State, now: datetime, progress: Progress) -> None:
        self._progress = progress
        self._states = {Age.OLD: old, Age.NEW: new}
        self._now = now
        self._judge = PathVerifier(now)
        self._inventory = new.inventory
        self._cluster = new.inventory.cluster
        self._lines = CommandLines(new.inventory, self._text)
        self._foreign = foreign_files(new.inventory, self._text)
        # What a flag names and is not in this directory cannot be judged: it is
        # reported, not taken for broken.
        self._unknown = {each.path for each in self._foreign if self._text(each.path) is None}
        # A certificate is no path here: `_awaited` looks whether it has come since.
        paths = new.inventory.absent - new.inventory.certificates.keys()
        self._unknown |= {path for path in paths if self._text(path) is None}
        self._held = HeldFiles(self._states, {each.path for each in self._foreign})
        self._flag_files = {
            (item.node, _TOKEN_FLAG_FILES[item.kind]): item
            for item in new.inventory.items
            if isinstance(item, DesiredFile) and item.kind in _TOKEN_FLAG_FILES
        }

    def groups(self) -> Iterator[_Group]:
        """All edges, each with its four cases."""
        awaited = self._awaited()
        outside: dict[tuple[str, tuple[str, ...]], Peer] = {}
        found = [edge.without(awaited) for edge in edges(self._inventory, self._text)]
        with self._progress.over("proving TLS edges", len(found)) as step:
            for edge in found:
                yield from self._tls(edge)
                outside.update(self._shown_outside(edge))
                step()
        for (identifier, names), holder in outside.items():
            yield from self._untouched(self._inventory.certificates[identifier], names, holder)
        yield from self._signing()
        yield from self._tokens()
        yield from self._secrets()

    def unjudged(self) -> Iterator[FileReference]:
        """The files that components read and this directory does not have."""
        yield from (each for each in self._foreign if each.path in self._unknown)

    def _text(self, path: str) -> bytes | None:
        """A file as it will be after the step: by that the command lines, and so the edges, are found."""
        return content_at(self._states[Age.NEW].reader, path)

    def _are_known(self, *files: str) -> bool:
        """Whether all of these files are in a tree, so that a verdict about them is possible."""
        return self._unknown.isdisjoint(files)

    @staticmethod
    def _group(
        presenter: Peer,
        judge: Peer,
        credential: Presented,
        ask: Callable[[Age, Age], str | None],
        *,
        binding: bool = True,
    ) -> _Group:
        """Ask all four cases of an edge; where a file is damaged, the case counts as refused."""

        def refusal(presented: Age, trusted: Age) -> str | None:
            try:
                return ask(presented, trusted)
            except Unprovable as fault:
                return str(fault)

        ends = (judge, presenter) if credential is Presented.SERVING else (presenter, judge)
        verdicts = tuple(
            Verdict(
                presenter=presenter,
                judge=judge,
                credential=credential,
                presented=presented,
                trusted=trusted,
                refusal=refusal(presented, trusted),
            )
            for presented, trusted in CASES
        )
        kind = f"{row_name(ends[0])} → {row_name(ends[1])}: {credential}"
        return _Group(kind=kind, verdicts=verdicts, binding=binding)

    # -- certificates ---------------------------------------------------------------------------------

    def _awaited(self) -> dict[str, str]:
        """Certificates that no peer presents: their nodes have not requested them or never had them."""
        reader = self._states[Age.NEW].reader
        return {
            item.id: item.file
            for item in self._inventory.certificates.values()
            if (item.key_is_elsewhere or item.id in self._inventory.absent)
            and isinstance(observe_file(reader, item.file), Fault)
        }

    def _tls(self, edge: Edge) -> Iterator[_Group]:
        """Both directions of a connection, each where there is a certificate and a bundle to judge it."""
        server, bundle = edge.server_certificate, edge.client_trust
        if server is not None and bundle is not None and self._are_known(server, bundle):
            refusal = partial(self._refusal, server, bundle, edge.names)
            yield self._group(edge.server, edge.client, Presented.SERVING, refusal)
        client, trust = edge.client_certificate, edge.server_trust
        if client is not None and trust is not None and self._are_known(client, trust):
            refusal = partial(self._refusal, client, trust, ())
            yield self._group(edge.client, edge.server, Presented.CLIENT, refusal)

    def _shown_outside(self, edge: Edge) -> Iterator[tuple[tuple[str, tuple[str, ...]], Peer]]:
        """What an edge presents to peers outside the inventory, too: no step gives them new files."""
        for certificate, names, holder in (
            (edge.server_certificate, edge.names, edge.server),
            (edge.client_certificate, (), edge.client),
        ):
            item = self._inventory.certificates.get(certificate or "")
            # A server's certificate as a client's, as members of etcd have it, is for other members.
            if item is not None and sends_cross(item) and (names or item.issuer is CA.FRONT_PROXY):
                yield (item.id, names), holder

    def _untouched(self, item: DesiredCertificate, names: tuple[str, ...], holder: Peer) -> Iterator[_Group]:
        """A certificate judged by a peer that trusts the old CA alone; nothing where its CA is stable."""
        old = self._old_ca(item.issuer) if item.issuer is not None else None
        if old is None or item.issuer is None:
            return

        def refusal(presented: Age, _: Age) -> str | None:
            return self._answer(self._held.chain(item.id, presented), (old,), names)

        yield self._group(
            holder,
            Peer(component=_UNTOUCHED if names else _UNTOUCHED_SERVER, node=None),
            Presented.SERVING if names else Presented.CLIENT,
            refusal,
            binding=self._carries(item.issuer),
        )

    def _old_ca(self, ca: CA) -> x509.Certificate | None:
        """The generation that was there before a rotation; None where none is in progress."""
        before, after = (self._states[age].inventory.rotations.phase(ca_id(ca)) for age in Age)
        if before is after is Phase.STABLE:
            return None
        # Who was never touched holds the CA from before the rotation, wherever that lies by now.
        slot = Slot.PREVIOUS if before is Phase.PROMOTED else Slot.CURRENT
        return observe_certificate(self._states[Age.OLD].reader, ca_location(ca, slot)).certificate

    def _current(self, ca: CA) -> x509.Certificate | None:
        """The generation that signs after the step."""
        return observe_certificate(self._states[Age.NEW].reader, ca_location(ca)).certificate

    def _carries(self, ca: CA) -> bool:
        """Whether peers that were never updated must still accept this step's files."""
        after = self._states[Age.NEW].inventory.rotations
        match after.phase(ca_id(ca)):
            case Phase.STABLE:
                return self._current(ca) == self._old_ca(ca)  # taken back; a finish is the end
            case Phase.PREPARED:
                return True
            case Phase.PROMOTED:
                old = self._old_ca(ca)
                # Without a cross certificate nothing was promised; with an expired CA nothing can be.
                return ca_id(ca) in after.crossed and old is not None and self._now < old.not_valid_after_utc

    def _refusal(
        self, certificate: str, trust: str, names: tuple[str, ...], presented: Age, trusted: Age
    ) -> str | None:
        """Why a certificate is refused; a client's where there are no names."""
        chain = self._held.chain(certificate, presented)
        anchors = self._held.anchors(trust, trusted)
        refusal = self._answer(chain, anchors, names)
        # That there is no path is not enough: which CA is missing is what helps.
        subjects = {anchor.subject for anchor in anchors}
        if refusal is None or any(link.issuer in subjects for link in chain):
            return refusal
        return (
            f"{certificate} is signed by {chain[-1].issuer.rfc4514_string()}, which {trust} does not contain "
            f"({' and '.join(anchor.subject.rfc4514_string() for anchor in anchors)})"
        )

    def _answer(
        self, chain: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate], names: tuple[str, ...]
    ) -> str | None:
        """Why a verifier with these anchors refuses a chain; it is a client's where there are no names."""
        if not names:
            return self._judge.client(chain, anchors)
        answers = (self._judge.server(chain, anchors, name) for name in names)
        return next((answer for answer in answers if answer is not None), None)

    # -- what the controller manager signs ------------------------------------------------------------

    def _signing(self) -> Iterator[_Group]:
        """What the controller manager signs, kubelets' own client certificates above all, is let in."""
        for signer in self._cluster.control_plane:
            for files, flag in self._signing_files(signer):
                for judge in self._cluster.control_plane:
                    bundle = self._lines.of(ComponentName.API_SERVER, judge).file(flag)
                    if bundle is not None and self._are_known(*files, bundle):
                        yield self._group(
                            Peer(component="kube-controller-manager", node=signer.name),
                            Peer(component="kube-apiserver", node=judge.name),
                            Presented.SIGNED,
                            partial(self._signing_refusal, files, bundle),
                        )

    def _signing_files(self, signer: Node) -> Iterator[tuple[tuple[str, str], str]]:
        """What a controller manager signs with, each once, and by which flag an API server judges that."""
        line = self._lines.of(ComponentName.CONTROLLER_MANAGER, signer)
        found: dict[tuple[tuple[str, str], str], None] = {}
        # The common pair, then those of single signers, any of which may be another CA.
        for name in ("", *(f"{each}-" for each in SIGNERS)):
            certificate = line.file(f"cluster-signing-{name}cert-file")
            key = line.file(f"cluster-signing-{name}key-file")
            # API servers dial kubelets; certificates of the other signers are presented to API servers.
            judged_by = "kubelet-certificate-authority" if name == "kubelet-serving-" else "client-ca-file"
            if certificate is not None and key is not None:
                found[(certificate, key), judged_by] = None
        yield from found

    def _signing_refusal(
        self, files: tuple[str, str], bundle: str, presented: Age, trusted: Age
    ) -> str | None:
        """Why an API server refuses what a controller manager signs; None where it accepts it."""
        signing = self._held.anchors(files[0], presented)
        anchors = self._held.anchors(bundle, trusted)
        if len(signing) != 1:
            # pkg/controller/certificates/signer/ca_provider.go: the controller manager stops at start.
            return f"{files[0]} holds {len(signing)} certificates; the controller manager accepts exactly one"
        if self._held.key(files[1], presented) != public_der(signing[0].public_key()):
            return f"{files[1]} is not the key of {files[0]}"
        # The certificate itself, not its subject: generations of a CA have
        # different keys, and may share a name.
        if signing[0] in anchors:
            return None
        subject = signing[0].subject.rfc4514_string()
        return f"what {subject} signs would be refused, because {bundle} does not contain it"

    # -- service account tokens -----------------------------------------------------------------------

    def _tokens(self) -> Iterator[_Group]:
        """Every signer of tokens against every API server: a token is presented to whichever is reached."""
        for signer in self._cluster.control_plane:
            # Both sign: API servers for `TokenRequest`, controller managers for token Secrets.
            for component, flag in (
                ("kube-apiserver", "service-account-signing-key-file"),
                ("kube-controller-manager", "service-account-private-key-file"),
            ):
                for judge in self._cluster.control_plane:
                    yield from self._tokens_between(signer, component, flag, judge)

    def _tokens_between(self, signer: Node, component: str, flag: str, judge: Node) -> Iterator[_Group]:
        """Tokens of a signer before an API server, which may have new files and still its old flags."""
        presenter = Peer(component=component, node=signer.name)
        # Files arrive before manifests and flags: an API server may start with new ones and its old flags.
        for name, flagged in (("kube-apiserver", None), ("kube-apiserver with its old flags", Age.OLD)):
            yield self._group(
                presenter,
                Peer(component=name, node=judge.name),
                Presented.ACCOUNT,
                partial(self._token_refusal, (signer, component, flag), judge, flagged),
            )

    def _token_refusal(
        self, signer: tuple[Node, str, str], judge: Node, flagged: Age | None, presented: Age, trusted: Age
    ) -> str | None:
        """Why an API server refuses a token of a signer; None where one of its keys verifies it."""
        if signer[:2] == (judge, "kube-apiserver") and (presented, trusted) == _NOT_YET:
            return None
        # Of a flag that is given twice, the last value counts (pflag).
        signing = self._files(*signer, presented)[-1:]  # the one that counts
        # By the flags that it was started with, which may be older than the files that they name.
        accepted = self._files(judge, "kube-apiserver", "service-account-key-file", flagged or trusted)
        if not all(map(self._held.is_ours, (*signing, *accepted))):
            return self._held.unless_same(signing, accepted)
        keys = {self._held.key(path, presented) for path in signing}
        missing = keys - {self._held.key(path, self._held.age_of(path, trusted)) for path in accepted}
        if not missing:
            return None
        (key,) = missing
        named = " and ".join(path.rpartition("/")[2] for path in accepted)
        return f"{named} do not hold the key {hashlib.sha256(key).hexdigest()[:16]} that signs"

    def _files(self, node: Node, component: str, flag: str, age: Age) -> tuple[str, ...]:
        """The files that a component's flags name, as paths in the PKI directory."""
        item = self._flag_files[node.name, component]
        given = self._held.arguments(item.path, item.kind, age)
        line = self._lines.started_with(ComponentName(component), node, given)
        return tuple(line.place(value) for value in line.values(flag))

    # -- Secrets --------------------------------------------------------------------------------------

    def _secrets(self) -> Iterator[_Group]:
        """What one API server encrypts, every other one must be able to read."""
        items = [
            item
            for item in self._inventory.items
            if isinstance(item, DesiredFile) and item.kind is FileKind.ENCRYPTION_CONFIGURATION
        ]
        # Itself among them: started anew, it reads what it wrote before.
        for writer, judge in itertools.product(items, items):
            yield self._group(
                Peer(component="kube-apiserver", node=writer.node),
                Peer(component="kube-apiserver", node=judge.node),
                Presented.STORED,
                partial(self._secret_refusal, writer.path, judge.path),
            )

    def _secret_refusal(self, writer: str, judge: str, presented: Age, trusted: Age) -> str | None:
        """Why an API server cannot read what another one encrypts; None where it has the key."""
        if writer == judge and (presented, trusted) == _NOT_YET:
            return None
        # apiserver, storage/value/transformer.go: TransformToStorage takes the first, reading tries all.
        first, *_ = self._held.encryption_keys(writer, presented)
        if first in self._held.encryption_keys(judge, trusted):
            return None
        return f"{judge} does not hold the key that writes"
