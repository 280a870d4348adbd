"""Reads rendered text back and compares it with what it was made from.

For templates of a user's own it runs every time; for the built-in ones in the tests, for every kind of file.
"""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache, singledispatch
from typing import TYPE_CHECKING, Any

from pkigen.desired.rendering import authentication, authorization
from pkigen.desired.rendering.contexts import (
    AuthenticationConfiguration,
    AuthorizationConfiguration,
    AuthorizationWebhook,
    CertificateKubeconfig,
    ClusterAdmins,
    EncryptionConfiguration,
    FlagFile,
    IAMAccess,
    KubeletClient,
    KubeletConfiguration,
    KubeProxyConfiguration,
    LoginKubeconfig,
    NamingKubeconfig,
    NodeRotation,
    PublishedTrust,
    TokenKubeconfig,
    Unit,
    UserAccess,
)
from pkigen.desired.rendering.file_syntax import Mismatch, documents, environment, unit_settings
from pkigen.desired.rendering.flags import flag_name
from pkigen.desired.rendering.nodes import flags_variable
from pkigen.desired.rendering.pods import StaticPod
from pkigen.errors import TemplateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pkigen.desired.items import FileKind

# A template of an addon may hold several objects, but of no other kind: each would be applied with them.
_KINDS: dict[type, frozenset[str]] = {
    ClusterAdmins: frozenset({"ClusterRoleBinding"}),
    EncryptionConfiguration: frozenset({"EncryptionConfiguration"}),
    KubeletClient: frozenset({"ClusterRoleBinding"}),
    KubeletConfiguration: frozenset({"KubeletConfiguration"}),
    KubeProxyConfiguration: frozenset({"KubeProxyConfiguration"}),
    NodeRotation: frozenset({"ClusterRoleBinding"}),
    PublishedTrust: frozenset({"ClusterTrustBundle"}),
    IAMAccess: frozenset({"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}),
    UserAccess: frozenset({"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ServiceAccount"}),
}
_FLAGS = ".flags"
_API_SERVER = "kube-apiserver"
"""The one component whose flags a template may change."""
_PORT = "secure-port"
_MOST_NAMED = 5
_EXCLUDED = {"authorization-config": "authorization-mode"}
"""Flags that stand in the place of another (`spec.flag_combinations` refuses both)."""
# With the value in the next argument, what is a flag would depend on which of them take none.
_ONE_ARGUMENT = re.compile(r"--[A-Za-z0-9][A-Za-z0-9_.-]*=[^\0\n]*", re.DOTALL)


def check(text: str, context: object, place: str) -> None:
    """Read rendered text back.

    Args:
        text: What a template rendered.
        context: What it was rendered from.
        place: The template's file, for the message.

    Raises:
        TemplateError: It is not what it must be; no value is quoted, since it may be a key.
    """
    try:
        _compare(context, text)
    except Mismatch as mismatch:
        msg = f"{place}: {mismatch}"
        raise TemplateError(msg, hint="compare it with the template that it overrides") from None


def check_flags(defaults: tuple[str, ...], found: tuple[str, ...], place: str) -> None:
    """Check what an operator's own template makes of the API server's flags.

    Args:
        defaults: The arguments of pkigen's template.
        found: Those of the other.
        place: Its file, for the message.

    Raises:
        TemplateError: One is no flag, one is missing, or one says what only the spec may.
    """
    try:
        _compare_flags(defaults, list(found))
    except Mismatch as mismatch:
        msg = f"{place}: {mismatch}"
        raise TemplateError(msg, hint="compare it with the template that it overrides") from None


def arguments(text: str, kind: FileKind) -> tuple[str, ...] | None:
    """What a component is started with, by its static Pod or flag file; None where the text is neither."""
    component = kind.removesuffix(_FLAGS)
    try:
        if kind.endswith(_FLAGS):
            (given,) = environment(text).values()
            return tuple(given)
        # Exactly one: of several nobody knows which is meant.
        (words,) = _started(text, component)
        return tuple(_joined(words[1:]))
    except (Mismatch, ValueError, TypeError):
        return None


_KUBELET_SETTINGS = {
    "client-ca-file": ("authentication", "x509", "clientCAFile"),
    "tls-cert-file": ("tlsCertFile",),
    "tls-private-key-file": ("tlsPrivateKeyFile",),
    "port": ("port",),
}
"""What of a kubelet's configuration has a flag of its own."""


@lru_cache(maxsize=64)
def kubelet_settings(text: bytes) -> Mapping[str, str] | None:
    """What a kubelet's configuration says of certificates and its port, by flag; None where it is none.

    Nodes have the same one, so it is parsed once.
    """
    try:
        (configuration,) = documents(text.decode())
    except (Mismatch, ValueError):
        return None
    found = {flag: _at(configuration, keys) for flag, keys in _KUBELET_SETTINGS.items()}
    return {flag: str(value) for flag, value in found.items() if value not in {None, ""}}


def scheduler_settings(text: bytes) -> Mapping[str, str]:
    """The kubeconfig that a scheduler's configuration names, by its flag; nothing where it names none."""
    try:
        (configuration,) = documents(text.decode())
    except (Mismatch, ValueError):
        return {}
    # The deprecated --kubeconfig counts only where there is no configuration file
    # (cmd/kube-scheduler/app/options/options.go, ApplyTo).
    named = _at(configuration, ("clientConnection", "kubeconfig"))
    return {"kubeconfig": named} if isinstance(named, str) and named else {}


def _at(content: Any, keys: tuple[str, ...]) -> Any:
    """The value at a path of keys; None where there is none, or no scalar."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content if isinstance(content, str | int) else None


@singledispatch
def _compare(context: object, text: str) -> None:
    """Check other objects by their kind only; their content is up to the template."""
    kinds = _KINDS[type(context)]
    for document in documents(text):
        if (
            not isinstance(document, dict)
            or document.get("kind") not in kinds
            or "apiVersion" not in document
        ):
            msg = f"it renders an object that is not a {' or '.join(sorted(kinds))}"
            raise Mismatch(msg)


@_compare.register(StaticPod)
def _(context: StaticPod, text: str) -> None:
    named, commands = _commands(text, context.component)
    if named != (1, "Pod", context.component, "kube-system"):
        msg = f"it does not render one Pod {context.component} in kube-system"
        raise Mismatch(msg)
    if context.component == _API_SERVER:
        _compare_flags(context.arguments, _after_program(commands))
    elif commands != [[context.component, *context.arguments]]:
        raise Mismatch("the command is not the program with exactly its flags: extraArgs change flags")
    # A template may add variables of its own, and take none away.
    if not {(each.name, each.value) for each in context.environment} <= _variables(text, context.component):
        raise Mismatch("the environment lacks a variable of extraEnvs")


def _after_program(commands: list[Any]) -> list[Any]:
    """The arguments of the API server's only command."""
    match commands:
        case [[program, *arguments]] if program == _API_SERVER:
            return arguments
        case _:
            msg = f"the command is not {_API_SERVER} with its flags"
            raise Mismatch(msg)


def _compare_flags(defaults: tuple[str, ...], found: list[Any]) -> None:
    """The API server's flags may be more, have other values and another order; none of them may be missing.

    A template that was copied once would otherwise leave out what a later version, a rotation or the
    encryption of Secrets adds.
    """
    _require_flags(found)
    names = {_name(each) for each in found}
    instead = {excluded for name, excluded in _EXCLUDED.items() if name in names}
    missing = sorted({_name(each) for each in defaults} - names - instead)
    if missing:
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        some = ", --".join(missing[:_MOST_NAMED])
        msg = f"the command lacks --{some}{more}: a template may change a flag, not drop it"
        raise Mismatch(msg)

    # Each flag may stand several times, and the last one counts (pflag).
    ports = [_last(_PORT, arguments) for arguments in (defaults, found)]
    if ports[0] != ports[1]:
        msg = f"it changes --{_PORT}: set it in extraArgs, from where kubeconfigs and probes take it too"
        raise Mismatch(msg)


def _require_flags(found: list[Any]) -> None:
    """Every argument is a flag with its value."""
    for number, each in enumerate(found, start=1):
        if not isinstance(each, str) or not _ONE_ARGUMENT.fullmatch(each):
            msg = f"argument {number} of {_API_SERVER} is not of the form --NAME=VALUE"
            raise Mismatch(msg)


def _last(name: str, arguments: Iterable[str]) -> str:
    """The value that counts of a flag that is given."""
    return [each.partition("=")[2] for each in arguments if _name(each) == name][-1]


def _name(argument: str) -> str:
    """The name of the flag in `--NAME=VALUE`, as the API server knows it."""
    return flag_name(argument.removeprefix("--").partition("=")[0])


def _started(text: str, component: str) -> list[list[str]]:
    """What Pods of anybody's start a component with: commands with the arguments after them.

    Others may name a container as they like; the component is what its command ends in.
    """
    found = []
    for pod in documents(text):
        try:
            containers = pod["spec"]["containers"]
            started = [[*(each.get("command") or ()), *(each.get("args") or ())] for each in containers]
        except (AttributeError, KeyError, TypeError):
            continue
        found += [words for words in started if words and posixpath.basename(str(words[0])) == component]
    return found


def _joined(words: Iterable[Any]) -> Iterator[str]:
    """`--NAME=VALUE` for `--NAME VALUE`, as pflag reads both."""
    waiting = ""
    for word in map(str, words):
        # What begins with a dash is the next flag: one that is true or false needs no value.
        if waiting and not word.startswith("-"):
            yield f"{waiting}={word}"
            waiting = ""
            continue
        if waiting:
            yield waiting
        waiting = word if word.startswith("--") and "=" not in word else ""
        if not waiting:
            yield word
    if waiting:
        yield waiting


def _commands(text: str, component: str) -> tuple[tuple[Any, ...], list[Any]]:
    """How many Pods there are, the kind, name and namespace of the first, and its command for a component."""
    pods = documents(text)
    try:
        pod = pods[0]
        named = (len(pods), pod["kind"], pod["metadata"]["name"], pod["metadata"]["namespace"])
        containers = pod["spec"]["containers"]
        return named, [each["command"] for each in containers if each["name"] == component]
    except (AttributeError, IndexError, KeyError, TypeError):
        raise Mismatch("it does not render a Pod with a container and its command") from None


def _variables(text: str, component: str) -> set[tuple[str, str]]:
    """The environment of a container, as pairs of name and value."""
    try:
        return {
            (str(each["name"]), str(each.get("value", "")))
            for container in documents(text)[0]["spec"]["containers"]
            if container["name"] == component
            for each in container.get("env") or ()
        }
    except (AttributeError, KeyError, TypeError):
        raise Mismatch("it renders an environment that is not a list of variables") from None


@_compare.register(CertificateKubeconfig)
def _(context: CertificateKubeconfig, text: str) -> None:
    trust = {"certificate-authority-data": context.trust_bundle}
    credential = {"client-certificate-data": context.certificate, "client-key-data": context.key}
    _compare_kubeconfig(context, trust, credential, text)


@_compare.register(TokenKubeconfig)
def _(context: TokenKubeconfig, text: str) -> None:
    trust = {"certificate-authority-data": context.trust_bundle}
    _compare_kubeconfig(context, trust, {"token": context.token}, text)


@_compare.register(NamingKubeconfig)
def _(context: NamingKubeconfig, text: str) -> None:
    credential = {"client-certificate": context.certificate, "client-key": context.key}
    _compare_kubeconfig(context, {"certificate-authority": context.trust_bundle}, credential, text)


def _compare_kubeconfig(
    context: CertificateKubeconfig | LoginKubeconfig | NamingKubeconfig | TokenKubeconfig,
    trust: dict[str, str],
    credential: Mapping[str, object],
    text: str,
) -> None:
    """All of it, not only what should be there: a second user or cluster would be somebody's way in."""
    in_context = {"cluster": context.cluster, "user": context.user}
    if not isinstance(context, NamingKubeconfig) and context.namespace is not None:
        in_context["namespace"] = context.namespace
    expected = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context.context,
        "clusters": [
            {
                "name": context.cluster,
                "cluster": {"server": context.server, **trust},
            }
        ],
        "contexts": [{"name": context.context, "context": in_context}],
        "users": [{"name": context.user, "user": credential}],
    }
    # The order of keys, comments and quoting are the template's affair: what is compared is what a client
    # reads.
    found = documents(text)
    if found and isinstance(found[0], dict) and found[0].get("preferences") == {}:
        del found[0]["preferences"]  # older clients write it
    if found != [expected]:
        raise Mismatch("the kubeconfig is not exactly its cluster, context and user")


@_compare.register(LoginKubeconfig)
def _(context: LoginKubeconfig, text: str) -> None:
    trust = {"certificate-authority-data": context.trust_bundle}
    program = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "args": list(context.arguments),
        "command": "kubectl",
        "installHint": context.install_hint,
        "interactiveMode": "IfAvailable",
        "provideClusterInfo": False,
    }
    _compare_kubeconfig(context, trust, {"exec": program}, text)


@_compare.register(AuthenticationConfiguration)
def _(context: AuthenticationConfiguration, text: str) -> None:
    """Exactly what the spec says: whoever is added here is let in."""
    if documents(text) != [authentication.document(context)]:
        raise Mismatch("the AuthenticationConfiguration is not exactly what the spec says")


@_compare.register(AuthorizationConfiguration)
def _(context: AuthorizationConfiguration, text: str) -> None:
    """By the API server's own rules: it would not start with a file that breaks one of them."""
    found = documents(text)
    if len(found) != 1:
        raise Mismatch("it is not one document")
    fault = next(authorization.faults(found[0]), None) or authorization.missing(found[0], context)
    if fault is not None:
        msg = f"an API server would not take this AuthorizationConfiguration: {fault}"
        raise Mismatch(msg)


@_compare.register(AuthorizationWebhook)
def _(context: AuthorizationWebhook, text: str) -> None:
    """Exactly what leads nowhere: whoever answers there could let in what is revoked."""
    expected = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "nowhere",
        "clusters": [{"name": "nowhere", "cluster": {"server": context.server}}],
        "contexts": [{"name": "nowhere", "context": {"cluster": "nowhere", "user": ""}}],
    }
    if documents(text) != [expected]:
        raise Mismatch("the webhook's kubeconfig does not lead nowhere")


@_compare.register(FlagFile)
def _(context: FlagFile, text: str) -> None:
    found = environment(text)
    if context.variable == flags_variable(_API_SERVER) and found.keys() == {context.variable}:
        _compare_flags(context.arguments, found[context.variable])
    elif found != {context.variable: list(context.arguments)}:
        msg = f"it does not set {context.variable} to exactly the flags: extraArgs change flags"
        raise Mismatch(msg)


@_compare.register(Unit)
def _(context: Unit, text: str) -> None:
    settings = list(unit_settings(text))
    # Only a oneshot service may have several, and none of these is one (systemd.service(5)).
    commands = [
        value.split() for section, key, value in settings if (section, key) == ("Service", "ExecStart")
    ]
    if commands != [[context.program, f"${context.variable}"]]:
        msg = f"ExecStart is not {context.program} ${context.variable}"
        raise Mismatch(msg)
    # Another file beside it could set the same variable again.
    if ("Service", "EnvironmentFile", context.environment_file) not in settings:
        msg = f"EnvironmentFile is not {context.environment_file}"
        raise Mismatch(msg)
