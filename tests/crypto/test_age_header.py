"""The header of an age file, part by part, and at which length one is none any more."""

from __future__ import annotations

import base64

import pytest

from pkigen.crypto.age_header import (
    INTRODUCTION,
    LARGEST_HEADER,
    Header,
    HeaderError,
    Stanza,
    decoded,
    encoded,
    is_passphrase_sealed,
    is_sealed,
    read_header,
)

MAC = bytes(range(32))
END = b"--- " + base64.b64encode(MAC).rstrip(b"=") + b"\n"
FIRST = INTRODUCTION


def header(*stanzas: bytes, end: bytes = END) -> bytes:
    return FIRST + b"".join(stanzas) + end


def refusal(data: bytes) -> str:
    with pytest.raises(HeaderError) as refused:
        read_header(data)
    return str(refused.value)


def filled(size: int) -> bytes:
    """A header of so many bytes: its stanza has a long argument."""
    return header(b"-> x " + b"y" * (size - len(header(b"-> x \n\n"))) + b"\n\n")


def test_what_an_age_file_begins_with() -> None:
    assert INTRODUCTION == b"age-encryption.org/v1\n"
    assert is_sealed(header(b""))
    assert not is_sealed(b"-----BEGIN PRIVATE KEY-----\n" + INTRODUCTION)
    assert is_passphrase_sealed(header(b"-> scrypt AAAA 10\n"))
    assert not is_passphrase_sealed(header(b"-> X25519 AAAA\n"))
    assert not is_passphrase_sealed(header(b"-> scrypted AAAA\n"))


def test_every_part_of_a_header() -> None:
    body = bytes(range(60))
    long = base64.b64encode(body).rstrip(b"=")
    data = header(b"-> X25519 a b\n" + long[:64] + b"\n" + long[64:] + b"\n", b"-> scrypt\n\n")
    found = read_header(data + b"the payload")
    assert found == Header(
        stanzas=(
            Stanza(kind="X25519", arguments=("a", "b"), body=body),
            Stanza(kind="scrypt", arguments=(), body=b""),
        ),
        covered=data[: -len(END)] + b"---",
        mac=MAC,
        size=len(data),
    )
    assert found.is_for_passphrase
    assert not read_header(header(b"-> X25519 a\n\n")).is_for_passphrase


def test_nothing_of_what_is_wrapped_is_shown() -> None:
    shown = repr(read_header(header(b"-> x y\nAAAA\n")))
    assert "body" not in shown
    assert "covered" not in shown
    assert "mac" not in shown
    assert "kind='x', arguments=('y',)" in shown


def test_a_header_has_a_largest_size() -> None:
    assert LARGEST_HEADER == 8192
    assert read_header(filled(LARGEST_HEADER)).size == LARGEST_HEADER
    assert read_header(filled(LARGEST_HEADER) + bytes(1000)).size == LARGEST_HEADER
    assert refusal(filled(LARGEST_HEADER + len(END))) == "its header is longer than 8192 bytes"
    # What ends within it is damaged, however much comes after it.
    assert refusal(header(b"-> x y\n!\n") + bytes(LARGEST_HEADER)) == "its header is damaged"
    assert refusal(FIRST + b"-" * (LARGEST_HEADER - len(FIRST))) == "its header is damaged"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n", "it is in age's armored form, which pkigen neither"),
        (b"", "it is not an age file of version 1"),
        (b" " + header(b"-> x y\n\n"), "it is not an age file of version 1"),
        (header(), "its header is damaged"),
        (header(b"-> x y\n\n", end=b""), "its header is damaged"),
        (header(b"-> x y\n\n", end=END[:-2] + b"\n"), "its header is damaged"),
        (header(b"-> x y\n\n", end=END[1:]), "its header is damaged"),
        (header(b"-> x y\n\n", end=END[:-2] + b"/\n"), "its header is damaged"),
        (header(b"-> x y\nA\n"), "its header is damaged"),
    ],
)
def test_what_is_no_header(data: bytes, said: str) -> None:
    assert refusal(data).startswith(said)


@pytest.mark.parametrize("data", [b"", b"a", b"ab", b"abc", b"abcd", b"\0\0\x17", bytes(64)])
def test_base64_without_padding_and_back(data: bytes) -> None:
    assert encoded(data) == base64.b64encode(data).decode().replace("=", "")
    assert decoded(encoded(data).encode()) == data


@pytest.mark.parametrize("text", [b"A", b"AB", b"AA=", b"AA==", b"A A", b"AAAA\n", b"AA!A", b"AAAAA"])
def test_there_is_one_way_of_writing_it(text: bytes) -> None:
    with pytest.raises(HeaderError, match="its header is damaged"):
        decoded(text)
