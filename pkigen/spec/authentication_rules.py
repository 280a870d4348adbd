"""Rules about the ways into the API server, so that it reads the file and starts.

They are those of `ValidateAuthenticationConfiguration` (apiserver `pkg/apis/apiserver/validation`) and of
`pkg/kubeapiserver/options/authentication.go`; what is pkigen's own says so. CEL is not compiled here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pkigen import layout
from pkigen.spec import cel
from pkigen.spec.authentication import PrefixedClaim
from pkigen.spec.feature_gates import FLAG, chosen
from pkigen.spec.findings import Location, SpecFinding, last, last_known, repeats, warning
from pkigen.spec.flag_combinations import AUTHENTICATION_FLAG
from pkigen.spec.flag_values import is_true
from pkigen.spec.model import ManagedFiles, Runtime
from pkigen.spec.translation import quote
from pkigen.spec.user_rules import is_reserved_user
from pkigen.spec.values import parse_person
from pkigen.spec.versions import ANONYMOUS_ENDPOINTS, AUTHENTICATION_FILE, EGRESS_SELECTOR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pkigen.spec.authentication import ClaimMappings, ClaimValidationRule, JWTIssuer, PlainClaim
    from pkigen.spec.model import ClusterSpec
    from pkigen.spec.versions import VersionChange

_AT: Final[Location] = ("spec", "authentication")
_JWT: Final[Location] = (*_AT, "jwt")
_ANONYMOUS: Final[Location] = (*_AT, "anonymous")
_FLAGS: Final[Location] = ("spec", "apiServer", "extraArgs")
_VERSION: Final[Location] = ("spec", "kubernetesVersion")
_LABEL: Final = "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LONGEST_SUBDOMAIN: Final = 253
# apimachinery util/validation, httpPathFmt, without upper case
_EXTRA_PATH: Final = re.compile(r"[a-z0-9/\-._~%!$&'()*+,;=:]+")
_OF_KUBERNETES: Final = re.compile(r"(?:.*\.)?(?:k8s|kubernetes)\.io")
# kubeadm's static Pod, and pkigen's: the kubelet shows no credential (cmd/kubeadm/app/util/staticpod).
_PROBED: Final = ("/livez", "/readyz")
_STATIC_TOKENS: Final = "token-auth-file"
_SELECTORS: Final = "egress-selector-config-file"


def _versions(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """What the version of Kubernetes reads, with the feature gates that are given."""
    authentication, version = spec.spec.authentication, spec.spec.kubernetes_version
    if authentication is None:
        return
    gate = "StructuredAuthenticationConfiguration"
    if not AUTHENTICATION_FILE.holds(version) or _gate(spec, gate) is False:
        yield _too_early(_AT, AUTHENTICATION_FILE, gate)
    gate = "AnonymousAuthConfigurableEndpoints"
    named = _gate(spec, gate)
    is_on = ANONYMOUS_ENDPOINTS.holds(version) if named is None else named
    if authentication.anonymous is not None and not is_on:
        yield _too_early(_ANONYMOUS, ANONYMOUS_ENDPOINTS, gate)


def _too_early(at: Location, change: VersionChange, gate: str) -> SpecFinding:
    return SpecFinding(
        at=at,
        message=f"needs Kubernetes v1.{change.since} or later, and {gate} not switched off in feature-gates",
        given=(_VERSION, _FLAGS),
    )


def _egress(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Egress selectors came later than the file, and have a file of their own."""
    off = _gate(spec, "StructuredAuthenticationConfigurationEgressSelector") is False
    if not EGRESS_SELECTOR.holds(spec.spec.kubernetes_version) or off:
        message = f"needs Kubernetes v1.{EGRESS_SELECTOR.since} or later"
    elif spec.manages(ManagedFiles.MANIFESTS) and last(spec.spec.api_server.extra_args, _SELECTORS) is None:
        # plugin/pkg/authenticator/token/oidc: "egress lookup required with egress selector type"
        message = f"needs {_SELECTORS} in spec.apiServer.extraArgs: API servers do not start without it"
    else:
        return
    for index, each in enumerate(spec.token_issuers):
        if each.issuer.egress_selector_type is not None:
            at: Location = (*_JWT, index, "issuer", "egressSelectorType")
            yield SpecFinding(at=at, message=message, given=(_VERSION, _FLAGS, ("spec", "manage")))


def _gate(spec: ClusterSpec, name: str) -> bool | None:
    """A feature gate of the API server's, where it is given."""
    return chosen(each.value for each in spec.spec.api_server.extra_args if each.name == FLAG).get(name)


def _issuers(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """No two issuers are the same, and none is the one of the cluster's own tokens."""
    issuers = spec.token_issuers
    for key, values in (
        (("name",), [each.name for each in issuers]),
        (("issuer", "url"), [each.issuer.url for each in issuers]),
        (("issuer", "discoveryURL"), [each.issuer.discovery_url for each in issuers]),
    ):
        # What is not given is like nothing else: its place stands for it.
        for index in repeats([value if value is not None else place for place, value in enumerate(values)]):
            message = f"{quote(values[index])} is that of an earlier issuer already"
            yield SpecFinding(at=(*_JWT, index, *key), message=message)
    for index, each in enumerate(issuers):
        if each.issuer.url in spec.service_account_issuers:
            yield SpecFinding(
                at=(*_JWT, index, "issuer", "url"),
                message="is the issuer of this cluster's service accounts, whose tokens are accepted already",
                given=(_FLAGS, ("spec", "networking", "dnsDomain")),
            )
        yield from _issuer((*_JWT, index, "issuer"), each)


def _issuer(at: Location, each: JWTIssuer) -> Iterator[SpecFinding]:
    """The values of one issuer that depend on one another."""
    issuer = each.issuer
    if issuer.discovery_url is not None and issuer.discovery_url.rstrip("/") == issuer.url.rstrip("/"):
        message = "must be another URL than the issuer's: leave it out where that is right"
        yield SpecFinding(at=(*at, "discoveryURL"), message=message)
    for index in repeats(issuer.audiences):
        message = f"{quote(issuer.audiences[index])} stands there already"
        yield SpecFinding(at=(*at, "audiences", index), message=message)
    if len(issuer.audiences) > 1 and issuer.audience_match_policy is None:
        message = "has several: write audienceMatchPolicy: MatchAny beside them, one of which is then enough"
        yield SpecFinding(at=(*at, "audiences"), message=message, given=((*at, "audienceMatchPolicy"),))


def _mappings(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """What makes users out of tokens."""
    for index, each in enumerate(spec.token_issuers):
        at: Location = (*_JWT, index, "claimMappings")
        mappings = each.claim_mappings
        yield from _claim((*at, "username"), mappings.username)
        yield from _claim((*at, "groups"), mappings.groups)
        yield from _claim((*at, "uid"), mappings.uid)
        yield from _extra((*at, "extra"), mappings)
        yield from _email(at, each)
        if each.allow_system_identity is None:
            yield from _prefixes(at, mappings)
        if spec.spec.users and mappings.username.prefix == "":
            yield warning(
                (*at, "username", "prefix"),
                "is empty: who gets a token in the name of one of spec.users comes in as that user",
            )


def _claim(at: Location, mapping: PrefixedClaim | PlainClaim | None) -> Iterator[SpecFinding]:
    """A claim or an expression, and a prefix beside a claim alone."""
    if mapping is None:
        return
    if mapping.claim is not None and mapping.expression is not None:
        yield SpecFinding(at=at, message="has both claim and expression: give one of them")
    elif mapping.claim is None and mapping.expression is None:
        yield SpecFinding(at=at, message="names no claim: give claim and prefix, or an expression")
    if isinstance(mapping, PrefixedClaim):
        yield from _prefix(at, mapping)
    if mapping.expression is not None:
        yield from _expression((*at, "expression"), mapping.expression)


def _prefix(at: Location, mapping: PrefixedClaim) -> Iterator[SpecFinding]:
    """A prefix stands beside a claim, always, and never beside an expression."""
    if mapping.expression is None and mapping.claim is not None and mapping.prefix is None:
        message = 'lacks prefix, such as "oidc:": write prefix: "" to have the claim as it is'
        yield SpecFinding(at=at, message=message)
    if mapping.expression is not None and mapping.prefix is not None:
        message = "does not go together with expression, which makes the whole name"
        yield SpecFinding(at=(*at, "prefix"), message=message)


def _expression(at: Location, expression: str) -> Iterator[SpecFinding]:
    """What is seen without compiling: the API server does that, and does not start if it cannot."""
    fault = cel.fault(expression, "user" if "userValidationRules" in at else "claims")
    if fault is not None:
        yield SpecFinding(at=at, message=f"{fault}: the API server could not compile it")


def _extra(at: Location, mappings: ClaimMappings) -> Iterator[SpecFinding]:
    """Keys under a domain of one's own (`IsDomainPrefixedPath`), each of them once."""
    for index in repeats([each.key for each in mappings.extra]):
        yield SpecFinding(at=(*at, index, "key"), message="stands there already")
    for index, each in enumerate(mappings.extra):
        here: Location = (*at, index, "key")
        domain, slash, path = each.key.partition("/")
        if not slash or not _EXTRA_PATH.fullmatch(path) or not _is_subdomain(domain):
            message = "must be a name below a domain of yours, in lower case, such as example.org/team"
            yield SpecFinding(at=here, message=message)
        elif _OF_KUBERNETES.fullmatch(domain):
            message = "is reserved: k8s.io and kubernetes.io are Kubernetes' own, with all below them"
            yield SpecFinding(at=here, message=message)
        yield from _expression((*at, index, "valueExpression"), each.value_expression)


def _is_subdomain(text: str) -> bool:
    return len(text) <= _LONGEST_SUBDOMAIN and _SUBDOMAIN.fullmatch(text) is not None


def _email(at: Location, each: JWTIssuer) -> Iterator[SpecFinding]:
    """Who takes the address for the name must ask whether it is verified."""
    name = each.claim_mappings.username.expression
    if name is None or not cel.names_claim(name, "email"):
        return
    others = (
        name,
        *(extra.value_expression for extra in each.claim_mappings.extra),
        *(rule.expression or "" for rule in each.claim_validation_rules),
    )
    if not any(cel.names_claim(other, "email_verified") for other in others):
        yield SpecFinding(
            at=(*at, "username", "expression"),
            message="uses claims.email, and nothing asks for claims.email_verified: add to "
            "claimValidationRules the expression claims.?email_verified.orValue(true) == true",
            given=((*at[:-1], "claimValidationRules"), (*at, "extra")),
        )


def _prefixes(at: Location, mappings: ClaimMappings) -> Iterator[SpecFinding]:
    """pkigen's: no issuer makes names that Kubernetes keeps for itself, but for a reason."""
    for key, mapping in (("username", mappings.username), ("groups", mappings.groups)):
        if mapping is not None and is_reserved_user(mapping.prefix_text):
            yield SpecFinding(
                at=(*at, key, "prefix"),
                message=f"{quote(mapping.prefix)} is reserved for Kubernetes: choose another, such as "
                '"oidc:", or write the reason into allowSystemIdentity',
                given=((*at[:-1], "allowSystemIdentity"),),
            )


def _validation_rules(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """What must hold for claims and users."""
    for index, each in enumerate(spec.token_issuers):
        at: Location = (*_JWT, index, "claimValidationRules")
        yield from _repeated(at, "claim", [rule.claim for rule in each.claim_validation_rules])
        yield from _repeated(at, "expression", [rule.expression for rule in each.claim_validation_rules])
        for place, rule in enumerate(each.claim_validation_rules):
            yield from _claim_rule((*at, place), rule)
        at = (*_JWT, index, "userValidationRules")
        yield from _repeated(at, "expression", [rule.expression for rule in each.user_validation_rules])
        for place, user_rule in enumerate(each.user_validation_rules):
            yield from _expression((*at, place, "expression"), user_rule.expression)


def _claim_rule(at: Location, rule: ClaimValidationRule) -> Iterator[SpecFinding]:
    """A claim with a value, or an expression with a message."""
    if (rule.claim is None) == (rule.expression is None):
        yield SpecFinding(at=at, message="must have claim or expression, and not both")
    elif rule.claim is not None and rule.message is not None:
        yield SpecFinding(at=(*at, "message"), message="goes together with expression alone")
    elif rule.expression is not None and rule.required_value is not None:
        yield SpecFinding(at=(*at, "requiredValue"), message="goes together with claim alone")
    if rule.expression is not None:
        yield from _expression((*at, "expression"), rule.expression)


def _repeated(at: Location, key: str, values: Iterable[str | None]) -> Iterator[SpecFinding]:
    """Each claim and each expression once."""
    distinct = [place if value is None else value for place, value in enumerate(values)]
    for place in repeats(distinct):
        yield SpecFinding(at=(*at, place, key), message="stands there already")


def _groups(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Groups are bound by names that tokens can give."""
    for index, each in enumerate(spec.token_issuers):
        at: Location = (*_JWT, index)
        if each.groups and each.claim_mappings.groups is None:
            message = "nobody is in them: write claimMappings.groups"
            given = ((*at, "claimMappings", "groups"),)
            yield SpecFinding(at=(*at, "groups"), message=message, given=given, on_key=True)
        for place, group in enumerate(each.groups):
            try:
                parse_person(each.bound(group).name)
            except ValueError as error:
                yield SpecFinding(
                    at=(*at, "groups", place, "name"), message=f"with its prefix {error}", given=(at,)
                )
    stems = {user.stem: place for place, user in enumerate(spec.spec.users)}
    for index, each in enumerate(spec.token_issuers):
        if each.kubeconfig is not None and each.kubeconfig_stem in stems:
            yield SpecFinding(
                at=(*_JWT, index, "name"),
                message=f"its kubeconfig would be that of the user {each.kubeconfig_stem}: choose another",
                given=(("spec", "users", stems[each.kubeconfig_stem], "name"),),
            )


def _anonymous(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Who shows nothing: the kubelet's probes, which restart an API server that refuses them, too."""
    anonymous = spec.spec.authentication.anonymous if spec.spec.authentication is not None else None
    if anonymous is None:
        return
    if not anonymous.enabled and anonymous.conditions:
        message = "go together with enabled: true alone"
        yield SpecFinding(at=(*_ANONYMOUS, "conditions"), message=message)
    paths = [condition.path for condition in anonymous.conditions]
    for place in repeats(paths):
        message = f"{quote(paths[place])} stands there already"
        yield warning((*_ANONYMOUS, "conditions", place, "path"), message)
    if spec.spec.runtime is Runtime.STATIC_PODS:
        yield from _probed(paths, enabled=anonymous.enabled)


_WHY: Final = "the kubelet's probes show no credential, and it restarts an API server that refuses them"


def _probed(paths: Sequence[str], *, enabled: bool) -> Iterator[SpecFinding]:
    """What the kubelet asks for stays open."""
    given = ((*_ANONYMOUS, "enabled"), (*_ANONYMOUS, "conditions"), ("spec", "runtime"))
    lacking = [path for path in _PROBED if path not in paths]
    if not enabled:
        message = f"must be true: {_WHY}; conditions may let them in alone ({', '.join(_PROBED)})"
        yield SpecFinding(at=(*_ANONYMOUS, "enabled"), message=message, given=given)
    elif paths and lacking:
        message = f"lack {' and '.join(lacking)}: {_WHY}"
        yield SpecFinding(at=(*_ANONYMOUS, "conditions"), message=message, given=given)


def _anonymous_flag(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """The flag closes everything, and with it the probes."""
    flag = last_known(spec.spec.api_server.extra_args, "anonymous-auth")
    if flag is None or spec.spec.runtime is not Runtime.STATIC_PODS:
        return
    if not is_true(spec.spec.api_server.extra_args[flag].value):
        message = f"{_WHY}: with spec.authentication.anonymous {' and '.join(_PROBED)} stay open"
        yield warning((*_FLAGS, flag), message, ("spec", "runtime"))


def _conflicts(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """A file of one's own in the place of pkigen's, and a file that nothing reads."""
    if spec.spec.authentication is None or not spec.spec.authentication.has_file:
        return
    path = f"{spec.spec.certificates.directory}/{layout.AUTHENTICATION_CONFIGURATION}"
    named = last(spec.spec.api_server.extra_args, AUTHENTICATION_FLAG)
    if named is not None and spec.spec.api_server.extra_args[named].value != path:
        message = "replaces the file that spec.authentication makes: remove one of them"
        yield SpecFinding(at=(*_FLAGS, named), message=message)
    elif named is None and not spec.manages(ManagedFiles.MANIFESTS):
        message = (
            f"is read once --{AUTHENTICATION_FLAG}={path} is in the manifests, which pkigen does not write"
        )
        yield warning(_AT, message, ("spec", "manage"), _FLAGS)


def _proxies(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Names that --requestheader-allowed-names has, once each, and nobody else's."""
    at: Location = (*_AT, "proxies")
    authentication = spec.spec.authentication
    proxies = authentication.proxies if authentication is not None else ()
    stems = {user.stem for user in spec.spec.users} | {each.kubeconfig_stem for each in spec.token_issuers}
    yield from _repeated_proxies([proxy.name for proxy in proxies])
    for place, proxy in enumerate(proxies):
        if proxy.name == spec.front_proxy:
            message = f"{quote(proxy.name)} is the API servers' own name: choose another"
            yield SpecFinding(at=(*at, place, "name"), message=message)
        if proxy.stem in stems:
            message = f"its kubeconfig would be that of the user {proxy.stem}: choose another"
            yield SpecFinding(at=(*at, place, "name"), message=message, given=(("spec", "users"), _JWT))
    names = [proxy.name for proxy in proxies]
    yield from _allowed_names(spec, names)
    yield from _unwritten_names(spec, names)


def _repeated_proxies(names: Sequence[str]) -> Iterator[SpecFinding]:
    for place in repeats(names):
        message = f"{quote(names[place])} is the name of an earlier proxy already"
        yield SpecFinding(at=(*_AT, "proxies", place, "name"), message=message)


def _unwritten_names(spec: ClusterSpec, proxies: Sequence[str]) -> Iterator[SpecFinding]:
    """Names that somebody else's manifests have to have."""
    if proxies and not spec.manages(ManagedFiles.MANIFESTS):
        names = ",".join((spec.front_proxy, *proxies))
        message = (
            f"are believed once --requestheader-allowed-names={names} is in the manifests, which pkigen does "
            "not write"
        )
        yield warning((*_AT, "proxies"), message, ("spec", "manage"))


def _allowed_names(spec: ClusterSpec, names: Sequence[str]) -> Iterator[SpecFinding]:
    """A flag of one's own replaces pkigen's list of names; an empty one lets in every name."""
    flag = last_known(spec.spec.api_server.extra_args, "requestheader-allowed-names")
    if flag is None:
        return
    allowed = spec.spec.api_server.extra_args[flag].value.split(",")
    lacking = [name for name in names if name not in allowed]
    if lacking:
        message = (
            f"lacks {', '.join(lacking)} of spec.authentication.proxies: remove the flag, pkigen sets it"
        )
        yield SpecFinding(at=(*_FLAGS, flag), message=message, given=((*_AT, "proxies"),))
    if any(allowed) and spec.front_proxy not in allowed:
        message = (
            f"lacks {spec.front_proxy}, as whom API servers forward requests: those that extend them "
            "(metrics-server) would refuse them all"
        )
        yield warning((*_FLAGS, flag), message, ("spec", "certificates", "overrides"))


def _static_tokens(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """pkigen's: no passwords in a file. In a cluster that was adopted they are there, and are told."""
    for index, argument in enumerate(spec.spec.api_server.extra_args):
        if argument.name != _STATIC_TOKENS:
            continue
        at: Location = (*_FLAGS, index, "name")
        message = (
            f"{quote(argument.name)} lets in whoever has a token of that file: they stand there in clear "
            "text, never expire, and are read at start alone, so that none ends without a restart; use "
            "spec.users (certificates, service accounts), spec.authentication.jwt, or a bootstrap token"
        )
        if spec.manages(ManagedFiles.MANIFESTS):
            yield SpecFinding(at=at, message=message, given=(("spec", "manage"),))
        else:
            yield warning(at, message, ("spec", "manage"))


RULES: Final[tuple[Callable[[ClusterSpec], Iterator[SpecFinding]], ...]] = (
    _versions,
    _egress,
    _issuers,
    _mappings,
    _validation_rules,
    _groups,
    _anonymous,
    _anonymous_flag,
    _conflicts,
    _proxies,
    _static_tokens,
)
