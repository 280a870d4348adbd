"""Many at once on one directory: a lock that dies with its process, and whole changes only."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

from pkigen.store import Store
from tests import unmeasured
from tests.cli.program import HOME, PROGRAM
from tests.faults.scenes import CHANGED, pkigen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOGETHER = 20

# Takes the lock, says so, and stays.
HOLDER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from pkigen.store import Store
with Store.open(Path(sys.argv[1]), command="apply", now=datetime.now(UTC)):
    print("held", flush=True)
    sys.stdin.read()
"""

# Processes of their own that set off at the same moment, with everything imported.
AT_ONCE = """
import json, os, pkgutil, random, sys, time
from importlib import import_module
from pkigen.cli import commands, work
from pkigen.cli.app import run
for package in (commands, work):
    for each in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        import_module(each.name)
waiting, go = os.pipe()
children = []
for number, line in enumerate(json.loads(sys.argv[2])):
    pid = os.fork()
    if pid == 0:
        os.close(go)
        for fd, stream in ((1, "out"), (2, "err")):
            path = f"{sys.argv[1]}/{number}.{stream}"
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), fd)
        os.read(waiting, 1)
        code = run(line)
        while code == 1 and len(sys.argv) > 3:  # it was busy: come again until it is done
            time.sleep(random.random() / 5)
            code = run(line)
        sys.exit(code)
    children.append(pid)
os.close(go)
for pid in children:
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=unmeasured.environment(),
    )


def at_once(lines: list[list[str]], place: Path, *options: str) -> Iterator[tuple[int, str, str]]:
    """Run command lines at the same moment; the exit code and the streams of each."""
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE, place, json.dumps(lines), *options],
        check=True,
        capture_output=True,
        text=True,
        env=unmeasured.environment(),
    )
    for number, code in enumerate(map(int, done.stdout.split())):
        yield code, (place / f"{number}.out").read_text(), (place / f"{number}.err").read_text()


def two_specs(place: Path, count: int) -> list[list[str]]:
    """A tree, and command lines that apply one spec and the other."""
    place.mkdir()
    specs = [place / "a.yaml", place / "b.yaml"]
    specs[0].write_text(HOME)
    specs[1].write_text(CHANGED)
    root = place / "home"
    assert pkigen("init", specs[0], "-C", root).code == 0
    return [["apply", str(specs[number % 2]), "-C", str(root), "--yes"] for number in range(count)]


def assert_one_of_them(place: Path) -> None:
    """The tree is what one of the specs asks for."""
    root = place / "home"
    plans = [pkigen("plan", place / name, "-C", root, "--exit-code").code for name in ("a.yaml", "b.yaml")]
    assert sorted(plans) == [0, 3]
    assert pkigen("verify", "-C", root).code == 0


def test_twenty_of_two_specs(memory: Path) -> None:
    place = memory / "together"
    lines = two_specs(place, TOGETHER)
    outcomes: Counter[str] = Counter()
    for code, out, err in at_once(lines, place):
        if code == 0:
            assert err == ""
            outcomes["nothing to do" if out == "nothing to do\n" else "applied"] += 1
            assert out == "nothing to do\n" or "\napplied: " in out
        else:
            assert code == 1, err
            assert f"error: {place}/home is in use by " in err
            assert "process" in err or "another pkigen" in err
            assert "hint: wait for it to finish" in err
            outcomes["busy"] += 1
    print(f"{TOGETHER} together: {dict(outcomes)}")  # noqa: T201
    assert sum(outcomes.values()) == TOGETHER
    assert outcomes["busy"] < TOGETHER
    assert_one_of_them(place)


def test_all_who_come_again_get_their_turn(memory: Path) -> None:
    place = memory / "again"
    lines = two_specs(place, 10)
    results = list(at_once(lines, place, "again"))
    changes = sum("\napplied: " in out for _, out, _ in results)
    print(f"{len(results)} who came again: {changes} changed the tree")  # noqa: T201
    assert {code for code, _, _ in results} == {0}
    assert changes >= 1
    assert_one_of_them(place)


def test_a_killed_holder_blocks_nobody(memory: Path) -> None:
    place = memory / "holder"
    place.mkdir()
    spec = place / "home.yaml"
    spec.write_text(HOME)
    root = place / "home"
    assert pkigen("init", spec, "-C", root).code == 0
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=unmeasured.environment(),
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        result = pkigen("renew", spec, "apiserver", "-C", root, "--yes")
        assert result.code == 1
        assert f"{root} is in use by `pkigen apply` (process {holder.pid}, since " in result.error
        # A reader waits for a writer that is about to end, and then says who it is.
        result = pkigen("status", "-C", root)
        assert (result.code, f"process {holder.pid}" in result.error) == (1, True)
        holder.send_signal(signal.SIGKILL)
    with Store.open_reading(root):
        # The lock file still names the dead one, who is not to blame for what a reader holds.
        result = pkigen("renew", spec, "apiserver", "-C", root, "--yes")
        assert result.error == f"{root} is in use by another pkigen"
    assert pkigen("renew", spec, "apiserver", "-C", root, "--yes").code == 0
    assert pkigen("verify", "-C", root).code == 0


def test_readers_do_not_disturb_each_other(memory: Path) -> None:
    place = memory / "readers"
    place.mkdir()
    (place / "home.yaml").write_text(HOME)
    root = place / "home"
    assert pkigen("init", place / "home.yaml", "-C", root).code == 0
    running = [start("verify", "-C", root) for _ in range(3)]
    for each in running:
        out, err = each.communicate()
        assert (each.returncode, err) == (0, ""), out
