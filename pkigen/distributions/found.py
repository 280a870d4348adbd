"""What another distribution has, before any of it is taken over."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from pkigen.errors import AdoptionError
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pkigen.desired.generations import CA


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The files that were given, by their paths."""

    files: Mapping[str, bytes] = field(repr=False)
    name: str = ""
    """Which cluster is meant, where files may be of several; empty where nobody has said so."""

    def directory(self, *marks: str) -> Directory:
        """The directory in which one of these files is: of the first that is found at all.

        Raises:
            AdoptionError: None of them is there, or several directories have it.
        """
        for mark in marks:
            found = [path for path in self.files if path == mark or path.endswith(f"/{mark}")]
            # The nearest to the top: a copy of the same directory may lie below it.
            nearest = min((path.count("/") for path in found), default=0)
            found = [path for path in found if path.count("/") == nearest]
            if len(found) > 1:
                raise AdoptionError(
                    f"{' and '.join(sorted(found)[:2])} are of several clusters or nodes",
                    hint="give the files of one node of one cluster",
                )
            if found:
                return Directory(path=found[0].removesuffix(mark), files=self.files)
        raise AdoptionError(
            f"there is no {marks[0]} among these files",
            hint="give the directory that has it, as docs/how-to/distributions.md names it",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """One directory among the files; its path ends in a slash, or is empty."""

    path: str
    files: Mapping[str, bytes] = field(repr=False)

    def file(self, name: str) -> bytes:
        """A file's content; empty where it is not there."""
        return self.files.get(f"{self.path}{name}", b"")

    def pair(self, certificate: str, key: str) -> tuple[CAPair, ...]:
        """A CA by the names of its two files; nothing where its certificate is not there."""
        content = self.file(certificate)
        if not content:
            return ()
        return (CAPair(place=f"{self.path}{certificate}", certificate=content, key=self.file(key)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class CAPair:
    """A CA as one place has it.

    Attributes:
        place: What messages call it.
        certificate: PEM, of everything that is in the same file.
        key: PEM of its private key; empty where that is elsewhere.
    """

    place: str
    certificate: bytes
    key: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundAuthority:
    """What a distribution's cluster is rooted in, and what else its files say.

    Attributes:
        cas: Every place of each CA; the one that signs for people comes first.
        sa_keys: PEM of the private keys of service accounts' tokens, the one that signs first.
        sa_public: PEM of the public keys by which tokens are judged, where the files name them.
        name: What the cluster is called; empty where nothing says so.
        version: Which Kubernetes runs; likewise.
        endpoint: Where its API server is; likewise.
        notes: What is there and is not taken over.
    """

    cas: Mapping[CA, tuple[CAPair, ...]]
    sa_keys: bytes = field(repr=False)
    sa_public: bytes = b""
    name: str = ""
    version: str = ""
    endpoint: str = ""
    notes: tuple[str, ...] = ()

    def present(self) -> Iterator[tuple[CA, tuple[CAPair, ...]]]:
        """The CAs that are there at all."""
        for ca, pairs in self.cas.items():
            if pairs:
                yield ca, pairs
