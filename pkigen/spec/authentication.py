"""Whom API servers let in beside certificates: `spec.authentication` as types, in the manner of `model`.

The fields of an issuer are those of Kubernetes' AuthenticationConfiguration (`apiserver.config.k8s.io`,
`pkg/apis/apiserver/v1/types.go`) under the same names; `name`, `groups`, `kubeconfig` and
`allowSystemIdentity` are pkigen's.
"""

from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, StrictBool, StrictStr

from pkigen.spec.fields import DNSLabel, Duration, Line, Strict, Text
from pkigen.spec.issuer_urls import parse_issuer_url
from pkigen.spec.users import UserGroup

CLUSTER_CA: Final = "cluster"


def _authority(value: str) -> str:
    """The CA that the issuer's server is verified by."""
    if value == CLUSTER_CA:
        return value
    if "-----BEGIN" not in value:
        msg = f"must be {CLUSTER_CA}, or certificates as PEM, such as: certificateAuthority: |"
        raise ValueError(msg)
    from pkigen.crypto.pem import bundle_of  # noqa: PLC0415 -- few specs hold certificates

    return bundle_of(value.encode()).decode()


def _path(value: str) -> str:
    """The path of a request, as the API server compares it: the whole of it."""
    if not value.startswith("/"):
        raise ValueError("must be the path of a request, such as /livez")
    if "*" in value or "?" in value:
        raise ValueError("is compared with the whole path of a request: no pattern, and no query")
    return value


IssuerURL = Annotated[StrictStr, AfterValidator(parse_issuer_url), Field(max_length=2048)]
IssuerCA = Annotated[StrictStr, AfterValidator(_authority), Field(max_length=1 << 18)]
RequestPath = Annotated[Text, AfterValidator(_path)]
Prefix = Annotated[Line, Field(max_length=64)]
Expression = Text


class IssuerSettings(Strict):
    """Who signs the tokens, and where the API server gets the keys to verify them."""

    url: IssuerURL
    """The issuer, as its tokens have it in `iss`; https, unique in the list."""
    discovery_url: IssuerURL | None = Field(default=None, alias="discoveryURL")
    """Where the API server reads the discovery document, where that is not below the issuer's own URL."""
    certificate_authority: IssuerCA | None = None
    """The CA of the issuer's server: cluster for the CA of this cluster, or certificates as PEM; without it,
    those of the system that the API server runs on."""
    audiences: tuple[Text, ...] = Field(min_length=1)
    """Whom a token must be for (`aud`): mostly the client's id at the issuer."""
    audience_match_policy: Literal["MatchAny"] | None = None
    """MatchAny, which several audiences need: one of them is enough."""
    egress_selector_type: Literal["controlplane", "cluster"] | None = None
    """Through which egress selector the API server reaches the issuer (Kubernetes v1.34 or later)."""


class PrefixedClaim(Strict):
    """A name out of a token: a claim behind a prefix, or an expression."""

    claim: Text | None = None
    """The claim, such as email or groups."""
    prefix: Prefix | None = None
    """What is put before it, such as "oidc:"; must be given beside claim, and may be empty."""
    expression: Expression | None = None
    """In place of both, a CEL expression over claims, such as claims.email; pkigen does not compile it."""

    @property
    def prefix_text(self) -> str:
        """What names of this mapping begin with, as far as it is known."""
        return self.prefix or ""


class PlainClaim(Strict):
    """A value out of a token: a claim, or an expression."""

    claim: Text | None = None
    """The claim, such as sub."""
    expression: Expression | None = None
    """In its place, a CEL expression over claims."""


class ExtraMapping(Strict):
    """A further attribute of the user, for authorizers, admission and the audit log."""

    key: Text
    """Its name below a domain of one's own, in lower case, such as example.org/team."""
    value_expression: Expression
    """A CEL expression over claims that gives its value or values."""


class ClaimMappings(Strict):
    """What of a token makes which user."""

    username: PrefixedClaim
    """The user name."""
    groups: PrefixedClaim | None = None
    """The user's groups; none without it."""
    uid: PlainClaim | None = None
    """The user's UID."""
    extra: tuple[ExtraMapping, ...] = ()
    """Further attributes."""


class ClaimValidationRule(Strict):
    """What must hold for the claims of a token: a claim's value, or an expression."""

    claim: Text | None = None
    """A claim that must have one value, such as hd."""
    required_value: Line | None = None
    """That value; the empty text by default."""
    expression: Expression | None = None
    """In place of both, a CEL expression over claims that must be true."""
    message: Line | None = None
    """What is said where the expression is not true."""


class UserValidationRule(Strict):
    """What must hold for the user that a token makes."""

    expression: Expression
    """A CEL expression over user that must be true, such as user.username.endsWith('@example.org')."""
    message: Line | None = None
    """What is said where it is not."""


class Login(Strict):
    """How people get their token: by `kubectl oidc-login` (kubelogin), which opens a browser."""

    client_id: Text | None = Field(default=None, alias="clientID")
    """The client's id at the issuer; the first of the audiences by default."""
    extra_scopes: tuple[Text, ...] = ()
    """Scopes to ask for beside openid, such as email or groups."""
    namespace: DNSLabel | None = None
    """The kubeconfig's default namespace."""


class JWTIssuer(Strict):
    """One issuer of tokens (Kubernetes' JWTAuthenticator), with what its people may do."""

    name: DNSLabel
    """What pkigen calls the issuer: its kubeconfig is users/oidc-NAME.conf."""
    issuer: IssuerSettings
    """Who signs the tokens."""
    claim_mappings: ClaimMappings
    """What of a token makes which user."""
    claim_validation_rules: tuple[ClaimValidationRule, ...] = ()
    """What must hold for the claims of a token."""
    user_validation_rules: tuple[UserValidationRule, ...] = ()
    """What must hold for the user; pkigen adds that no token makes a user or a group of Kubernetes' own."""
    groups: tuple[UserGroup, ...] = ()
    """Groups of the issuer, named as its tokens name them, with what everybody in them may do; they are bound
    with the prefix of claimMappings.groups before them."""
    kubeconfig: Login | None = None
    """Makes a kubeconfig for the issuer's people, the same for all: it holds no secret. {} is enough."""
    allow_system_identity: Text | None = None
    """The reason why this issuer's tokens may make users and groups that are reserved for Kubernetes."""

    def bound(self, group: UserGroup) -> UserGroup:
        """A group by the name that it has in the cluster."""
        mapping = self.claim_mappings.groups
        prefix = mapping.prefix_text if mapping is not None else ""
        return group.model_copy(update={"name": f"{prefix}{group.name}"})

    @property
    def kubeconfig_stem(self) -> str:
        """What the kubeconfig of its people is called by."""
        return f"oidc-{self.name}"

    @property
    def client_id(self) -> str:
        """As which client people log in."""
        own = self.kubeconfig.client_id if self.kubeconfig is not None else None
        return own or self.issuer.audiences[0]


class AnonymousCondition(Strict):
    """One path that may be asked for without a credential."""

    path: RequestPath
    """The whole path, such as /livez."""


class AnonymousRequests(Strict):
    """Whether requests without a credential are let in, as system:anonymous."""

    enabled: StrictBool
    """Whether they are let in at all."""
    conditions: tuple[AnonymousCondition, ...] = ()
    """The only paths for which they are; without any, all of them."""


class AuthenticatingProxy(Strict):
    """A proxy of one's own that says in headers whom a request comes from (X-Remote-User, X-Remote-Group)."""

    name: DNSLabel
    """The common name of its client certificate, by which API servers let it speak for others."""
    validity: Duration = timedelta(hours=2160)
    """How long the certificate is valid; 90 days by default."""

    @property
    def stem(self) -> str:
        """What its kubeconfig is called by."""
        return f"proxy-{self.name}"


class Authentication(Strict):
    """Whom API servers let in beside certificates; `jwt` and `anonymous` are the file of theirs."""

    # As many as Kubernetes takes (`ValidateAuthenticationConfiguration`).
    jwt: tuple[JWTIssuer, ...] = Field(default=(), max_length=64)
    """The issuers whose tokens are accepted beside those of the cluster's service accounts."""
    anonymous: AnonymousRequests | None = None
    """Requests without a credential (Kubernetes v1.32 or later); without it, they are let in everywhere."""
    proxies: tuple[AuthenticatingProxy, ...] = Field(default=(), max_length=64)
    """Proxies that may speak for anybody, by a client certificate of the front-proxy CA; each may say that it
    is system:masters."""

    @property
    def has_file(self) -> bool:
        """Whether API servers read it from a file; proxies alone need none, and {} asks for it beforehand."""
        return bool(self.jwt) or self.anonymous is not None or not self.proxies
