#!/usr/bin/env python3
"""Makes what the documentation says of the program from the program itself.

python scripts/reference.py

docs/reference gets every command, certificate, field of the spec, exit code, metric, and what versions of
Kubernetes change; docs/man the pages of `man`; docs/*.schema.json are the JSON Schemas for editors and for
other programs; docs/adr/README.md lists the decisions.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path

from pkigen.cli.app import run
from pkigen.cli.fleet.documents import fleet_schema
from pkigen.cli.reports.plan_document import plan_schema
from pkigen.cli.reports.rollout_document import rollout_schema
from pkigen.desired.certificates import CERTIFICATES
from pkigen.spec.json_schema import json_schema
from pkigen.spec.loader import load
from scripts import reference_pages, version_page
from scripts.described_commands import described
from scripts.man_pages import man_pages

TOP = Path(__file__).resolve().parent.parent
DOCS = TOP / "docs"
_MEASURED = """\
apiVersion: pkigen/v1
kind: Cluster
metadata: {name: prod}
spec:
  kubernetesVersion: v1.36.2
  nodes:
    - {name: cp-1, roles: [control-plane], addresses: [10.0.0.11]}
  users:
    - {name: dev1, credential: external}
    - {name: bot, kind: ServiceAccount, namespace: web, uid: 3f2b0c1e-8d5a-4c07-9b6e-2a1d4f5e6c7b}
"""


def decisions() -> str:
    """The list of the decisions, by the headings of their pages."""
    lines = [
        "# Decisions\n",
        "What a reader of the code would otherwise have to guess: what was decided, why, what else was",
        "possible, and what it costs.\n",
    ]
    for page in sorted((DOCS / "adr").glob("[0-9]*.md")):
        heading = page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{heading.removeprefix('ADR ')}]({page.name})")
    return "\n".join(lines) + "\n"


def metrics() -> str:
    """What `pkigen status -o prometheus` prints of a cluster that has all that there are metrics of."""
    with tempfile.TemporaryDirectory(prefix="pkigen-metrics-") as name, contextlib.chdir(name):
        Path("prod.yaml").write_text(_MEASURED, encoding="utf-8")
        _printed("init", "prod.yaml")
        _printed("access", "csr", "new", "--user", "dev1", "--out", ".")
        _printed("access", "sign", "-C", "prod", "--csr", "dev1.csr", "--user", "dev1", "--out", "dev1.crt")
        return _printed("status", "-C", "prod", "-o", "prometheus")


def _printed(*arguments: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        code = run(list(arguments))
    if code:
        sys.exit(f"error: pkigen {' '.join(arguments)} ended with {code}")
    return out.getvalue()


def generated() -> dict[str, str]:
    """Every page and file that is made here, by its path below docs/."""
    commands = described()
    cluster = load(TOP / "examples" / "ha.yaml", kinds=CERTIFICATES).spec
    return {
        "reference/commands.md": reference_pages.commands_page(commands),
        "reference/certificates.md": reference_pages.certificates_page(cluster),
        "reference/fields.md": reference_pages.fields_page(),
        "reference/exit-codes.md": reference_pages.exit_codes_page(),
        "reference/versions.md": version_page.versions_page(),
        "reference/metrics.md": reference_pages.metrics_page(metrics()),
        "adr/README.md": decisions(),
        "cluster.schema.json": json.dumps(json_schema(), indent=2) + "\n",
        "plan.schema.json": json.dumps(plan_schema(), indent=2) + "\n",
        "rollout.schema.json": json.dumps(rollout_schema(), indent=2) + "\n",
        "fleet.schema.json": json.dumps(fleet_schema(), indent=2) + "\n",
        **{f"man/{name}": text for name, text in man_pages(commands).items()},
    }


def main() -> int:
    """Write them all, and remove the pages of commands that are gone."""
    os.umask(0o022)
    texts = generated()
    for name, text in texts.items():
        (DOCS / name).parent.mkdir(exist_ok=True)
        (DOCS / name).write_text(text, encoding="utf-8")
    for page in (DOCS / "man").iterdir():
        if f"man/{page.name}" not in texts:
            page.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
