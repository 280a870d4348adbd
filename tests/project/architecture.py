"""The rules of ARCHITECTURE.md, checked on the syntax tree of one module's source."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ARCHITECTURE = Path(__file__).parent.parent.parent / "ARCHITECTURE.md"


def shown_order() -> tuple[str, ...]:
    """The modules of ARCHITECTURE.md's table, lowest first: what a module may import precedes it."""
    _, _, rest = ARCHITECTURE.read_text(encoding="utf-8").partition("\n| room |")
    table, _, _ = rest.partition("\n\n")
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    # What stands in parentheses is a part of its room.
    cells = [cell.partition("(")[0] for cell in cells]
    names = [name for cell in reversed(cells) for name in reversed(re.findall(r"`(\w+)/?`", cell))]
    return ("pkigen", *names, "__main__")


ORDER = shown_order()

# docs/adr/0007-who-imports-cryptography.md; annotations may name its types elsewhere.
CRYPTOGRAPHY = frozenset(
    {
        "access",
        "adoption.checks",
        "airgap.carrier",
        "airgap.enrolment",
        "crypto",
        "reconcile.checks",
        "state.authority",
    }
)
# cli/outputs.py is where files outside of the PKI directory are written: saved plans, runbooks, metrics.
WRITERS = frozenset({"store", "airgap.bundles", "airgap.carrier", "airgap.enrolment", "cli.outputs"})
OUTERMOST = frozenset({"cli", "__main__"})

_CLOCKS = {"datetime", "date", "time"}
_READING_CLOCK = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter"}
_ENDING_AND_PRINTING = {
    "print",
    "exit",
    "quit",
    "sys.exit",
    "os._exit",
    "sys.stdout.write",
    "sys.stderr.write",
}
_RANDOM_MODULES = {"random", "secrets", "uuid"}
_WRITING_FUNCTIONS = {
    "write_text",
    "write_bytes",
    "touch",
    "unlink",
    "mkdir",
    "makedirs",
    "rmdir",
    "removedirs",
    "rename",
    "renames",
    "chmod",
    "fchmod",
    "lchmod",
    "chown",
    "truncate",
    "ftruncate",
    "symlink",
    "symlink_to",
    "link",
    "hardlink_to",
    "mkstemp",
    "mkdtemp",
    "NamedTemporaryFile",
    "TemporaryDirectory",
    "rmtree",
    "copyfile",
    "copytree",
}
_WRITING_OF_OS = {"remove", "replace", "write", "mkfifo", "mknod"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One module's source; `name` is dotted, without the leading package."""

    name: str
    source: str

    @property
    def unit(self) -> str:
        """The row of the table that the module belongs to."""
        return self.name.partition(".")[0]

    def is_among(self, names: frozenset[str]) -> bool:
        """Whether one of these is the module, or a package that it is in."""
        return any(self.name == name or self.name.startswith(f"{name}.") for name in names)


def violations(module: Module) -> list[str]:
    """Every rule that the module breaks, each with its line."""
    if module.unit not in ORDER:
        return [f"pkigen.{module.name}: {module.unit} has no row in the table of ARCHITECTURE.md"]
    tree = ast.parse(module.source)
    types_only = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        for check in (_arrow, _cryptography, _writing, _clock_and_randomness, _printing):
            found += [
                f"pkigen.{module.name}:{getattr(node, 'lineno', 0)}: {sentence}"
                for sentence in check(module, node, node in types_only)
            ]
    return sorted(set(found))


def _imported(node: ast.AST) -> Iterator[str]:
    """The dotted names that an import statement asks for."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        if node.level:
            yield "a relative import"
        elif node.module == "pkigen":
            yield from (f"pkigen.{alias.name}" for alias in node.names)
        else:
            yield node.module or ""


def _arrow(module: Module, node: ast.AST, types_only: bool) -> Iterator[str]:  # noqa: ARG001, FBT001 -- one signature
    for name in _imported(node):
        if name == "a relative import":
            yield "imports are absolute"
        elif name.partition(".")[0] == "pkigen":
            unit = [*name.split("."), "pkigen"][1]
            target = unit if unit in ORDER else "pkigen"  # such as pkigen.__version__
            if target != module.unit and ORDER.index(target) > ORDER.index(module.unit):
                yield f"{module.unit} imports {target}, which stands above it"


def _cryptography(module: Module, node: ast.AST, types_only: bool) -> Iterator[str]:  # noqa: FBT001 -- one signature
    if types_only or module.is_among(CRYPTOGRAPHY):
        return
    if any(name.partition(".")[0] == "cryptography" for name in _imported(node)):
        yield f"{module.name} imports cryptography"


def _writing(module: Module, node: ast.AST, _types_only: bool) -> Iterator[str]:  # noqa: FBT001 -- one signature
    if module.is_among(WRITERS) or not isinstance(node, ast.Call):
        return
    function = ast.unparse(node.func)
    owner, _, name = function.rpartition(".")
    if (
        (name in _WRITING_FUNCTIONS and owner)
        or (owner == "os" and name in _WRITING_OF_OS and not _own_pipe(module, function))
        or (name in {"open", "fdopen"} and _opens_for_writing(node, owner))
    ):
        yield f"{function} writes files"


def _own_pipe(module: Module, function: str) -> bool:
    """Processes that work for another one are asked, and answer, through pipes."""
    return module.name in {"worker", "crew", "crypto.key_makers"} and function == "os.write"


def _opens_for_writing(call: ast.Call, owner: str) -> bool:
    if owner == "os" and isinstance(call.func, ast.Attribute) and call.func.attr == "open":
        return any(flag in ast.unparse(call) for flag in ("O_WRONLY", "O_RDWR", "O_CREAT")) and (
            "os.devnull" not in ast.unparse(call)
        )
    position = 1 if owner in {"", "os", "io"} else 0
    modes = [keyword.value for keyword in call.keywords if keyword.arg == "mode"] + call.args[position:][:1]
    return any(set(ast.unparse(mode)) & set("wax+") for mode in modes if isinstance(mode, ast.Constant))


def _clock_and_randomness(module: Module, node: ast.AST, _types_only: bool) -> Iterator[str]:  # noqa: FBT001
    if module.unit in OUTERMOST:
        return
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        owner, name = node.value.id, node.attr
        if owner in _CLOCKS and name in _READING_CLOCK:
            yield f"{owner}.{name} reads the clock"
        if owner == "os" and name in {"urandom", "getrandom"}:
            yield f"os.{name} is a random source"
    for name in _imported(node):
        if name.partition(".")[0] in _RANDOM_MODULES:
            yield f"{name} is a random source"
        if name == "time" and isinstance(node, ast.ImportFrom):
            yield "time's functions are imported by name"


def _printing(module: Module, node: ast.AST, _types_only: bool) -> Iterator[str]:  # noqa: FBT001 -- one signature
    if module.unit in OUTERMOST:
        return
    # A forked process ends without what its parent has planned for its own end.
    if isinstance(node, ast.Call) and not (module.name == "worker" and ast.unparse(node.func) == "os._exit"):
        function = ast.unparse(node.func)
        if function in _ENDING_AND_PRINTING:
            yield f"{function} belongs to the command line"
    if "typer" in {name.partition(".")[0] for name in _imported(node)}:
        yield "typer belongs to the command line"
