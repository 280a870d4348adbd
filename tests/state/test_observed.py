"""Whatever stands on the disk, the observer and the readers of records say something, and raise nothing."""

from __future__ import annotations

import base64
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pkigen.crypto.pem_certificates import parse_certificates
from pkigen.desired.generations import InKubeconfig
from pkigen.state.ledger import appended, head_of, problems
from pkigen.state.lockfile import Lock, read_lock
from pkigen.state.observed import (
    Fault,
    client_certificate_pem,
    client_key_pem,
    observe_bundle,
    observe_certificate,
)
from tests.state.fuzz_observed import CORPUS, ISSUER, NOW, Bytes, digest, inputs, seeds

# cryptography before 47 parses a name anew, and warns anew, whenever it is looked at.
pytestmark = pytest.mark.filterwarnings("ignore:Attribute's length must be:UserWarning")

CONFIG = InKubeconfig(kubeconfig="x.conf")


def test_the_seeds_are_good() -> None:
    """Without this, the runs below would be about files that nothing looks into."""
    parsed = parse_certificates(seeds()[0])
    assert not isinstance(parsed, str)
    assert len(parsed) == 2
    observed = observe_certificate(Bytes(seeds()[3]), CONFIG)
    assert observed.certificate == parsed[0]
    assert observed.public_key is not None
    assert observed.key_fault is None
    assert observe_bundle(Bytes(seeds()[3]), "x") == (ISSUER.certificate,)
    assert isinstance(read_lock(Bytes(seeds()[6])), Lock)


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.iterdir()))
def test_the_corpus(name: str) -> None:
    digest((CORPUS / name).read_bytes())


@pytest.mark.sweep
@pytest.mark.parametrize("seed", [1, 2])
def test_mutations(seed: int) -> None:
    for data in islice(inputs(seed), 1_000):
        digest(data)


@given(st.binary(max_size=400))
@settings(max_examples=150)
def test_noise(data: bytes) -> None:
    digest(data)


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=200))
@settings(max_examples=100)
def test_kubeconfigs_with_anything_inside(authority: bytes, certificate: bytes, key: bytes) -> None:
    fields = zip(
        ("certificate-authority-data", "client-certificate-data", "client-key-data"),
        (authority, certificate, key),
        strict=True,
    )
    data = "".join(f"    {name}: {base64.b64encode(value).decode()}\n" for name, value in fields).encode()
    digest(data)
    observed = observe_certificate(Bytes(data), CONFIG)
    assert observed.certificate is None
    assert client_certificate_pem(data) == certificate
    assert (client_key_pem(data) or b"") == key


def test_a_kubeconfig_without_data_has_none() -> None:
    assert client_key_pem(b"") is None
    assert client_certificate_pem(b"") == b""


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["ledger", "entries", "head", "files", "spec", "x"]), inner, max_size=4
            )
        ),
    )
)
@settings(max_examples=150)
def test_any_json_as_a_lock_file(content: object) -> None:
    import json  # noqa: PLC0415

    read_lock(Bytes(json.dumps(content).encode()))


@given(
    st.lists(
        st.sampled_from([b"{}", b"[]", b"null", b"", b'{"sequence": 1}', b"[" * 5000, b"\xff"]), max_size=5
    )
)
@settings(max_examples=100)
def test_any_lines_as_a_ledger(lines: list[bytes]) -> None:
    data = b"\n".join(lines)
    assert list(problems(data, head=head_of(b""))) != [] or data == b""
    extended, head = appended(data, [], now=NOW)
    assert head_of(extended) == head


def test_a_missing_bundle_is_a_fault() -> None:
    found = observe_bundle(Bytes(b"x" * (2 << 20)), "x")
    assert isinstance(found, Fault)
    assert found.message == "is missing"
