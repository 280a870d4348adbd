"""What `init` leaves a person with: the CAs, the nodes, the discovery hash and the next steps."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.cli.reports.tables import table
from pkigen.crypto.issuance import fingerprint
from pkigen.desired.certificates import SUPER_ADMIN
from pkigen.desired.generations import CA
from pkigen.desired.inventory import Inventory
from pkigen.desired.items import DesiredCertificate
from pkigen.notation import dir_option, format_duration, quoted, residual
from pkigen.spec.certificates import KeyHome
from pkigen.state.authority import look_at_all
from pkigen.state.materials import discovery_hash

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from pkigen.reconcile.apply import Applied
    from pkigen.spec.users import User
    from pkigen.state.authority import CACertificates
    from pkigen.state.observed import Reader

_NODES_SHOWN = 20
_NODES_ASKING = 3


def cluster_summary(
    inventory: Inventory,
    reader: Reader,
    *,
    root: Path,
    applied: Applied,
    now: datetime,
    width: int | None = None,
) -> str:
    """The summary of a finished tree; `width` is the terminal's."""
    cluster = inventory.cluster
    authorities, _ = look_at_all(reader, inventory, now=now)
    lines = [
        f"cluster {cluster.name}, Kubernetes {cluster.spec.kubernetes_version}, in {root}",
        "",
        table(("CA", "EXPIRES", "RESIDUAL", "SHA-256 FINGERPRINT"), _cas(authorities, now), width=width),
        "",
        table(
            ("NODE", "ROLES", "CERTIFICATES", "SHORTEST VALIDITY"),
            _nodes(inventory, authorities, now),
            width=width,
        ),
    ]
    hidden = len(cluster.spec.nodes) - _NODES_SHOWN
    if hidden > 0:
        lines.append(f"… and {hidden} more nodes")
    if cluster.spec.users:
        lines += ["", table(("USER", "GROUPS", "VALIDITY", "KUBECONFIG"), _users(inventory), width=width)]
    lines.extend(_waiting(inventory))
    lines.append("")
    lines.extend(f"shortened to its CA's validity: {identifier}" for identifier in applied.capped)
    if CA.KUBERNETES in authorities:
        lines.append(f"discovery hash: {discovery_hash(authorities[CA.KUBERNETES].certificate)}")
    if not cluster.ca_keys_on_nodes:
        lines.append("no node gets a CA key: the controller managers sign nothing")
    lines.extend(_next(inventory, root) if cluster.spec.nodes else [_EXPORT.format(option=dir_option(root))])
    return "\n".join(lines)


_EXPORT = "next: `pkigen export {option} --as DISTRIBUTION` writes the authority as its nodes take it"


def _next(inventory: Inventory, root: Path) -> Iterator[str]:
    nodes = inventory.cluster.spec.nodes
    asking = [node.name for node in nodes if inventory.cluster.key_home(node) is KeyHome.NODE]
    if asking:
        option = dir_option(root)
        some = ", ".join(sorted(asking)[:_NODES_ASKING]) + (", …" if len(asking) > _NODES_ASKING else "")
        yield f"next: on {some}: `pkigen airgap node request SPEC --out MEDIUM`; then here, for all requests,"
        yield f"      `pkigen airgap node approve FILE… {option} --out MEDIUM`; install the results there"
    if len(asking) < len(nodes):
        which = "each other node" if asking else "each node"
        yield f"next: copy {root}/nodes/NAME/ over the root directory of {which}, start the kubelets,"
    path = next(path for path in inventory.kubeconfigs if path.endswith(f"/{SUPER_ADMIN.name}"))
    node = inventory.kubeconfigs[path].node
    if node in asking:
        kubeconfig = path.removeprefix(f"{layout.NODES}/{node}")
        yield f"      then on {node}: `kubectl --kubeconfig {kubeconfig} apply -f` what is in {root}/addons/"
    else:
        kubeconfig, addons = quoted(f"{root}/{path}"), quoted(f"{root}/addons/")
        yield f"      then `kubectl --kubeconfig {kubeconfig} apply -f {addons}`"


def _cas(authorities: dict[CA, CACertificates], now: datetime) -> Iterator[tuple[str, ...]]:
    for ca, found in authorities.items():
        certificate = found.certificate
        end = certificate.not_valid_after_utc
        yield (
            ca.certificate_name,
            f"{end:%Y-%m-%d}",
            residual(end - now),
            fingerprint(certificate),
        )


def _nodes(
    inventory: Inventory, authorities: dict[CA, CACertificates], now: datetime
) -> Iterator[tuple[str, ...]]:
    """With what was issued: no certificate outlives its CA."""
    own: dict[str, list[DesiredCertificate]] = {}
    for certificate in inventory.certificates.values():
        if certificate.node is not None:
            own.setdefault(certificate.node, []).append(certificate)
    for node in sorted(inventory.cluster.spec.nodes, key=lambda node: node.name)[:_NODES_SHOWN]:
        certificates = own[node.name]
        shortest = min(certificate.validity for certificate in certificates)
        issuers = {certificate.issuer for certificate in certificates}
        ends = [each.certificate.not_valid_after_utc for ca, each in authorities.items() if ca in issuers]
        # Issuing cuts a leaf's validity at its CA's end, and this is what the node really gets.
        left = min((end - now for end in ends), default=shortest)
        shown = format_duration(shortest) if shortest <= left else residual(left)
        yield node.name, ",".join(node.roles), str(len(certificates)), shown


def _users(inventory: Inventory) -> Iterator[tuple[str, ...]]:
    for user in sorted(inventory.cluster.spec.users, key=lambda user: user.stem):
        path = "keeps their own key" if user.keeps_key else layout.user_path(user.stem)
        waiting = user.is_service_account and path not in inventory.paths
        shown = f"{format_duration(user.validity)}{_in_days(user)}"
        yield user.username, ",".join(user.groups) or "-", shown, "needs its uid" if waiting else path


def _waiting(inventory: Inventory) -> Iterator[str]:
    for user in inventory.cluster.spec.users:
        if user.is_service_account and user.uid is None:
            yield f"once {user.username} exists, write its uid into the spec, then `pkigen apply`:"
            account = f"-n {user.namespace} get serviceaccount {user.name}"
            yield f"  kubectl {account} -o jsonpath='{{.metadata.uid}}'"


def _in_days(user: User) -> str:
    """Nobody should have to find out from an error that people's certificates are short-lived by default."""
    days, rest = divmod(user.validity, timedelta(days=1))
    said = f"{days} day{'' if days == 1 else 's'}" if not rest else ""
    default = "" if "validity" in user.model_fields_set else "default"
    words = ", ".join(word for word in (said, default) if word)
    return f" ({words})" if words else ""
