"""What is made of what API servers say of revoked credentials: a tree in memory, and nobody who listens."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from pkigen.desired.endpoints import endpoints
from pkigen.desired.inventory import derive
from pkigen.desired.revocations import CredentialId, Revocation, RevocationList, marker
from pkigen.rotation import live_revocations
from pkigen.rotation.live_revocations import Hold, Reviewer, ask_all
from pkigen.state.observed import KEY_PLACEHOLDER
from tests.rotation.phases import Photograph
from tests.samples import CP1, CP2, ENDPOINT, NOW, W1, spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pkigen.desired.endpoints import Endpoint
    from pkigen.rotation.live_revocations import Ask, ServerList

Body = dict[str, Any]
CLUSTER = spec(CP1, CP2, W1, **ENDPOINT)
ONE = "kube-apiserver on cp-1 (10.0.0.11:6443): revocations: "


def revoked(count: int) -> tuple[Revocation, ...]:
    """Tokens, the newest last."""
    return tuple(
        Revocation(
            credential=CredentialId.parse(f"JTI=t{number:02}"),
            of=f"w{number}",
            reason="stolen",
            revoked=NOW + timedelta(hours=number),
            expires=None,
        )
        for number in range(count)
    )


def asked_all(ask: Ask, active: tuple[Revocation, ...], *, seconds: float = 90) -> tuple[ServerList, ...]:
    inventory = derive(CLUSTER, revocations=RevocationList(active=active))
    return ask_all(inventory, cast("Any", Photograph({})), within=timedelta(seconds=seconds), ask=ask)


def review(*, denied: object) -> Body:
    return {"kind": "SubjectAccessReview", "status": {"allowed": False, "denied": denied}}


def denying(*credentials: object) -> Ask:
    """An API server that refuses these, each of which is no user."""
    refused = set(map(str, credentials))

    def ask(_endpoint: Endpoint, body: Body) -> Body:
        ((credential,),) = body["spec"]["extra"].values()
        return review(denied=credential in refused)

    return ask


def answering(answer: object) -> Ask:
    def ask(_endpoint: Endpoint, _body: Body) -> Body:
        if isinstance(answer, Exception):
            raise answer
        return cast("Body", answer)

    return ask


def test_the_words_of_what_is_published() -> None:
    assert [*Hold] == ["current", "behind", "unknown"]


# -- who is asked -------------------------------------------------------------------------------------------


def test_every_api_server_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked_all(denying(marker(revoked(1))), revoked(1))
    assert [(each.node, each.address, each.hold, each.detail) for each in found] == [
        ("cp-1", "10.0.0.11:6443", Hold.CURRENT, ""),
        ("cp-2", "10.0.0.12:6443", Hold.CURRENT, ""),
    ]
    assert asked_all(answering(AssertionError()), ()) == ()
    monkeypatch.setattr(live_revocations, "endpoints", lambda *_: ())
    assert asked_all(answering(AssertionError()), revoked(1)) == ()


def test_all_are_asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than `ThreadPoolExecutor` has threads by itself, which are at most 32."""
    (first, *_) = endpoints(derive(CLUSTER))
    monkeypatch.setattr(live_revocations, "endpoints", lambda *_: (first,) * 33)
    together = threading.Barrier(33)

    def ask(_endpoint: Endpoint, _body: Body) -> Body:
        together.wait(20)
        return review(denied=True)

    assert {each.hold for each in asked_all(ask, revoked(1))} == {Hold.CURRENT}


def test_nobody_waits_for_who_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, release, answered = threading.Event(), threading.Event(), []

    def ask(endpoint: Endpoint, _body: Body) -> Body:
        if endpoint.node == "cp-1":
            begun.set()
            release.wait(20)
            answered.append(endpoint.node)
        return review(denied=True)

    def waited(asked: list[Any], *, timeout: float | None = None) -> None:
        assert (len(asked), timeout) == (2, 1.5)
        begun.wait(20)
        asked[1].result(20)

    monkeypatch.setattr(live_revocations, "wait", waited)
    late, other = asked_all(ask, revoked(1), seconds=1.5)
    assert not answered
    release.set()
    assert (late.hold, str(late)) == (Hold.UNKNOWN, f"{ONE}no answer within 1.5 s")
    assert (other.node, other.hold) == ("cp-2", Hold.CURRENT)


# -- what is asked ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("credential", "who"),
    [
        ("USER=system:node:worker-1", {"user": "system:node:worker-1"}),
        (
            "JTI=a",
            {
                "user": "pkigen:revocations",
                "extra": {"authentication.kubernetes.io/credential-id": ["JTI=a"]},
            },
        ),
    ],
)
def test_the_marker_and_then_each_credential(credential: str, who: Body) -> None:
    (each,) = revoked(1)
    one = Revocation(
        credential=CredentialId.parse(credential),
        of=each.of,
        reason=each.reason,
        revoked=each.revoked,
        expires=each.expires,
    )
    bodies: dict[str, list[Body]] = {}

    def ask(endpoint: Endpoint, body: Body) -> Body:
        bodies.setdefault(endpoint.node, []).append(body)
        return review(denied=False)

    asked_all(ask, (one,))

    def body(who: Body) -> Body:
        rest = {
            "groups": ["system:authenticated"],
            "nonResourceAttributes": {"path": "/version", "verb": "get"},
        }
        kind = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
        return {**kind, "spec": {**who, **rest}}

    first = {
        "user": "pkigen:revocations",
        "extra": {"authentication.kubernetes.io/credential-id": [str(marker((one,)))]},
    }
    assert bodies == {node: [body(first), body(who)] for node in ("cp-1", "cp-2")}


def test_of_a_long_list_the_newest_are_asked_about() -> None:
    active, seen = revoked(25), []

    def ask(endpoint: Endpoint, body: Body) -> Body:
        if endpoint.node == "cp-1":
            seen.extend(body["spec"]["extra"]["authentication.kubernetes.io/credential-id"])
        return review(denied=len(seen) > 1)

    asked_all(ask, active)
    newest = [str(each.credential) for each in reversed(active)]
    assert seen == [str(marker(active)), *newest[:20]]


# -- what is said -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "refused", "passing"),
    [
        (4, 3, "JTI=t03 of w3"),
        (4, 1, "JTI=t03 of w3, JTI=t02 of w2, JTI=t01 of w1"),
        (4, 0, "JTI=t03 of w3, JTI=t02 of w2, JTI=t01 of w1 and 1 more"),
        (6, 0, "JTI=t05 of w5, JTI=t04 of w4, JTI=t03 of w3 and 3 more"),
    ],
)
def test_who_has_an_older_list_is_told_of_what_still_passes(count: int, refused: int, passing: str) -> None:
    active = revoked(count)
    found, other = asked_all(denying(*(each.credential for each in active[:refused])), active)
    said = f"still lets pass {passing}: it has not got, or not read, the new file"
    assert (found.hold, str(found)) == (Hold.BEHIND, ONE + said)
    assert (other.node, other.address, other.detail) == ("cp-2", "10.0.0.12:6443", said)


@pytest.mark.parametrize("count", [2, 25])
def test_who_refuses_all_of_it_has_another_list(count: int) -> None:
    active = revoked(count)
    found, _ = asked_all(denying(*(each.credential for each in active)), active)
    said = f"it has another list than this one, with the newest of {count} in it: copy the file"
    assert (found.hold, found.detail) == (Hold.BEHIND, said)


def named(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "[SSL: X] what a string says")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "connection refused"),
        (OSError("No Number"), "no number"),
        (TimeoutError(), "timeouterror"),
        (ValueError("It answers 403"), "it answers 403"),
        (http.client.BadStatusLine("Odd"), "odd"),
        (named("CERTIFICATE_VERIFY_FAILED"), "certificate verify failed"),
        (ssl.SSLError(1, "[SSL] Odd_words"), "[ssl] odd words"),
        ({"kind": "Status", "status": {"denied": True}}, "the answer is no subjectaccessreview"),
        ({"status": {"denied": True}}, "the answer is no subjectaccessreview"),
        ({"kind": "SubjectAccessReview"}, "the answer is no subjectaccessreview"),
        ({"kind": "SubjectAccessReview", "status": "Failure"}, "the answer is no subjectaccessreview"),
    ],
)
def test_who_does_not_answer_is_not_known(answer: object, why: str) -> None:
    found, other = asked_all(answering(answer), revoked(1))
    assert (found.hold, str(found)) == (Hold.UNKNOWN, f"{ONE}cannot be asked: {why}")
    assert (other.node, other.address) == ("cp-2", "10.0.0.12:6443")


@pytest.mark.parametrize("denied", [False, None, "true", 1])
def test_what_is_not_denied_passes(denied: object) -> None:
    for answer in (review(denied=denied), {"kind": "SubjectAccessReview", "status": {}}):
        assert {each.hold for each in asked_all(answering(answer), revoked(1))} == {Hold.BEHIND}


# -- who asks -----------------------------------------------------------------------------------------------

NAMES = ["scheduler", "controller-manager", "admin", "super-admin"]
CONF = "nodes/cp-1/etc/kubernetes/{}.conf"


def kubeconfig(name: str, *, key: bytes | None = None, quote: str = "") -> bytes:
    """A kubeconfig of one user; what is in it is named after it."""
    key = f"PRIVATE KEY of {name}".encode() if key is None else key
    lines = {"certificate": f"\ncertificate of {name}\n\n".encode(), "key": key}
    return "".join(
        f"    client-{field}-data: {quote}{base64.b64encode(data).decode()}{quote}\n"
        for field, data in lines.items()
    ).encode()


class Network:
    """What stands for TLS, and for one API server behind it: it notes what it was asked and how."""

    def __init__(self, *answers: tuple[int, bytes] | Exception) -> None:
        self.answers = [*answers]
        self.trusted: list[str | None] = []
        self.shown: list[bytes] = []
        self.opened: list[tuple[str, int, float]] = []
        self.requests: list[tuple[str, str, Body, dict[str, str]]] = []
        self.closed = 0
        self.check_hostname = True

    def trusting(self, *, cadata: str | None = None) -> Network:
        self.trusted.append(cadata)
        self.check_hostname = True
        return self

    def load_cert_chain(self, path: str) -> None:
        self.shown.append(Path(path).read_bytes())

    def connect(self, host: str, port: int, *, timeout: float = 0, context: Network | None = None) -> Network:
        assert context is self, "TLS by the tree's CA"
        assert not self.check_hostname
        self.opened.append((host, port, timeout))
        return self

    def request(self, method: str, path: str, body: str, headers: dict[str, str]) -> None:
        self.requests.append((method, path, json.loads(body), headers))

    def getresponse(self) -> Network:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        self.status, self._data = answer
        self.reason = http.client.responses[self.status]
        return self

    def read(self, most: int) -> bytes:
        return self._data[:most]

    def close(self) -> None:
        self.closed += 1


def asked(
    monkeypatch: pytest.MonkeyPatch,
    network: Network,
    files: Mapping[str, bytes],
    *,
    node: str = "cp-1",
    **more: Any,
) -> Body:
    """What one API server answers to a review of nothing."""
    monkeypatch.setattr(ssl, "create_default_context", network.trusting)
    monkeypatch.setattr(http.client, "HTTPSConnection", network.connect)
    inventory = derive(CLUSTER)
    (endpoint,) = (
        each for each in endpoints(inventory) if (each.component, each.node) == ("kube-apiserver", node)
    )
    tree = Photograph({"pki/ca.crt": b"the CA", **files})
    return Reviewer(inventory, cast("Any", tree), **more)(endpoint, {"asked": "this"})


def all_of(*names: str) -> dict[str, bytes]:
    return {CONF.format(name): kubeconfig(name) for name in names}


def shown(*names: str) -> list[bytes]:
    return [f"\ncertificate of {name}\nPRIVATE KEY of {name}".encode() for name in names]


def test_what_asks_has_read_the_tree_before() -> None:
    """It is called by threads that may outlive the store."""
    files = {"pki/ca.crt": b"the CA", **all_of(*NAMES)}
    reviewer = Reviewer(derive(CLUSTER), cast("Any", Photograph(files)))
    files.clear()
    (endpoint,) = (
        each
        for each in endpoints(derive(CLUSTER))
        if (each.component, each.node) == ("kube-apiserver", "cp-1")
    )
    # It gets as far as the CA, which is none.
    with pytest.raises(ssl.SSLError):
        reviewer(endpoint, {"asked": "this"})


def test_without_a_list_no_key_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pkigen.rotation.live_revocations.Reviewer", pytest.fail)
    files = {"pki/ca.crt": b"the CA", **all_of(*NAMES)}
    assert ask_all(derive(CLUSTER), cast("Any", Photograph(files)), within=timedelta(seconds=1)) == ()


def test_who_is_damaged_does_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network((201, b"{}"))
    files = all_of(*NAMES)
    files[CONF.format("scheduler")] = b"client-certificate-data: YQ==\nclient-key-data: YQ=x\n"
    asked(monkeypatch, network, files)
    assert network.shown == shown("controller-manager")


def test_the_one_with_the_least_rights_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network((201, b'{"answered": "that"}'))
    assert asked(monkeypatch, network, all_of(*NAMES)) == {"answered": "that"}
    assert network.trusted == ["the CA"]
    assert network.shown == shown("scheduler")
    assert network.opened == [("10.0.0.11", 6443, 5)]
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    assert network.requests == [("POST", path, {"asked": "this"}, {"Content-Type": "application/json"})]
    assert network.closed == 1
    again = Network((201, b"{}"))
    assert asked(monkeypatch, again, all_of(*NAMES), seconds=2) == {}
    assert again.opened == [("10.0.0.11", 6443, 2)]


@pytest.mark.parametrize("number", range(1, 4))
def test_the_next_ones_ask_where_others_may_not(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = [(403, b"{}"), (200, b"{}"), (201, b"[]")][:number]
    network = Network(*refusals, (201, b'{"answered": "that"}'))
    assert asked(monkeypatch, network, all_of(*NAMES)) == {"answered": "that"}
    assert network.shown == shown(*NAMES[: number + 1])
    assert network.closed == number + 1


def test_the_last_one_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network((202, b"{}"), (403, b"{}"))
    with pytest.raises(ValueError, match="it answers 403 forbidden"):
        asked(monkeypatch, network, all_of("admin", "scheduler"))
    with pytest.raises(ValueError, match="its answer is no object"):
        asked(monkeypatch, Network((201, b"[]")), all_of("admin"))


def test_who_does_not_answer_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(ConnectionResetError())
    with pytest.raises(ConnectionResetError):
        asked(monkeypatch, network, all_of(*NAMES))
    assert network.closed == 1


def test_what_is_longer_than_a_review_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for longer in (0, 1):
        network = Network((201, b"{" + b" " * ((1 << 20) - 2 + longer) + b"}"))
        if longer:
            with pytest.raises(ValueError, match="Expecting"):
                asked(monkeypatch, network, all_of("admin"))
        else:
            assert asked(monkeypatch, network, all_of("admin")) == {}


NOBODY = "no kubeconfig in the tree has the key of a certificate that may ask"


@pytest.mark.parametrize(
    "unfit",
    [
        b"",
        kubeconfig("admin", key=b"another thing"),
        kubeconfig("admin", key=KEY_PLACEHOLDER),
        kubeconfig("admin").splitlines()[0],
        kubeconfig("admin").splitlines()[1],
    ],
)
def test_without_a_key_nobody_can_ask(unfit: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network((201, b"{}"))
    with pytest.raises(ValueError, match=NOBODY):
        asked(monkeypatch, network, {CONF.format("admin"): unfit})
    with pytest.raises(ValueError, match=NOBODY):
        asked(monkeypatch, network, {})
    assert not network.opened
    # Whoever comes after it asks.
    assert asked(monkeypatch, network, {**all_of("super-admin"), CONF.format("admin"): unfit}) == {}
    assert network.shown == shown("super-admin")


def test_a_node_asks_with_what_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first alone has a kubeconfig of a super admin, and no other node's is used."""
    network = Network((201, b"{}"))
    with pytest.raises(ValueError, match=NOBODY):
        asked(monkeypatch, network, all_of(*NAMES), node="cp-2")
    assert not network.opened


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_kubeconfig_with_quotes(quote: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network((201, b"{}"))
    asked(monkeypatch, network, {CONF.format("admin"): kubeconfig("admin", quote=quote)})
    assert network.shown == shown("admin")


def test_the_cas_of_the_machine_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network((201, b"{}"))
    with pytest.raises(ValueError, match="the tree has no CA to verify it by"):
        asked(monkeypatch, network, {**all_of("admin"), "pki/ca.crt": b""})
    assert network.trusted == []
    # What stands between certificates may be in any language.
    asked(monkeypatch, network, {**all_of("admin"), "pki/ca.crt": "# Größe\nthe CA".encode()})
    (trusted,) = network.trusted
    assert trusted is not None
    assert trusted.endswith("e\nthe CA")
