"""Do running API servers refuse what is revoked? Asked of each of them, without any revoked credential.

A SubjectAccessReview has the API server authorize somebody's request as it would the request itself: what
its list of revoked credentials refuses is answered with `denied`. The list has a marker, an id that no
certificate has: who denies that has read this very list. Asking takes the rights of the scheduler, which
every API server gives it (`plugin/pkg/auth/authorizer/rbac/bootstrappolicy`).
"""

from __future__ import annotations

import base64
import binascii
import enum
import http.client
import json
import re
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pkigen.desired.endpoints import Endpoint, endpoints
from pkigen.desired.generations import CA, ca_location
from pkigen.desired.readers import ComponentName
from pkigen.desired.revocations import CredentialId, CredentialIdKind, marker, short
from pkigen.records import dataclass
from pkigen.state.observed import KEY_PLACEHOLDER, content_at
from pkigen.store.anonymous import anonymous_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import timedelta

    from pkigen.desired.inventory import Inventory
    from pkigen.desired.revocations import Revocation
    from pkigen.store import Store

_PATH: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
# A review is asked for by creating one, though nothing is stored.
_CREATED: Final = 201
# A review is a few hundred bytes. What is longer is cut off, and then no JSON: it counts as no answer.
_LARGEST_ANSWER: Final = 1 << 20
_SECONDS: Final = 5.0
_TOLD: Final = 20
"""How many of a long list are asked about one by one, where an API server lacks some of it."""
# `CredentialIDKey` (apiserver, pkg/authentication/user): what an API server notes of the credential shown.
_KEY: Final = "authentication.kubernetes.io/credential-id"


class Hold(enum.StrEnum):
    """What an API server knows of the list."""

    CURRENT = "current"
    BEHIND = "behind"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerList:
    """One API server: what it knows of the list, and why, in words, that is not all of it."""

    node: str
    address: str
    hold: Hold
    detail: str = ""

    def __str__(self) -> str:
        return f"kube-apiserver on {self.node} ({self.address}): revocations: {self.detail}"


Ask = Callable[[Endpoint, dict[str, Any]], dict[str, Any]]
"""Has an API server review an access.

Raises:
    OSError: It does not answer.
    ValueError: It answers something else.
"""


def ask_all(
    inventory: Inventory, store: Store, *, within: timedelta, ask: Ask | None = None
) -> tuple[ServerList, ...]:
    """Ask every API server; nothing where no list concerns them.

    Args:
        inventory: Says what must be refused, and which API servers there are.
        store: The PKI directory.
        within: How long all of it may take.
        ask: Has one API server review one access; by default a `Reviewer`, which reads keys, and so is
            made only where there is a list.
    """
    active = inventory.revocations.active
    wanted = [
        each
        for each in endpoints(inventory, partial(content_at, store))
        if each.component == str(ComponentName.API_SERVER)
    ]
    if not active or not wanted:
        return ()
    ask = ask or Reviewer(inventory, store)
    # A thread for each, unlike `live`: only kubelets are in the thousands.
    pool = ThreadPoolExecutor(max_workers=len(wanted))
    try:
        asked = [pool.submit(_held, each, active, ask) for each in wanted]
        wait(asked, timeout=within.total_seconds())
        late = f"no answer within {within.total_seconds():g} s"
        return tuple(
            answer.result() if answer.done() else _unknown(endpoint, late)
            for endpoint, answer in zip(wanted, asked, strict=True)
        )
    finally:
        # Not waiting: what was answered is told now. At its end Python joins the rest, bounded by `_SECONDS`.
        pool.shutdown(wait=False, cancel_futures=True)


def _unknown(endpoint: Endpoint, why: str) -> ServerList:
    return ServerList(node=endpoint.node, address=endpoint.address, hold=Hold.UNKNOWN, detail=why)


def _held(endpoint: Endpoint, active: Sequence[Revocation], ask: Ask) -> ServerList:
    """What one API server refuses."""
    try:
        if _is_refused(ask(endpoint, _review(marker(active)))):
            return ServerList(node=endpoint.node, address=endpoint.address, hold=Hold.CURRENT)
        # The newest first: who has an older file lacks what was revoked last.
        newest = sorted(active, key=lambda each: each.revoked, reverse=True)[:_TOLD]
        passing = [each for each in newest if not _is_refused(ask(endpoint, _review(each.credential)))]
    # What answers on the port of an API server may be a load balancer, or speak no HTTP at all.
    except (OSError, http.client.HTTPException, ValueError) as error:
        return _unknown(endpoint, f"cannot be asked: {_words(error)}")
    return ServerList(
        node=endpoint.node, address=endpoint.address, hold=Hold.BEHIND, detail=_told(passing, len(active))
    )


def _told(passing: Sequence[Revocation], count: int) -> str:
    """What still passes, of those that were asked about."""
    if not passing:
        return f"it has another list than this one, with the newest of {count} in it: copy the file"
    some = ", ".join(f"{short(each.credential)} of {each.of}" for each in passing[:3])
    more = f" and {len(passing) - 3} more" if len(passing) > len(passing[:3]) else ""
    return f"still lets pass {some}{more}: it has not got, or not read, the new file"


def _words(error: Exception) -> str:
    """Why nobody answered; OpenSSL's reasons are names such as CERTIFICATE_VERIFY_FAILED."""
    if isinstance(error, ssl.SSLError):
        return (getattr(error, "reason", None) or str(error)).replace("_", " ").lower()
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (text or type(error).__name__).lower()


def _is_refused(answer: dict[str, Any]) -> bool:
    """Whether the API server denies it, which RBAC never does: it only does not allow.

    Raises:
        ValueError: It is no review.
    """
    status = answer.get("status")
    if answer.get("kind") != "SubjectAccessReview" or not isinstance(status, dict):
        raise ValueError("the answer is no SubjectAccessReview")
    # RBAC ends with DecisionNoOpinion (plugin/pkg/auth/authorizer/rbac/rbac.go, Authorize), upon which the
    # union asks the next authorizer; only DecisionDeny is shown as `denied`.
    return status.get("denied") is True


def _review(credential: CredentialId) -> dict[str, Any]:
    """The review: may the holder of this credential read /version, as everybody may?"""
    by_user = credential.kind is CredentialIdKind.USER
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            # A name that nothing is bound to: what is asked about is the credential alone.
            "user": credential.value if by_user else "pkigen:revocations",
            # Everybody's group, which may read /version (bootstrappolicy, `system:public-info-viewer`).
            "groups": ["system:authenticated"],
            **({} if by_user else {"extra": {_KEY: [str(credential)]}}),
            "nonResourceAttributes": {"path": "/version", "verb": "get"},
        },
    }


class Reviewer:
    """Asks with a certificate of the API server's own node, verifying by the tree's CA.

    It reads the tree once and at first: it is called by several threads, and a store is read by one.
    """

    def __init__(self, inventory: Inventory, store: Store, *, seconds: float = _SECONDS) -> None:
        self._bundle = content_at(store, ca_location(CA.KUBERNETES).certificate)
        self._identities = {
            node.name: tuple(_identities(inventory, store, node.name))
            for node in inventory.cluster.control_plane
        }
        self._seconds = seconds

    def __call__(self, endpoint: Endpoint, body: dict[str, Any]) -> dict[str, Any]:
        """Have one API server review one access.

        Raises:
            OSError: It does not answer.
            ValueError: It answers something else, or nobody can come in from here.
        """
        why = "no kubeconfig in the tree has the key of a certificate that may ask"
        for certificate, key in self._identities.get(endpoint.node, ()):
            answer = self._answer(endpoint, body, certificate, key)
            if isinstance(answer, dict):
                return answer
            why = answer
        raise ValueError(why)

    def _answer(
        self, endpoint: Endpoint, body: dict[str, Any], certificate: bytes, key: bytes
    ) -> dict[str, Any] | str:
        """The review, or why this identity did not get one."""
        # Not `urllib`, which would send the request to the proxy that the environment names.
        connection = http.client.HTTPSConnection(
            str(endpoint.host),
            endpoint.port,
            timeout=self._seconds,
            context=self._context(certificate, key),
        )
        try:
            connection.request("POST", _PATH, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            data = answer.read(_LARGEST_ANSWER)
        finally:
            connection.close()
        if answer.status != _CREATED:
            return f"it answers {answer.status} {answer.reason}".lower()
        content = json.loads(data)
        return content if isinstance(content, dict) else "its answer is no object"

    def _context(self, certificate: bytes, key: bytes) -> ssl.SSLContext:
        """TLS by what the tree has; `ssl` takes a private key from a file alone, which here is in memory."""
        # Without any, `ssl` would trust the CAs of this machine, and the name is not checked.
        if not self._bundle:
            raise ValueError("the tree has no CA to verify it by")
        context = ssl.create_default_context(cadata=self._bundle.decode("ascii", "replace"))
        # The address is the spec's, and names are checked by the other look at the same endpoint.
        context.check_hostname = False
        with anonymous_file(certificate.rstrip() + b"\n" + key) as path:
            context.load_cert_chain(path)
        return context


_ASKING: Final = ("scheduler.conf", "controller-manager.conf", "admin.conf", "super-admin.conf")
# Looser than those of `state.observed`: any kubeconfig with a key will do, whoever has written it.
_CERTIFICATE: Final = re.compile(rb"client-certificate-data:\s*[\"']?([A-Za-z0-9+/=]+)")
_KEY_DATA: Final = re.compile(rb"client-key-data:\s*[\"']?([A-Za-z0-9+/=]+)")


def _identities(inventory: Inventory, store: Store, node: str) -> Iterator[tuple[bytes, bytes]]:
    """Who may ask, the one with the least rights first; one of them may be revoked itself."""
    for name in _ASKING:
        item = inventory.certificates.get(f"{node}/{name}")
        content = content_at(store, item.file) if item is not None else None
        certificate, key = (_CERTIFICATE.search(content or b""), _KEY_DATA.search(content or b""))
        if certificate is not None and key is not None:
            try:
                pair = (base64.b64decode(certificate[1]), base64.b64decode(key[1]))
            # Cut off, say: the next one may do, and `verify` without --live tells of this one.
            except binascii.Error:
                continue
            # A kubeconfig whose key is on its node alone has a placeholder in its place.
            if b"PRIVATE KEY" in pair[1] and KEY_PLACEHOLDER not in pair[1]:
                yield pair
