"""What the ends of connections hold before and after a step: certificates, anchors, keys, command lines.

Each answer is read once and remembered for a while: edges share bundles, and follow one another by node.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

from pkigen.crypto.keys import UnsupportedKeyError, load_own_private, load_public, public_der
from pkigen.desired.rendering import read_back
from pkigen.errors import UnsafePathError
from pkigen.reconcile.edge_verdicts import anchors_in, chain_of
from pkigen.rotation.proof import Age
from pkigen.state.observed import Fault, read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Mapping, Sequence

    from cryptography import x509

    from pkigen.desired.items import FileKind
    from pkigen.rotation.proof import State

# Enough for what neighbouring edges share; without a bound, thousands of nodes' chains stay in memory.
_REMEMBERED = 4096
# `secret` is the only field of an EncryptionConfiguration that holds a key (apiserver,
# `apis/apiserver/v1/types_encryption.go`, `Key`).
_ENCRYPTION_KEY = re.compile(rb"(?m)^\s*secret: *['\"]?([A-Za-z0-9+/=]{16,})")

_Value = TypeVar("_Value")


class Unprovable(Exception):  # noqa: N818 -- a verdict on its way
    """Why one end cannot be judged at all: a file of it is missing or damaged."""


def _found(answer: _Value | str) -> _Value:
    """What a file holds, unless the answer is why it holds nothing that can be used."""
    if isinstance(answer, str):
        raise Unprovable(answer)
    return answer


class _Memory(Generic[_Value]):
    """The last few thousand answers."""

    def __init__(self, ask: Callable[..., _Value]) -> None:
        self._ask = ask
        self._known: OrderedDict[Hashable, _Value] = OrderedDict()

    def __call__(self, *question: Hashable) -> _Value:
        if question in self._known:
            self._known.move_to_end(question)
        else:
            self._known[question] = self._ask(*question)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return self._known[question]


class HeldFiles:
    """The files of both ages.

    What cannot be used (it is missing, damaged, or holds nothing of its kind) raises `Unprovable` with the
    reason.
    """

    def __init__(self, states: Mapping[Age, State], foreign: Collection[str]) -> None:
        self._states = states
        self._foreign = foreign
        self._chain = _Memory(self._read_chain)
        self._anchors = _Memory(self._read_anchors)
        self._key = _Memory(self._read_key)
        self._arguments = _Memory(self._read_arguments)

    def chain(self, identifier: str, age: Age) -> Sequence[x509.Certificate]:
        """A certificate, by its id or by the path that a flag names, and what is sent with it."""
        return _found(self._chain(identifier, age))

    def anchors(self, path: str, age: Age) -> Sequence[x509.Certificate]:
        """The trust anchors of a bundle."""
        return _found(self._anchors(path, age))

    def key(self, path: str, age: Age) -> bytes:
        """The public half (DER, SubjectPublicKeyInfo) of the private or public key in a file."""
        return _found(self._key(path, age))

    def arguments(self, path: str, kind: FileKind, age: Age) -> tuple[str, ...]:
        """A component's command line as a tree has it: a node may have another phase's than the spec."""
        return _found(self._arguments(path, kind, age))

    def encryption_keys(self, path: str, age: Age) -> list[bytes]:
        """What identifies each key of an encryption configuration."""
        data = _found(self._content(path, age))
        # Digests, so that no key stays in memory, or gets into a message, for longer than it is read.
        found = [hashlib.sha256(secret).digest() for secret in _ENCRYPTION_KEY.findall(data)]
        return _found(found or f"{path} holds no key")

    def is_ours(self, path: str) -> bool:
        """Whether the tree has a file, or it is one of the operator's own that flags name."""
        if any(path in state.inventory.paths for state in self._states.values()):
            return True
        try:
            # One age is enough: no step writes a file of the operator's own, so both trees have the same.
            return not isinstance(self._content(path, Age.OLD), str)
        except UnsafePathError:  # a flag's value may be anything
            return False

    def age_of(self, path: str, age: Age) -> Age:
        """Copying a tree over a node takes no file away: what the new one has not is still the old one."""
        return age if path in self._states[age].inventory.paths else Age.OLD

    def unless_same(self, *files: Sequence[str]) -> str | None:
        """Why keys of the operator's own cannot be judged; None where they stay as they are.

        No step of ours changes his files, so neither may what the other end has.
        """
        for path in filter(self.is_ours, itertools.chain(*files)):
            if self._key(path, Age.OLD) != self._key(path, Age.NEW):
                return (
                    "the key files of the other end are not managed by pkigen (see the flags that name them)"
                )
        return None

    def _read_chain(self, identifier: str, age: Age) -> Sequence[x509.Certificate] | str:
        """A certificate and what is sent with it, or why there is none."""
        state = self._states[age]
        if identifier not in state.inventory.certificates and not self._is_named(identifier, state):
            return f"there is no {identifier}"
        return chain_of(state.inventory, state.reader, identifier)

    def _is_named(self, path: str, state: State) -> bool:
        """Whether it is a file that a flag names, be it one of ours that is no certificate."""
        return path in state.inventory.paths or path in self._foreign

    def _read_anchors(self, path: str, age: Age) -> Sequence[x509.Certificate] | str:
        """The trust anchors of a bundle, or why there are none."""
        return anchors_in(self._states[age].reader, path)

    def _read_arguments(self, path: str, kind: FileKind, age: Age) -> tuple[str, ...] | str:
        """A component's command line, or why there is none."""
        content = self._content(path, age)
        if isinstance(content, str):
            return content
        found = read_back.arguments(content.decode(errors="replace"), kind)
        return f"{path} contains no command" if found is None else found

    def _read_key(self, path: str, age: Age) -> bytes | str:
        """The public half of a private or public key, or why there is none."""
        content = self._content(path, age)
        if isinstance(content, str):
            return content
        # The signing end has a private key, the verifying end usually a public
        # one; kube-apiserver reads both.
        for load in (load_own_private, load_public):
            try:
                return public_der(load(content))
            # Not a private key of Kubernetes' kinds may still be a public one: the next loader decides.
            except UnsupportedKeyError:
                continue
        return f"{path} holds no key that can be read"

    def _content(self, path: str, age: Age) -> bytes | str:
        """A file's bytes as one tree has them, or why there are none."""
        content = read_file(self._states[age].reader, path)
        return f"{path} {content.message}" if isinstance(content, Fault) else content.data
