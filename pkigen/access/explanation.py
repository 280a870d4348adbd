"""One credential explained: who presents it, what verifies it, what renews it, and when it expires."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pkigen.access import groups, key_keepers, ways_in
from pkigen.access.credentials import CredentialKind
from pkigen.access.rights import bindings, by_groups
from pkigen.crypto.issuance import fingerprint
from pkigen.crypto.path_verifier import PathVerifier
from pkigen.crypto.profiles import Profile
from pkigen.desired.certificates import ADMIN, CLUSTER_ADMINS, MASTERS, MASTERS_RIGHTS, USER, Holder
from pkigen.desired.connections import PROXY_PEER, edges
from pkigen.desired.generations import CA, SA, ca_location
from pkigen.desired.names import account, certificates_named, names_of, tokens_named
from pkigen.desired.revocations import CredentialId
from pkigen.notation import residual
from pkigen.reconcile.token_checks import observe_token
from pkigen.records import dataclass
from pkigen.state.observed import Fault, content_at, observe_bundle, observe_certificate
from pkigen.state.signed_certificates import signed_certificates

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from cryptography import x509

    from pkigen.access.credentials import Credential
    from pkigen.desired.connections import Edge, Peer
    from pkigen.desired.inventory import Inventory
    from pkigen.desired.items import DesiredCertificate, DesiredToken
    from pkigen.desired.revocations import Revocation
    from pkigen.spec.users import IAMMapping, User
    from pkigen.state.observed import Reader
    from pkigen.state.signed_certificates import SignedCertificate

_PEERS_SHOWN = 8


# Which setting of the judging side verifies what it is shown.
_CLIENT_VERIFIERS = {
    "kube-apiserver": "kube-apiserver --client-ca-file",
    PROXY_PEER: "kube-apiserver --requestheader-client-ca-file and --requestheader-allowed-names",
    "kubelet": "kubelet authentication.x509.clientCAFile",
    "etcd": "etcd --trusted-ca-file with --client-cert-auth",
    "etcd peer": "etcd --peer-trusted-ca-file with --peer-client-cert-auth",
    "aggregated API servers": "--requestheader-client-ca-file and --requestheader-allowed-names, of the "
    "ConfigMap extension-apiserver-authentication",
}
_SERVER_VERIFIERS = {
    ("kube-apiserver", "kubelet"): "kube-apiserver --kubelet-certificate-authority",
    ("kube-apiserver", "etcd"): "kube-apiserver --etcd-cafile",
    ("etcd", "etcd peer"): "etcd --peer-trusted-ca-file",
    ("etcd health check", "etcd"): "etcdctl --cacert",
    ("Pods", "kube-apiserver"): "ca.crt of kube-root-ca.crt (kube-controller-manager --root-ca-file)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A PKI directory to explain."""

    inventory: Inventory
    reader: Reader
    now: datetime

    @property
    def signed(self) -> tuple[SignedCertificate, ...]:
        """What was signed for keys that others have, and still works."""
        return signed_certificates(self.reader, now=self.now)


def explain(cluster: Cluster, who: str) -> tuple[str, ...] | None:
    """Everything about a user, a certificate or a component; None where the cluster has none of that name.

    Args:
        cluster: Whose.
        who: `dev1`, `user:dev1`, `web/deployer`, `apiserver`, `cp-1/apiserver`, `kubelet`, `ca`, …
    """
    paragraphs = [tuple(each) for each in _paragraphs(cluster, who)]
    # Only where nothing else goes by that name: a person may be called `sa`.
    if not paragraphs and who == SA:
        paragraphs = [tuple(_service_account_key())]
    paragraphs += key_keepers.explain(cluster.inventory, cluster.signed, who, now=cluster.now)
    paragraphs += ways_in.explain(cluster.inventory, who)
    group = groups.explain(cluster.inventory, cluster.signed, who)
    if group is not None:
        paragraphs.append(group)
    lines = [line for paragraph in paragraphs for line in ("", *paragraph)]
    return tuple(lines[1:]) or None


def _paragraphs(cluster: Cluster, who: str) -> Iterator[Iterable[str]]:
    """What is to be said of everything that goes by a name."""
    spec = cluster.inventory.cluster.spec
    for group in _certificates(cluster.inventory, who):
        yield _certificate(cluster, group)
    for token in tokens_named(cluster.inventory, who):
        yield _token(cluster, token)
    for user in spec.users:
        # Without a UID no token was made yet, so that `tokens_named` does not know it.
        if user.is_service_account and user.uid is None and who in names_of(user):
            yield _waiting(cluster.inventory, user)
    for mapping in spec.iam:
        if who in {mapping.arn, mapping.username}:
            yield _from_iam(cluster.inventory, mapping)


def of_credential(credential: Credential, cluster: Cluster | None) -> Iterator[str]:
    """What a credential of a file opens: what verifies it, which rights go with it, and what ends with it.

    Args:
        credential: As it was read.
        cluster: The cluster that it is for, where one is known.
    """
    yield "presented to: kube-apiserver"
    verifier = _CREDENTIAL_VERIFIERS.get(credential.kind, "what the API server is configured with")
    yield f"verified by:  {verifier}"
    if cluster is not None:
        yield from _in_cluster(credential, cluster)
    else:
        yield "permissions:  what the cluster binds to user and groups: `kubectl auth can-i --list`"
    yield f"on expiry:    {USER.stops}"


_CREDENTIAL_VERIFIERS = {
    CredentialKind.CERTIFICATE: "kube-apiserver --client-ca-file",
    CredentialKind.SERVICE_ACCOUNT_TOKEN: "kube-apiserver --service-account-key-file "
    "and --service-account-issuer",
    CredentialKind.BOOTSTRAP_TOKEN: "kube-apiserver --enable-bootstrap-token-auth, "
    "by its Secret in kube-system",
}


def trust_bundles(cluster: Cluster) -> Iterator[tuple[CA, tuple[x509.Certificate, ...]]]:
    """The CAs that each kind of peer trusts, as far as they can be read."""
    for ca in CA:
        found = observe_bundle(cluster.reader, ca_location(ca).certificate)
        yield ca, () if isinstance(found, Fault) else tuple(found)


def _in_cluster(credential: Credential, cluster: Cluster) -> Iterator[str]:
    if credential.certificate is not None:
        anchors = dict(trust_bundles(cluster))[CA.KUBERNETES]
        refusal = PathVerifier(cluster.now).client((credential.certificate,), anchors)
        taken = "its CA signed it" if refusal is None else f"refuses it: {refusal}"
        yield f"this cluster: {taken}"
        own = revocation_of(credential.certificate, cluster.inventory)
        if own is not None:
            yield f"revoked:      {own.revoked:%Y-%m-%d %H:%M} UTC: {own.reason}; API servers refuse it"
    rights = _rights_in(cluster.inventory, credential)
    if rights is None:
        yield "permissions:  not in spec.users: `kubectl auth can-i --list` shows its permissions"
    else:
        yield from (f"permissions:  {right}" for right in rights)


def _rights_in(inventory: Inventory, credential: Credential) -> tuple[str, ...] | None:
    """What the spec gives to whoever presents it, people and components; None where it knows nobody."""
    name = credential.user
    own = [item for item in inventory.certificates.values() if item.subject.common_name == name]
    by_group = tuple(by_groups(inventory, credential.groups))
    if not own and all(user.username != name for user in inventory.cluster.spec.users):
        return by_group or None
    kinds = (item.kind.rights for item in own if item.kind.rights)
    rights = dict.fromkeys((*_user_rights(inventory, name), *by_group, *kinds))
    # Beside rights by a group, "none of its own" would be misleading.
    if by_group:
        rights.pop(_NO_BINDING, None)
    return tuple(rights)


def names(inventory: Inventory) -> tuple[str, ...]:
    """Everything that can be asked for, for suggestions."""
    found: dict[str, None] = dict.fromkeys(
        name for item in inventory.certificates.values() for name in (item.name, item.id)
    )
    found |= dict.fromkeys(user.name for user in inventory.cluster.spec.users)
    found |= dict.fromkeys(name for each in inventory.cluster.spec.iam for name in (each.arn, each.username))
    found |= dict.fromkeys(edge.client.component for edge in edges(inventory))
    found |= dict.fromkeys(item.subject.common_name for item in inventory.certificates.values())
    return (*found, SA, *ways_in.names(inventory), *groups.names(inventory))


def _certificates(inventory: Inventory, who: str) -> Iterator[tuple[DesiredCertificate, ...]]:
    """Certificates of one name together: they differ by their node alone."""
    wanted = certificates_named(inventory, who)
    by_name: dict[str, list[DesiredCertificate]] = {}
    for identifier, item in inventory.certificates.items():
        if identifier in wanted:
            by_name.setdefault(item.name, []).append(item)
    yield from (tuple(group) for group in by_name.values())


def _certificate(cluster: Cluster, group: tuple[DesiredCertificate, ...]) -> Iterator[str]:
    first = group[0]
    yield f"{first.name if len(group) > 1 else first.id}: {_described(first)}"
    for item in group[:_PEERS_SHOWN]:
        yield f"  file:         {item.file}{_ends(cluster, item)}"
        if item.key_is_elsewhere:
            yield f"  key:          made on {item.node}, and only there"
        yield from _revoked(cluster, item)
    if len(group) > _PEERS_SHOWN:
        yield f"                … and on {len(group) - _PEERS_SHOWN} more nodes"
    yield from _ca(first) if first.issuer is None else _leaf(cluster, first, {item.id for item in group})


def _revoked(cluster: Cluster, item: DesiredCertificate) -> Iterator[str]:
    """The present certificate, where API servers refuse it, and how many earlier ones they refuse."""
    present = observe_certificate(cluster.reader, item.location).certificate
    own = revocation_of(present, cluster.inventory) if present is not None else None
    if own is not None:
        yield f"  revoked:      {own.revoked:%Y-%m-%d %H:%M} UTC: {own.reason}"
    listed = (each for each in cluster.inventory.revocations.active if each.of == item.id)
    earlier = sum(each != own for each in listed)
    if earlier:
        yield f"  revoked:      {earlier} earlier certificate{'' if earlier == 1 else 's'} of it"


def revocation_of(certificate: x509.Certificate, inventory: Inventory) -> Revocation | None:
    """The entry of the list that a certificate is refused by."""
    credential = CredentialId.of_certificate(fingerprint(certificate))
    return next((each for each in inventory.revocations.active if each.credential == credential), None)


def _ca(item: DesiredCertificate) -> Iterator[str]:
    yield "  verifies:     everything it has signed; it is never presented itself"
    # Another generation than the signing one has its slot in its id, such as `ca-next`.
    signs = item.id == item.kind.name
    stops = item.kind.stops if signs else "nothing: it is only trusted beside the signing CA"
    yield f"  on expiry:    {stops}"


def _leaf(cluster: Cluster, item: DesiredCertificate, ids: set[str]) -> Iterator[str]:
    yield f"  given by:     {item.kind.given_by}"
    yield from _presented(cluster, ids)
    if item.profile in {Profile.CLIENT, Profile.PEER}:
        yield from _identity(cluster.inventory, item)
    yield f"  signed by:    {item.kind.issuer_name}"
    yield f"  on expiry:    {item.kind.stops}"


def _identity(inventory: Inventory, item: DesiredCertificate) -> Iterator[str]:
    member = ", ".join(item.subject.organizations)
    yield f"  identity:     user {item.subject.common_name}, {f'groups {member}' if member else 'no groups'}"
    person = item.kind.holder is Holder.PERSON
    rights = _user_rights(inventory, item.subject.common_name) if person else (item.kind.rights,)
    yield from (f"  permissions:  {right}" for right in rights if right)


_PROFILES = {
    Profile.CA: "a CA",
    Profile.OFFLINE_ROOT: "a CA",
    Profile.INTERMEDIATE: "a CA under the offline authority's root",
    Profile.SERVER: "a serving certificate",
    Profile.CLIENT: "a client certificate",
    Profile.PEER: "a certificate for serving and for clients",
}


def _described(item: DesiredCertificate) -> str:
    serves = item.profile in {Profile.SERVER, Profile.PEER}
    names = f", for {', '.join(item.sans.texts())}" if serves else ""
    return f"{_PROFILES[item.profile]}, {item.subject}{names}"


def _ends(cluster: Cluster, item: DesiredCertificate) -> str:
    observed = observe_certificate(cluster.reader, item.location)
    if observed.certificate is None:
        return f" ({observed.certificate_fault.message})" if observed.certificate_fault else ""
    return _until(observed.certificate.not_valid_after_utc, cluster.now)


def _until(end: datetime, now: datetime) -> str:
    left = f"in {residual(end - now)}" if end > now else f"expired {residual(now - end)} ago"
    return f", until {end:%Y-%m-%d %H:%M} UTC ({left})"


def _presented(cluster: Cluster, ids: set[str]) -> Iterator[str]:
    """To whom, and by which setting of theirs it is verified."""
    shown: dict[str, set[str]] = {}
    for edge in edges(cluster.inventory, partial(content_at, cluster.reader)):
        for judge, verifier in _judges(edge, ids):
            shown.setdefault(verifier, set()).add(judge)
    for verifier, judges in shown.items():
        some = sorted(judges)
        more = f" and {len(some) - _PEERS_SHOWN} more" if len(some) > _PEERS_SHOWN else ""
        yield f"  presented to: {', '.join(some[:_PEERS_SHOWN])}{more}"
        yield f"  verified by:  {verifier}"


def _component(peer: Peer) -> str:
    """Without what is said of where its CA comes from."""
    return peer.component.partition(",")[0]


def _judges(edge: Edge, ids: set[str]) -> Iterator[tuple[str, str]]:
    if edge.client_certificate in ids:
        judge = _component(edge.server)
        # The API server judges proxies by another CA than its other clients.
        if edge.client.component.startswith(PROXY_PEER):
            judge = PROXY_PEER
        yield str(edge.server), _CLIENT_VERIFIERS.get(judge, "its trust bundle")
    if edge.server_certificate in ids:
        pair = (_component(edge.client), _component(edge.server))
        yield (
            str(edge.client),
            _SERVER_VERIFIERS.get(pair, "certificate-authority-data of the client's kubeconfig"),
        )


def _rights(inventory: Inventory, user: User) -> Iterator[str]:
    if MASTERS in user.groups:
        yield MASTERS_RIGHTS
    if CLUSTER_ADMINS in user.groups:
        yield ADMIN.rights
    yield from _bindings(inventory, user)


def _user_rights(inventory: Inventory, name: str) -> Iterator[str]:
    for user in inventory.cluster.spec.users:
        if user.username == name:
            yield from _rights(inventory, user)


def _bindings(inventory: Inventory, user: User) -> Iterator[str]:
    own = (*bindings(user), *by_groups(inventory, user.groups))
    yield from own
    if not own:
        yield _NO_BINDING


_NO_BINDING = "none of its own; `kubectl auth can-i --list` shows those of its groups"


def _token(cluster: Cluster, item: DesiredToken) -> Iterator[str]:
    user = next(user for user in cluster.inventory.cluster.spec.users if account(user) == item.user)
    observed = observe_token(cluster.reader, item.path)
    ends = _until(observed.expires, cluster.now) if observed.expires is not None else " (cannot be read)"
    yield f"{item.id}: a service account token"
    yield f"  file:         {item.path}{ends}"
    yield f"  presented to: kube-apiserver, as bearer token; for {', '.join(item.audiences)}"
    yield "  verified by:  kube-apiserver --service-account-key-file and --service-account-issuer,"
    yield "                then by the UID of the live object"
    accounts = f"system:serviceaccounts, system:serviceaccounts:{user.namespace}"
    yield f"  identity:     user {user.username}, groups {accounts}"
    yield from (f"  permissions:  {right}" for right in _bindings(cluster.inventory, user))
    yield f"  signed by:    {SA}"
    yield "  on expiry:    the API server answers 401; deleting the service account revokes it at once"


def _waiting(inventory: Inventory, user: User) -> Iterator[str]:
    yield f"serviceaccount:{account(user)}: a service account whose token needs its UID"
    yield from (f"  permissions:  {right}" for right in _bindings(inventory, user))
    uid = f"kubectl -n {user.namespace} get serviceaccount {user.name} -o jsonpath='{{.metadata.uid}}'"
    yield f"  next:         write what `{uid}` says into its uid, then `pkigen apply`"


def _from_iam(inventory: Inventory, mapping: IAMMapping) -> Iterator[str]:
    member = ", ".join(dict.fromkeys(mapping.groups))
    yield f"{mapping.arn}: authenticates through AWS IAM"
    yield "  presented to: kube-apiserver, as the token that `aws eks get-token` makes"
    yield "  verified by:  aws-iam-authenticator, by the ConfigMap kube-system/aws-auth (`pkigen access iam`)"
    yield f"  identity:     user {mapping.username}, {f'groups {member}' if member else 'no groups'}"
    own = (*bindings(mapping), *by_groups(inventory, mapping.groups))
    yield from (f"  permissions:  {right}" for right in own or (_NO_BINDING,))
    yield "  on expiry:    a token expires after 15 minutes; without the mapping the next one gets 401"


def _service_account_key() -> Iterator[str]:
    yield "sa: the key pair that service account tokens are signed with; it does not expire"
    yield "  signs:        kube-apiserver --service-account-signing-key-file, kube-controller-manager "
    yield "                --service-account-private-key-file"
    yield "  verified by:  kube-apiserver --service-account-key-file, and others by /openid/v1/jwks"
    yield "  if replaced:  every token becomes invalid at once; `pkigen rotate sa` avoids this by an overlap"
