"""What the files for people of an issuer say: the API servers' configuration, and the kubeconfig for a login.

The rules of the API server are those of `spec.authentication_rules`, which have looked at the spec before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pkigen.desired.rendering.contexts import (
    AnonymousAccess,
    AuthenticationConfiguration,
    LoginKubeconfig,
    TokenIssuer,
)
from pkigen.desired.rendering.file_syntax import Mismatch, documents
from pkigen.errors import TemplateError
from pkigen.notation import base64_text
from pkigen.spec.authentication import CLUSTER_CA, Authentication, PrefixedClaim
from pkigen.spec.user_rules import RESERVED_GROUPS, RESERVED_USERS, SYSTEM_PREFIX
from pkigen.spec.versions import AUTHENTICATION_V1

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.spec.authentication import ClaimMappings, JWTIssuer, PlainClaim
    from pkigen.spec.model import ClusterSpec

_Fields = tuple[tuple[str, str], ...]

_INSTALL_HINT: Final = "kubectl oidc-login is kubelogin: `kubectl krew install oidc-login`"


def _listed(names: frozenset[str]) -> str:
    """A list of CEL, sorted: in the order of a set the file would differ from run to run."""
    return ", ".join(f"'{name}'" for name in sorted(names))


# Every mapping needs them: behind a prefix of "s", a claim of "ystem:masters" would make that group.
_GUARDS: Final[tuple[_Fields, ...]] = (
    (
        (
            "expression",
            (
                f"!user.username.startsWith('{SYSTEM_PREFIX}') "
                f"&& !(user.username in [{_listed(RESERVED_USERS)}])"
            ),
        ),
        ("message", "the user name is reserved for Kubernetes"),
    ),
    (
        (
            "expression",
            (
                f"!has(user.groups) || user.groups.all(group, !group.startsWith('{SYSTEM_PREFIX}') "
                f"&& !(group in [{_listed(RESERVED_GROUPS)}]))"
            ),
        ),
        ("message", "a group is reserved for Kubernetes"),
    ),
)


def context_of(cluster: ClusterSpec, trust_bundle: bytes) -> AuthenticationConfiguration:
    """What the file says.

    Args:
        cluster: The spec.
        trust_bundle: PEM, of the CA of this cluster.
    """
    authentication = cluster.spec.authentication or Authentication()
    anonymous = authentication.anonymous
    return AuthenticationConfiguration(
        api_version=api_version(cluster),
        issuers=tuple(_issuer(each, trust_bundle.decode("ascii")) for each in authentication.jwt),
        anonymous=None
        if anonymous is None
        else AnonymousAccess(
            enabled=anonymous.enabled,
            # Once each: the spec's warning has told it.
            paths=tuple(dict.fromkeys(condition.path for condition in anonymous.conditions)),
        ),
    )


def api_version(cluster: ClusterSpec) -> str:
    """The version of the format that the spec's Kubernetes reads, the stable one where it does."""
    is_stable = AUTHENTICATION_V1.holds(cluster.spec.kubernetes_version)
    return f"apiserver.config.k8s.io/{'v1' if is_stable else 'v1beta1'}"


def _issuer(each: JWTIssuer, trust_bundle: str) -> TokenIssuer:
    """One issuer, with the rules that keep its tokens from naming users and groups of Kubernetes' own."""
    issuer = each.issuer
    own = tuple(
        _given(expression=rule.expression, message=rule.message) for rule in each.user_validation_rules
    )
    # An expression that stands there twice is refused (validateUserValidationRules).
    known = {dict(rule)["expression"] for rule in own}
    guards = () if each.allow_system_identity is not None else _GUARDS
    return TokenIssuer(
        url=issuer.url,
        discovery_url=issuer.discovery_url,
        certificate_authority=trust_bundle
        if issuer.certificate_authority == CLUSTER_CA
        else issuer.certificate_authority,
        audiences=issuer.audiences,
        audience_match_policy=issuer.audience_match_policy,
        egress_selector_type=issuer.egress_selector_type,
        claim_rules=tuple(
            _given(
                claim=rule.claim,
                requiredValue=rule.required_value,
                expression=rule.expression,
                message=rule.message,
            )
            for rule in each.claim_validation_rules
        ),
        mappings=tuple(_mappings(each.claim_mappings)),
        extra=tuple((extra.key, extra.value_expression) for extra in each.claim_mappings.extra),
        user_rules=(*own, *(guard for guard in guards if dict(guard)["expression"] not in known)),
    )


def _mappings(mappings: ClaimMappings) -> Iterator[tuple[str, _Fields]]:
    for name, mapping in (
        ("username", mappings.username),
        ("groups", mappings.groups),
        ("uid", mappings.uid),
    ):
        if mapping is not None and (fields := _mapping(mapping)):
            yield name, fields


def _mapping(mapping: PrefixedClaim | PlainClaim) -> _Fields:
    prefix = mapping.prefix if isinstance(mapping, PrefixedClaim) else None
    return _given(claim=mapping.claim, prefix=prefix, expression=mapping.expression)


def _given(**fields: str | None) -> _Fields:
    """What is given, in order: an empty prefix is, and says something else than none."""
    return tuple((name, value) for name, value in fields.items() if value is not None)


def document(context: AuthenticationConfiguration) -> dict[str, Any]:
    """The file as the API server reads it."""
    found: dict[str, Any] = {
        "apiVersion": context.api_version,
        "kind": "AuthenticationConfiguration",
        "jwt": [dict(_entry(each)) for each in context.issuers],
    }
    if context.anonymous is not None:
        found["anonymous"] = {"enabled": context.anonymous.enabled}
        if context.anonymous.paths:
            found["anonymous"]["conditions"] = [{"path": path} for path in context.anonymous.paths]
    return found


def _entry(each: TokenIssuer) -> Iterator[tuple[str, Any]]:
    issuer = {
        "url": each.url,
        "discoveryURL": each.discovery_url,
        "certificateAuthority": each.certificate_authority,
        "audiences": list(each.audiences),
        "audienceMatchPolicy": each.audience_match_policy,
        "egressSelectorType": each.egress_selector_type,
    }
    yield "issuer", {name: value for name, value in issuer.items() if value is not None}
    mappings: dict[str, Any] = {name: dict(fields) for name, fields in each.mappings}
    if each.extra:
        mappings["extra"] = [{"key": key, "valueExpression": value} for key, value in each.extra]
    yield "claimMappings", mappings
    for name, rules in (("claimValidationRules", each.claim_rules), ("userValidationRules", each.user_rules)):
        if rules:
            yield name, [dict(rule) for rule in rules]


def anonymous_in(content: bytes) -> Any:
    """What a file says of requests without a credential; None where it says nothing, or is none."""
    try:
        found = documents(content.decode(errors="replace"))
    except Mismatch:
        return None
    return found[0].get("anonymous") if found and isinstance(found[0], dict) else None


def login_context(cluster: ClusterSpec, stem: str, trust_bundle: bytes) -> LoginKubeconfig:
    """The kubeconfig of an issuer's people.

    Args:
        cluster: The spec.
        stem: What the kubeconfig is called by.
        trust_bundle: PEM, of the CA of this cluster.

    Raises:
        TemplateError: The spec has no such issuer.
    """
    each = next((each for each in cluster.token_issuers if each.kubeconfig_stem == stem), None)
    if each is None or each.kubeconfig is None:
        msg = f"{stem} is the kubeconfig of no issuer"
        raise TemplateError(msg)
    authority = each.issuer.certificate_authority
    pem = trust_bundle if authority == CLUSTER_CA else (authority or "").encode()
    return LoginKubeconfig(
        server=cluster.cluster_server,
        cluster=cluster.name,
        user=stem,
        context=f"{stem}@{cluster.name}",
        namespace=each.kubeconfig.namespace,
        trust_bundle=base64_text(trust_bundle),
        # kubelogin docs/usage.md, get-token; with PKCE, where the issuer has it, no secret of the client's.
        arguments=(
            "oidc-login",
            "get-token",
            f"--oidc-issuer-url={each.issuer.url}",
            f"--oidc-client-id={each.client_id}",
            *(f"--oidc-extra-scope={scope}" for scope in each.kubeconfig.extra_scopes),
            *((f"--certificate-authority-data={base64_text(pem)}",) if pem else ()),
        ),
        install_hint=_INSTALL_HINT,
    )
