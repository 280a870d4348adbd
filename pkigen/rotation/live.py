"""What running endpoints serve, compared with the tree: which nodes still serve the old certificate?

It connects to API servers, etcd members (both ports) and kubelets. What each presents in its handshake is
compared with `pki.lock`, the trust bundle, the names that clients connect to, and the clock. Nothing is sent.
What clients present cannot be seen from outside; the runbook of a rotation says how to see to it.
"""

from __future__ import annotations

import enum
import json
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import TYPE_CHECKING

from pkigen.crypto.go_paths import does_not_name
from pkigen.crypto.path_verifier import PathVerifier
from pkigen.crypto.pem_certificates import parse_certificates
from pkigen.desired.certificates import ETCD_HEALTHCHECK_CLIENT
from pkigen.desired.connections import edges
from pkigen.desired.endpoints import Endpoint, endpoints
from pkigen.desired.generations import CA, KeyPairFiles, ca_id
from pkigen.records import dataclass
from pkigen.rotation.deadline import DEADLINE
from pkigen.state.authority import look_at_all
from pkigen.state.ledger import read_ledger
from pkigen.state.lockfile import certificate_facts, read_lock
from pkigen.state.observed import content_at, observe_certificate

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import datetime, timedelta

    from cryptography import x509

    from pkigen.desired.inventory import Inventory
    from pkigen.state.authority import CACertificates
    from pkigen.store import Store

# For one endpoint: connecting may take this long, and so may the handshake.
_SECONDS = 5.0
# Threads that wait for the network; a cluster of hundreds of nodes is seen in a few rounds.
_AT_ONCE = 64


class Sight(enum.StrEnum):
    """What an endpoint serves."""

    CURRENT = "current"
    OLD = "old"
    UNKNOWN = "unknown"
    NOTHING = "unreachable"


class Flaw(enum.StrEnum):
    """What is wrong with an endpoint."""

    UNREACHABLE = "unreachable"
    OLD_CERTIFICATE = "old-certificate"
    UNKNOWN_CERTIFICATE = "unknown-certificate"
    NAME_MISSING = "name-missing"
    UNTRUSTED = "untrusted"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFinding:
    """One thing that is wrong with one endpoint."""

    endpoint: Endpoint
    flaw: Flaw
    detail: str

    def __str__(self) -> str:
        place = f"{self.endpoint.component} on {self.endpoint.node} ({self.endpoint.address})"
        return f"{place}: {self.flaw}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One endpoint, what it serves, and everything that is wrong with that."""

    endpoint: Endpoint
    sight: Sight
    fingerprint: str | None
    expires: datetime | None
    findings: tuple[LiveFinding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """Every endpoint that was connected to."""

    seen: tuple[Seen, ...]

    @property
    def findings(self) -> tuple[LiveFinding, ...]:
        """Everything that is wrong."""
        return tuple(finding for each in self.seen for finding in each.findings)

    def nodes(self, *sights: Sight) -> tuple[str, ...]:
        """The nodes with an endpoint of which this was seen."""
        return tuple(sorted({each.endpoint.node for each in self.seen if each.sight in sights}))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedIdentity:
    """The files of a client certificate, for servers that end the handshake without one."""

    certificate: str
    key: str


Dial = Callable[[Endpoint, ServedIdentity | None], tuple[bytes, ...]]
"""Makes a handshake; the result is what the server presented, as DER, its own certificate first.

Raises:
    OSError: Nothing was presented.
"""


def look(
    inventory: Inventory,
    store: Store,
    *,
    now: datetime,
    dial: Dial | None = None,
    only: Collection[str] | None = None,
    within: timedelta = DEADLINE,
) -> Live:
    """Dial every endpoint, and wait no longer than that for what they answer.

    Args:
        inventory: Says which endpoints there are.
        store: The PKI directory that they are compared with.
        now: The present, in UTC.
        dial: Makes one handshake; real ones by default.
        only: The ids of the CAs whose endpoints are wanted; all by default.
        within: How long all of it may take; who has not answered by then is unreachable.
    """
    wanted = [
        endpoint
        for endpoint in endpoints(inventory, partial(content_at, store))
        if only is None or _issuer_id(inventory, endpoint) in only
    ]
    if not wanted:
        return Live(seen=())
    view = _LiveLook(inventory, store, now)
    seconds = within.total_seconds()
    # At its end Python joins the threads that are still waiting, so none may wait longer than the whole look
    # may take.
    each_one = min(_SECONDS, seconds)
    ask = partial(_ask, dial or partial(handshake, seconds=each_one), seconds=each_one)
    pool = ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(wanted)))
    try:
        asked = [pool.submit(ask, endpoint, view.identity(endpoint)) for endpoint in wanted]
        # One bound for all: each handshake has its own, but thousands of them queue for few threads.
        wait(asked, timeout=seconds)
        late = f"no answer within the {seconds:g} s for all endpoints"
        answers = [answer.result() if answer.done() else late for answer in asked]
    finally:
        # Without waiting: a thread that still waits for an endpoint must not delay the answer for the others.
        pool.shutdown(wait=False, cancel_futures=True)
    return Live(seen=tuple(map(view.judged, wanted, answers)))


def handshake(
    endpoint: Endpoint, identity: ServedIdentity | None, *, seconds: float | None = None
) -> tuple[bytes, ...]:
    """Make one TLS handshake, in a bounded time: connecting takes `seconds` at most, and so does the rest.

    The `ssl` module counts the time of a whole handshake, so bytes that come one by one do not prolong it.
    Nothing is verified here: what was presented is judged afterwards, whatever it is. A server that demands a
    client certificate says so, in TLS 1.3, after it has presented its own: no refusal hides what it serves.

    Raises:
        OSError: Nobody answers, the handshake fails, or nothing was presented.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # After `check_hostname`, without which `ssl` refuses to turn verification off.
    context.verify_mode = ssl.CERT_NONE
    if identity is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    with (
        socket.create_connection(
            (str(endpoint.host), endpoint.port), timeout=seconds or _SECONDS
        ) as connection,
        context.wrap_socket(connection) as encrypted,
    ):
        presented = encrypted.getpeercert(binary_form=True)
        # Before Python 3.13 the leaf has to do: trust bundles hold the CA that has signed it, so only a cross
        # certificate is missed.
        above = getattr(encrypted, "get_unverified_chain", lambda: ())()  # public from Python 3.13 on
    if presented is None:
        raise ConnectionError("it presented no certificate")
    return tuple(above) or (presented,)


def _ask(
    dial: Dial, endpoint: Endpoint, identity: ServedIdentity | None, *, seconds: float | None = None
) -> tuple[bytes, ...] | str:
    """What an endpoint presents, or why that is not known."""
    try:
        try:
            return dial(endpoint, None)
        # Again with a certificate only where it is needed: in TLS 1.2 etcd
        # refuses before anything can be read.
        except ssl.SSLError:
            if identity is None:
                raise
            return dial(endpoint, identity)
    # Before OSError: both are kinds of it, with words that say more than `strerror` does.
    except TimeoutError:
        return f"no answer within {seconds or _SECONDS:g} s"
    except ssl.SSLError as error:
        reason = getattr(error, "reason", None) or str(error)
        return f"the handshake failed: {reason.replace('_', ' ').lower()}"
    except OSError as error:
        return (error.strerror or str(error)).lower()


class _LiveLook:
    """What every endpoint is compared with."""

    def __init__(self, inventory: Inventory, store: Store, now: datetime) -> None:
        self._inventory = inventory
        self._store = store
        self._now = now
        self._judge = PathVerifier(now)
        self._authorities, _ = look_at_all(store, inventory, now=now)
        lock = read_lock(store)
        self._locked: Mapping[str, str] = lock.fingerprints if lock is not None else {}
        self._names = _names(inventory, store)

    def identity(self, endpoint: Endpoint) -> ServedIdentity | None:
        """A client certificate for etcd, which lets nobody in without one; None for the others."""
        item = self._inventory.certificates.get(ETCD_HEALTHCHECK_CLIENT.id_on(endpoint.node))
        # A key that is on the node alone cannot be shown from here.
        if item is None or item.key_is_elsewhere or _issuer_id(self._inventory, endpoint) != ca_id(CA.ETCD):
            return None
        if not isinstance(item.location, KeyPairFiles):
            raise TypeError(item.location)
        root = self._store.root
        return ServedIdentity(
            certificate=f"{root}/{item.location.certificate}", key=f"{root}/{item.location.key}"
        )

    def judged(self, endpoint: Endpoint, answer: tuple[bytes, ...] | str) -> Seen:
        """Compare what an endpoint presented with everything that is known."""
        if isinstance(answer, str):
            return self._nothing(endpoint, answer)
        pem = "".join(map(ssl.DER_cert_to_PEM_cert, answer)).encode()
        chain = parse_certificates(pem)
        if isinstance(chain, str):
            return self._nothing(endpoint, f"what it presents {chain}")
        fingerprint = str(certificate_facts(chain[0])["fingerprint"])
        sight, findings = self._compared(endpoint, fingerprint)
        # Also of the expected certificate: it may have ended, or lack a name.
        findings += [
            LiveFinding(endpoint=endpoint, flaw=flaw, detail=detail)
            for flaw, detail in self._flaws(endpoint, chain)
        ]
        return Seen(
            endpoint=endpoint,
            sight=sight,
            fingerprint=fingerprint,
            expires=chain[0].not_valid_after_utc,
            findings=tuple(findings),
        )

    @staticmethod
    def _nothing(endpoint: Endpoint, why: str) -> Seen:
        """An endpoint that presented nothing that can be read, and why."""
        finding = LiveFinding(endpoint=endpoint, flaw=Flaw.UNREACHABLE, detail=why)
        return Seen(
            endpoint=endpoint, sight=Sight.NOTHING, fingerprint=None, expires=None, findings=(finding,)
        )

    def _compared(self, endpoint: Endpoint, fingerprint: str) -> tuple[Sight, list[LiveFinding]]:
        """Whether an endpoint serves what it should, something that was issued here earlier, or neither."""
        if fingerprint == self._expected(endpoint):
            return Sight.CURRENT, []
        issued = self._issued(fingerprint)
        if issued is None:
            detail = f"serves {fingerprint}, which pkigen has not issued in this directory"
            return Sight.UNKNOWN, [
                LiveFinding(endpoint=endpoint, flaw=Flaw.UNKNOWN_CERTIFICATE, detail=detail)
            ]
        identifier, time = issued
        what = "the certificate" if identifier == endpoint.certificate else identifier
        detail = f"still serves {what} of {time}; it lacks the new files or a restart"
        return Sight.OLD, [LiveFinding(endpoint=endpoint, flaw=Flaw.OLD_CERTIFICATE, detail=detail)]

    def _expected(self, endpoint: Endpoint) -> str | None:
        """The fingerprint that an endpoint should serve: the recorded one, or else the tree's."""
        # The lock file counts more than the tree: a file that was exchanged in the tree is not what should be
        # served.
        locked = self._locked.get(endpoint.certificate)
        if locked is not None:
            return locked
        item = self._inventory.certificates[endpoint.certificate]
        certificate = observe_certificate(self._store, item.location).certificate
        return str(certificate_facts(certificate)["fingerprint"]) if certificate is not None else None

    def _issued(self, fingerprint: str) -> tuple[str, str] | None:
        """The id and the time of a certificate that the ledger records; None where it does not."""
        needle = json.dumps(fingerprint).encode()
        # From the end: the certificate that an endpoint should have replaced is a recent one. The text is
        # searched before it is parsed, since a ledger of years has many lines.
        for line in reversed(read_ledger(self._store).split(b"\n")):
            if needle in line:
                try:
                    entry = json.loads(line)
                    return str(entry["id"]), str(entry["time"])
                # Anybody may have written into a ledger: a line that cannot be read says nothing, and hides
                # no other.
                except (ValueError, KeyError, TypeError, RecursionError):
                    continue
        return None

    def _flaws(self, endpoint: Endpoint, chain: tuple[x509.Certificate, ...]) -> Iterator[tuple[Flaw, str]]:
        """What clients will refuse about a presented certificate, whether it is the current one or not."""
        certificate = chain[0]
        # Alone: the path of a certificate that is not valid now fails for that reason, whatever else it is.
        if self._now >= certificate.not_valid_after_utc:
            yield Flaw.EXPIRED, f"expired {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
            return
        if self._now < certificate.not_valid_before_utc:
            yield (
                Flaw.NOT_YET_VALID,
                f"is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            )
            return
        authority = self._authority(endpoint)
        # Without the CA's files no path can be judged; that they are missing is for `verify` to say.
        if authority is None:
            return
        # What no edge names is dialled by its address, as it just was.
        for name in self._names.get(endpoint.certificate, (str(endpoint.host),)):
            refusal = self._judge.server(chain, authority.anchors, name)
            if refusal is None:
                continue
            # Another name may still be there; any other refusal would be the same for each of them.
            if refusal == does_not_name(name):
                yield Flaw.NAME_MISSING, f"its certificate is not for {name}"
            else:
                yield Flaw.UNTRUSTED, f"the trust bundle refuses it: {refusal}"
                return

    def _authority(self, endpoint: Endpoint) -> CACertificates | None:
        """The CA that clients of an endpoint trust; None where it is not to be read here."""
        issuer = self._inventory.certificates[endpoint.certificate].issuer
        return self._authorities.get(issuer) if issuer is not None else None


def _issuer_id(inventory: Inventory, endpoint: Endpoint) -> str:
    """The id of the CA that signs what an endpoint serves; empty where it signs that itself."""
    issuer = inventory.certificates[endpoint.certificate].issuer
    return ca_id(issuer) if issuer is not None else ""


def _names(inventory: Inventory, store: Store) -> dict[str, tuple[str, ...]]:
    """The names that clients of every serving certificate connect to."""
    found: dict[str, dict[str, None]] = {}
    for edge in edges(inventory, partial(content_at, store)):
        if edge.server_certificate is not None:
            found.setdefault(edge.server_certificate, {}).update(dict.fromkeys(edge.names))
    return {identifier: tuple(names) for identifier, names in found.items()}
