"""What messages mean that name nothing of a cluster, and the next step."""

from __future__ import annotations

from typing import Final

from pkigen import layout
from pkigen.access.failure_kinds import Circumstance

ANSWERS: Final = {
    Circumstance.EXEC_VERSION: (
        (
            "kubectl and the program that the kubeconfig's user names (exec) speak different versions of "
            "client.authentication.k8s.io; v1alpha1 is gone since v1.24"
        ),
        (
            "next: set apiVersion in users[].user.exec of the kubeconfig to "
            "client.authentication.k8s.io/v1, or "
            "v1beta1, and update the program; `aws eks update-kubeconfig` writes it anew"
        ),
    ),
    Circumstance.EXEC_MISSING: (
        "the kubeconfig's user gets its credential from a program (exec) that kubectl does not find",
        (
            "next: install it, or correct its path in users[].user.exec; a kubeconfig of pkigen's, "
            "users/NAME.conf, needs no program"
        ),
    ),
    Circumstance.EXEC_FAILED: (
        (
            "the program that the kubeconfig's user gets its credential from (exec) failed; its own message "
            "stands "
            "before this one"
        ),
        (
            "next: run the command of users[].user.exec by hand; with AWS, `aws sts get-caller-identity` "
            "says as "
            "whom it acts"
        ),
    ),
    Circumstance.NO_CONTEXT: (
        "the kubeconfig has no context of that name",
        (
            "next: `pkigen access kubeconfig show FILE` lists its contexts; choose one with `kubectl config "
            "use-context NAME`, or --context"
        ),
    ),
    Circumstance.KEY_MISMATCH: (
        "a certificate was given with a private key that is not its own",
        (
            "next: `pkigen verify` compares every pair of the PKI directory; for a kubeconfig, `pkigen "
            "access "
            "kubeconfig show FILE`; then copy both files again"
        ),
    ),
    Circumstance.ROTATES: (
        (
            "a kubelet renews its own client certificate through the cluster (rotateCertificates): this is "
            "no "
            "error"
        ),
        (
            "next: nothing has to be done; `kubectl get csr` shows its requests, "
            "/var/lib/kubelet/pki/kubelet-client-current.pem on the node is the certificate that it uses"
        ),
    ),
    Circumstance.ROTATION_WAITS: (
        (
            "a kubelet asks the cluster for a new client certificate, and gets none: its request is not "
            "approved, or "
            "not signed"
        ),
        (
            f"next: `kubectl get csr`; where it is pending, `kubectl apply -f "
            f"{layout.addon_path('node-certificate-rotation')}`, which lets the controller manager approve "
            f"it; where it "
            "is approved and has no certificate, the controller manager has no CA key "
            "(--cluster-signing-key-file)"
        ),
    ),
    Circumstance.KUBELET_EXPIRED: (
        (
            "the kubelet's kubeconfig is missing or its certificate has expired, and it has nothing to ask "
            "for a new "
            "one with"
        ),
        (
            "next: `pkigen apply`, copy the node's files again (/etc/kubernetes/kubelet.conf is among "
            "them), and "
            "restart the kubelet; for a node that joins by token, `pkigen access bootstrap-token`"
        ),
    ),
    Circumstance.ESCALATION: (
        (
            "whoever gives a permission must have it, or be allowed to escalate: the API server refuses the "
            "role or "
            "binding"
        ),
        "next: apply it as an administrator of the whole cluster, with admin.conf or super-admin.conf",
    ),
    Circumstance.UNKNOWN_KIND: (
        (
            "a file has a kind of object in a version that the program reading it does not know: it is "
            "older or newer "
            "than the file, or the resource is not installed"
        ),
        (
            "next: `kubectl api-resources` lists what the cluster has; what pkigen renders follows "
            "spec.kubernetesVersion, which must be the version that runs"
        ),
    ),
}
"""The lines for each, of which the last says what is next."""
