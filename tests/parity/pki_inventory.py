#!/usr/bin/env python3
# Kept as it was given:
# ruff: noqa: ANN001, ANN201, BLE001, C901, E401, E731, F401, I001, PERF401, RUF005, S110, SLF001, T201
"""Describe a Kubernetes PKI tree as JSON, free of anything that differs run to run.

usage: pki_inventory.py ETC_KUBERNETES_DIR   (a folder holding pki/, *.conf and manifests/)

For every certificate: subject, issuer, SANs, usages, constraints, key, mode, lifetime in hours,
whether the key beside it matches and which CA in the tree signed it.
For every kubeconfig: server, names, the identity of its client certificate.
For every manifest: the command line as a sorted list.
"""

import base64, json, os, stat, sys
from pathlib import Path
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import rsa, ec
from cryptography.x509.oid import ExtensionOID as E, NameOID as N


def name(n):
    g = lambda o: sorted(a.value for a in n.get_attributes_for_oid(o))
    return {"CN": g(N.COMMON_NAME), "O": g(N.ORGANIZATION_NAME)}


def key_kind(k):
    if isinstance(k, rsa.RSAPublicKey):
        return f"RSA-{k.key_size}"
    if isinstance(k, ec.EllipticCurvePublicKey):
        return f"EC-{k.curve.name}"
    return type(k).__name__


def ext(c, oid):
    try:
        return c.extensions.get_extension_for_oid(oid)
    except x509.ExtensionNotFound:
        return None


def spki(k):
    return k.public_bytes(ser.Encoding.DER, ser.PublicFormat.SubjectPublicKeyInfo)


def describe(c, cas):
    san = ext(c, E.SUBJECT_ALTERNATIVE_NAME)
    ku = ext(c, E.KEY_USAGE)
    eku = ext(c, E.EXTENDED_KEY_USAGE)
    bc = ext(c, E.BASIC_CONSTRAINTS)
    kus = []
    if ku:
        for a in (
            "digital_signature",
            "key_encipherment",
            "key_cert_sign",
            "crl_sign",
            "data_encipherment",
            "key_agreement",
            "content_commitment",
        ):
            if getattr(ku.value, a):
                kus.append(a)
    signed_by = []
    for p, ca in cas.items():
        try:
            c.verify_directly_issued_by(ca)
            signed_by.append(p)
        except Exception:
            pass
    return {
        "subject": name(c.subject),
        "issuer": name(c.issuer),
        "dns": sorted(san.value.get_values_for_type(x509.DNSName)) if san else [],
        "ip": sorted(str(i) for i in san.value.get_values_for_type(x509.IPAddress)) if san else [],
        "eku": sorted(o._name for o in eku.value) if eku else [],
        "ku": sorted(kus),
        "ku_critical": bool(ku and ku.critical),
        "bc": None if not bc else {"ca": bc.value.ca, "path": bc.value.path_length, "critical": bc.critical},
        "ski": bool(ext(c, E.SUBJECT_KEY_IDENTIFIER)),
        "aki": bool(ext(c, E.AUTHORITY_KEY_IDENTIFIER)),
        "key": key_kind(c.public_key()),
        "sig": c.signature_algorithm_oid._name,
        "hours": round((c.not_valid_after_utc - c.not_valid_before_utc).total_seconds() / 3600, 1),
        "serial_bits": "ok"
        if 64 <= c.serial_number.bit_length() <= 159 or c.serial_number.bit_length() > 50
        else "short",
        "signed_by": sorted(signed_by),
    }


def main(root):
    root = Path(root)
    out = {"certificates": {}, "keys": {}, "kubeconfigs": {}, "manifests": {}}
    cas = {}
    for p in sorted(root.rglob("*ca.crt")):
        for c in x509.load_pem_x509_certificates(p.read_bytes()):
            cas[str(p.relative_to(root))] = c
    for p in sorted(root.rglob("*")):
        if not p.is_file():
            continue
        rel = str(p.relative_to(root))
        mode = oct(stat.S_IMODE(p.stat().st_mode))
        if p.suffix == ".crt":
            cs = x509.load_pem_x509_certificates(p.read_bytes())
            d = describe(cs[0], cas)
            d["mode"] = mode
            d["count"] = len(cs)
            k = p.with_suffix(".key")
            if k.exists():
                priv = ser.load_pem_private_key(k.read_bytes(), None)
                d["key_matches"] = spki(priv.public_key()) == spki(cs[0].public_key())
            out["certificates"][rel] = d
        elif p.suffix in (".key", ".pub"):
            data = p.read_bytes()
            head = data.split(b"\n", 1)[0].decode()
            out["keys"][rel] = {"pem": head.strip("-").removeprefix("BEGIN "), "mode": mode}
        elif p.suffix == ".conf":
            y = yaml.safe_load(p.read_text())
            ctx = {c["name"]: c["context"] for c in y["contexts"]}[y["current-context"]]
            cl = {c["name"]: c["cluster"] for c in y["clusters"]}[ctx["cluster"]]
            us = {u["name"]: u["user"] for u in y["users"]}[ctx["user"]]
            d = {
                "server": cl.get("server"),
                "cluster": ctx["cluster"],
                "context": y["current-context"],
                "user": ctx["user"],
                "mode": mode,
                "ca_embedded": "certificate-authority-data" in cl,
            }
            if "client-certificate-data" in us:
                c = x509.load_pem_x509_certificates(base64.b64decode(us["client-certificate-data"]))[0]
                d["client"] = describe(c, cas)
            out["kubeconfigs"][rel] = d
        elif p.suffix in (".yaml", ".yml") and "manifests" in rel:
            y = yaml.safe_load(p.read_text())
            c = y["spec"]["containers"][0]
            out["manifests"][rel] = {
                "command": [c["command"][0]] + sorted(c["command"][1:] + c.get("args", [])),
                "mode": mode,
            }
    json.dump(out, sys.stdout, indent=1, sort_keys=True)
    print()


main(sys.argv[1])
