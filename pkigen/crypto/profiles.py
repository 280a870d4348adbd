"""Certificate profiles as a table: the usages of each role, and the source of each rule."""

from __future__ import annotations

import enum

from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from pkigen.records import dataclass


class Profile(enum.StrEnum):
    """The roles a certificate can have."""

    CA = "ca"
    OFFLINE_ROOT = "offline-root"
    INTERMEDIATE = "intermediate"
    SERVER = "server"
    CLIENT = "client"
    PEER = "peer"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileRow:
    """The usages of one role, and the rule they come from.

    `path_length` is how many CAs may stand below a CA, None where nothing is said (RFC 5280 4.2.1.9).
    """

    is_ca: bool
    extended_key_usages: tuple[ObjectIdentifier, ...]
    sends_chain: bool
    source: str
    path_length: int | None = None


_SERVER = ExtendedKeyUsageOID.SERVER_AUTH
_CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH

PROFILES: dict[Profile, ProfileRow] = {
    Profile.CA: ProfileRow(
        is_ca=True,
        extended_key_usages=(),
        sends_chain=False,
        source="RFC 5280 4.2.1.3 and 4.2.1.9; kubeadm pkiutil/pki_helpers.go NewSelfSignedCACert",
    ),
    Profile.OFFLINE_ROOT: ProfileRow(
        is_ca=True,
        extended_key_usages=(),
        sends_chain=False,
        source="RFC 5280 4.2.1.9: the cluster's CAs stand below it, and nothing between",
        path_length=1,
    ),
    Profile.INTERMEDIATE: ProfileRow(
        is_ca=True,
        extended_key_usages=(),
        sends_chain=False,
        source="RFC 5280 4.2.1.9: it signs leaves only",
        path_length=0,
    ),
    Profile.SERVER: ProfileRow(
        is_ca=False,
        extended_key_usages=(_SERVER,),
        sends_chain=True,
        source="cmd/kubeadm/app/phases/certs/certlist.go KubeadmCertAPIServer",
    ),
    Profile.CLIENT: ProfileRow(
        is_ca=False,
        # Never serverAuth as well: a client's key must not be able to stand for a server.
        extended_key_usages=(_CLIENT,),
        sends_chain=False,
        source="cmd/kubeadm/app/phases/certs/certlist.go KubeadmCertKubeletClient",
    ),
    Profile.PEER: ProfileRow(
        is_ca=False,
        # etcd's own server certificate is also presented as a client's by its gRPC gateway.
        extended_key_usages=(_SERVER, _CLIENT),
        sends_chain=True,
        source="cmd/kubeadm/app/phases/certs/certlist.go KubeadmCertEtcdServer",
    ),
}
