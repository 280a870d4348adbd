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
    ("crypto.keys", "from pkigen.desired import items", "which stands above it"),
    ("crypto.keys", "import pkigen.cli.app", "which stands above it"),
    ("desired.inventory", "from pkigen.reconcile import planner", "which stands above it"),
    ("desired.connections", "def late():\n    from pkigen.cli import console", "which stands above it"),
    (
        "state.observed",
        "if TYPE_CHECKING:\n    from pkigen.reconcile.plan import Plan",
        "which stands above it",
    ),
    ("crypto.keys", "from . import issuing", "imports are absolute"),
    ("novelty", "import os", "has no row in the table"),
    ("cli.reports.summary", "from cryptography import x509", "imports cryptography"),
    ("reconcile.planner", "import cryptography.x509 as x", "imports cryptography"),
    ("reconcile.planner", "from pathlib import Path\nPath('x').write_text('y')", "writes files"),
    ("reconcile.planner", "open('x', 'w')", "writes files"),
    ("reconcile.planner", "open('x', mode='ab')", "writes files"),
    ("reconcile.planner", "from pathlib import Path\nPath('x').open('r+')", "writes files"),
    ("reconcile.planner", "import os\nos.open('x', os.O_WRONLY | os.O_CREAT)", "writes files"),
    ("reconcile.planner", "import os\nos.replace('x', 'y')", "writes files"),
    ("reconcile.planner", "import shutil\nshutil.rmtree('x')", "writes files"),
    ("reconcile.planner", "import tempfile\ntempfile.mkstemp()", "writes files"),
    ("cli.commands.plan", "open('x', 'w')", "writes files"),
    ("reconcile.planner", "from datetime import datetime\ndatetime.now()", "reads the clock"),
    ("reconcile.planner", "import time\ntime.time()", "reads the clock"),
    ("reconcile.planner", "from datetime import datetime\nclock = datetime.now", "reads the clock"),
    ("reconcile.planner", "from time import time", "imported by name"),
    ("crypto.issuance", "import os\nos.urandom(20)", "is a random source"),
    ("crypto.issuance", "import secrets", "is a random source"),
    ("crypto.issuance", "from random import random", "is a random source"),
    ("reconcile.planner", "print('x')", "belongs to the command line"),
    ("reconcile.planner", "import sys\nsys.exit(1)", "belongs to the command line"),
    ("reconcile.plan", "import typer", "belongs to the command line"),
]


@pytest.mark.parametrize(("name", "source", "sentence"), PLANTED)
def test_a_planted_violation_is_found(name: str, source: str, sentence: str) -> None:
    found = violations(Module(name=name, source=source))
    assert [each for each in found if sentence in each]


ALLOWED = [
    ("crypto.issuance", "from cryptography import x509\nfrom pkigen.crypto.keys import PrivateKey"),
    ("cli.reports.status", "if TYPE_CHECKING:\n    from cryptography import x509"),
    ("store.files", "import os\nos.replace('x', 'y')"),
    ("cli.outputs", "import tempfile\ntempfile.mkstemp()"),
    ("cli.system", "import os\nfrom datetime import datetime\ndatetime.now()\nos.urandom(1)"),
    ("spec.loader", "from pathlib import Path\nPath('x').open('rb')\nopen('x')\n'a'.replace('a', 'b')"),
    ("__main__", "import sys\nsys.exit(0)"),
]


@pytest.mark.parametrize(("name", "source"), ALLOWED)
def test_what_is_allowed_is_not_reported(name: str, source: str) -> None:
    assert violations(Module(name=name, source=source)) == []
