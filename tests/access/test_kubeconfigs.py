"""Kubeconfigs merged as kubectl merges them, and read as kubectl reads them."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings, strategies

from pkigen.access.kubeconfigs import Section, load
from pkigen.crypto.issuance import CertificateContent, extensions
from pkigen.crypto.keys import load_private
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from pkigen.errors import AccessError
from tests.access.places import UID, Place, name, plain, request
from tests.cli.program import NOW
from tests.desired.rendering.programs import find

if TYPE_CHECKING:
    from tests.cli.program import Result

A = """\
apiVersion: v1
kind: Config
current-context: ""
clusters:
- {name: kubernetes, cluster: {server: "https://a:6443", certificate-authority: pki/ca.crt}}
- {name: "1e3", cluster: {server: "https://e:6443", insecure-skip-tls-verify: true}}
contexts:
- {name: one, context: {cluster: kubernetes, user: admin, namespace: web}}
users:
- {name: admin, user: {client-certificate: pki/a.crt, client-key: /abs/a.key}}
- {name: words, user: {token: "yes", as: root, as-groups: [a, "no"], as-user-extra: {k: [v]}}}
extensions:
- {name: x, extension: {a: 1, b: [true, null, 1.5]}}
"""
B = """\
apiVersion: v1
kind: Config
current-context: two
clusters:
- name: kubernetes
  cluster: {server: "https://b:6443", tls-server-name: api, proxy-url: "socks5://p:1080"}
contexts:
- {name: one, context: {cluster: kubernetes, user: other}}
- {name: two, context: {cluster: kubernetes, user: bot}}
- {name: lost, context: {cluster: nowhere, user: nobody}}
users:
- {name: bot, user: {tokenFile: ../bot.token}}
preferences: {colors: true}
extensions:
- {name: x, extension: {other: 2}}
"""


@pytest.fixture
def two(place: Place) -> tuple[Path, Path]:
    for file, content in (("a/config", A), ("b/config", B)):
        (place.folder / file).parent.mkdir()
        (place.folder / file).write_text(content)
    (place.folder / "a/pki").mkdir()
    for file in ("ca.crt", "a.crt"):
        (place.folder / "a/pki" / file).write_bytes((place.tree / "pki/ca.crt").read_bytes())
    return place.folder / "a/config", place.folder / "b/config"


def viewed(*paths: Path, flags: tuple[str, ...] = ()) -> Any:
    """What a real kubectl makes of kubeconfigs."""
    done = subprocess.run(
        [find("kubectl"), "config", "view", "--raw", "-o", "json", *flags],
        env={**os.environ, "KUBECONFIG": os.pathsep.join(map(str, paths)), "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def absolute(config: Any, folder: Path) -> Any:
    """kubectl shows paths as they are written; it resolves them when it uses them."""
    for section, kind in (("clusters", "cluster"), ("users", "user")):
        for entry in config[section]:
            for key in ("certificate-authority", "client-certificate", "client-key"):
                if key in entry[kind]:
                    entry[kind][key] = os.path.normpath(folder / entry[kind][key])
    return config


def test_a_merge_is_what_kubectl_makes_of_the_same_files(place: Place, two: tuple[Path, Path]) -> None:
    result = place.run("kubeconfig", "merge", *two)
    assert result.code == 0, result.err
    merged = place.write("merged", result.out)
    theirs = absolute(viewed(*two, flags=("--merge",)), two[0].parent)
    (bot,) = [user["user"] for user in theirs["users"] if user["name"] == "bot"]
    bot["tokenFile"] = str(place.folder / "bot.token")
    assert viewed(merged) == theirs
    assert yaml.safe_load(result.out)["current-context"] == "two"
    for said in (
        f"the cluster 'kubernetes' is different in {two[0]} and {two[1]} (certificate-authority, proxy-url, ",
        f"server, tls-server-name): {two[0]} decides",
        f"the context 'one' is different in {two[0]} and {two[1]}",
        f"the context 'two' of {two[1]} now means the cluster 'kubernetes' of {two[0]}: rename one",
        "the context 'lost' names the cluster 'nowhere', which no file has",
        "the context 'lost' names the user 'nobody', which no file has",
    ):
        assert said in result.err


# -- any two files -----------------------------------------------------------------------------------------

NAMES = ["a", "b", "users:dev1", "yes", "1e3", "null", "", ":", "x y", "é"]
_names = strategies.sampled_from(NAMES)
_data = strategies.sampled_from(["", "eA==", "Q0EK"])
_paths = strategies.sampled_from(["f", "sub/f", "./f", "../f", "sub/../f"])
_extensions = strategies.just([{"name": "e", "extension": {"a": 1, "b": [1.5, None, True, "no"]}}])


def _either(field: str) -> strategies.SearchStrategy[dict[str, str]]:
    """A file, or its content, or neither."""
    return strategies.one_of(
        strategies.just({}),
        strategies.builds(lambda path: {field: path}, _paths),
        strategies.builds(lambda data: {f"{field}-data": data}, _data),
    )


def _fields(*parts: strategies.SearchStrategy[dict[str, Any]], **optional: Any) -> Any:
    rest = strategies.fixed_dictionaries(
        {},
        optional={key.replace("_", "-"): strategies.sampled_from(values) for key, values in optional.items()},
    )
    return strategies.builds(lambda *all_: {k: v for each in all_ for k, v in each.items()}, *parts, rest)


_clusters = _fields(
    _either("certificate-authority"), server=["https://a:6443", "https://[::1]", ""], proxy_url=["socks5://p:1"],
    tls_server_name=["k", ""], insecure_skip_tls_verify=[True, False], disable_compression=[True],
)  # fmt: skip
_contexts = _fields(cluster=NAMES, user=NAMES, namespace=["web", ""])
_users = _fields(
    _either("client-certificate"), _either("client-key"), token=["t", "yes", "123", ""], as_uid=["7"],
    as_groups=[["g", "no"]], as_user_extra=[{"k": ["v", "w"]}], username=["joe"], **{"as": ["root"]},
)  # fmt: skip


def _section(key: str, fields: Any) -> Any:
    entry = strategies.builds(lambda name, content: {"name": name, key: content}, _names, fields)
    return strategies.none() | strategies.lists(entry, max_size=4, unique_by=lambda each: each["name"])


_files = strategies.fixed_dictionaries(
    {"clusters": _section("cluster", _clusters), "users": _section("user", _users)},
    optional={
        "contexts": _section("context", _contexts),
        "kind": strategies.just("Config"),
        "current-context": _names,
        "preferences": strategies.sampled_from([{}, {"colors": True}]),
        "extensions": _extensions,
    },
)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(strategies.lists(_files | strategies.just({}), min_size=1, max_size=3))
def test_a_flat_merge_of_any_files_is_what_kubectl_makes_of_them(
    place: Place, contents: list[dict[str, Any]]
) -> None:
    paths = []
    place.write("f", "at the top")
    for number, content in enumerate(contents):
        folder = place.folder / f"of-{number}"
        (folder / "sub").mkdir(parents=True, exist_ok=True)
        (folder / "f").write_text(f"of {number}")
        (folder / "sub/f").write_text(f"below {number}")
        paths.append(folder / "config")
        paths[-1].write_text(json.dumps(content) if content else "# nothing\n")
    result = place.run("kubeconfig", "merge", "--flatten", *paths)
    assert result.code == 0, result.err
    assert viewed(place.write("merged", result.out)) == viewed(*paths, flags=("--flatten",))


def test_a_current_context_of_nobody(place: Place) -> None:
    result = place.run("kubeconfig", "merge", place.write("c", "current-context: x\n"))
    assert "the current context 'x' is in none of the files" in result.err


def test_the_order_decides(place: Place, two: tuple[Path, Path]) -> None:
    content = yaml.safe_load(place.run("kubeconfig", "merge", *reversed(two)).out)
    servers = {entry["name"]: entry["cluster"]["server"] for entry in content["clusters"]}
    assert servers == {"1e3": "https://e:6443", "kubernetes": "https://b:6443"}
    assert content["extensions"] == [{"name": "x", "extension": {"other": 2}}]


def test_a_file_with_itself_is_no_conflict(place: Place, two: tuple[Path, Path]) -> None:
    result = place.run("kubeconfig", "merge", two[0], two[0])
    assert result.err == ""
    assert viewed(place.write("merged", result.out)) == absolute(viewed(two[0]), two[0].parent)


def test_flattened_as_kubectl_does(place: Place, two: tuple[Path, Path]) -> None:
    text = two[0].read_text().replace("/abs/a.key", "pki/ca.crt")
    two[0].write_text(text)
    result = place.run("kubeconfig", "merge", "--flatten", two[0])
    assert viewed(place.write("merged", result.out)) == viewed(two[0], flags=("--flatten",))
    two[0].write_text(text.replace("client-key: ", "client-key-data: AAAA, client-key: "))
    assert "has both client-key and its data" in place.run("kubeconfig", "merge", "--flatten", two[0]).error
    two[0].write_text(A)
    assert "/abs/a.key cannot be read" in place.run("kubeconfig", "merge", "--flatten", two[0]).error


def test_into_a_file_whose_paths_are_relative_to_it(place: Place, two: tuple[Path, Path]) -> None:
    out = two[0].parent / "all"
    result = place.run("kubeconfig", "merge", *two, "--out", out)
    assert (result.code, result.out) == (0, "")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    content = yaml.safe_load(out.read_text())
    clusters = {entry["name"]: entry["cluster"] for entry in content["clusters"]}
    users = {entry["name"]: entry["user"] for entry in content["users"]}
    assert clusters["kubernetes"]["certificate-authority"] == "pki/ca.crt"
    assert users["admin"] == {"client-certificate": "pki/a.crt", "client-key": "/abs/a.key"}
    assert users["bot"]["tokenFile"] == str(place.folder / "bot.token")


@pytest.mark.parametrize("key", ["exec", "auth-provider"])
def test_programs_are_refused_unless_allowed(place: Place, key: str) -> None:
    fields = {"exec": "{apiVersion: v1, command: ./aws, args: [a]}", "auth-provider": "{name: gcp}"}[key]
    path = place.write("c", f"kind: Config\nusers: [{{name: u, user: {{{key}: {fields}}}}}]\n")
    result = place.run("kubeconfig", "merge", path)
    assert (result.code, result.out) == (1, "")
    assert result.error == f"the user 'u' of {path} runs a program ({key})"
    allowed = place.run("kubeconfig", "merge", path, "--allow-exec")
    assert key in allowed.out


BAD = {
    "[]": "it is no mapping",
    "kind: Pod": "its kind is not Config",
    "apiVersion: v2": "its kind is not Config",
    "clusters: {}x": "clusters is no list",
    "clusters: {a: b}": "clusters is no list",
    "clusters: [a]": "an entry of clusters is no mapping",
    "clusters: [{name: 7}]": "a name in clusters is no text",
    "clusters: [{name: a}, {name: a}]": "clusters has the name 'a' twice",
    "clusters: [{name: a, cluster: b}]": "clusters[a] is no mapping",
    "clusters: [{name: a, cluster: {server: 7}}]": "server of cluster 'a' is no text",
    "clusters: [{name: a, cluster: {insecure-skip-tls-verify: 'yes'}}]": "is neither true nor false",
    "clusters: [{name: a, cluster: {certificate-authority-data: '*'}}]": "is not base64",
    "clusters: [{name: a, cluster: {extensions: 7}}]": "extensions of cluster 'a' is no list",
    "users: [{name: a, user: {as-groups: a}}]": "as-groups of user 'a' is no list of texts",
    "users: [{name: a, user: {exec: a}}]": "exec of user 'a' is no mapping",
    "current-context: 7": "current-context is no text",
    "preferences: 7": "preferences is no mapping",
    "kind: Config\n---\nkind: Config": "holds 2 YAML documents",
    "users: [{name: a, user: {token: yes}}]": "kubectl reads yes as true",
    "users: [{name: a, user: {token: 0_12}}]": "kubectl reads 0_12 as a number",
    "users: [{name: n}]": "kubectl reads n as false",
    "clusters: [{name: a, cluster: {insecure-skip-tls-verify: on}}]": "kubectl reads on as true",
    "a: [": "is not YAML",
    "kind: Config\nkind: Config": "is given twice",
    "a: &a [*a]": "stands within its own anchor",
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_kubeconfig(place: Place, text: str) -> None:
    path = place.write("c", text)
    for command in ("merge", "show"):
        result = place.run("kubeconfig", command, path)
        assert (result.code, result.out) == (1, "")
        assert str(path) in result.error
        if "}x" not in text:
            assert BAD[text] in result.error


def test_bounds_and_missing_files(place: Place) -> None:
    big = place.write("c", b" " * ((4 << 20) + 1))
    assert "larger than 4 MiB" in place.run("kubeconfig", "merge", big).error
    assert "no such file" in place.run("kubeconfig", "merge", place.folder / "none").error
    assert "is a directory" in place.run("kubeconfig", "show", place.folder).error


def test_what_kubectl_ignores_is_named_and_left_out(place: Place) -> None:
    path = place.write(
        "c", "kind: Config\nfoo: 1\nclusters: [{name: a, cluster: {servr: x, server: null}}]\n"
    )
    result = place.run("kubeconfig", "merge", path)
    assert f"note: {path}: foo is not understood by kubectl and left out" in result.err
    assert "clusters[a].servr is not understood" in result.err
    assert yaml.safe_load(result.out)["clusters"] == [{"name": "a", "cluster": {}}]
    shown = place.run("kubeconfig", "show", path).out
    assert "foo is not understood by kubectl" in shown
    assert "it has no context: kubectl would talk to localhost:8080" in shown


def test_kubectl_loads_what_pkigen_writes(place: Place) -> None:
    place.sign(
        request(plain("users:dev1")), "--kubeconfig", place.folder / "s", "--key-path", "k", user="users:dev1"
    )
    place.run("token", "--service-account", "web/deployer", "--kubeconfig", place.folder / "t", place.tree)
    place.run("bootstrap-token", place.tree, "--out", place.folder)
    written = [place.folder / "s", place.folder / "t", place.folder / "bootstrap-kubelet.conf"]
    written += list((place.tree / "users").glob("*.conf"))
    for path in written:
        theirs, ours = viewed(path), load(path.read_bytes(), path)
        assert theirs["current-context"] == ours.current_context
        assert {entry["name"] for entry in theirs["users"]} == set(ours.entries[Section.USER])


# -- show --------------------------------------------------------------------------------------------------


def shown(place: Place, content: str, *, later: timedelta = timedelta()) -> str:
    place.pkigen.now = NOW + later
    result = place.run("kubeconfig", "show", place.write("shown", content))
    assert result.code == 0, result.err
    return result.out


def test_who_it_is_until_when_and_what_breaks_next(place: Place) -> None:
    text = (place.tree / "users/dev1.conf").read_text()
    assert shown(place, text).splitlines() == [
        "context dev1@team (current)",
        "  cluster:    team at https://10.0.0.11:6443",
        "  trusts:     CN=kubernetes until 2036-11-19 (in 10y)",
        "  namespace:  web",
        "  credential: client certificate",
        "  user:       dev1",
        "  groups:     platform-team, system:authenticated",
        "  until:      2026-11-29 03:00 UTC (in 7d)",
        "  next:       2026-11-29 03:00 UTC the client certificate ends, and the API server answers 401",
    ]
    late = shown(place, text, later=timedelta(days=8))
    assert "until:      2026-11-29 03:00 UTC (1d ago)" in late
    assert "broken:     the client certificate expired 2026-11-29 03:00 UTC" in late
    assert "broken now: since 2026-11-29 03:00 UTC the client certificate ends" in late
    assert "is not valid before" in shown(place, text, later=-timedelta(days=1))
    assert "PRIVATE" not in late


def test_a_token_is_explained_and_not_shown(place: Place) -> None:
    text = (place.tree / "users/web.deployer.conf").read_text()
    out = shown(place, text)
    for said in (
        "credential: service account token",
        "user:       system:serviceaccount:web:deployer",
        "groups:     system:serviceaccounts, system:serviceaccounts:web, system:authenticated",
        "issued by https://kubernetes.default.svc.cluster.local",
        "next:       2026-12-22 03:00 UTC the service account token ends",
    ):
        assert said in out
    assert yaml.safe_load(text)["users"][0]["user"]["token"] not in out
    assert "broken:     the token expired" in shown(place, text, later=timedelta(days=31))


def entry(user: str, cluster: str = "server: 'https://x:6443'") -> str:
    return (
        "kind: Config\ncurrent-context: c\n"
        f"clusters: [{{name: k, cluster: {{{cluster}}}}}]\n"
        "contexts: [{name: c, context: {cluster: k, user: u}}]\n"
        f"users: [{{name: u, user: {{{user}}}}}]\n"
    )


def jwt(**claims: object) -> str:
    parts = ({"alg": "RS256"}, claims)
    return ".".join(
        (*(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts), "A")
    )


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ("token: abcdef.0123456789abcdef", "user:       system:bootstrap:abcdef"),
        ("token: opaque", "only the cluster knows whose it is"),
        (f"token: {jwt(sub='joe', exp=1)}", "broken:     the token expired 1970-01-01"),
        (f"token: {jwt(sub='system:serviceaccount:n:a')}", "has no UID in it: the API server refuses it"),
        (
            "token: "
            + jwt(
                sub="system:serviceaccount:n:a", **{"kubernetes.io/serviceaccount/service-account.uid": UID}
            ),
            "it never ends",
        ),
        ("exec: {command: aws}", "kubectl runs a program that gets it (exec)"),
        ("auth-provider: {name: gcp}", "kubectl no longer has since 1.26"),
        ("username: joe, password: x", "API servers no longer take since 1.19"),
        ("as: root", "user:       system:anonymous"),
        ("token: opaque, as: root, as-groups: [a, b]", "acts as:    root in a, b, if it may impersonate"),
        ("tokenFile: token", "only the cluster knows whose it is"),
        ("tokenFile: none", "its token"),
        ("tokenFile: none, token: opaque", "only the cluster knows"),
        ("client-certificate: none", "broken:     its certificate"),
        ("client-certificate: token", "its certificate is empty"),
        ("client-certificate: ca.crt", "is not for clients: its extendedKeyUsage lacks clientAuth"),
        ("client-certificate: ca.crt, token: x", "a token is there, too"),
        ("client-certificate: ca.crt, client-key: none", "its private key"),
        ("client-certificate: ca.crt, client-key: token", "is not a PEM private key"),
        ("client-certificate: ca.crt, client-key: sa.key", "is another's"),
        ("client-certificate: server.crt", "is not for clients: its extendedKeyUsage lacks clientAuth"),
    ],
)
def test_credentials_of_all_kinds(place: Place, user: str, said: str) -> None:
    place.write("token", "opaque\n")
    server = "nodes/cp-1/etc/kubernetes/pki/apiserver.crt"
    for file, source in (("ca.crt", "pki/ca.crt"), ("sa.key", "pki/sa.key"), ("server.crt", server)):
        place.write(file, (place.tree / source).read_bytes())
    assert said in shown(place, entry(user))


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        ("insecure-skip-tls-verify: true", "the server is not verified at all"),
        ("server: x", "trusts:     the CAs of this machine's system"),
        ("certificate-authority: none", "trusts:     its CA"),
        ("certificate-authority: empty", "trusts:     its CA is empty"),
        ("proxy-url: 'http://p'", "through the proxy http://p"),
        ("tls-server-name: api", "server must be named api"),
    ],
)
def test_clusters_of_all_kinds(place: Place, cluster: str, said: str) -> None:
    place.write("empty", "")
    assert said in shown(place, entry("token: x", cluster))


def test_what_a_context_lacks(place: Place) -> None:
    out = shown(place, "kind: Config\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n")
    for said in ("it has no current context", "'k' is not in this file", "'u' is not in this file"):
        assert said in out
    assert "'d' is not there" in shown(place, "current-context: d\ncontexts: [{name: c, context: {}}]\n")


def test_an_ed25519_key_is_no_fault(place: Place) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    asked = x509.CertificateSigningRequestBuilder().subject_name(plain()).sign(key, None)
    out, form = place.folder / "ann.conf", serialization.PrivateFormat.PKCS8
    place.sign(asked.public_bytes(serialization.Encoding.PEM), "--kubeconfig", out, "--key-path", "ed.key")
    place.write("ed.key", key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    assert "broken" not in place.run("kubeconfig", "show", out).out


# -- user kubeconfig ---------------------------------------------------------------------------------------


def test_a_certificate_that_came_back(place: Place) -> None:
    place.sign(request(), "--out", place.folder / "ann.crt", "--group", "dev")
    result = place.run("user", "kubeconfig", "--certificate", place.folder / "ann.crt", place.tree)
    assert result.code == 0, result.err
    content = yaml.safe_load(result.out)
    assert content["users"][0]["user"]["client-key"] == "ann.key"
    assert "groups:     dev, system:authenticated" in result.err
    assert "its private key must come to" in result.err
    out = place.folder / "ann.conf"
    options = ("--key-path", "/k", "--namespace", "web", "--out", out)
    assert (
        place.run("user", "kubeconfig", "--certificate", place.folder / "ann.crt", *options, place.tree).code
        == 0
    )
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    viewed(out)


def _key_and_certificate(place: Place, stem: str) -> Path:
    """What the owner has: a key, and the certificate that came back for it."""
    place.run("csr", "new", "--user", stem, "--out", place.folder)
    certificate = place.folder / f"{stem}.crt"
    assert place.sign(place.folder / f"{stem}.csr", "--out", certificate, user=stem).code == 0
    return certificate


def test_the_key_must_be_the_certificates(place: Place) -> None:
    certificate = _key_and_certificate(place, "ann")
    other = _key_and_certificate(place, "bob").with_suffix(".key")
    out = place.folder / "x.conf"

    def made(*options: object) -> Result:
        return place.run(
            "user", "kubeconfig", "--certificate", certificate, *options, "--out", out, place.tree
        )

    assert made().code == 0
    assert yaml.safe_load(out.read_text())["users"][0]["user"]["client-key"] == "ann.key"
    assert "broken" not in place.run("kubeconfig", "show", out).out
    before = out.read_bytes()
    for file, said in (
        (other, "is another's: it does not belong to the certificate"),
        (certificate, "is not a PEM private key"),
        (place.write("enc.key", _encrypted()), "is encrypted with a passphrase"),
    ):
        result = made("--key-path", file)
        assert (result.code, result.out) == (1, "")
        assert result.error == f"the private key {file} {said}"
        assert out.read_bytes() == before
    (place.folder / "sub").mkdir()
    elsewhere = ("--out", place.folder / "sub/x.conf", place.tree)
    assert place.run("user", "kubeconfig", "--certificate", certificate, *elsewhere).code == 0
    written = yaml.safe_load((place.folder / "sub/x.conf").read_text())
    assert written["users"][0]["user"]["client-key"] == str(place.folder / "ann.key")


def _encrypted() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    form, lock = serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    return key.private_bytes(serialization.Encoding.PEM, form, lock)


def test_the_namespace_is_the_specs(place: Place) -> None:
    certificate = _key_and_certificate(place, "dev1")
    options = ("user", "kubeconfig", "--certificate", certificate, place.tree)
    for more, expected in (((), "web"), (("--namespace", "db"), "db")):
        content = yaml.safe_load(place.run(*options, *more).out)
        assert content["contexts"][0]["context"]["namespace"] == expected


def test_only_certificates_come_into_a_kubeconfig(place: Place) -> None:
    certificate = _key_and_certificate(place, "ann")
    text = certificate.read_bytes()
    certificate.write_bytes(b"Certificate:\n    Data:\n" + text + b"trailing\n")
    result = place.run("user", "kubeconfig", "--certificate", certificate, place.tree)
    embedded = yaml.safe_load(result.out)["users"][0]["user"]["client-certificate-data"]
    assert base64.b64decode(embedded) == text
    certificate.write_bytes(text + b" " * (256 << 10))
    assert "larger" in place.run("user", "kubeconfig", "--certificate", certificate, place.tree).error
    certificate.write_bytes(text + certificate.with_suffix(".key").read_bytes())
    assert (
        "holds a private key"
        in place.run("user", "kubeconfig", "--certificate", certificate, place.tree).error
    )


@pytest.mark.parametrize(
    ("arguments", "later", "said"),
    [
        (("--validity", "1h"), timedelta(hours=2), "the token expired 2026-11-22 04:00 UTC"),
        ((), -timedelta(minutes=3), "the token is not valid before 2026-11-22 03:00 UTC"),
        (("--uid", ""), timedelta(), "the token has no UID in it"),
    ],
)
def test_tokens_that_no_api_server_takes(
    place: Place, arguments: tuple[str, ...], later: timedelta, said: str
) -> None:
    account = "web/other" if "--uid" in arguments else "web/deployer"
    options = () if "--uid" in arguments else arguments
    path = place.write("token", place.run("token", "--service-account", account, *options, place.tree).out)
    out = place.folder / "x.conf"
    place.at(NOW + later)
    result = place.run("user", "kubeconfig", "--token-file", path, "--out", out, place.tree)
    assert (result.code, result.out) == (1, "")
    assert result.error == f"this cluster's API servers refuse it: {said}" + (
        ": the API server refuses it, others may take it" if "UID" in said else ""
    )
    assert not out.exists()


def test_a_token_of_another_key_is_put_up_with(place: Place) -> None:
    text = place.run("token", "--service-account", "web/deployer", place.tree).out.strip()
    options = ("user", "kubeconfig", "--token-file")
    assert "warning" not in place.run(*options, place.write("token", text), place.tree).err
    forged = text[:-8] + ("A" * 8)
    said = place.run(*options, place.write("token", forged), place.tree).err
    assert "none of this cluster's service account keys has signed the token" in said
    (place.tree / "pki/sa.pub").unlink()
    assert "none of this cluster's" in place.run(*options, place.write("token", text), place.tree).err


def test_a_token_that_kubectl_made(place: Place) -> None:
    path = place.write("token", place.run("token", "--service-account", "web/deployer", place.tree).out)
    result = place.run("user", "kubeconfig", "--token-file", path, place.tree)
    assert yaml.safe_load(result.out)["current-context"] == "web:deployer@team"
    assert yaml.safe_load(result.out)["contexts"][0]["context"]["namespace"] == "web"
    opaque = place.run("user", "kubeconfig", "--token-file", place.write("token", "opaque"), place.tree)
    assert yaml.safe_load(opaque.out)["current-context"] == "token@team"
    for bad in ("", "a b", "a\x07"):
        refused = place.run("user", "kubeconfig", "--token-file", place.write("token", bad), place.tree)
        assert "holds no token" in refused.error


def nameless(place: Place) -> bytes:
    """A client certificate of this cluster's CA with groups and no user."""
    authority = x509.load_pem_x509_certificate((place.tree / "pki/ca.crt").read_bytes())
    key = load_private((place.tree / "pki/ca.key").read_bytes())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name((NameOID.ORGANIZATION_NAME, "dev")))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
    )
    subject = Subject(common_name="")
    wanted = CertificateContent(
        subject=subject, sans=SANs(), profile=Profile.CLIENT, validity=timedelta(days=1)
    )
    for each in extensions(wanted, key.public_key(), authority):
        builder = builder.add_extension(each.value, critical=each.critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_a_certificate_without_a_user(place: Place) -> None:
    path = place.write("c.crt", nameless(place))
    result = place.run("user", "kubeconfig", "--certificate", path, place.tree)
    assert "names no user (CN)" in result.error
    assert "has no common name: the API server takes no user from it" in place.run("explain", path).out


def test_certificates_that_the_cluster_refuses(place: Place) -> None:
    assert place.run("user", "kubeconfig", place.tree).code == 2
    command = ("user", "kubeconfig", "--certificate")
    assert "is empty" in place.run(*command, place.write("c", ""), place.tree).error
    serving = place.tree / "nodes/cp-1/etc/kubernetes/pki/apiserver.crt"
    assert "API servers refuse the certificate" in place.run(*command, serving, place.tree).error
    etcd = place.tree / "nodes/cp-1/etc/kubernetes/pki/etcd/healthcheck-client.crt"
    assert "API servers refuse the certificate" in place.run(*command, etcd, place.tree).error
    (place.tree / "pki/ca.crt").unlink()
    (place.tree / "pki/ca.key").unlink()
    assert place.run(*command, serving, place.tree).error == "the PKI directory has no complete CA"


def test_a_mapping_of_whatever_kind_is_no_section() -> None:
    with pytest.raises(AccessError, match="no mapping"):
        load(b"7", Path("x"))
