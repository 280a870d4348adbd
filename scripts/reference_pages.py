# noqa: INP001 -- a script imports it
"""Pages of the reference that are made from the program: commands, certificates, fields, exit codes, metrics."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from pkigen.cli.problems import ExitCode
from pkigen.crypto.profiles import PROFILES
from pkigen.desired.certificates import CERTIFICATES, USER, Holder, KubeconfigTo
from pkigen.desired.connections import edges
from pkigen.desired.inventory import derive
from pkigen.desired.readers import Reading
from pkigen.spec.json_schema import json_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pkigen.crypto.names import SANs
    from pkigen.desired.certificates import CertificateKind
    from pkigen.desired.inventory import Inventory
    from pkigen.spec.model import ClusterSpec
    from scripts.described_commands import DescribedCommand

_MEANINGS = {
    ExitCode.DONE: "done",
    ExitCode.FAILED: "failed; the tree is unchanged, unless the message says otherwise, or the reader of the result has gone away",
    ExitCode.USAGE: "wrong usage, or an invalid spec; nothing was written",
    ExitCode.CHANGES_PENDING: "changes are pending (`plan --exit-code`), or there is something to do (`next`)",
    ExitCode.FINDINGS: "findings (`verify`, `status --fail-within`)",
    ExitCode.INTERRUPTED: "interrupted; what was not committed is undone",
    ExitCode.TERMINATED: "terminated; what was not committed is undone",
}
EXIT_CODES = [(str(int(code)), _MEANINGS[code]) for code in ExitCode]

_HOLDERS = {
    Holder.AUTHORITY: "the authority (`pki/`), and every node as a trust bundle",
    Holder.ETCD_MEMBER: "every node that runs etcd",
    Holder.CONTROL_PLANE: "every control-plane node",
    Holder.FIRST_CONTROL_PLANE: "the first control-plane node",
    Holder.NODE: "every node",
    Holder.KUBE_PROXY: "every node, where `runtime` is `systemd`",
    Holder.PERSON: "the authority (`users/`), to be handed out",
}
_READINGS = {
    Reading.AT_START: "at start",
    Reading.ON_CHANGE: "when it changes",
    Reading.BY_CLIENT_GO: "at start, or every five minutes by its version",
    Reading.BY_KUBECONFIG: "at start; with `kubeconfigs: files` within five minutes",
    Reading.PER_CONNECTION: "for every new connection",
}
_CERTIFICATES_HEAD = """\
# Every certificate

Made by `python scripts/reference.py` from the table that everything is issued from (`pkigen/desired/certificates.py`).
Names are kubeadm's; they are what `spec.certificates.overrides`, `pkigen renew` and `pkigen explain` call them. The SANs
are those on `cp-1` of [examples/ha.yaml](../../examples/ha.yaml). Paths are below `certificates.directory`, which is
`/etc/kubernetes/pki`, and kubeconfigs are in `/etc/kubernetes`, unless they say otherwise.

Every leaf has digitalSignature, critical, and keyEncipherment with an RSA key alone; basicConstraints with CA false,
critical; subjectKeyIdentifier and authorityKeyIdentifier. Every CA has keyCertSign, cRLSign and digitalSignature,
critical, and basicConstraints with CA true, critical. Leaves are valid for `certificates.validity`, CAs for
`certificates.caValidity`, people for 30 days, or as `overrides` and `users[].validity` say; nothing outlives its CA.
"""
_MORE_CERTIFICATES = """
## Certificates that not every cluster has

| certificate | subject | signed by | when there is one |
|---|---|---|---|
| `root` | `CN=NAME-root` | itself | with `certificates.authority: offline` and `caKeys: site`, on the machine that is never connected; the CAs are then intermediates with path length 0 ([air gaps](../how-to/air-gap.md)) |
| `ca-next`, `ca-previous` | `CN=kubernetes-g2`, … | itself | while a CA is rotated, likewise for etcd and the front proxy ([rotation](../how-to/rotation.md)) |
| `ca-cross` | that of the new CA | the old CA | from *prepare* to *finish*: servers send it, so that clients that know the old CA alone go on |
| people with a key of their own | `CN=USER,O=GROUP` | `ca` | by `pkigen access sign` ([people](../how-to/access.md)) |

No certificates, but kept with them: `sa.key` and `sa.pub` sign and verify service account tokens, `encryption.key` is for Secrets in
etcd, `bundle.key` signs what is carried to nodes.
"""


def certificates_page(cluster: ClusterSpec) -> str:
    """What each certificate is, who reads it, and what stops when it ends."""
    verifiers = _verifiers(derive(cluster))
    parts = [_CERTIFICATES_HEAD]
    for kind in (*CERTIFICATES, USER):
        parts.append(f"\n## {kind.name}\n\n| | |\n|---|---|")
        parts += [f"| {name} | {text} |" for name, text in _facts(kind, cluster, verifiers) if text]
    return "\n".join(parts) + "\n" + _MORE_CERTIFICATES


def _verifiers(inventory: Inventory) -> dict[str, set[str]]:
    """Who verifies certificates of each kind, by the connections of a cluster; of a CA, all below it."""
    found: dict[str, set[str]] = {}
    for edge in edges(inventory):
        for name, verifier in (
            (edge.server_certificate, edge.client.component),
            (edge.client_certificate, edge.server.component),
        ):
            if name is not None:
                kind = inventory.certificates[name].kind
                found.setdefault(kind.name, set()).add(verifier)
                found.setdefault(kind.issuer_name or "", set()).add(verifier)
    return found


def _facts(
    kind: CertificateKind, cluster: ClusterSpec, verifiers: dict[str, set[str]]
) -> Iterator[tuple[str, str]]:
    node = cluster.spec.nodes[0]
    yield "subject", f"`{_subject(kind)}`"
    yield "signed by", f"`{kind.issuer_name}`" if kind.issuer_name else "itself"
    yield "usages", _usages(kind)
    yield "SANs", _names(kind, kind.sans(cluster, node))
    yield "who has it", _HOLDERS[kind.holder]
    yield "file", _file(kind)
    yield "presented by", f"`{kind.given_by}`" if kind.given_by else ""
    read = [f"{each.component}, {_READINGS[each.reading]}" for each in kind.readers]
    if not PROFILES[kind.profile].is_ca:
        yield "read by", "; ".join(read) or "no component; whoever it is handed to"
    known = {re.sub(r"^user .*", "people", each) for each in verifiers.get(kind.name, ())}
    yield "verified by", "; ".join(sorted(known))
    yield "rights", kind.rights
    yield "when it ends", kind.stops


def _subject(kind: CertificateKind) -> str:
    name = kind.common_name.replace("{node}", "NODE") or "USER"
    groups = kind.organizations or (("GROUP…",) if kind.holder is Holder.PERSON else ())
    return ",".join([f"CN={name}", *(f"O={each}" for each in groups)])


def _usages(kind: CertificateKind) -> str:
    row = PROFILES[kind.profile]
    if row.is_ca:
        return "keyCertSign, cRLSign, digitalSignature"
    names = {"1.3.6.1.5.5.7.3.1": "serverAuth", "1.3.6.1.5.5.7.3.2": "clientAuth"}
    return ", ".join(names[each.dotted_string] for each in row.extended_key_usages)


def _names(kind: CertificateKind, sans: SANs) -> str:
    found = [*sans.dns_names, *map(str, sans.addresses)]
    if PROFILES[kind.profile].is_ca:
        return f"`{kind.common_name}`"
    if not found:
        return "none"
    return f"{', '.join(f'`{each}`' for each in found)}; more by {kind.san_field}"


def _file(kind: CertificateKind) -> str:
    place = kind.place
    if isinstance(place, KubeconfigTo):
        return "`users/USER.conf`" if kind.holder is Holder.PERSON else f"`{kind.name}`, a kubeconfig"
    directory = f"{place.directory}/" if place.directory else ""
    return f"`{directory}{place.stem}.crt`, `{directory}{place.stem}.key`"


_FIELDS_HEAD = """\
# Every field of the spec

Made by `python scripts/reference.py` from the model that specs are read with; [cluster.schema.json](../cluster.schema.json)
is the same for editors. [The spec](spec.md) explains what belongs together. A field without a default that is not
required is absent unless it is given.
"""


def fields_page() -> str:
    """Every field by its path, with type, default and meaning."""
    schema = json_schema()
    lines = [_FIELDS_HEAD, "| field | type | default | meaning |", "|---|---|---|---|"]
    for path, field, is_required in _fields("", schema, schema["$defs"], ()):
        default = "required" if is_required else _default(field)
        lines.append(f"| `{path}` | {_type(field, schema['$defs'])} | {default} | {_cell(field)} |")
    return "\n".join(lines) + "\n"


def _fields(
    path: str, schema: dict[str, Any], known: dict[str, Any], within: tuple[str, ...]
) -> Iterator[tuple[str, dict[str, Any], bool]]:
    required = set(schema.get("required", ()))
    for name, field in schema.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        yield here, field, name in required
        for suffix, reference in _inner(field):
            if reference not in within:
                yield from _fields(f"{here}{suffix}", known[reference], known, (*within, reference))


def _inner(field: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The objects that a field holds: how its path goes on, and the definition's name."""
    if "$ref" in field:
        yield "", field["$ref"].rpartition("/")[2]
    for option in (*field.get("anyOf", ()), *field.get("oneOf", ()), *field.get("allOf", ())):
        yield from _inner(option)
    if isinstance(field.get("items"), dict):
        yield from ((f"[]{suffix}", name) for suffix, name in _inner(field["items"]))
    if isinstance(field.get("additionalProperties"), dict):
        inner = _inner(field["additionalProperties"])
        yield from ((f".NAME{suffix}", name) for suffix, name in inner)


def _type(field: dict[str, Any], known: dict[str, Any]) -> str:
    if "$ref" in field:
        return _type(known[field["$ref"].rpartition("/")[2]], known)
    if "enum" in field:
        return " \\| ".join(_code(each) for each in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    options = [*field.get("anyOf", ()), *field.get("oneOf", ())]
    if options:
        kinds = [_type(each, known) for each in options if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    kind = str(field.get("type", "any"))
    return f"list of {_type(field['items'], known)}" if kind == "array" and "items" in field else kind


def _default(field: dict[str, Any]) -> str:
    default = field.get("default")
    if default is None or default in ([], {}) or isinstance(default, dict):
        return ""
    return _code(default)


def _code(value: object) -> str:
    """A value as a spec has it; an empty one in quotes, since Markdown has no empty code."""
    if isinstance(value, bool | list):
        return f"`{json.dumps(value)}`"
    return f"`{value}`" if value != "" else '`""`'


def _cell(field: dict[str, Any]) -> str:
    return " ".join(str(field.get("description", "")).split()).replace("|", "\\|")


def exit_codes_page() -> str:
    """What the program's exit codes mean."""
    lines = [
        "# Exit codes\n\nMade by `python scripts/reference.py`. Results go to standard output, everything else to",
        "standard error.\n\n| code | meaning |\n|---|---|",
        *(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES),
    ]
    return "\n".join(lines) + "\n"


def commands_page(commands: Sequence[DescribedCommand]) -> str:
    """Every command with its arguments and options."""
    lines, shown = [_COMMANDS_HEAD], ""
    for command in commands:
        if command.panel != shown:
            lines.append(f"\n## {command.panel.capitalize()}")
            shown = command.panel
        lines.append(f"\n### {command.words}\n\n```text\n{command.usage}\n```\n\n{command.summary}")
        lines += [f"\n{paragraph}" for paragraph in command.paragraphs]
        rows = (*command.arguments, *command.options)
        if rows:
            lines.append("\n| | |\n|---|---|")
        lines += [f"| `{_bar(row.written)}` | {_bar(row.text)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _bar(text: str) -> str:
    """In a cell, also in code, a bar would end it."""
    return text.replace("|", "\\|")


_COMMANDS_HEAD = """\
# Every command

Made by `python scripts/reference.py` from the program itself, as are the pages of `man` (`man pkigen`, `man pkigen-apply`,
…). Which cluster a command works on is in [operations](../how-to/operations.md#which-cluster-and-which-spec). Before
the command may stand `-C DIR`, `-v`, `--color` and `--debug`; `--help` is known to all. What commands end with is in
[exit codes](exit-codes.md), what `-o json` prints in [structured output](output.md).
"""

_METRICS_HEAD = """\
# Every metric

Made by `python scripts/reference.py` from what `pkigen status -o prometheus` prints of a cluster with a service account's
token. Names and labels are those of x509-certificate-exporter, versions 3 and 4, and `cluster`.
[Monitoring](../how-to/monitoring.md#alerts-and-a-dashboard) has the alerts and the dashboard.

| metric | meaning | labels |
|---|---|---|
"""
_SAMPLE = re.compile(r"^(\w+)\{(.*)\} ")


def metrics_page(printed: str) -> str:
    """Every metric of a text in Prometheus' form, with its labels."""
    meanings = dict(re.findall(r"^# HELP (\w+) (.*)$", printed, re.MULTILINE))
    labels: dict[str, list[str]] = {name: [] for name in meanings}
    for line in printed.splitlines():
        if found := _SAMPLE.match(line):
            known = labels[found[1]]
            known += [each for each in re.findall(r'(\w+)="', found[2]) if each not in known]
    rows = (
        f"| `{name}` | {meaning} | {', '.join(f'`{each}`' for each in labels[name])} |"
        for name, meaning in meanings.items()
    )
    return _METRICS_HEAD + "\n".join(rows) + "\n"
