"""Error messages in the words of the programs that people see them in, and what is taken from each."""

# ruff: noqa: E501 -- messages stand here as programs write them

from __future__ import annotations

import pytest
from hypothesis import example, given, strategies

from pkigen.access.failure_kinds import (
    Anonymous,
    Cannot,
    Circumstance,
    Expired,
    Failure,
    Listener,
    NameKind,
    NoCertificate,
    NoCredential,
    NoKubeconfig,
    NoMappings,
    NotServing,
    Refusal,
    RefusedClient,
    RefusedServer,
    Revoked,
    Unauthorized,
    UnknownAuthority,
    WrongName,
    WrongUsage,
)
from pkigen.access.failures import explain
from pkigen.access.messages import recognise

GO = "tls: failed to verify certificate: x509: "
UNKNOWN = "certificate signed by unknown authority"
NAMES = "kubernetes, kubernetes.default, 10.96.0.1, 10.0.0.11"
KUBELET_LOG = (
    'E1124 18:30:00.000001    1234 reflector.go:205] "Failed to watch" err="failed to list *v1.Node: Get '
    f'\\"https://10.0.0.11:6443/api/v1/nodes?limit=500\\": {GO}{UNKNOWN}" logger="UnhandledError"'
)
API_SERVER_LOG = (
    'E1124 18:30:00.000001       1 authentication.go:75] "Unable to authenticate the request" err="'
)


def unknown(
    server: str | None = None, namesake: str | None = None, *, at: Listener | None = None
) -> UnknownAuthority:
    return UnknownAuthority(listener=at, server=server, namesake=namesake)


def named(
    name: str | None,
    *names: str,
    at: Listener | None = None,
    server: str | None = None,
    lacks: NameKind | None = None,
) -> WrongName:
    return WrongName(listener=at, server=server, name=name, names=frozenset(names), lacks=lacks)


def nothing(at: Listener | None = None) -> NoCertificate:
    return NoCertificate(listener=at)


def refused_client(at: Listener | None = None) -> RefusedClient:
    return RefusedClient(listener=at)


def refused_server(at: Listener = Listener.API_SERVER) -> RefusedServer:
    return RefusedServer(listener=at)


def usage(*, client: bool, at: Listener | None = None) -> WrongUsage:
    return WrongUsage(listener=at, is_client=client)


def cannot(
    verb: str, resource: str | None, group: str = "", namespace: str | None = None, *, path: str | None = None
) -> Cannot:
    return Cannot(user="dev1", verb=verb, resource=resource, group=group, namespace=namespace, path=path)


def why(reason: Refusal) -> Unauthorized:
    return Unauthorized(why=reason)


WORDINGS: list[tuple[str, Failure]] = [
    # -- unknown authorities
    (f"Unable to connect to the server: {GO}{UNKNOWN}", unknown()),
    (f"Unable to connect to the server: x509: {UNKNOWN}", unknown()),
    (
        (
            f'Unable to connect to the server: {GO}{UNKNOWN} (possibly because of "x509: ECDSA verification failure" '
            'while trying to verify candidate authority certificate "kubernetes")'
        ),
        unknown(namesake="kubernetes"),
    ),
    (
        (
            f'Get "https://api.example.com/version": {GO}{UNKNOWN} (possibly because of "crypto/rsa: verification '
            'error" while trying to verify candidate authority certificate "kubernetes")'
        ),
        unknown("api.example.com:443", "kubernetes"),
    ),
    (KUBELET_LOG, unknown("10.0.0.11:6443", at=Listener.API_SERVER)),
    (f'Post "https://[fd00::1]:10250/exec": {GO}{UNKNOWN}', unknown("[fd00::1]:10250", at=Listener.KUBELET)),
    ("curl: (60) SSL certificate problem: unable to get local issuer certificate\n", unknown()),
    ("curl: (60) SSL certificate problem: self-signed certificate in certificate chain", unknown()),
    ("curl: (60) SSL certificate problem: self signed certificate", unknown()),
    ("curl: (60) server certificate verification failed. CAfile: none CRLfile: none", unknown()),
    ("curl: (60) Peer's Certificate issuer is not recognized.", unknown()),
    (
        (
            "ERROR: cannot verify 10.0.0.11's certificate, issued by ‘CN=kubernetes’:\n"  # noqa: RUF001 -- wget's own
            "  Unable to locally verify the issuer's authority."
        ),
        unknown(),
    ),
    (
        (
            "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "
            "unable to get local issuer certificate (_ssl.c:992)"
        ),
        unknown(),
    ),
    (
        (
            "javax.net.ssl.SSLHandshakeException: PKIX path building failed: "
            "sun.security.provider.certpath.SunCertPathBuilderException: unable to find valid certification path"
        ),
        unknown(),
    ),
    ("Error: unable to verify the first certificate", unknown()),
    ("x509: “kubernetes” certificate is not trusted", unknown()),
    ("verify error:num=20:unable to get local issuer certificate", unknown()),
    # -- the other way round: the server refuses the client, or a client the server
    (f'{API_SERVER_LOG}[x509: {UNKNOWN}, invalid bearer token]"', refused_client()),
    (
        f'{API_SERVER_LOG}verifying certificate SN=1, SKID=, AKID=AA:BB failed: x509: {UNKNOWN}"',
        refused_client(),
    ),
    (
        (
            'rejected connection on client endpoint","remote-addr":"10.0.0.11:41526","server-name":"","error":'
            f'"{GO}{UNKNOWN}"'
        ),
        refused_client(Listener.ETCD),
    ),
    (
        'Get "https://10.0.0.21:10250/pods": remote error: tls: bad certificate',
        refused_client(Listener.KUBELET),
    ),
    ("remote error: tls: unknown certificate authority", refused_client()),
    ("curl: (56) OpenSSL SSL_read: sslv3 alert bad certificate, errno 0", refused_client()),
    (
        "http: TLS handshake error from 10.0.0.21:52114: remote error: tls: bad certificate",
        refused_server(),
    ),
    (
        "http: TLS handshake error from 10.0.0.21:52114: remote error: tls: unknown certificate authority",
        refused_server(),
    ),
    (
        'rejected connection from "192.168.7.175:54810" (error "remote error: tls: bad certificate", ServerName "")',
        refused_server(Listener.ETCD),
    ),
    (
        (
            '{"level":"warn","ts":"2022-08-09T10:28:48.597Z","caller":"embed/config_logging.go:169","msg":"rejected '
            'connection","remote-addr":"172.30.214.50:39334","server-name":"etcd-0.etcd","error":"remote error: tls: '
            'bad certificate"}'
        ),
        refused_server(Listener.ETCD),
    ),
    (
        (
            '{"level":"warn","msg":"rejected connection on peer endpoint","remote-addr":"10.0.0.12:39334",'
            '"error":"remote error: tls: unknown certificate authority"}'
        ),
        refused_server(Listener.ETCD_PEER),
    ),
    (
        f'"rejected connection on peer endpoint","remote-addr":"10.0.0.12:1","error":"{GO}{UNKNOWN}"',
        refused_client(Listener.ETCD_PEER),
    ),
    (
        f"http: TLS handshake error from 10.0.0.9:1: tls: failed to verify certificate: x509: {UNKNOWN}",
        refused_client(),
    ),
    # -- certificates of the other side's kind
    (
        (
            'rejected connection from "127.0.0.1:46322" (error "tls: failed to verify client\'s certificate: x509: '
            'certificate specifies an incompatible key usage", ServerName "")'
        ),
        usage(client=True, at=Listener.ETCD),
    ),
    (
        f'{API_SERVER_LOG}[x509: certificate specifies an incompatible key usage, invalid bearer token]"',
        usage(client=True),
    ),
    (
        f"Unable to connect to the server: {GO}certificate specifies an incompatible key usage",
        usage(client=False),
    ),
    (
        f'Get "https://10.0.0.21:10250/pods": {GO}certificate specifies an incompatible key usage',
        usage(client=False, at=Listener.KUBELET),
    ),
    ("remote error: tls: unsupported certificate", usage(client=True)),
    (
        "http: TLS handshake error from 10.0.0.9:1: remote error: tls: unsupported certificate",
        usage(client=False),
    ),
    ("curl: (60) SSL certificate problem: unsuitable certificate purpose", usage(client=False)),
    (
        "PKIX: Extended key usage does not permit use for TLS client authentication",
        usage(client=True),
    ),
    ("Error from server: error dialing backend: remote error: tls: internal error", NotServing()),
    # -- wrong names
    (
        f"Error from server: error dialing backend: {GO}certificate is valid for worker-1, not 10.0.0.21",
        named("10.0.0.21", "worker-1", at=Listener.KUBELET),
    ),
    (
        (
            f'Error from server: Get "https://10.0.0.21:10250/containerLogs/web/a/b": {GO}cannot validate '
            "certificate for 10.0.0.21 because it doesn't contain any IP SANs"
        ),
        named("10.0.0.21", at=Listener.KUBELET, server="10.0.0.21:10250", lacks=NameKind.ADDRESSES),
    ),
    (
        (
            'grpc: addrConn.createTransport failed to connect to {Addr: "10.0.0.12:2379", ServerName: "x"}. Err: '
            f'"{GO}certificate is valid for 10.0.0.11, not 10.0.0.12"'
        ),
        named("10.0.0.12", "10.0.0.11", at=Listener.ETCD, server="10.0.0.12:2379"),
    ),
    (
        f"read tcp 10.0.0.9:4711->10.0.0.11:2380: {GO}certificate is valid for a, not b",
        named("b", "a", at=Listener.ETCD_PEER, server="10.0.0.11:2380"),
    ),
    (
        (
            "curl: (60) SSL: no alternative certificate subject name matches target host name 'api.x'\n"
            "More details here: https://curl.se/docs/sslcerts.html\n"
        ),
        named("api.x"),
    ),
    (
        f"Unable to connect to the server: {GO}certificate is valid for {NAMES}, not 203.0.113.5",
        named("203.0.113.5", "kubernetes", "kubernetes.default", "10.96.0.1", "10.0.0.11"),
    ),
    (f'err="{GO}certificate is valid for cp-1, not api.example.com"', named("api.example.com", "cp-1")),
    (
        f"{GO}cannot validate certificate for 10.0.0.5 because it doesn't contain any IP SANs",
        named("10.0.0.5", lacks=NameKind.ADDRESSES),
    ),
    (
        f"{GO}certificate is not valid for any names, but wanted to match api.x",
        named("api.x", lacks=NameKind.DNS_NAMES),
    ),
    (
        "curl: (60) SSL: no alternative certificate subject name matches target host name 'api.x'",
        named("api.x"),
    ),
    ("curl: (60) SSL: no alternative certificate subject name matches target hostname 'a.b'", named("a.b")),
    (
        "curl: (60) SSL: no alternative certificate subject name matches target ipv4 address '10.0.0.5'",
        named("10.0.0.5"),
    ),
    ("curl: (60) SSL: certificate subject name 'k' does not match target host name 'a.b'", named("a.b")),
    (
        (
            "CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch, certificate is not valid for "
            "'api.x'. (_ssl.c:992)"
        ),
        named("api.x"),
    ),
    (
        "certificate verify failed: IP address mismatch, certificate is not valid for '10.0.0.5'.",
        named("10.0.0.5"),
    ),
    (
        "ERROR: no certificate subject alternative name matches\n\trequested host name ‘api.x’.",  # noqa: RUF001
        named("api.x"),
    ),
    (
        "java.security.cert.CertificateException: No subject alternative names matching IP address 10.0.0.5 found",
        named("10.0.0.5"),
    ),
    ("CertificateException: No name matching api.x found", named("api.x")),
    (
        "Hostname/IP does not match certificate's altnames: Host: api.x. is not in the cert's altnames: DNS:a",
        named("api.x"),
    ),
    ('tls: "10.0.0.12" does not match any of DNSNames ["etcd-1"]', named("10.0.0.12", at=Listener.ETCD_PEER)),
    ("x509: certificate relies on legacy Common Name field, use SANs instead", named(None)),
    ("verify error:num=62:hostname mismatch", named(None)),
    # -- the server's place in other programs' words
    (
        (
            "HTTPSConnectionPool(host='localhost', port=2379): Max retries exceeded (Caused by SSLError("
            'SSLCertVerificationError(1, "certificate verify failed: Hostname mismatch, certificate is not valid for '
            "'localhost'.\")))"
        ),
        named("localhost", at=Listener.ETCD, server="localhost:2379"),
    ),
    (
        (
            "* Connected to fd00::12 (fd00::12) port 10250\ncurl: (60) SSL: no alternative certificate subject name "
            "matches target ipv6 address 'fd00::12'"
        ),
        named("fd00::12", at=Listener.KUBELET, server="[fd00::12]:10250"),
    ),
    (
        (
            "Connecting to '10.0.0.12:2380'...\n- Status: The certificate is NOT trusted. The name in the certificate "
            "does not match the expected."
        ),
        named(None, at=Listener.ETCD_PEER, server="10.0.0.12:2380"),
    ),
    (
        "peeraddr=10.0.0.12:6443 state=error: certificate verify failed (hostname mismatch)",
        named(None, at=Listener.API_SERVER, server="10.0.0.12:6443"),
    ),
    (
        f'"target":"etcd-endpoints://0xc000/10.0.0.12:2379","error":"{GO}certificate is valid for cp-1, not x"',
        named("x", "cp-1", at=Listener.ETCD, server="10.0.0.12:2379"),
    ),
    (
        f'"round-tripper-name":"ROUND_TRIPPER_SNAPSHOT","error":"{GO}certificate is valid for cp-1, not x"',
        named("x", "cp-1", at=Listener.ETCD_PEER),
    ),
    (
        f'Get "https://127.0.0.1:10257/metrics": {GO}certificate is valid for localhost, not 127.0.0.1',
        named("127.0.0.1", "localhost", at=Listener.CONTROLLER_MANAGER, server="127.0.0.1:10257"),
    ),
    (
        f'Get "https://10.0.0.11:10259/metrics": {GO}{UNKNOWN}',
        unknown("10.0.0.11:10259", at=Listener.SCHEDULER),
    ),
    # -- wrong names in still other words
    ("ssl.CertificateError: hostname 'api.x' doesn't match 'kubernetes'", named("api.x", "kubernetes")),
    (
        "CertificateError(\"hostname '10.0.0.5' doesn't match either of 'worker-2', '10.0.0.22'\")",
        named("10.0.0.5", "worker-2", "10.0.0.22"),
    ),
    ("javax.net.ssl.SSLPeerUnverifiedException: Hostname api.x not verified:", named("api.x")),
    (
        "Certificate for <10.0.0.5> doesn't match any of the subject alternative names: [cp-1, kubernetes]",
        named("10.0.0.5", "cp-1", "kubernetes"),
    ),
    ("The certificate's owner does not match hostname 'api.x'", named("api.x")),
    (
        "ERROR: certificate common name ‘kube-apiserver’ doesn't match requested host name ‘api.x’.",  # noqa: RUF001
        named("api.x"),
    ),
    (
        'invalid peer certificate: certificate not valid for name "api.x"; certificate is only valid for DnsName("a")',
        named("api.x"),
    ),
    ("invalid peer certificate: NotValidForName", named(None)),
    ("schannel: SNI or certificate check failed: SEC_E_WRONG_PRINCIPAL (0x80090322)", named(None)),
    # -- no certificate at all
    ("remote error: tls: certificate required", nothing()),
    (
        'rejected connection on client endpoint","error":"tls: client didn\'t provide a certificate"',
        nothing(Listener.ETCD),
    ),
    ("curl: (56) OpenSSL SSL_read: tlsv13 alert certificate required, errno 0", nothing()),
    (
        "*** Fatal error: A TLS fatal alert has been received.\n*** Received alert [116]: Certificate is required",
        nothing(),
    ),
    ("javax.net.ssl.SSLHandshakeException: Received fatal alert: bad_certificate", refused_client()),
    ("*** Received alert [48]: CA is unknown", refused_client()),
    ("tls: bad certificate", refused_client()),
    # -- what names nothing of a cluster
    (
        'error: exec plugin: invalid apiVersion "client.authentication.k8s.io/v1alpha1"',
        Circumstance.EXEC_VERSION,
    ),
    (
        'getting credentials: decoding stdout: no kind "ExecCredential" is registered for version "a/v1alpha1"',
        Circumstance.EXEC_VERSION,
    ),
    (
        "Unable to connect to the server: getting credentials: exec: executable gke not found",
        Circumstance.EXEC_MISSING,
    ),
    ("getting credentials: exec: executable aws failed with exit code 255", Circumstance.EXEC_FAILED),
    ("error: tls: private key does not match public key", Circumstance.KEY_MISMATCH),
    (
        (
            'certificate_manager.go:440] "kubernetes.io/kube-apiserver-client-kubelet: Reached backoff limit, still '
            'unable to rotate certs: timed out waiting for the condition"'
        ),
        Circumstance.ROTATION_WAITS,
    ),
    ("certificate_manager.go:356] Certificate rotation is enabled", Circumstance.ROTATES),
    (
        "bootstrap.go:265] part of the existing bootstrap client certificate in /etc/kubernetes/kubelet.conf is expired: x",
        Circumstance.KUBELET_EXPIRED,
    ),
    (
        'err="failed to run Kubelet: unable to load bootstrap kubeconfig: stat /b.conf: no such file or directory"',
        Circumstance.KUBELET_EXPIRED,
    ),
    (
        'user "x" (groups=["a"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[""]}',
        Circumstance.ESCALATION,
    ),
    (
        'no matches for kind "ClusterTrustBundle" in version "certificates.k8s.io/v1"',
        Circumstance.UNKNOWN_KIND,
    ),
    ('error: no kind "Pod" is registered for version "v2" in scheme "x.go:28"', Circumstance.UNKNOWN_KIND),
    # -- no way in at all
    (
        "The connection to the server localhost:8080 was refused - did you specify the right host?",
        NoKubeconfig(),
    ),
    (
        'Get "http://localhost:8080/api?timeout=32s": dial tcp [::1]:8080: connect: connection refused',
        NoKubeconfig(),
    ),
    ("Please enter Username: ", NoCredential()),
    ('Error from server (NotFound): configmaps "aws-auth" not found', NoMappings()),
    # -- refused on purpose
    (
        'Internal Server Error: "/api/v1/pods": Post "https://127.0.0.1:0/this-credential-is-revoked?timeout=1s": dial tcp 127.0.0.1:0: connect: connection refused',
        Revoked(),
    ),
    # -- nobody
    (
        'Error from server (Forbidden): nodes is forbidden: User "system:anonymous" cannot list resource "nodes"',
        Anonymous(),
    ),
    (
        (
            '{\n  "status": "Failure",\n  "message": "forbidden: User \\"system:anonymous\\" cannot get path \\"/\\"",'
            '\n  "reason": "Forbidden",\n  "code": 403\n}'
        ),
        Anonymous(),
    ),
    ("Forbidden (user=system:anonymous, verb=get, resource=nodes, subresource(s)=[metrics])", Anonymous()),
    # -- somebody who may not
    (
        (
            'Error from server (Forbidden): pods is forbidden: User "dev1" cannot list resource "pods" in API group '
            '"" in the namespace "web"'
        ),
        cannot("list", "pods", namespace="web"),
    ),
    (
        (
            'Error from server (Forbidden): pods "a" is forbidden: User "dev1" cannot create resource "pods/exec" in '
            'API group "" in the namespace "web": RBAC: clusterrole.rbac.authorization.k8s.io "x" not found'
        ),
        cannot("create", "pods/exec", namespace="web"),
    ),
    (
        (
            '{"kind":"Status","message":"deployments.apps is forbidden: User \\"dev1\\" cannot list resource '
            '\\"deployments\\" in API group \\"apps\\" at the cluster scope","code":403}'
        ),
        cannot("list", "deployments", "apps"),
    ),
    (
        (
            'E1124 reflector.go:205] "Failed to watch" err="pods is forbidden: User \\"dev1\\" cannot watch resource '
            '\\"pods\\" in API group \\"\\" at the cluster scope" reflector="x.go:1"'
        ),
        cannot("watch", "pods"),
    ),
    (
        'Error from server (Forbidden): forbidden: User "dev1" cannot get path "/metrics"',
        cannot("get", None, path="/metrics"),
    ),
    ("Forbidden (user=dev1, verb=get, resource=nodes, subresource(s)=[proxy])", cannot("get", "nodes/proxy")),
    ("Forbidden (user=dev1, verb=get, resource=nodes, subresource=stats)", cannot("get", "nodes/stats")),
    # -- others that people meet on the way
    (
        f"{GO}certificate has expired or is not yet valid: current time 2026-11-24T18:30:00Z is after",
        Expired(),
    ),
    ("curl: (60) SSL certificate problem: certificate has expired", Expired()),
    (f'{API_SERVER_LOG}[x509: certificate has expired or is not yet valid: current time]"', Expired()),
    ("error: You must be logged in to the server (Unauthorized)", why(Refusal.UNKNOWN)),
    (
        "error: You must be logged in to the server (the server has asked for the client to provide credentials)",
        why(Refusal.UNKNOWN),
    ),
    ("HTTP/2 401 \r\n", why(Refusal.UNKNOWN)),
    ('{"kind":"Status","status":"Failure","reason":"Unauthorized","code":401}', why(Refusal.UNKNOWN)),
    ("unexpected response, status code 401", why(Refusal.UNKNOWN)),
    (f'{API_SERVER_LOG}[invalid bearer token, service account token has expired]"', why(Refusal.EXPIRED)),
    (
        f'{API_SERVER_LOG}[invalid bearer token, service account UID (a) does not match claim (b)]"',
        why(Refusal.GONE),
    ),
    (f'{API_SERVER_LOG}[invalid bearer token, serviceaccounts \\"a\\" not found]"', why(Refusal.GONE)),
    (
        (
            f'{API_SERVER_LOG}[invalid bearer token, token audiences [\\"vault\\"] is invalid for the target '
            'audiences [\\"https://kubernetes.default.svc\\"]]"'
        ),
        why(Refusal.AUDIENCE),
    ),
    (f'{API_SERVER_LOG}[invalid bearer token, invalid signature, no keys found]"', why(Refusal.KEY)),
    (f'{API_SERVER_LOG}[invalid bearer token, token issuer \\"x\\" is invalid]"', why(Refusal.KEY)),
]


@pytest.mark.parametrize(("text", "failure"), WORDINGS, ids=[text[:60] for text, _ in WORDINGS])
def test_the_words_of_many_programs(text: str, failure: Failure) -> None:
    assert recognise(text) == failure
    assert recognise(f"some lines before\n{text}\nand after\n") == failure
    (step,) = [line for line in explain(text, None) or () if "next: " in line]
    assert len(step) > 40


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "no space left on device",
        "dial tcp 10.0.0.11:6443: connect: connection refused",
        'Error from server (NotFound): pods "a" not found',
        "received 401 bytes from 10.0.0.1",
        "certificate is valid",
        "x509: malformed certificate",
        "\0\xff\x1b[31m",
    ],
)
def test_what_is_none_of_them(text: str) -> None:
    assert recognise(text) is None
    assert explain(text, None) is None


def test_nothing_in_a_message_reaches_a_shell_a_spec_or_a_terminal() -> None:
    evil = "x'; rm -rf ~; '"
    said = "\n".join(explain(f'User "{evil}" cannot get path "/"', None) or ())
    assert "--as 'x'\"'\"'; rm -rf ~; '\"'\"''" in said
    hidden = "\n".join(explain('User "a\x1b[2J\r\u202eb" cannot get path "/"', None) or ())
    assert "a\N{REPLACEMENT CHARACTER}[2J" in hidden
    assert hidden.replace("\n", "").isprintable()


_PARTS = strategies.sampled_from(
    [
        *(text for text, _ in WORDINGS),
        "certificate is valid for ", ", not ", "forbidden", "system:anonymous", 'User "', '" cannot ', "a" * 90,
        "https://", "Unable to authenticate the request", "verifying certificate SN=", "\\", '"', "\n", "\0",
    ]
)  # fmt: skip


@pytest.mark.sweep
@given(strategies.lists(_PARTS | strategies.text(max_size=30), max_size=12).map("".join))
@example("certificate is valid for , not .")
def test_whatever_stands_there_is_read(text: str) -> None:
    for line in explain(text, None) or ():
        assert line.isprintable()
