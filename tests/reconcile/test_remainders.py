"""What a change leaves with people and nodes is said where it is planned: kubeconfigs in memory."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.crypto import service_account_tokens as tokens
from pkigen.crypto.issuance import CertificateContent, certificate_pem, issue
from pkigen.crypto.keys import private_pem
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from pkigen.desired.inventory import derive
from pkigen.reconcile.plan import Keep, Reissue, Remove
from pkigen.reconcile.remainders import with_remainders
from pkigen.state.ledger import Event, LedgerEntry, appended
from pkigen.state.reasons import Reason
from tests.reconcile.test_token_checks import CLAIMS, KUBECONFIG
from tests.rotation.phases import Photograph
from tests.samples import CP1, NOW, spec
from tests.state.test_generations import files, root
from tests.state.test_observing import kubeconfig

if TYPE_CHECKING:
    from pkigen.crypto.issuance import Issuer
    from pkigen.reconcile.plan import Action

INVENTORY = derive(spec(CP1, users=[{"name": "ann", "groups": ["dev"]}]))
OURS, PROXYS = root("kubernetes"), root("front-proxy-ca")
KEY = ec.generate_private_key(ec.SECP256R1())
DAY = timedelta(days=1)
CONF = "users/ann.conf"
DAYS_10, DAYS_30 = "2026-03-11 12:00 UTC", "2026-03-31 12:00 UTC"


def config(*groups: str, issuer: Issuer = OURS) -> bytes:
    """The kubeconfig of a person whose certificate works for ten days."""
    content = CertificateContent(
        subject=Subject(common_name="ann", organizations=groups),
        sans=SANs.of(),
        profile=Profile.CLIENT,
        validity=10 * DAY,
    )
    made = issue(content, key=KEY, issuer=issuer, now=NOW, entropy=bytes)
    return kubeconfig(certificate_pem(made.certificate), private_pem(KEY))


def told(action: Action, files_: dict[str, bytes] | None = None) -> tuple[str, ...]:
    (found,) = with_remainders([action], Photograph(files_ or {}), INVENTORY)
    assert replace(found, details=action.details) == action
    return found.details


def removed(*paths: str, identifier: str = "x", node: str | None = None) -> Remove:
    return Remove(id=identifier, paths=paths, node=node, reason=Reason.NOT_WANTED)


def issued(identifier: str, days: int, event: Event = Event.ISSUED, **facts: str) -> LedgerEntry:
    moment = (NOW + days * DAY).isoformat()
    return LedgerEntry(event=event, id=identifier, reason=None, facts={"notAfter": moment, **facts})


def ledger(*entries: LedgerEntry) -> dict[str, bytes]:
    return {".pkigen/ledger.jsonl": appended(b"", entries, now=NOW)[0]}


# -- nodes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "masters"),
    [
        (["pki/ca.key"], "ca.key"),
        (["super-admin.conf", "pki/sa.key", "pki/ca.key", "a.conf"], "ca.key, sa.key, super-admin.conf"),
    ],
)
def test_a_node_that_had_the_authoritys_keys_is_an_administrator(paths: list[str], masters: str) -> None:
    names = [f"nodes/cp-2/etc/kubernetes/{path}" for path in paths]
    (sentence,) = told(removed(*names, identifier="nodes/cp-2", node="cp-2"))
    assert f"the node keeps its files, {masters} among them: wipe it" in sentence


def test_any_other_node_comes_in_until_its_certificates_expire() -> None:
    (sentence,) = told(removed("nodes/w/a.key", "nodes/w/ca.crt", identifier="nodes/w", node="w"))
    assert "its certificates work until they expire" in sentence
    assert "`pkigen access revoke node:w`" in sentence


@pytest.mark.parametrize(("identifier", "node"), [("nodes/w", None), ("nodes/w", "v"), ("w", "w")])
def test_what_is_no_whole_node_leaves_none_behind(identifier: str, node: str | None) -> None:
    assert told(removed("nodes/w/pki/ca.key", identifier=identifier, node=node)) == ()


# -- people -------------------------------------------------------------------------------------------------


def test_a_removed_kubeconfig_works_to_its_end() -> None:
    (sentence,) = told(removed(CONF), {CONF: config()})
    assert f"client certificates of ann work until {DAYS_10}, unless `pkigen access revoke`" in sentence
    assert "what is bound to the name goes with its binding" in sentence
    (sentence,) = told(removed(CONF), {CONF: config("dev", "ops")})
    assert "what is bound to the name and the groups dev, ops goes with" in sentence


@pytest.mark.parametrize(
    ("entries", "end"),
    [
        ([issued("user:ann", 30)], DAYS_30),
        ([issued("request:ann", 30, Event.SIGNED)], DAYS_30),
        ([issued("user:ann", 30, Event.ADOPTED), issued("user:ann", 20)], DAYS_30),
        ([issued("user:ann", 5)], DAYS_10),
        ([issued("user:bob", 30), issued("ann", 30)], DAYS_10),
        ([issued("user:ann", 30, Event.KEY_MADE)], DAYS_10),
        ([issued("user:ann", 0, notAfter="soon"), issued("user:ann", 30)], DAYS_30),
        ([issued("user:ann", 0, notAfter="2026-03-31T14:00:00+02:00")], DAYS_30),
    ],
)
def test_so_does_every_certificate_that_was_ever_issued(entries: list[LedgerEntry], end: str) -> None:
    (sentence,) = told(removed(CONF), {CONF: config(), **ledger(*entries)})
    assert f"work until {end}," in sentence


def test_a_line_without_a_moment_is_passed_over() -> None:
    entry = LedgerEntry(event=Event.ISSUED, id="user:ann", reason=None, facts={})
    number = replace(entry, facts={"notAfter": 5})
    (sentence,) = told(removed(CONF), {CONF: config(), **ledger(entry, number)})
    assert DAYS_10 in sentence


@pytest.mark.parametrize(
    ("validity", "end"), [(30 * DAY, f"until {DAYS_30}"), (None, "without end")], ids=["ends", "endless"]
)
def test_a_removed_token_works_to_its_end(validity: timedelta | None, end: str) -> None:
    text = tokens.sign(replace(CLAIMS, validity=30 * DAY), KEY, entropy=bytes)
    if validity is None:
        text = without_end(text)
    (sentence,) = told(removed(CONF), {CONF: KUBECONFIG.format(text, "https://api:6443").encode()})
    assert sentence == f"the token in it works {end}, or until its ServiceAccount is deleted"


def without_end(token: str) -> str:
    """A token of another maker's, which never ends; its signature counts for nothing here."""
    head, claims, signature = token.split(".")
    content = base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4))
    (end,) = [part for part in content.decode().strip("{}").split(",") if '"exp"' in part]
    content = content.replace(f"{end},".encode(), b"").replace(f",{end}".encode(), b"")
    return f"{head}.{base64.urlsafe_b64encode(content).decode().rstrip('=')}.{signature}"


@pytest.mark.parametrize(
    "stem", ["pki/front-proxy-ca", "pki/front-proxy-ca-next", "pki/front-proxy-ca-previous"]
)
def test_a_proxy_is_believed_by_its_name(stem: str) -> None:
    tree = {CONF: config(issuer=PROXYS), **files({stem: PROXYS})}
    (sentence,) = told(removed(CONF), tree)
    assert "until they run without its name in --requestheader-allowed-names" in sentence
    # By another CA it is a person's, whatever the proxies' is.
    (sentence,) = told(removed(CONF), {**tree, CONF: config()})
    assert "client certificates of ann" in sentence


def test_of_several_files_each_is_told() -> None:
    tree = {CONF: config(), "users/bob.conf": config(), "addons/ann.conf": config()}
    assert len(told(removed(CONF, "users/bob.conf", "addons/ann.conf"), tree)) == 2


@pytest.mark.parametrize(
    "tree",
    [{}, {CONF: b"kind: Config"}, {CONF: b"kind: Config", **files({"pki/front-proxy-ca": PROXYS})}],
)
def test_what_cannot_be_read_leaves_nothing_to_be_told(tree: dict[str, bytes]) -> None:
    assert told(removed(CONF), tree) == ()


# -- groups -------------------------------------------------------------------------------------------------


def reissued(identifier: str = "user:ann", reason: Reason = Reason.SUBJECT_CHANGED) -> Reissue:
    return Reissue(id=identifier, paths=(CONF,), node=None, reason=reason, details=("before",))


def test_a_person_is_in_the_groups_of_earlier_certificates() -> None:
    tree = {CONF: config("ops", "dev", "admins"), **ledger(issued("user:ann", 30))}
    first, second = told(reissued(), tree)
    assert first == "before"
    assert second.startswith(f"earlier certificates of ann are in admins, ops until {DAYS_30}, unless")
    tree = {CONF: config("ops"), **ledger(issued("user:ann", 5))}
    assert f"are in ops until {DAYS_10}, unless" in told(reissued(), tree)[1]


@pytest.mark.parametrize(
    ("action", "tree"),
    [
        (reissued(), {CONF: config("dev")}),
        (reissued(), {CONF: config()}),
        (reissued(), {}),
        (reissued(reason=Reason.SANS_CHANGED), {CONF: config("ops")}),
        (reissued("token:ci"), {CONF: config("ops")}),
        # What a node or the authority has is nobody's group.
        (reissued("cp-1/admin.conf"), {INVENTORY.certificates["cp-1/admin.conf"].file: config("ops")}),
        (
            Keep(id="user:ann", paths=(CONF,), node=None, reason=None, details=("before",)),
            {CONF: config("ops")},
        ),
    ],
)
def test_nothing_is_told_where_no_group_is_lost(action: Action, tree: dict[str, bytes]) -> None:
    assert told(action, tree) == ("before",)


def test_actions_that_leave_nothing_behind_stay_as_they_are() -> None:
    actions = [reissued(), removed("addons/a.yaml")]
    found = list(with_remainders(actions, Photograph({}), INVENTORY))
    assert [one is other for one, other in zip(found, actions, strict=True)] == [True, True]
