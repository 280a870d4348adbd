"""The sections of the spec about the components: arguments, variables, mounts, images, etcd.

Annotations are evaluated here, as in `model`.
"""

from typing import Literal

from pydantic import Field, StrictBool

from pkigen.spec.fields import (
    SAN,
    AbsolutePath,
    DirectoryPath,
    DNSLabel,
    EndpointURL,
    EnvironmentName,
    FlagName,
    HostPath,
    ImageRepository,
    ImageTag,
    MountPath,
    PlainValue,
    Port,
    Strict,
)


class ExtraArg(Strict):
    """A flag that replaces the default of the same name, as kubeadm's extraArgs do."""

    name: FlagName
    """The flag's name without dashes in front, such as audit-log-path."""
    value: PlainValue
    """The flag's value; may be empty."""


class EnvironmentVariable(Strict):
    """A variable in the environment of a static Pod (kubeadm's extraEnvs)."""

    name: EnvironmentName
    """The variable's name, such as HTTPS_PROXY."""
    value: PlainValue = ""
    """The variable's value; empty by default."""


class HostPathMount(Strict):
    """A host directory or file mounted into a static Pod (kubeadm's extraVolumes)."""

    name: DNSLabel
    """The name of the volume in the Pod."""
    host_path: HostPath
    """The path on the host."""
    mount_path: MountPath
    """The path in the container."""
    read_only: StrictBool = False
    """Whether the program may only read there; false by default."""
    path_type: Literal[
        "", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"
    ] = ""
    """What must be on the host, as in Kubernetes' hostPath volumes; empty, the default, checks nothing."""


class Component(Strict):
    """A control-plane component's own settings."""

    extra_args: tuple[ExtraArg, ...] = ()
    """Flags that replace or add to the defaults."""
    extra_volumes: tuple[HostPathMount, ...] = ()
    """Host paths that those flags need (static Pods only)."""
    extra_envs: tuple[EnvironmentVariable, ...] = ()
    """The program's environment, such as a proxy; of two of one name the later counts (static Pods only)."""


class APIServer(Component):
    """The API server's settings."""

    cert_sans: tuple[SAN, ...] = Field(default=(), alias="certSANs")
    """Additional names and addresses in every API server's certificate."""
    bind_port: Port = 6443
    """The port every API server listens on; 6443 by default."""
    structured_authorization: StrictBool | None = None
    """Whether API servers take their authorizers from a file that pkigen writes (Kubernetes v1.32 or later),
    so that `access revoke` needs no restart; by default where pkigen writes the manifests, too. Flags of
    authorization in extraArgs count more. A kubeadm configuration means false, unless its extraArgs name that
    file."""


class ExternalEtcd(Strict):
    """An etcd that pkigen does not build."""

    endpoints: tuple[EndpointURL, ...] = Field()
    """The URLs of its members, such as https://10.0.0.31:2379."""
    ca_file: AbsolutePath | None = None
    """The path, on the control-plane nodes, of the CA certificate that etcd's own are signed by."""
    cert_file: AbsolutePath | None = None
    """The path, on the control-plane nodes, of the API server's client certificate for etcd; {node} in the
    file's name is the node's, where each has a file of its own name (kubespray's node-NAME.pem)."""
    key_file: AbsolutePath | None = None
    """The path, on the control-plane nodes, of that certificate's private key; {node} as above."""


class Etcd(Strict):
    """The cluster's etcd: on the control-plane nodes, on nodes with the role etcd, or external."""

    data_dir: DirectoryPath = "/var/lib/etcd"
    """The directory on the members in which etcd keeps its data."""
    image_repository: ImageRepository | None = None
    """Where etcd's image comes from, if not from spec.imageRepository like the others."""
    image_tag: ImageTag | None = None
    """Replaces the etcd image's tag that belongs to the Kubernetes version."""
    server_cert_sans: tuple[SAN, ...] = Field(default=(), alias="serverCertSANs")
    """Additional names and addresses in the certificates that etcd shows its clients."""
    peer_cert_sans: tuple[SAN, ...] = Field(default=(), alias="peerCertSANs")
    """Additional names and addresses in the certificates that etcd's members show each other."""
    extra_args: tuple[ExtraArg, ...] = ()
    """Flags that replace or add to etcd's defaults."""
    extra_envs: tuple[EnvironmentVariable, ...] = ()
    """etcd's environment (static Pods only)."""
    external: ExternalEtcd | None = None
    """An etcd cluster that exists already; then pkigen makes none."""


class Kubelet(Strict):
    """The kubelets' settings."""

    rotate_certificates: StrictBool = True
    """Whether a kubelet renews its own client certificate through the cluster, as kubeadm's do."""
    extra_args: tuple[ExtraArg, ...] = ()
    """Flags for every kubelet."""
