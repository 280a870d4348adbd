"""Options that several commands share, declared once: a command gets one value for all of them."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def _rank(parameter: inspect.Parameter) -> tuple[int, bool]:
    """Arguments before options, what must be given before what need not be, else as they stand."""
    positional = parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    return parameter.kind, positional and parameter.default is not inspect.Parameter.empty


def grouped(make: Callable[..., object]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give commands the parameters of a function, and what it makes of them.

    Typer reads the signature of a command. In that of the decorated one, the parameter of the type that
    `make` returns is replaced, at its place, by those of `make`.

    Args:
        make: Its parameters are declared for Typer, by name; what it raises, the command raises.
    """
    # Evaluated, for `from __future__ import annotations` leaves texts, and Typer needs the types.
    shared = inspect.signature(make, eval_str=True)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters
        (place,) = (name for name, each in own.items() if each.annotation is shared.return_annotation)
        parameters = [
            parameter
            for name, each in own.items()
            for parameter in (shared.parameters.values() if name == place else (each,))
        ]
        parameters.sort(key=_rank)

        @functools.wraps(command)
        def run(**given: Any) -> None:
            value = make(**{name: given.pop(name) for name in shared.parameters})
            command(**given, **{place: value})

        # Typer asks `inspect.signature`, and the annotations beside it: `wraps` has copied those of the
        # command.
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate
