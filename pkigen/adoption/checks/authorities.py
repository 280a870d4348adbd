"""CAs: what they are for, who has their keys, and who trusts them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from cryptography import x509

from pkigen.adoption.checks.identities import is_worker
from pkigen.adoption.findings import AuditFinding, AuditRule
from pkigen.adoption.inspection import named_paths
from pkigen.adoption.put_away import is_put_away
from pkigen.adoption.severity import AuditSeverity
from pkigen.crypto.keys import public_der
from pkigen.crypto.names import extension_of, is_ca, is_self_issued, subject_of
from pkigen.desired.file_references import TRUST_FLAGS, Use
from pkigen.desired.readers import ComponentName

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pkigen.adoption.found import ForeignCluster, ForeignNode, FoundBundle, FoundPair, Program

_SERVERS: Final = (ComponentName.API_SERVER, ComponentName.ETCD)


def _trusted(cluster: ForeignCluster) -> Iterator[tuple[ForeignNode, Program, str, FoundBundle]]:
    """Every trust bundle that a flag names, with the flag."""
    for node in cluster.nodes:
        for program in node.programs:
            for flag, (use, _) in TRUST_FLAGS.get(program.component, {}).items():
                bundle = node.bundle(program, flag) if use is Use.TRUST else None
                if bundle is not None:
                    yield node, program, flag, bundle


def ca_unfit(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """What stands in a trust bundle and is no CA, or may not sign."""
    seen: dict[tuple[str, bytes], None] = {}
    for _, program, flag, bundle in _trusted(cluster):
        for certificate in bundle.certificates:
            fault = _ca_fault(certificate)
            # One file stands behind several flags, and each of its CAs counts once.
            key = (str(bundle.spot), public_der(certificate.public_key()))
            if fault is not None and key not in seen:
                seen[key] = None
                yield AuditFinding(
                    rule=AuditRule.CA_UNFIT,
                    severity=AuditSeverity.ERROR,
                    spot=bundle.spot,
                    detail=f"{subject_of(certificate)} {fault}, and {program} judges by it (--{flag})",
                )


def _ca_fault(certificate: x509.Certificate) -> str | None:
    if not is_ca(certificate):
        return "is no CA (basicConstraints)"
    usage = extension_of(certificate, x509.KeyUsage)
    # Without the extension a CA may sign (Go's crypto/x509 `CheckSignatureFrom`).
    return "may not sign certificates (keyUsage)" if usage and not usage.value.key_cert_sign else None


def leaf_is_ca(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """A certificate that is shown, and could sign others."""
    for node in cluster.nodes:
        for bundle in {str(each.spot): each for each in _shown(node)}.values():
            certificate = bundle.certificates[0]
            # What signed itself (`openssl req -x509` makes it a CA) can sign only for who trusts it anyway.
            if is_ca(certificate) and not is_self_issued(certificate):
                yield AuditFinding(
                    rule=AuditRule.LEAF_IS_CA,
                    severity=AuditSeverity.ERROR,
                    spot=bundle.spot,
                    detail=f"{subject_of(certificate)} is a CA (basicConstraints CA:TRUE)",
                )


def _shown(node: ForeignNode) -> Iterator[FoundBundle]:
    """What a node's components and people show: by flags, in kubeconfigs, and by what it may be used for."""
    for program in node.programs:
        for flag, (use, _) in TRUST_FLAGS.get(program.component, {}).items():
            bundle = node.bundle(program, flag) if use is Use.CREDENTIAL else None
            if bundle is not None:
                yield bundle
    for pair in node.pairs:
        # In a kubeconfig, or by its usages; the pair of a CA is neither.
        if pair.spot.part or _has_usages(pair.certificate):
            yield pair.shown


def _has_usages(certificate: x509.Certificate) -> bool:
    return extension_of(certificate, x509.ExtendedKeyUsage) is not None


def unlimited_usage(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """A leaf without extendedKeyUsage: Go accepts it for everything."""
    for found in cluster.each_certificate():
        # What follows the first one of a file is its chain, and CAs need no usage.
        if found.position == 0 and not is_ca(found.certificate) and not _has_usages(found.certificate):
            yield AuditFinding(
                rule=AuditRule.UNLIMITED_USAGE,
                severity=AuditSeverity.WARNING,
                spot=found.spot,
                detail=f"{subject_of(found.certificate)} has no extendedKeyUsage",
            )


def shared_ca(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """A CA by which clients of the API server, front proxies or clients of etcd are judged alike."""
    for node in cluster.nodes:
        bundles = {
            flag: bundle
            for owner, program, flag, bundle in _trusted(cluster)
            # On one node: two nodes with different files under one name are `trust_differs`.
            if owner is node and program.component in _SERVERS
        }
        for one, other, what, cis in _PURPOSES:
            if one in bundles and other in bundles and _keys(bundles[one]) & _keys(bundles[other]):
                yield AuditFinding(
                    rule=AuditRule.SHARED_CA,
                    severity=AuditSeverity.WARNING,
                    spot=bundles[other].spot,
                    detail=f"{what} (--{one} and --{other} have a CA in common)",
                    cis=cis,
                )


_PURPOSES: Final = (
    ("client-ca-file", "trusted-ca-file", "every client of the cluster may read and write etcd", "2.7"),
    (
        "client-ca-file",
        "requestheader-client-ca-file",
        "every client of the cluster is of the front proxies' CA",
        "",
    ),
    ("trusted-ca-file", "requestheader-client-ca-file", "front proxies may read and write etcd", "2.7"),
)


def front_proxy_names(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """Who may speak for others: names are the only limit where the CA signs for more than the front proxy."""
    for node, program in cluster.running(ComponentName.API_SERVER):
        trust = node.bundle(program, "requestheader-client-ca-file")
        names = tuple(filter(None, program.flags.value("requestheader-allowed-names").split(",")))
        if trust is None:
            continue
        # Go on to no name at all: without names every CN passes (apiserver authentication/request/x509
        # `verifySubject`).
        if not names:
            clients = node.bundle(program, "client-ca-file")
            shared = clients is not None and bool(_keys(clients) & _keys(trust))
            yield AuditFinding(
                rule=AuditRule.FRONT_PROXY_NAMES,
                severity=AuditSeverity.ERROR if shared else AuditSeverity.WARNING,
                spot=program.spot,
                detail="--requestheader-allowed-names is empty"
                + (
                    ", and every client's certificate is of this CA: anybody can be anybody" if shared else ""
                ),
            )
            continue
        shown = node.bundle(program, "proxy-client-cert-file")
        name = subject_of(shown.certificates[0]).common_name if shown is not None else names[0]
        if shown is not None and name not in names:
            yield AuditFinding(
                rule=AuditRule.WRONG_IDENTITY,
                severity=AuditSeverity.ERROR,
                spot=shown.spot,
                detail=f"its CN is {name!r}, and --requestheader-allowed-names has {', '.join(names)}",
            )


def _keys(bundle: FoundBundle) -> set[bytes]:
    return {public_der(each.public_key()) for each in bundle.certificates}


def unknown_anchor(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """A CA that is trusted beside another, and that has signed nothing here."""
    known = _known_authorities(cluster)
    for by, bundle in _bundles(cluster):
        subjects = {each.subject for each in bundle.certificates if public_der(each.public_key()) in known}
        # A single CA is the cluster's, even if nothing that it has signed was copied.
        for certificate in bundle.certificates if len(bundle.certificates) > 1 else ():
            if public_der(certificate.public_key()) not in known:
                # A CA's successor has its name.
                rotating = certificate.subject in subjects
                yield AuditFinding(
                    rule=AuditRule.UNKNOWN_ANCHOR,
                    severity=AuditSeverity.INFORMATION if rotating else AuditSeverity.WARNING,
                    spot=bundle.spot,
                    detail=f"{subject_of(certificate)} is trusted ({by}), and has signed nothing here"
                    + (": a rotation under way, by its name" if rotating else ""),
                )


def _bundles(cluster: ForeignCluster) -> Iterator[tuple[str, FoundBundle]]:
    """Every trust bundle, by flags and in kubeconfigs, with who trusts by it."""
    for _, _, flag, bundle in _trusted(cluster):
        yield f"--{flag}", bundle
    for _, kubeconfig in cluster.each_kubeconfig():
        for login in kubeconfig.logins if not is_put_away(kubeconfig.spot.path) else ():
            if login.trust is not None:
                yield f"the context {login.name}", login.trust


def _known_authorities(cluster: ForeignCluster) -> set[bytes]:
    """The keys of CAs that have signed something here, or whose private key is here."""
    # Who has the key here has made it, or means to sign with it: no stranger has brought it in.
    held = {key for node in cluster.nodes for content in node.contents.values() for key in content.private}
    return held | _signers(cluster)


def _signers(cluster: ForeignCluster) -> set[bytes]:
    """The keys of CAs that have signed something here, beside themselves."""
    authorities: dict[x509.Name, list[x509.Certificate]] = defaultdict(list)
    for found in cluster.each_certificate():
        if is_ca(found.certificate):
            authorities[found.certificate.subject].append(found.certificate)
    known: set[bytes] = set()
    for found in cluster.each_certificate():
        if not is_self_issued(found.certificate):
            # By name first: only then is a signature worth verifying.
            issuers = authorities.get(found.certificate.issuer, ())
            known.update(
                public_der(each.public_key()) for each in issuers if _signed(found.certificate, each)
            )
    return known


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # noqa: BLE001 -- of many kinds, and each means no
        return False
    return True


def trust_differs(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """One flag, and other CAs on another node."""
    by_flag: dict[tuple[ComponentName, str], list[FoundBundle]] = defaultdict(list)
    for _, program, flag, bundle in _trusted(cluster):
        by_flag[program.component, flag].append(bundle)
    reported: dict[str, None] = {}
    for (component, flag), (first, *others) in by_flag.items():
        for other in others:
            if _keys(other) != _keys(first) and str(other.spot) not in reported:
                reported[str(other.spot)] = None
                yield AuditFinding(
                    rule=AuditRule.TRUST_DIFFERS,
                    severity=AuditSeverity.WARNING,
                    spot=other.spot,
                    detail=f"{component} judges by other CAs here (--{flag}) than with {first.spot}",
                )


def spare_authority(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """A CA below a trusted one, with its key, that no flag names and that has signed nothing here."""
    anchors = [each for _, bundle in _bundles(cluster) for each in bundle.certificates]
    # By key, since a renewed CA is another certificate with the same work.
    busy = {public_der(each.public_key()) for each in anchors} | _signers(cluster)
    for node in cluster.nodes:
        named = named_paths(node)
        for pair in node.pairs:
            certificate = pair.certificate
            is_spare = pair.spot.path not in named and pair.private not in busy
            if is_spare and _is_intermediate(pair) and _is_signed_by_any(certificate, anchors):
                yield AuditFinding(
                    rule=AuditRule.SPARE_AUTHORITY,
                    severity=AuditSeverity.WARNING,
                    spot=pair.spot,
                    detail=f"{subject_of(certificate)} is a CA that a trusted one has signed, its key is "
                    f"{pair.key_spot.path}, and nothing here uses it",
                )


def _is_intermediate(pair: FoundPair) -> bool:
    """Whether a pair is a CA's that is no root, with the key that belongs to it."""
    certificate = pair.certificate
    has_key = pair.private == public_der(certificate.public_key())
    return has_key and is_ca(certificate) and not is_self_issued(certificate)


def _is_signed_by_any(certificate: x509.Certificate, anchors: Iterable[x509.Certificate]) -> bool:
    return any(each.subject == certificate.issuer and _signed(certificate, each) for each in anchors)


def authority_key_on_worker(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """The private key of a CA, or of tokens, on a node that runs none of the control plane."""
    tokens = {key for node in cluster.nodes for key in _judging_keys(node)}
    keys = dict.fromkeys(tokens, "that signs service accounts' tokens")
    trusted = {key for _, _, _, bundle in _trusted(cluster) for key in _keys(bundle)}
    keys |= dict.fromkeys(trusted, "of a CA that the cluster trusts")
    for node in filter(is_worker, cluster.nodes):
        for path, content in node.contents.items():
            for what in dict.fromkeys(keys[key] for key in content.private if key in keys):
                yield AuditFinding(
                    rule=AuditRule.AUTHORITY_KEY_ON_WORKER,
                    severity=AuditSeverity.ERROR,
                    spot=node.spot(path),
                    detail=f"the private key {what} is on a worker",
                )


def _judging_keys(node: ForeignNode) -> Iterator[bytes]:
    """What a node's API server takes service accounts' tokens by."""
    for program in node.running(ComponentName.API_SERVER):
        for value in program.flags.values("service-account-key-file"):
            content = node.content(program.flags.host_path(value))
            yield from content.token_keys if content is not None else ()
