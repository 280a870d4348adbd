"""How each object is made: from what, into which files, with which modes, and what goes on record."""

from __future__ import annotations

import ast
import base64
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pkigen.crypto import keys as key_files
from pkigen.crypto import service_account_tokens as tokens
from pkigen.crypto.issuance import certificate_pem, issue
from pkigen.crypto.keys import private_pem, public_der, public_pem
from pkigen.desired.generations import CA, CertificateFile, KeyPairFiles, Slot
from pkigen.desired.inventory import derive
from pkigen.desired.items import (
    DesiredCopy,
    DesiredCrossCertificate,
    DesiredFile,
    DesiredKeyPair,
    DesiredSecret,
    content_of,
)
from pkigen.errors import AuthorityError
from pkigen.reconcile.authorities import Authorities
from pkigen.reconcile.make import carry_out, needs_key
from pkigen.reconcile.plan import Create, Reissue, Renew, Rewrite
from pkigen.reconcile.progress import SILENCE
from pkigen.reconcile.source import ISSUED_HERE, ApprovedKeys, Delivered, Delivery, IssuedHere
from pkigen.reconcile.workbench import Tools, Workbench
from pkigen.spec.certificates import KeyHome
from pkigen.state.ledger import Event, LedgerEntry
from pkigen.state.lockfile import certificate_facts
from pkigen.state.observed import KEY_PLACEHOLDER
from pkigen.state.reasons import Reason
from tests.reconcile.test_authorities import constrained
from tests.reconcile.test_token_checks import CLAIMS, KUBECONFIG, WANTED
from tests.rotation.phases import Photograph
from tests.samples import CP1, NOW, spec
from tests.state.test_generations import files, root
from tests.state.test_observing import kubeconfig

if TYPE_CHECKING:
    from pkigen.crypto.keys import PrivateKey
    from pkigen.desired.inventory import Inventory
    from pkigen.desired.items import Desired, DesiredCertificate
    from pkigen.reconcile.plan import Action
    from pkigen.reconcile.source import CertificateSource

DAY = timedelta(days=1)
INVENTORY = derive(spec(CP1, encryption={}, users=[{"name": "ann"}]))
OFFLINE = derive(spec(CP1, certificates={"authority": "offline", "caKeys": "offline"}))
CA_ITEM, API, ANN = (INVENTORY.certificates[each] for each in ("ca", "cp-1/apiserver", "user:ann"))
AT_NODE = replace(API, key_home=KeyHome.NODE)
SIGNING, ANNS = API.paths, ANN.file
PAIR, SECRET, COPY = (
    next(item for item in INVENTORY.items if isinstance(item, kind))
    for kind in (DesiredKeyPair, DesiredSecret, DesiredCopy)
)
ROOT, NEXT = root("kubernetes"), root("kubernetes-g2")
KEY, OTHER, THIRD = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
AUTHORITY = files({"pki/ca": ROOT})
BUNDLE = certificate_pem(ROOT.certificate)


@dataclass
class Staged:
    """A staging that holds what is given to it, and shows a tree in memory."""

    view: Photograph
    files: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    private: dict[str, bytes] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    entries: list[LedgerEntry] = field(default_factory=list)

    @property
    def opened(self) -> Photograph:
        return self.view

    def stage(self, path: str, mode: int, content: bytes) -> None:
        self.files[path] = mode, content

    def stage_private(self, path: str, content: bytes) -> None:
        self.private[path] = content

    def set_modes(self, modes: dict[str, int]) -> None:
        self.modes.update(modes)

    def record(self, entry: LedgerEntry) -> None:
        self.entries.append(entry)


class Written:
    """A renderer whose files say what they were made from."""

    def file(self, item: DesiredFile, **given: bytes) -> bytes:
        return repr((item.path, given)).encode()

    def kubeconfig(self, item: Any, **given: bytes) -> bytes:
        return repr((item.path, given)).encode()

    def token_kubeconfig(self, item: Any, **given: Any) -> bytes:
        return repr((item.path, given)).encode()


def written(path: str, **given: object) -> bytes:
    return repr((path, given)).encode()


def bench(
    tree: dict[str, bytes] | None = None,
    *,
    source: CertificateSource = ISSUED_HERE,
    inventory: Inventory = INVENTORY,
) -> tuple[Workbench, Staged]:
    staged = Staged(Photograph(AUTHORITY if tree is None else tree))
    tools = Tools(now=NOW, entropy=entropy, renderer=Written(), progress=SILENCE)  # type: ignore[arg-type]
    authorities = Authorities(inventory, staged, now=NOW)  # type: ignore[arg-type]
    made = Workbench(
        inventory=inventory,
        tools=tools,
        source=source,
        staging=staged,  # type: ignore[arg-type]
        authorities=authorities,
    )
    return made, staged


def entropy(size: int) -> bytes:
    return bytes(range(1, size + 1))


def act(kind: type[Action] = Create, reason: Reason | None = None) -> Action:
    return kind(id="x", paths=(), node=None, reason=reason)


def make(
    item: Desired, action: Action, tree: dict[str, bytes] | None = None, *keys: PrivateKey, **more: Any
) -> tuple[Workbench, Staged]:
    made, staged = bench(tree, **more)
    waiting = iter(keys)
    carry_out(item, action, made, waiting)
    assert list(waiting) == []
    assert made.made.issued == [each.id for each in staged.entries]
    return made, staged


def leaf(item: DesiredCertificate = API, key: PrivateKey = KEY) -> x509.Certificate:
    made = issue(content_of(item), key=key, issuer=ROOT, now=NOW - DAY, entropy=entropy)
    return made.certificate


def beside(item: DesiredCertificate = API, key: PrivateKey = KEY) -> dict[str, bytes]:
    """The authority, and a certificate with its key where it belongs."""
    pem = certificate_pem(leaf(item, key)), private_pem(key)
    if isinstance(item.location, KeyPairFiles):
        return {**AUTHORITY, item.location.certificate: pem[0], item.location.key: pem[1]}
    return {**AUTHORITY, item.file: kubeconfig(*pem)}


def certificate_in(data: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificates(data)[0]


def entry(
    event: Event, item: Desired, action: Action, certificate: x509.Certificate | None = None
) -> LedgerEntry:
    facts = certificate_facts(certificate) if certificate is not None else {}
    return LedgerEntry(event=event, id=item.id, reason=action.reason, facts=facts)


# -- a certificate that is issued here ------------------------------------------------------------------


def test_a_leaf_gets_a_key_of_its_own_and_is_on_record() -> None:
    action = act(Create, Reason.MISSING)
    made, staged = make(API, action, AUTHORITY, OTHER)
    assert {path: mode for path, (mode, _) in staged.files.items()} == {SIGNING[0]: 0o644, SIGNING[1]: 0o600}
    certificate = certificate_in(staged.files[SIGNING[0]][1])
    certificate.verify_directly_issued_by(ROOT.certificate)
    assert staged.files[SIGNING[1]][1] == private_pem(OTHER)
    assert public_der(certificate.public_key()) == public_der(OTHER.public_key())  # type: ignore[arg-type]
    assert certificate.not_valid_after_utc == NOW + API.validity
    assert staged.entries == [entry(Event.ISSUED, API, action, certificate)]
    assert (staged.private, staged.modes, made.made.capped) == ({}, {}, [])


def test_one_that_would_outlive_its_ca_is_named() -> None:
    short = root("kubernetes", days=2)
    made, _ = make(API, act(), files({"pki/ca": short}), KEY)
    assert made.made.capped == [API.id]


def test_one_in_a_kubeconfig_stands_there_with_its_key_and_whom_it_trusts() -> None:
    _, staged = make(ANN, act(), AUTHORITY, KEY)
    ((path, (mode, content)),) = staged.files.items()
    assert (path, mode) == (ANNS, 0o600)
    certificate = certificate_pem(leaf_of(content))
    assert content == written(ANNS, trust_bundle=BUNDLE, certificate=certificate, key=private_pem(KEY))


def leaf_of(content: bytes) -> x509.Certificate:
    """The certificate that `Written` was given."""
    _, given = ast.literal_eval(content.decode())
    return certificate_in(given["certificate"])


def test_a_server_sends_what_stands_above_its_ca() -> None:
    above = root("above", above=root("root"))
    ca = root("kubernetes", above=above)
    tree = {
        "pki/ca.crt": certificate_pem(ca.certificate, above.certificate),
        "pki/ca.key": private_pem(ca.key),
    }
    _, staged = make(API, act(), tree, KEY)
    sent = x509.load_pem_x509_certificates(staged.files[SIGNING[0]][1])
    assert sent[1:] == [ca.certificate, above.certificate]


def test_a_ca_that_is_made_is_the_vaults_to_keep_and_is_not_tested_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sound: list[bytes] = []
    monkeypatch.setattr("pkigen.reconcile.make.note_sound", sound.append)
    _, staged = make(CA_ITEM, act(), {}, KEY)
    ((path, (mode, content)),) = staged.files.items()
    assert (path, mode) == ("pki/ca.crt", 0o644)
    certificate_in(content).verify_directly_issued_by(certificate_in(content))
    assert staged.private == {"pki/ca.key": private_pem(KEY)}
    assert sound == [private_pem(KEY)]
    sound.clear()
    make(API, act(), AUTHORITY, KEY)
    assert sound == []


def test_what_a_ca_must_not_sign_is_refused() -> None:
    with pytest.raises(AuthorityError, match="must not sign cp-1/apiserver"):
        make(API, act(), files({"pki/ca": constrained("example.org")}), KEY)


# -- whose key is kept ----------------------------------------------------------------------------------

REUSING = IssuedHere(reuses_keys=True)
REPLACED = act(Reissue, Reason.ISSUER_REPLACED)


@pytest.mark.parametrize("item", [API, ANN], ids=["files", "kubeconfig"])
@pytest.mark.parametrize("action", [act(Renew), REPLACED])
def test_a_key_is_kept_where_that_is_asked_for(item: DesiredCertificate, action: Action) -> None:
    made, staged = make(item, action, beside(item), source=REUSING)
    assert not needs_key(item, action, made)
    if item is API:
        assert staged.files[SIGNING[1]][1] == private_pem(KEY)
        found = certificate_in(staged.files[SIGNING[0]][1])
    else:
        found = leaf_of(staged.files[ANNS][1])
    assert public_der(found.public_key()) == public_der(KEY.public_key())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("action", "source"),
    [
        (act(Renew), ISSUED_HERE),
        (REPLACED, ISSUED_HERE),
        (act(Create), REUSING),
        (act(Reissue, Reason.KEY_MISMATCH), REUSING),
        (act(Create, Reason.ISSUER_REPLACED), REUSING),
    ],
)
def test_it_is_made_anew_everywhere_else(action: Action, source: CertificateSource) -> None:
    made, staged = make(API, action, beside(), OTHER, source=source)
    assert needs_key(API, action, made)
    assert staged.files[SIGNING[1]][1] == private_pem(OTHER)


def test_a_key_of_another_kind_is_not_kept() -> None:
    item = replace(API, key_algorithm=key_files.algorithm_of(rsa.generate_private_key(65537, 2048)))
    made, _ = bench(beside(), source=REUSING)
    assert needs_key(item, act(Renew), made)


def test_what_is_kept_must_be_here() -> None:
    item = replace(API, location=CertificateFile(certificate=SIGNING[0]))
    made, _ = bench(beside(), source=REUSING)
    with pytest.raises(AuthorityError, match="the private key of cp-1/apiserver is not here"):
        needs_key(item, act(Renew), made)
    made, _ = bench({**AUTHORITY, ANNS: kubeconfig(certificate_pem(leaf(ANN)), None)}, source=REUSING)
    with pytest.raises(AuthorityError, match="the private key of user:ann is not here"):
        needs_key(ANN, act(Renew), made)


@pytest.mark.parametrize(
    ("item", "action", "needed"),
    [
        (API, act(Create), True),
        (API, act(Rewrite), False),
        (AT_NODE, act(Create), False),
        (CA_ITEM, act(Create), True),
        (CA_ITEM, act(Reissue), True),
        # With another key, nothing that the CA has signed would verify any more.
        (CA_ITEM, act(Renew), False),
        (API, act(Renew), True),
        (PAIR, act(Create), True),
        (PAIR, act(Reissue), True),
        (PAIR, act(Rewrite), False),
        (SECRET, act(Create), False),
        (COPY, act(Create), False),
    ],
)
def test_for_what_a_key_is_made(item: Desired, action: Action, *, needed: bool) -> None:
    made, _ = bench(beside())
    assert needs_key(item, action, made) is needed


def test_no_key_is_made_for_what_is_signed_offline() -> None:
    made, _ = bench({}, inventory=OFFLINE)
    for item in OFFLINE.certificates.values():
        assert not needs_key(item, act(Create), made)


# -- a certificate that stays ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "modes"),
    [(API, {SIGNING[0]: 0o644, SIGNING[1]: 0o600}), (ANN, {ANNS: 0o600}), (AT_NODE, {SIGNING[0]: 0o644})],
)
def test_only_the_modes_change(item: DesiredCertificate, modes: dict[str, int]) -> None:
    _, staged = make(item, act(Rewrite, Reason.MODE), beside(item))
    assert (staged.modes, staged.files, staged.entries) == (modes, {}, [])


def test_what_is_sent_after_it_changes_and_its_key_stays() -> None:
    above = root("above", above=root("root"))
    below = root("kubernetes", ROOT.key, above=above)
    chain = certificate_pem(below.certificate, above.certificate)
    _, staged = make(API, act(Rewrite, Reason.CHAIN_CHANGED), {**beside(), "pki/ca.crt": chain})
    assert staged.files == {SIGNING[0]: (0o644, certificate_pem(leaf()) + chain)}
    assert (staged.modes, staged.entries) == ({SIGNING[1]: 0o600}, [])


def test_the_kubeconfig_around_it_changes_and_both_stay() -> None:
    _, staged = make(ANN, act(Rewrite, Reason.CONTENT_CHANGED), beside(ANN))
    certificate = certificate_pem(leaf(ANN))
    expected = written(ANNS, trust_bundle=BUNDLE, certificate=certificate, key=private_pem(KEY))
    assert staged.files == {ANNS: (0o600, expected)}
    at_node = replace(ANN, key_home=KeyHome.NODE)
    _, staged = make(at_node, act(Rewrite, Reason.CONTENT_CHANGED), beside(ANN))
    expected = written(ANNS, trust_bundle=BUNDLE, certificate=certificate, key=KEY_PLACEHOLDER)
    assert staged.files == {ANNS: (0o600, expected)}


@pytest.mark.parametrize("item", [CA_ITEM, AT_NODE], ids=["the vault keeps it", "it is on its node"])
def test_a_key_that_is_not_ours_to_change_is_left_alone(item: DesiredCertificate) -> None:
    _, staged = make(item, act(Rewrite, Reason.CHAIN_CHANGED), beside())
    assert (staged.modes, staged.private) == ({}, {})
    assert list(staged.files) == [item.file]


def test_where_it_cannot_be_read_nothing_is_written() -> None:
    _, staged = make(API, act(Rewrite, Reason.CHAIN_CHANGED))
    assert (staged.files, staged.modes) == ({}, {})


# -- a certificate that moves ---------------------------------------------------------------------------

FORMER = KeyPairFiles(certificate="old/a.crt", key="old/a.key")
MOVED = replace(API, former=FORMER)
OLD = {**AUTHORITY, "old/a.crt": certificate_pem(leaf()), "old/a.key": private_pem(KEY)}
MOVES = act(Rewrite, Reason.LOCATION_CHANGED)


def test_it_moves_with_its_key() -> None:
    _, staged = make(MOVED, MOVES, OLD)
    assert staged.files == {
        SIGNING[0]: (0o644, certificate_pem(leaf())),
        SIGNING[1]: (0o600, private_pem(KEY)),
    }
    assert staged.entries == []


def test_without_its_key_where_that_is_on_its_node() -> None:
    _, staged = make(replace(MOVED, key_home=KeyHome.NODE), MOVES, OLD)
    assert staged.files == {SIGNING[0]: (0o644, certificate_pem(leaf()))}


def test_where_it_stands_already_it_stays() -> None:
    tree = {**OLD, **beside(key=OTHER)}
    _, staged = make(MOVED, act(Rewrite, Reason.CHAIN_CHANGED), tree)
    assert staged.files == {SIGNING[0]: (0o644, certificate_pem(leaf(key=OTHER)))}


def test_a_key_is_kept_from_where_it_was() -> None:
    _, staged = make(MOVED, REPLACED, OLD, source=REUSING)
    assert staged.files[SIGNING[1]] == (0o600, private_pem(KEY))


# -- what is signed elsewhere, or for somebody else's key -----------------------------------------------


def delivery(certificate: bytes, key: bytes | None) -> Delivery:
    each = Delivered(certificate=certificate, key=key)
    spent = LedgerEntry(event=Event.ANSWERED, id="request:1", reason=None, facts={})
    return Delivery(certificates={API.id: each}, spent="pki/pending.json", entry=spent)


def test_what_the_offline_authority_has_signed_is_put_in_place() -> None:
    pem, action = certificate_pem(leaf(), ROOT.certificate), act(Create, Reason.MISSING)
    source = delivery(pem, private_pem(KEY))
    item = OFFLINE.certificates[API.id]
    _, staged = make(item, action, AUTHORITY, inventory=OFFLINE, source=source)
    assert staged.files == {SIGNING[0]: (0o644, pem), SIGNING[1]: (0o600, private_pem(KEY))}
    assert staged.entries == [entry(Event.DELIVERED, API, action, leaf())]


def test_what_it_has_not_signed_is_refused() -> None:
    item = OFFLINE.certificates[API.id]
    with pytest.raises(AuthorityError, match="the certificate for cp-1/apiserver is empty"):
        make(item, act(), AUTHORITY, inventory=OFFLINE, source=delivery(b"", None))
    with pytest.raises(AuthorityError, match="only the offline authority can issue cp-1/apiserver"):
        make(item, act(), AUTHORITY, inventory=OFFLINE)


def test_a_nodes_own_key_is_certified_and_stays_there() -> None:
    source, action = (
        ApprovedKeys(keys={API.id: KEY.public_key()}, entries=()),
        act(Renew, Reason.EXPIRES_SOON),
    )
    _, staged = make(AT_NODE, action, AUTHORITY, source=source)
    ((path, (mode, content)),) = staged.files.items()
    certificate = certificate_in(content)
    assert (path, mode) == (SIGNING[0], 0o644)
    assert public_der(certificate.public_key()) == public_der(KEY.public_key())  # type: ignore[arg-type]
    certificate.verify_directly_issued_by(ROOT.certificate)
    assert staged.entries == [entry(Event.ISSUED, AT_NODE, action, certificate)]
    assert staged.modes == {}


# -- renewing a CA --------------------------------------------------------------------------------------


def test_a_renewed_ca_keeps_its_key_and_its_subject() -> None:
    later, action = replace(CA_ITEM, validity=9000 * DAY), act(Renew, Reason.REQUESTED)
    _, staged = make(later, action, AUTHORITY)
    certificate = certificate_in(staged.files["pki/ca.crt"][1])
    assert certificate.subject == ROOT.certificate.subject
    assert certificate.public_key() == ROOT.certificate.public_key()
    assert certificate.not_valid_after_utc == NOW + 9000 * DAY
    assert staged.private == {"pki/ca.key": AUTHORITY["pki/ca.key"]}
    assert staged.entries == [entry(Event.ISSUED, CA_ITEM, action, certificate)]


@pytest.mark.parametrize("tree", [{}, files({"pki/ca": root("kubernetes", above=root("above"))})])
def test_only_its_issuer_renews_what_somebody_else_has_signed(tree: dict[str, bytes]) -> None:
    with pytest.raises(
        AuthorityError, match="ca is not self-signed: only its issuer can renew it"
    ) as refused:
        make(CA_ITEM, act(Renew), tree)
    assert "have its issuer renew it" in refused.value.hint


# -- cross certificates ---------------------------------------------------------------------------------

CROSS = DesiredCrossCertificate(
    id="ca-cross", ca=CA.KUBERNETES, path="pki/ca-cross.crt", issuer=Slot.CURRENT, subject=Slot.NEXT
)


@pytest.mark.parametrize(("old", "new"), [(Slot.CURRENT, Slot.NEXT), (Slot.PREVIOUS, Slot.CURRENT)])
def test_the_old_generation_certifies_the_key_of_the_new_one(old: Slot, new: Slot) -> None:
    action = act(Create, Reason.MISSING)
    tree = {**files({f"pki/ca{old}": ROOT}), **files({f"pki/ca{new}": NEXT}, keys=False)}
    _, staged = make(replace(CROSS, issuer=old, subject=new), action, tree)
    ((path, (mode, content)),) = staged.files.items()
    certificate = certificate_in(content)
    assert (path, mode) == ("pki/ca-cross.crt", 0o644)
    certificate.verify_directly_issued_by(ROOT.certificate)
    assert certificate.public_key() == NEXT.certificate.public_key()
    assert staged.entries == [entry(Event.ISSUED, CROSS, action, certificate)]


def test_of_a_cross_certificate_only_the_mode_may_change() -> None:
    _, staged = make(CROSS, act(Rewrite, Reason.MODE), {})
    assert (staged.modes, staged.files, staged.entries) == ({"pki/ca-cross.crt": 0o644}, {}, [])


# -- keys and secrets of the authority ------------------------------------------------------------------

SA_KEY, SA_PUB = PAIR.private_path, PAIR.public_path


@pytest.mark.parametrize("kind", [Create, Reissue])
def test_a_key_pair_is_made_and_is_not_tested_again(
    kind: type[Action], monkeypatch: pytest.MonkeyPatch
) -> None:
    sound: list[bytes] = []
    monkeypatch.setattr("pkigen.reconcile.make.note_sound", sound.append)
    action = act(kind, Reason.MISSING)
    _, staged = make(PAIR, action, {}, KEY)
    assert staged.private == {SA_KEY: private_pem(KEY)}
    assert staged.files == {SA_PUB: (0o644, public_pem(KEY))}
    assert sound == [private_pem(KEY)]
    assert staged.entries == [entry(Event.KEY_MADE, PAIR, action)]


def test_its_public_half_is_made_again() -> None:
    _, staged = make(PAIR, act(Rewrite, Reason.CONTENT_CHANGED), {SA_KEY: private_pem(KEY)})
    assert staged.files == {SA_PUB: (0o644, public_pem(KEY))}
    assert (staged.modes, staged.private, staged.entries) == ({SA_KEY: 0o600}, {}, [])


@pytest.mark.parametrize("reason", [Reason.NOT_SEALED, Reason.MODE])
def test_what_is_open_or_readable_is_put_right_around_it(reason: Reason) -> None:
    _, staged = make(PAIR, act(Rewrite, reason), {})
    assert (staged.modes, staged.files, staged.private) == ({SA_KEY: 0o600, SA_PUB: 0o644}, {}, {})
    _, staged = make(SECRET, act(Rewrite, reason), {})
    expected = {SECRET.path: 0o600} if reason is Reason.MODE else {}
    assert (staged.modes, staged.private, staged.entries) == (expected, {}, [])


def test_a_secret_is_as_many_random_bytes_as_it_has_to_be() -> None:
    action = act(Create, Reason.MISSING)
    _, staged = make(SECRET, action, {})
    assert staged.private == {SECRET.path: base64.b64encode(entropy(SECRET.size))}
    assert staged.entries == [entry(Event.KEY_MADE, SECRET, action)]


# -- tokens ---------------------------------------------------------------------------------------------

SIGNED = tokens.sign(CLAIMS, KEY, entropy=entropy)
SIGNING_KEY = {**AUTHORITY, "pki/sa.key": private_pem(KEY)}


@pytest.mark.parametrize("kind", [Create, Renew, Reissue])
def test_a_token_is_signed_with_the_key_of_now(kind: type[Action]) -> None:
    action = act(kind, Reason.MISSING)
    _, staged = make(WANTED, action, SIGNING_KEY)
    assert staged.files == {WANTED.path: (0o600, written(WANTED.path, trust_bundle=BUNDLE, token=SIGNED))}
    facts = tokens.token_facts(tokens.read(SIGNED))
    assert facts["subject"] == "system:serviceaccount:build:ci"
    assert staged.entries == [
        LedgerEntry(event=Event.SIGNED, id="token:ci", reason=Reason.MISSING, facts=facts)
    ]


def test_tokens_count_whole_seconds() -> None:
    made, staged = bench(SIGNING_KEY)
    tools = replace(made.tools, now=NOW + timedelta(microseconds=7))
    carry_out(WANTED, act(), replace(made, tools=tools), iter(()))
    assert staged.files[WANTED.path][1] == written(WANTED.path, trust_bundle=BUNDLE, token=SIGNED)


def test_the_kubeconfig_around_a_token_changes_and_it_stays() -> None:
    tree = {**AUTHORITY, WANTED.path: KUBECONFIG.format(SIGNED, "https://other").encode()}
    _, staged = make(WANTED, act(Rewrite, Reason.CONTENT_CHANGED), tree)
    assert staged.files == {WANTED.path: (0o600, written(WANTED.path, trust_bundle=BUNDLE, token=SIGNED))}
    assert staged.entries == []
    with pytest.raises(AuthorityError, match=r"users/ci\.conf holds no token"):
        make(WANTED, act(Rewrite, Reason.CONTENT_CHANGED), {**AUTHORITY, WANTED.path: b"kind: Config"})


def test_of_a_token_only_the_mode_may_change() -> None:
    _, staged = make(WANTED, act(Rewrite, Reason.MODE), {})
    assert (staged.modes, staged.files, staged.entries) == ({WANTED.path: 0o600}, {}, [])


# -- files ----------------------------------------------------------------------------------------------


def test_a_copy_holds_what_the_authority_has() -> None:
    copies = [item for item in INVENTORY.items if isinstance(item, DesiredCopy) and item.ca is CA.KUBERNETES]
    item = next(each for each in copies if each.material == "trust bundle")
    _, staged = make(item, act())
    assert staged.files == {item.path: (item.mode, BUNDLE)}
    assert staged.entries == []


def test_a_rendered_file_gets_the_secrets_and_the_trust_that_it_asks_for() -> None:
    rendered = [item for item in INVENTORY.items if isinstance(item, DesiredFile)]
    plain = next(item for item in rendered if not item.secret and item.trust is None)
    _, staged = make(plain, act())
    assert staged.files == {plain.path: (plain.mode, written(plain.path, secrets=(), trust_bundle=b""))}
    secret = next(item for item in rendered if item.secret)
    key = base64.b64encode(bytes(32))
    _, staged = make(secret, act(), {SECRET.path: key})
    expected = written(secret.path, secrets=(key,), trust_bundle=b"")
    assert staged.files == {secret.path: (secret.mode, expected)}
    trusting = replace(plain, trust=CA.KUBERNETES)
    _, staged = make(trusting, act())
    expected = written(plain.path, secrets=(), trust_bundle=BUNDLE)
    assert staged.files == {plain.path: (plain.mode, expected)}
