"""What a refused connection or request can be a case of, as error messages describe it."""

from __future__ import annotations

import enum

from pkigen.records import dataclass


class Listener(enum.Enum):
    """Which server a message is about, by the port that it names or by the words around it."""

    API_SERVER = enum.auto()
    ETCD = enum.auto()
    ETCD_PEER = enum.auto()
    KUBELET = enum.auto()
    CONTROLLER_MANAGER = enum.auto()
    SCHEDULER = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownAuthority:
    """The client does not trust the CA of the server's certificate.

    `server` is the server it connected to, where the message says it. `namesake` is the name of a CA that it
    does know, and that has another key than the CA of that name that signed.
    """

    listener: Listener | None
    server: str | None
    namesake: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedClient:
    """The server does not trust the CA of the client's certificate, as its log or the client says."""

    listener: Listener | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoCertificate:
    """The server asks for a client certificate, and the client presents none."""

    listener: Listener | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedServer:
    """A server's log: the client aborted, because it refuses the server's certificate."""

    listener: Listener


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongUsage:
    """A certificate is not for the side that presents it: its extended key usage lacks that side's.

    `is_client` says that the client presents it; `listener` is the server, whichever side presents it.
    """

    listener: Listener | None
    is_client: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NotServing:
    """The server has no certificate yet (RFC 8446 6.2, internal_error): a kubelet whose request waits."""


class NameKind(enum.Enum):
    """A kind of names in a certificate."""

    ADDRESSES = "addresses"
    DNS_NAMES = "DNS names"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongName:
    """The server's certificate does not have the name that the client uses; a message may lack either.

    `server` is what it connected to, where the message says it. `lacks` says which kind of names the
    certificate has none of at all.
    """

    listener: Listener | None
    server: str | None
    name: str | None
    names: frozenset[str]
    lacks: NameKind | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Anonymous:
    """No credential arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cannot:
    """A known user lacks a right; `resource` and `path` are what it is about, and one of them is None."""

    user: str
    verb: str
    resource: str | None
    group: str
    namespace: str | None
    path: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """A certificate has expired or is not yet valid, or a clock is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoKubeconfig:
    """kubectl has no kubeconfig, and dials its default: localhost:8080 (clientcmd)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoCredential:
    """The kubeconfig's user has no credential: kubectl asks for a password, which no API server takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoMappings:
    """The ConfigMap that maps AWS IAM to users is not in the cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """The credential is on the list that API servers refuse: pkigen's webhook, which leads nowhere."""


class Circumstance(enum.Enum):
    """What a message says that names nothing of the cluster."""

    EXEC_VERSION = enum.auto()
    """The program of a kubeconfig's user and kubectl speak other versions."""
    EXEC_MISSING = enum.auto()
    EXEC_FAILED = enum.auto()
    NO_CONTEXT = enum.auto()
    KEY_MISMATCH = enum.auto()
    ROTATES = enum.auto()
    """A kubelet says that it renews its certificate: no error."""
    ROTATION_WAITS = enum.auto()
    KUBELET_EXPIRED = enum.auto()
    """A kubelet has no valid kubeconfig, and nothing to ask for one with."""
    ESCALATION = enum.auto()
    UNKNOWN_KIND = enum.auto()


class Refusal(enum.Enum):
    """Why an API server refuses a credential, by its log (`pkg/serviceaccount/claims.go`, `jwt.go`)."""

    UNKNOWN = enum.auto()
    EXPIRED = enum.auto()
    GONE = enum.auto()
    AUDIENCE = enum.auto()
    KEY = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unauthorized:
    """A credential arrived and was refused."""

    why: Refusal


HandshakeFailure = (
    UnknownAuthority
    | RefusedClient
    | NoCertificate
    | RefusedServer
    | WrongUsage
    | NotServing
    | WrongName
    | Expired
)


Failure = (
    HandshakeFailure
    | NoKubeconfig
    | NoCredential
    | NoMappings
    | Revoked
    | Circumstance
    | Anonymous
    | Cannot
    | Unauthorized
)
