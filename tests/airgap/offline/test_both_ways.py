"""Both arrangements from the first file that is carried to the tenth year, on two machines."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
import yaml
from cryptography import x509

from pkigen.crypto.age import Identity
from pkigen.desired.certificates import CERTIFICATES
from pkigen.desired.generations import CertificateFile, InKubeconfig, KeyPairFiles
from pkigen.desired.inventory import derive
from pkigen.spec.loader import load
from pkigen.state.observed import observe_certificate
from pkigen.store import Store
from tests.airgap.offline.offline_sides import CAS, DAY, NOW, OfflineSides, snapshot
from tests.samples import private_keys

if TYPE_CHECKING:
    from pathlib import Path


def keys_in(root: Path) -> dict[bytes, set[str]]:
    """Every private key below a directory, backups and all, and where it stands."""
    found: dict[bytes, set[str]] = {}
    for path in root.rglob("*"):
        if path.is_file():
            data = path.read_bytes().replace(b"\\n", b"\n")  # keys in JSON, too
            for key in private_keys(data):
                found.setdefault(key, set()).add(str(path.relative_to(root)))
    return found


def certificates_of(places: OfflineSides) -> dict[str, x509.Certificate]:
    """Every certificate of the site, by id."""
    inventory = derive(load(places.spec, kinds=CERTIFICATES).spec)
    with Store.open_reading(places.site) as store:
        seen = {
            identifier: observe_certificate(store, item.location).certificate
            for identifier, item in inventory.certificates.items()
        }
    return {identifier: found for identifier, found in seen.items() if found is not None}


def keys_are_here(places: OfflineSides) -> bool:
    return "caKeys: site" in places.spec.read_text()


def bundle(path: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(path.read_bytes())


# -- the first round ----------------------------------------------------------------------------------


def test_a_request_is_all_that_init_makes(tmp_path: Path) -> None:
    for keys in ("site", "offline"):
        places = OfflineSides.new(tmp_path / keys, keys)
        said = places.init()
        made = {name for name in snapshot(places.site) if not name.startswith(".pkigen/")}
        files = {"pki/bundle.key", "pki/pending.json", "pki/sa.key", "pki/sa.pub"}
        assert made == {*files, "pki.lock", "cluster.yaml", ".gitignore"}
        assert (places.site / "pki/pending.json").stat().st_mode & 0o777 == 0o600
        assert (places.site / "pki").stat().st_mode & 0o777 == 0o700
        asked = {identifier for identifier, _ in places.requests().requests}
        everything = set(derive(load(places.spec, kinds=CERTIFICATES).spec).certificates)
        assert asked == (set(CAS) if keys == "site" else everything - set(CAS))
        assert b"PRIVATE KEY" not in places.request_file.read_bytes()
        assert f"requests {len(asked)} certificates from the offline authority of prod" in said.out


def test_the_directory_says_what_it_waits_for(places: OfflineSides) -> None:
    number = places.requests().nonce
    before = snapshot(places.site)
    for arguments in (("status", "-C", places.site), ("plan", places.spec, "-C", places.site)):
        said = places.done(*arguments)
        assert f"offline: request {number[:8]} of 2026-11-24 12:00 UTC for" in said.out
        assert places.done(*arguments, "-o", "json").json["request"]["number"] == number
    refused = places.pkigen("apply", places.spec, "-C", places.site, "--yes")
    assert refused.code == 1
    assert "need a certificate from the offline authority, the first being create" in refused.error
    assert "pkigen airgap authority request" in refused.hint
    assert places.pkigen("airgap", "bundle", "create", places.spec, "-C", places.site, "--out", "x").code == 1
    assert snapshot(places.site) == before


def test_the_request_that_is_out_is_written_again(places: OfflineSides) -> None:
    carried = places.request_file.read_bytes()
    before = snapshot(places.site)
    places.init()
    assert places.request_file.read_bytes() == carried
    places.ask()
    assert places.request_file.read_bytes() == carried
    assert snapshot(places.site) == before


def test_a_new_request_makes_new_keys_and_the_old_answer_is_refused(places: OfflineSides) -> None:
    number = places.requests().nonce
    places.ask("--again")
    assert places.requests().nonce != number
    refused = places.pkigen(*places.accept_arguments(), "--pin", places.pins[1])
    assert f"it answers another request, {number[:8]}" in refused.error
    places.sign()
    places.accept("--pin", places.pins[1])


def test_the_answer_makes_the_whole_cluster(places: OfflineSides) -> None:
    said = places.accept("--pin", places.pins[1])
    assert "discovery hash: sha256:" in said.out
    assert not (places.site / "pki/pending.json").exists()
    verified = places.done("verify", "-C", places.site)
    assert verified.out.endswith("0 findings\n")
    assert verified.err == "", "no remark either: all that an offline authority needs is known"
    assert places.done("plan", places.spec, "-C", places.site).out.startswith("nothing to do")
    assert "nothing to do" in places.done("init", places.spec, "-C", places.site).out
    assert "nothing to request: " in places.ask().out
    assert set(certificates_of(places)) == set(
        derive(load(places.spec, kinds=CERTIFICATES).spec).certificates
    )


def test_where_which_private_key_is(original_cluster: OfflineSides) -> None:
    places = original_cluster
    site, vault = keys_in(places.place / "site"), keys_in(places.place / "vault")
    authority = {spki(each): name for name, each in certificates_of(places).items() if name in CAS}
    root = places.authority / "pki/root.crt"
    if root.exists():
        authority[spki(bundle(root)[0])] = "root"
    here = {authority[key] for key in site if key in authority}
    there = {authority[key] for key in vault if key in authority}
    if keys_are_here(places):
        assert (here, there) == (set(CAS), {"root"})
    else:
        assert (here, there) == (set(), set(CAS))
    # No key was ever at both sides, and none was carried.
    assert not site.keys() & vault.keys()
    assert not keys_in(places.place / "medium")
    # The scan sees what it looks for: every leaf's key, and that of service accounts, is at the site.
    leaves = {spki(each) for name, each in certificates_of(places).items() if name not in CAS}
    assert leaves < site.keys()


def spki(certificate: x509.Certificate) -> bytes:
    from pkigen.crypto.keys import public_der  # noqa: PLC0415

    return public_der(certificate.public_key())


def test_chains_and_anchors(original_cluster: OfflineSides) -> None:
    """Servers send what peers need; peers trust the issuing CA of their own kind and nothing above it."""
    places = original_cluster
    inventory = derive(load(places.spec, kinds=CERTIFICATES).spec)
    found = certificates_of(places)
    node = places.site / "nodes/cp-1/etc/kubernetes/pki"
    for name, path in zip(CAS, ("ca.crt", "etcd/ca.crt", "front-proxy-ca.crt"), strict=True):
        assert bundle(node / path) == [found[name]]
        above = bundle(places.site / "pki" / path)[1:]
        assert [each.subject.rfc4514_string() for each in above] == (
            ["CN=prod-root"] if keys_are_here(places) else []
        )
    config = yaml.safe_load((places.site / "nodes/cp-1/etc/kubernetes/admin.conf").read_text())
    assert config["clusters"][0]["cluster"]["certificate-authority-data"]
    for item in inventory.certificates.values():
        if isinstance(item.location, KeyPairFiles) and item.issuer is not None:
            sent = bundle(places.site / item.location.certificate)
            wanted = [found[item.id]]
            if keys_are_here(places) and item.profile in {"server", "peer"}:
                wanted.append(found[item.issuer.certificate_name])
            assert sent == wanted, item.id


def test_the_control_plane_signs_or_says_that_it_does_not(original_cluster: OfflineSides) -> None:
    node = original_cluster.site / "nodes/cp-1/etc/kubernetes"
    command = yaml.safe_load((node / "manifests/kube-controller-manager.yaml").read_text())
    flags = [flag for flag in command["spec"]["containers"][0]["command"] if "cluster-signing" in flag]
    keys = sorted(str(path.relative_to(node)) for path in node.rglob("*ca.key"))
    if keys_are_here(original_cluster):
        assert flags == [
            "--cluster-signing-cert-file=/etc/kubernetes/pki/ca-signing.crt",
            "--cluster-signing-key-file=/etc/kubernetes/pki/ca.key",
        ]
        assert keys == ["pki/ca.key"]
    else:
        assert flags == ["--cluster-signing-cert-file=", "--cluster-signing-key-file="]
        assert keys == []
    locations = {
        type(item.location)
        for item in derive(load(original_cluster.spec, kinds=CERTIFICATES).spec).certificates.values()
    }
    assert (CertificateFile in locations) is not keys_are_here(original_cluster)
    assert InKubeconfig in locations


def test_the_offline_side_shows_all_and_keeps_a_record(original: OfflineSides) -> None:
    shown = next(each.out for each in original.results if "answer: " in each.out)
    for identifier, _ in original.requests().requests:
        assert f"\n{identifier}\n    subject CN=" in shown
    if keys_are_here(original):
        assert "CA, path length 0; ECDSA-P256, until 2036-11-21 12:00 UTC\n    key sha256:" in shown
        assert "; signed by CN=prod-root" in shown
    else:
        assert "names cp-1, kubernetes, kubernetes.default, kubernetes.default.svc" in shown
        assert "serverAuth, clientAuth; ECDSA-P256, until 2027-11-24 12:00 UTC\n    key sha256:" in shown
        assert "; signed by CN=etcd-ca" in shown
    lines = [
        json.loads(line) for line in (original.authority / ".pkigen/ledger.jsonl").read_text().splitlines()
    ]
    signed = {line["id"]: line for line in lines if line["event"] == "signed"}
    assert all(f"    key {line['spki']}; signed by" in shown for line in signed.values())
    assert set(signed) == {identifier for identifier, _ in original.requests().requests}
    assert {line["request"] for line in signed.values()} == {original.requests().nonce}
    assert lines[-1]["event"] == "answered"
    assert lines[-1]["site"] == original.pins[0]


def test_nobody_is_asked_twice_and_no_is_no(places: OfflineSides, monkeypatch: pytest.MonkeyPatch) -> None:
    import io  # noqa: PLC0415

    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    before = snapshot(places.place)
    refused = places.pkigen(
        "airgap",
        "authority",
        "accept",
        places.answer_file,
        places.spec,
        "-C",
        places.site,
        "--pin",
        places.pins[1],
    )
    assert refused.error == "not applied"
    assert snapshot(places.place) == before


# -- later --------------------------------------------------------------------------------------------


def test_what_is_due_waits_for_the_offline_side_and_blocks_nothing(cluster: OfflineSides) -> None:
    cluster.now = NOW + 345 * DAY
    plan = cluster.done("plan", cluster.spec, "-C", cluster.site, "-o", "json").json
    due = {each["id"] for each in plan["awaited"]}
    if keys_are_here(cluster):
        assert not due
        assert cluster.pkigen("plan", cluster.spec, "-C", cluster.site, "--exit-code").code == 3
        cluster.done("renew", cluster.spec, "-C", cluster.site, "--yes")
        cluster.done("verify", "-C", cluster.site)
        return
    assert {"cp-1/apiserver", "cp-1/admin.conf", "worker-1/kubelet.conf"} <= due
    text = cluster.done("plan", cluster.spec, "-C", cluster.site, "--full").out
    assert "= await cp-1/apiserver (expires-soon)" in text
    assert "come from the offline authority: `pkigen airgap authority request " in text
    assert cluster.pkigen("plan", cluster.spec, "-C", cluster.site, "--exit-code").code == 3
    # A change that this machine can make is made meanwhile.
    changed = cluster.spec.read_text().replace(
        "  kubelet:", "  apiServer: {extraArgs: [{name: v, value: '3'}]}\n  kubelet:"
    )
    for path in (cluster.spec, cluster.spec_there):
        path.write_text(changed)
    before = certificates_of(cluster)
    said = cluster.done("apply", cluster.spec, "-C", cluster.site, "--yes")
    assert "certificates are due for renewal by the offline authority" in said.err
    assert certificates_of(cluster) == before
    refused = cluster.pkigen("renew", cluster.spec, "apiserver", "-C", cluster.site, "--yes")
    assert "need a certificate from the offline authority" in refused.error.replace("needs", "need")
    cluster.ask()
    assert {identifier for identifier, _ in cluster.requests().requests} == due
    cluster.sign()
    cluster.accept()
    after = certificates_of(cluster)
    assert {name for name in after if after[name] != before[name]} == due
    assert all(spki(after[name]) != spki(before[name]) for name in due)
    assert cluster.done("verify", "-C", cluster.site).out.endswith("0 findings\n")
    assert cluster.done("plan", cluster.spec, "-C", cluster.site).out.startswith("nothing to do")
    # Going back brings the old certificates and the request, which can be answered again.
    cluster.done("rollback", "-C", cluster.site, "--yes")
    assert certificates_of(cluster) == before
    cluster.accept("--pin", cluster.pins[1])
    assert certificates_of(cluster) == after


def test_what_expired_since_the_request_does_not_hold_the_answer_up(cluster: OfflineSides) -> None:
    cluster.now = NOW + 5 * DAY
    cluster.ask(*(("ca",) if keys_are_here(cluster) else ("apiserver",)))
    cluster.sign()
    cluster.now = NOW + 31 * DAY
    cluster.accept()  # the user's certificate of 30 days has ended meanwhile
    if keys_are_here(cluster):
        return
    awaited = cluster.done("plan", cluster.spec, "-C", cluster.site, "-o", "json").json["awaited"]
    assert [(each["id"], each["reason"]) for each in awaited] == [("user:dev1", "expired")]


def test_a_changed_name_is_reissued_through_a_request(cluster: OfflineSides) -> None:
    changed = cluster.spec.read_text().replace(
        "  kubelet:", "  apiServer: {certSANs: [api.example.com]}\n  kubelet:"
    )
    for path in (cluster.spec, cluster.spec_there):
        path.write_text(changed)
    if keys_are_here(cluster):
        cluster.done("apply", cluster.spec, "-C", cluster.site, "--yes")
    else:
        before = snapshot(cluster.site)
        refused = cluster.pkigen("apply", cluster.spec, "-C", cluster.site, "--yes")
        assert "the first being reissue cp-1/apiserver (sans-changed)" in refused.error
        assert snapshot(cluster.site) == before
        cluster.ask()
        assert [each for each, _ in cluster.requests().requests] == ["cp-1/apiserver"]
        cluster.sign()
        cluster.accept()
    names = certificates_of(cluster)["cp-1/apiserver"].extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert "api.example.com" in names.value.get_values_for_type(x509.DNSName)
    cluster.done("verify", "-C", cluster.site)


def test_the_cas_live_on_with_the_same_key(cluster: OfflineSides) -> None:
    before = certificates_of(cluster)
    cluster.now = NOW + 20 * DAY
    refused = cluster.pkigen("renew", cluster.spec, "ca", "-C", cluster.site, "--yes")
    assert refused.error == "ca comes from the offline authority: only it can renew the certificate"
    there = ("airgap", "authority", "renew", cluster.spec_there, "--authority", cluster.authority, "--yes")
    if keys_are_here(cluster):
        assert "pkigen airgap authority request ca" in refused.hint
        cluster.done(*there, "root")
    else:
        assert "pkigen airgap authority renew SPEC ca" in refused.hint
        cluster.done(*there, *CAS)
    cluster.ask(*CAS)
    cluster.sign()
    cluster.accept()
    after = certificates_of(cluster)
    assert {name for name in after if after[name] != before[name]} == set(CAS)
    for name in CAS:
        assert spki(after[name]) == spki(before[name])
        assert after[name].not_valid_after_utc - before[name].not_valid_after_utc == 20 * DAY
    assert cluster.done("verify", "-C", cluster.site).out.endswith("0 findings\n")
    node = cluster.site / "nodes/cp-1/etc/kubernetes/pki"
    assert bundle(node / "ca.crt") == [after["ca"]]
    if keys_are_here(cluster):
        assert bundle(node / "apiserver.crt") == [before["cp-1/apiserver"], after["ca"]]


def test_a_cluster_whose_cas_have_ended_comes_back(cluster: OfflineSides) -> None:
    cluster.now = NOW + 3651 * DAY
    refused = cluster.pkigen("rescue", "-C", cluster.site, "--yes")
    assert refused.error == f"only the offline authority can renew what has expired: {', '.join(CAS)}"
    assert ("authority renew SPEC ca" in refused.hint) is not keys_are_here(cluster)
    there = ("airgap", "authority", "renew", cluster.spec_there, "--authority", cluster.authority, "--yes")
    if keys_are_here(cluster):
        assert "pki/ca.crt is unfit" in cluster.pkigen("plan", cluster.spec, "-C", cluster.site).error
        cluster.ask(*CAS)
    else:
        cluster.done(*there, *CAS)
        cluster.ask(*CAS)
    cluster.sign()
    cluster.accept()
    if not keys_are_here(cluster):
        cluster.ask()
        cluster.sign()
        cluster.accept()
    assert cluster.done("verify", "-C", cluster.site).out.endswith("0 findings\n")


def test_rotating_a_ca(cluster: OfflineSides) -> None:
    rotate = ("rotate", "ca", "kubernetes", cluster.spec, "-C", cluster.site, "--yes")
    refused = cluster.pkigen(*rotate)
    if not keys_are_here(cluster):
        assert "no step of a rotation can be signed here" in refused.error
        assert cluster.pkigen("airgap", "authority", "request", cluster.spec, "--next", "ca").code == 2
        return
    assert refused.error == "the successor of the ca CA comes from the offline authority"
    before = certificates_of(cluster)
    cluster.ask("--next", "ca")
    assert [each for each, _ in cluster.requests().requests] == ["ca-next"]
    assert "ca-next\n    subject CN=kubernetes-g2" in cluster.sign().out
    cluster.accept()
    assert certificates_of(cluster) == before
    for _ in range(3):
        cluster.done(*rotate, "--assume-distributed")
    after = certificates_of(cluster)
    assert after["ca"].subject.rfc4514_string() == "CN=kubernetes-g2"
    assert spki(after["ca"]) != spki(before["ca"])
    assert cluster.done("verify", "-C", cluster.site).out.endswith("0 findings\n")
    cluster.ask("ca")
    assert "ca\n    subject CN=kubernetes-g2" in cluster.sign().out
    cluster.accept()
    assert cluster.done("verify", "-C", cluster.site).out.endswith("0 findings\n")


def test_a_root_of_ones_own(tmp_path: Path, original: OfflineSides) -> None:
    """What a person puts into the authority's directory before `authority init` is used, if it can sign."""
    places = OfflineSides.new(tmp_path / "own", "site" if keys_are_here(original) else "offline")
    pki = places.authority / "pki"
    pki.mkdir(parents=True, mode=0o700)
    if keys_are_here(original):
        for name in ("root.crt", "root.key"):
            shutil.copy(original.authority / "pki" / name, pki / name)
        places.made()
        chain = bundle(places.site / "pki/ca.crt")
        assert chain[1:] == bundle(original.authority / "pki/root.crt")
    else:
        for name in ("ca.crt", "ca.key"):
            shutil.copy(original.authority / "pki" / name, pki / name)
        places.made()
        assert bundle(places.site / "pki/ca.crt") == bundle(original.authority / "pki/ca.crt")
    places.done("verify", "-C", places.site)


def test_a_cas_certificate_that_is_here_already(tmp_path: Path, original: OfflineSides) -> None:
    """kubeadm's external CA: ca.crt stands without ca.key; the authority that has the key answers."""
    if keys_are_here(original):
        pytest.skip("with the CA keys here")
    places = original.copy(tmp_path / "external")
    shutil.rmtree(places.site)
    (places.site / "pki/etcd").mkdir(parents=True, mode=0o700)
    for name in ("ca.crt", "etcd/ca.crt", "front-proxy-ca.crt"):
        shutil.copy(places.authority / "pki" / name, places.site / "pki" / name)
    (places.authority / "pki/site.pin").unlink()
    places.init()
    places.sign("--pin", places.site_pin)
    places.accept("--pin", places.pins[1])
    places.done("verify", "-C", places.site)


def test_a_ca_key_that_turns_up_is_refused(cluster: OfflineSides) -> None:
    if keys_are_here(cluster):
        (cluster.site / "pki/ca.key").unlink()
        refused = cluster.pkigen("plan", cluster.spec, "-C", cluster.site)
        assert "pki/ca.crt cannot sign without its key" in refused.error
        assert "caKeys: offline" in refused.hint
        return
    shutil.copy(cluster.authority / "pki/ca.key", cluster.site / "pki/ca.key")
    refused = cluster.pkigen("plan", cluster.spec, "-C", cluster.site)
    assert refused.error == "pki/ca.key exists, but the spec keeps the CA keys at the offline authority"
    said = cluster.pkigen("verify", "-C", cluster.site)
    assert said.code == 4
    assert "pki/ca.key contains a private key that is not in the spec" in said.out


def test_signing_for_others_needs_the_key(cluster: OfflineSides) -> None:
    cluster.done("access", "csr", "new", "--user", "eve", "--out", cluster.place / "eve")
    request = next((cluster.place / "eve").glob("*.csr"), None) or next(cluster.place.glob("eve*.csr"))
    result = cluster.pkigen(
        "access", "sign", cluster.spec, "-C", cluster.site, "--csr", request, "--user", "eve"
    )
    if keys_are_here(cluster):
        assert result.code == 0, result
    else:
        assert "the CA's key is at the offline authority" in result.error
        assert "pkigen airgap authority request" in result.hint


def identity_file(place: Path) -> Path:
    """An age identity, which opens faster than a passphrase."""
    path = place / "identity.age"
    path.write_text(f"{Identity.generate().text}\n")
    path.chmod(0o600)
    return path


def test_an_encrypted_authority_asks_and_takes_in(cluster: OfflineSides) -> None:
    """It is opened where something is signed; a CA's new key never waits in the open."""
    opened = ("--identity", identity_file(cluster.place))
    if keys_are_here(cluster):  # no node may have the keys that are to be sealed
        text = cluster.spec.read_text().replace("caKeys: site", "caKeys: site, distributeCAKeys: false")
        for path in (cluster.spec, cluster.spec_there):
            path.write_text(text)
        cluster.done("apply", cluster.spec, "-C", cluster.site, "--yes", "--force")
    cluster.done("airgap", "authority", "encrypt", "-C", cluster.site, *opened, "--yes")
    if keys_are_here(cluster):
        refused = cluster.pkigen(
            "airgap", "authority", "request", cluster.spec, "--next", "ca", "-C", cluster.site, *opened
        )
        assert "the pending key of ca-next would be unencrypted" in refused.error
    before = certificates_of(cluster)
    name = "ca" if keys_are_here(cluster) else "cp-1/apiserver"
    cluster.ask(name, *opened)
    cluster.sign()
    cluster.accept(*opened)
    after = certificates_of(cluster)
    assert {each for each in after if after[each] != before[each]} == {name}
    assert cluster.done("verify", "-C", cluster.site).out.endswith("0 findings\n")


def test_the_keys_of_cas_are_not_encrypted_while_they_wait(places: OfflineSides) -> None:
    encrypt = (
        "airgap",
        "authority",
        "encrypt",
        "-C",
        places.site,
        "--identity",
        identity_file(places.place),
        "--yes",
    )
    if keys_are_here(places):
        assert places.pkigen(*encrypt).code == 1
    places.accept("--pin", places.pins[1])


def test_a_local_authority_needs_none_of_this(tmp_path: Path) -> None:
    places = OfflineSides.new(tmp_path / "local", "site")
    local = places.spec.read_text().replace("authority: offline, caKeys: site", "authority: local")
    for path in (places.spec, places.spec_there):
        path.write_text(local)
    places.done("init", places.spec, "-C", places.site)
    for command in (("init", places.spec), ("request", "-C", places.site)):
        refused = places.pkigen("airgap", "authority", *command)
        assert refused.code == 2
        assert "this cluster's authority is local" in refused.error


def test_the_next_task_is_to_accept_what_was_requested(cluster: OfflineSides) -> None:
    assert cluster.pkigen("next", "-C", cluster.site, "--assume-distributed").code == 0
    cluster.ask("front-proxy-ca")
    waiting = cluster.pkigen("next", "-C", cluster.site)
    assert waiting.code == 3
    assert "to the offline authority is pending: " in waiting.out
    assert f"\n  pkigen airgap authority accept ANSWER -C {cluster.site}\n" in waiting.out
