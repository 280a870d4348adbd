"""What a real kubeadm writes for the same configuration, structurally equal but for what is ours."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pkigen.desired.certificates import CERTIFICATES
from pkigen.spec.loader import load
from tests.desired.rendering.clusters import one, render
from tests.desired.rendering.reference_programs import find, need_root

PARITY = Path(__file__).resolve().parents[2] / "parity"
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
KUBEADM_VERSION = "v1.36.2"
HOST_CERTIFICATES = (
    "etc-pki-ca-trust",
    "etc-pki-tls-certs",
    "etc-ca-certificates",
    "usr-share-ca-certificates",
    "usr-local-share-ca-certificates",
)

_V4, _V6 = "10.0.0.11", "fd00:10::11"
_VOLUMES = [
    {
        "name": "audit",
        "hostPath": "/var/log/k8s",
        "mountPath": "/var/log/k8s",
        "pathType": "DirectoryOrCreate",
    },
    {"name": "extra", "hostPath": "/etc/extra", "mountPath": "/etc/other", "readOnly": True},
    {"name": "ca-certs", "hostPath": "/opt/certs", "mountPath": "/etc/ssl/certs", "readOnly": True},
]


def _arguments(**flags: str) -> list[dict[str, str]]:
    return [{"name": name.replace("_", "-"), "value": value} for name, value in flags.items()]


CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "ipv6": {
        "address": _V6,
        "networking": {"serviceSubnet": "fd00:10:96::/112", "podSubnet": "fd00:10:244::/56"},
    },
    "dual stack": {
        "networking": {
            "serviceSubnet": "10.96.0.0/16,fd00:10:96::/112",
            "podSubnet": "10.244.0.0/16,fd00:10:244::/56",
        }
    },
    "dual stack, IPv6 first": {
        "address": _V6,
        "networking": {
            "serviceSubnet": "fd00:10:96::/112,10.96.0.0/16",
            "podSubnet": "fd00:10:244::/56,10.244.0.0/16",
        },
    },
    "ports and names": {
        "port": 8443,
        "clusterName": "prod",
        "controlPlaneEndpoint": "api.example.com",
        "networking": {"dnsDomain": "k8s.example.com"},
    },
    "other folders": {
        "certificatesDir": "/srv/kubernetes/certificates",
        "etcd": {"local": {"dataDir": "/srv/etcd"}},
        "imageRepository": "mirror.example.com:5000/k8s",
    },
    "external etcd": {
        "etcd": {
            "external": {
                "endpoints": ["https://10.0.0.31:2379", "https://10.0.0.32:2379"],
                "caFile": "/etc/etcd/tls/ca.crt",
                "certFile": "/etc/etcd/tls/client/c.crt",
                "keyFile": "/etc/etcd/tls/client/c.key",
            }
        }
    },
    "external etcd, covered folders": {
        "etcd": {
            "external": {
                "endpoints": ["https://10.0.0.31:2379"],
                "caFile": "/etc/ssl/certs/ca.crt",
                "certFile": "/srv/b/c.crt",
                "keyFile": "/srv/a/c.key",
            }
        }
    },
    "external etcd without certificates": {"etcd": {"external": {"endpoints": ["http://10.0.0.31:2379"]}}},
    "flags of the API server": {
        "apiServer": {
            "extraArgs": [
                *_arguments(v="3", service_account_issuer="https://a", tls_min_version="VersionTLS13"),
                *_arguments(service_account_issuer="https://b", bind_address="10.0.0.11"),
            ]
        }
    },
    "structured authorization": {
        "apiServer": {"extraArgs": _arguments(authorization_config="/etc/kubernetes/authorization.yaml")}
    },
    "other authorization": {
        "apiServer": {
            "extraArgs": _arguments(
                authorization_mode="Node,RBAC,Webhook", authorization_webhook_config_file="/etc/webhook.conf"
            )
        }
    },
    "bind addresses": {
        "controllerManager": {"extraArgs": _arguments(bind_address="0.0.0.0", v="2")},  # noqa: S104 -- only rendered
        "scheduler": {"extraArgs": _arguments(bind_address="10.0.0.11")},
    },
    "flags of etcd": {
        "etcd": {
            "local": {
                "imageTag": "3.6.9-0",
                "extraArgs": _arguments(
                    listen_metrics_urls="https://10.0.0.11:9090,http://127.0.0.1:2381",
                    advertise_client_urls="https://etcd.example.com:2379",
                    quota_backend_bytes="8589934592",
                ),
            }
        }
    },
    "an image of etcd from elsewhere": {
        "imageRepository": "mirror.example.com/k8s",
        "etcd": {"local": {"imageRepository": "quay.example.com/coreos", "imageTag": "v3.6.9"}},
    },
    "environment": {
        "apiServer": {
            "extraEnvs": [
                {"name": "no_proxy", "value": "10.0.0.0/8,.svc"},
                {"name": "HTTPS_PROXY", "value": "http://first.example.com:3128"},
                {"name": "HTTPS_PROXY", "value": "http://second.example.com:3128"},
                {"name": "EMPTY", "value": ""},
                {"name": "NO"},
            ]
        },
        "controllerManager": {"extraEnvs": [{"name": "GOMAXPROCS", "value": "2"}]},
        "scheduler": {"extraEnvs": [{"name": "true", "value": "yes"}, {"name": "x.y-z", "value": "a: b #c"}]},
        "etcd": {"local": {"extraEnvs": [{"name": "ETCD_QUOTA_BACKEND_BYTES", "value": "8589934592"}]}},
    },
    "time to start": {"timeout": "6m1s"},
    "volumes": {
        "apiServer": {"extraVolumes": _VOLUMES},
        "controllerManager": {"extraVolumes": _VOLUMES},
        "scheduler": {"extraVolumes": _VOLUMES[:1]},
    },
    "values that YAML reads otherwise": {
        "scheduler": {
            "extraArgs": _arguments(
                feature_gates="A=true,B=false", config="a: b #c", requestheader_uid_headers='"no"'
            )
        }
    },
}


def _document(configuration: dict[str, Any]) -> str:
    cluster = dict(configuration)
    endpoint = {"advertiseAddress": cluster.pop("address", _V4), "bindPort": cluster.pop("port", 6443)}
    timeouts = {"controlPlaneComponentHealthCheck": cluster.pop("timeout", "4m0s")}
    networking = {"serviceSubnet": "10.96.0.0/12", **cluster.pop("networking", {})}
    api = "kubeadm.k8s.io/v1beta4"
    return yaml.safe_dump_all(
        [
            {
                "apiVersion": api,
                "kind": "InitConfiguration",
                "localAPIEndpoint": endpoint,
                "timeouts": timeouts,
                "nodeRegistration": {"name": "cp1", "criSocket": "unix:///run/containerd/containerd.sock"},
            },
            {
                "apiVersion": api,
                "kind": "ClusterConfiguration",
                "kubernetesVersion": KUBEADM_VERSION,
                "networking": networking,
                **cluster,
            },
        ]
    )


def _without_ours(pod: dict[str, Any]) -> dict[str, Any]:
    """A Pod without what is deliberately different, and without the host's own folders of certificates."""
    container = pod["spec"]["containers"][0]
    container["command"] = [
        argument.replace("/ca-signing.crt", "/ca.crt")
        for argument in container["command"]
        if not argument.startswith("--kubelet-certificate-authority=")
    ]
    for holder, key in ((pod["spec"], "volumes"), (container, "volumeMounts")):
        holder[key] = [item for item in holder[key] if item["name"] not in HOST_CERTIFICATES]
    return pod


@pytest.fixture(scope="module")
def kubeadm(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A kubeadm of the version that this pkigen follows, and a root folder for it."""
    program = find("kubeadm")
    need_root()
    output = subprocess.run([program, "version", "-o", "short"], capture_output=True, text=True, check=True)
    if not output.stdout.startswith("v1.36."):
        pytest.skip(f"{program} is {output.stdout.strip()}, compared is {KUBEADM_VERSION}")
    root = tmp_path_factory.mktemp("root")
    (root / "etc").mkdir()
    for name in ("hosts", "resolv.conf"):
        shutil.copy(Path("/etc") / name, root / "etc" / name)
    return program, root


@pytest.mark.live
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_manifests_are_kubeadms(name: str, kubeadm: tuple[str, Path]) -> None:
    program, root = kubeadm
    configuration = root / "kubeadm.yaml"
    configuration.write_text(_document(CONFIGURATIONS[name]))
    manifests = root / "etc/kubernetes/manifests"
    shutil.rmtree(manifests, ignore_errors=True)
    external = "external" in CONFIGURATIONS[name].get("etcd", {})
    for phase in (["control-plane", "all"], *([] if external else [["etcd", "local"]])):
        command = [program, "init", "phase", *phase, "--config", "/kubeadm.yaml", "--rootfs", str(root)]
        subprocess.run(command, capture_output=True, check=True, timeout=300)
    files = render(load(configuration, kinds=CERTIFICATES).spec)
    for component in COMPONENTS:
        file = manifests / f"{component}.yaml"
        if component == "etcd" and external:
            assert not file.exists()
            continue
        theirs = _without_ours(yaml.safe_load(file.read_text()))
        ours = _without_ours(yaml.safe_load(one(files, f"/manifests/{component}.yaml")))
        assert ours == theirs


@pytest.mark.live
def test_a_plain_manifest_has_kubeadms_bytes(kubeadm: tuple[str, Path]) -> None:
    program, root = kubeadm
    configuration = root / "kubeadm.yaml"
    configuration.write_text(_document({}))
    command = [program, "init", "phase", "etcd", "local", "--config", "/kubeadm.yaml", "--rootfs", str(root)]
    subprocess.run(command, capture_output=True, check=True, timeout=300)
    theirs = (root / "etc/kubernetes/manifests/etcd.yaml").read_text()
    assert one(render(load(configuration, kinds=CERTIFICATES).spec), "/manifests/etcd.yaml") == theirs


@pytest.mark.live
def test_the_names_of_the_bindings_are_kubeadms() -> None:
    # Their content is not printed by any phase; the names are in the program.
    program = Path(find("kubeadm")).read_bytes()
    for name in (
        b"kubeadm:cluster-admins",
        b"kubeadm:apiserver-kubelet-client",
        b"system:kubelet-api-admin",
        b"kubeadm:node-autoapprove-certificate-rotation",
        b"system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
    ):
        assert name in program


@pytest.mark.parametrize("case", ["01-single", "02-ha"])
def test_command_lines_of_the_parity_cases(case: str) -> None:
    expected = json.loads((PARITY / case / "expected.json").read_text())["manifests"]
    files = render(load(PARITY / case / "kubeadm.yaml", kinds=CERTIFICATES).spec)
    for path, description in expected.items():
        pod = _without_ours(yaml.safe_load(one(files, f"/{path}")))
        program, *flags = pod["spec"]["containers"][0]["command"]
        assert [program, *sorted(flags)] == description["command"]
