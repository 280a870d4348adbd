"""A site, an offline side, and the medium between them, each a directory of its own."""

from __future__ import annotations

import io
import re
import shutil
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pkigen.airgap.carrier.bundle_key import BundleKey
from pkigen.airgap.carrier.envelope import unwrap
from pkigen.airgap.carrier.requests import AnswerSet, RequestSet, read_answers, read_requests, write_answers
from pkigen.cli.app import run
from pkigen.cli.system import System
from tests.cli.program import Result, assert_civil
from tests.samples import Unsynced

if TYPE_CHECKING:
    from pathlib import Path

    from pkigen.store import FileSystem

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)

SPEC = """\
apiVersion: pkigen/v1
kind: Cluster
metadata:
  name: prod
spec:
  kubernetesVersion: v1.36.2
  kubelet: {rotateCertificates: false}
  certificates: {authority: offline, caKeys: KEYS}
  nodes:
    - {name: cp-1, roles: [control-plane], addresses: [127.0.0.1]}
    - {name: worker-1, roles: [worker], addresses: [10.0.0.21]}
  users:
    - {name: dev1, groups: [dev]}
"""
VARIANTS = ("site", "offline")
CAS = ("ca", "etcd-ca", "front-proxy-ca")


@dataclass(kw_only=True)
class OfflineSides:
    """Both sides, each with its copy of the spec; nothing but the medium's files is ever in both."""

    place: Path
    now: datetime = NOW
    results: list[Result] = field(default_factory=list)

    @property
    def site(self) -> Path:
        """The PKI directory."""
        return self.place / "site" / "prod"

    @property
    def authority(self) -> Path:
        """The offline authority's directory."""
        return self.place / "vault" / "prod-authority"

    @property
    def spec(self) -> Path:
        """The site's spec."""
        return self.place / "site" / "prod.yaml"

    @property
    def spec_there(self) -> Path:
        """The offline side's spec."""
        return self.place / "vault" / "prod.yaml"

    @property
    def request_file(self) -> Path:
        """The request on the medium."""
        return self.place / "medium" / "prod.request"

    @property
    def answer_file(self) -> Path:
        """The answer on the medium."""
        return self.place / "medium" / "prod.answer"

    @classmethod
    def new(cls, place: Path, keys: str, spec: str = SPEC) -> OfflineSides:
        """Both machines with the spec, and nothing else."""
        for name in ("site", "vault", "medium"):
            (place / name).mkdir(parents=True)
        places = cls(place=place)
        for path in (places.spec, places.spec_there):
            path.write_text(spec.replace("KEYS", keys))
        return places

    def copy(self, place: Path) -> OfflineSides:
        """The same again, to be changed."""
        shutil.copytree(self.place, place, symlinks=True)
        return replace(self, place=place, results=[])

    def pkigen(self, *arguments: object, filesystem: FileSystem | None = None) -> Result:
        """Run a command line in this process, with this place's clock; a simulated crash passes through."""
        out, err = io.StringIO(), io.StringIO()
        system = System(clock=lambda: self.now, filesystem=filesystem or Unsynced())
        with redirect_stdout(out), redirect_stderr(err):
            code = run([str(each) for each in arguments], system=system)
        result = Result(code=int(code), out=out.getvalue(), err=err.getvalue())
        assert_civil(result)
        self.results.append(result)
        return result

    def done(self, *arguments: object) -> Result:
        """Run what must succeed."""
        result = self.pkigen(*arguments)
        assert result.code == 0, result
        return result

    # -- the steps ------------------------------------------------------------------------------------

    def make_authority(self) -> Result:
        """At the offline side, once."""
        return self.done("airgap", "authority", "init", self.spec_there, "--authority", self.authority)

    def init(self) -> Result:
        """At the site, once; its request goes on the medium."""
        result = self.done("init", self.spec, "-C", self.site)
        shutil.move(f"{self.site}.request", self.request_file)
        return result

    def ask(self, *names: str) -> Result:
        """At the site, later."""
        return self.done(
            *("airgap", "authority", "request", self.spec, *names, "-C", self.site),
            *("--request", self.request_file),
        )

    def sign_arguments(self) -> tuple[object, ...]:
        """At the offline side."""
        return (
            *("airgap", "authority", "sign", self.request_file, "--spec", self.spec_there),
            *("--authority", self.authority, "--yes"),
        )

    def sign(self, *more: object) -> Result:
        """At the offline side; the answer goes on the medium."""
        return self.done(*self.sign_arguments(), *more)

    def accept_arguments(self) -> tuple[object, ...]:
        """At the site."""
        return ("airgap", "authority", "accept", self.answer_file, self.spec, "-C", self.site, "--yes")

    def accept(self, *more: object) -> Result:
        """At the site."""
        return self.done(*self.accept_arguments(), *more)

    @property
    def site_pin(self) -> str:
        """What the site prints for the offline side to compare."""
        return fingerprint_in(self.results, "site key")

    @property
    def authority_pin(self) -> str:
        """What the offline side prints for the site to compare."""
        return fingerprint_in(self.results, "authority key")

    def answered(self) -> OfflineSides:
        """All of the first round but its last step: the answer is on the medium."""
        self.make_authority()
        self.init()
        self.sign("--pin", self.site_pin)
        (self.place / "pins").write_text(f"{self.site_pin}\n{self.authority_pin}\n")
        return self

    def made(self) -> OfflineSides:
        """The whole first round."""
        self.answered()
        self.accept("--pin", self.authority_pin)
        return self

    @property
    def pins(self) -> tuple[str, str]:
        """The two fingerprints as somebody wrote them down: the site's, the authority's."""
        site, authority = (self.place / "pins").read_text().split()
        return site, authority

    # -- what is on the medium ------------------------------------------------------------------------

    def requests(self) -> RequestSet:
        """What the request says."""
        return read_requests(unwrap(self.request_file.read_bytes(), pin=None))

    def answers(self) -> AnswerSet:
        """What the answer says."""
        return read_answers(unwrap(self.answer_file.read_bytes(), pin=None))

    def forge(self, answers: AnswerSet) -> None:
        """An answer as the authority's own key would sign it."""
        key = BundleKey.of_file((self.authority / "pki/bundle.key").read_bytes())
        self.answer_file.write_bytes(write_answers(answers, key))


def fingerprint_in(results: list[Result], label: str) -> str:
    """A fingerprint that one of these runs has printed."""
    for result in results:
        found = re.search(rf"^{label}: ([a-z2-7-]{{29}}) ", result.out, re.MULTILINE)
        if found is not None:
            return found[1]
    raise AssertionError(label)


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    """Mode and bytes of every file below a directory, but for the lock's own file and the index."""
    return {
        str(path.relative_to(root)): (path.stat().st_mode, path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name not in {"lock", "index"}
    }
