"""pkigen's verdict on generated certification paths beside those of other programs.

Go decides: it is what Kubernetes is made of. Where another one disagrees, the table has the reason; what is
not in the table fails.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pkigen.crypto.path_verifier import PathVerifier
from pkigen.crypto.pem_blocks import read_pem
from tests.crypto import chain_judges
from tests.crypto.chains import KINDS, Chain, chains, moment
from tests.crypto.test_independent_verifiers import said
from tests.live.programs import find, version

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

pytestmark = pytest.mark.sweep

ALL = os.environ.get("PKIGEN_FAULTS") == "all"
SEED = int(os.environ.get("PKIGEN_SEED", "1"))
COUNT = 500 if ALL else 2 * len(KINDS)


class Disagreement(NamedTuple):
    """Who says other than pkigen, whether it refuses more or less, and of which paths."""

    judge: str
    direction: str
    kind: str


def stricter(judge: str, *kinds: str) -> list[Disagreement]:
    return [Disagreement(judge, "refuses", kind) for kind in kinds]


def laxer(judge: str, *kinds: str) -> list[Disagreement]:
    return [Disagreement(judge, "accepts", kind) for kind in kinds]


_REASONS: list[tuple[str, list[Disagreement]]] = [
    (
        "Go handles policyConstraints since 1.24, which Kubernetes has since v1.33; before, it refuses them",
        laxer("go", "constraints_on_policies")
        + laxer("openssl", "constraints_on_policies")
        + laxer("pkilint", "constraints_on_policies"),
    ),
    (
        "Go counts every CA below a pathLenConstraint, RFC 5280 4.2.1.9 only those not issued to themselves",
        laxer("openssl", "a_ca_that_is_issued_to_itself"),
    ),
    (
        "Go compares names byte by byte, OpenSSL by their meaning (RFC 5280 7.1)",
        laxer("openssl", "a_name_in_another_encoding"),
    ),
    (
        "Go parses all that is sent, and refuses a negative serial number since 1.23",
        laxer("openssl", "a_stranger_is_sent_along", "serial_numbers")
        + laxer("gnutls", "a_stranger_is_sent_along", "serial_numbers"),
    ),
    (
        "Go refuses a wildcard that could become an excluded name, and names that it cannot compare",
        laxer("openssl", "constraints_on_names") + laxer("gnutls", "constraints_on_names"),
    ),
    (
        "Go knows no SHA-224, and of ECDSA no SHA-1",
        laxer("openssl", "hashes_of_ecdsa") + laxer("gnutls", "hashes_of_ecdsa"),
    ),
    (
        "Go does not read the common name for a host's (RFC 9525 2)",
        laxer("openssl", "names_that_are_absent") + laxer("gnutls", "names_that_are_absent"),
    ),
    (
        "OpenSSL takes a wildcard within a label; it and GnuTLS do not know ::ffff:10.0.0.1 as 10.0.0.1",
        laxer("openssl", "names_and_wildcards")
        + stricter("openssl", "names_and_wildcards")
        + stricter("gnutls", "names_and_wildcards"),
    ),
    (
        "-x509_strict wants what RFC 5280 asks of CAs: version 3, keyUsage, key identifiers; Go does not",
        stricter("openssl", "a_ca_of_version_1", "a_ca_without_key_usage", "without_key_identifiers"),
    ),
    (
        "Go sorts candidates by the authorityKeyIdentifier, and refuses none for it",
        stricter("openssl", "authority_key_identifiers") + stricter("gnutls", "authority_key_identifiers"),
    ),
    (
        "Go does not read directoryName constraints, and refuses them where they are critical",
        stricter("openssl", "constraints_of_another_kind") + laxer("gnutls", "constraints_of_another_kind"),
    ),
    (
        "Go takes what is trusted itself, CA or not; others only with options of their own",
        stricter("openssl", "the_leaf_is_trusted_itself")
        + stricter("gnutls", "the_leaf_is_trusted_itself", "signed_by_itself_and_trusted"),
    ),
    (
        "OpenSSL does not take anyExtendedKeyUsage for serverAuth or clientAuth",
        stricter("openssl", "usages_of_a_ca", "usages_of_the_leaf"),
    ),
    (
        "GnuTLS takes an anchor without basicConstraints, and looks at no anchor's extendedKeyUsage",
        laxer("gnutls", "a_ca_without_basic_constraints", "usages_of_a_ca"),
    ),
    (
        "Go's parser refuses key identifiers that are critical (RFC 5280 4.2.1.1 and 4.2.1.2)",
        laxer("gnutls", "critical_key_identifiers"),
    ),
    (
        "GnuTLS lets a constraint on DNS names refuse a certificate that has none",
        stricter("gnutls", "constraints_on_names"),
    ),
    (
        "pkilint lints certificates by RFC 5280's words for who makes them; no verifier asks for that",
        stricter(
            "pkilint",
            *("a_ca_without_key_usage", "a_leaf_for_other_uses_of_its_key", "a_leaf_of_version_1"),
            *("constraints_of_another_kind", "critical_extensions", "serial_numbers"),
            *("signed_by_itself_and_trusted", "without_key_identifiers"),
        ),
    ),
    (
        "pkilint judges no paths, times, names that are wanted, or anchors: it has nothing against",
        laxer(
            "pkilint",
            *("a_ca_that_is_issued_to_itself", "a_ca_that_may_not_sign", "a_ca_without_basic_constraints"),
            *("a_ca_without_the_flag", "a_name_in_another_encoding", "an_address_as_a_dns_name"),
            *("constraints_of_another_kind", "constraints_on_names", "critical_extensions", "expired"),
            *("hashes_of_ecdsa", "names_and_wildcards", "names_that_are_absent", "not_yet_valid"),
            *("one_between_is_lost", "other_anchor", "other_key_of_the_same_name", "path_length"),
            *("serial_numbers", "usages_of_a_ca", "usages_of_the_leaf", "weak_hashes"),
        ),
    ),
]
KNOWN = {each: reason for reason, several in _REASONS for each in several}


_ETCD_OF_TODAYS_GO = (3, 6, 0)


def verdict(chain: Chain, now: datetime) -> str | None:
    """Why pkigen says that a path is refused: what cannot be read is refused, too."""
    sent = [read_pem(each.pem) for each in chain.sent]
    faults = [fault for each in sent for fault in each.faults]
    if faults:
        return faults[0]
    anchors = [found for each in chain.anchors for found in read_pem(each.pem).certificates]
    shown, judge = [each.certificates[0] for each in sent], PathVerifier(now)
    return judge.server(shown, anchors, chain.name) if chain.name else judge.client(shown, anchors)


@pytest.fixture(scope="module")
def now() -> datetime:
    return moment()


@pytest.fixture(scope="module")
def paths(now: datetime) -> list[Chain]:
    return chains(SEED, COUNT, now)


@pytest.fixture(scope="module")
def ours(paths: list[Chain], now: datetime) -> dict[int, bool]:
    """Whether pkigen accepts each path."""
    return {id(each): verdict(each, now) is None for each in paths}


def compare(
    judge: str, paths: Sequence[Chain], theirs: Sequence[bool | None], ours: dict[int, bool]
) -> Counter[Disagreement]:
    """Each disagreement, as often as it is; who could not be asked about a path has not disagreed."""
    return Counter(
        Disagreement(judge, "accepts" if said else "refuses", path.kind)
        for path, said in zip(paths, theirs, strict=True)
        if said is not None and said != ours[id(path)]
    )


def require_known(
    found: Counter[Disagreement], asked: Sequence[bool | None], capsys: pytest.CaptureFixture[str], judge: str
) -> None:
    unknown = {each: number for each, number in found.items() if each not in KNOWN}
    assert unknown == {}
    # A reason that no path has any more is none.
    stale = {each for each in KNOWN if each.judge == judge and each not in found}
    assert not (ALL and SEED == 1) or stale == set()
    count, unasked = len(asked), asked.count(None)
    said(capsys, f"{judge}: {count} paths, {sum(found.values())} known disagreements, {unasked} not shown")


def test_go(
    paths: list[Chain], ours: dict[int, bool], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server is judged by kubectl, a client by etcd; one before v3.6 was built by an older Go."""
    servers, clients = [each for each in paths if each.name], [each for each in paths if not each.name]
    judged = chain_judges.side_by_side(servers, chain_judges.kubectl, tmp_path / "kubectl")
    own = next(each.sent[0] for each in servers if each.kind in {"good", "other_anchor"})
    if find("etcd") is None or version("etcd") < _ETCD_OF_TODAYS_GO:
        clients = []
        said(capsys, "no etcd of today's Go: clients are not shown to one")
    else:
        with chain_judges.etcd(clients, own, tmp_path) as port:
            judged += chain_judges.side_by_side(
                clients, lambda chain, place: chain_judges.is_let_in(chain, port, place), tmp_path / "etcd"
            )
    asked = [*servers, *clients]
    assert 0.4 < sum(each is True for each in judged) / len(judged) < 0.6
    require_known(compare("go", asked, judged, ours), judged, capsys, "go")


@pytest.mark.parametrize("judge", ["openssl", "gnutls"])
def test_other_verifiers(
    judge: str, paths: list[Chain], ours: dict[int, bool], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judged = chain_judges.side_by_side(paths, getattr(chain_judges, judge), tmp_path)
    require_known(compare(judge, paths, judged, ours), judged, capsys, judge)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_pkilint(paths: list[Chain], ours: dict[int, bool], capsys: pytest.CaptureFixture[str]) -> None:
    judged: list[bool | None] = [chain_judges.pkilint(each) for each in paths]
    require_known(compare("pkilint", paths, judged, ours), judged, capsys, "pkilint")


def test_a_wrong_verdict_is_noticed(paths: list[Chain], ours: dict[int, bool], tmp_path: Path) -> None:
    """The control: were pkigen to refuse what is good, or to take another anchor, the table has no reason."""
    some = [each for each in paths if each.kind in {"good", "other_anchor"}][:6]
    judged = chain_judges.side_by_side(some, chain_judges.openssl, tmp_path)
    turned = {key: not accepted for key, accepted in ours.items()}
    found = compare("openssl", some, judged, turned)
    assert sum(found.values()) == len(some)
    assert not set(found) & set(KNOWN)


def test_every_kind_is_among_them(paths: list[Chain], ours: dict[int, bool]) -> None:
    assert {each.kind for each in paths} == set(KINDS)
    assert all(reason for reason in KNOWN.values())
    assert 0.4 < sum(ours.values()) / len(ours) < 0.6
