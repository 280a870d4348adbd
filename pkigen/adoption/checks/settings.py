"""What the components' own settings leave open, as far as it concerns certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen.adoption.findings import AuditFinding, AuditRule
from pkigen.adoption.judgements import asks_for_certificates
from pkigen.adoption.severity import AuditSeverity
from pkigen.desired.readers import ComponentName
from pkigen.spec.addresses import urls_without_tls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.adoption.found import ForeignCluster, Program

# The prefix of the flags, then what etcd asks for and what it shows, with the sections of the CIS benchmark.
_ETCD: Final = (
    ("", "asks for no client certificate", "2.2", "makes its serving certificate itself", "2.3"),
    ("peer-", "asks peers for no certificate", "2.5", "makes its peer certificate itself", "2.6"),
)


def etcd_unprotected(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """Ways into etcd that pass no certificate."""
    for _, program in cluster.running(ComponentName.ETCD):
        for prefix, open_to_all, cis_of_clients, makes, cis_of_its_own in _ETCD:
            if not asks_for_certificates(program, prefix):
                told = f"etcd {open_to_all} (--{prefix}trusted-ca-file, --{prefix}client-cert-auth)"
                yield _finding(program, AuditSeverity.ERROR, told, cis_of_clients)
            # Beside a certificate of its own, etcd ignores the flag (embed/config.go).
            flag, has_own = f"{prefix}auto-tls", program.flags.value(f"{prefix}cert-file")
            if program.flags.value(flag) == "true" and not has_own:
                yield _finding(program, AuditSeverity.WARNING, f"etcd {makes} (--{flag})", cis_of_its_own)
        for flag, cis in (("listen-client-urls", "2.1"), ("listen-peer-urls", "2.4")):
            for url in urls_without_tls(program.flags.value(flag)):
                yield _finding(
                    program, AuditSeverity.ERROR, f"etcd listens without TLS at {url} (--{flag})", cis
                )
    for _, program in cluster.running(ComponentName.API_SERVER):
        for url in urls_without_tls(program.flags.value("etcd-servers")):
            yield _finding(program, AuditSeverity.ERROR, f"the API server dials {url} without TLS", "2.1")


def _finding(program: Program, severity: AuditSeverity, detail: str, cis: str) -> AuditFinding:
    return AuditFinding(
        rule=AuditRule.ETCD_UNPROTECTED, severity=severity, spot=program.spot, detail=detail, cis=cis
    )


def kubelet_unverified(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """As kubeadm leaves it: its kubelets serve certificates that no CA has signed."""
    for _, program in cluster.running(ComponentName.API_SERVER):
        if not program.flags.value("kubelet-certificate-authority"):
            yield AuditFinding(
                rule=AuditRule.KUBELET_UNVERIFIED,
                severity=AuditSeverity.INFORMATION,
                spot=program.spot,
                detail="--kubelet-certificate-authority is not set",
            )


def open_api_server(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """An API server that authorizes every authenticated request."""
    for _, program in cluster.running(ComponentName.API_SERVER):
        # Authorizers are asked in turn, and one that allows is enough: beside RBAC it opens the server just
        # as wide.
        if "AlwaysAllow" in program.flags.value("authorization-mode").split(","):
            yield AuditFinding(
                rule=AuditRule.OPEN_API_SERVER,
                severity=AuditSeverity.ERROR,
                spot=program.spot,
                detail="the API server authorizes every authenticated request (--authorization-mode)",
                cis="1.2.6",
            )


def open_kubelet(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """A kubelet that lets anybody in."""
    for _, program in cluster.running(ComponentName.KUBELET):
        given = {name: program.flags.value(name) or default for name, default in _defaults(program)}
        anonymous = given["anonymous-auth"] == "true"
        unlimited = given["authorization-mode"] == "AlwaysAllow"
        told = [text for text, holds in ((_ANONYMOUS, anonymous), (_UNLIMITED, unlimited)) if holds]
        if told:
            severity = AuditSeverity.ERROR if len(told) > 1 else AuditSeverity.WARNING
            yield _of_kubelet(program, severity, " and ".join(told), "4.2.1" if anonymous else "4.2.2")
        if given["read-only-port"] != "0":
            port = f"tells everybody of its Pods at port {given['read-only-port']} (readOnlyPort)"
            yield _of_kubelet(program, AuditSeverity.WARNING, port, "4.2.4")


_ANONYMOUS: Final = "answers anonymous requests (anonymous)"
_UNLIMITED: Final = "authorizes every authenticated request (AlwaysAllow)"


def _defaults(program: Program) -> tuple[tuple[str, str], ...]:
    """What a kubelet does where nothing is said.

    Without a file of settings it goes by the defaults of before there were such files, which let everybody
    in (cmd/kubelet/app/options `applyLegacyDefaults`).
    """
    legacy = not program.flags.value("config")
    return (
        ("anonymous-auth", "true" if legacy else "false"),
        ("authorization-mode", "AlwaysAllow" if legacy else "Webhook"),
        ("read-only-port", "10255" if legacy else "0"),
    )


def _of_kubelet(program: Program, severity: AuditSeverity, what: str, cis: str) -> AuditFinding:
    return AuditFinding(
        rule=AuditRule.OPEN_KUBELET,
        severity=severity,
        spot=program.spot,
        detail=f"the kubelet {what}",
        cis=cis,
    )


def static_tokens(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """An API server with a static token file."""
    for _, program in cluster.running(ComponentName.API_SERVER):
        file = program.flags.value("token-auth-file")
        if file:
            yield AuditFinding(
                rule=AuditRule.STATIC_TOKENS,
                severity=AuditSeverity.WARNING,
                spot=program.spot,
                detail=f"it accepts the tokens in {file}, each as the user beside it (--token-auth-file)",
                cis="1.2.2",
            )
