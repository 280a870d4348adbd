"""The import rules hold, and each of them catches the violation that it is there for."""

from __future__ import annotations

from pathlib import Path

import pytest

import pkigen
from tests.project.architecture import ORDER, Module, violations

PACKAGE = Path(pkigen.__file__).parent


def modules() -> list[Module]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts).removesuffix("__init__").rstrip(".") or "pkigen"
        found.append(Module(name=name, source=path.read_text(encoding="utf-8")))
    return found


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)
def test_a_module_keeps_the_rules(module: Module) -> None:
    assert violations(module) == []


def test_every_module_has_its_row_in_the_architecture() -> None:
    present = {module.unit for module in modules()}
    assert present - set(ORDER) == set()
    assert len(set(ORDER)) == len(ORDER)


PLANTED = [
    ("keys", "from pkigen.issuing import issue", "which stands above it"),
    ("keys", "import pkigen.cli.app", "which stands above it"),
    ("inventory", "from pkigen import planning", "which stands above it"),
    ("trust", "def late():\n    from pkigen.cli import console", "which stands above it"),
    ("observing", "if TYPE_CHECKING:\n    from pkigen.planning import Plan", "which stands above it"),
    ("keys", "from . import issuing", "imports are absolute"),
    ("novelty", "import os", "has no row in the table"),
    ("reporting.summary", "from cryptography import x509", "imports cryptography"),
    ("planning", "import cryptography.x509 as x", "imports cryptography"),
    ("planning", "from pathlib import Path\nPath('x').write_text('y')", "writes files"),
    ("planning", "open('x', 'w')", "writes files"),
    ("planning", "open('x', mode='ab')", "writes files"),
    ("planning", "from pathlib import Path\nPath('x').open('r+')", "writes files"),
    ("planning", "import os\nos.open('x', os.O_WRONLY | os.O_CREAT)", "writes files"),
    ("planning", "import os\nos.replace('x', 'y')", "writes files"),
    ("planning", "import shutil\nshutil.rmtree('x')", "writes files"),
    ("planning", "import tempfile\ntempfile.mkstemp()", "writes files"),
    ("cli.plan", "open('x', 'w')", "writes files"),
    ("planning", "from datetime import datetime\ndatetime.now()", "reads the clock"),
    ("planning", "import time\ntime.time()", "reads the clock"),
    ("planning", "from datetime import datetime\nclock = datetime.now", "reads the clock"),
    ("planning", "from time import time", "imported by name"),
    ("issuing", "import os\nos.urandom(20)", "is a random source"),
    ("issuing", "import secrets", "is a random source"),
    ("issuing", "from random import random", "is a random source"),
    ("planning", "print('x')", "belongs to the command line"),
    ("planning", "import sys\nsys.exit(1)", "belongs to the command line"),
    ("reporting.tables", "import typer", "belongs to the command line"),
]


@pytest.mark.parametrize(("name", "source", "sentence"), PLANTED)
def test_a_planted_violation_is_found(name: str, source: str, sentence: str) -> None:
    found = violations(Module(name=name, source=source))
    assert [each for each in found if sentence in each]


ALLOWED = [
    ("issuing", "from cryptography import x509\nfrom pkigen.keys import PrivateKey"),
    ("reporting.status", "if TYPE_CHECKING:\n    from cryptography import x509"),
    ("store.files", "import os\nos.replace('x', 'y')"),
    ("cli.outputs", "import tempfile\ntempfile.mkstemp()"),
    ("cli.system", "import os\nfrom datetime import datetime\ndatetime.now()\nos.urandom(1)"),
    ("spec.loading", "from pathlib import Path\nPath('x').open('rb')\nopen('x')\n'a'.replace('a', 'b')"),
    ("__main__", "import sys\nsys.exit(0)"),
]


@pytest.mark.parametrize(("name", "source"), ALLOWED)
def test_what_is_allowed_is_not_reported(name: str, source: str) -> None:
    assert violations(Module(name=name, source=source)) == []
