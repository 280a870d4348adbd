"""`pkigen adopt --from`: the authority of another distribution's cluster, and what it cannot say."""

from __future__ import annotations

import base64
import re
import shutil
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from pkigen.distributions.names import Distribution
from tests.cli.program import NOW, InProcess, contents
from tests.rotation.phases import Workshop

if TYPE_CHECKING:
    from pathlib import Path

K3S = ("client-ca", "server-ca", "request-header-ca", "etcd/server-ca", "etcd/peer-ca")
ANYWAY = "not known: where its API server is"


@dataclass(frozen=True)
class Authority:
    """A CA that somebody else has made."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return key_pem(self.key)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def made_ca(name: str, above: Authority | None = None) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    signer = above.key if above is not None else key
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above.certificate.subject if above is not None else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=9))
        .not_valid_after(NOW + timedelta(days=3000))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    return Authority(certificate, key)


def export(pkigen: InProcess, tree: Path, distribution: str, out: Path, *more: object) -> dict[str, bytes]:
    result = pkigen("-C", tree, "export", "--as", distribution, "--out", out, *more)
    assert result.code == 0, result
    return contents(out)


def adopt(pkigen: InProcess, distribution: str, tree: Path, *sources: object) -> str:
    result = pkigen("adopt", "--from", distribution, *sources, "-C", tree)
    assert result.code == 0, result
    assert "nothing was issued" in result.out
    assert "PRIVATE KEY" not in result.out + result.err
    plan = pkigen("-C", tree, "plan")
    assert plan.code == 0
    assert "nothing to do" in plan.out
    return result.err


@pytest.mark.parametrize("distribution", list(Distribution))
def test_what_was_exported_comes_back_to_the_byte(
    pkigen: InProcess, tree: Path, tmp_path: Path, distribution: Distribution
) -> None:
    first = export(pkigen, tree, distribution, tmp_path / "first")
    told = adopt(pkigen, distribution, tmp_path / "adopted", tmp_path / "first")
    assert ANYWAY in told
    base = ("--base", tmp_path / "first/secrets.yaml") if distribution is Distribution.TALOS else ()
    again = export(pkigen, tmp_path / "adopted", distribution, tmp_path / "again", "--name", "home", *base)
    assert again == first
    # The authority is as private as any.
    for file in (tmp_path / "adopted/pki").rglob("*.key"):
        assert file.stat().st_mode & 0o777 == 0o600, file
    assert pkigen("-C", tmp_path / "adopted", "verify").code == 0


def test_what_is_not_known_is_said_in_the_spec_too(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    export(pkigen, tree, "k0s", tmp_path / "pki")
    shown = pkigen("adopt", "--from", "k0s", tmp_path / "pki", "--dry-run", "-C", tmp_path / "new")
    assert shown.code == 0
    assert not (tmp_path / "new").exists()
    unknown = [line.removeprefix("not known: ") for line in shown.err.splitlines() if "not known" in line]
    assert len(unknown) == 4
    for each in unknown:
        assert f"# Not known: {each}." in shown.out
    spec = yaml.safe_load(shown.out)
    assert spec["spec"]["nodes"] == []
    assert spec["metadata"]["name"] == "kubernetes"
    named = pkigen(
        *("adopt", "--from", "k0s", tmp_path / "pki", "--dry-run", "-C", tmp_path / "new"),
        *("--name", "edge", "--kubernetes-version", "v1.35.1"),
    )
    assert yaml.safe_load(named.out)["metadata"]["name"] == "edge"
    assert yaml.safe_load(named.out)["spec"]["kubernetesVersion"] == "v1.35.1"


# -- Cluster API ------------------------------------------------------------------------------------------


def secrets(pkigen: InProcess, tree: Path, place: Path, *more: object) -> list[dict[str, object]]:
    (content,) = export(pkigen, tree, "cluster-api", place, *more).values()
    return list(yaml.safe_load_all(content))


def test_a_list_with_the_cluster_beside_it(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    """As `kubectl get secrets,clusters,kubeadmcontrolplanes -o yaml` prints it: what is known is taken."""
    items = secrets(pkigen, tree, tmp_path / "one", "--name", "edge", "--namespace", "sites")
    cluster = {
        "kind": "Cluster",
        "metadata": {"name": "edge"},
        "spec": {"controlPlaneEndpoint": {"host": "10.1.2.3", "port": 6443}},
    }
    plane = {
        "kind": "KubeadmControlPlane",
        "metadata": {"name": "edge-cp", "labels": {"cluster.x-k8s.io/cluster-name": "edge"}},
        "spec": {"version": "v1.35.2"},
    }
    file = tmp_path / "list.yaml"
    file.write_text(yaml.safe_dump({"kind": "List", "apiVersion": "v1", "items": [*items, cluster, plane]}))
    told = adopt(pkigen, "cluster-api", tmp_path / "adopted", file)
    assert "--namespace sites" in told
    assert ANYWAY not in told
    spec = yaml.safe_load((tmp_path / "adopted/cluster.yaml").read_text())
    assert spec["metadata"]["name"] == "edge"
    assert spec["spec"]["controlPlaneEndpoint"] == "10.1.2.3:6443"
    assert spec["spec"]["kubernetesVersion"] == "v1.35.2"


def test_which_of_several_clusters_is_meant_is_said(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        secrets(pkigen, tree, tmp_path / "all" / name, "--name", name)
    place = tmp_path / "all"
    refused = pkigen("adopt", "--from", "cluster-api", place, "-C", tmp_path / "no")
    assert refused.code == 1
    assert "one, two" in refused.error
    assert "--name" in refused.hint
    wrong = pkigen("adopt", "--from", "cluster-api", place, "--name", "three", "-C", tmp_path / "no")
    assert "three-ca" in wrong.error
    done = pkigen("adopt", "--from", "cluster-api", place, "--name", "two", "-C", tmp_path / "two")
    assert done.code == 0
    assert not (tmp_path / "no").exists()


def test_an_external_etcd_goes_both_ways(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    """NAME-etcd without a key, NAME-apiserver-etcd-client with one (the book, "External etcd")."""
    node = tree / "nodes/cp-1/etc/kubernetes/pki"
    given = (
        *("--etcd-ca", node / "etcd/ca.crt"),
        *("--etcd-cert", node / "apiserver-etcd-client.crt"),
        *("--etcd-key", node / "apiserver-etcd-client.key"),
    )
    found = {each["metadata"]["name"]: each for each in secrets(pkigen, tree, tmp_path / "one", *given)}  # type: ignore[index]
    assert set(found) == {f"home-{each}" for each in ("ca", "etcd", "proxy", "sa", "apiserver-etcd-client")}
    assert set(found["home-etcd"]["data"]) == {"tls.crt"}  # type: ignore[call-overload]
    client = found["home-apiserver-etcd-client"]["data"]
    assert base64.b64decode(client["tls.key"]) == (node / "apiserver-etcd-client.key").read_bytes()  # type: ignore[index]
    told = adopt(pkigen, "cluster-api", tmp_path / "adopted", tmp_path / "one")
    assert "etcd is external" in told
    assert not (tmp_path / "adopted/pki/etcd").exists()
    again = secrets(pkigen, tmp_path / "adopted", tmp_path / "two", *given)
    assert {each["metadata"]["name"]: each for each in again} == found  # type: ignore[index]
    # An etcd would refuse these, and no other distribution has a place for them.
    for wrong, why in (
        (("--etcd-ca", node / "ca.crt", *given[2:]), "would refuse"),
        ((*given[:4], "--etcd-key", node / "apiserver.key"), "is not the private key of"),
        (given[:2], "belong together"),
    ):
        refused = pkigen("-C", tree, "export", "--as", "cluster-api", "--out", tmp_path / "no", *wrong)
        assert refused.code != 0
        assert why in refused.error
    elsewhere = pkigen("-C", tree, "export", "--as", "k3s", "--out", tmp_path / "no", *given)
    assert elsewhere.code == 2
    assert not (tmp_path / "no").exists()


# -- Talos ------------------------------------------------------------------------------------------------

# siderolabs/crypto x509/certificate_key.go, GetKey: by the type of the block, and nothing else.
_TALOS_TYPES = {
    b"RSA PRIVATE KEY": "PKCS #1",
    b"EC PRIVATE KEY": "SEC 1",
    b"ED25519 PRIVATE KEY": "PKCS #8",
    b"PRIVATE KEY": "PKCS #8",
}


def load_bundle(text: str) -> dict[str, dict[str, dict[str, str]]]:
    """`LoadBundle` and `Bundle.Validate` of bundle.go, as far as they read: what they would refuse, fails."""
    bundle = yaml.safe_load(text)
    assert bundle["cluster"]["id"]
    assert len(base64.urlsafe_b64decode(bundle["cluster"]["id"])) == 32
    assert len(base64.b64decode(bundle["cluster"]["secret"], validate=True)) == 32
    token = re.compile("[a-z0-9]{6}[.][a-z0-9]{16}")
    assert token.fullmatch(bundle["secrets"]["bootstraptoken"])
    assert token.fullmatch(bundle["trustdinfo"]["token"])
    encryption = {"aescbcencryptionsecret", "secretboxencryptionsecret"} & bundle["secrets"].keys()
    assert len(encryption) == 1
    for name in ("etcd", "k8s", "k8saggregator", "os"):
        pair = bundle["certs"][name]
        x509.load_pem_x509_certificate(base64.b64decode(pair["crt"], validate=True))
        require_readable(base64.b64decode(pair["key"], validate=True))
    require_readable(base64.b64decode(bundle["certs"]["k8sserviceaccount"]["key"], validate=True))
    return bundle  # type: ignore[no-any-return]


def require_readable(pem: bytes) -> object:
    match = re.match(rb"-----BEGIN ([A-Z0-9 ]+)-----\n(.+?)-----END", pem, re.DOTALL)
    assert match is not None
    form = _TALOS_TYPES[match[1]]
    der = base64.b64decode(match[2])
    assert (der[4:7] == b"\x02\x01\x00" or der[2:5] == b"\x02\x01\x00") == (form in {"PKCS #8", "PKCS #1"})
    return serialization.load_der_private_key(der, None)


def test_talos_loads_what_is_made_for_it(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    text = export(pkigen, tree, "talos", tmp_path / "out")["secrets.yaml"].decode()
    bundle = load_bundle(text)
    node = tree / "nodes/cp-1/etc/kubernetes/pki"
    for name, file in (("k8s", "ca.crt"), ("etcd", "etcd/ca.crt"), ("k8saggregator", "front-proxy-ca.crt")):
        assert base64.b64decode(bundle["certs"][name]["crt"]) == (node / file).read_bytes()
    own = bundle["certs"]["os"]
    key = require_readable(base64.b64decode(own["key"]))
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    certificate = x509.load_pem_x509_certificate(base64.b64decode(own["crt"]))
    assert certificate.public_key() == key.public_key()
    certificate.verify_directly_issued_by(certificate)
    assert certificate.subject.rfc4514_string() == "O=talos"
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(hours=87600)
    # Another export has other secrets of Talos' own, unless these are given.
    other = export(pkigen, tree, "talos", tmp_path / "other")["secrets.yaml"].decode()
    assert load_bundle(other)["certs"]["os"] != own
    # The control: a reader of Talos' refuses the type that pkigen's own PKCS #8 would have.
    with pytest.raises(KeyError):
        require_readable(base64.b64decode(own["key"]).replace(b"ED25519 ", b"ENCRYPTED "))


def test_a_front_proxy_ca_of_talos_has_no_name(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    """As its older releases made it (testdata/secrets.yaml); it works, and is remarked upon."""
    text = export(pkigen, tree, "talos", tmp_path / "out")["secrets.yaml"].decode()
    nameless = made_ca("")
    for name, content in (("crt", nameless.pem), ("key", nameless.key_pem)):
        text = re.sub(
            rf"(k8saggregator:\n(?:        .*\n)*?        {name}: ).*",
            rf"\g<1>{base64.b64encode(content).decode()}",
            text,
        )
    file = tmp_path / "talos.yaml"
    file.write_text(text)
    adopt(pkigen, "talos", tmp_path / "adopted", file)
    again = export(pkigen, tmp_path / "adopted", "talos", tmp_path / "again", "--base", file)
    assert again["secrets.yaml"].decode() == text


# -- k3s --------------------------------------------------------------------------------------------------


def five_cas(place: Path, cas: dict[str, tuple[Authority, ...]], token_keys: int = 1) -> None:
    """A `server/tls`: the CA that signs first, and what stands above it behind."""
    for name, chain in cas.items():
        file = place / "tls" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_suffix(".crt").write_bytes(b"".join(each.pem for each in chain))
        file.with_suffix(".key").write_bytes(chain[0].key_pem)
    keys = b"".join(key_pem(ec.generate_private_key(ec.SECP256R1())) for _ in range(token_keys))
    (place / "tls/service.key").write_bytes(keys)


def test_k3s_that_made_its_own_cas_has_five(pkigen: InProcess, tmp_path: Path) -> None:
    """Two of them are one of pkigen's: both stay trusted, each signs what it did, and rotate-ca agrees."""
    cas = {name: (made_ca(f"k3s-{name.replace('/', '-')}@1700000000"),) for name in K3S}
    five_cas(tmp_path / "server", cas)
    told = adopt(pkigen, "k3s", tmp_path / "adopted", tmp_path / "server/tls")
    assert told.count("are two CAs, where pkigen has one") == 2
    out = export(pkigen, tmp_path / "adopted", "k3s", tmp_path / "out")
    for name in K3S:
        assert out[f"tls/{name}.key"] == cas[name][0].key_pem
        assert out[f"tls/{name}.crt"].startswith(cas[name][0].pem)
    assert out["tls/server-ca.crt"] == cas["server-ca"][0].pem + cas["client-ca"][0].pem
    assert out["tls/request-header-ca.crt"] == cas["request-header-ca"][0].pem
    # And once more, from what was written.
    adopt(pkigen, "k3s", tmp_path / "twice", tmp_path / "out")
    assert export(pkigen, tmp_path / "twice", "k3s", tmp_path / "again") == out


def test_chains_of_k3s_come_back_whole(pkigen: InProcess, tmp_path: Path) -> None:
    """As generate-custom-ca-certs.sh makes them: a CA, the intermediate, the root."""
    root = made_ca("root")
    middle = made_ca("intermediate", root)
    chain = {CA: (made_ca(CA, middle), middle, root) for CA in ("kubernetes", "front-proxy", "etcd")}
    cas = {
        name: chain["etcd" if "etcd" in name else "front-proxy" if "header" in name else "kubernetes"]
        for name in K3S
    }
    five_cas(tmp_path / "server", cas)
    adopt(pkigen, "k3s", tmp_path / "adopted", tmp_path / "server")
    assert export(pkigen, tmp_path / "adopted", "k3s", tmp_path / "out") == contents(tmp_path / "server")


def test_a_rotation_of_k3s_that_is_under_way(pkigen: InProcess, tmp_path: Path) -> None:
    """What `rotate-ca` was given, with the cross certificates and both keys, goes on where it was."""
    workshop = Workshop(place=tmp_path).made()
    for what in ("ca kubernetes etcd front-proxy", "sa"):
        workshop.step(what, "prepare")
        workshop.step(what, "promote")
    given = export(pkigen, workshop.tree, "k3s", tmp_path / "given")
    told = adopt(pkigen, "k3s", tmp_path / "adopted", tmp_path / "given")
    assert "taken for the generation before" in told
    assert export(pkigen, tmp_path / "adopted", "k3s", tmp_path / "again") == given
    # Talos has lists for what is accepted beside what signs; its etcd has none.
    refused = pkigen("-C", tmp_path / "adopted", "export", "--as", "talos", "--out", tmp_path / "talos")
    assert "etcd-ca is being rotated" in refused.error
    done = pkigen("-C", tmp_path / "adopted", "rotate", "ca", "etcd", "--phase", "finish", "--yes",
                  "--assume-distributed")  # fmt: skip
    assert done.code == 0, done
    talos = export(pkigen, tmp_path / "adopted", "talos", tmp_path / "talos")
    documents = {each["kind"]: each for each in yaml.safe_load_all(talos["accepted.yaml"])}
    assert set(documents) == {"KubeAPIServerCAConfig", "KubeAggregatorCAConfig", "KubeServiceAccountConfig"}
    accepted = documents["KubeAPIServerCAConfig"]["acceptedCAs"]
    # The cross certificate and what follows it: the new CA, then the one before.
    assert "".join(accepted).encode() in given["tls/client-ca.crt"]
    assert all(each.count("BEGIN CERTIFICATE") == 1 for each in accepted)
    older = yaml.safe_load(talos["accepted-v1alpha1.yaml"])["cluster"]["acceptedCAs"]
    assert [base64.b64decode(each["crt"]).decode() for each in older] == accepted
    assert len(documents["KubeServiceAccountConfig"]["accepted"]["publicKeys"]) == 2
    assert b"PRIVATE" not in talos["accepted.yaml"] + talos["accepted-v1alpha1.yaml"]


# -- what is refused --------------------------------------------------------------------------------------


def without_a_key(pki: Path) -> str:
    (pki / "etcd/ca.key").unlink()
    return "the private key of etcd-ca is not beside its certificate"


def with_another_key(pki: Path) -> str:
    shutil.copy(pki / "front-proxy-ca.key", pki / "ca.key")
    return "belongs to none of its certificates"


def with_a_damaged_certificate(pki: Path) -> str:
    (pki / "ca.crt").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    return "ca.crt holds a certificate that cannot be read"


def without_tokens(pki: Path) -> str:
    (pki / "sa.key").unlink()
    return "signs service accounts' tokens is not among these files"


def with_tokens_in_utf_16(pki: Path) -> str:
    (pki / "sa.key").write_bytes((pki / "sa.key").read_text().encode("utf-16"))
    return "the key of service accounts holds UTF-16 text"


def with_half_a_token_key(pki: Path) -> str:
    (pki / "sa.key").write_bytes((pki / "sa.key").read_bytes()[:-60])
    return "the key of service accounts is not a PEM private key"


def with_an_accepted_key(pki: Path) -> str:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with (pki / "sa.pub").open("ab") as stream:
        stream.write(pem)
    return "tokens of 2 keys are accepted, and only 1 of them are here"


def with_three_cas(pki: Path) -> str:
    with (pki / "ca.crt").open("ab") as stream:
        stream.write(made_ca("second").pem + made_ca("third").pem)
    return "has more than one CA beside the one that signs"


def with_two_nodes(pki: Path) -> str:
    shutil.copytree(pki, pki.parent / "both/one")
    shutil.move(pki, pki.parent / "both/two")
    shutil.move(pki.parent / "both", pki)
    return "are of several clusters or nodes"


def empty(pki: Path) -> str:
    shutil.rmtree(pki)
    pki.mkdir()
    return "there is no front-proxy-ca.crt"


@pytest.mark.parametrize(
    "defect",
    [
        without_a_key,
        with_another_key,
        with_a_damaged_certificate,
        without_tokens,
        with_tokens_in_utf_16,
        with_half_a_token_key,
        with_an_accepted_key,
        with_three_cas,
        with_two_nodes,
        empty,
    ],
)
def test_what_is_not_whole_is_refused(pkigen: InProcess, tree: Path, tmp_path: Path, defect: object) -> None:
    export(pkigen, tree, "k0s", tmp_path / "pki")
    why = defect(tmp_path / "pki")  # type: ignore[operator]
    refused = pkigen("adopt", "--from", "k0s", tmp_path / "pki", "-C", tmp_path / "new")
    assert refused.code == 1, refused
    assert why in refused.error
    assert refused.hint
    assert not (tmp_path / "new").exists() or not any((tmp_path / "new").rglob("*.key"))


def test_a_token_key_that_is_there_twice_is_one_generation(
    pkigen: InProcess, tree: Path, tmp_path: Path
) -> None:
    export(pkigen, tree, "k0s", tmp_path / "pki")
    key = tmp_path / "pki/sa.key"
    key.write_bytes(key.read_bytes() * 2)
    adopt(pkigen, "k0s", tmp_path / "adopted", tmp_path / "pki")
    assert not (tmp_path / "adopted/pki/sa-previous.key").exists()
    assert pkigen("verify", "-C", tmp_path / "adopted").code == 0


def test_keys_that_are_elsewhere_for_good_stay_there(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    export(pkigen, tree, "k0s", tmp_path / "pki")
    for name in ("ca", "etcd/ca", "front-proxy-ca"):
        (tmp_path / "pki" / f"{name}.key").unlink()
    told = adopt(pkigen, "k0s", tmp_path / "adopted", tmp_path / "pki")
    assert "an offline authority" in told
    spec = yaml.safe_load((tmp_path / "adopted/cluster.yaml").read_text())
    assert spec["spec"]["certificates"] == {"authority": "offline", "caKeys": "offline"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "kind: Secret\nmetadata: {name: a-ca}\ndata: {tls.crt: '%%'}\n",
            "file.yaml:3:17: data.tls.crt is no base64",
        ),
        ("kind: [\n", "file.yaml:2:1"),
        ("kind: Secret\nsops: {age: []}\n", "is sealed by SOPS"),
        ("kind: ConfigMap\n", "there is no Secret NAME-ca"),
    ],
)
def test_documents_are_told_of_by_line(pkigen: InProcess, tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "file.yaml").write_text(text)
    refused = pkigen("adopt", "--from", "cluster-api", tmp_path / "file.yaml", "-C", tmp_path / "new")
    assert refused.code == 1
    assert why in refused.error
    assert not (tmp_path / "new").exists()


def test_options_that_do_not_go_together(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    for words in (
        ("adopt", tmp_path, "--name", "x"),
        ("adopt", "--from", "k3s"),
        ("adopt", "--from", "k3s", tmp_path / "nowhere"),
        ("adopt", "--from", "k3s", tmp_path, "--kubeadm-config", "x"),
        ("-C", tree, "export", "--as", "k3s", "--out", tmp_path / "no", "--base", tmp_path / "x"),
        ("-C", tree, "export", "--as", "k3s", "--out", tmp_path / "no", "--recipient", "age1x"),
    ):
        refused = pkigen(*words)
        assert refused.code in {1, 2}, words
        assert refused.error
    assert not (tmp_path / "no").exists()
