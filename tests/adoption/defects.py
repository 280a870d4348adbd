"""Defects to be found: what somebody did, and what is to be said of it, where, and how grave it is."""

from __future__ import annotations

import base64
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from pkigen.adoption.findings import AuditRule as Rule
from pkigen.adoption.severity import AuditSeverity
from pkigen.crypto.keys import private_pem, public_pem
from tests.adoption.altered_nodes import (
    CLIENT,
    DAY,
    SERVER,
    Issuer,
    alike,
    name_of,
    new_ca,
    new_key,
    pem_of,
    sans,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.adoption.altered_nodes import AlteredNode

ERROR, WARNING, INFORMATION = AuditSeverity
SHA256_WITH_RSA = bytes.fromhex("06092a864886f70d01010b")
SHA1_WITH_RSA = bytes.fromhex("06092a864886f70d010105")

Nodes = dict[str, "AlteredNode"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """Something that is made wrong, and the finding that it must give; `path` ends the file's path."""

    make: Callable[[Nodes], None]
    rule: Rule
    severity: AuditSeverity
    path: str

    @property
    def name(self) -> str:
        return self.make.__name__


DEFECTS: list[Defect] = []


def found(
    rule: Rule, severity: AuditSeverity, path: str
) -> Callable[[Callable[[Nodes], None]], Callable[[Nodes], None]]:
    def add(make: Callable[[Nodes], None]) -> Callable[[Nodes], None]:
        DEFECTS.append(Defect(make=make, rule=rule, severity=severity, path=path))
        return make

    return add


def weak(certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> bytes:
    """The same certificate signed with SHA-1, which the library itself does not do any more."""
    body = certificate.tbs_certificate_bytes
    der = certificate.public_bytes(serialization.Encoding.DER)
    changed = der.replace(SHA256_WITH_RSA, SHA1_WITH_RSA)
    signature = key.sign(
        body.replace(SHA256_WITH_RSA, SHA1_WITH_RSA),
        padding.PKCS1v15(),
        hashes.SHA1(),  # noqa: S303
    )
    changed = changed[: -len(signature)] + signature
    return pem_of(x509.load_der_x509_certificate(changed))


# -- time -------------------------------------------------------------------------------------------------


@found(Rule.EXPIRED, ERROR, "pki/apiserver.crt")
def an_api_servers_certificate_has_expired(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.reissue("apiserver", node.issuer(), validity=(node.now - 30 * DAY, node.now - DAY))


@found(Rule.EXPIRED, ERROR, "admin.conf")
def an_administrators_certificate_has_expired(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.reissue_login("admin.conf", node.issuer(), validity=(node.now - 30 * DAY, node.now - DAY))


@found(Rule.EXPIRED, ERROR, "kubelet-client-")
def a_kubelet_did_not_rotate_in_time(nodes: Nodes) -> None:
    node = nodes["worker-1"]
    issuer = nodes["cp-1"].issuer()
    node.rotate_kubelet(issuer, days=1)
    for file in (node.root / "var/lib/kubelet/pki").glob("kubelet-client-2*.pem"):
        key = new_key()
        old = x509.load_pem_x509_certificate(file.read_bytes())
        validity = (node.now - 30 * DAY, node.now - DAY)
        file.write_bytes(pem_of(alike(old, issuer, key, validity=validity)) + private_pem(key))


@found(Rule.EXPIRES_SOON, WARNING, "pki/front-proxy-client.crt")
def a_certificate_expires_next_week(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    validity = (node.now - 300 * DAY, node.now + 7 * DAY)
    node.reissue("front-proxy-client", node.issuer("front-proxy-ca"), validity=validity)


@found(Rule.EXPIRES_SOON, WARNING, "pki/etcd/ca.crt")
def a_ca_expires_in_a_quarter(nodes: Nodes) -> None:
    for name in ("cp-1", "cp-2", "cp-3"):
        node = nodes[name]
        key = nodes["cp-1"].key("pki/etcd/ca.key")
        node.write("pki/etcd/ca.crt", new_ca("etcd-ca", node.now, key=key, days=90).pem)


@found(Rule.NOT_YET_VALID, ERROR, "pki/apiserver-etcd-client.crt")
def a_clock_was_ahead(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    validity = (node.now + DAY, node.now + 300 * DAY)
    node.reissue("apiserver-etcd-client", node.issuer("etcd/ca"), validity=validity)


# -- names, usages and CAs --------------------------------------------------------------------------------


@found(Rule.REFUSED_CONNECTION, ERROR, "pki/apiserver.crt")
def the_address_is_not_in_the_api_servers_certificate(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    names = sans("kubernetes.default.svc", "api.prod.example.com", "10.96.0.1", "10.0.0.99")
    node.reissue("apiserver", node.issuer(), names=names)


@found(Rule.REFUSED_CONNECTION, ERROR, "pki/apiserver.crt")
def the_endpoint_is_not_in_one_api_servers_certificate(nodes: Nodes) -> None:
    node = nodes["cp-2"]
    names = sans("kubernetes.default.svc", "10.96.0.1", "10.0.0.12")
    node.reissue("apiserver", node.issuer(), names=names)


@found(Rule.REFUSED_CONNECTION, ERROR, "pki/apiserver.crt")
def the_services_address_is_not_in_the_certificate(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    names = sans("kubernetes.default.svc", "api.prod.example.com", "10.0.0.11")
    node.reissue("apiserver", node.issuer(), names=names)


@found(Rule.REFUSED_CONNECTION, ERROR, "pki/etcd/server.crt")
def etcds_certificate_lacks_the_loopback_address(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.reissue("etcd/server", node.issuer("etcd/ca"), names=sans("cp-1", "10.0.0.11"))
    node.set_flag("kube-apiserver", "etcd-servers", "https://127.0.0.1:2379")


@found(Rule.REFUSED_CONNECTION, ERROR, "pki/etcd/peer.crt")
def a_peer_has_another_nodes_names(nodes: Nodes) -> None:
    node = nodes["cp-3"]
    node.reissue("etcd/peer", node.issuer("etcd/ca"), names=sans("cp-2", "10.0.0.12"))


@found(Rule.REFUSED_CONNECTION, ERROR, "pki/apiserver.crt")
def a_server_has_only_clientAuth(nodes: Nodes) -> None:  # noqa: N802 -- the name of RFC 5280
    node = nodes["cp-1"]
    node.reissue("apiserver", node.issuer(), usages=[CLIENT])


@found(Rule.REFUSED_CONNECTION, ERROR, "pki/apiserver-kubelet-client.crt")
def a_client_has_only_serverAuth(nodes: Nodes) -> None:  # noqa: N802 -- likewise
    node = nodes["cp-1"]
    node.reissue("apiserver-kubelet-client", node.issuer(), usages=[SERVER])


@found(Rule.REFUSED_CONNECTION, ERROR, "pki/etcd/peer.crt")
def a_peer_has_no_clientAuth(nodes: Nodes) -> None:  # noqa: N802 -- likewise
    node = nodes["cp-1"]
    node.reissue("etcd/peer", node.issuer("etcd/ca"), usages=[SERVER])


@found(Rule.REFUSED_CONNECTION, WARNING, "pki/etcd/server.crt")
def etcds_gateway_cannot_be_a_client(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.reissue("etcd/server", node.issuer("etcd/ca"), usages=[SERVER])


@found(Rule.UNLIMITED_USAGE, WARNING, "pki/apiserver-etcd-client.crt")
def a_leaf_has_no_usages(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.reissue("apiserver-etcd-client", node.issuer("etcd/ca"), usages=None)


@found(Rule.REFUSED_CONNECTION, ERROR, "pki/apiserver-etcd-client.crt")
def etcds_client_is_of_the_wrong_ca(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.reissue("apiserver-etcd-client", node.issuer("ca"))


@found(Rule.REFUSED_CONNECTION, ERROR, "pki/etcd/healthcheck-client.crt")
def the_health_check_is_of_the_wrong_ca(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.reissue("etcd/healthcheck-client", node.issuer("front-proxy-ca"))


@found(Rule.REFUSED_CONNECTION, ERROR, "pki/front-proxy-client.crt")
def the_front_proxy_is_of_the_clusters_ca(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.reissue("front-proxy-client", node.issuer("ca"))


@found(Rule.REFUSED_CONNECTION, ERROR, "scheduler.conf")
def a_kubeconfig_is_of_another_cluster(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.reissue_login("scheduler.conf", new_ca("kubernetes", node.now))


@found(Rule.STALE_CA, ERROR, "controller-manager.conf")
def a_kubeconfig_has_an_old_ca(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    data = base64.b64encode(new_ca("kubernetes", node.now).pem).decode()
    node.set_cluster("controller-manager.conf", certificate_authority_data=data)


@found(Rule.STALE_CA, ERROR, "kubelet.conf")
def a_workers_kubeconfig_has_an_old_ca(nodes: Nodes) -> None:
    node = nodes["worker-1"]
    data = base64.b64encode(new_ca("kubernetes", node.now).pem).decode()
    node.set_cluster("kubelet.conf", certificate_authority_data=data)


@found(Rule.REFUSED_CONNECTION, ERROR, "admin.conf")
def a_ca_was_replaced_on_one_node(nodes: Nodes) -> None:
    node = nodes["cp-2"]
    replaced = new_ca("kubernetes", node.now)
    node.write("pki/ca.crt", replaced.pem)
    node.write("pki/ca.key", private_pem(replaced.key))


@found(Rule.TRUST_DIFFERS, WARNING, "pki/ca.crt")
def a_ca_was_added_on_one_node(nodes: Nodes) -> None:
    node = nodes["cp-2"]
    node.write("pki/ca.crt", node.path("pki/ca.crt").read_bytes() + new_ca("kubernetes", node.now).pem)


@found(Rule.UNKNOWN_ANCHOR, WARNING, "pki/ca.crt")
def an_unknown_ca_is_trusted(nodes: Nodes) -> None:
    for node in nodes.values():
        node.write("pki/ca.crt", node.path("pki/ca.crt").read_bytes() + new_ca("acme", node.now).pem)


@found(Rule.EXPIRED, WARNING, "pki/etcd/ca.crt")
def an_expired_ca_is_still_trusted(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    old = new_ca("etcd-ca", node.now, days=-10)
    node.write("pki/etcd/ca.crt", node.path("pki/etcd/ca.crt").read_bytes() + old.pem)


@found(Rule.CA_UNFIT, ERROR, "pki/ca.crt")
def a_leaf_stands_in_the_trust_bundle(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    leaf = pem_of(node.certificate("pki/apiserver.crt"))
    node.write("pki/ca.crt", node.path("pki/ca.crt").read_bytes() + leaf)


@found(Rule.LEAF_IS_CA, ERROR, "pki/apiserver.crt")
def a_serving_certificate_is_a_ca(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.reissue("apiserver", node.issuer(), is_ca=True)


@found(Rule.LEAF_IS_CA, ERROR, "scheduler.conf")
def a_components_certificate_is_a_ca(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.reissue_login("scheduler.conf", node.issuer(), is_ca=True)


@found(Rule.SHARED_CA, WARNING, "pki/etcd/ca.crt")
def etcd_trusts_the_clusters_ca(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.write("pki/etcd/ca.crt", node.path("pki/ca.crt").read_bytes())


@found(Rule.SHARED_CA, WARNING, "pki/ca.crt")
def one_ca_is_for_clients_and_front_proxies(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.set_flag("kube-apiserver", "requestheader-client-ca-file", "/etc/kubernetes/pki/ca.crt")
    node.reissue("front-proxy-client", node.issuer("ca"))


@found(Rule.TRUST_MISSING, ERROR, "kube-apiserver.yaml")
def an_api_server_has_no_ca_for_clients(nodes: Nodes) -> None:
    nodes["cp-1"].set_flag("kube-apiserver", "client-ca-file", None)


@found(Rule.TRUST_MISSING, ERROR, "kube-apiserver.yaml")
def an_api_server_has_no_ca_for_etcd(nodes: Nodes) -> None:
    nodes["cp-1"].set_flag("kube-apiserver", "etcd-cafile", None)


@found(Rule.TRUST_MISSING, ERROR, "etcd.yaml")
def a_member_has_no_ca_for_clients(nodes: Nodes) -> None:
    nodes["cp-1"].set_flag("etcd", "trusted-ca-file", None)


@found(Rule.TRUST_MISSING, ERROR, "etcd.yaml")
def a_member_has_no_ca_for_its_peers(nodes: Nodes) -> None:
    nodes["cp-1"].set_flag("etcd", "peer-trusted-ca-file", None)


@found(Rule.TRUST_MISSING, ERROR, "config.yaml")
def a_kubelet_has_no_ca_for_the_api_server(nodes: Nodes) -> None:
    nodes["worker-1"].set_kubelet({"authentication": {"anonymous": {"enabled": False}}})


@found(Rule.TRUST_MISSING, ERROR, "scheduler.conf")
def a_kubeconfig_has_no_ca(nodes: Nodes) -> None:
    nodes["cp-1"].set_cluster("scheduler.conf", certificate_authority_data=None)


@found(Rule.SIGNER_UNUSABLE, ERROR, "pki/other-ca.crt")
def the_controller_manager_signs_with_a_ca_that_nobody_trusts(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    other = new_ca("other", node.now)
    node.write("pki/other-ca.crt", other.pem)
    node.write("pki/other-ca.key", private_pem(other.key))
    for end, kind in (("crt", "cert"), ("key", "key")):
        path = f"/etc/kubernetes/pki/other-ca.{end}"
        node.set_flag("kube-controller-manager", f"cluster-signing-{kind}-file", path)


@found(Rule.SIGNER_UNUSABLE, ERROR, "pki/bundle.crt")
def the_controller_manager_is_to_sign_with_two_cas(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.write("pki/bundle.crt", node.path("pki/ca.crt").read_bytes() + new_ca("kubernetes", node.now).pem)
    path = "/etc/kubernetes/pki/bundle.crt"
    node.set_flag("kube-controller-manager", "cluster-signing-cert-file", path)


# -- keys -------------------------------------------------------------------------------------------------


@found(Rule.KEY_MISMATCH, ERROR, "pki/apiserver.crt")
def keys_were_swapped(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.copy_from(nodes["cp-2"], "pki/apiserver.key")


@found(Rule.KEY_MISMATCH, ERROR, "admin.conf")
def a_kubeconfig_has_another_key(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    content = node.kubeconfig("admin.conf")
    content["users"][0]["user"]["client-key-data"] = base64.b64encode(private_pem(new_key())).decode()
    node.write_kubeconfig("admin.conf", content)


@found(Rule.KEY_MISMATCH, ERROR, "pki/etcd/ca.crt")
def a_cas_key_is_that_of_another_ca(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.write("pki/etcd/ca.key", node.path("pki/front-proxy-ca.key").read_bytes())


@found(Rule.WEAK_KEY, ERROR, "pki/apiserver-kubelet-client.crt")
def a_key_has_1024_bits(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 -- on purpose
    node.reissue("apiserver-kubelet-client", node.issuer(), key=key)


@found(Rule.WEAK_KEY, ERROR, "pki/etcd/server.crt")
def a_key_is_on_a_curve_that_tls_does_not_have(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.reissue("etcd/server", node.issuer("etcd/ca"), key=ec.generate_private_key(ec.SECP224R1()))


@found(Rule.WEAK_SIGNATURE, ERROR, "pki/apiserver.crt")
def a_certificate_is_signed_with_sha1(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    root = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    authority = new_ca("kubernetes", node.now, key=root)
    key = new_key()
    certificate = alike(node.certificate("pki/apiserver.crt"), authority, key)
    node.write("pki/apiserver.crt", weak(certificate, root))
    node.write("pki/apiserver.key", private_pem(key))


@found(Rule.DUPLICATE_SERIAL, WARNING, ".crt")
def two_certificates_have_one_number(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    for name in ("apiserver", "apiserver-kubelet-client"):
        node.reissue(name, node.issuer(), serial=4711)


@found(Rule.KEY_REUSED, WARNING, "pki/apiserver.crt")
def one_key_serves_on_two_nodes(nodes: Nodes) -> None:
    nodes["cp-2"].copy_from(nodes["cp-1"], "pki/apiserver.crt", "pki/apiserver.key")


@found(Rule.KEY_REUSED, ERROR, "pki/front-proxy-ca.crt")
def two_cas_have_one_key(nodes: Nodes) -> None:
    for name in ("cp-1", "cp-2", "cp-3"):
        node = nodes[name]
        key = nodes["cp-1"].key("pki/ca.key")
        authority = Issuer(certificate=new_ca("front-proxy-ca", node.now, key=key).certificate, key=key)
        node.write("pki/front-proxy-ca.crt", authority.pem)
        node.write("pki/front-proxy-ca.key", private_pem(key))


@found(Rule.KEY_REUSED, ERROR, "pki/sa.key")
def tokens_are_signed_with_the_cas_key(nodes: Nodes) -> None:
    for name in ("cp-1", "cp-2", "cp-3"):
        key = nodes["cp-1"].key("pki/ca.key")
        nodes[name].write("pki/sa.key", private_pem(key))
        nodes[name].write("pki/sa.pub", public_pem(key))


@found(Rule.TOKEN_KEY_UNKNOWN, ERROR, "pki/sa.key")
def a_token_key_is_new_on_one_node(nodes: Nodes) -> None:
    node, key = nodes["cp-2"], new_key()
    node.write("pki/sa.key", private_pem(key))
    node.write("pki/sa.pub", public_pem(key))


@found(Rule.TOKEN_KEY_UNKNOWN, ERROR, "pki/other.key")
def an_api_server_signs_tokens_that_it_refuses(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.write("pki/other.key", private_pem(new_key()))
    path = "/etc/kubernetes/pki/other.key"
    node.set_flag("kube-apiserver", "service-account-signing-key-file", path)


@found(Rule.KEY_REUSED, WARNING, "pki/apiserver-copy.key")
def a_key_lies_in_two_places(nodes: Nodes) -> None:
    shutil.copy2(nodes["cp-1"].path("pki/apiserver.key"), nodes["cp-1"].path("pki/apiserver-copy.key"))


@found(Rule.KEY_REUSED, WARNING, "kubernetes/copy.key")
def a_cas_key_lies_in_two_places(nodes: Nodes) -> None:
    shutil.copy2(nodes["cp-1"].path("pki/etcd/ca.key"), nodes["cp-1"].path("copy.key"))


@found(Rule.AUTHORITY_KEY_ON_WORKER, ERROR, "pki/ca.key")
def a_worker_has_the_cas_key(nodes: Nodes) -> None:
    nodes["worker-1"].copy_from(nodes["cp-1"], "pki/ca.key")


# -- identities -------------------------------------------------------------------------------------------


@found(Rule.WRONG_IDENTITY, ERROR, "kubelet.conf")
def a_kubelet_is_not_in_its_group(nodes: Nodes) -> None:
    node = nodes["worker-1"]
    subject = name_of("system:node:worker-1", "workers")
    node.reissue_login("kubelet.conf", nodes["cp-1"].issuer(), subject=subject)


@found(Rule.WRONG_IDENTITY, ERROR, "kubelet.conf")
def a_kubelet_is_another_node(nodes: Nodes) -> None:
    node = nodes["cp-2"]
    subject = name_of("system:node:cp-1", "system:nodes")
    node.reissue_login("kubelet.conf", node.issuer(), subject=subject)


@found(Rule.WRONG_IDENTITY, ERROR, "scheduler.conf")
def a_scheduler_has_another_name(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.reissue_login("scheduler.conf", node.issuer(), subject=name_of("kube-scheduler"))


@found(Rule.WRONG_IDENTITY, ERROR, "controller-manager.conf")
def a_controller_manager_is_a_scheduler(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    shutil.copy2(node.path("scheduler.conf"), node.path("controller-manager.conf"))


@found(Rule.WRONG_IDENTITY, ERROR, "admin.conf")
def an_administrator_is_in_no_group(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.reissue_login("admin.conf", node.issuer(), subject=name_of("kubernetes-admin", "viewers"))


@found(Rule.WRONG_IDENTITY, ERROR, "pki/front-proxy-client.crt")
def the_front_proxy_has_a_name_that_is_not_allowed(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.reissue("front-proxy-client", node.issuer("front-proxy-ca"), subject=name_of("aggregator"))


@found(Rule.WRONG_POWER, WARNING, "scheduler.conf")
def a_scheduler_is_an_administrator(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    subject = name_of("system:kube-scheduler", "system:masters")
    node.reissue_login("scheduler.conf", node.issuer(), subject=subject)


@found(Rule.LONG_LIVED_MASTERS, WARNING, "admin.conf")
def an_administrator_lasts_ten_years(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    validity = (node.now - DAY, node.now + 3600 * DAY)
    subject = name_of("kubernetes-admin", "system:masters")
    node.reissue_login("admin.conf", node.issuer(), subject=subject, validity=validity)


# -- modes and owners -------------------------------------------------------------------------------------


@found(Rule.KEY_EXPOSED, ERROR, "pki/ca.key")
def everybody_reads_the_cas_key(nodes: Nodes) -> None:
    nodes["cp-1"].path("pki/ca.key").chmod(0o644)


@found(Rule.KEY_EXPOSED, WARNING, "pki/apiserver.key")
def a_group_reads_a_key(nodes: Nodes) -> None:
    nodes["cp-1"].path("pki/apiserver.key").chmod(0o640)


@found(Rule.KEY_EXPOSED, ERROR, "admin.conf")
def everybody_reads_the_administrators_kubeconfig(nodes: Nodes) -> None:
    nodes["cp-1"].path("admin.conf").chmod(0o644)


@found(Rule.PERMISSIVE_MODE, ERROR, "pki/ca.crt")
def everybody_writes_the_ca(nodes: Nodes) -> None:
    nodes["cp-1"].path("pki/ca.crt").chmod(0o666)


@found(Rule.PERMISSIVE_MODE, WARNING, "manifests/kube-apiserver.yaml")
def everybody_reads_a_manifest(nodes: Nodes) -> None:
    nodes["cp-1"].path("manifests/kube-apiserver.yaml").chmod(0o644)


@found(Rule.PERMISSIVE_MODE, ERROR, "/pki")
def everybody_writes_the_directory(nodes: Nodes) -> None:
    nodes["cp-1"].path("pki").chmod(0o777)


@found(Rule.PERMISSIVE_MODE, ERROR, "/etc/kubernetes")
def everybody_writes_the_directory_of_kubeconfigs(nodes: Nodes) -> None:
    nodes["cp-1"].path("").chmod(0o777)


# -- settings and files -----------------------------------------------------------------------------------


@found(Rule.FRONT_PROXY_NAMES, WARNING, "kube-apiserver.yaml")
def any_name_is_allowed_to_front_proxies(nodes: Nodes) -> None:
    nodes["cp-1"].set_flag("kube-apiserver", "requestheader-allowed-names", "")


@found(Rule.FRONT_PROXY_NAMES, ERROR, "kube-apiserver.yaml")
def every_client_is_a_front_proxy(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.set_flag("kube-apiserver", "requestheader-client-ca-file", "/etc/kubernetes/pki/ca.crt")
    node.set_flag("kube-apiserver", "requestheader-allowed-names", None)


@found(Rule.ETCD_UNPROTECTED, ERROR, "etcd.yaml")
def etcd_asks_for_no_certificate(nodes: Nodes) -> None:
    nodes["cp-1"].set_flag("etcd", "client-cert-auth", "false")
    nodes["cp-1"].set_flag("etcd", "trusted-ca-file", None)


@found(Rule.ETCD_UNPROTECTED, ERROR, "etcd.yaml")
def etcd_asks_its_peers_for_no_certificate(nodes: Nodes) -> None:
    nodes["cp-1"].set_flag("etcd", "peer-client-cert-auth", "false")
    nodes["cp-1"].set_flag("etcd", "peer-trusted-ca-file", None)


@found(Rule.ETCD_UNPROTECTED, WARNING, "etcd.yaml")
def etcd_makes_its_certificate_itself(nodes: Nodes) -> None:
    for name, value in (("auto-tls", "true"), ("cert-file", None), ("key-file", None)):
        nodes["cp-1"].set_flag("etcd", name, value)


@found(Rule.REFUSED_CONNECTION, ERROR, "pki/apiserver-etcd-client.crt")
def etcd_refuses_its_clients_though_it_does_not_say_that_it_asks(nodes: Nodes) -> None:
    nodes["cp-1"].set_flag("etcd", "client-cert-auth", "false")
    nodes["cp-1"].set_flag("etcd", "trusted-ca-file", "/etc/kubernetes/pki/front-proxy-ca.crt")


@found(Rule.ETCD_UNPROTECTED, ERROR, "etcd.yaml")
def etcd_listens_without_tls(nodes: Nodes) -> None:
    nodes["cp-1"].set_flag("etcd", "listen-client-urls", "https://127.0.0.1:2379,http://10.0.0.11:2378")


@found(Rule.OPEN_API_SERVER, ERROR, "kube-apiserver.yaml")
def an_api_server_allows_everything(nodes: Nodes) -> None:
    nodes["cp-1"].set_flag("kube-apiserver", "authorization-config", None)
    nodes["cp-1"].set_flag("kube-apiserver", "authorization-mode", "Node,AlwaysAllow")


@found(Rule.OPEN_KUBELET, ERROR, "config.yaml")
def a_kubelet_lets_everybody_in(nodes: Nodes) -> None:
    nodes["worker-1"].set_kubelet(
        {"authentication": {"anonymous": {"enabled": True}}, "authorization": {"mode": "AlwaysAllow"}}
    )


@found(Rule.UNVERIFIED_SERVER, ERROR, "kubelet.conf")
def a_kubelet_does_not_verify_the_server(nodes: Nodes) -> None:
    nodes["worker-1"].set_cluster(
        "kubelet.conf", certificate_authority_data=None, insecure_skip_tls_verify=True
    )


@found(Rule.MISSING_FILE, ERROR, "pki/apiserver-etcd-client.key")
def a_key_is_missing(nodes: Nodes) -> None:
    nodes["cp-1"].path("pki/apiserver-etcd-client.key").unlink()


@found(Rule.KEY_MISSING, ERROR, "scheduler.conf")
def a_kubeconfig_has_no_key(nodes: Nodes) -> None:
    content = nodes["cp-1"].kubeconfig("scheduler.conf")
    del content["users"][0]["user"]["client-key-data"]
    nodes["cp-1"].write_kubeconfig("scheduler.conf", content)


@found(Rule.DAMAGED_FILE, ERROR, "pki/etcd/server.crt")
def a_certificate_is_cut_off(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.write("pki/etcd/server.crt", node.path("pki/etcd/server.crt").read_bytes()[:300])


@found(Rule.DAMAGED_FILE, ERROR, "scheduler.conf")
def a_kubeconfig_is_no_yaml(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.write("scheduler.conf", node.path("scheduler.conf").read_bytes() + b"\n\tusers: [\n")


@found(Rule.DAMAGED_FILE, ERROR, "scheduler.conf")
def a_kubeconfigs_context_is_not_in_it(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.write_kubeconfig("scheduler.conf", node.kubeconfig("scheduler.conf") | {"current-context": "other"})


@found(Rule.DAMAGED_FILE, ERROR, "scheduler.conf")
def a_kubeconfigs_user_is_not_in_it(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    content = node.kubeconfig("scheduler.conf")
    content["contexts"][0]["context"]["user"] = "other"
    node.write_kubeconfig("scheduler.conf", content)


@found(Rule.DAMAGED_FILE, ERROR, "kube-scheduler.yaml")
def a_manifest_is_empty(nodes: Nodes) -> None:
    nodes["cp-1"].write("manifests/kube-scheduler.yaml", b"")


@found(Rule.OVERLAPPING_MANIFESTS, ERROR, "kube-apiserver.yaml.bak")
def a_copy_of_a_manifest_is_beside_it(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    shutil.copy2(node.path("manifests/kube-apiserver.yaml"), node.path("manifests/kube-apiserver.yaml.bak"))


# -- what an acceptance test has put there ----------------------------------------------------------------


def authority_below(node: AlteredNode, name: str = "below") -> Issuer:
    """A CA that the cluster's own has signed."""
    key, above = new_key(), node.issuer()
    certificate = alike(above.certificate, above, key, subject=name_of(name), is_ca=True)
    return Issuer(certificate=certificate, key=key)


def self_signed(node: AlteredNode, *, days: int = 300) -> Issuer:
    """A serving certificate as a kubelet makes it for itself."""
    own = new_ca(f"worker-1-ca@{int(node.now.timestamp())}", node.now, days=days)
    key = new_key()
    old = node.login("kubelet.conf")
    changes = {"subject": name_of("worker-1@1"), "names": sans("worker-1"), "usages": [SERVER]}
    return Issuer(certificate=alike(old, own, key, **changes), key=key)  # type: ignore[arg-type]


@found(Rule.REFUSED_CONNECTION, ERROR, "pki/apiserver.crt")
def the_intermediate_ca_was_not_sent_along(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.reissue("apiserver", authority_below(node))


@found(Rule.REFUSED_CONNECTION, ERROR, "pki/apiserver.crt")
def an_address_stands_among_the_dns_names(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    names = ("kubernetes.default.svc", "api.prod.example.com", "10.96.0.1", "10.0.0.11")
    listed = x509.SubjectAlternativeName([x509.DNSName(each) for each in names])
    node.reissue("apiserver", node.issuer(), names=listed)


@found(Rule.EXPIRED, ERROR, "pki/apiserver.crt")
def the_intermediate_ca_beside_it_has_expired(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    above, below = node.issuer(), authority_below(node)
    validity = (node.now - 30 * DAY, node.now - DAY)
    ended = alike(below.certificate, above, below.key, is_ca=True, validity=validity)
    node.reissue("apiserver", below)
    node.write("pki/apiserver.crt", node.path("pki/apiserver.crt").read_bytes() + pem_of(ended))


@found(Rule.KEY_MISMATCH, ERROR, "pki/apiserver.crt")
def the_ca_stands_before_the_certificate(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    ca, own = (node.path(f"pki/{name}.crt").read_bytes() for name in ("ca", "apiserver"))
    node.write("pki/apiserver.crt", ca + own)


@found(Rule.DAMAGED_FILE, ERROR, "pki/apiserver.key")
def a_key_is_encrypted(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    form, cipher = serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"sesame")
    data = node.key("pki/apiserver.key").private_bytes(serialization.Encoding.PEM, form, cipher)
    node.write("pki/apiserver.key", data)


@found(Rule.WEAK_KEY, ERROR, "pki/apiserver.crt")
def an_intermediate_ca_has_1024_bits(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 -- on purpose
    above = node.issuer()
    below = alike(above.certificate, above, key, subject=name_of("below"), is_ca=True)
    node.reissue("apiserver", Issuer(certificate=below, key=key))
    node.write("pki/apiserver.crt", node.path("pki/apiserver.crt").read_bytes() + pem_of(below))


@found(Rule.DUPLICATE_SERIAL, WARNING, "pki/apiserver.crt")
def a_certificate_has_its_cas_own_number(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.reissue("apiserver", node.issuer(), serial=node.certificate("pki/ca.crt").serial_number)


@found(Rule.SPARE_AUTHORITY, WARNING, "pki/below.crt")
def a_ca_was_signed_and_forgotten(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    below = authority_below(node)
    node.write("pki/below.crt", below.pem)
    node.write("pki/below.key", private_pem(below.key))


@found(Rule.UNKNOWN_ANCHOR, WARNING, "admin.conf")
def a_kubeconfig_trusts_a_second_ca(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    data = node.path("pki/ca.crt").read_bytes() + new_ca("acme", node.now).pem
    node.set_cluster("admin.conf", certificate_authority_data=base64.b64encode(data).decode())


@found(Rule.UNKNOWN_ANCHOR, INFORMATION, "kubelet.conf")
def a_kubeconfig_still_trusts_the_ca_before(nodes: Nodes) -> None:
    node = nodes["worker-1"]
    data = node.path("pki/ca.crt").read_bytes() + new_ca("kubernetes", node.now).pem
    node.set_cluster("kubelet.conf", certificate_authority_data=base64.b64encode(data).decode())


@found(Rule.AUTHORITY_KEY_ON_WORKER, ERROR, "pki/sa.key")
def a_worker_has_the_token_key(nodes: Nodes) -> None:
    nodes["worker-1"].copy_from(nodes["cp-1"], "pki/sa.key")


@found(Rule.ADMINISTRATOR_ON_WORKER, WARNING, "admin.conf")
def a_worker_has_the_administrators_kubeconfig(nodes: Nodes) -> None:
    nodes["worker-1"].copy_from(nodes["cp-1"], "admin.conf")


@found(Rule.KEY_EXPOSED, ERROR, "pki/ca.key.bak")
def a_copy_of_the_cas_key_is_for_everybody(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    shutil.copy2(node.path("pki/ca.key"), node.path("pki/ca.key.bak"))
    node.path("pki/ca.key.bak").chmod(0o644)


@found(Rule.KEY_EXPOSED, ERROR, "pki/apiserver.crt")
def a_key_stands_in_the_certificates_file(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    data = node.path("pki/apiserver.crt").read_bytes() + node.path("pki/apiserver.key").read_bytes()
    node.write("pki/apiserver.crt", data)
    node.path("pki/apiserver.crt").chmod(0o644)


@found(Rule.KEY_EXPOSED, ERROR, "enc.yaml")
def everybody_reads_the_keys_of_encrypted_secrets(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.path("enc.yaml").write_text("kind: EncryptionConfiguration\n")
    node.path("enc.yaml").chmod(0o644)
    node.set_flag("kube-apiserver", "encryption-provider-config", "/etc/kubernetes/enc.yaml")


@found(Rule.STATIC_TOKENS, WARNING, "kube-apiserver.yaml")
def an_api_server_takes_static_tokens(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.write("tokens.csv", b"sesame,jane,1000,system:masters\n")
    node.set_flag("kube-apiserver", "token-auth-file", "/etc/kubernetes/tokens.csv")


@found(Rule.WRONG_IDENTITY, ERROR, "scheduler.conf")
def a_scheduler_shows_nothing(nodes: Nodes) -> None:
    content = nodes["cp-1"].kubeconfig("scheduler.conf")
    content["users"][0]["user"] = {}
    nodes["cp-1"].write_kubeconfig("scheduler.conf", content)


@found(Rule.NOT_RENEWED, WARNING, "kubelet.conf")
def a_kubelet_is_told_not_to_renew(nodes: Nodes) -> None:
    nodes["worker-1"].rotate_kubelet(nodes["cp-1"].issuer())
    nodes["worker-1"].set_kubelet({"rotateCertificates": False})


@found(Rule.OPEN_KUBELET, WARNING, "config.yaml")
def a_kubelet_has_the_port_without_certificates(nodes: Nodes) -> None:
    nodes["worker-1"].set_kubelet({"readOnlyPort": 10255})


@found(Rule.OPEN_KUBELET, ERROR, "kubelet.service")
def a_kubelet_runs_without_settings(nodes: Nodes) -> None:
    unit = nodes["worker-1"].root / "etc/systemd/system/kubelet.service"
    unit.parent.mkdir(parents=True, exist_ok=True)
    unit.write_text("[Service]\nExecStart=/usr/bin/kubelet --kubeconfig=/etc/kubernetes/kubelet.conf\n")


@found(Rule.REFUSED_CONNECTION, ERROR, "pki/kubelet.crt")
def a_kubelets_own_certificate_is_to_be_verified(nodes: Nodes) -> None:
    node = nodes["worker-1"]
    own = self_signed(node)
    directory = node.root / "var/lib/kubelet/pki"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "kubelet.crt").write_bytes(own.pem)
    (directory / "kubelet.key").write_bytes(private_pem(own.key))
    # As with `--node-ip` of the package's /etc/default/kubelet.
    (node.root / "etc/default").mkdir(parents=True, exist_ok=True)
    (node.root / "etc/default/kubelet").write_text("KUBELET_EXTRA_ARGS=--node-ip=10.0.0.21\n")
    node.set_kubelet({"tlsCertFile": "", "tlsPrivateKeyFile": ""})
    for name in ("cp-1", "cp-2", "cp-3"):
        ca = "/etc/kubernetes/pki/ca.crt"
        nodes[name].set_flag("kube-apiserver", "kubelet-certificate-authority", ca)


@found(Rule.REFUSED_CONNECTION, ERROR, "pki/apiserver-kubelet-client.crt")
def a_kubelet_judges_by_etcds_ca(nodes: Nodes) -> None:
    trust = {"clientCAFile": "/etc/kubernetes/pki/etcd/ca.crt"}
    nodes["cp-1"].set_kubelet({"authentication": {"x509": trust, "anonymous": {"enabled": False}}})


@found(Rule.REFUSED_CONNECTION, ERROR, "pki/apiserver.crt")
def pods_are_given_another_ca(nodes: Nodes) -> None:
    node = nodes["cp-1"]
    node.write("pki/pods.crt", new_ca("kubernetes", node.now).pem)
    node.set_flag("kube-controller-manager", "root-ca-file", "/etc/kubernetes/pki/pods.crt")
