"""What client-go refuses in a kubeconfig before it contacts any server (`clientcmd/validation.go`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.access.kubeconfigs import NamedEntry
    from pkigen.access.yaml_text import Value

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_PROXY_SCHEMES: Final = frozenset({"http", "https", "socks5"})
"""`parseProxyURL` of `clientcmd/helpers.go`."""
_CONTROL: Final = re.compile("[\\x00-\\x08\\x0a-\\x1f\\x7f]")
"""What no header has in it (Go's `httpguts.ValidHeaderFieldValue`)."""
_API: Final = "client.authentication.k8s.io"
_MODES: Final = frozenset({"Never", "IfAvailable", "Always"})
_OLD_APIS: Final = frozenset({f"{_API}/v1beta1", f"{_API}/v1alpha1"})
"""For these `interactiveMode` has a default (`api/v1/defaults.go`)."""
_APIS: Final = frozenset({f"{_API}/v1beta1", f"{_API}/v1"})
"""What kubectl still understands (`plugin/pkg/client/auth/exec`)."""


def is_encrypted(server: str) -> bool:
    """Whether client-go speaks TLS with a server: to an address alone it speaks HTTP (`DefaultServerURL`)."""
    return re.match(r"(?i)https://[^/?#]", server) is not None


def cluster_faults(cluster: NamedEntry) -> Iterator[str]:
    """Why a cluster cannot be used (`validateClusterInfo`)."""
    if not cluster.text("server"):
        yield "it has no server: kubectl asks localhost:8080 instead"
    proxy = cluster.text("proxy-url")
    scheme = _SCHEME.match(proxy)
    if proxy and (scheme is None or scheme[1].lower() not in _PROXY_SCHEMES):
        yield "kubectl refuses a proxy-url that does not begin with http, https or socks5"
    yield from _given_twice(cluster, "certificate-authority")


def user_faults(user: NamedEntry) -> Iterator[str]:
    """Why a user cannot be used (`validateAuthInfo`), whoever that is."""
    has_certificate = any(user.text(f"client-certificate{end}") for end in ("", "-data"))
    for key in ("client-certificate", "client-key") if has_certificate else ():
        yield from _given_twice(user, key)
    yield from _token_faults(user)
    if not user.text("as") and any(user.fields.get(key) for key in ("as-uid", "as-groups", "as-user-extra")):
        yield "kubectl refuses as-groups, as-uid and as-user-extra without as"
    program = user.fields.get("exec")
    if isinstance(program, Mapping):
        yield from _program_faults(program)
        if user.fields.get("auth-provider") is not None:
            yield "kubectl refuses exec beside an auth-provider"


def _token_faults(user: NamedEntry) -> Iterator[str]:
    if user.text("token") and (user.text("username") or user.text("password")):
        yield "kubectl refuses a token beside a user name or a password"
    if _CONTROL.search(user.text("token")):
        yield "kubectl cannot send a token with a line break or another control character"


def _given_twice(entry: NamedEntry, key: str) -> Iterator[str]:
    if entry.text(key) and entry.text(f"{key}-data"):
        yield f"kubectl refuses {key} beside {key}-data"


def _program_faults(program: Mapping[str, Value]) -> Iterator[str]:
    api, mode = program.get("apiVersion"), program.get("interactiveMode")
    if not program.get("command"):
        yield "kubectl refuses exec without a command"
    if api not in _APIS:
        yield f"kubectl refuses exec without the apiVersion {_API}/v1 or {_API}/v1beta1"
    if mode not in _MODES and (mode or api not in _OLD_APIS):
        yield "kubectl refuses exec without the interactiveMode Never, IfAvailable or Always"
    variables = program.get("env")
    for variable in variables if isinstance(variables, list | tuple) else ():
        if isinstance(variable, Mapping) and not variable.get("name"):
            yield "kubectl refuses exec with a variable that has no name"
