"""Paths, modes and well-known names of the PKI directory and of a node's file system.

The names and modes on a node are kubeadm's (`cmd/kubeadm/app/constants/constants.go`,
`client-go/util/keyutil/key.go`, `client-go/util/cert/io.go`). Paths are POSIX, relative to the PKI directory.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

LOCK_FILE = "pki.lock"
SPEC_FILE = "cluster.yaml"
"""The spec, byte for byte as it was given; whoever looks after the cluster edits it in place."""
LEDGER_FILE = ".pkigen/ledger.jsonl"

AUTHORITY = "pki"
NODES = "nodes"
USERS = "users"
ADDONS = "addons"
OWN_TREES = frozenset({AUTHORITY, NODES, USERS, ADDONS})
"""The directories that pkigen fills, and whatever else people keep beside them is theirs."""

KUBERNETES_DIRECTORY = "/etc/kubernetes"
MANIFESTS_DIRECTORY = "/etc/kubernetes/manifests"
CERTIFICATES_DIRECTORY = "/etc/kubernetes/pki"
"""Where certificates stand on a node, unless a spec says otherwise."""
CONTROLLER_MANAGER_KUBECONFIG = "/etc/kubernetes/controller-manager.conf"
SCHEDULER_KUBECONFIG = "/etc/kubernetes/scheduler.conf"
FLAGS_DIRECTORY = "/etc/kubernetes/flags"
SYSTEMD_DIRECTORY = "/etc/systemd/system"
KUBELET_DIRECTORY = "/var/lib/kubelet"
KUBELET_PKI_DIRECTORY = "/var/lib/kubelet/pki"
KUBE_PROXY_DIRECTORY = "/var/lib/kube-proxy"

FILE_SUFFIXES = (".conf", ".crt", ".env", ".key", ".pub", ".service", ".yaml")
"""What the names of files on a node end in."""

CERTIFICATE_MODE = 0o644
KEY_MODE = 0o600
KUBECONFIG_MODE = 0o600
MANIFEST_MODE = 0o600
PUBLIC_MODE = 0o644
SECRET_MODE = 0o600

SIGNING_CERTIFICATE = "ca-signing.crt"
"""The controller manager's signing certificate: always exactly one, so that `ca.crt` may hold two."""

ENCRYPTION_CONFIGURATION = "encryption-config.yaml"
AUTHENTICATION_CONFIGURATION = "authentication-config.yaml"
AUTHORIZATION_CONFIGURATION = "authorization-config.yaml"
AUTHORIZATION_WEBHOOK = "authorization-webhook.yaml"
"""The kubeconfig of the webhook that refuses revoked credentials, because it leads nowhere."""
SA_PRIVATE_KEY = "sa.key"
CA_PRIVATE_KEY = "ca.key"
SA_PUBLIC_KEY = "sa.pub"


PENDING_REQUEST = "pki/pending.json"
"""What waits for the offline authority: the request that is out, and the keys that were made for it."""
AUTHORITY_PIN = "pki/authority.pin"
"""The fingerprint of the offline authority's key, once a person has compared it."""


PRIVATE_PATTERNS = ("*.key", "*.conf", ENCRYPTION_CONFIGURATION, "pending.json")
"""The names of files that hold a private key, a token or an encryption key, wherever they stand."""


GITIGNORE_FILE = ".gitignore"
GITIGNORE = "\n".join(
    (
        "# Written by pkigen: nothing that is secret belongs in Git.",
        *PRIVATE_PATTERNS,
        "identity.age",
        "/.pkigen/*",
        f"!/{LEDGER_FILE}",
        "",
    )
)
"""What keeps private files, backups and unfinished changes out of a Git repository (gitignore(5))."""


def is_private(path: str) -> bool:
    """Whether a file of the PKI directory holds a secret, going by its name."""
    name = path.rpartition("/")[2]
    return any(fnmatchcase(name, pattern) for pattern in PRIVATE_PATTERNS)


def is_below(path: str, directory: str) -> bool:
    """Whether a file stands below a directory; below the PKI directory itself, which is "", all do."""
    return not directory or path.startswith(f"{directory}/")


def is_within(path: str, directory: str) -> bool:
    """Whether a path of a host is a directory, or leads below it."""
    return f"{path.rstrip('/')}/".startswith(f"{directory.rstrip('/')}/")


def authority_path(name: str) -> str:
    """A file of the authority, which never leaves the machine that runs pkigen."""
    return f"{AUTHORITY}/{name}"


def node_path(node: str, path: str) -> str:
    """Where a file that a node has at the absolute `path` stands in the PKI directory."""
    return f"{NODES}/{node}{path}"


def credentials_directory(directory: str, kubeconfig: str) -> str:
    """Where the files stand that a component's kubeconfig names, below the directory of certificates.

    A directory of its own: a Pod in which it is mounted sees files that are replaced by rename, and sees
    nobody else's keys.
    """
    return f"{directory}/{kubeconfig.rpartition('/')[2].removesuffix('.conf')}"


def user_path(user: str) -> str:
    """The kubeconfig of a person."""
    return f"{USERS}/{user}.conf"


def addon_path(name: str) -> str:
    """A manifest to apply once the API server answers."""
    return f"{ADDONS}/{name}.yaml"


def file_name_of(cluster: str) -> str:
    """What files and directories of a cluster of this name are called by."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", cluster)
    return f"_{plain}" if plain.startswith((".", "-")) else plain
