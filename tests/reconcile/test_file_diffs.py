"""What changes in rendered files is shown as a diff, and no secret is ever in it."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.hashes import SHA256

from pkigen.crypto.issuance import certificate_pem
from pkigen.desired.inventory import derive
from pkigen.desired.items import DesiredFile
from pkigen.desired.rendering import Renderer
from pkigen.reconcile.file_diffs import (
    WITHHELD,
    changed_fields,
    content_diff,
    encryption_diff,
    file_diff,
    kubeconfig_diff,
)
from tests.samples import CP1, W1, World, spec
from tests.state.test_generations import root

if TYPE_CHECKING:
    from collections.abc import Callable

API_SERVER = "nodes/cp-1/etc/kubernetes/manifests/kube-apiserver.yaml"
ENCRYPTION = "nodes/cp-1/etc/kubernetes/pki/encryption-config.yaml"
SCHEDULER = "nodes/cp-1/etc/kubernetes/scheduler.conf"
CANARY = "Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5ISEhISE="


def diffs(world: World) -> dict[str, list[str]]:
    return {path: list(action.diff) for action in world.plan().changes for path in action.paths[:1]}


def encryption(settings: dict[str, object]) -> tuple[DesiredFile, Renderer]:
    """The file of a cluster that encrypts so, and what renders it."""
    inventory = derive(spec(CP1, encryption=settings))
    (item,) = (each for each in inventory.items if isinstance(each, DesiredFile) and each.path == ENCRYPTION)
    return item, Renderer(inventory)


def changed(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith((" ", "@@"))]


def test_an_unchanged_tree_has_no_diff(world: World) -> None:
    assert diffs(world) == {}


def test_a_manifest_whose_flags_change(world: World) -> None:
    arguments = [{"name": "profiling", "value": "false"}]
    world.follow(spec(CP1, W1, encryption={}, apiServer={"extraArgs": arguments}))
    lines = diffs(world)[API_SERVER]
    assert lines[0].startswith("@@ -")
    assert changed(lines) == ["+    - --profiling=false"]


def test_a_manifest_that_somebody_edited(world: World) -> None:
    text = world.read(API_SERVER).decode()
    world.path(API_SERVER).write_text(text.replace("--secure-port=6443", "--secure-port=6444"))
    assert changed(diffs(world)[API_SERVER]) == ["-    - --secure-port=6444", "+    - --secure-port=6443"]


def test_a_private_key_in_a_manifest_is_withheld(world: World) -> None:
    key = world.read("pki/ca.key").decode()
    text = world.read(API_SERVER).decode()
    inner = "".join(f"    {line}\n" for line in key.splitlines())
    world.path(API_SERVER).write_text(f"{text}{inner}# after\n")
    lines = changed(diffs(world)[API_SERVER])
    assert f"-    {WITHHELD}" in lines
    assert "-# after" in lines
    assert not any(part in "\n".join(lines) for part in key.splitlines()[1:-1])


def test_a_password_in_a_url_is_withheld(world: World) -> None:
    variables = [
        {"name": "HTTPS_PROXY", "value": "http://joe:S3cretPw@proxy.example.com:3128"},
        {"name": "NO_PROXY", "value": "10.0.0.0/8,example.com:443"},
    ]
    world.follow(spec(CP1, W1, encryption={}, apiServer={"extraEnvs": variables}))
    lines = "\n".join(changed(diffs(world)[API_SERVER]))
    assert f"http://joe:{WITHHELD}@proxy.example.com:3128" in lines
    assert "10.0.0.0/8,example.com:443" in lines
    assert "S3cretPw" not in lines


def test_a_kubeconfig_with_another_server(world: World) -> None:
    endpoint = {"controlPlaneEndpoint": "api.example.com:6443"}
    world.follow(spec(CP1, W1, encryption={}, **endpoint))
    admin = "nodes/cp-1/etc/kubernetes/admin.conf"
    assert changed(diffs(world)[admin]) == [
        "-    server: https://10.0.0.11:6443",
        "+    server: https://api.example.com:6443",
    ]


def test_keys_are_not_in_any_diff(world: World) -> None:
    """Every private file of the tree is a canary: no line of one stands in a diff, plain or in base64."""
    secrets = {
        line
        for path in (*world.root.rglob("*.key"), world.path("pki/encryption.key"))
        for line in path.read_text().splitlines()
        if len(line) > 20 and "KEY-----" not in line
    }
    assert len(secrets) > 10
    for path in world.root.rglob("*"):
        if path.is_file() and path.suffix in {".conf", ".yaml"} and "nodes" in path.parts:
            path.write_text(path.read_text().replace("kind:", "genre:", 1) + "# more\n")
    world.follow(spec(CP1, W1, encryption={}, controlPlaneEndpoint="api.example.com:6443"))
    found = diffs(world)
    assert {ENCRYPTION, API_SERVER, SCHEDULER} <= {path for path, lines in found.items() if lines}
    text = "\n".join(line for lines in found.values() for line in lines)
    shown = text + "".join(
        base64.b64decode(word).decode(errors="replace") for word in re.findall(r"[A-Za-z0-9+/]{40,}=*", text)
    )
    assert not [secret for secret in secrets if secret in shown]


def test_an_encryption_configuration_shows_what_is_around_its_keys(world: World) -> None:
    world.follow(spec(CP1, W1, encryption={"resources": ["secrets", "configmaps"]}))
    lines = diffs(world)[ENCRYPTION]
    assert changed(lines) == ["+  - configmaps"]


@pytest.mark.parametrize("first", ["+Xq1", "4yLB", "0nxJ", "kXq1", "/Xq1"])
def test_a_key_that_begins_like_a_number_is_the_same_key(first: str) -> None:
    """YAML wants the one in quotes, and the other not."""
    secret = f"{first}eNVmNIcheGa1kcPI8OH2DQZaQ6FowgviskLq4w8=".encode()
    (before, earlier), (after, renderer) = (
        encryption({"resources": kinds}) for kinds in (["secrets"], ["secrets", "configmaps"])
    )
    text = earlier.file(before, secrets=(secret,))
    assert (b'"%b"' % secret in text) is (first[0] in "+40")
    lines = encryption_diff(text, after, renderer, known=(secret,), keys=1)
    assert changed(list(lines)) == ["+  - configmaps"]


@pytest.mark.parametrize(
    "foreign",
    [
        f"      - name: mine\n        secret: {CANARY}\n",
        f"# {CANARY}\n",
        f"  - kms: {{name: x, endpoint: 'unix://{CANARY}'}}\n",
        f"  - {CANARY}\n",
    ],
)
def test_a_foreign_line_of_an_encryption_configuration_is_withheld(world: World, foreign: str) -> None:
    path = world.path(ENCRYPTION)
    path.write_text(path.read_text() + foreign)
    lines = changed(diffs(world)[ENCRYPTION])
    assert WITHHELD in "".join(lines)
    assert CANARY not in "".join(lines)


PASSWORDS: list[tuple[str, Callable[[str], str]]] = [
    ("token", lambda text: text.replace("    client-key-data", f"    token: {CANARY}\n    client-key-data")),
    ("password", lambda text: f"{text}    password: '{CANARY}'\n"),
    ("block", lambda text: f"{text}    token: |\n      {CANARY}\n"),
    ("folded", lambda text: f"{text}    password: >-\n      {CANARY}\n\n      name: {CANARY}\n"),
    ("flow", lambda text: text.replace("  user:\n", f"  user: {{token: {CANARY}}}\n  other:\n")),
    ("comment", lambda text: f"# {CANARY}\n{text}"),
    ("server", lambda text: text.replace("server: https://", f"server: https://me:{CANARY}@")),
    ("exec", lambda text: f"{text}    exec:\n      env:\n      - name: PASS\n        value: {CANARY}\n"),
    ("flow exec", lambda text: f"{text}    exec: {{args: ['{CANARY}']}}\n"),
    ("data", lambda text: re.sub("authority-data: .*", f"authority-data: {CANARY}", text)),
    ("quoted", lambda text: f'{text}    "token": "{CANARY}"\n'),
]


@pytest.mark.parametrize("change", [each for _, each in PASSWORDS], ids=[name for name, _ in PASSWORDS])
def test_whatever_else_a_kubeconfig_holds_is_withheld(world: World, change: Callable[[str], str]) -> None:
    path = world.path(SCHEDULER)
    path.write_text(change(path.read_text()))
    (action,) = [each for each in world.plan().changes if SCHEDULER in each.paths]
    diff = kubeconfig_diff(path.read_bytes(), b"kind: Config\n")
    assert diff
    assert CANARY not in "\n".join((*diff, *action.diff))


def test_certificates_of_a_kubeconfig_are_named_by_fingerprint(world: World) -> None:
    text = world.read(SCHEDULER)
    lines = changed(list(kubeconfig_diff(b"", text)))
    (anchors,) = [line for line in lines if "certificate-authority-data" in line]
    assert re.fullmatch(r"\+    certificate-authority-data: [0-9a-f]{16}", anchors)
    assert f"+    client-key-data: {WITHHELD}" in lines


# -- line by line ---------------------------------------------------------------------------------------


def shown(text: str) -> list[str]:
    """What a diff shows of a kubeconfig that was another."""
    lines = kubeconfig_diff(b"kind: Other", f"kind: Config\n{text}".encode())
    return [line[1:] for line in lines if line.startswith("+")][1:]


@pytest.mark.parametrize(
    "line",
    [
        *("apiVersion: v1", "current-context: a@b", "- name: a", "  - context:", "    cluster: b", "  user:"),
        *("clusters:", "contexts:", "users:", "namespace: web", '    server: "https://[fd00::1]:6443"'),
        *(
            "    certificate-authority: /etc/kubernetes/pki/ca.crt",
            "client-certificate: /a",
            "client-key: /a",
        ),
    ],
)
def test_what_pkigen_writes_and_is_public_is_shown(line: str) -> None:
    assert shown(line) == [line]


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("    client-key-data: AAAA", f"    client-key-data: {WITHHELD}"),
        ("  token: AAAA", f"  token: {WITHHELD}"),
        ("- token: AAAA", f"- token: {WITHHELD}"),
        ("  extensions: []", f"  extensions: {WITHHELD}"),
        ("  server: https://a@b", f"  server: {WITHHELD}"),
        ("  server: |", f"  server: {WITHHELD}"),
        ("  name: {a: b}", f"  name: {WITHHELD}"),
        ("  certificate-authority: ca.crt", f"  certificate-authority: {WITHHELD}"),
        ("  client-key: /a b", f"  client-key: {WITHHELD}"),
        ("  certificate-authority-data: AA?A", f"  certificate-authority-data: {WITHHELD}"),
        ("  certificate-authority-data: AAAA", f"  certificate-authority-data: {WITHHELD}"),
        ("   'AAAA'", f"   {WITHHELD}"),
    ],
)
def test_of_everything_else_only_the_place_is_shown(line: str, instead: str) -> None:
    assert shown(line) == [instead]


def test_what_stands_below_a_withheld_field_goes_with_it() -> None:
    text = "  token: |\n    AAAA\n\n    name: AAAA\n  name: a\n  exec:\n  - name: b\nkind: c\n  name: d"
    assert shown(text) == [
        f"  token: {WITHHELD}",
        "  name: a",
        f"  exec: {WITHHELD}",
        "  - name: b",
        "kind: c",
        "  name: d",
    ]


def test_an_empty_line_is_shown_as_it_is() -> None:
    assert shown("name: a\n\nname: b") == ["name: a", "", "name: b"]


def test_certificates_by_their_fingerprints_one_after_the_other() -> None:
    first, second = root("a").certificate, root("b").certificate
    data = base64.b64encode(certificate_pem(first, second)).decode()
    names = " ".join(each.fingerprint(SHA256()).hex()[:16] for each in (first, second))
    assert shown(f"  client-certificate-data: {data}") == [f"  client-certificate-data: {names}"]
    # What is no base64 in one piece is not looked through for a certificate.
    for damaged in (f"{data[:40]}!{data[40:]}", f"{data[:40]}é{data[40:]}"):
        withheld = [f"  client-certificate-data: {WITHHELD}"]
        assert shown(f"  client-certificate-data: {damaged}") == withheld
    assert shown('  certificate-authority-data: ""') == [
        "  certificate-authority-data: (made by this change)"
    ]


PEM = "  -----BEGIN {0}-----\n  AAAA\n  -----END {0}-----\n"


@pytest.mark.parametrize("kind", ["PRIVATE KEY", "RSA PRIVATE KEY"])
def test_a_private_key_is_withheld_from_its_first_line_to_its_last(kind: str) -> None:
    text = f"a\n{PEM.format(kind)}b\n{PEM.format(kind)}c"
    assert file_diff(b"", text.encode())[1:] == (
        *("-", "+a", f"+  {WITHHELD}", "+b", f"+  {WITHHELD}", "+c"),
    )


def test_so_is_one_on_a_single_line_or_without_its_beginning() -> None:
    text = "a -----BEGIN PRIVATE KEY-----AAAA-----END PRIVATE KEY-----\nb\n-----END PRIVATE KEY-----\nc"
    assert file_diff(b"", text.encode())[1:] == ("-", f"+{WITHHELD}", "+b", "+c")


def test_a_line_that_only_speaks_of_one_is_shown() -> None:
    assert file_diff(b"", b"# no PRIVATE KEY----- here")[1:] == ("-", "+# no PRIVATE KEY----- here")


def test_a_certificate_is_no_private_key() -> None:
    text = PEM.format("CERTIFICATE").removesuffix("\n")
    assert file_diff(b"", text.encode())[1:] == ("-", *(f"+{line}" for line in text.split("\n")))


def test_a_hunk_has_three_lines_around_what_differs() -> None:
    lines = [str(each) for each in range(20)]
    assert content_diff("\n".join(lines), "\n".join([*lines[:10], "x", *lines[11:]])) == (
        *("@@ -8,7 +8,7 @@", " 7", " 8", " 9", "-10", "+x", " 11", " 12", " 13"),
    )
    assert content_diff("a", "a") == ()


def test_a_text_that_is_too_long_is_not_compared() -> None:
    assert content_diff("a\n" * 5000, "b") == ("@@ 5001 lines become 1, too many to be compared here @@",)
    assert content_diff("b", "\n" * 4000) == ("@@ 1 lines become 4001, too many to be compared here @@",)
    assert content_diff("\n" * 3999, "\n" * 3998)[0].startswith("@@ -")


# -- by the names of the fields -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("a: 1", "a: 1", "text"),
        ("...", "", "text"),
        ("server: a", "server: b", "server"),
        ("server: a\nkind: c", "server: b\nnamespace: d", "server, namespace, kind"),
        ("- name: a\nuser: a", "- name: b\ncluster: a\ncurrent-context: a", "names"),
        ("certificate-authority-data: a", "certificate-authority: a", "CA"),
        ("client-certificate-data: a", "client-certificate: a", "certificate"),
        ("client-key-data: a", "client-key: a", "key, client-key-data"),
        # A placeholder stands in place of the secret that is there.
        ("client-key-data: a\ntoken: a", "client-key-data: b\ntoken: b", "text"),
        ("client-key-data: a", "client-key-data: b\ntoken: b", "token"),
        ("server: a\nserver: a", "server: a", "server"),
    ],
)
def test_what_differs_between_kubeconfigs_is_told_by_field(before: str, after: str, said: str) -> None:
    assert changed_fields(before.encode(), after.encode()) == said


# -- with other keys ------------------------------------------------------------------------------------

FIRST, SECOND = (base64.b64encode(bytes([each]) * 32) for each in (1, 2))


def configured(*keys: bytes, known: tuple[bytes | None, ...], new: int) -> list[str]:
    """What differs when a configuration with some keys gets as many as are asked for."""
    item, renderer = encryption({})
    return changed(
        list(encryption_diff(renderer.file(item, secrets=keys), item, renderer, known=known, keys=new))
    )


def test_the_same_keys_are_no_difference() -> None:
    assert configured(FIRST, SECOND, known=(FIRST, SECOND), new=2) == []


def test_a_key_more_shows_that_there_is_one_and_not_which() -> None:
    name, secret = configured(FIRST, known=(FIRST, None), new=2)
    assert name.startswith("+      - name: key-")
    assert secret == f"+        secret: {WITHHELD}"
    assert configured(FIRST, known=(FIRST, SECOND), new=2) == [name, secret]


def test_keys_in_another_order_or_of_nobody_are_withheld() -> None:
    shown_twice = [f"-      {WITHHELD}", f"-        {WITHHELD}"]
    assert WITHHELD == "(withheld)"
    assert configured(FIRST, SECOND, known=(FIRST,), new=1) == shown_twice
    assert configured(SECOND, known=(FIRST,), new=1)[:2] == shown_twice
    # An encrypted authority may know none of them.
    assert configured(FIRST, known=(), new=1)[:2] == shown_twice


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    assert file_diff(b"\xff\n", b"a\n") == ("@@ -1,2 +1,2 @@", "-\ufffd", "+a", " ")
