"""What runs on a foreign node and how it is started: by static Pods, by units, by a kubelet's files."""

from __future__ import annotations

import posixpath
import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pkigen.adoption.found import Program, Spot, Unread
from pkigen.adoption.wrappers import unwrapped
from pkigen.desired.command_lines import ProgramFlags
from pkigen.desired.readers import ComponentName
from pkigen.desired.rendering.flags import Flag
from pkigen.desired.rendering.pods import HostPath
from pkigen.errors import SpecError
from pkigen.spec.yaml_source import read_documents

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pkigen.adoption.node_tree import FoundFile, NodeTree

MANIFESTS: Final = "/etc/kubernetes/manifests"
_UNITS: Final = ("/etc/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system")
_KUBELET_CONFIGURATION: Final = "/var/lib/kubelet/config.yaml"
_KUBELET_KUBECONFIG: Final = "/etc/kubernetes/kubelet.conf"
_KUBELET_ARGUMENTS: Final = (
    "/var/lib/kubelet/kubeadm-flags.env",
    "/etc/default/kubelet",
    "/etc/sysconfig/kubelet",
)
_KUBELET_SETTINGS: Final = {
    "anonymous-auth": ("authentication", "anonymous", "enabled"),
    "authorization-mode": ("authorization", "mode"),
    "client-ca-file": ("authentication", "x509", "clientCAFile"),
    "pod-manifest-path": ("staticPodPath",),
    "port": ("port",),
    "read-only-port": ("readOnlyPort",),
    "rotate-certificates": ("rotateCertificates",),
    "rotate-server-certificates": ("serverTLSBootstrap",),
    "tls-cert-file": ("tlsCertFile",),
    "tls-private-key-file": ("tlsPrivateKeyFile",),
}
_NAME_THEIR_KUBECONFIG: Final = frozenset({ComponentName.SCHEDULER, ComponentName.KUBE_PROXY})
"""Those whose configuration file says which kubeconfig is theirs."""
_COMPONENTS: Final = {component.value: component for component in ComponentName}
_VARIABLE: Final = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")
_REFERENCE: Final = re.compile(r"\$(?:\$|\(([^)]*)\))")
# systemd's src/basic/env-file.c, without what follows a closing quote.
_ASSIGNMENT: Final = re.compile(
    r"""^[ \t]*([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*("(?:\\.|[^"\\])*"|'[^']*'|[^\n]*)""",
    re.MULTILINE | re.DOTALL,
)
_ETCD_VARIABLE: Final = "ETCD_"
# Those that are compared with true or false, here and in checks.
_SWITCHES: Final = frozenset(
    {"allocate-node-cidrs", "anonymous-auth", "auto-tls", "client-cert-auth", "peer-auto-tls"}
    | {"peer-client-cert-auth", "rotate-certificates", "rotate-server-certificates"}
)
_TRUTHS: Final = {"true": ("1", "t", "T", "TRUE", "True"), "false": ("0", "f", "F", "FALSE", "False")}
"""How Go's programs spell a switch beside `true` and `false`."""


def read_programs(tree: NodeTree) -> tuple[tuple[Program, ...], tuple[Unread, ...]]:
    """The components of a node, and the files that should say more of them and cannot be read."""
    unread: list[Unread] = []
    of_units = dict(_of_units(tree))
    programs = list(of_units.values())
    kubelet = _kubelet(tree, of_units.get(ComponentName.KUBELET), unread)
    if kubelet is not None:
        # What the kubelet's own files add makes another program of the one that its unit starts.
        programs = [each for each in programs if each.component is not ComponentName.KUBELET] + [kubelet]
    manifests = kubelet.flags.value("pod-manifest-path") if kubelet is not None else ""
    programs += _of_pods(tree, manifests or MANIFESTS, unread)
    return tuple(_with_settings(tree, each) for each in programs), tuple(unread)


def _with_settings(tree: NodeTree, program: Program) -> Program:
    """With the kubeconfig that its configuration file names."""
    named = program.flags.value("config")
    if program.component not in _NAME_THEIR_KUBECONFIG or not named:
        return program
    file = tree.file(program.flags.host_path(named))
    for document in yaml_values(file) if file is not None else ():
        kubeconfig = at(document, "clientConnection", "kubeconfig")
        if isinstance(kubeconfig, str) and kubeconfig:
            flags = replace(program.flags, settings={**program.flags.settings, "kubeconfig": kubeconfig})
            return replace(program, flags=flags)
    return program


def yaml_values(file: FoundFile) -> list[Any]:
    """The documents of a file as plain values; none where it is no YAML."""
    try:
        found, _ = read_documents(file.data, file=file.path)
    except SpecError:
        return []
    return [document.value for document in found]


def at(content: Any, *keys: str) -> Any:
    """What stands below these keys; None where a step is missing or no mapping."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content


# -- static Pods ------------------------------------------------------------------------------------------


def _of_pods(tree: NodeTree, directory: str, unread: list[Unread]) -> Iterator[Program]:
    """The kubelet starts what every file of the directory says, but for hidden ones (config/file.go)."""
    for name in tree.names(directory):
        file = tree.file(posixpath.join(directory, name))
        # The kubelet passes directories over, too.
        if not name.startswith(".") and file is not None and file.problem != "is a directory":
            spot = Spot(node=tree.name, path=posixpath.join(directory, name), shown=file.shown)
            yield from _of_manifest(file, spot, unread)


def _of_manifest(file: FoundFile, spot: Spot, unread: list[Unread]) -> Iterator[Program]:
    pods = [each for each in yaml_values(file) if at(each, "kind") == "Pod"]
    if file.problem is not None or not pods:
        unread.append(Unread(spot=spot, problem=file.problem or "is no manifest of a Pod"))
    for pod in pods:
        yield from _of_pod(pod, spot)


def _of_pod(pod: Any, spot: Spot) -> Iterator[Program]:
    containers = at(pod, "spec", "containers")
    for container in containers if isinstance(containers, list) else ():
        variables = _environment_of(container)
        command = [*_texts(at(container, "command")), *_texts(at(container, "args"))]
        words = unwrapped([_expanded(each, variables) for each in command], tuple(ComponentName))
        # A Pod may have other containers, such as one that ships logs.
        component = _COMPONENTS.get(posixpath.basename(words[0])) if words else None
        if component is None:
            continue
        yield Program(
            spot=spot,
            flags=ProgramFlags(
                component=component,
                flags=(*_of_environment(component, variables), *_flags(words[1:])),
                mounts=tuple(_mounts(pod, container)),
            ),
            image=str(at(container, "image") or ""),
            uids=_ids(pod, container, "runAsUser"),
            gids=_ids(pod, container, "runAsGroup", "fsGroup") | _supplemental(pod),
        )


def _mounts(pod: Any, container: Any) -> Iterator[HostPath]:
    volumes = at(pod, "spec", "volumes")
    sources = {
        str(at(volume, "name")): at(volume, "hostPath")
        for volume in (volumes if isinstance(volumes, list) else ())
        if at(volume, "hostPath", "path")
    }
    mounts = at(container, "volumeMounts")
    for mount in mounts if isinstance(mounts, list) else ():
        name, place = str(at(mount, "name")), at(mount, "mountPath")
        if name in sources and isinstance(place, str):
            yield HostPath(
                name=name,
                path=str(at(sources[name], "path")),
                mount_path=place,
                type=str(at(sources[name], "type") or ""),
                read_only=at(mount, "readOnly") is True,
            )


def _ids(pod: Any, container: Any, *names: str) -> frozenset[int]:
    found = [at(each, "securityContext", name) for each in (at(pod, "spec"), container) for name in names]
    # Root's files are as good as its own.
    return frozenset({0, *(each for each in found if isinstance(each, int))})


def _supplemental(pod: Any) -> frozenset[int]:
    groups = at(pod, "spec", "securityContext", "supplementalGroups")
    return frozenset(each for each in (groups if isinstance(groups, list) else ()) if isinstance(each, int))


def _environment_of(container: Any) -> dict[str, str]:
    """The plain variables; each may refer to those before it (kubelet_pods.go, makeEnvironmentVariables)."""
    variables = at(container, "env")
    found: dict[str, str] = {}
    for each in variables if isinstance(variables, list) else ():
        name = str(at(each, "name"))
        # Where a value is to come from is not read here, so that it stays unknown.
        if at(each, "valueFrom") is None:
            found[name] = _expanded(str(at(each, "value") or ""), found)
        else:
            found.pop(name, None)
    return found


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    """With variables put in for `$(NAME)`, unknown ones kept, and `$` for `$$`, as the kubelet does it."""
    # third_party/forked/golang/expansion/expand.go
    return _REFERENCE.sub(lambda found: "$" if found[1] is None else variables.get(found[1], found[0]), text)


def _of_environment(component: ComponentName, variables: Mapping[str, str]) -> Iterator[Flag]:
    """A member takes ETCD_CERT_FILE for --cert-file; a flag counts more, so these come first (pkg/flags)."""
    if component is ComponentName.ETCD:
        for name, value in variables.items():
            if name.startswith(_ETCD_VARIABLE):
                yield _flag(name.removeprefix(_ETCD_VARIABLE).lower().replace("_", "-"), value)


def _flag(name: str, value: str) -> Flag:
    """A flag, with a switch spelt one way (strconv.ParseBool): kubespray writes True."""
    if name.replace("_", "-") in _SWITCHES:
        return Flag(name, next((text for text, forms in _TRUTHS.items() if value in forms), value))
    return Flag(name, value)


def _texts(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []


def _flags(words: Iterable[str]) -> Iterator[Flag]:
    """`--name=value`, `--name value` and `--name`, which means true (pflag)."""
    waiting = ""
    for word in words:
        if word.startswith("-") and word.strip("-"):
            if waiting:
                yield Flag(waiting, "true")
            name, separator, value = word.lstrip("-").partition("=")
            waiting = "" if separator else name
            if separator:
                yield _flag(name, value)
        elif waiting:
            yield Flag(waiting, word)
            waiting = ""
    if waiting:
        yield Flag(waiting, "true")


# -- units ------------------------------------------------------------------------------------------------


def _of_units(tree: NodeTree) -> Iterator[tuple[ComponentName, Program]]:
    for component in ComponentName:
        # Of units of one name that in /etc counts: it comes last, and `dict` keeps the last.
        paths = (f"{directory}/{component}.service" for directory in reversed(_UNITS))
        for file in filter(None, map(tree.file, paths)):
            lines = [*_lines(file), *_of_drop_ins(tree, file.path)]
            words = unwrapped(_command(tree, lines), (component,))
            if words and posixpath.basename(words[0]) == component:
                variables = _variables(tree, lines)
                spot = Spot(node=tree.name, path=file.path, shown=file.shown)
                flags = (*_of_environment(component, variables), *_flags(words[1:]))
                yield component, Program(spot=spot, flags=ProgramFlags(component=component, flags=flags))


def _of_drop_ins(tree: NodeTree, unit: str) -> Iterator[tuple[str, str]]:
    """What the files of a unit's drop-in directories add to it, by their names (systemd.unit(5))."""
    name = posixpath.basename(unit)
    paths = {
        file: posixpath.join(directory, f"{name}.d", file)
        for directory in reversed(_UNITS)
        for file in tree.names(posixpath.join(directory, f"{name}.d"))
        if file.endswith(".conf")
    }
    # The names decide, not the directories: 20-x of one follows 10-x of another.
    for file in filter(None, (tree.file(paths[each]) for each in sorted(paths))):
        yield from _lines(file)


def _lines(file: FoundFile) -> list[tuple[str, str]]:
    text = file.data.decode(errors="replace").replace("\\\n", " ")
    pairs = (line.partition("=") for line in text.splitlines() if not line.startswith(("#", ";")))
    return [(key.strip(), value.strip()) for key, separator, value in pairs if separator]


def _command(tree: NodeTree, lines: Sequence[tuple[str, str]]) -> list[str]:
    """The last ExecStart, with the variables of its environment files put in, as systemd does it."""
    # An empty ExecStart takes back those before it, and the last one counts anyway.
    commands = [value for key, value in lines if key == "ExecStart" and value]
    variables = _variables(tree, lines)
    words: list[str] = []
    for word in _split(commands[-1]) if commands else ():
        whole = _VARIABLE.fullmatch(word)
        # A variable that is a word of its own becomes several words, or none.
        words += _split(variables.get(whole[1], "")) if whole else [word]
    return words


def _variables(tree: NodeTree, lines: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in lines:
        if key == "EnvironmentFile":
            file = tree.file(value.removeprefix("-"))
            found |= dict(_assignments(file)) if file is not None else {}
        elif key == "Environment":
            found |= {name: text for name, _, text in (each.partition("=") for each in _split(value))}
    return found


def _assignments(file: FoundFile) -> Iterator[tuple[str, str]]:
    """The variables of an environment file: what follows is one value, also with spaces and no quotes."""
    text = file.data.decode(errors="replace").replace("\\\n", " ")
    return ((name, _unquoted(value)) for name, value in _ASSIGNMENT.findall(text))


def _unquoted(value: str) -> str:
    quote = value[0] if len(value) > 1 and value[0] == value[-1] else ""
    match quote:
        case "'":
            return value[1:-1]
        case '"':
            return re.sub(r"\\([\"\\`$])", r"\1", value[1:-1])
        case _:
            return re.sub(r"\\(.)", r"\1", value.rstrip())


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return []


# -- kubelets ---------------------------------------------------------------------------------------------


def _kubelet(tree: NodeTree, unit: Program | None, unread: list[Unread]) -> Program | None:
    """The kubelet as its unit starts it, else as the package's unit does (10-kubeadm.conf)."""
    plain = ProgramFlags(component=ComponentName.KUBELET, flags=tuple(_kubelet_flags(tree, unit)))
    file, kubeconfig = tree.file(plain.value("config")), tree.file(plain.value("kubeconfig"))
    source = file or kubeconfig
    if unit is None and source is None:
        return None
    # An empty path is the root, which is there.
    settings = _settings(tree, file, unread) if file is not None and plain.value("config") else {}
    return Program(
        spot=unit.spot if unit is not None else _spot_of(tree, source),
        flags=replace(plain, settings=settings),
    )


def _kubelet_flags(tree: NodeTree, unit: Program | None) -> Iterator[Flag]:
    flags = unit.flags.flags if unit is not None else ()
    # Such a unit needs no drop-in of kubeadm's package, which else gives these two.
    if any(flag.name in {"config", "kubeconfig"} for flag in flags):
        yield from flags
        return
    # First: what the unit itself gives counts more, as with pflag the last one does.
    yield Flag("kubeconfig", _KUBELET_KUBECONFIG)
    yield Flag("config", _KUBELET_CONFIGURATION)
    yield from flags
    yield from _kubelet_arguments(tree)


def _spot_of(tree: NodeTree, file: FoundFile | None) -> Spot:
    return Spot(
        node=tree.name,
        path=file.path if file is not None else "",
        shown=file.shown if file is not None else "",
    )


def _kubelet_arguments(tree: NodeTree) -> Iterator[Flag]:
    for path in _KUBELET_ARGUMENTS:
        file = tree.file(path)
        for _, value in _assignments(file) if file is not None else ():
            yield from _flags(_split(value))


def _settings(tree: NodeTree, file: FoundFile, unread: list[Unread]) -> dict[str, str]:
    documents = [each for each in yaml_values(file) if at(each, "kind") == "KubeletConfiguration"]
    if not documents:
        spot = Spot(node=tree.name, path=file.path, shown=file.shown)
        unread.append(Unread(spot=spot, problem=file.problem or "is no KubeletConfiguration"))
        return {}
    values = {flag: at(documents[0], *keys) for flag, keys in _KUBELET_SETTINGS.items()}
    return {
        flag: _text(value) for flag, value in values.items() if isinstance(value, str | int) and value != ""
    }


def _text(value: str | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
