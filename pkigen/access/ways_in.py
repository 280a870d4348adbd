"""By which way somebody is let in: the issuers of tokens, and every other way that an API server knows.

The API server asks them in this order (`pkg/kubeapiserver/authenticator/config.go`): the headers of an
authenticating proxy, client certificates, then tokens, and lets who shows nothing in at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pkigen import layout
from pkigen.access.credentials import token_faults
from pkigen.access.rights import bindings, by_groups
from pkigen.desired.authentication import configuration_path
from pkigen.spec.feature_gates import as_boolean
from pkigen.spec.flag_combinations import AUTHENTICATION_FLAG
from pkigen.spec.user_rules import is_reserved_group, is_reserved_user

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from pkigen.crypto.service_account_tokens import Token
    from pkigen.desired.inventory import Inventory
    from pkigen.spec.authentication import JWTIssuer, PrefixedClaim
    from pkigen.spec.model import ClusterSpec

TOPIC: Final = "authentication"
"""What `explain` calls all ways together."""
_ACCOUNT: Final = "system:serviceaccount:"
_BOOTSTRAP: Final = "system:bootstrap:"
ANONYMOUS: Final = "system:anonymous"
_EVERYWHERE: Final = "every path; RBAC decides what it may see (system:public-info-viewer)"


def names(inventory: Inventory) -> tuple[str, ...]:
    """What can be asked for, for suggestions."""
    own = (name for each in inventory.cluster.token_issuers for name in (each.name, each.issuer.url))
    return (TOPIC, ANONYMOUS, *own)


def explain(inventory: Inventory, who: str) -> Iterator[tuple[str, ...]]:
    """A paragraph for each way in that is asked for: by its own name, or by a user whom it lets in.

    Args:
        inventory: The cluster's.
        who: The name of an issuer, its URL, `authentication` for all ways, or a user name.
    """
    cluster = inventory.cluster
    if who == TOPIC:
        yield tuple(_all(inventory))
    for each in cluster.token_issuers:
        if who in {each.name, each.kubeconfig_stem, each.issuer.url, f"people of {each.kubeconfig_stem}"}:
            yield tuple(_issuer(inventory, each, None))
        elif _makes(each, who) and all(group.name != who for group in cluster.groups):
            yield tuple(_issuer(inventory, each, who))
    yield from ((line,) for line in others(inventory, who))
    yield from _built_in(cluster, who)


def _built_in(cluster: ClusterSpec, who: str) -> Iterator[tuple[str, ...]]:
    """Users whom Kubernetes' own ways in make."""
    if who == ANONYMOUS:
        yield (f"{ANONYMOUS}: whoever shows no credential", *_anonymous(cluster))
    if who.startswith(_BOOTSTRAP) and not _takes_bootstrap_tokens(_given(cluster)):
        yield (f"{who}: let in by nothing (--enable-bootstrap-token-auth=false)",)
    elif who.startswith(_BOOTSTRAP):
        yield (
            f"{who}: let in by a bootstrap token",
            "  verified by:  kube-apiserver --enable-bootstrap-token-auth, by its Secret in kube-system:",
            f"                bootstrap-token-{who.removeprefix(_BOOTSTRAP)}",
            "  permissions:  those of system:bootstrappers, and of the groups that the Secret names",
        )
    account = who.removeprefix(_ACCOUNT)
    if account != who:
        namespace, _, name = account.partition(":")
        yield (
            f"{who}: let in by a token of the service account {namespace}/{name}",
            "  verified by:  kube-apiserver --service-account-key-file and --service-account-issuer",
        )


def members(inventory: Inventory, group: str) -> Iterator[str]:
    """Who is in a group because an issuer says so."""
    for each in inventory.cluster.token_issuers:
        # With the issuer's prefix, as bindings have the name; the claim alone is without it.
        if any(each.bound(own).name == group for own in each.groups):
            yield f"  by tokens:    whoever is in it by the issuer {each.name}, {each.issuer.url}"


def _makes(each: JWTIssuer, who: str) -> bool:
    """Whether an issuer's tokens may make this user, as far as a name tells it."""
    mapping = each.claim_mappings.username
    if each.allow_system_identity is None and is_reserved_user(who):
        return False
    # Without a prefix any name may be meant: then only whom the spec knows, see `others`.
    return bool(mapping.prefix_text) and who.startswith(mapping.prefix_text) and who != mapping.prefix_text


def others(inventory: Inventory, who: str) -> Iterator[str]:
    """What else may make a user of the spec, where nothing in front of an issuer's names keeps it apart."""
    if all(user.username != who for user in inventory.cluster.spec.users):
        return
    for each in inventory.cluster.token_issuers:
        mapping = each.claim_mappings.username
        if not mapping.prefix_text and (each.allow_system_identity is not None or not is_reserved_user(who)):
            yield f"{who}: may also come in by a token of the issuer {each.name}, by its {_claim(mapping)}"


def _claim(mapping: PrefixedClaim) -> str:
    return f"claim {mapping.claim}" if mapping.claim is not None else f"expression {mapping.expression}"


def _issuer(inventory: Inventory, each: JWTIssuer, who: str | None) -> Iterator[str]:
    """All about an issuer; or about one of its people, where `who` is one."""
    cluster, issuer = inventory.cluster, each.issuer
    yield (
        f"{who}: let in by the issuer {each.name}, {issuer.url}"
        if who is not None
        else f"{each.name}: the people of the issuer {issuer.url}"
    )
    if each.kubeconfig is not None:
        yield f"  file:         {layout.user_path(each.kubeconfig_stem)}, the same for all, without a secret"
        yield "  presented to: kube-apiserver, as the bearer token that `kubectl oidc-login` gets"
    else:
        yield "  presented to: kube-apiserver, as bearer token"
    yield f"  verified by:  kube-apiserver --authentication-config ({configuration_path(cluster)}):"
    keys, audiences = issuer.discovery_url or issuer.url, ", ".join(issuer.audiences)
    yield f"                by the keys of {keys}, for {audiences}"
    yield from _identity(inventory, each, who)
    yield "  on expiry:    the API server answers 401; the issuer gives the next token, or does not any more"


def _identity(inventory: Inventory, each: JWTIssuer, who: str | None) -> Iterator[str]:
    mappings = each.claim_mappings
    user = who or f"{mappings.username.prefix_text}<{_claim(mappings.username)}>"
    member = "no groups"
    if mappings.groups is not None:
        member = f"groups {mappings.groups.prefix_text}<{_claim(mappings.groups)}>"
    yield f"  identity:     user {user}, {member}"
    rights = [right for group in each.groups for right in _rights(inventory, each.bound(group).name)]
    for person in inventory.cluster.spec.users:
        if person.name == who:
            rights += bindings(person)
    yield from (
        f"  permissions:  {right}" for right in rights or ["what the cluster binds to user and groups"]
    )


def _rights(inventory: Inventory, group: str) -> Iterator[str]:
    return by_groups(inventory, (group,))


def _anonymous(cluster: ClusterSpec) -> Iterator[str]:
    """Where whoever shows nothing is let in."""
    yield f"  let in at:    {_open_paths(cluster)}"
    yield "  identity:     user system:anonymous, groups system:unauthenticated"


def _open_paths(cluster: ClusterSpec) -> str:
    authentication = cluster.spec.authentication
    anonymous = authentication.anonymous if authentication is not None else None
    if anonymous is None:
        is_off = as_boolean(_given(cluster).get("anonymous-auth", "true")) is False
        return "nowhere (--anonymous-auth=false)" if is_off else _EVERYWHERE
    if not anonymous.enabled:
        return "nowhere (spec.authentication.anonymous)"
    paths = ", ".join(dict.fromkeys(condition.path for condition in anonymous.conditions))
    return f"{paths} alone (spec.authentication.anonymous)" if paths else _EVERYWHERE


def _given(cluster: ClusterSpec) -> dict[str, str]:
    """The flags of one's own, each with the value that counts."""
    return {each.name: each.value for each in cluster.spec.api_server.extra_args}


def _takes_bootstrap_tokens(given: Mapping[str, str]) -> bool:
    return as_boolean(given.get("enable-bootstrap-token-auth", "true")) is not False


def _all(inventory: Inventory) -> Iterator[str]:
    """Every way in, in the order in which the API server asks them."""
    cluster = inventory.cluster
    given = _given(cluster)
    yield "authentication: who is let in, and by what, in the order in which the API server asks"
    yield "  a proxy's headers: X-Remote-User and X-Remote-Group, behind a client certificate of the"
    yield "                front-proxy CA whose name is in --requestheader-allowed-names:"
    own = ",".join(cluster.front_proxies)
    allowed = given.get("requestheader-allowed-names", own).split(",")
    yield f"                {', '.join(filter(None, allowed)) or 'any name, because the list is empty'}"
    yield "  certificates: --client-ca-file; spec.users, nodes and components"
    tokens = list(_tokens(cluster, given))
    yield f"  tokens:       {tokens[0]}"
    yield from (f"                {each}" for each in tokens[1:])
    yield f"  nothing:      system:anonymous, at {_open_paths(cluster)}"
    yield from _NEVER if _STATIC in given else _NOT_IN_USE


_STATIC: Final = "token-auth-file"
_NEVER: Final = ("  not in use:   passwords (gone since Kubernetes v1.19)",)
_NOT_IN_USE: Final = (
    "  not in use:   passwords (gone since Kubernetes v1.19), and static tokens (--token-auth-file),",
    "                which never expire, lie in clear text, and end with a restart alone",
)


def _tokens(cluster: ClusterSpec, given: Mapping[str, str]) -> Iterator[str]:
    """Whose tokens are accepted, in the order in which they are tried."""
    if _STATIC in given:
        yield f"static ones in {given[_STATIC]} (--token-auth-file): remove them"
    both = " and bootstrap tokens" if _takes_bootstrap_tokens(given) else ""
    yield f"of service accounts (--service-account-key-file){both}"
    for each in cluster.token_issuers:
        yield f"of the issuer {each.name}, {each.issuer.url} (--authentication-config)"
    if AUTHENTICATION_FLAG in given and given[AUTHENTICATION_FLAG] != configuration_path(cluster):
        yield f"of the issuers that {given[AUTHENTICATION_FLAG]} names (--authentication-config)"
    if "oidc-issuer-url" in given:
        yield f"of the issuer {given['oidc-issuer-url']} (--oidc-issuer-url)"
    if "authentication-token-webhook-config-file" in given:
        yield "and whatever the webhook knows (--authentication-token-webhook-config-file)"
    if cluster.spec.iam:
        yield "of AWS IAM, by aws-iam-authenticator (spec.iam)"


# -- a token that somebody holds --------------------------------------------------------------------------


def of_token(token: Token, inventory: Inventory, now: datetime) -> tuple[str, ...]:
    """What this cluster makes of a token of one of its issuers; nothing where it is of none."""
    each = next(
        (each for each in inventory.cluster.token_issuers if each.issuer.url == token.claims.get("iss")), None
    )
    if each is None:
        return ()
    refusal = _refusal(token, each, now)
    if refusal is not None:
        return (f"this cluster: the issuer {each.name} does not let it in: {refusal}",)
    user, groups = _user(token, each), _groups(token, each)
    member = f", groups {', '.join(groups)}" if groups else ""
    return (
        f"this cluster: the issuer {each.name} lets it in as {user}{member},",
        f"              if a key that {each.issuer.url} publishes has signed it",
        *(f"permissions:  {right}" for right in by_groups(inventory, groups)),
    )


def _refusal(token: Token, each: JWTIssuer, now: datetime) -> str | None:
    if not set(token.audiences) & set(each.issuer.audiences):
        meant, wanted = ", ".join(token.audiences) or "nobody", " or ".join(each.issuer.audiences)
        return f"it is for {meant}, and must be for {wanted}"
    faults = (*token_faults(token, now), *_claim_faults(token, each), *_reserved(token, each))
    return next(iter(faults), None)


def _claim_faults(token: Token, each: JWTIssuer) -> Iterator[str]:
    """What rules and mappings miss; expressions are the API server's to judge."""
    for rule in each.claim_validation_rules:
        if rule.claim is not None and token.claims.get(rule.claim) != (rule.required_value or ""):
            yield f"its claim {rule.claim} is not {rule.required_value or 'empty'}"
    claim = each.claim_mappings.username.claim
    if claim is not None and not isinstance(token.claims.get(claim), str):
        yield f"it has no claim {claim}"
    # oidc.go: an address that is said not to be verified names nobody.
    if claim == "email" and token.claims.get("email_verified", True) is not True:
        yield "its email is not verified"


def _reserved(token: Token, each: JWTIssuer) -> Iterator[str]:
    """What the rules refuse that pkigen puts last."""
    if each.allow_system_identity is not None:
        return
    if is_reserved_user(_user(token, each)):
        yield f"the user {_user(token, each)} is reserved for Kubernetes"
    for group in filter(is_reserved_group, _groups(token, each)):
        yield f"the group {group} is reserved for Kubernetes"


def _user(token: Token, each: JWTIssuer) -> str:
    mapping = each.claim_mappings.username
    if mapping.claim is None:
        return f"what {mapping.expression} gives"
    return f"{mapping.prefix_text}{token.claims.get(mapping.claim)}"


def _groups(token: Token, each: JWTIssuer) -> tuple[str, ...]:
    mapping = each.claim_mappings.groups
    if mapping is None or mapping.claim is None:
        return ()
    given: Any = token.claims.get(mapping.claim, ())
    found = (given,) if isinstance(given, str) else given
    return (
        tuple(f"{mapping.prefix_text}{group}" for group in found) if isinstance(found, list | tuple) else ()
    )
