"""What is told of an object of a survey, and what of that crosses the pipe to who asked for it."""

from __future__ import annotations

import os
import pickle
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cache, partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.crew import Hands
from pkigen.crypto.issuance import CertificateContent, issue
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from pkigen.desired.adopted import Adopted
from pkigen.desired.inventory import derive
from pkigen.reconcile import division
from pkigen.reconcile.checks import Finding
from pkigen.reconcile.division import Summary, divided, summaries
from pkigen.reconcile.plan import Rewrite
from pkigen.reconcile.surveyed import kept
from pkigen.state.lockfile import certificate_facts
from pkigen.state.reasons import Reason
from pkigen.state.views import HashedView
from pkigen.store import FileContent
from tests.samples import CP1, NOW, spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptography import x509

    from pkigen.desired.items import DesiredCertificate
    from pkigen.reconcile.survey import Survey

SHARED = Hands(most=3, least_objects=1, chunk=1)


def test_what_is_told_of_an_object_crosses_the_pipe_whole() -> None:
    item = derive(spec(CP1)).certificates["cp-1/apiserver"]
    finding = Finding(reason=Reason.MODE, detail="x")
    adopted = Adopted(found="a", wanted="b", modes="c")
    looked_at: Any = SimpleNamespace(
        item=item,
        action=Rewrite(id=item.id, paths=(), node="cp-1", reason=Reason.MODE),
        findings=(finding,),
        observed=None,
        sha256=b"digest",
        expires=NOW,
        adopted=adopted,
    )
    told = Summary.of(looked_at)
    assert (told.findings, told.sha256, told.expires, told.adopted) == ((finding,), b"digest", NOW, adopted)
    told = replace(told, facts={"spki": "x"})
    assert Summary.arrived(item, told.travelling()) == told
    quiet = Summary(item=item, action=kept(item))
    assert quiet.travelling()[0] is None
    assert Summary.arrived(item, quiet.travelling()) == quiet


def looked_at(
    item: DesiredCertificate,
    certificate: x509.Certificate | None = None,
    above: tuple[x509.Certificate, ...] = (),
) -> Any:
    """An object as a survey has found it: whatever it is, it is kept."""
    observed = SimpleNamespace(certificate=certificate, chain=above)
    found = {"findings": (), "sha256": None, "expires": None, "adopted": None}
    return SimpleNamespace(item=item, action=kept(item), observed=observed, **found)


@cache
def certificate(*, days: int) -> x509.Certificate:
    content = CertificateContent(
        subject=Subject(common_name="ca"), sans=SANs(), profile=Profile.CA, validity=timedelta(days=days)
    )
    key = ec.generate_private_key(ec.SECP256R1())
    return issue(content, key=key, issuer=None, now=NOW, entropy=os.urandom).certificate


def test_what_is_told_of_a_certificate_is_told_anew_unless_it_is_known() -> None:
    own = certificate(days=30)
    surveyed = looked_at(derive(spec(CP1)).certificates["cp-1/apiserver"], certificate=own)
    facts = certificate_facts(own)
    known = {facts["fingerprint"]: {"spki": "as the lock file tells it"}}
    assert Summary.of(surveyed).facts == Summary.of(surveyed, {"sha256:0": {}}).facts == facts
    assert Summary.of(surveyed, known).facts == {"spki": "as the lock file tells it"}
    assert Summary.of(looked_at(surveyed.item), known).facts is None
    surveyed.observed = None
    assert Summary.of(surveyed, known).facts is None


def test_an_object_ends_with_the_first_of_the_cas_above_it_or_with_its_token() -> None:
    item = derive(spec(CP1)).certificates["cp-1/apiserver"]
    first, second = certificate(days=10), certificate(days=20)
    surveyed = looked_at(item, above=(second, first))
    assert Summary.of(surveyed).expires == first.not_valid_after_utc
    surveyed.expires = NOW
    assert Summary.of(surveyed).expires == NOW
    assert Summary.of(looked_at(item)).expires is None


class Small:
    """A survey of a few objects, of which reading each is heard, and which tells what it shows of that."""

    what = "looking at"

    def __init__(self, items: list[DesiredCertificate], hashed: HashedView | None) -> None:
        self.items = items
        self.hashed = hashed
        self.progress: Any = self
        self.shown: list[object] = []

    def __len__(self) -> int:
        return len(self.items)

    def look(self, item: DesiredCertificate) -> Any:
        if self.hashed is not None:
            self.hashed.read(item.paths[0])
        return looked_at(item, certificate=certificate(days=30))

    def objects(self) -> Iterator[Any]:
        return map(self.look, self.items)

    @contextmanager
    def over(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        self.shown += [what, total]
        yield lambda: self.shown.append("step")


class Everywhere:
    """A directory in which every path has a file."""

    def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:  # noqa: ARG002 -- the reader's signature
        return FileContent(data=path.encode(), mode=0o644, size=1, uid=0, gid=0, links=1)


def in_one_process(monkeypatch: pytest.MonkeyPatch, copy: Small, answers: int = 10) -> None:
    """Have the work of the others done here, with a copy, and what they say packed and unpacked."""

    @contextmanager
    def shared(work: partial[object], parts: list[list[object]], _size: int) -> Iterator[Iterator[object]]:
        _, *rest = work.args
        of_copy = partial(work.func, copy, *rest)
        items = [item for part in parts for item in part][:answers]
        yield (pickle.loads(pickle.dumps(of_copy(item))) for item in items)  # noqa: S301 -- its own

    monkeypatch.setattr(division, "shared", shared)


@pytest.fixture
def some() -> list[DesiredCertificate]:
    return list(derive(spec(CP1)).certificates.values())[:3]


def test_what_others_have_found_and_read_is_told_as_if_this_process_had(
    monkeypatch: pytest.MonkeyPatch, some: list[DesiredCertificate]
) -> None:
    survey, copy, alone = (Small(some, HashedView(Everywhere())) for _ in range(3))
    by_itself = list(summaries(cast("Survey", alone), hands=Hands(most=1)))
    in_one_process(monkeypatch, copy)
    found = list(summaries(cast("Survey", survey), hands=SHARED))
    assert found == by_itself
    assert [(each.item, each.action) for each in found] == [(item, kept(item)) for item in some]
    assert all(each.facts is not None for each in found)
    assert survey.shown == ["looking at", 3, "step", "step", "step"]
    assert survey.hashed is not None
    assert alone.hashed is not None
    assert survey.hashed.digests == alone.hashed.digests


def test_where_nobody_asks_for_digests_nothing_of_what_was_read_comes_back(
    monkeypatch: pytest.MonkeyPatch, some: list[DesiredCertificate]
) -> None:
    survey, copy = Small(some, None), Small(some, None)
    in_one_process(monkeypatch, copy)
    assert [each.item for each in summaries(cast("Survey", survey), hands=SHARED)] == some


def test_what_is_known_of_certificates_goes_to_the_others(
    monkeypatch: pytest.MonkeyPatch, some: list[DesiredCertificate]
) -> None:
    survey, copy, own = Small(some, None), Small(some, None), certificate(days=30)
    copy.look = lambda item: looked_at(item, certificate=own)  # type: ignore[method-assign]
    in_one_process(monkeypatch, copy)
    known = {certificate_facts(own)["fingerprint"]: {"spki": "known"}}
    found = summaries(cast("Survey", survey), known=known, hands=SHARED)
    assert [each.facts for each in found] == [{"spki": "known"}] * 3


def test_an_object_of_which_nothing_is_heard_is_not_left_out_silently(
    monkeypatch: pytest.MonkeyPatch, some: list[DesiredCertificate]
) -> None:
    survey = Small(some, None)
    in_one_process(monkeypatch, Small(some, None), answers=2)
    with pytest.raises(ValueError, match="shorter"):
        list(summaries(cast("Survey", survey), hands=SHARED))


def test_a_node_is_in_one_part() -> None:
    items: list[Any] = [SimpleNamespace(node=each) for each in (None, None, "a", "a", "b", "b", None)]
    nodes = [[each.node for each in part] for part in divided(items, 1)]
    assert nodes == [[None], [None], ["a", "a"], ["b", "b"], [None]], "what is of no node stands alone"
    assert [len(part) for part in divided(items, 2)] == [2, 2, 2, 1]
    assert [len(part) for part in divided(items, 3)] == [4, 3]
