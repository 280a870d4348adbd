"""Templates of a user's own, and what is said when they are wrong."""

from __future__ import annotations

import hashlib
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from pkigen.desired import inventory as inventory_module
from pkigen.desired.inventory import derive
from pkigen.desired.items import DesiredFile, FileKind
from pkigen.desired.rendering import Renderer, template_directory, templates
from pkigen.desired.rendering.contexts import FlagFile
from pkigen.desired.rendering.templates import Language
from pkigen.desired.token_trust import rendered_with
from pkigen.errors import TemplateError
from tests.desired.rendering.clusters import ENCRYPTION_KEY, cluster, one, render


@pytest.fixture
def overrides(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    return folder


def _write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def _copy(folder: Path, name: str, *changes: tuple[str, str]) -> Path:
    text = (template_directory() / name).read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return _write(folder, name, text)


def _refused(overrides: Path, **spec: Any) -> TemplateError:
    with pytest.raises(TemplateError) as caught:
        render(cluster(**spec), overrides=overrides)
    return caught.value


def test_an_empty_folder_changes_nothing(overrides: Path) -> None:
    spec = cluster()
    assert render(spec, overrides=overrides) == render(spec)


def test_a_file_of_ones_own_is_looked_up_first(overrides: Path) -> None:
    _copy(overrides, "kubelet/config.yaml.j2", ("cgroupDriver: systemd", "cgroupDriver: cgroupfs"))
    files = render(cluster(), overrides=overrides)
    changed = {path for path, content in render(cluster()).items() if files[path] != content}
    assert changed == {"nodes/cp-1/var/lib/kubelet/config.yaml"}
    assert yaml.safe_load(one(files, "kubelet/config.yaml"))["cgroupDriver"] == "cgroupfs"


def test_a_block_of_the_original_can_be_replaced(overrides: Path) -> None:
    _write(
        overrides,
        "manifests/kube-apiserver.yaml.j2",
        '{% extends "pkigen/manifests/kube-apiserver.yaml.j2" %}\n'
        "{% block requests %}\n        cpu: {{ cpu }}\n        memory: 1Gi\n{% endblock %}\n",
    )
    pod = yaml.safe_load(one(render(cluster(), overrides=overrides), "manifests/kube-apiserver.yaml"))
    assert pod["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "250m", "memory": "1Gi"}


def test_super_and_macros_are_not_quoted_again(overrides: Path) -> None:
    _write(
        overrides,
        "manifests/etcd.yaml.j2",
        '{% extends "pkigen/manifests/etcd.yaml.j2" %}\n'
        "{% block metadata %}\n{{ super() }}  generateName: {{ component }}\n{% endblock %}\n",
    )
    metadata = yaml.safe_load(one(render(cluster(), overrides=overrides), "manifests/etcd.yaml"))["metadata"]
    assert metadata["labels"]["component"] == metadata["generateName"] == "etcd"


def test_a_partial_may_be_included(overrides: Path) -> None:
    _write(overrides, "_head.yaml.j2", "# ours\n")
    _copy(overrides, "kubelet/config.yaml.j2", ("apiVersion", '{% include "_head.yaml.j2" %}\napiVersion'))
    assert one(render(cluster(), overrides=overrides), "kubelet/config.yaml").startswith("# ours\n")


def test_a_name_that_overrides_nothing_is_refused(overrides: Path) -> None:
    _write(overrides, "manifests/kube-api-server.yaml.j2", "")
    error = _refused(overrides)
    assert "overrides no template" in error.message
    assert "manifests/kube-apiserver.yaml.j2" in error.hint


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    assert "is not a directory of templates" in _refused(tmp_path / "absent").message


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("a: {{ nobody }}", "'nobody' is undefined"),
        ("a: {{ node.name }}", "'node' is undefined"),
        ("a: {{ cluster_dns }}", "a tuple is not a scalar"),
        ("a: {{ static_pod_path.__class__ }}", "access to attribute '__class__' of 'str' object is unsafe"),
        ("a: {% include 'absent.j2' %}", "there is no template absent.j2"),
        ("a: {{ 1 / 0 }}", "division by zero"),
        ("a: {{ cluster_domain | safe }}", "No filter named 'safe'"),
        ("a: {{", "unexpected 'end of template'"),
        ("a: {% if %}", "Expected an expression, got 'end of statement block'"),
        ("a: {{ range(999999999) | list }}", "Range too big"),
    ],
)
def test_errors_name_file_and_line(line: str, complaint: str, overrides: Path) -> None:
    file = _write(overrides, "kubelet/config.yaml.j2", f"kind: KubeletConfiguration\n{line}\n")
    error = _refused(overrides)
    assert error.message.startswith(f"{file}:")
    assert int(error.message.removeprefix(f"{file}:").split(":")[0]) in {2, 3}
    assert complaint in error.message


def test_an_error_in_a_macro_names_its_line(overrides: Path) -> None:
    text = (
        "{% macro m(x) %}\n\n{{ x.y }}\n{% endmacro %}\nkind: KubeletConfiguration\n{{ m(cluster_domain) }}\n"
    )
    file = _write(overrides, "kubelet/config.yaml.j2", text)
    assert _refused(overrides).message.startswith(f"{file}:3: 'str object' has no attribute 'y'")


def test_values_are_quoted_where_the_author_forgot(overrides: Path) -> None:
    text = (
        "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
        "a: {{ cluster_domain ~ '\\nb: c' }}\nd: {{ 'e\\nf: g' | upper }}\n"
        "h: [{{ 'i, j' }}, {{ '{k: l}' | trim }}]\n"
    )
    _write(overrides, "kubelet/config.yaml.j2", text)
    configuration = yaml.safe_load(one(render(cluster(), overrides=overrides), "kubelet/config.yaml"))
    del configuration["apiVersion"], configuration["kind"]
    assert configuration == {"a": "cluster.local\nb: c", "d": "E\nF: G", "h": ["i, j", "{k: l}"]}


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("kubeconfig.yaml.j2", ("kind: Config", "kind: Config\nextensions: []"), "not exactly"),
        (
            "kubeconfig.yaml.j2",
            ("    server:", "    insecure-skip-tls-verify: true\n    server:"),
            "not exactly",
        ),
        (
            "kubeconfig.yaml.j2",
            ("kind: Config", "kind: Config\nkind: Config"),
            "a key is given twice, line 14",
        ),
        ("kubeconfig.yaml.j2", ("kind: Config", "kind: [Config"), "it does not render YAML, line 14"),
        ("kubeconfig.yaml.j2", ("kind: Config", "kind: !a b"), "it does not render YAML, line 13"),
        (
            "manifests/static-pod.yaml.j2",
            ("    image:", "    - --anonymous-auth\n    image:"),
            "argument 29 of kube-apiserver is not of the form",
        ),
        (
            "manifests/static-pod.yaml.j2",
            ("  - command:", "  - args:"),
            "does not render a Pod with a container and its command",
        ),
        (
            "manifests/static-pod.yaml.j2",
            ("kind: Pod", "kind: Job"),
            "does not render one Pod kube-apiserver",
        ),
        ("manifests/static-pod.yaml.j2", ("status: {}", "---\na: b"), "does not render one Pod kube-api"),
        ("kubelet/config.yaml.j2", ("kind: Kubelet", "kind: Proxy"), "not a KubeletConfiguration"),
        ("addons/cluster-admins.yaml.j2", ("apiVersion", "version"), "not a ClusterRoleBinding"),
        ("addons/cluster-admins.yaml.j2", ("roleRef:", "- roleRef:"), "it does not render YAML"),
        ("flags/kubeadm-flags.env.j2", ('}}="', '}}="--v=9 '), "exactly the flags"),
        ("flags/kubeadm-flags.env.j2", ('}}="', "}}="), "does not render an environment file"),
    ],
)
def test_what_is_rendered_is_read_back(
    name: str, change: tuple[str, str], complaint: str, overrides: Path
) -> None:
    file = _copy(overrides, name, change)
    error = _refused(overrides)
    # Every static Pod comes of it; the API server's is read before anything is made.
    renders = f"{overrides}, in what manifests/kube-apiserver.yaml.j2 renders: "
    assert error.message.startswith(renders if "static-pod" in name else f"{file}: ")
    assert complaint in error.message
    assert error.hint


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("{% if environment %}", "{% if false %}", "lacks a variable of extraEnvs"),
        ("      value: {{ variable.value | block }}\n", "", "lacks a variable of extraEnvs"),
        ("    - name: {{ variable.name }}", "    - key: {{ variable.name }}", "not a list of variables"),
        ("    env:\n", "    env:\n    - text\n", "not a list of variables"),
    ],
)
def test_the_environment_is_read_back(old: str, new: str, complaint: str, overrides: Path) -> None:
    etcd = {"extraEnvs": [{"name": "NO_PROXY", "value": ".svc"}]}
    _copy(overrides, "manifests/static-pod.yaml.j2", (old, new))
    assert complaint in _refused(overrides, etcd=etcd).message


def test_a_template_may_add_to_the_environment(overrides: Path) -> None:
    more = ("    env:\n", "    env:\n    - name: MORE\n      value: ours\n")
    _copy(overrides, "manifests/static-pod.yaml.j2", more)
    spec = cluster(etcd={"extraEnvs": [{"name": "NO_PROXY", "value": ".svc"}]})
    assert "MORE" in one(render(spec, overrides=overrides), "manifests/etcd.yaml")


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("systemd/etcd.service.j2", ("${{ variable }}", "--v=9 ${{ variable }}"), "ExecStart is not"),
        ("systemd/etcd.service.j2", ("Restart=always", "ExecStart=/bin/id"), "ExecStart is not"),
        ("systemd/etcd.service.j2", ("EnvironmentFile=", "EnvironmentFile=-"), "EnvironmentFile is not"),
        ("systemd/etcd.service.j2", ("Restart=always", "Restart"), "not a setting of a unit file"),
        ("systemd/etcd.service.j2", ("[Unit]", "A=b"), "not a setting of a unit file"),
        ("flags/component.env.j2", ("{{ variable }}=", 'A="b"\n{{ variable }}='), "exactly the flags"),
        ("flags/component.env.j2", ("{{ variable }}=", '{{ variable }}=""\n{{ variable }}='), "once"),
    ],
)
def test_unit_and_flag_files_are_read_back(
    name: str, change: tuple[str, str], complaint: str, overrides: Path
) -> None:
    file = _copy(overrides, name, change)
    error = _refused(overrides, runtime="systemd")
    assert error.message.startswith(str(file))
    assert complaint in error.message


def test_an_error_never_quotes_a_key(overrides: Path) -> None:
    for text in (
        "{{ {}[key] }}",
        "{{ key.nothing }}",
        "{{ [key] }}",
        "{{ key | int(key) + key }}",
        "{{ key }}",
    ):
        _write(overrides, "kubeconfig.yaml.j2", text)
        _write(overrides, "encryption-config.yaml.j2", text)
        for item in ("S0VZIFBFTQ", ENCRYPTION_KEY.decode()[:10]):
            error = _refused(overrides, encryption={})
            assert item not in error.message + error.hint
            shutil.rmtree(overrides)
            overrides.mkdir()
            _write(overrides, "encryption-config.yaml.j2", text)


def test_comments_and_empty_lines_are_fine(overrides: Path) -> None:
    _copy(overrides, "flags/component.env.j2", ("{{ variable }}=", "# ours; theirs\n\n{{ variable }}="))
    _copy(overrides, "systemd/etcd.service.j2", ("[Service]", "; ours\n[Service]"))
    _copy(overrides, "kubeconfig.yaml.j2", ("kind: Config", "kind: Config\npreferences: {}"))
    render(cluster(runtime="systemd"), overrides=overrides)


def _file(kind: FileKind) -> DesiredFile:
    return DesiredFile(path="x", node=None, mode=0o600, kind=kind)


@pytest.mark.parametrize("secret", [b"", b"c2hvcnQ=", b"no base64 at all!"])
def test_the_encryption_key_must_be_one(secret: bytes) -> None:
    renderer = Renderer(derive(cluster(encryption={})))
    with pytest.raises(TemplateError, match="key") as caught:
        renderer.file(_file(FileKind.ENCRYPTION_CONFIGURATION), secrets=(secret,))
    assert not secret or secret.decode() not in caught.value.message


def test_a_file_of_nobody_is_refused() -> None:
    renderer = Renderer(derive(cluster()))
    for kind in (FileKind.KUBE_APISERVER, FileKind.ADDON_USER):
        with pytest.raises(TemplateError, match="no node and no user"):
            renderer.file(_file(kind))
    with pytest.raises(TemplateError, match=r"needs spec\.encryption"):
        renderer.file(_file(FileKind.ENCRYPTION_CONFIGURATION), secrets=(ENCRYPTION_KEY,))


def test_the_folder_is_found_in_a_checkout() -> None:
    checkout = Path(inventory_module.__file__).resolve().parents[2]
    assert template_directory() == checkout / "templates"


def test_the_folder_is_found_in_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "pkigen.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for source in template_directory().rglob("*.j2"):
            file.write(source, f"pkigen/_templates/{source.relative_to(template_directory())}")
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path / "site")
    package = tmp_path / "site" / "pkigen"
    monkeypatch.setattr(templates, "__file__", str(package / "desired" / "rendering" / "templates.py"))
    assert template_directory() == package / "_templates"
    context = FlagFile(variable="A", arguments=("--b=c",))
    rendered = templates.Templates(None).render("flags/kubeadm-flags.env", Language.ENVIRONMENT, context)
    assert rendered == 'A="--b=c"\n'
    shutil.rmtree(package / "_templates")
    with pytest.raises(TemplateError, match="the templates are missing"):
        template_directory()


def test_flags_of_other_components_are_changed_in_the_spec_alone(overrides: Path) -> None:
    more = "{% if component == 'etcd' %}\n    - --auto-tls=true\n{% endif %}\n    image:"
    _copy(overrides, "manifests/static-pod.yaml.j2", ("    image:", more))
    error = _refused(overrides)
    assert error.message.startswith(f"{overrides}, in what manifests/etcd.yaml.j2 renders: ")
    assert "exactly its flags: extraArgs change flags" in error.message


@pytest.mark.parametrize(
    ("gates", "complaint"),
    [
        (
            "{ClusterTrustBundleProjection: false}",
            "'ClusterTrustBundleProjection' is true for good since v1.37",
        ),
        (
            "{SidecarContainers: true}",
            "'SidecarContainers' is no feature gate of v1.37 any more, and kubelet",
        ),
        ("{NodeSwap: 1.5}", "'NodeSwap' must be set to true or false"),
        ("{'kube:AllBeta': true}", "kubelet knows no components, and stops: leave 'kube' out before AllBeta"),
        ("{ClusterTrustBundleProjection: true}", None),
        ("", None),
    ],
)
def test_gates_of_kubelets_that_the_version_does_not_take(
    gates: str, complaint: str | None, overrides: Path
) -> None:
    _copy(overrides, "kubelet/config.yaml.j2", ("apiVersion", f"featureGates: {gates}\napiVersion"))
    if complaint is None:
        files = render(cluster(version="v1.37.0"), overrides=overrides)
        assert "featureGates" in one(files, "kubelet/config.yaml")
        return
    with pytest.raises(TemplateError) as caught:
        render(cluster(version="v1.37.0"), overrides=overrides)
    assert caught.value.message.startswith(
        f"{overrides / 'kubelet/config.yaml.j2'}: featureGates: {complaint}"
    )


def test_a_file_is_rendered_once_for_its_digest() -> None:
    spec = cluster()
    items = [item for item in derive(spec).items if isinstance(item, DesiredFile)]
    renderer = Renderer(derive(spec))
    for item in items:
        content = renderer.file(item)
        assert renderer.digest_of(item) == hashlib.sha256(content).digest()
    calls: list[str] = []
    sys.setprofile(lambda frame, event, _: calls.append(frame.f_code.co_name) if event == "call" else None)
    try:
        for item in items:
            renderer.digest_of(item)
    finally:
        sys.setprofile(None)
    assert "digest_of" in calls
    assert "render" not in calls


def test_what_a_template_of_somebody_else_renders_is_not_remembered(tmp_path: Path) -> None:
    """It may be something else each time, and what was staged must then be found to be wrong."""
    override = tmp_path / "addons" / "cluster-admins.yaml.j2"
    override.parent.mkdir()
    override.write_text("# {% for _ in range(9) %}{{ range(99999) | random }} {% endfor %}\n")
    inventory = rendered_with(derive(cluster()), templates.Templates(tmp_path))
    item = next(each for each in inventory.items if isinstance(each, DesiredFile) and "admins" in each.path)
    renderer = Renderer(inventory)
    assert renderer.digest_of(item) != hashlib.sha256(renderer.file(item)).digest()
