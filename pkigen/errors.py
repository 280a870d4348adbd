"""The exception tree: each error carries its sentence and a hint; the command line decides exit codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence


class PkigenError(Exception):
    """Anything pkigen reports to a person: one lower-case sentence, and what to do next.

    Args:
        message: What is wrong, without secrets, naming the path or the object.
        hint: The way out, or an empty string where the sentence already says it.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        """What is raised in a process that works for another one is raised in that one: with all it has."""
        return _again, (type(self), self.args, self.__dict__)


def _again(cls: type[PkigenError], args: tuple[object, ...], state: dict[str, object]) -> PkigenError:
    """The same error, whatever its class wants to be made from."""
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with an input file, at a place a person can jump to.

    Lines and columns count from 1; `line` 0 means that the whole file is meant.
    """

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class SpecError(PkigenError):
    """The spec is invalid, or some of several are; carries every problem, not only the first."""

    def __init__(self, problems: Sequence[Problem], *, hint: str = "", where: str = "the spec") -> None:
        count = len(problems)
        super().__init__(f"{count} problem{'s' if count != 1 else ''} in {where}", hint=hint)
        self.problems = tuple(problems)


class UsageError(PkigenError):
    """The command line asks for something that does not exist or does not go together."""


class AuthorityError(PkigenError):
    """A CA certificate or key is missing, unreadable or unfit to sign."""


class StoreError(PkigenError):
    """The PKI directory could not be read or written; the tree on disk is unchanged."""


class BusyError(StoreError):
    """Another pkigen holds the lock of this PKI directory."""


class UnsafePathError(StoreError):
    """A link, a foreign owner or an escaping name stands where pkigen would read or write."""


class RotationError(PkigenError):
    """A phase of a rotation is out of turn, or would break an edge of the trust graph: nothing changed."""


class BundleError(PkigenError):
    """A bundle is damaged, not for this host, or not to be trusted: nothing was written."""


class AccessError(PkigenError):
    """A request, a credential or a kubeconfig is unfit, or asks for what nobody should get."""


class TemplateError(PkigenError):
    """A template is missing, does not render, or renders something that is not what it must be."""


class AdoptionError(PkigenError):
    """A cluster of another maker cannot be described or taken over as it is: nothing was written."""
