"""Kubeconfigs merged as kubectl merges them."""

from __future__ import annotations

import base64
import json
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings, strategies

from tests.access.kubeconfig_files import viewed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.access.team_cluster import TeamCluster

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
def two(place: TeamCluster) -> tuple[Path, Path]:
    for file, content in (("a/config", A), ("b/config", B)):
        (place.folder / file).parent.mkdir()
        (place.folder / file).write_text(content)
    (place.folder / "a/pki").mkdir()
    for file in ("ca.crt", "a.crt"):
        (place.folder / "a/pki" / file).write_bytes((place.tree / "pki/ca.crt").read_bytes())
    return place.folder / "a/config", place.folder / "b/config"


def absolute(config: Any, folder: Path) -> Any:
    """kubectl shows paths as they are written; it resolves them when it uses them."""
    for section, kind in (("clusters", "cluster"), ("users", "user")):
        for entry in config[section]:
            for key in ("certificate-authority", "client-certificate", "client-key"):
                if key in entry[kind]:
                    entry[kind][key] = os.path.normpath(folder / entry[kind][key])
    return config


def test_a_merge_is_what_kubectl_makes_of_the_same_files(place: TeamCluster, two: tuple[Path, Path]) -> None:
    result = place.run("access", "kubeconfig", "merge", "--first-wins", *two)
    assert result.code == 0, result.err
    merged = place.write("merged", result.out)
    theirs = absolute(viewed(*two, flags=("--merge",)), two[0].parent)
    (bot,) = [user["user"] for user in theirs["users"] if user["name"] == "bot"]
    bot["tokenFile"] = str(place.folder / "bot.token")
    assert viewed(merged) == theirs
    assert yaml.safe_load(result.out)["current-context"] == "two"
    for said in (
        f"the cluster 'kubernetes' is different in {two[0]} and {two[1]} (certificate-authority, proxy-url, ",
        f"server, tls-server-name): {two[0]} takes precedence",
        f"the context 'one' is different in {two[0]} and {two[1]}",
        f"the context 'two' of {two[1]} now refers to the cluster 'kubernetes' of {two[0]}: rename one",
        "the context 'lost' names the cluster 'nowhere', which no file has",
        "the context 'lost' names the user 'nobody', which no file has",
    ):
        assert said in result.err


# -- names that mean two things ---------------------------------------------------------------------------


def of_kubeadm(letter: str) -> str:
    """The admin.conf of a cluster that kubeadm named: the same names everywhere."""
    return json.dumps(
        {
            "kind": "Config",
            "current-context": "kubernetes-admin@kubernetes",
            "clusters": [{"name": "kubernetes", "cluster": {"server": f"https://{letter}:6443"}}],
            "users": [{"name": "kubernetes-admin", "user": {"token": letter}}],
            "contexts": [
                {
                    "name": "kubernetes-admin@kubernetes",
                    "context": {"cluster": "kubernetes", "user": "kubernetes-admin"},
                }
            ],
        }
    )


def opened(config: Any) -> dict[str, tuple[str, str]]:
    """What each context opens: the server, and with which token."""
    clusters = {each["name"]: each["cluster"]["server"] for each in config["clusters"]}
    users = {each["name"]: each["user"]["token"] for each in config["users"]}
    return {
        each["name"]: (clusters[each["context"]["cluster"]], users[each["context"]["user"]])
        for each in config["contexts"]
    }


def test_names_that_mean_two_things_are_refused(place: TeamCluster) -> None:
    paths = [place.write(letter, of_kubeadm(letter)) for letter in "ab"]
    out = place.folder / "merged"
    result = place.run("access", "kubeconfig", "merge", *paths, "--out", out)
    assert (result.code, result.out, out.exists()) == (1, "", False)
    for said in ("cluster 'kubernetes'", "user 'kubernetes-admin'", "context 'kubernetes-admin@kubernetes'"):
        assert f"the {said} of {paths[1]} is another one than that of {paths[0]}" in result.err
    assert result.error.startswith("3 names collide, the first: the cluster 'kubernetes' of ")
    assert "--rename" in result.hint
    both = place.run("access", "kubeconfig", "merge", "--rename", "--first-wins", *paths)
    assert (both.code, both.error) == (2, "--rename and --first-wins exclude each other")


def test_renamed_nothing_is_lost(place: TeamCluster) -> None:
    taken = of_kubeadm("d").replace('"kubernetes"', '"kubernetes-2"')
    paths = [place.write(letter, of_kubeadm(letter)) for letter in "abc"]
    paths += [place.write("d", taken), place.write("e", of_kubeadm("b"))]  # the last is the second once more
    result = place.run("access", "kubeconfig", "merge", "--rename", *paths)
    assert result.code == 0, result.err
    config = viewed(place.write("merged", result.out))
    name = "kubernetes-admin@kubernetes"
    assert opened(config) == {
        f"{name}{suffix}": (f"https://{letter}:6443", letter)
        for suffix, letter in (("", "a"), ("-2", "b"), ("-3", "c"), ("-4", "d"))
    }
    assert config["current-context"] == name
    assert {each["name"] for each in config["clusters"]} == {
        "kubernetes", "kubernetes-2", "kubernetes-3", "kubernetes-4",
    }  # fmt: skip
    said = f"note: the context '{name}' of {paths[1]} is another one than that of {paths[0]}"
    assert f"{said}: it is '{name}-2' now" in result.err


def test_the_current_context_goes_with_its_new_name(place: TeamCluster) -> None:
    first = place.write(
        "a", of_kubeadm("a").replace('"current-context": "kubernetes-admin@kubernetes", ', "")
    )
    result = place.run("access", "kubeconfig", "merge", "--rename", first, place.write("b", of_kubeadm("b")))
    assert yaml.safe_load(result.out)["current-context"] == "kubernetes-admin@kubernetes-2"


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
        strategies.builds(lambda path: {field: f"{path}.{field.rpartition('-')[2]}"}, _paths),
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


def of_each_kind(path: Path, text: str) -> None:
    """Files that a kubeconfig may name; neither kubectl nor pkigen looks into their blocks here."""
    for field, label in {
        "authority": "CERTIFICATE",
        "certificate": "CERTIFICATE",
        "key": "EC PRIVATE KEY",
    }.items():
        body = base64.b64encode(f"{field} {text}".encode()).decode()
        block = f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"
        path.with_name(f"{path.name}.{field}").write_text(block)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(strategies.lists(_files | strategies.just({}), min_size=1, max_size=3))
def test_a_flat_merge_of_any_files_is_what_kubectl_makes_of_them(
    place: TeamCluster, contents: list[dict[str, Any]]
) -> None:
    paths = []
    of_each_kind(place.folder / "f", "at the top")
    for number, content in enumerate(contents):
        folder = place.folder / f"of-{number}"
        (folder / "sub").mkdir(parents=True, exist_ok=True)
        of_each_kind(folder / "f", f"of {number}")
        of_each_kind(folder / "sub/f", f"below {number}")
        paths.append(folder / "config")
        paths[-1].write_text(json.dumps(content) if content else "# nothing\n")
    result = place.run("access", "kubeconfig", "merge", "--flatten", "--first-wins", *paths)
    assert result.code == 0, result.err
    assert viewed(place.write("merged", result.out)) == viewed(*paths, flags=("--flatten",))


def test_a_current_context_of_nobody(place: TeamCluster) -> None:
    result = place.run("access", "kubeconfig", "merge", place.write("c", "current-context: x\n"))
    assert "the current context 'x' is in none of the files" in result.err


def test_the_order_decides(place: TeamCluster, two: tuple[Path, Path]) -> None:
    content = yaml.safe_load(place.run("access", "kubeconfig", "merge", "--first-wins", *reversed(two)).out)
    servers = {entry["name"]: entry["cluster"]["server"] for entry in content["clusters"]}
    assert servers == {"1e3": "https://e:6443", "kubernetes": "https://b:6443"}
    assert content["extensions"] == [{"name": "x", "extension": {"other": 2}}]


def test_a_file_with_itself_is_no_conflict(place: TeamCluster, two: tuple[Path, Path]) -> None:
    result = place.run("access", "kubeconfig", "merge", two[0], two[0])
    assert result.err == ""
    assert viewed(place.write("merged", result.out)) == absolute(viewed(two[0]), two[0].parent)


def test_flattened_as_kubectl_does(place: TeamCluster, two: tuple[Path, Path]) -> None:
    text = two[0].read_text().replace("/abs/a.key", "pki/a.key")
    two[0].write_text(text)
    for path, field in (("ca.crt", "authority"), ("a.crt", "certificate"), ("a.key", "key")):
        of_each_kind(two[0].parent / "pki/x", path)
        (two[0].parent / f"pki/x.{field}").rename(two[0].parent / "pki" / path)
    result = place.run("access", "kubeconfig", "merge", "--flatten", two[0])
    assert viewed(place.write("merged", result.out)) == viewed(two[0], flags=("--flatten",))
    two[0].write_text(text.replace("client-key: ", "client-key-data: AAAA, client-key: "))
    assert (
        "has both client-key and its data"
        in place.run("access", "kubeconfig", "merge", "--flatten", two[0]).error
    )
    two[0].write_text(A)
    assert (
        "/abs/a.key cannot be read" in place.run("access", "kubeconfig", "merge", "--flatten", two[0]).error
    )


SHADOW = b"root:$y$j9T$salt$hash:20000:0:99999:7:::\n"


@pytest.mark.parametrize(
    ("field", "content"),
    [
        ("certificate-authority", SHADOW),
        ("client-certificate", SHADOW),
        ("client-key", SHADOW),
        ("client-key", b""),
        ("client-key", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"),
        ("client-key", b"-----BEGIN EC PARAMETERS-----\nAAAA\n-----END EC PARAMETERS-----\n"),
        ("certificate-authority", b"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"),
        ("certificate-authority", b"-----BEGIN CERTIFICATE-----\n" + SHADOW + b"-----END CERTIFICATE-----\n"),
        ("certificate-authority", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        ("client-certificate", b"\0" * 100),
    ],
)
def test_only_certificates_and_keys_get_into_a_flat_kubeconfig(
    place: TeamCluster, field: str, content: bytes
) -> None:
    """Its author names a file that only its reader may read: /etc/shadow, a CA's key, a key for SSH."""
    secret = place.write("secret", content)
    section, key = ("clusters", "cluster") if field == "certificate-authority" else ("users", "user")
    config = place.write("c", json.dumps({section: [{"name": "x", key: {field: str(secret)}}]}))
    failed = place.run("access", "kubeconfig", "merge", "--flatten", config)
    what = "private key" if field == "client-key" else "certificate"
    assert (failed.code, failed.out) == (1, "")
    assert failed.error == f"{secret}, which the {key} 'x' names as its {field}, holds no {what} in PEM"
    assert place.run("access", "kubeconfig", "merge", config).code == 0, "without --flatten nothing is read"


def test_of_a_file_with_more_in_it_only_what_was_asked_for_is_taken(place: TeamCluster) -> None:
    """A kubelet keeps key and certificate in one file; comments of OpenSSL stand above."""
    of_each_kind(place.folder / "f", "x")
    certificate, key = ((place.folder / f"f.{each}").read_bytes() for each in ("certificate", "key"))
    both = place.write("both", b"Bag Attributes\n" + SHADOW + certificate + key)
    config = {"client-certificate": str(both), "client-key": str(both)}
    written = place.write("c", json.dumps({"users": [{"name": "x", "user": config}]}))
    ((_, user),) = (
        each.items()
        for each in yaml.safe_load(place.run("access", "kubeconfig", "merge", "--flatten", written).out)[
            "users"
        ]
    )
    assert base64.b64decode(user[1]["client-certificate-data"]) == certificate
    assert base64.b64decode(user[1]["client-key-data"]) == key


def test_a_file_too_large_for_a_certificate_is_not_cut_off(place: TeamCluster) -> None:
    of_each_kind(place.folder / "f", "x")
    big = place.write("big", (place.folder / "f.key").read_bytes() + b" " * (1 << 20))
    config = place.write("c", json.dumps({"users": [{"name": "x", "user": {"client-key": str(big)}}]}))
    assert "is larger than 1 MiB" in place.run("access", "kubeconfig", "merge", "--flatten", config).error


def test_into_a_file_whose_paths_are_relative_to_it(place: TeamCluster, two: tuple[Path, Path]) -> None:
    out = two[0].parent / "all"
    result = place.run("access", "kubeconfig", "merge", "--first-wins", *two, "--out", out)
    assert (result.code, result.out) == (0, "")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    content = yaml.safe_load(out.read_text())
    clusters = {entry["name"]: entry["cluster"] for entry in content["clusters"]}
    users = {entry["name"]: entry["user"] for entry in content["users"]}
    assert clusters["kubernetes"]["certificate-authority"] == "pki/ca.crt"
    assert users["admin"] == {"client-certificate": "pki/a.crt", "client-key": "/abs/a.key"}
    assert users["bot"]["tokenFile"] == str(place.folder / "bot.token")


@pytest.mark.parametrize("key", ["exec", "auth-provider"])
def test_programs_are_refused_unless_allowed(place: TeamCluster, key: str) -> None:
    fields = {"exec": "{apiVersion: v1, command: ./aws, args: [a]}", "auth-provider": "{name: gcp}"}[key]
    path = place.write("c", f"kind: Config\nusers: [{{name: u, user: {{{key}: {fields}}}}}]\n")
    result = place.run("access", "kubeconfig", "merge", path)
    assert (result.code, result.out) == (1, "")
    assert result.error == f"the user 'u' of {path} runs a program ({key})"
    allowed = place.run("access", "kubeconfig", "merge", path, "--allow-exec")
    assert key in allowed.out


def test_a_program_stays_where_it_is(place: TeamCluster) -> None:
    """A path with a separator is meant from its kubeconfig's directory, a name alone is looked up in PATH."""
    paths = []
    for folder, command in (("a", "./bin/login"), ("b", "login"), ("c", "/opt/login"), ("d", "../login")):
        (place.folder / folder).mkdir()
        program = f"{{apiVersion: client.authentication.k8s.io/v1beta1, command: {command}}}"
        content = f"kind: Config\nusers: [{{name: {folder}, user: {{exec: {program}}}}}]\n"
        paths.append(place.write(f"{folder}/config", content))

    def commands(text: str) -> dict[str, str]:
        return {each["name"]: each["user"]["exec"]["command"] for each in yaml.safe_load(text)["users"]}

    merged = place.run("access", "kubeconfig", "merge", *paths, "--allow-exec").out
    at = place.folder
    expected = {"a": f"{at}/a/bin/login", "b": "login", "c": "/opt/login", "d": f"{at}/login"}
    assert commands(merged) == expected
    out = at / "config"
    place.run("access", "kubeconfig", "merge", *paths, "--allow-exec", "--out", out)
    assert commands(out.read_text()) == expected | {"a": "a/bin/login", "d": "./login"}


def test_an_absolute_path_is_not_touched(place: TeamCluster) -> None:
    """`link/..` is not where the link stands; client-go leaves what is absolute as it is."""
    (place.folder / "far/away").mkdir(parents=True)
    (place.folder / "link").symlink_to("far/away")
    path = place.write("c", f"users: [{{name: a, user: {{tokenFile: {place.folder}/link/../token}}}}]")
    for options in ((), ("--out", place.folder / "out")):
        result = place.run("access", "kubeconfig", "merge", path, *options)
        text = (place.folder / "out").read_text() if options else result.out
        assert yaml.safe_load(text)["users"][0]["user"]["tokenFile"] == f"{place.folder}/link/../token"


def test_a_kubeconfig_cannot_make_anybody_wait(place: TeamCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input, a pipe and a terminal are no certificates, whoever names them."""
    os.mkfifo(place.folder / "pipe")
    monkeypatch.chdir(place.folder)
    content = (
        "kind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
        "clusters: [{name: k, cluster: {certificate-authority: '-'}}]\n"
        "users: [{name: u, user: {tokenFile: pipe}}]\n"
    )
    place.write("c", content)
    for command in (("explain", "c"), ("access", "kubeconfig", "show", "c")):
        out = place.run(*command).out
        assert "its CA - cannot be read: no such file or directory" in out
        assert "its token pipe is not a regular file" in out
    place.write("d", "clusters: [{name: k, cluster: {certificate-authority: pipe}}]")
    assert place.run("access", "kubeconfig", "merge", "--flatten", "d").error.endswith(
        "is not a regular file"
    )


def test_bounds_and_missing_files(place: TeamCluster) -> None:
    big = place.write("c", b" " * ((4 << 20) + 1))
    assert "larger than 4 MiB" in place.run("access", "kubeconfig", "merge", big).error
    assert "no such file" in place.run("access", "kubeconfig", "merge", place.folder / "none").error
    assert "is a directory" in place.run("access", "kubeconfig", "show", place.folder).error


def test_what_kubectl_ignores_is_named_and_left_out(place: TeamCluster) -> None:
    path = place.write(
        "c", "kind: Config\nfoo: 1\nclusters: [{name: a, cluster: {servr: x, server: null}}]\n"
    )
    result = place.run("access", "kubeconfig", "merge", path)
    assert f"note: {path}: foo is not understood by kubectl and left out" in result.err
    assert "clusters[a].servr is not understood" in result.err
    assert yaml.safe_load(result.out)["clusters"] == [{"name": "a", "cluster": {}}]
    shown = place.run("access", "kubeconfig", "show", path).out
    assert "foo is not understood by kubectl" in shown
    assert "it has no context: kubectl would talk to localhost:8080" in shown
