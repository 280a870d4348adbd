"""Keeps Jinja's compiled templates between the commands of one process: compiling takes half of a command.

Every command still finds and reads the templates; what it reads is compiled unless that was done before.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from jinja2 import BytecodeCache

from pkigen.desired.rendering import templates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType

    from jinja2 import BaseLoader, Environment
    from jinja2.bccache import Bucket


class _Kept(BytecodeCache):
    """Compiled templates in memory, by name, file and content."""

    def __init__(self) -> None:
        self._code: dict[tuple[str, str], CodeType | None] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._code.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key, bucket.checksum] = bucket.code


@contextmanager
def kept() -> Iterator[None]:
    """Meanwhile what was compiled is kept, for each output language apart: each quotes in its own way."""
    caches = {language: _Kept() for language in templates.Language}
    made = templates._environment  # noqa: SLF001 -- the one place that makes environments

    def with_cache(language: templates.Language, loader: BaseLoader) -> Environment:
        environment = made(language, loader)
        environment.bytecode_cache = caches[language]
        return environment

    with mock.patch.object(templates, "_environment", with_cache):
        yield
