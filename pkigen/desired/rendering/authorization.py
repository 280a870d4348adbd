"""The configuration that API servers authorize by, and the rules by which they would refuse to read it.

An API server that cannot read the file does not start, and one that runs stays with what it had. So nothing
is written that has not passed the same rules first: strict decoding, `ValidateAuthorizationConfiguration` of
`apiserver/pkg/apis/apiserver/validation`, and `LoadAndValidateData` of `pkg/kubeapiserver/authorizer`. Of CEL
only the forms of expression below are known here, and nothing else is let through.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pkigen.desired.authorization import webhook_path
from pkigen.desired.rendering.contexts import (
    AuthorizationConfiguration,
    AuthorizationWebhook,
    RefusingAuthorizer,
)
from pkigen.desired.revocations import CredentialIdKind, in_order, marker
from pkigen.notation import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pkigen.desired.revocations import Revocation
    from pkigen.spec.model import ClusterSpec

NOWHERE: Final = "https://127.0.0.1:0/this-credential-is-revoked"
"""No program can listen at port 0. Whoever is refused reads this URL in the API server's answer."""
_KEY: Final = "'authentication.kubernetes.io/credential-id'"
_HAS_ID: Final = f"{_KEY} in request.extra"
# cel-go parser/options.go: an expression has at most 100,000 characters; some are left for what is around.
_LONGEST_LIST: Final = 90_000
_LONGEST_EXPRESSION: Final = 100_000
# As `compileMatchConditions` of that package has it, and 30 seconds below as `ValidateWebhookConfiguration`.
_MOST_CONDITIONS: Final = 64
_STRING: Final = r"'[A-Za-z0-9._:/+=@~-]+'"
_LIST: Final = rf"\[{_STRING}(?:, {_STRING})*\]"
_KNOWN_EXPRESSIONS: Final = (
    re.compile(re.escape(_HAS_ID)),
    re.compile(rf"request\.extra\[{re.escape(_KEY)}\]\.exists\(id, id in {_LIST}\)"),
    re.compile(rf"request\.user in {_LIST}"),
)


def context_of(cluster: ClusterSpec, revoked: Iterable[Revocation]) -> AuthorizationConfiguration:
    """What the file says: who is refused first, then Node and RBAC as ever."""
    listed = in_order(revoked)
    users = [each.credential.value for each in listed if each.credential.kind is CredentialIdKind.USER]
    ids = [str(each.credential) for each in listed if each.credential.kind is not CredentialIdKind.USER]
    # The marker only beside something: an empty list asks nothing of a request.
    ids += [str(marker(listed))] if listed else []
    refusals = [
        # The first is false where there is no id; then the error of the second counts for nothing
        # (`CELMatcher.Eval` of apiserver's authorization/cel). Without it, whoever has no id would be
        # refused.
        *((_HAS_ID, f"request.extra[{_KEY}].exists(id, id in [{part}])") for part in _parts(sorted(ids))),
        *((f"request.user in [{part}]",) for part in _parts(users)),
    ]
    return AuthorizationConfiguration(
        webhook=webhook_path(cluster),
        refusals=tuple(
            RefusingAuthorizer(name=f"revoked-{number}", conditions=conditions)
            for number, conditions in enumerate(refusals, start=1)
        ),
    )


def webhook_context() -> AuthorizationWebhook:
    """The kubeconfig that leads nowhere: what cannot be asked is refused (`failurePolicy: Deny`)."""
    return AuthorizationWebhook(server=NOWHERE)


def _parts(values: Sequence[str]) -> Iterator[str]:
    """Lists of strings, none longer than an expression may be: only authorizers are joined by OR."""
    part: list[str] = []
    length = 0
    for value in values:
        text = f"'{value}'"
        # With the comma and the blank between two of them.
        if length + len(text) + 2 > _LONGEST_LIST:
            yield ", ".join(part)
            part.clear()
            length = 0
        part.append(text)
        length += len(text) + 2
    if part:
        yield ", ".join(part)


# -- the API server's rules ------------------------------------------------------------------------------

_TYPES: Final = ("AlwaysAllow", "AlwaysDeny", "ABAC", "Webhook", "RBAC", "Node")
# IsDNS1123Subdomain (apimachinery, util/validation/validation.go), and its DNS1123SubdomainMaxLength.
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_LONGEST_NAME: Final = 253
_SECONDS: Final = re.compile(r"[1-9][0-9]{0,5}s")
# apiserver, `apis/apiserver/validation/validation.go`: a longer `timeout` is refused.
_LONGEST_TIMEOUT: Final = 30


def faults(document: Any) -> Iterator[str]:
    """Why an API server would refuse a configuration, one sentence for each reason.

    Args:
        document: The only document of the file.
    """
    fields = ("apiVersion", "kind", "authorizers")
    yield from _fields(document, fields, "it")
    if not isinstance(document, dict):
        return
    if (document.get("apiVersion"), document.get("kind")) != (
        "apiserver.config.k8s.io/v1",
        "AuthorizationConfiguration",
    ):
        yield "it is no AuthorizationConfiguration of apiserver.config.k8s.io/v1"
    authorizers = document.get("authorizers")
    if not isinstance(authorizers, list) or not authorizers:
        yield "it has no authorizers"
        return
    for number, authorizer in enumerate(authorizers):
        yield from _of_authorizer(authorizer, f"authorizers[{number}]")
    yield from _of_all([each for each in authorizers if isinstance(each, dict)])


def _of_all(authorizers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Names are unique, and so are types, but for webhooks."""
    yield from _repeated([each.get("name") for each in authorizers], "the name")
    types = [each.get("type") for each in authorizers]
    yield from _repeated([each for each in types if each != "Webhook"], "the type")


def _repeated(values: Sequence[Any], what: str) -> Iterator[str]:
    """As sorted texts: a template may render any type, and no message may depend on the order of a set."""
    for value in sorted({str(each) for each in values}):
        if sum(str(each) == value for each in values) > 1:
            yield f"two authorizers have {what} {value}"


def _fields(content: Any, known: Iterable[str], place: str) -> Iterator[str]:
    """Decoding is strict: neither another type nor a field that is not known."""
    if not isinstance(content, dict):
        yield f"{place} is no mapping"
        return
    for name in content:
        if name not in set(known):
            yield f"{place} has a field that the API server does not know"


def _of_authorizer(content: Any, place: str) -> Iterator[str]:
    yield from _fields(content, ("type", "name", "webhook"), place)
    if not isinstance(content, dict):
        return
    kind = content.get("type")
    if kind not in _TYPES:
        yield f"{place} has no type that the API server knows"
        return
    yield from _of_name(content.get("name"), kind, place)
    if kind == "Webhook":
        yield from _of_webhook(content.get("webhook"), f"{place}.webhook")
    elif content.get("webhook") is not None:
        yield f"{place} has a webhook, and is none"


def _of_name(name: Any, kind: str, place: str) -> Iterator[str]:
    if not isinstance(name, str) or len(name) > _LONGEST_NAME or not _SUBDOMAIN.fullmatch(name):
        yield f"{place} has no name that is a DNS subdomain"
    # pkg/kubeapiserver/authorizer/config.go, GetNameForAuthorizerMode
    if kind != "Webhook" and name != kind.lower():
        yield f"{place} is not called {kind.lower()}"


def _is_one_of(*values: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in values


def _is_duration(value: Any) -> bool:
    """Whole seconds: of Go's other forms none is needed."""
    return isinstance(value, str) and _SECONDS.fullmatch(value) is not None


def _is_timeout(value: Any) -> bool:
    return _is_duration(value) and parse_duration(value).total_seconds() <= _LONGEST_TIMEOUT


WEBHOOK_FIELDS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "timeout": _is_timeout,
    "authorizedTTL": _is_duration,
    "unauthorizedTTL": _is_duration,
    "subjectAccessReviewVersion": _is_one_of("v1"),
    "matchConditionSubjectAccessReviewVersion": _is_one_of("v1"),
    "failurePolicy": _is_one_of("Deny", "NoOpinion"),
}


def _of_webhook(content: Any, place: str) -> Iterator[str]:
    yield from _fields(content, (*WEBHOOK_FIELDS, "connectionInfo", "matchConditions"), place)
    if not isinstance(content, dict):
        return
    for name, is_right in WEBHOOK_FIELDS.items():
        if not is_right(content.get(name)):
            yield f"{place}.{name} is not what it must be"
    yield from _of_connection(content.get("connectionInfo"), f"{place}.connectionInfo")
    yield from _of_conditions(content.get("matchConditions"), f"{place}.matchConditions")


def _of_connection(content: Any, place: str) -> Iterator[str]:
    yield from _fields(content, ("type", "kubeConfigFile"), place)
    if not isinstance(content, dict):
        return
    path = content.get("kubeConfigFile")
    is_file = isinstance(path, str) and path.startswith("/") and "\0" not in path
    if content.get("type") != "KubeConfigFile" or not is_file:
        yield f"{place} names no kubeconfig by its absolute path"


def _of_conditions(content: Any, place: str) -> Iterator[str]:
    """A webhook without conditions would be asked about everything, and refuse everybody."""
    if not isinstance(content, list) or not 0 < len(content) <= _MOST_CONDITIONS:
        yield f"{place} are not 1 to {_MOST_CONDITIONS}"
        return
    for number, condition in enumerate(content):
        yield from _fields(condition, ("expression",), f"{place}[{number}]")
    texts = [each.get("expression") for each in content if isinstance(each, dict)]
    for number, text in enumerate(texts):
        if not _is_known(text):
            yield f"{place}[{number}].expression is not one that pkigen can judge"
    if len({str(each) for each in texts}) < len(texts):
        yield f"{place} has an expression twice"


def _is_known(expression: Any) -> bool:
    """By its text: nothing here compiles CEL, and one that fails refuses requests (failurePolicy: Deny)."""
    if not isinstance(expression, str) or len(expression) > _LONGEST_EXPRESSION:
        return False
    return any(known.fullmatch(expression) for known in _KNOWN_EXPRESSIONS)


def missing(document: Any, context: AuthorizationConfiguration) -> str | None:
    """What of a template's own making lacks of what was asked for; None where nothing."""
    authorizers = document["authorizers"]
    wanted = [
        (each.name, [{"expression": condition} for condition in each.conditions], context.webhook)
        for each in context.refusals
    ]
    first = [_refusal(each) for each in authorizers[: len(wanted)]]
    if first != wanted:
        return "the first authorizers are not those that refuse what is revoked"
    if not {"Node", "RBAC"} <= {each["type"] for each in authorizers}:
        return "it lacks Node or RBAC, which a running API server must keep"
    return None


def _refusal(authorizer: Mapping[str, Any]) -> tuple[Any, Any, Any] | None:
    """What makes an authorizer refuse: with `NoOpinion` a failing webhook would leave it to the next one."""
    webhook = authorizer.get("webhook")
    if webhook is None or webhook["failurePolicy"] != "Deny":
        return None
    return authorizer["name"], webhook["matchConditions"], webhook["connectionInfo"]["kubeConfigFile"]
