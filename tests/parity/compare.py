#!/usr/bin/env python3
# Kept as it was given:
# ruff: noqa: ANN001, ANN201, C901, E401, FBT003, I001, PLR0912, PTH123, SIM115, T201
"""Compare two descriptions made by pki_inventory.py: compare.py EXPECTED ACTUAL

EXPECTED was made from a real kubeadm run. Prints one line per difference that is not one of the
deliberate improvements listed in README.md, then a count; exits 1 if there is any.
"""

import json, sys

exp, act = (json.load(open(p)) for p in sys.argv[1:3])
diffs = []


def differ(where, e, a):
    diffs.append(f"{where}: kubeadm {e!r}, here {a!r}")


def certificate(where, e, a):
    for f in ("subject", "issuer", "dns", "eku", "ku_critical", "key", "sig", "signed_by"):
        if e[f] != a[f]:
            differ(f"{where} {f}", e[f], a[f])
    if not set(e["ip"]) <= set(a["ip"]) or (set(a["ip"]) - set(e["ip"]) and "apiserver" not in where):
        differ(f"{where} ip", e["ip"], a["ip"])
    want = set(e["ku"])
    if e["bc"]["ca"]:
        got = set(a["ku"]) - {"crl_sign"}
        want -= {"key_encipherment"}
        got -= {"key_encipherment"}
    else:
        got = set(a["ku"])
        if a["key"].startswith("EC"):
            want -= {"key_encipherment"}
    if want != got:
        differ(f"{where} key usage", sorted(want), a["ku"])
    if not a["bc"] or (e["bc"]["ca"], e["bc"]["critical"]) != (a["bc"]["ca"], a["bc"]["critical"]):
        differ(f"{where} basicConstraints", e["bc"], a["bc"])
    if not e["bc"]["ca"] and not a["aki"]:
        differ(f"{where} AKI", True, False)
    if e["bc"]["ca"] and not a["ski"]:
        differ(f"{where} SKI", True, False)
    if abs(e["hours"] - a["hours"]) > 24.2:
        differ(f"{where} lifetime hours", e["hours"], a["hours"])
    if a["serial_bits"] != "ok":
        differ(f"{where} serial", "at least 64 random bits", a["serial_bits"])
    for f in ("mode", "count", "key_matches"):
        if f in e and e[f] != a.get(f):
            differ(f"{where} {f}", e[f], a.get(f))


for kind in ("certificates", "keys", "kubeconfigs", "manifests"):
    for path, e in exp[kind].items():
        a = act[kind].get(path)
        if a is None:
            differ(f"{kind} {path}", "present", "absent")
            continue
        if kind == "certificates":
            certificate(path, e, a)
        elif kind == "keys":
            if e["pem"] != a["pem"]:
                differ(f"{path} pem", e["pem"], a["pem"])
            if e["mode"] != a["mode"] and not path.endswith("sa.pub"):
                differ(f"{path} mode", e["mode"], a["mode"])
        elif kind == "kubeconfigs":
            for f in ("server", "cluster", "context", "user", "mode", "ca_embedded"):
                if e[f] != a[f]:
                    differ(f"{path} {f}", e[f], a[f])
            certificate(path, e["client"], a["client"])
        else:
            allowed = ("--kubelet-certificate-authority=", "--cluster-signing-cert-file=")
            missing = [x for x in e["command"] if x not in a["command"] and not x.startswith(allowed)]
            extra = [x for x in a["command"] if x not in e["command"] and not x.startswith(allowed)]
            if missing or extra:
                differ(f"{path} arguments", f"missing here {missing}", f"extra here {extra}")
            if e["mode"] != a["mode"]:
                differ(f"{path} mode", e["mode"], a["mode"])
print("\n".join(diffs))
print(f"{len(diffs)} differences from kubeadm")
sys.exit(bool(diffs))
