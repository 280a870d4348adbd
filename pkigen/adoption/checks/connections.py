"""What the ends of connections refuse of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen.adoption.findings import AuditFinding, AuditRule
from pkigen.adoption.judgements import USER_OF, host_of, judgements
from pkigen.adoption.put_away import is_put_away
from pkigen.adoption.severity import AuditSeverity
from pkigen.crypto.go_paths import OTHER_KEY, OUT_OF_TIME, UNSIGNED, name_refusal, refusal
from pkigen.crypto.keys import public_der
from pkigen.crypto.names import subject_of
from pkigen.desired.readers import ComponentName

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cryptography import x509

    from pkigen.adoption.found import ForeignCluster, FoundLogin, Program, Spot
    from pkigen.adoption.judgements import Judgement


def refused_connections(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """Every judgement that ends in a refusal; what time alone refuses is told of the certificate itself."""
    judged = [
        (each, refusal(each.shown.certificates, each.trust.certificates, each.name, cluster.now))
        for each in judgements(cluster)
    ]
    # Whatever else is wrong with it, an accepted signature shows that its CA is a right one somewhere.
    accepted = {each.shown.spot for each, reason in judged if reason not in _UNTRUSTED}
    refused: dict[tuple[AuditRule, Spot, str], list[Judgement]] = {}
    for each, reason in judged:
        # `expired` and `not_yet_valid` say it once for the certificate; here it would be said for each
        # connection.
        if reason is not None and reason != OUT_OF_TIME:
            rule, spot = _blamed(each, reason, accepted)
            refused.setdefault((rule, spot, reason), []).append(each)
    for (rule, spot, reason), refusals in refused.items():
        yield AuditFinding(
            rule=rule,
            severity=min(map(_weight, refusals), key=lambda one: one.rank),
            spot=spot,
            detail=_sentence(refusals, reason),
        )


def _blamed(refused: Judgement, reason: str, accepted: set[Spot]) -> tuple[AuditRule, Spot]:
    """What is wrong: the certificate, or the CA that a kubeconfig has.

    A certificate that nobody accepts is itself what is wrong, such as one without its intermediate CA.
    """
    is_persons = bool(refused.name) and refused.judge.component.startswith(USER_OF)
    if is_persons and reason in _UNTRUSTED and refused.shown.spot in accepted:
        return AuditRule.STALE_CA, refused.trust.spot
    return AuditRule.REFUSED_CONNECTION, refused.shown.spot


_UNTRUSTED: Final = frozenset({UNSIGNED, OTHER_KEY})


def _weight(refused: Judgement) -> AuditSeverity:
    """A copy that somebody has put away connects to nobody."""
    spots = (refused.trust.spot, refused.shown.spot)
    return AuditSeverity.INFORMATION if any(is_put_away(each.path) for each in spots) else refused.severity


def _sentence(refusals: list[Judgement], reason: str) -> str:
    first = refusals[0]
    by = (
        f"judged by {first.trust.spot}"
        if first.shown.spot != first.trust.spot
        else "judged by its own CA data"
    )
    more = f", and {len(refusals) - 1} more" if len(refusals) > 1 else ""
    subject = subject_of(first.shown.certificates[0])
    return f"{first.judge} refuses {first.judged}, {subject}: {reason} ({by}{more})"


def record_differs(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """An API server's certificate without a name that kubeadm's record of the cluster has."""
    record = cluster.record
    if record is None:
        return
    endpoint = host_of(record.endpoint) if record.endpoint else ""
    for node, program in cluster.running(ComponentName.API_SERVER):
        shown = node.bundle(program, "tls-cert-file")
        lacking = [
            name
            for name in dict.fromkeys(filter(None, (*record.api_server_names, endpoint)))
            if shown is not None and name_refusal(shown.certificates[0], name) is not None
        ]
        if shown is not None and lacking:
            yield AuditFinding(
                rule=AuditRule.RECORD_DIFFERS,
                severity=AuditSeverity.WARNING,
                spot=shown.spot,
                detail=f"it does not name {', '.join(lacking)}, as kubeadm's ClusterConfiguration has it",
            )


def unverified_server(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """A kubeconfig that does not verify the API server."""
    for _, kubeconfig in cluster.each_kubeconfig():
        for login in kubeconfig.logins:
            if login.server.startswith("http://") or not login.verifies:
                how = "has insecure-skip-tls-verify" if not login.verifies else f"dials {login.server}"
                yield AuditFinding(
                    rule=AuditRule.UNVERIFIED_SERVER,
                    severity=AuditSeverity.ERROR,
                    spot=kubeconfig.spot,
                    detail=f"the context {login.name} {how}: anybody may answer",
                )


def trust_missing(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """A component or a kubeconfig that must verify others, and names no CA for that."""
    for node in cluster.nodes:
        for program in node.programs:
            for flag, what in _JUDGES.get(program.component, ()):
                if not program.flags.value(flag) and _is_to_judge(program, flag):
                    yield _without_trust(program.spot, f"{program} {what}: --{flag} is not set")
    for _, kubeconfig in cluster.each_kubeconfig():
        for login in kubeconfig.logins:
            if _trusts_nobody(login):
                yield _without_trust(login.spot, f"the context {login.name} names no CA for {login.server}")


def _trusts_nobody(login: FoundLogin) -> bool:
    """Whether a context that shows a certificate verifies the server by the operating system's CAs."""
    return login.pair is not None and login.verifies and not login.names_trust


_JUDGES: Final = {
    ComponentName.API_SERVER: (
        ("client-ca-file", "knows no client by its certificate"),
        ("etcd-cafile", "cannot verify etcd"),
    ),
    ComponentName.ETCD: (
        ("trusted-ca-file", "cannot verify its clients"),
        ("peer-trusted-ca-file", "cannot verify its peers"),
    ),
    ComponentName.KUBELET: (("client-ca-file", "does not know the API server by its certificate"),),
}


def _is_to_judge(program: Program, flag: str) -> bool:
    """Whether a component is to use certificates where it has no CA for them."""
    value = program.flags.value
    match flag:
        case "etcd-cafile":
            return "https://" in value("etcd-servers")
        case "trusted-ca-file":
            return value("client-cert-auth") == "true"
        case "peer-trusted-ca-file":
            return value("peer-client-cert-auth") == "true"
        case _:
            # Without its file of settings, which may not have been copied, nothing is known of a kubelet.
            return program.component is not ComponentName.KUBELET or bool(program.flags.settings)


def _without_trust(spot: Spot, detail: str) -> AuditFinding:
    return AuditFinding(rule=AuditRule.TRUST_MISSING, severity=AuditSeverity.ERROR, spot=spot, detail=detail)


def signer_unusable(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """A controller manager's CA whose certificates the API servers refuse, or that it cannot read at all."""
    for node, program in cluster.running(ComponentName.CONTROLLER_MANAGER):
        signer = node.bundle(program, "cluster-signing-cert-file")
        if signer is None:
            continue
        # pkg/controller/certificates/signer/ca_provider.go `setCA` refuses a file with any other number.
        if len(signer.certificates) > 1:
            yield AuditFinding(
                rule=AuditRule.SIGNER_UNUSABLE,
                severity=AuditSeverity.ERROR,
                spot=signer.spot,
                detail=f"it holds {len(signer.certificates)} certificates: {program} signs with exactly one",
            )
        for other, server in cluster.running(ComponentName.API_SERVER):
            trust = other.bundle(server, "client-ca-file")
            if trust is not None and not _covers(signer.certificates, trust.certificates):
                yield AuditFinding(
                    rule=AuditRule.SIGNER_UNUSABLE,
                    severity=AuditSeverity.ERROR,
                    spot=signer.spot,
                    detail=f"{server} refuses what {program} signs with it: {trust.spot} lacks this CA",
                )


def _covers(signer: Iterable[x509.Certificate], anchors: Sequence[x509.Certificate]) -> bool:
    """Whether a CA is one of the anchors, or is signed by one by its name."""
    keys = {public_der(each.public_key()) for each in anchors}
    return any(
        public_der(each.public_key()) in keys or any(each.issuer == anchor.subject for anchor in anchors)
        for each in signer
    )
