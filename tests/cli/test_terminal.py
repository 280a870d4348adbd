"""Real processes: terminals, pipes, signals, and what a bug looks like."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pkigen.cli.app import run
from pkigen.cli.progress import Bars, pace
from pkigen.cli.system import System
from tests.cli.program import HOME, NOW, PROGRAM, InProcess, contents, photograph, program

FORTY = HOME.replace(
    "  users:",
    "".join(
        f"    - {{name: worker-{number}, roles: [worker], addresses: [10.0.1.{number}]}}\n"
        for number in range(1, 40)
    )
    + "  users:",
)
SLOW = FORTY.replace("  users:", "  certificates: {keyAlgorithm: RSA-2048}\n  users:")
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "NO_COLOR"},
    "TERM": "xterm-256color",
    "COLUMNS": "100",
}


IMPATIENT = (
    sys.executable,
    "-c",
    "import pkigen.cli.progress as shown; shown._PATIENCE = 0; from pkigen.__main__ import main; main()",
)
"""The program, with its bars from the beginning: how long work takes is another matter on each machine."""


class Terminal:
    """A program on a pseudo-terminal."""

    def __init__(self, *arguments: object, program: tuple[str, ...] = PROGRAM) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:  # pragma: no cover -- becomes another program
            os.execve(sys.executable, [*program, *map(str, arguments)], ENVIRONMENT)  # noqa: S606
        self.text = ""

    @property
    def words(self) -> str:
        """What it has shown, without colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self.text)

    def until(self, pattern: str, *, seconds: float = 60) -> bool:
        """Read until something is shown; whether it was."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            if time.monotonic() > end or not self._read():
                return bool(re.search(pattern, self.text))
        return True

    def type(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def interrupt(self, keys: str = "") -> None:
        """Type Ctrl-C once the program sleeps, waiting for what is typed: as late as a person does."""
        while Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2][0] != "S":
            time.sleep(0.05)
        self.type(f"{keys}\x03")

    def end(self) -> int:
        """Read the rest, and give the exit code."""
        while self._read():
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self) -> bool:
        with suppress(OSError):
            if select.select([self.fd], [], [], 30)[0] and (data := os.read(self.fd, 65536)):
                self.text += data.decode(errors="replace")
                return True
        return False


def test_a_person_answers_on_a_terminal(spec: Path, tree: Path) -> None:
    spec.write_text(FORTY)
    before = contents(tree)
    for answer, code in (("n\n", 1), ("y\n", 0)):
        terminal = Terminal("apply", spec, "-C", tree)
        assert terminal.until(r"apply these changes\? \[y/N\]: ")
        assert contents(tree) == before
        terminal.type(answer)
        assert terminal.end() == code, terminal.text
        assert ("error: not applied" in terminal.words) is (code == 1)
    assert contents(tree) != before


def test_bars_on_a_terminal_only(tmp_path: Path) -> None:
    (tmp_path / "forty.yaml").write_text(FORTY)
    terminal = Terminal("init", tmp_path / "forty.yaml", "-C", tmp_path / "shown", program=IMPATIENT)
    assert terminal.end() == 0
    assert "issuing and rendering" in terminal.text
    assert "verifying" in terminal.text
    assert "━" in terminal.text
    for command, what in (("plan", "looking at"), ("status", "looking at"), ("verify", "verifying objects")):
        terminal = Terminal(command, "-C", tmp_path / "shown", program=IMPATIENT)
        assert terminal.end() == 0
        assert what in terminal.text
    piped = program("init", tmp_path / "forty.yaml", "-C", tmp_path / "piped")
    assert (piped.code, piped.err) == (0, "")
    assert "━" not in piped.out
    assert "\x1b" not in piped.out


class Tmux:
    """A terminal as a person has it, which knows what is on its screen and whether it shows its cursor."""

    def __init__(self, folder: Path, command: str) -> None:
        self._tmux = ("tmux", "-S", str(folder / "tmux"))
        subprocess.run([*self._tmux, "new-session", "-d", "-x", "150", "-y", "50", command], check=True)

    def _said(self, *words: str) -> str:
        return subprocess.run([*self._tmux, *words], check=True, capture_output=True, text=True).stdout

    def screen_with(self, text: str) -> str:
        """The screen once it shows a text; one that never comes fails the test after two minutes."""
        screen = ""
        for _ in range(600):
            screen = self._said("capture-pane", "-p")
            if text in screen:
                return screen
            time.sleep(0.2)
        pytest.fail(f"{text!r} is not shown:\n{screen}")

    def shows_cursor(self) -> bool:
        return self._said("display-message", "-p", "#{cursor_flag}").strip() == "1"

    def type(self, *keys: str) -> None:
        self._said("send-keys", *keys)

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False)


needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


@needs_tmux
@pytest.mark.parametrize("content", [HOME, FORTY], ids=["small", "with bars"])
def test_what_a_person_sees_in_tmux(tmp_path: Path, spec: Path, content: str) -> None:
    spec.write_text(content)
    terminal = Tmux(
        tmp_path, f"{shlex.join(IMPATIENT)} init {spec} -C {tmp_path / 'home'}; echo exit=$?; sleep 600"
    )
    try:
        screen = terminal.screen_with("exit=")
        assert "exit=0" in screen
        assert "cluster home, Kubernetes v1.36.2" in screen
        assert "%" not in screen, "the bars are gone at the end"
        assert "━" not in screen
        assert terminal.shows_cursor()
    finally:
        terminal.close()


@needs_tmux
def test_the_cursor_comes_back_after_an_interruption(tmp_path: Path, spec: Path) -> None:
    spec.write_text(SLOW)
    # The shell has to outlive the interrupt to say how the program ended.
    terminal = Tmux(
        tmp_path,
        "sh -c "
        + shlex.quote(
            f"trap : INT; {shlex.join(IMPATIENT)} init {spec} -C {tmp_path / 'home'}; "
            "echo exit=$?; exec sleep 600"
        ),
    )
    try:
        assert "issuing" in terminal.screen_with("issuing")
        assert not terminal.shows_cursor(), "the control: a bar hides it"
        terminal.type("C-c")
        screen = terminal.screen_with("exit=")
        assert "exit=130" in screen
        assert "error: interrupted" in screen
        assert "━" not in screen
        assert terminal.shows_cursor()
    finally:
        terminal.close()


def test_bars_end_whole_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    for steps, error in ((100, None), (87, None), (40, ValueError)):
        # Nothing is taken away while it is read: pytest's own capture loses what a thread writes meanwhile.
        screen = io.StringIO()
        monkeypatch.setattr(sys, "stderr", screen)
        with suppress(ValueError), Bars(after=0).over("verifying", 100) as step:
            end = time.monotonic() + 60
            while "\x1b[?25l" not in screen.getvalue():
                assert time.monotonic() < end, "no bar is shown"
                time.sleep(0.001)
            for _ in range(steps):
                step()
            if error is not None:
                raise error
        shown = screen.getvalue()
        assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1
        assert shown.rfind("\x1b[?25h") > shown.rfind("━")


def test_what_is_over_soon_needs_no_bar(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with Bars(after=3600).over("verifying", 100) as step:
        step()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("done", "seconds", "shown"),
    [
        (0, 5.0, ""),
        (3, 0.0, ""),
        (250, 10.0, "25/s, 30 s left"),
        (1, 10.0, "10 s each, 3 h left"),
        (999, 2.0, "500/s, 0 s left"),
        (2, 20.0, "10 s each, 3 h left"),
        (100, 100.0, "1/s, 15 min left"),
        (10, 600.0, "60 s each, 16 h left"),
        (1000, 10.0, "100/s, 0 s left"),
    ],
)
def test_the_rate_and_the_time_left(done: int, seconds: float, shown: str) -> None:
    assert pace(done, 1000, seconds) == shown


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a process has made something."""
    for _ in range(3000):
        if path.exists():
            return
        assert process.poll() is None, "it ended before"
        time.sleep(0.01)
    pytest.fail(f"{path} was never made")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "terminated"]
)
def test_a_signal_leaves_nothing_half_made(tmp_path: Path, number: signal.Signals, code: int) -> None:
    spec, root = tmp_path / "slow.yaml", tmp_path / "home"
    spec.write_text(SLOW)
    with subprocess.Popen(
        [*PROGRAM, "init", spec, "-C", root],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        wait_for(root / ".pkigen/staging", process)
        # As a terminal does: to the children that make keys, too.
        os.killpg(process.pid, number)
        out, err = process.communicate(timeout=300)
    assert process.returncode == code, err
    assert out == ""
    way = f"`pkigen status -C {root}` shows which"
    assert err.splitlines() == [
        "error: interrupted",
        f"hint: the PKI directory is unchanged, or the change is complete: {way}",
    ]
    assert not root.exists()
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_a_signal_during_a_change(tmp_path: Path, spec: Path, tree: Path) -> None:
    before = contents(tree)
    spec.write_text(SLOW)
    with subprocess.Popen(
        [*PROGRAM, "apply", spec, "-C", tree, "--yes", "--force"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for(tree / ".pkigen/staging", process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert contents(tree) == before
    assert not (tree / ".pkigen/staging").exists()
    assert tmp_path.exists()


def test_ctrl_c_at_the_question(spec: Path, tree: Path) -> None:
    spec.write_text(FORTY)
    before = contents(tree)
    terminal = Terminal("apply", spec, "-C", tree)
    assert terminal.until(r"\[y/N\]: ")
    terminal.interrupt()
    assert terminal.end() == 130
    assert "\nerror: interrupted\r\nhint: " in terminal.words
    assert contents(tree) == before


@pytest.mark.parametrize("typed", ["", "half of it"])
def test_ctrl_c_at_the_prompt_for_a_passphrase(tree: Path, tmp_path: Path, typed: str) -> None:
    (tmp_path / "media").mkdir()
    terminal = Terminal("airgap", "bundle", "create", "-C", tree, "--out", tmp_path / "media")
    assert terminal.until("passphrase for .*: ")
    terminal.interrupt(typed)
    assert terminal.end() == 130
    assert "\nerror: interrupted\r\nhint: " in terminal.words
    assert not typed or typed not in terminal.words


@pytest.mark.parametrize(
    "command", [["status"], ["validate", "--schema", "spec"], ["init", "--example", "ha"], ["plan", "--help"]]
)
def test_a_reader_that_goes_away(tree: Path, command: list[str]) -> None:
    shell = f"{' '.join([*PROGRAM, *command])} | head -1; echo ${{PIPESTATUS[0]}} >&2"
    done = subprocess.run(
        ["bash", "-c", shell], cwd=tree, capture_output=True, text=True, check=True, env=ENVIRONMENT
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr.strip() in {"0", "1", "141"}, "nothing is said but the exit code"


def test_a_pipe_gets_utf_8_whatever_the_locale(tree: Path) -> None:
    latin = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    command = [*PROGRAM, "status", "-C", tree, "--timeline"]
    done = subprocess.run(command, env=latin, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "█ to come" in done.stdout.decode()


def test_a_result_that_cannot_be_written(tree: Path) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 -- a device
        done = subprocess.run(
            [*PROGRAM, "status", "-C", tree], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == (
        "error: the result cannot be written to standard output: no space left on device\n"
        f"hint: if a change was made, it stays: `pkigen rollback --list -C {tree}` shows the last one\n"
    )


class Broken(Exception):  # noqa: N818 -- what it is called is shown
    """Something that nobody expects."""


def broken_entropy(_: int) -> bytes:
    raise Broken("-")


def test_a_bug_is_told_in_one_line(capsys: pytest.CaptureFixture[str], spec: Path, tmp_path: Path) -> None:
    system = System(clock=lambda: NOW, entropy=broken_entropy)
    root = tmp_path / "home"
    assert run(["init", str(spec), "-C", str(root)], system=system) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "error: internal error: Broken\n"
        "hint: this is a bug: run again as `pkigen --debug …` and report the traceback\n"
    )
    assert run(["--debug", "init", str(spec), "-C", str(root)], system=system) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("Traceback (most recent call last):")
    assert "in broken_entropy" in captured.err
    assert "BEGIN" not in captured.err
    assert not root.exists()
    # The wish for a traceback does not outlive its run.
    assert run(["init", str(spec), "-C", str(root)], system=system) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_debug_shows_where_an_error_comes_from(tmp_path: Path, spec: Path) -> None:
    done = subprocess.run(
        [*PROGRAM, "--debug", "init", spec, "-C", tmp_path / "no/home"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert f"error: the directory {tmp_path}/no does not exist" in done.stderr


def test_no_core_file_could_hold_a_key() -> None:
    code = (
        "import resource, sys; sys.argv = ['pkigen', 'init', '--example', 'single']\n"
        "from pkigen.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: print(resource.getrlimit(resource.RLIMIT_CORE), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "(0, 0)\n"


def test_reading_commands_touch_nothing(pkigen: InProcess, tree: Path, spec: Path) -> None:
    before = photograph(tree)
    for line in (["status", "-C", tree], ["verify", "-C", tree], ["plan", spec, "-C", tree]):
        assert pkigen(*line).code == 0
    assert pkigen("rollback", "-C", tree, "--list").code == 0
    assert photograph(tree) == before


def test_an_incomplete_installation(tmp_path: Path, spec: Path) -> None:
    code = (
        "import sys; sys.modules['jinja2'] = None\n"
        "from pkigen.cli.app import run\n"
        f"sys.exit(run(['init', {str(spec)!r}, '-C', {str(tmp_path / 'home')!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: jinja2 cannot be imported\nhint: the installation is incomplete")
