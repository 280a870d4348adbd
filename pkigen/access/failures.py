"""Common failures and the next step to fix each, for a known or an unknown cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.access import failure_kinds, handshakes, messages
from pkigen.access.circumstances import ANSWERS
from pkigen.access.denials import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.access.handshakes import Known


def explain(text: str, known: Known | None) -> tuple[str, ...] | None:
    """What a message means and what to do next; None where it is not one of the known ones.

    Args:
        text: The message, with whatever stands around it.
        known: The cluster, where one is known.
    """
    failure = messages.recognise(text)
    return None if failure is None else tuple(_explained(failure, known))


def _explained(failure: failure_kinds.Failure, known: Known | None) -> Iterator[str]:
    match failure:
        case failure_kinds.NoKubeconfig():
            yield from _NO_KUBECONFIG
        case failure_kinds.NoCredential():
            yield from _NO_CREDENTIAL
        case failure_kinds.NoMappings():
            yield from _NO_MAPPINGS
        case failure_kinds.Revoked():
            yield from _revoked(known)
        case failure_kinds.Circumstance():
            yield from ANSWERS[failure]
        case failure_kinds.Anonymous():
            yield from _anonymous(known)
        case failure_kinds.Cannot():
            yield from lacking(failure, known.inventory, known.signed) if known else lacking(failure, None)
        case failure_kinds.Unauthorized():
            yield from _unauthorized(failure.why, known)
        case _:
            yield from handshakes.explained(failure, known)


_NO_KUBECONFIG = (
    "kubectl has no kubeconfig, or none with a current context: it tries localhost:8080, and nothing listens",
    (
        "next: give one with --kubeconfig or $KUBECONFIG (admin.conf on a control-plane node, "
        "users/NAME.conf of the PKI directory); `pkigen access kubeconfig show FILE` says what is in it"
    ),
)
_NO_CREDENTIAL = (
    "the kubeconfig's user has no credential: kubectl asks for a password, which API servers do not accept",
    (
        "next: `pkigen access kubeconfig show FILE` says what its user has; take users/NAME.conf of the PKI "
        "directory, or make one with `pkigen access user kubeconfig`"
    ),
)
_NO_MAPPINGS = (
    "the cluster has no ConfigMap kube-system/aws-auth: no user of AWS IAM is known to it",
    (
        "next: `pkigen access iam` renders it from spec.iam; apply it with the mappings of the nodes, where "
        "nodes come in through IAM too"
    ),
)


def _revoked(known: Known | None) -> Iterator[str]:
    """The API server answers 500: it could not ask the webhook, and so it refuses."""
    yield "the credential was revoked: API servers refuse it on purpose, as an internal error (500)"
    yield (
        "next: who looks after the cluster says why (`pkigen status`), and makes another credential "
        "(`pkigen renew`), or lets this one pass again (`pkigen access unrevoke`)"
    )
    for each in known.inventory.revocations.active[:_MOST_SHOWN] if known is not None else ():
        yield f"revoked in this cluster: {each}"


def _anonymous(known: Known | None) -> Iterator[str]:
    """What RBAC denies to `system:anonymous` was never authenticated; a bad certificate is a 401 instead."""
    yield "no credential reached the API server: the request came without client certificate and token"
    # The anonymous authenticator is asked only where no other has failed
    # (kubeapiserver/authenticator/config.go, `union.NewFailOnError`).
    yield "a certificate that it cannot verify gives 401 Unauthorized instead, so none was sent"
    yield (
        "next: `pkigen access kubeconfig show FILE` says what the kubeconfig presents; with curl, give "
        "--cert and "
        "--key; behind a proxy or load balancer that terminates TLS the certificate never arrives: pass TCP "
        "through"
    )
    if known is not None and known.inventory.cluster.spec.users:
        names = ", ".join(sorted(user.stem for user in known.inventory.cluster.spec.users)[:5])
        yield f"this cluster's kubeconfigs are users/<name>.conf, for {names}"


_REFUSALS = {
    failure_kinds.Refusal.UNKNOWN: (
        "the API server refuses the credential: expired, of another CA or key, or for another audience",
        "`pkigen access kubeconfig show FILE` shows until when it is valid; `pkigen apply` makes a new one",
    ),
    failure_kinds.Refusal.EXPIRED: (
        "the API server refuses the token: it has expired, or one side's clock is wrong",
        "`pkigen apply` renews those of the spec; another: `kubectl create token`, `pkigen access token`",
    ),
    failure_kinds.Refusal.GONE: (
        "the API server refuses the token: its object was deleted, and a new one has another UID",
        "put the UID (`kubectl -n NAMESPACE get serviceaccount NAME -o yaml`) into the spec, `pkigen apply`",
    ),
    failure_kinds.Refusal.AUDIENCE: (
        "the API server refuses the token: it is for other audiences",
        "make one without --audience, or with one of --api-audiences",
    ),
    failure_kinds.Refusal.KEY: (
        "the API server refuses the token: it does not have the key that signed it, or has another issuer",
        "where `pkigen access oidc jwks` and `kubectl get --raw /openid/v1/jwks` differ, copy them again",
    ),
}


def _unauthorized(why: failure_kinds.Refusal, known: Known | None) -> Iterator[str]:
    what, step = _REFUSALS[why]
    yield what
    if why is failure_kinds.Refusal.AUDIENCE and known is not None:
        yield f"this cluster's API servers are {', '.join(known.inventory.token_trust.audiences)}"
    if why is failure_kinds.Refusal.UNKNOWN and known is not None and known.inventory.cluster.spec.iam:
        roles = ", ".join(mapping.arn for mapping in known.inventory.cluster.spec.iam[:_MOST_SHOWN])
        yield (
            f"with a token of AWS IAM (`aws eks get-token`) the role must be in spec.iam ({roles}) and in "
            "the ConfigMap kube-system/aws-auth: `pkigen access iam`"
        )
    yield f"next: {step}"


_MOST_SHOWN = 5
