"""Makes one object of a plan and stages it: one function for each kind of object."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crypto.cross_certification import cross_certify
from pkigen.crypto.issuance import certificate_pem, issue, issue_for, renew_root
from pkigen.crypto.keys import (
    PrivateKey,
    algorithm_of,
    load_own_private,
    load_private,
    note_sound,
    private_pem,
    public_pem,
)
from pkigen.crypto.pem_certificates import parse_certificates
from pkigen.crypto.service_account_tokens import Claims, in_kubeconfig, token_facts
from pkigen.crypto.service_account_tokens import read as read_token
from pkigen.crypto.service_account_tokens import sign as sign_token
from pkigen.desired.generations import CertificateFile, InKubeconfig, KeyPairFiles, Slot, sa_path
from pkigen.desired.items import (
    Desired,
    DesiredCertificate,
    DesiredCopy,
    DesiredCrossCertificate,
    DesiredFile,
    DesiredKeyPair,
    DesiredSecret,
    DesiredToken,
    content_of,
)
from pkigen.errors import AuthorityError
from pkigen.reconcile.plan import Action, Create, Reissue, Renew
from pkigen.reconcile.surveyed import certificate_modes
from pkigen.state.ledger import Event
from pkigen.state.lockfile import certificate_facts
from pkigen.state.observed import KEY_PLACEHOLDER, client_key_pem, observe_certificate
from pkigen.state.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.crypto.issuance import Issued
    from pkigen.desired.generations import CA, Location
    from pkigen.reconcile.staging import Staging
    from pkigen.reconcile.workbench import Workbench


def carry_out(item: Desired, action: Action, bench: Workbench, keys: Iterator[PrivateKey]) -> None:
    """Make one object as its action says, and stage it.

    Args:
        item: The object.
        action: What is to be done to it.
        bench: What it is made from, by and into.
        keys: New private keys, one for each object that `needs_key`, in the order of the inventory.

    Raises:
        AuthorityError: What it is made from is missing.
        StoreError: It could not be written.
    """
    match item:
        case DesiredCertificate():
            certificate(item, action, bench, keys)
        case DesiredCrossCertificate():
            cross_certificate(item, action, bench)
        case DesiredKeyPair():
            key_pair(item, action, bench, keys)
        case DesiredSecret():
            secret(item, action, bench)
        case DesiredToken():
            token(item, action, bench)
        case DesiredCopy():
            bench.staging.stage(item.path, item.mode, bench.authorities.material(item))
        case DesiredFile():
            trust = b"" if item.trust is None else bench.authorities.trust_bundle(item.trust, item.path)
            content = bench.tools.renderer.file(
                item, secrets=bench.authorities.encryption_keys(item), trust_bundle=trust
            )
            bench.staging.stage(item.path, item.mode, content)
        case _:  # pragma: no cover -- kubeconfigs have no action of their own
            raise AssertionError(item)


# -- keys ---------------------------------------------------------------------------------------------


def needs_key(item: Desired, action: Action, bench: Workbench) -> bool:
    """Whether a new private key is made for an object."""
    if not isinstance(action, Create | Renew | Reissue):
        return False
    if isinstance(item, DesiredKeyPair):
        return True
    # The keys are handed out by this answer: `certificate` must take one in exactly these cases.
    if not isinstance(item, DesiredCertificate) or item.key_is_elsewhere:
        return False
    # With another key, nothing that the CA has signed would verify any more.
    if item.issuer is None and isinstance(action, Renew):
        return False
    if bench.inventory.is_signed_offline(item):
        return False  # the request was made with it
    return _reused_key(item, action, bench) is None


def _reused_key(item: DesiredCertificate, action: Action, bench: Workbench) -> PrivateKey | None:
    """The present certificate's key, where the next one is to be for the same; None for a new one."""
    # A key is reused only where it is not the reason: never where it is missing, damaged or of another kind.
    replaced = isinstance(action, Reissue) and action.reason is Reason.ISSUER_REPLACED
    if not bench.source.reuses_keys or not (isinstance(action, Renew) or replaced):
        return None
    key = load_own_private(_key_pem(item, bench))
    return key if algorithm_of(key) is item.key_algorithm else None


def _key_pem(item: DesiredCertificate, bench: Workbench) -> bytes:
    """The private key that is in place.

    Raises:
        AuthorityError: There is none here.
    """
    key: bytes | None = None
    match _present_location(item, bench):
        case KeyPairFiles() as files:
            key = bench.staging.opened.read(files.key).data
        case InKubeconfig() as place:
            key = client_key_pem(bench.staging.view.read(place.kubeconfig).data)
        case CertificateFile():
            pass
    if key is None:
        raise AuthorityError(f"the private key of {item.id} is not here")
    return key


def _present_location(item: DesiredCertificate, bench: Workbench) -> Location:
    """Where a certificate stands now: where the spec wants it, or where another spec wanted it."""
    if item.former is None:
        return item.location
    present = observe_certificate(bench.staging.view, item.location).certificate
    return item.former if present is None else item.location


# -- certificates -------------------------------------------------------------------------------------


def certificate(
    item: DesiredCertificate, action: Action, bench: Workbench, keys: Iterator[PrivateKey]
) -> None:
    """Make a certificate, or put right what is around the one that is there."""
    if not isinstance(action, Create | Renew | Reissue):
        _rewrite(item, action, bench)
    elif bench.inventory.is_signed_offline(item):
        _deliver(item, action, bench)
    elif item.issuer is None and isinstance(action, Renew):
        _renew_authority(item, action, bench)
    elif item.issuer is not None and item.key_is_elsewhere:
        _certify(item, item.issuer, action, bench)
    else:
        _issue(item, action, bench, keys)


def _rewrite(item: DesiredCertificate, action: Action, bench: Workbench) -> None:
    """The certificate and its key stay; the modes, the kubeconfig around them, or their place change."""
    # The content is right: it is staged again as it is.
    if action.reason is Reason.MODE:
        bench.staging.set_modes(certificate_modes(item))
        return
    location = _present_location(item, bench)
    observed = observe_certificate(bench.staging.view, location)
    if observed.certificate is not None:
        chain = bench.authorities.chain_after(item)
        moves = location != item.location and not item.key_is_elsewhere
        key = _key_pem(item, bench) if moves else None
        _place(item, certificate_pem(observed.certificate, *chain), key, bench)


def _deliver(item: DesiredCertificate, action: Action, bench: Workbench) -> None:
    """Put a certificate of the offline authority in place.

    Raises:
        AuthorityError: The source does not bring it, or it cannot be read.
    """
    delivered = bench.source.delivered(item.id)
    certificates = parse_certificates(delivered.certificate)
    if isinstance(certificates, str):
        raise AuthorityError(f"the certificate for {item.id} {certificates}")
    _place(item, delivered.certificate, delivered.key, bench)
    bench.record(Event.DELIVERED, item.id, action, certificate_facts(certificates[0]))


def _renew_authority(item: DesiredCertificate, action: Action, bench: Workbench) -> None:
    """The same key and subject with a new validity: whatever the CA has signed stays good.

    Raises:
        AuthorityError: Somebody else has signed it.
    """
    present = observe_certificate(bench.staging.view, item.location).certificate
    if present is None or present.subject != present.issuer:
        raise AuthorityError(
            f"{item.id} is not self-signed: only its issuer can renew it",
            hint="have its issuer renew it, and replace the file",
        )
    key = _key_pem(item, bench)
    issued = renew_root(
        present,
        key=load_own_private(key),
        validity=item.validity,
        now=bench.tools.now,
        entropy=bench.tools.entropy,
    )
    _place_issued(item, issued, key, action, bench)


def _certify(item: DesiredCertificate, issuer: CA, action: Action, bench: Workbench) -> None:
    """Certify a key that only the item's node has."""
    issued = issue_for(
        content_of(item),
        public_key=bench.source.requested_key(item.id),
        issuer=bench.authorities.issuer(issuer),
        now=bench.tools.now,
        entropy=bench.tools.entropy,
    )
    _place_issued(item, issued, None, action, bench)


def _issue(item: DesiredCertificate, action: Action, bench: Workbench, keys: Iterator[PrivateKey]) -> None:
    """Issue a certificate for a key that is made here, or was."""
    reused = _reused_key(item, action, bench)
    key = reused or next(keys)
    pem = private_pem(key)
    if reused is None and item.issuer is None:
        note_sound(pem)  # a CA signs with it soon
    issued = issue(
        content_of(item),
        key=key,
        issuer=bench.authorities.issuer(item.issuer) if item.issuer is not None else None,
        now=bench.tools.now,
        entropy=bench.tools.entropy,
    )
    _place_issued(item, issued, pem, action, bench)


def _place_issued(
    item: DesiredCertificate, issued: Issued, key: bytes | None, action: Action, bench: Workbench
) -> None:
    """Stage a new certificate with what is sent after it, and put it on record."""
    chain = bench.authorities.chain_after(item)
    _place(item, certificate_pem(issued.certificate, *chain), key, bench)
    # After signing: what name constraints allow is asked of the certificate as it is.
    bench.authorities.require_permitted(item, issued.certificate)
    if issued.capped:
        bench.made.capped.append(item.id)
    bench.record(Event.ISSUED, item.id, action, certificate_facts(issued.certificate))


def _place(item: DesiredCertificate, pem: bytes, key: bytes | None, bench: Workbench) -> None:
    """Stage a certificate where it stands; without `key`, the one that is in place stays."""
    staging = bench.staging
    if isinstance(item.location, InKubeconfig):
        kubeconfig = bench.inventory.kubeconfigs[item.location.kubeconfig]
        # The kubeconfig is written as a whole, so the key that stays has to be read.
        if key is None:
            key = KEY_PLACEHOLDER if item.key_is_elsewhere else _key_pem(item, bench)
        trust = bench.authorities.trust_bundle(kubeconfig.trust, kubeconfig.path)
        content = bench.tools.renderer.kubeconfig(kubeconfig, trust_bundle=trust, certificate=pem, key=key)
        staging.stage(kubeconfig.path, layout.KUBECONFIG_MODE, content)
        return
    if isinstance(item.location, KeyPairFiles):
        _place_key(item, item.location.key, key, staging)
    staging.stage(item.location.certificate, layout.CERTIFICATE_MODE, pem)


def _place_key(item: DesiredCertificate, path: str, key: bytes | None, staging: Staging) -> None:
    """Stage the key of a certificate; one that stays gets the mode that it must have."""
    if key is None:
        # A CA's key is the vault's to keep, and a key that is on its node alone is not here.
        if item.issuer is not None and not item.key_is_elsewhere:
            staging.set_modes({path: layout.KEY_MODE})
    elif item.issuer is None:
        staging.stage_private(path, key)
    else:
        staging.stage(path, layout.KEY_MODE, key)


def cross_certificate(item: DesiredCrossCertificate, action: Action, bench: Workbench) -> None:
    """Have the old generation of a CA certify the key of the new one."""
    if action.reason is Reason.MODE:
        bench.staging.set_modes({item.path: layout.CERTIFICATE_MODE})
        return
    issued = cross_certify(
        bench.authorities.certificate(item.ca, item.subject),
        issuer=bench.authorities.generation(item.ca, item.issuer),
        now=bench.tools.now,
        entropy=bench.tools.entropy,
    )
    bench.staging.stage(item.path, layout.CERTIFICATE_MODE, certificate_pem(issued.certificate))
    bench.record(Event.ISSUED, item.id, action, certificate_facts(issued.certificate))


# -- keys and secrets of the authority ----------------------------------------------------------------


def key_pair(item: DesiredKeyPair, action: Action, bench: Workbench, keys: Iterator[PrivateKey]) -> None:
    """Make the service account key pair, or only its public half again."""
    staging = bench.staging
    if action.reason in {Reason.NOT_SEALED, Reason.MODE}:  # what is unencrypted is sealed in the end
        staging.set_modes({item.private_path: layout.KEY_MODE, item.public_path: layout.PUBLIC_MODE})
        return
    if isinstance(action, Create | Reissue):
        key = next(keys)
        pem = private_pem(key)
        note_sound(pem)
        staging.stage_private(item.private_path, pem)
        bench.record(Event.KEY_MADE, item.id, action, {})
    else:
        # Not `load_own_private`: the key may have been brought, and so its primes are tested.
        key = load_private(staging.opened.read(item.private_path).data)
        staging.set_modes({item.private_path: layout.KEY_MODE})
    staging.stage(item.public_path, layout.PUBLIC_MODE, public_pem(key))


def secret(item: DesiredSecret, action: Action, bench: Workbench) -> None:
    """Make a random secret."""
    if action.reason is Reason.NOT_SEALED:
        return  # what is unencrypted is sealed in the end
    if action.reason is Reason.MODE:
        bench.staging.set_modes({item.path: layout.SECRET_MODE})
        return
    # In base64, as an EncryptionConfiguration has keys.
    bench.staging.stage_private(item.path, base64.b64encode(bench.tools.entropy(item.size)))
    bench.record(Event.KEY_MADE, item.id, action, {})


# -- tokens -------------------------------------------------------------------------------------------


def token(item: DesiredToken, action: Action, bench: Workbench) -> None:
    """Sign a service account's token, or put right what is around the one that is there."""
    if action.reason is Reason.MODE:
        bench.staging.set_modes({item.path: layout.KUBECONFIG_MODE})
        return
    if isinstance(action, Create | Renew | Reissue):
        text = _signed(item, bench)
        bench.record(Event.SIGNED, item.id, action, token_facts(read_token(text)))
    else:
        text = _token_in_place(item, bench)
    trust = bench.authorities.trust_bundle(item.trust, item.path)
    content = bench.tools.renderer.token_kubeconfig(item, trust_bundle=trust, token=text)
    bench.staging.stage(item.path, layout.KUBECONFIG_MODE, content)


def _token_in_place(item: DesiredToken, bench: Workbench) -> str:
    """The token that stays while its kubeconfig is written again; `AuthorityError` where there is none."""
    text = in_kubeconfig(bench.staging.view.read(item.path).data)
    if text is None:
        raise AuthorityError(f"{item.path} holds no token")
    return text


def _signed(item: DesiredToken, bench: Workbench) -> str:
    """A new token, signed with the current service account key and good from now on."""
    path = sa_path(Slot.CURRENT, layout.SA_PRIVATE_KEY)
    key = load_own_private(bench.staging.opened.read(path).data)
    claims = Claims(
        issuer=item.issuer,
        namespace=item.namespace,
        account=item.account,
        uid=item.uid,
        audiences=item.audiences,
        not_before=bench.tools.now,
        validity=item.validity,
    )
    return sign_token(claims, key, entropy=bench.tools.entropy)
