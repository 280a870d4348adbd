"""Frozen dataclasses that cost little until one is made: a command imports hundreds, and makes some.

`dataclasses` compiles six methods of each class while it is imported, which took a quarter of a short run.
Here `__init__` is compiled when the first instance is made, and the others are shared. Everything else is
the library's own: fields, slots, defaults, `replace`, pattern matching, and what type checkers know of it
(docs/adr/0028-records.md has the figures).
"""

from __future__ import annotations

import dataclasses
from dataclasses import MISSING, FrozenInstanceError, fields
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, NoReturn

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass
else:

    def dataclass(
        *, frozen: bool = False, slots: bool = False, kw_only: bool = False, **others: bool
    ) -> Callable[[type], type]:
        """Do what `dataclasses.dataclass` does; where nothing but frozen slots is asked for, do it late."""
        if not (frozen and slots) or others:
            return dataclasses.dataclass(frozen=frozen, slots=slots, kw_only=kw_only, **others)
        bare = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)

        def decorate(cls: type) -> type:
            # Where there is no docstring, `dataclasses` writes one, which takes longer than all the rest.
            cls.__doc__ = cls.__doc__ or cls.__name__
            return _completed(bare(cls))

        return decorate


def _completed(cls: Any) -> type:
    """Give a class what `dataclasses` gives to frozen ones."""
    names = [field.name for field in fields(cls) if field.compare]
    compared: Callable[[object], object] = attrgetter(*names) if names else lambda _record: ()
    every = [field.name for field in fields(cls)]
    # A slot sets itself: the class refuses to.
    setters = [getattr(cls, name).__set__ for name in every]

    def first(record: object, *args: Any, **kwargs: Any) -> None:
        cls.__init__ = made = _initializer(cls)
        made(record, *args, **kwargs)

    def equals(record: object, other: object) -> object:
        if other.__class__ is not record.__class__:
            return NotImplemented
        return compared(record) == compared(other)

    def state(record: object) -> list[object]:
        """What is pickled and copied; slots are not, without it."""
        return [getattr(record, name) for name in every]

    def set_state(record: object, values: list[object]) -> None:
        for assign, value in zip(setters, values, strict=True):
            assign(record, value)

    methods = {
        "__init__": first,
        "__eq__": equals,
        "__hash__": lambda record: hash(compared(record)),
        "__repr__": _representation,
        "__setattr__": _refuse_to_set,
        "__delattr__": _refuse_to_delete,
        "__getstate__": state,
        "__setstate__": set_state,
    }
    for name, method in methods.items():
        # What a class defines itself stays; slots have made it anew, with what every class is given.
        if name not in vars(cls) or vars(cls)[name] is None:
            setattr(cls, name, method)
    return cls  # type: ignore[no-any-return]


def _initializer(cls: Any) -> Callable[..., None]:
    """Compile `__init__`: an argument for each field, and what `__post_init__` does after all of them."""
    known: dict[str, Any] = {"_MISSING": MISSING}
    by_place: list[str] = []
    by_name: list[str] = []
    body = ["pass"]
    for field in fields(cls):
        # A slot sets itself: the class refuses to.
        known[f"_set_{field.name}"] = getattr(cls, field.name).__set__
        argument, value = _argument(field, known)
        if field.init:
            (by_name if field.kw_only else by_place).append(argument)
        elif value == field.name:
            continue  # `__post_init__` sets it
        body.append(f"_set_{field.name}(self, {value})")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    arguments = ", ".join(["self", *by_place, *(["*", *by_name] if by_name else [])])
    lines = "\n  ".join([f"def __init__({arguments}):", *body])
    exec(lines, known)  # noqa: S102 -- of names that stand in our source, as `dataclasses` does
    made: Callable[..., None] = known["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


def _argument(field: dataclasses.Field[Any], known: dict[str, Any]) -> tuple[str, str]:
    """How a field stands among the arguments, and what it is set to; its default becomes known."""
    name = field.name
    if field.default is not MISSING:
        known[f"_default_{name}"] = field.default
        return f"{name}=_default_{name}", name if field.init else f"_default_{name}"
    if field.default_factory is not MISSING:
        known[f"_make_{name}"] = field.default_factory
        call = f"_make_{name}()"
        return f"{name}=_MISSING", f"{call} if {name} is _MISSING else {name}" if field.init else call
    return name, name


@recursive_repr()
def _representation(record: Any) -> str:
    shown = (f"{each.name}={getattr(record, each.name)!r}" for each in fields(record) if each.repr)
    return f"{type(record).__qualname__}({', '.join(shown)})"


def _refuse_to_set(_record: object, name: str, _value: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_record: object, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")
