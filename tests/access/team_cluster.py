"""The cluster of these tests, and requests that nobody but a test would make."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from tests.cli.program import InProcess, Result

UID = "3f2b0c1e-8d5a-4c07-9b6e-2a1d4f5e6c7b"
SPEC = f"""\
apiVersion: pkigen/v1
kind: Cluster
metadata: {{name: team}}
spec:
  kubernetesVersion: v1.36.2
  nodes:
    - {{name: cp-1, roles: [control-plane], addresses: [10.0.0.11]}}
    - {{name: worker-1, roles: [worker], addresses: [10.0.0.21]}}
  users:
    - name: dev1
      groups: [platform-team]
      validity: 168h
      namespace: web
      clusterRoles: [view]
      roles:
        - namespace: web
          rules:
            - {{apiGroups: [apps], resources: [deployments], verbs: [patch]}}
            - {{apiGroups: [apps], resources: ["*/scale"], verbs: [update]}}
      rules: [{{nonResourceURLs: [/metrics*], verbs: [get]}}]
    - {{name: plain}}
    - {{name: glass, groups: ["system:masters"], allowSystemIdentity: runbook 7}}
    - {{name: deployer, kind: ServiceAccount, namespace: web, uid: {UID},
       roles: [{{namespace: web, clusterRole: edit}}]}}
    - {{name: robot, kind: ServiceAccount, namespace: web}}
  iam:
    - {{arn: "arn:aws:iam::111122223333:role/Admin", username: "admin:{{{{SessionName}}}}", groups: [admins],
       clusterRoles: [view]}}
    - {{arn: "arn:aws:iam::111122223333:user/div/Bob", username: bob, clusterRoles: [edit]}}
"""


@dataclass(frozen=True, slots=True)
class TeamCluster:
    """Where a test works, and how it runs pkigen there."""

    folder: Path
    pkigen: InProcess

    @property
    def spec(self) -> Path:
        return self.folder / "team.yaml"

    @property
    def tree(self) -> Path:
        return self.folder / "team"

    def run(self, *arguments: object) -> Result:
        return self.pkigen(*arguments)

    def sign(self, request: bytes | Path, *arguments: object, user: str = "ann") -> Result:
        path = request if not isinstance(request, bytes) else self.write("client.csr", request)
        return self.run("access", "sign", "--csr", path, "--user", user, *arguments, "-C", self.tree)

    def write(self, name: str, content: bytes | str) -> Path:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def ledger(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.tree / ".pkigen/ledger.jsonl").read_text().splitlines()]

    def replace(self, old: str, new: str) -> None:
        text = self.spec.read_text()
        assert old in text
        self.spec.write_text(text.replace(old, new))

    def at(self, now: datetime) -> None:
        """From now on it is then."""
        self.pkigen.now = now

    def assert_clean(self) -> None:
        """The tree is what the spec asks for, and every record of it is true."""
        verified = self.run("verify", "-C", self.tree, self.spec)
        assert verified.code == 0, verified.out
        planned = self.run("plan", self.spec, "-C", self.tree, "--exit-code")
        assert planned.code == 0, planned.out
