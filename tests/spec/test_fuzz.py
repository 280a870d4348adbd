"""Whatever the bytes: a spec or problems with their places, never another exception."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pkigen.desired.certificates import CERTIFICATES
from pkigen.errors import SpecError
from pkigen.spec.kubeadm.treatments import CLUSTER, INIT, JOIN
from pkigen.spec.loader import load_text
from tests.spec.fuzz_loader import CORPUS, HOST, JOINED, ODD, TEXTS, inputs, load

DOCUMENTS = [list(yaml.safe_load_all(text)) for text in TEXTS]
KINDS = (INIT, CLUSTER, JOIN)
SIGNS = ["\t", "\n", ": ", "- ", "*a", "&a ", "<<: ", "{", "]", "---\n"]


def _survives(text: bytes) -> None:
    try:
        load_text(text, file="f", kinds=CERTIFICATES, host=HOST)
    except SpecError as error:
        assert error.problems  # noqa: PT017 -- either outcome is right
        lines = (
            text.count(b"\n") + text.count(b"\r") + 3 * text.count(b"\xe2\x80") + text.count(b"\xc2\x85") + 2
        )
        for problem in error.problems:
            assert 0 <= problem.line <= lines
            assert problem.message
            # pydantic's own sentences begin so; ours only with the name of one of kubeadm's kinds
            assert problem.message[0] not in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" or problem.message.startswith(KINDS)
            assert len(problem.message) < 600
            assert "Input should" not in problem.message
            assert "pydantic" not in str(problem)
            assert "\n" not in str(problem)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    _survives(data)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="abk:{}[],-?*&!|>'\"%@`#~ \n\t0123456789.=<", max_size=80))
def test_anything_like_yaml(text: str) -> None:
    _survives(text.encode())


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(TEXTS), st.data())
def test_damaged_text(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    between = data.draw(
        st.text(max_size=6)
        | st.sampled_from(["\t", "\n", ": ", "- ", "*a", "&a ", "<<: ", "{", "]", "---\n"])
    )
    _survives((text[:start] + between + text[end:]).encode("utf-8", "surrogatepass"))


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(DOCUMENTS), st.lists(st.integers(0, 10**6), min_size=1, max_size=12), st.data())
def test_changed_values(documents: list[Any], choices: list[int], data: st.DataObject) -> None:
    """Walk to some place of a valid document and put, remove or repeat something there."""
    changed = json.loads(json.dumps(documents, default=str))
    at: Any = changed
    for choice in choices:
        inner = [
            value for value in (at.values() if isinstance(at, dict) else at) if isinstance(value, dict | list)
        ]
        if not inner:
            break
        at = inner[choice % len(inner)]
    places = list(at) if isinstance(at, dict) else list(range(len(at)))
    place = data.draw(st.sampled_from(places)) if places else None
    action = data.draw(st.sampled_from(["put", "remove", "add"]))
    value = data.draw(st.sampled_from(ODD))
    if place is not None and action == "put":
        at[place] = value
    elif place is not None and action == "remove":
        del at[place]
    elif isinstance(at, dict):
        at[data.draw(st.text(max_size=12))] = value
    else:
        at.append(at[0] if at else value)
    _survives("\n---\n".join(json.dumps(document) for document in changed).encode())


def test_the_survivors_are_not_all_alike() -> None:
    """The checks above would pass for a loader that refuses everything."""
    for text in TEXTS:
        assert load_text(text.encode(), file="f", kinds=CERTIFICATES, host=HOST).spec.spec.nodes
    assert load(JOINED.encode())


def test_a_part_of_the_campaign() -> None:
    """All of it is `python -m tests.spec.fuzz_loader`."""
    outcomes = Counter(map(load, islice(inputs(1), 400)))
    assert min(outcomes[True], outcomes[False]) > 20


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.iterdir()))
def test_the_corpus(name: str) -> None:
    _survives((CORPUS / name).read_bytes())
