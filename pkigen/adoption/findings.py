"""What can be found on the nodes of a foreign cluster: each kind once, with why it matters and what to do.

The numbers are those of the CIS Kubernetes Benchmark, v1.8 and later: 1.1 is the control plane's files, 2 is
etcd, 4.1 is the files of workers.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from pkigen.records import dataclass

if TYPE_CHECKING:
    from pkigen.adoption.found import Spot
    from pkigen.adoption.severity import AuditSeverity


class AuditRule(enum.StrEnum):
    """The kinds of findings, by the names that reports and filters know them by."""

    ADMINISTRATOR_ON_WORKER = "administrator-on-worker"
    AUTHORITY_KEY_ON_WORKER = "authority-key-on-worker"
    CA_UNFIT = "ca-unfit"
    DAMAGED_FILE = "damaged-file"
    DUPLICATE_SERIAL = "duplicate-serial"
    ETCD_UNPROTECTED = "etcd-unprotected"
    EXPIRED = "expired"
    EXPIRES_SOON = "expires-soon"
    FRONT_PROXY_NAMES = "front-proxy-names"
    KEY_EXPOSED = "key-exposed"
    KEY_MISMATCH = "key-mismatch"
    KEY_MISSING = "key-missing"
    KEY_REUSED = "key-reused"
    KUBELET_UNVERIFIED = "kubelet-unverified"
    LEAF_IS_CA = "leaf-is-ca"
    LONG_LIVED_MASTERS = "long-lived-masters"
    MISSING_FILE = "missing-file"
    NOT_COPIED = "not-copied"
    NOT_RENEWED = "not-renewed"
    NOT_YET_VALID = "not-yet-valid"
    OPEN_API_SERVER = "open-api-server"
    OPEN_KUBELET = "open-kubelet"
    OVERLAPPING_MANIFESTS = "overlapping-manifests"
    PERMISSIVE_MODE = "permissive-mode"
    RECORD_DIFFERS = "record-differs"
    REFUSED_CONNECTION = "refused-connection"
    SHARED_CA = "shared-ca"
    SIGNER_UNUSABLE = "signer-unusable"
    SPARE_AUTHORITY = "spare-authority"
    STALE_CA = "stale-ca"
    STATIC_TOKENS = "static-tokens"
    TOKEN_KEY_UNKNOWN = "token-key-unknown"  # noqa: S105 -- no password
    TRUST_DIFFERS = "trust-differs"
    TRUST_MISSING = "trust-missing"
    UNKNOWN_ANCHOR = "unknown-anchor"
    UNLIMITED_USAGE = "unlimited-usage"
    UNVERIFIED_SERVER = "unverified-server"
    WEAK_KEY = "weak-key"
    WEAK_SIGNATURE = "weak-signature"
    WRONG_IDENTITY = "wrong-identity"
    WRONG_OWNER = "wrong-owner"
    WRONG_POWER = "wrong-power"


@dataclass(frozen=True, slots=True)
class RuleText:
    """Why a kind of finding matters, and what to do about it."""

    why: str
    remedy: str


RULES: Final = {
    AuditRule.ADMINISTRATOR_ON_WORKER: RuleText(
        "whoever takes over this node is an administrator of the cluster",
        "remove the file from this node, and administer the cluster from elsewhere",
    ),
    AuditRule.AUTHORITY_KEY_ON_WORKER: RuleText(
        "whoever takes over this node can issue any certificate or service account token of the cluster",
        "remove the key from this node, and rotate it if somebody may have read it",
    ),
    AuditRule.CA_UNFIT: RuleText(
        "nothing that it signs is accepted, or nobody verifies it as a CA",
        "replace it by the certificate of the CA",
    ),
    AuditRule.DAMAGED_FILE: RuleText(
        "what reads it stops or goes on with the rest of the file, and its certificates are not examined",
        "restore the file from a backup, or issue it again",
    ),
    AuditRule.DUPLICATE_SERIAL: RuleText(
        "a CA gives each serial number once (RFC 5280 4.1.2.2); strict clients refuse the second certificate",
        "reissue one of them with a random serial number",
    ),
    AuditRule.ETCD_UNPROTECTED: RuleText(
        "who reaches etcd reads and writes every Secret of the cluster, past RBAC",
        "serve TLS alone and ask for client certificates of etcd's own CA",
    ),
    AuditRule.EXPIRED: RuleText(
        "it is refused by everybody who verifies it",
        "renew it: `kubeadm certs renew`, or, for a CA, a rotation",
    ),
    AuditRule.EXPIRES_SOON: RuleText(
        "once it has expired, everybody who verifies it refuses it",
        "renew it now: `kubeadm certs renew`; for a CA, begin a rotation, which takes days",
    ),
    AuditRule.FRONT_PROXY_NAMES: RuleText(
        "without names, every certificate of the request-header CA may say on whose behalf a request comes",
        "set --requestheader-allowed-names=front-proxy-client",
    ),
    AuditRule.KEY_EXPOSED: RuleText(
        "what others can read is no longer a secret",
        "chmod 600 it, and replace what is in it if somebody may have read it",
    ),
    AuditRule.KEY_MISMATCH: RuleText(
        "the component does not start, or goes on with what it has loaded before until it restarts",
        "put the key beside it that belongs to it, or issue both again",
    ),
    AuditRule.KEY_MISSING: RuleText(
        "a certificate without its key is of no use to the component that shows it",
        "put its key beside it, or issue both again",
    ),
    AuditRule.KEY_REUSED: RuleText(
        "who has one of the places has them all, and none can be revoked or replaced alone",
        "issue each with a key of its own",
    ),
    AuditRule.KUBELET_UNVERIFIED: RuleText(
        "the API server sends logs and exec sessions to whoever answers at a kubelet's address",
        "sign the kubelets' serving certificates and set --kubelet-certificate-authority (CIS 1.2)",
    ),
    AuditRule.LEAF_IS_CA: RuleText(
        "who holds its key can issue certificates that the cluster accepts, for anybody",
        "reissue it with basicConstraints CA:FALSE, and rotate its CA if the key may have been read",
    ),
    AuditRule.LONG_LIVED_MASTERS: RuleText(
        "system:masters passes every authorization, and no binding can take it away before it expires",
        "keep it for emergencies, short-lived; give people a group that a binding allows",
    ),
    AuditRule.MISSING_FILE: RuleText(
        "the component that reads it does not start again", "restore it, or issue it again"
    ),
    AuditRule.NOT_COPIED: RuleText(
        "what depends on it was not examined",
        "give this file too, at the same path below the node's directory",
    ),
    AuditRule.NOT_RENEWED: RuleText(
        "a kubelet renews its client certificate only where its kubeconfig names a file and "
        "rotateCertificates is true, and kubeadm never",
        "let it name kubelet-client-current.pem, as `kubeadm init phase kubelet-finalize` does, and set "
        "rotateCertificates to true",
    ),
    AuditRule.NOT_YET_VALID: RuleText(
        "everybody who verifies it refuses it until then",
        "compare the clock of the machine that made it, or issue it again",
    ),
    AuditRule.OPEN_API_SERVER: RuleText(
        "every user, Pod and node is an administrator of the cluster",
        "set --authorization-mode=Node,RBAC",
    ),
    AuditRule.OPEN_KUBELET: RuleText(
        "who reaches the kubelet's port sees every Pod of the node, or runs commands in it",
        "set authentication.anonymous.enabled to false, authorization.mode to Webhook and readOnlyPort to 0",
    ),
    AuditRule.OVERLAPPING_MANIFESTS: RuleText(
        "the kubelet starts what every file of this directory says, copies and backups too",
        "move the copy out of the directory",
    ),
    AuditRule.PERMISSIVE_MODE: RuleText(
        "others on this machine can read or change what decides about access",
        "chmod it as the benchmark says",
    ),
    AuditRule.RECORD_DIFFERS: RuleText(
        "kubeadm puts names of its ClusterConfiguration into a certificate only when it makes it, and its "
        "renewals keep what the certificate has",
        "reissue it: move the pair away, then `kubeadm init phase certs apiserver --config FILE`",
    ),
    AuditRule.REFUSED_CONNECTION: RuleText(
        "the connection fails as soon as it is made anew",
        "reissue the certificate with this name, usage and CA, or give its CA to who judges it",
    ),
    AuditRule.SHARED_CA: RuleText(
        "a certificate for one purpose is accepted for the other",
        "give each purpose a CA of its own; a rotation leads there",
    ),
    AuditRule.SIGNER_UNUSABLE: RuleText(
        "kubelets cannot renew their certificates, and no signing request is answered with a useful one",
        "name the CA's certificate, exactly one, with its key, in --cluster-signing-cert-file",
    ),
    AuditRule.SPARE_AUTHORITY: RuleText(
        "whoever holds its key can issue certificates that the cluster accepts, and nobody looks after it",
        "remove the key if nothing uses it, and rotate the CA above it if somebody may have read it",
    ),
    AuditRule.STALE_CA: RuleText(
        "who uses this file refuses the API server, or trusts a CA that was replaced",
        "put the present CA into it: `kubeadm init phase kubeconfig`, or copy certificate-authority-data",
    ),
    AuditRule.STATIC_TOKENS: RuleText(
        "these tokens never expire, stand in plain text, and change only when the API server restarts",
        "give people certificates or OIDC, components certificates, and remove --token-auth-file",
    ),
    AuditRule.TOKEN_KEY_UNKNOWN: RuleText(
        "tokens of service accounts that this key signs are refused",
        "give every API server the public half with --service-account-key-file",
    ),
    AuditRule.TRUST_DIFFERS: RuleText(
        "what one node accepts another refuses, depending on where a client lands",
        "distribute the same file to every node; during a rotation, finish the phase",
    ),
    AuditRule.TRUST_MISSING: RuleText(
        "without a CA of its own it judges by those of the operating system, which know nobody of the "
        "cluster, or lets nobody in by certificate",
        "name the CA: the flag or field that is missing, with the file that the other nodes have there",
    ),
    AuditRule.UNKNOWN_ANCHOR: RuleText(
        "whoever holds this CA's key can be anybody in the cluster",
        "remove it if no rotation put it there",
    ),
    AuditRule.UNLIMITED_USAGE: RuleText(
        "without extendedKeyUsage it is accepted as a server's and as a client's certificate alike",
        "reissue it with the usages that it needs",
    ),
    AuditRule.UNVERIFIED_SERVER: RuleText(
        "who stands between can read and change everything, and collect tokens",
        "give it the CA and an https URL, without insecure-skip-tls-verify",
    ),
    AuditRule.WEAK_KEY: RuleText(
        "it can be computed, or programs refuse it", "issue it again with RSA-2048 or ECDSA-P256"
    ),
    AuditRule.WEAK_SIGNATURE: RuleText(
        "Go has refused it since 1.18, so every component does", "issue it again with SHA-256"
    ),
    AuditRule.WRONG_IDENTITY: RuleText(
        "the API server knows this component by another name or group, and refuses what it does",
        "reissue it with the CN and O that Kubernetes expects",
    ),
    AuditRule.WRONG_OWNER: RuleText(
        "its owner can change it, and with it who is let in", "chown root:root it"
    ),
    AuditRule.WRONG_POWER: RuleText(
        "who takes over this component is an administrator whom nobody can stop",
        "reissue it without system:masters",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFinding:
    """One thing that was found: `cis` is the number of the benchmark's recommendation, where it has one."""

    rule: AuditRule
    severity: AuditSeverity
    spot: Spot
    detail: str
    cis: str = ""

    @property
    def why(self) -> str:
        """Why it matters."""
        return RULES[self.rule].why

    @property
    def remedy(self) -> str:
        """What to do."""
        return RULES[self.rule].remedy
