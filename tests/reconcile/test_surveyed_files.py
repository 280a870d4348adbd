"""What is found of everything that is no certificate, and what is done about it: a tree in memory."""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen import layout
from pkigen.crypto.age import Identity
from pkigen.crypto.cross_certification import cross_certify
from pkigen.crypto.issuance import CertificateContent, Issuer, certificate_pem, issue
from pkigen.crypto.keys import load_private, private_pem, public_pem
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from pkigen.desired.generations import CA, Phase, Rotations
from pkigen.desired.inventory import derive
from pkigen.desired.items import DesiredCertificate, DesiredCopy, DesiredFile, DesiredKubeconfig
from pkigen.desired.rendering import Renderer
from pkigen.desired.revocations import CredentialId, Revocation, RevocationList
from pkigen.reconcile.checkout import without_secrets
from pkigen.reconcile.plan import Action, Create, Keep, Reissue, Renew, Rewrite
from pkigen.reconcile.survey import Survey
from pkigen.reconcile.surveyed import Selection
from pkigen.spec.authentication import CLUSTER_CA
from pkigen.state.authority import look_at_all
from pkigen.state.reasons import Reason
from pkigen.state.seals import digest
from pkigen.state.vault import SealedVault
from pkigen.store import UnreadableError
from tests.reconcile.test_verify_rules import Memory, in_memory
from tests.samples import CP1, NOW, W1, World, spec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pkigen.desired.inventory import Inventory
    from pkigen.reconcile.surveyed import Surveyed

KUBERNETES = "nodes/cp-1/etc/kubernetes"
PKI = f"{KUBERNETES}/pki"
API, ETCD = (f"{KUBERNETES}/manifests/{each}.yaml" for each in ("kube-apiserver", "etcd"))
SECRETS = f"{PKI}/encryption-config.yaml"
AUTHENTICATION, AUTHORIZATION = (f"{PKI}/{each}-config.yaml" for each in ("authentication", "authorization"))
TOKEN = "users/web.ci.conf"  # noqa: S105 -- a path
BUNDLES = "addons/cluster-trust-bundle.yaml"
CI = "serviceaccount:web:ci"
UID = "0f2c1a6e-9c1b-4f6d-8f0e-2f1f4f1d7a55"
SETTINGS: dict[str, Any] = {
    "kubernetesVersion": "v1.37.0",
    "encryption": {},
    "authentication": {
        "anonymous": {"enabled": True, "conditions": [{"path": "/livez"}, {"path": "/readyz"}]},
        "jwt": [
            {
                "name": "people",
                "issuer": {
                    "url": "https://login.example.org",
                    "audiences": ["prod"],
                    "certificateAuthority": CLUSTER_CA,
                },
                "claimMappings": {"username": {"claim": "sub", "prefix": "oidc:"}},
            }
        ],
    },
    "users": [{"name": "ci", "kind": "ServiceAccount", "namespace": "web", "uid": UID}],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Memory]:
    world = World(root=tmp_path_factory.mktemp("files") / "prod", cluster=spec(CP1, W1, **SETTINGS))
    world.apply()
    return world, in_memory(world)


def surveyed(
    world: World, tree: Memory, *, inventory: Inventory | None = None, public: bool = False, **asked: Any
) -> dict[str, Surveyed]:
    """What is found of each object that is no certificate."""
    inventory = inventory or world.inventory
    store = cast("Any", tree)
    reader = without_secrets(store, inventory) if public else store
    authorities = look_at_all(store, inventory, now=world.now)[0]
    for gone in asked.pop("without", ()):
        del authorities[gone]
    survey = Survey(
        inventory=inventory,
        reader=reader,
        renderer=Renderer(inventory) if inventory is not world.inventory else world.renderer,
        authorities=authorities,
        **{"now": world.now, **asked},
    )
    return {each.item.id: each for each in survey.objects() if not isinstance(each.item, DesiredCertificate)}


def changes(found: Mapping[str, Surveyed]) -> dict[str, tuple[type[Action], Reason | None, tuple[str, ...]]]:
    """What is to be done, and why, in full; what is kept has nothing to say."""
    for each in found.values():
        action, finding = each.action, each.findings
        assert (action.id, action.paths, action.node) == (each.item.id, each.item.paths, each.item.node)
        assert (action.reason, action.details) == (
            finding[0].reason if finding else None,
            tuple(one.detail for one in finding),
        )
        assert isinstance(action, Keep) is not bool(finding)
        assert finding or not action.diff
    return {
        identifier: (type(each.action), each.action.reason, each.action.details)
        for identifier, each in found.items()
        if not isinstance(each.action, Keep)
    }


def diff(found: Mapping[str, Surveyed], identifier: str) -> list[str]:
    """The lines that change."""
    return [line for line in found[identifier].action.diff if line[0] in "+-"]


def the(found: Mapping[str, Surveyed]) -> str:
    """The only object that is changed."""
    (identifier,) = changes(found)
    return identifier


# -- what is right ------------------------------------------------------------------------------------------


def test_what_is_right_is_kept_and_its_public_files_are_known_by_digest(made: tuple[World, Memory]) -> None:
    world, tree = made
    found = surveyed(world, tree)
    assert changes(found) == {}
    certificates = (DesiredCertificate, DesiredKubeconfig)
    assert set(found) == {each.id for each in world.inventory.items if not isinstance(each, certificates)}
    known = {identifier: each.sha256 for identifier, each in found.items() if each.sha256 is not None}
    public = hashlib.sha256(tree.files["pki/sa.pub"]).digest()
    assert known.pop("sa") == public
    assert known == {
        path: hashlib.sha256(tree.files[path]).digest()
        for path, each in found.items()
        if isinstance(each.item, DesiredCopy | DesiredFile) and not layout.is_private(path)
    }
    (token,) = (each for each in found.values() if each.expires is not None)
    assert (token.item.paths, token.expires) == ((TOKEN,), NOW + timedelta(days=30))


# -- what is not --------------------------------------------------------------------------------------------

DIFFERS = "differs from what the spec and the templates give"
OTHER = public_pem(ec.generate_private_key(ec.SECP256R1()))
COPIES = {
    f"{PKI}/ca.crt": "ca trust bundle",
    f"{PKI}/ca.key": "ca CA key",
    f"{PKI}/ca-signing.crt": "ca signing certificate",
    f"{PKI}/sa.key": "service account signing key",
    f"{PKI}/sa.pub": "service account public key",
    f"{PKI}/front-proxy-ca.crt": "front-proxy-ca trust bundle",
}


@pytest.mark.parametrize("path", [*COPIES, API, SECRETS, AUTHENTICATION, TOKEN, BUNDLES])
def test_a_file_that_is_missing_or_loose_or_none(path: str, made: tuple[World, Memory]) -> None:
    world, tree = made
    gone = surveyed(world, tree.but({path: None}))
    identifier = the(gone)
    assert changes(gone) == {identifier: (Create, Reason.MISSING, (f"{path} is missing",))}
    assert gone[identifier].action.diff == ()
    loose = surveyed(world, replace(tree, modes={**tree.modes, path: 0o666}))
    item = loose[identifier].item
    wanted = item.mode if isinstance(item, DesiredCopy | DesiredFile) else 0o600
    detail = f"{path} mode 0666, must be {wanted:04o}"
    assert changes(loose) == {identifier: (Rewrite, Reason.MODE, (detail,))}
    link = surveyed(
        world, replace(tree.but({path: None}), errors={path: UnreadableError("", reason="is a link")})
    )
    kind = Reissue if path == TOKEN else Rewrite
    assert changes(link) == {identifier: (kind, Reason.UNREADABLE, (f"{path} is a link",))}


@pytest.mark.parametrize("path", COPIES)
def test_a_copy_of_something_else(path: str, made: tuple[World, Memory]) -> None:
    world, tree = made
    found = surveyed(world, tree.but({path: b"other"}))
    detail = f"{path} is not the {COPIES[path]} of the authority"
    assert changes(found) == {path: (Rewrite, Reason.CONTENT_CHANGED, (detail,))}
    # Of a key neither the content nor what changes in it is shown.
    assert (found[path].sha256, found[path].action.diff) == (None, ())


def test_a_bundle_in_another_order(made: tuple[World, Memory]) -> None:
    world, tree = made
    bundle, ours, other = f"{PKI}/ca.crt", tree.files["pki/ca.crt"], tree.files["pki/etcd/ca.crt"]
    for text, reason, detail in (
        (ours + other, Reason.CONTENT_CHANGED, "is not the ca trust bundle of the authority"),
        (b"# ours\n" + ours, Reason.ORDER_CHANGED, "has the same certificates, written otherwise"),
        (ours + ours, Reason.ORDER_CHANGED, "has the same certificates, written otherwise"),
    ):
        found = surveyed(world, tree.but({bundle: text}))
        assert changes(found) == {bundle: (Rewrite, reason, (f"{bundle} {detail}",))}
    # Of what is one certificate alone there is no order.
    signing = f"{PKI}/ca-signing.crt"
    assert changes(surveyed(world, tree.but({signing: ours + ours})))[signing][1] is Reason.CONTENT_CHANGED
    # The order alone, where there is more than one: two generations of a CA are trusted.
    rotating = {"pki/ca-next.crt": other, "pki/ca-next.key": tree.files["pki/etcd/ca.key"]}
    inventory = derive(world.cluster, Rotations(phases={"ca": Phase.PREPARED}))
    wanted, turned = ours + other, other + ours
    both = {path: wanted for path in world.inventory.paths if path.endswith("/pki/ca.crt")}
    two = tree.but({**rotating, **both})
    assert type(surveyed(world, two, inventory=inventory)[bundle].action) is Keep
    found = surveyed(world, two.but({bundle: turned}), inventory=inventory)
    assert found[bundle].action.reason is Reason.ORDER_CHANGED
    assert found[bundle].action.details == (f"{bundle} does not have the signing CA first",)
    loose = replace(two, modes={**tree.modes, bundle: 0o666})
    assert surveyed(world, loose, inventory=inventory)[bundle].action.reason is Reason.MODE
    assert surveyed(world, two.but({bundle: b"none"}), inventory=inventory)[bundle].action.reason is (
        Reason.CONTENT_CHANGED
    )
    # What is made anew has no order yet.
    for unknown in ({"without": [CA.KUBERNETES]}, {"selection": Selection(ids=frozenset({"ca"}))}):
        found = surveyed(world, two.but({bundle: turned}), inventory=inventory, **unknown)
        assert found[bundle].action.reason is Reason.CONTENT_CHANGED


def test_the_pair_that_signs_tokens(made: tuple[World, Memory]) -> None:
    world, tree = made
    private, public = "pki/sa.key", "pki/sa.pub"

    def told(now: Memory, inventory: Inventory | None = None, identifier: str = "sa") -> tuple[Any, ...]:
        return changes(surveyed(world, now, inventory=inventory))[identifier]

    assert told(tree.but({private: None})) == (Create, Reason.MISSING, (f"{private} is missing",))
    lost = changes(surveyed(world, tree.but({private: None})))
    assert set(lost) == {"sa", f"{PKI}/sa.key", f"{PKI}/sa.pub", CI}
    assert told(tree.but({private: b"?"})) == (
        Reissue,
        Reason.UNREADABLE,
        (f"{private} is not a PEM private key",),
    )
    other = (Rewrite, Reason.CONTENT_CHANGED, (f"{public} is not the public half of {private}",))
    for stale in (None, OTHER):
        assert told(tree.but({public: stale})) == other
    # A public half that is stale comes first: it is written with its mode.
    loose = {**tree.modes, private: 0o644, public: 0o600}
    modes = f"{private} mode 0644, must be 0600; {public} mode 0600, must be 0644"
    assert told(replace(tree, modes=loose)) == (Rewrite, Reason.MODE, (modes,))
    assert told(replace(tree.but({public: OTHER}), modes=loose)) == other
    # Each generation has its own.
    second = private_pem(ec.generate_private_key(ec.SECP256R1()))
    rotating = derive(world.cluster, Rotations(phases={"sa": Phase.PREPARED}))
    following = {"pki/sa-next.key": second, "pki/sa-next.pub": public_pem(load_private(second))}
    modes_of = {**tree.modes, "pki/sa-next.pub": 0o644}
    two = replace(tree.but(following), modes=modes_of)
    assert {"sa", "sa-next"}.isdisjoint(changes(surveyed(world, two, inventory=rotating)))
    assert told(two.but({"pki/sa-next.pub": OTHER}), rotating, "sa-next")[1] is Reason.CONTENT_CHANGED


def test_secrets_of_the_authority(made: tuple[World, Memory]) -> None:
    world, tree = made
    for identifier, path in (("encryption-key", "pki/encryption.key"), ("bundle-key", "pki/bundle.key")):

        def told(now: Memory, identifier: str = identifier) -> tuple[Any, ...]:
            return changes(surveyed(world, now))[identifier]

        assert told(tree.but({path: None})) == (Create, Reason.MISSING, (f"{path} is missing",))
        short = f"{path} is not 32 bytes in base64"
        assert told(tree.but({path: b"c2hvcnQ="})) == (Reissue, Reason.UNREADABLE, (short,))
        link = replace(tree.but({path: None}), errors={path: UnreadableError("", reason="is a link")})
        assert told(link) == (Reissue, Reason.UNREADABLE, (f"{path} is a link",))
        loose = replace(tree, modes={**tree.modes, path: 0o644})
        assert told(loose) == (Rewrite, Reason.MODE, (f"{path} mode 0644, must be 0600",))


# -- an authority that is encrypted -------------------------------------------------------------------------

OPENER = Identity.generate()


def sealed(tree: Memory, *, but: str = "") -> Memory:
    """The same with an encrypted authority, in which one private file may lie open."""
    vault = SealedVault.new(OPENER.recipient)
    private = [path for path in tree.files if path.startswith("pki/") and layout.is_private(path)]
    closed = {path: vault.close(path, tree.files[path]) for path in private if path != but}
    return tree.but({**closed, **vault.files([digest(data) for data in closed.values()])})


def test_what_is_sealed_is_known_by_its_record(made: tuple[World, Memory]) -> None:
    world, tree = made
    assert changes(surveyed(world, sealed(tree))) == {}
    plain, closed = (
        {identifier: each.sha256 for identifier, each in surveyed(world, now).items()}
        for now in (tree, sealed(tree))
    )
    assert plain == closed


@pytest.mark.parametrize(
    ("path", "identifier"),
    [
        ("pki/sa.key", "sa"),
        ("pki/encryption.key", "encryption-key"),
        ("pki/bundle.key", "bundle-key"),
    ],
)
def test_what_lies_open_in_it_is_sealed(path: str, identifier: str, made: tuple[World, Memory]) -> None:
    world, tree = made
    loose = replace(sealed(tree, but=path), modes={**tree.modes, path: 0o644})
    detail = f"{path} is not encrypted, but the authority is: it will be sealed"
    assert changes(surveyed(world, loose)) == {identifier: (Rewrite, Reason.NOT_SEALED, (detail,))}
    # Where private files are not looked at, nothing is said of them.
    assert changes(surveyed(world, loose, public=True)) == {}


def test_the_keys_of_secrets_are_found_in_the_nodes_file(made: tuple[World, Memory]) -> None:
    world, tree = made
    closed = sealed(tree)
    assert the(surveyed(world, closed.but({SECRETS: None}))) == SECRETS
    for now in (tree, closed):
        commented = surveyed(world, now.but({SECRETS: tree.files[SECRETS] + b"# mine\n"}))
        assert changes(commented) == {SECRETS: (Rewrite, Reason.CONTENT_CHANGED, (f"{SECRETS} {DIFFERS}",))}
        # The one key that both have is no difference.
        assert diff(commented, SECRETS) == ["-(withheld)"]
    lost = surveyed(world, closed.but({SECRETS: b"none"}))
    assert changes(lost) == {SECRETS: (Rewrite, Reason.CONTENT_CHANGED, (f"{SECRETS} {DIFFERS}",))}
    assert tree.files["pki/encryption.key"].decode() not in str(lost[SECRETS].action.diff)


@pytest.mark.parametrize("more", [b"x", None])
def test_a_key_of_secrets_that_is_damaged_is_said_to_be(
    more: bytes | None, made: tuple[World, Memory]
) -> None:
    """Sealed and changed, or something else in its place: as in an authority that lies open."""
    world, tree = made
    path = "pki/encryption.key"
    for now in (tree, sealed(tree)):
        text = b"none" if more is None else now.files[path] + more
        assert changes(surveyed(world, now.but({path: text}))) == {
            "encryption-key": (Reissue, Reason.UNREADABLE, (f"{path} is not 32 bytes in base64",)),
            SECRETS: (Rewrite, Reason.CONTENT_CHANGED, (f"{SECRETS} {DIFFERS}",)),
        }


def test_secrets_that_are_encrypted_with_a_key_that_is_to_be_made(made: tuple[World, Memory]) -> None:
    world, tree = made
    found = surveyed(world, tree.but({"pki/encryption.key": None}))
    assert set(changes(found)) == {"encryption-key", SECRETS}
    assert found[SECRETS].action.reason is Reason.CONTENT_CHANGED
    assert diff(found, SECRETS)
    # Two generations, the one that writes first.
    other = base64.b64encode(bytes(32))
    rotating = derive(world.cluster, Rotations(phases={"encryption-key": Phase.PREPARED}))
    two = surveyed(world, tree.but({"pki/encryption-next.key": other}), inventory=rotating)
    assert changes(two) == {SECRETS: (Rewrite, Reason.CONTENT_CHANGED, (f"{SECRETS} {DIFFERS}",))}
    assert all(line[0] == "+" for line in diff(two, SECRETS))


# -- tokens -------------------------------------------------------------------------------------------------


def test_a_token_is_signed_again_when_it_is_due(made: tuple[World, Memory]) -> None:
    world, tree = made
    day = timedelta(days=1)

    def told(selection: Selection | None = None, *, days: int = 0, now: Memory = tree) -> Any:
        found = surveyed(world, now, now=NOW + days * day, selection=selection or Selection())
        assert found[CI].expires == NOW + 30 * day
        kind, reason, _ = changes(found).get(CI, (Keep, None, ()))
        return kind, reason

    assert told(days=19) == (Keep, None)
    assert told(days=21) == (Renew, Reason.EXPIRES_SOON)
    assert told(Selection(within=5 * day), days=21) == (Keep, None)
    assert told(Selection(within=12 * day), days=19) == (Renew, Reason.EXPIRES_SOON)
    assert told(Selection(ids=frozenset({CI}))) == (Renew, Reason.REQUESTED)
    others = Selection(ids=frozenset({"ca"}), only=True)
    assert told(Selection(ids=frozenset({"x"}), only=True), days=21) == (Keep, None)
    # What stands around it changes with its CA, and a loose mode is put right by that.
    loose = replace(tree, modes={**tree.modes, TOKEN: 0o644})
    assert told(others, now=loose) == (Rewrite, Reason.CONTENT_CHANGED)
    other = private_pem(ec.generate_private_key(ec.SECP256R1()))
    signed = surveyed(world, tree.but({"pki/sa.key": other}))
    assert type(signed[CI].action) is Reissue
    # The first reason decides.
    due = surveyed(world, tree.but({"pki/sa.key": other}), now=NOW + 25 * day)
    assert changes(due)[CI][0] is Reissue
    assert due[CI].findings[-1].reason is Reason.EXPIRES_SOON
    assert signed[CI].expires == NOW + 30 * day


def test_what_stands_around_a_token(made: tuple[World, Memory]) -> None:
    world, tree = made
    moved = tree.but({TOKEN: tree.files[TOKEN].replace(b"10.0.0.11", b"10.0.0.66")})
    found = surveyed(world, moved)
    detail = f"{TOKEN} differs from what the spec gives in its server"
    assert changes(found) == {CI: (Rewrite, Reason.CONTENT_CHANGED, (detail,))}
    assert diff(found, CI) == ["-    server: https://10.0.0.66:6443", "+    server: https://10.0.0.11:6443"]
    renewed = surveyed(world, tree, selection=Selection(ids=frozenset({"ca"})))
    detail = f"{TOKEN} differs from what the spec gives in its CA"
    assert changes(renewed)[CI] == (Rewrite, Reason.CONTENT_CHANGED, (detail,))
    assert diff(renewed, CI)[1] == "+    certificate-authority-data: (made by this change)"
    due = surveyed(world, moved, now=NOW + timedelta(days=25))
    assert type(due[CI].action) is Renew
    assert diff(due, CI) == diff(found, CI)


# -- rendered files -----------------------------------------------------------------------------------------


def test_what_changes_in_a_rendered_file(made: tuple[World, Memory]) -> None:
    world, tree = made
    for path in (API, BUNDLES, AUTHENTICATION, AUTHORIZATION):
        found = surveyed(world, tree.but({path: tree.files[path] + b"# mine\n"}))
        assert changes(found) == {path: (Rewrite, Reason.CONTENT_CHANGED, (f"{path} {DIFFERS}",))}
        assert (diff(found, path), found[path].sha256) == (["-# mine"], None)


@pytest.mark.parametrize(
    ("path", "old", "new", "reason", "detail"),
    [
        (
            ETCD,
            b"-peer-urls=https://10.0.0.11",
            b"-peer-urls=https://10.0.0.66",
            Reason.MEMBER_MOVES,
            (
                f"{ETCD}: the peer URLs of the etcd member change from https://10.0.0.66:2380 to "
                "https://10.0.0.11:2380"
            ),
        ),
        (
            API,
            b"    - --kubelet-certificate-authority=/etc/kubernetes/pki/ca.crt\n",
            b"",
            Reason.VERIFIES_KUBELETS,
            f"{API}: the API server begins to verify kubelets (--kubelet-certificate-authority)",
        ),
        (
            AUTHENTICATION,
            b"/livez",
            b"/other",
            Reason.ANONYMOUS_CHANGED,
            f"{AUTHENTICATION}: other requests without a credential are let in, which is read at start alone",
        ),
    ],
)
def test_what_asks_for_more_than_a_restart(
    path: str, old: bytes, new: bytes, reason: Reason, detail: str, made: tuple[World, Memory]
) -> None:
    world, tree = made
    assert old in tree.files[path]
    found = surveyed(world, tree.but({path: tree.files[path].replace(old, new)}))
    assert changes(found) == {path: (Rewrite, reason, (detail,))}
    assert diff(found, path)


def test_credentials_that_are_refused_and_no_more(made: tuple[World, Memory]) -> None:
    world, tree = made
    stolen = Revocation(
        credential=CredentialId.of_certificate("a" * 64),
        of="cp-1/admin.conf",
        reason="laptop stolen",
        revoked=NOW,
        expires=NOW + timedelta(days=3),
    )
    inventory = replace(world.inventory, revocations=RevocationList(active=(stolen,)))
    refuses = surveyed(world, tree, inventory=inventory)[AUTHORIZATION]
    assert (refuses.action.reason, refuses.sha256) == (Reason.REVOKED, None)
    renderer = Renderer(inventory)
    item = next(each for each in inventory.items if each.id == AUTHORIZATION)
    listed = tree.but({AUTHORIZATION: renderer.file(item)})  # type: ignore[arg-type]
    assert type(surveyed(world, listed, inventory=inventory)[AUTHORIZATION].action) is Keep
    over = replace(world.inventory, revocations=RevocationList(over=(stolen,)))
    found = surveyed(world, listed, inventory=over)[AUTHORIZATION]
    # Until the next change it is the file that was written: the lock file goes on describing it.
    assert (type(found.action), found.action.reason) == (Rewrite, Reason.REVOCATION_OVER)
    assert found.sha256 == hashlib.sha256(listed.files[AUTHORIZATION]).digest()
    assert found.action.diff


def test_files_with_a_trust_bundle_follow_their_ca(made: tuple[World, Memory]) -> None:
    world, tree = made
    for asked in ({"selection": Selection(ids=frozenset({"ca"}))}, {"without": [CA.KUBERNETES]}):
        found = surveyed(world, tree, **asked)
        for path in (BUNDLES, AUTHENTICATION):
            assert changes(found)[path] == (Rewrite, Reason.CONTENT_CHANGED, (f"{path} {DIFFERS}",))
            # What they will hold is made while the plan is carried out.
            assert found[path].action.diff == ()
        copies = {each for each in changes(found) if each.endswith((f"{PKI}/ca.crt", "ca-signing.crt"))}
        assert copies == {f"{PKI}/ca.crt", f"{PKI}/ca-signing.crt"}
        # A CA that is renewed keeps its key.
        assert (f"{PKI}/ca.key" in changes(found)) is ("without" in asked)


def test_what_is_somebody_elses_is_let_be(made: tuple[World, Memory]) -> None:
    world, tree = made
    own = derive(spec(CP1, W1, **{**SETTINGS, "manage": []}))
    found = surveyed(world, tree.but({BUNDLES: b"mine"}), inventory=own)
    assert not found[BUNDLES].item.managed  # type: ignore[union-attr]
    assert type(found[BUNDLES].action) is Keep
    assert found[BUNDLES].sha256 is None


def test_a_checkout_without_private_files(made: tuple[World, Memory]) -> None:
    world, tree = made
    clone = tree.but({path: None for path in tree.files if layout.is_private(path)})
    found = surveyed(world, clone, public=True)
    assert changes(found) == {}
    assert found[SECRETS].sha256 is found[CI].expires is None
    other = surveyed(world, clone.but({f"{PKI}/sa.pub": OTHER}), public=True)
    assert the(other) == f"{PKI}/sa.pub"


# -- kubeconfigs that name files ----------------------------------------------------------------------------


def test_a_kubeconfig_that_embedded_its_key_before(made: tuple[World, Memory]) -> None:
    world, tree = made
    by_path = derive(spec(CP1, W1, **SETTINGS, certificates={"kubeconfigs": "files"}))
    path = f"{KUBERNETES}/scheduler.conf"
    found = surveyed(world, tree, inventory=by_path)[path]
    assert (type(found.action), found.action.reason) == (Rewrite, Reason.CONTENT_CHANGED)
    assert found.action.details == (f"{path} {DIFFERS}",)
    text = "\n".join(found.action.diff)
    assert "-    client-key-data: (withheld)" in text
    assert "+    client-key: /etc/kubernetes/pki/scheduler/client.key" in text
    # Where private files are not looked at, the move of its certificate says as much.
    unseen = surveyed(world, tree, inventory=by_path, public=True)[path]
    assert (type(unseen.action), unseen.action.reason) == (Rewrite, Reason.CONTENT_CHANGED)
    assert (unseen.action.details, unseen.action.diff) == ((f"{path} {DIFFERS}",), ())


# -- cross certificates -------------------------------------------------------------------------------------


def test_a_cross_certificate(made: tuple[World, Memory]) -> None:
    world, tree = made
    name, path = "ca-cross", "pki/ca-cross.crt"
    old, new = (
        Issuer(
            certificate=x509.load_pem_x509_certificate(tree.files[f"pki/{ca}.crt"]),
            key=load_private(tree.files[f"pki/{ca}.key"]),
        )
        for ca in ("ca", "etcd/ca")
    )
    cross = cross_certify(new.certificate, issuer=old, now=NOW, entropy=os.urandom).certificate
    rotations = Rotations(phases={"ca": Phase.PREPARED}, crossed=frozenset({"ca"}))
    inventory = derive(world.cluster, rotations)
    following = {f"pki/ca-next.{end}": tree.files[f"pki/etcd/ca.{end}"] for end in ("crt", "key")}
    whole = tree.but({**following, path: certificate_pem(cross)})
    right = replace(whole, modes={**tree.modes, path: 0o644})

    def told(there: Memory, **asked: Any) -> Any:
        return changes(surveyed(world, there, inventory=inventory, **asked)).get(name)

    assert told(right) is None
    digest_of = hashlib.sha256(certificate_pem(cross)).digest()
    assert surveyed(world, right, inventory=inventory)[name].sha256 == digest_of
    assert told(whole) == (Rewrite, Reason.MODE, (f"{path} mode 0600, must be 0644",))
    assert surveyed(world, whole, inventory=inventory)[name].sha256 == digest_of
    assert told(right.but({path: None})) == (Create, Reason.MISSING, (f"{path} is missing",))
    assert told(right.but({path: b"none"}))[:2] == (Reissue, Reason.UNREADABLE)
    detail = f"{path} is not the certificate of pki/ca-next.crt by pki/ca.crt"
    other = told(right.but({path: tree.files["pki/ca.crt"]}))
    assert other == (Reissue, Reason.UNKNOWN_ISSUER, (detail,))
    for ca in ("pki/ca", "pki/ca-next"):
        gone = told(right.but({f"{ca}.crt": None, f"{ca}.key": None}))
        assert gone == (Reissue, Reason.ISSUER_REPLACED, ("its CA ca is replaced",))
    # It has ended alone, its CAs were renewed. Where one of them has ended, too, another serves no longer.
    end, second = NOW + timedelta(days=100), timedelta(seconds=1)
    before, after = short_lived(old, end), short_lived(new, end)

    def crossed(issuer: Issuer, subject: Issuer) -> bytes:
        made_by = cross_certify(subject.certificate, issuer=issuer, now=NOW, entropy=os.urandom)
        return certificate_pem(made_by.certificate)

    ended = (Renew, Reason.EXPIRED, ("has expired, and its CAs were renewed",))
    for cross_pem in (crossed(before, new), crossed(old, after)):
        renewed = right.but({path: cross_pem})
        assert told(renewed, now=end - second) is None
        assert told(renewed, now=end) == ended
    for place, ca, cross_pem in (
        ("pki/ca.crt", before, crossed(before, new)),
        ("pki/ca-next.crt", after, crossed(old, after)),
    ):
        assert told(right.but({path: cross_pem, place: certificate_pem(ca.certificate)}), now=end) is None


def short_lived(ca: Issuer, end: datetime) -> Issuer:
    """The same CA with a certificate that ends earlier."""
    names = ca.certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    content = CertificateContent(
        subject=Subject(common_name=str(names[0].value)), sans=SANs(), profile=Profile.CA, validity=end - NOW
    )
    made = issue(content, key=ca.key, issuer=None, now=NOW, entropy=os.urandom)
    return Issuer(certificate=made.certificate, key=ca.key)
