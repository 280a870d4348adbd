"""Who is let in beside certificates, by a real API server that goes on running.

The issuer is one that the test serves itself, with the documents of `pkigen access oidc write`, at a machine
of the cluster's and with the serving certificate that the cluster's CA has given to this machine.
"""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.faults import scenes
from tests.live import programs
from tests.live.control_plane import Cluster, apply_addons, boot_static_pods, make, plug_in, spec_text
from tests.live.hosts import Identity, Network
from tests.live.rotating import current, deliver

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.live.hosts import Answer

pytestmark = pytest.mark.live

_HERE = Path(__file__)
_NODES = {"cp-1": "10.84.0.1", "issuer": "10.84.0.2"}
_ISSUER = "https://10.84.0.2:8443"
_SECOND = f"{_ISSUER}/second"
_SECONDS = 90
_REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_REVIEWED = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
_REMOTE = {"X-Remote-User": "jane", "X-Remote-Group": "oidc:developers"}
_NAMESPACES = "/api/v1/namespaces"
_RULES = [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list"]}]


def _spec() -> dict[str, Any]:
    return {
        "nodes": [
            {"name": "cp-1", "roles": ["control-plane"], "addresses": [_NODES["cp-1"]]},
            {"name": "issuer", "roles": ["worker"], "addresses": [_NODES["issuer"]]},
        ],
        "authentication": {
            "jwt": [
                {
                    "name": "people",
                    "issuer": {
                        "url": _ISSUER,
                        "audiences": ["kubernetes"],
                        "certificateAuthority": "cluster",
                    },
                    "claimMappings": {
                        "username": {"claim": "email", "prefix": "oidc:"},
                        "groups": {"claim": "groups", "prefix": "oidc:"},
                        "uid": {"claim": "sub"},
                        "extra": [{"key": "example.org/team", "valueExpression": "claims.team"}],
                    },
                    "claimValidationRules": [
                        {"expression": "claims.level > 2", "message": "level 3 is needed"}
                    ],
                    "groups": [{"name": "developers", "rules": _RULES}],
                },
                {
                    # Nothing in front of its names: what is Kubernetes' own must be refused all the same.
                    "name": "machines",
                    "issuer": {
                        "url": _SECOND,
                        "discoveryURL": f"{_ISSUER}/elsewhere.json",
                        "audiences": ["one", "two"],
                        "audienceMatchPolicy": "MatchAny",
                        "certificateAuthority": "cluster",
                    },
                    "claimMappings": {
                        "username": {"expression": "claims.name"},
                        "groups": {"expression": "claims.?groups.orValue([])"},
                    },
                },
            ],
            "anonymous": {"enabled": True, "conditions": [{"path": "/livez"}, {"path": "/readyz"}]},
            "proxies": [{"name": "gate"}],
        },
        # Of the same name, and of another CA.
        "users": [{"name": "gate"}],
    }


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(frozen=True, kw_only=True)
class Issuer:
    """Who signs tokens, and under which id its key is published."""

    key: ec.EllipticCurvePrivateKey
    key_id: str

    def token(self, **claims: Any) -> str:
        """A token that is good, but for what `claims` say (RFC 7515, RFC 7519)."""
        now = int(time.time())
        payload = {
            "iss": _ISSUER,
            "aud": "kubernetes",
            "exp": now + 600,
            "iat": now,
            "sub": "7",
            "email": "ann@example.org",
            "groups": ["developers"],
            "team": "payments",
            "level": 3,
            **claims,
        }
        head = {"alg": "ES256", "kid": self.key_id}
        text = ".".join(_base64url(json.dumps(part).encode()) for part in (head, payload))
        r, s = decode_dss_signature(self.key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


@dataclass(kw_only=True)
class Site:
    """A cluster whose API server runs, and an issuer of tokens."""

    cluster: Cluster
    issuer: Issuer

    def ask(
        self,
        path: str,
        token: str | None = None,
        body: object = None,
        *,
        identity: Identity | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        bearer = {} if token is None else {"Authorization": f"Bearer {token}"}
        return self.cluster.machines["cp-1"].request(
            f"https://{_NODES['cp-1']}:6443{path}",
            ca=self.cluster.pki("cp-1") / "ca.crt",
            identity=identity,
            headers={**bearer, **(headers or {})},
            body=body,
        )

    def reviewed(self, identity: Identity) -> tuple[str, set[str]]:
        """Who somebody is who sends a proxy's headers."""
        answer = self.ask(_REVIEW, body=_REVIEWED, identity=identity, headers=_REMOTE)
        assert answer.status == 201, answer
        info = answer.json()["status"]["userInfo"]
        return info["username"], set(info["groups"]) - {"system:authenticated"}

    def status(self, **claims: Any) -> int | None:
        return self.ask(_NAMESPACES, self.issuer.token(**claims)).status

    def user(self, **claims: Any) -> dict[str, Any]:
        answer = self.ask(_REVIEW, self.issuer.token(**claims), _REVIEWED)
        assert answer.status == 201, answer
        info: dict[str, Any] = answer.json()["status"]["userInfo"]
        return info

    def pid(self) -> int:
        return current(self.cluster.machines["cp-1"], "kube-apiserver").popen.pid

    def log(self) -> str:
        return current(self.cluster.machines["cp-1"], "kube-apiserver").log.read_text(errors="replace")

    def change(self, change: Any) -> str:
        """Change the spec, apply it and copy the result; what `apply` said."""
        path = self.cluster.out / "cluster.yaml"
        document = yaml.safe_load(path.read_text())
        change(document["spec"])
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        done = scenes.pkigen("apply", "-C", self.cluster.out, "--yes")
        assert done.code == 0, done
        deliver(self.cluster, "cp-1")
        return done.out

    def until(self, condition: Any) -> None:
        deadline = time.monotonic() + _SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.log()[-3000:]
            time.sleep(0.2)


def _issuer(folder: Path) -> tuple[Issuer, Path]:
    """An issuer out of pkigen's own: the key and the documents of another cluster's service accounts."""
    folder.mkdir()
    arguments = [{"name": "service-account-issuer", "value": _ISSUER}]
    nodes = [{"name": "a", "roles": ["control-plane"], "addresses": ["192.0.2.1"]}]
    spec = spec_text("issuing", {"apiServer": {"extraArgs": arguments}, "nodes": nodes})
    made, served = make(folder, spec), folder / "served"
    uri = f"{_ISSUER}/openid/v1/jwks"
    done = scenes.pkigen("access", "oidc", "write", "-C", made.out, "--out", served, "--jwks-uri", uri)
    assert done.code == 0, done
    configuration = json.loads((served / ".well-known/openid-configuration").read_text())
    (served / "elsewhere.json").write_text(json.dumps({**configuration, "issuer": _SECOND}))
    (key,) = json.loads((served / "openid/v1/jwks").read_text())["keys"]
    private = load_pem_private_key((made.out / "pki/sa.key").read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return Issuer(key=private, key_id=key["kid"]), served


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    programs.require(*programs.LEAST)
    if programs.version("kube-apiserver") < (1, 32, 0):
        pytest.skip("anonymous access is restricted from v1.32 on")
    issuer, served = _issuer(tmp_path / "issuer")
    made = make(tmp_path, spec_text("ways", _spec()))
    with Network() as network:
        plug_in(network, made, {name: (address,) for name, address in _NODES.items()})
        boot_static_pods(made, elected_on="nobody")
        apply_addons(made, "cp-1", made.kubeconfig("cp-1", "super-admin.conf"))
        pair = made.node("issuer") / "var/lib/kubelet/pki"
        server = (_HERE.with_name("issuer_server.py"), pair / "kubelet.crt", pair / "kubelet.key", served)
        with made.machines["issuer"].listening(*server, _NODES["issuer"], "8443"):
            site = Site(cluster=made, issuer=issuer)
            site.until(lambda: site.status() == 200)
            yield site


def test_people_come_in_with_tokens_of_their_issuer(site: Site) -> None:
    pid = site.pid()
    _let_in(site)
    _refused(site)
    _anonymous(site)
    _through_a_proxy(site)
    _changed(site)
    assert site.pid() == pid
    _changed_for_a_restart_alone(site)


def _let_in(site: Site) -> None:
    info = site.user()
    assert (info["username"], info["uid"]) == ("oidc:ann@example.org", "7")
    assert set(info["groups"]) == {"oidc:developers", "system:authenticated"}
    assert info["extra"]["example.org/team"] == ["payments"]
    # Authenticated, and without the group's rights; then another issuer, with any of its audiences.
    assert site.status(groups=[]) == 403
    assert site.status(groups=["cluster-admins"]) == 403
    for audience in ("one", "two"):
        assert site.user(iss=_SECOND, aud=audience, name="robot")["username"] == "robot"


def _refused(site: Site) -> None:
    now = int(time.time())
    assert site.status(aud="another") == 401
    assert site.status(iss="https://10.84.0.9:8443") == 401
    assert site.status(exp=now - 60) == 401
    assert site.status(level=2) == 401
    stranger = Issuer(key=ec.generate_private_key(ec.SECP256R1()), key_id=site.issuer.key_id)
    assert site.ask(_NAMESPACES, stranger.token()).status == 401
    second: dict[str, Any] = {"iss": _SECOND, "aud": "one", "name": "robot"}
    assert site.status(**{**second, "aud": "three"}) == 401
    # What Kubernetes keeps for itself comes out of no token: neither groups nor users, whatever is bound.
    assert site.status(**second, groups=["developers"]) == 403
    for group in ("system:masters", "system:nodes", "kubeadm:cluster-admins"):
        assert site.status(**{**second, "groups": ["a", group]}) == 401, group
    for name in ("system:kube-controller-manager", "kubernetes-admin", "kube-apiserver-kubelet-client"):
        assert site.status(**{**second, "name": name}) == 401, name


def _anonymous(site: Site) -> None:
    """Who shows nothing sees two paths; without the file it would be all that RBAC gives to everybody."""
    assert [site.ask(path).status for path in ("/livez", "/readyz")] == [200, 200]
    assert [site.ask(path).status for path in ("/version", "/healthz", "/livez/ping", _NAMESPACES)] == [
        401
    ] * 4


def _through_a_proxy(site: Site) -> None:
    """What the headers say counts behind one name of one CA, and nowhere else."""
    users = site.cluster.out / "users"
    gate = site.cluster.identity_of(users / "proxy-gate.conf")
    assert site.reviewed(gate) == ("jane", {"oidc:developers"})
    assert site.ask(_NAMESPACES, identity=gate, headers=_REMOTE).status == 200
    # It is nobody by itself, and no header counts without a certificate.
    assert site.ask(_NAMESPACES, identity=gate).status == 401
    assert site.ask(_NAMESPACES, headers=_REMOTE).status == 401
    # Another name of the same CA is refused; the same name of the cluster's CA is only itself.
    assert site.ask(_NAMESPACES, identity=_signed(site.cluster, "other"), headers=_REMOTE).status == 401
    assert site.ask(_NAMESPACES, identity=_signed(site.cluster, "gate"), headers=_REMOTE).status == 200
    assert site.reviewed(site.cluster.identity_of(users / "gate.conf")) == ("gate", set())


def _signed(cluster: Cluster, name: str) -> Identity:
    """A client certificate of the front-proxy CA that pkigen has not made."""
    ca = x509.load_pem_x509_certificate((cluster.out / "pki/front-proxy-ca.crt").read_bytes())
    ca_key = load_pem_private_key((cluster.out / "pki/front-proxy-ca.key").read_bytes(), None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    found = Identity(certificate=cluster.scratch / f"{name}.crt", key=cluster.scratch / f"{name}.key")
    found.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    found.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return found


def _changed(site: Site) -> None:
    def audience(spec: dict[str, Any]) -> None:
        spec["authentication"]["jwt"][0]["issuer"]["audiences"] = ["changed"]
        # Without the rules that pkigen puts last, such a token would be let in: they are what refused it.
        spec["authentication"]["jwt"][1]["allowSystemIdentity"] = "a test"

    said = site.change(audience)
    assert "kube-apiserver reloads by itself" in said
    site.until(lambda: site.status(aud="changed") == 200)
    assert site.status() == 401
    assert site.status(iss=_SECOND, aud="one", name="robot", groups=["system:masters"]) == 200


def _changed_for_a_restart_alone(site: Site) -> None:
    """As the plan says: the API server refuses all of the file until it is restarted."""

    def anonymous(spec: dict[str, Any]) -> None:
        spec["authentication"]["anonymous"]["conditions"].append({"path": "/healthz"})
        spec["authentication"]["jwt"][0]["issuer"]["audiences"] = ["kubernetes"]

    said = site.change(anonymous)
    assert "kube-apiserver must restart" in said
    site.until(lambda: "anonymous: Forbidden: changed from initial configuration file" in site.log())
    assert (site.ask("/healthz").status, site.status(aud="changed")) == (401, 200)
