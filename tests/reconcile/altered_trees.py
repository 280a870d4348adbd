"""Ways in which a finished tree is altered, and what the plan and its application must make of it."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.crypto.issuance import CertificateContent, Issuer, certificate_pem, issue
from pkigen.crypto.keys import load_private, private_pem
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from pkigen.desired.generations import CA
from pkigen.state.reasons import Reason
from tests.samples import CP1, NOW, W1, World, spec

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


PKI = "nodes/cp-1/etc/kubernetes/pki"
API = f"{PKI}/apiserver"
ADMIN = "nodes/cp-1/etc/kubernetes/admin.conf"
MANIFEST = "nodes/cp-1/etc/kubernetes/manifests/kube-apiserver.yaml"
MINUTE = timedelta(minutes=1)
TreeCase = tuple["Callable[[World], object]", str, str, Reason, str]
"""What happens to a good tree, the object, the action, the reason, and a piece of the detail."""


def assert_planned(world: World, case: TreeCase) -> None:
    """Change the tree: the plan has the action, for the reason."""
    change, identifier, verb, reason, detail = case
    change(world)
    changes = {action.id: action for action in world.plan().changes}
    action = changes[identifier]
    assert (action.verb, action.reason) == (verb, reason)
    assert any(detail in each for each in action.details), action.details


def assert_put_right(world: World, case: TreeCase) -> None:
    """Apply the plan: nothing is left to do, and what was replaced is in a backup."""
    done = world.apply()
    assert world.plan().changes == ()
    assert world.verify().findings == ()
    if case[2] != "create":
        assert done.backup is not None


def follow(world: World, *nodes: dict[str, Any], **more: Any) -> None:
    world.follow(spec(*(nodes or (CP1, W1)), **{"encryption": {}, **more}))


def edit(world: World, path: str, old: bytes, new: bytes) -> None:
    content = world.read(path)
    assert old in content
    world.path(path).write_bytes(content.replace(old, new))


def reissued(
    world: World,
    identifier: str,
    *,
    begin: timedelta = timedelta(),
    validity: timedelta | None = None,
    key: ec.EllipticCurvePrivateKey | None = None,
    issuer: Issuer | None = None,
    chain: tuple[x509.Certificate, ...] = (),
    change: Callable[[x509.CertificateBuilder], x509.CertificateBuilder] | None = None,
) -> None:
    """Put another certificate of the same content at the place of one, signed by the same CA."""
    item = world.inventory.certificates[identifier]
    stem = world.path(item.location.certificate).with_suffix("")  # type: ignore[union-attr]
    ca = issuer or signer(world, item.issuer or CA.KUBERNETES)
    private = key or load_private(stem.with_suffix(".key").read_bytes())
    made = issue(
        CertificateContent(
            subject=item.subject, sans=item.sans, profile=item.profile, validity=validity or item.validity
        ),
        key=private,
        issuer=ca,
        now=world.now + begin,
        entropy=os.urandom,
    ).certificate
    if change is not None:
        builder = x509.CertificateBuilder(
            subject_name=made.subject,
            issuer_name=made.issuer,
            public_key=made.public_key(),  # type: ignore[arg-type]
            serial_number=made.serial_number,
            not_valid_before=made.not_valid_before_utc,
            not_valid_after=made.not_valid_after_utc,
            extensions=list(made.extensions),
        )
        made = change(builder).sign(ca.key, hashes.SHA256())
    stem.with_suffix(".crt").write_bytes(certificate_pem(made, *chain))
    stem.with_suffix(".key").write_bytes(private_pem(private))


def signer(world: World, ca: CA) -> Issuer:
    return Issuer(
        certificate=x509.load_pem_x509_certificate(world.read(f"pki/{ca}.crt")),
        key=load_private(world.read(f"pki/{ca}.key")),
    )


def stranger() -> Issuer:
    """A CA that calls itself like ours, and is another."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = CertificateContent(
        subject=Subject(common_name="kubernetes"),
        sans=SANs(),
        profile=Profile.CA,
        validity=timedelta(days=9000),
    )
    made = issue(request, key=key, issuer=None, now=NOW, entropy=os.urandom)
    return Issuer(certificate=made.certificate, key=key)


def without_extension(
    oid: x509.ObjectIdentifier,
) -> Callable[[x509.CertificateBuilder], x509.CertificateBuilder]:
    def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        kept = [each for each in builder._extensions if each.oid != oid]  # noqa: SLF001 -- no public way to drop one
        builder._extensions = kept  # noqa: SLF001
        return builder

    return change
