"""Which user a credential authenticates as, how long it is valid, and why the API server may refuse it."""

from __future__ import annotations

import enum
import re
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from pkigen.crypto import service_account_tokens as tokens
from pkigen.crypto.keys import UnsupportedKeyError, public_der, public_half
from pkigen.crypto.names import common_names, extension_of, is_ca
from pkigen.crypto.pem_certificates import parse_certificates
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from pkigen.access.kubeconfigs import NamedEntry

_BOOTSTRAP_TOKEN = re.compile(r"([a-z0-9]{6})\.[a-z0-9]{16}")
# The API server puts everybody whom it knows into this group (authentication/group).
_AUTHENTICATED = "system:authenticated"


class CredentialKind(enum.StrEnum):
    """What is presented."""

    CERTIFICATE = "client certificate"
    SERVICE_ACCOUNT_TOKEN = "service account token"  # noqa: S105 -- a kind
    BOOTSTRAP_TOKEN = "bootstrap token"  # noqa: S105
    OPAQUE_TOKEN = "bearer token"  # noqa: S105
    PROGRAM = "program"
    PASSWORD = "password"  # noqa: S105
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What can be said about a credential without contacting a cluster.

    `user` is empty where only the cluster knows. `faults` are sentences that say why it does not work.
    """

    kind: CredentialKind
    user: str = ""
    groups: tuple[str, ...] = ()
    expires: datetime | None = None
    details: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    certificate: x509.Certificate | None = None


def of_certificate(certificate: x509.Certificate, *, now: datetime) -> Credential:
    """The identity of a client certificate (`request/x509` CommonNameUserConversion)."""
    subject = common_names(certificate.subject)
    faults = []
    if not subject.common_name:
        faults.append("the client certificate has no common name: the API server finds no user in it")
    if not _is_for_clients(certificate):
        faults.append("the client certificate is not for clients: its extendedKeyUsage lacks clientAuth")
    if now >= certificate.not_valid_after_utc:
        faults.append(f"the client certificate expired {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    if now < certificate.not_valid_before_utc:
        begins = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        faults.append(f"the client certificate is not valid before {begins}")
    return Credential(
        kind=CredentialKind.CERTIFICATE,
        user=subject.common_name,
        groups=(*subject.organizations, _AUTHENTICATED),
        expires=certificate.not_valid_after_utc,
        # It works all the same.
        details=("it is a CA's: nobody should hold its key beside kubectl",) if is_ca(certificate) else (),
        faults=tuple(faults),
        certificate=certificate,
    )


def of_token(text: str, *, now: datetime) -> Credential:
    """The identity that a bearer token claims."""
    bootstrap = _BOOTSTRAP_TOKEN.fullmatch(text.strip())
    if bootstrap:
        return Credential(
            kind=CredentialKind.BOOTSTRAP_TOKEN,
            user=f"system:bootstrap:{bootstrap[1]}",
            # More may be in `auth-extra-groups` of the Secret, which is not here (`BootstrapDefaultGroup`).
            groups=("system:bootstrappers", _AUTHENTICATED),
            details=(f"its expiry is in the Secret kube-system/bootstrap-token-{bootstrap[1]}",),
        )
    token = tokens.read(text)
    if isinstance(token, str):
        return Credential(kind=CredentialKind.OPAQUE_TOKEN, details=("only the cluster knows its user",))
    subject = str(token.claims.get("sub", ""))
    expires = token.expires
    faults = tuple(token_faults(token, now))
    details = [f"issued by {token.claims.get('iss', 'nobody')}"]
    details += [f"for {', '.join(token.audiences)}"] if token.audiences else []
    details += [f"signed with the key {token.key_id}"] if token.key_id else []
    # A subject of another form is of another issuer: what it means only the cluster knows.
    namespace, _, name = subject.removeprefix(tokens.SERVICE_ACCOUNT_PREFIX).partition(":")
    if not subject.startswith(tokens.SERVICE_ACCOUNT_PREFIX) or not name:
        return Credential(
            kind=CredentialKind.OPAQUE_TOKEN,
            user=subject,
            expires=expires,
            details=tuple(details),
            faults=faults,
        )
    if not uid_of(token.claims):
        faults = (
            *faults,
            "the token contains no UID: the API server refuses it, other verifiers may accept it",
        )
    # Those of serviceaccount.MakeGroupNames.
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", _AUTHENTICATED)
    return Credential(
        kind=CredentialKind.SERVICE_ACCOUNT_TOKEN,
        user=subject,
        groups=groups,
        expires=expires,
        details=tuple(details),
        faults=faults,
    )


def token_faults(token: tokens.Token, now: datetime) -> Iterator[str]:
    """Why it is not valid now: the leeway is for a token that begins; one that has ended is told at once."""
    if token.expires is not None and token.expires <= now:
        yield f"the token expired {token.expires:%Y-%m-%d %H:%M} UTC"
    if token.not_before is not None and token.not_before > now + tokens.LEEWAY:
        yield f"the token is not valid before {token.not_before:%Y-%m-%d %H:%M} UTC"


def of_entry(entry: NamedEntry, read: Callable[[Path], bytes | str], *, now: datetime) -> Credential:
    """The credential of a kubeconfig's user, in the order in which client-go prefers them.

    Args:
        entry: The user.
        read: Gives the bytes of a file, or a sentence saying why it cannot.
        now: The present, in UTC.
    """
    certificate, certificate_faults = _certificate(entry, read)
    token, token_faults = token_of(entry, read)
    # Certificates are tried before tokens (kubeapiserver/authenticator/config.go).
    if certificate is not None:
        found = of_certificate(certificate, now=now)
        faults = (*found.faults, *certificate_faults, *_key_faults(entry, read, certificate), *token_faults)
        more = ("there is also a token; the API server uses the certificate first",) if token else ()
        return _with(found, faults=faults, details=(*found.details, *more, *_idle_program(entry)))
    if token:
        found = of_token(token, now=now)
        details = (*found.details, *_idle_program(entry))
        return _with(found, faults=(*found.faults, *certificate_faults), details=details)
    faults = (*certificate_faults, *token_faults)
    if entry.text("username"):
        return Credential(
            kind=CredentialKind.PASSWORD,
            details=tuple(_idle_program(entry)),
            faults=("it is a password, which API servers have not accepted since 1.19",),
        )
    if entry.fields.get("exec"):
        return Credential(kind=CredentialKind.PROGRAM, details=tuple(_program(entry)), faults=faults)
    if entry.fields.get("auth-provider"):
        return _of_provider(entry)
    asks = ("kubectl asks for a user name and a password, which API servers do not accept",)
    # Where it is allowed, whoever shows nothing has this name (authentication/request/anonymous).
    return Credential(
        kind=CredentialKind.NOTHING,
        user="system:anonymous",
        groups=("system:unauthenticated",),
        faults=faults or asks,
    )


def _idle_program(entry: NamedEntry) -> Iterator[str]:
    """A program that is not asked, since there is a credential (`UpdateTransportConfig` in auth/exec)."""
    if entry.fields.get("exec"):
        yield "there is also a program (exec); kubectl does not run it beside a credential"


def _of_provider(entry: NamedEntry) -> Credential:
    """What an `auth-provider` gets: kubectl has one left (client-go, `plugin/pkg/client/auth`)."""
    provider = entry.fields["auth-provider"]
    fields = provider if isinstance(provider, dict) else {}
    settings = fields.get("config")
    if fields.get("name") != "oidc":
        return Credential(
            kind=CredentialKind.PROGRAM,
            faults=("it needs an auth-provider, which kubectl no longer has since 1.26",),
        )
    issuer = settings.get("idp-issuer-url") if isinstance(settings, dict) else None
    return Credential(
        kind=CredentialKind.PROGRAM,
        details=("kubectl keeps a token in it and renews it (auth-provider oidc)",)
        + ((f"it logs in at {issuer}",) if issuer else ()),
        faults=() if issuer else ("its auth-provider names no idp-issuer-url",),
    )


def _program(entry: NamedEntry) -> Iterator[str]:
    yield "kubectl runs a program that gets it (exec)"
    program = entry.fields["exec"]
    arguments = program.get("args") if isinstance(program, dict) else None
    flag = "--oidc-issuer-url="
    for each in arguments if isinstance(arguments, list) else ():
        # kubelogin's: the token is of this issuer.
        if isinstance(each, str) and each.startswith(flag):
            yield f"it logs in at {each.removeprefix(flag)}"


def _with(found: Credential, *, faults: tuple[str, ...], details: tuple[str, ...]) -> Credential:
    """The same credential with other remarks."""
    return Credential(
        kind=found.kind,
        user=found.user,
        groups=found.groups,
        expires=found.expires,
        details=details,
        faults=faults,
        certificate=found.certificate,
    )


def content(entry: NamedEntry, name: str, read: Callable[[Path], bytes | str]) -> bytes | str | None:
    """A field's bytes, in the kubeconfig or in the file that it names; None where neither is given."""
    # Where both are given, the data counts (client-go, `dataFromSliceOrFile`).
    if entry.text(f"{name}-data"):
        return entry.data(f"{name}-data")
    path = entry.text(name)
    return read(Path(entry.origin.parent / path)) if path else None


def _certificate(
    entry: NamedEntry, read: Callable[[Path], bytes | str]
) -> tuple[x509.Certificate | None, tuple[str, ...]]:
    """The client certificate of a kubeconfig's user, and why there is none that can be read."""
    data = content(entry, "client-certificate", read)
    if data is None:
        return None, ()
    if isinstance(data, str):
        return None, (f"its certificate {data}",)
    parsed = parse_certificates(only_certificates(data))
    if isinstance(parsed, str):
        return None, (f"its certificate {parsed}",)
    return parsed[0], ()


def only_certificates(data: bytes) -> bytes:
    """The certificates of a file: the kubelet's has its key in it, too (kubelet-client-current.pem)."""
    return b"\n".join(
        re.findall(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", data, re.DOTALL)
    )


def _key_faults(
    entry: NamedEntry, read: Callable[[Path], bytes | str], certificate: x509.Certificate
) -> tuple[str, ...]:
    """The TLS client needs both halves, and Go refuses a pair that does not match (`tls.X509KeyPair`)."""
    data = content(entry, "client-key", read)
    if data is None:
        return ("the client certificate has no private key beside it",)
    fault = data if isinstance(data, str) else key_fault(data, certificate)
    return () if fault is None else (f"its private key {fault}",)


def key_fault(data: bytes, certificate: x509.Certificate) -> str | None:
    """Why a PEM file is not the private key of a certificate; None where it is."""
    try:
        same = public_half(_only_keys(data)) == public_der(certificate.public_key())
    except UnsupportedKeyError as error:
        return str(error)
    return None if same else "does not match the certificate"


def _only_keys(data: bytes) -> bytes:
    """The private key of a file that may hold certificates, too (kubelet-client-current.pem)."""
    return b"\n".join(
        re.findall(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.+?-----END [A-Z ]*PRIVATE KEY-----", data, re.DOTALL)
    )


def token_of(entry: NamedEntry, read: Callable[[Path], bytes | str]) -> tuple[str, tuple[str, ...]]:
    """A user's token, empty without one, and what is wrong with its file.

    Of both, the file counts: client-go keeps reading it while it runs (`transport/token_source.go`).
    """
    path = entry.text("tokenFile")
    if path:
        data = read(Path(entry.origin.parent / path))
        if isinstance(data, str):
            # client-go reads it at once where there is no other token (`clientcmd/client_config.go`).
            token = entry.text("token")
            return token, () if token else (f"its token {data}",)
        return data.decode("ascii", "replace").strip(), ()
    return entry.text("token"), ()


def uid_of(claims: Mapping[str, object]) -> object:
    """The account's UID: in the private claims of bound tokens (`claims.go`), else beside (`legacy.go`)."""
    private = claims.get("kubernetes.io")
    account = private.get("serviceaccount") if isinstance(private, dict) else None
    return (
        account.get("uid")
        if isinstance(account, dict)
        else claims.get("kubernetes.io/serviceaccount/service-account.uid")
    )


def _is_for_clients(certificate: x509.Certificate) -> bool:
    """Whether it is for clients, as Go's checkChainForKeyUsage has it: one that names no usage is for all."""
    extension = extension_of(certificate, x509.ExtendedKeyUsage)
    if extension is None:
        return True
    return bool(
        set(extension.value) & {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    )
