"""The section of the spec about certificates: keys and lifetimes, who signs, and where private keys are.

Annotations are evaluated here, as in `model`.
"""

import enum
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field, StrictBool, StrictStr

from pkigen.crypto.algorithms import KeyAlgorithm
from pkigen.spec.fields import CAName, CertifiedName, DirectoryPath, Duration, Share, Strict
from pkigen.spec.values import Percent


class Override(Strict):
    """What one kind of certificate has of its own."""

    validity: Duration | None = None
    """How long these certificates are valid; certificates.validity, or caValidity for a CA, by default."""
    renew_before: Duration | None = None
    """How long before their end they are renewed; certificates.renewBefore by default."""
    key_algorithm: KeyAlgorithm | None = None
    """The algorithm of their keys; certificates.keyAlgorithm by default."""
    common_name: CAName | None = None
    """What a CA is called, in place of kubernetes, etcd-ca or front-proxy-ca; for CAs only. It counts where a
    CA is made: by init, and by a rotation, whose generations are called NAME-g2, NAME-g3, …"""
    user: CertifiedName | None = None
    """As whom the API server, the kubelets or aggregated API servers know who shows such a certificate; for
    admin.conf, apiserver-kubelet-client and front-proxy-client, where a cluster's own bindings or flags name
    another than the usual one."""
    groups: tuple[CertifiedName, ...] | None = None
    """The groups of such a certificate in place of the usual ones; for the same certificates. kubeadm gave
    system:masters before v1.29, and kubeadm:cluster-admins to apiserver-kubelet-client before v1.36.1."""


class Authority(enum.StrEnum):
    """Where the root of trust is."""

    LOCAL = "local"
    OFFLINE = "offline"


class CAKeys(enum.StrEnum):
    """Where the private keys of the three CAs are."""

    SITE = "site"
    OFFLINE = "offline"


class KubeadmCA(enum.StrEnum):
    """The three CAs, by kubeadm's names."""

    KUBERNETES = "ca"
    ETCD = "etcd-ca"
    FRONT_PROXY = "front-proxy-ca"


def _ca_keys(value: object) -> object:
    """`true` and `false` as the list that they stand for; a list as it is."""
    match value:
        case bool():
            return [KubeadmCA.KUBERNETES] if value else []
        case str() if value in set(KubeadmCA):
            msg = f"must be true, false or a list: write [{value}]"
            raise ValueError(msg)
        case str():
            msg = f"must be true, false or a list of {', '.join(KubeadmCA)}"
            raise ValueError(msg)
    return value


class KeyHome(enum.StrEnum):
    """Where the private keys of a node's certificates are made."""

    AUTHORITY = "authority"
    NODE = "node"


class Kubeconfigs(enum.StrEnum):
    """How the kubeconfigs of a node's components hold their credentials."""

    EMBEDDED = "embedded"
    FILES = "files"


class Certificates(Strict):
    """Keys and lifetimes."""

    key_algorithm: KeyAlgorithm = KeyAlgorithm.ECDSA_P256
    """The algorithm of all keys, by kubeadm's names; ECDSA-P256 by default."""
    ca_validity: Duration = timedelta(hours=87600)
    """How long CA certificates are valid; 10 years by default."""
    validity: Duration = timedelta(hours=8760)
    """How long leaf certificates are valid; a year by default. None outlives its CA."""
    renew_before: Duration = timedelta(hours=720)
    """How long before its end a certificate is renewed; 30 days by default, never more than a third of its
    life."""
    expiry_spread: Share = Percent(0)
    """Up to which share of its validity a certificate or CA gives up, 0% to 25%, so that those of many
    clusters do not all end on one day: how much depends on the cluster's and the certificate's name alone.
    0% by default; 10% in a fleet."""
    directory: DirectoryPath = "/etc/kubernetes/pki"
    """Where certificates and keys stand on the nodes (kubeadm's certificatesDir)."""
    distribute_ca_keys: Annotated[
        tuple[KubeadmCA, ...],
        BeforeValidator(_ca_keys, json_schema_input_type=StrictBool | tuple[KubeadmCA, ...]),
    ] = Field(default=(KubeadmCA.KUBERNETES,), alias="distributeCAKeys")
    """Which CAs' keys control-plane nodes get, by kubeadm's names: ca, etcd-ca, front-proxy-ca. By default
    (true) only that of ca, with which the controller manager signs; without it (false) it signs nothing.
    `kubeadm join` of another control-plane node needs all three there."""
    authority: Authority = Authority.LOCAL
    """Where the root of trust is: with local, this machine makes the CAs; with offline, a machine that is
    never connected signs by file what this one cannot (`pkigen airgap authority`)."""
    ca_keys: CAKeys = CAKeys.SITE
    """With an offline authority: site makes the three CAs intermediates under its root, with their keys here;
    offline leaves their keys with it too, and it signs every certificate (kubeadm's external CA)."""
    node_keys: KeyHome = KeyHome.AUTHORITY
    """Where the private keys of nodes' certificates are made, where a node does not say otherwise."""
    kubeconfigs: Kubeconfigs = Kubeconfigs.EMBEDDED
    """How the kubeconfigs of the controller manager, the scheduler, kubelets and kube-proxy hold CA,
    certificate and key: in themselves (embedded), or in files that they name, in a directory of each
    component's below the directory of certificates (files), which are taken up without a restart. Kubeconfigs
    of people, such as admin.conf, are handed out, and so have everything in them."""
    overrides: dict[StrictStr, Override] = Field(default_factory=dict)
    """What single kinds of certificates have of their own, by kubeadm's names: apiserver, etcd-server,
    admin.conf, ca, …"""
