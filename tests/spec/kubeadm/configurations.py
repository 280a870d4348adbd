"""Whole kubeadm configurations, and the pkigen spec that one of them means."""

from __future__ import annotations

SAME = """\
apiVersion: pkigen/v1
kind: Cluster
metadata: {name: prod}
spec:
  kubernetesVersion: v1.36.2
  controlPlaneEndpoint: api.example.com:6443
  imageRepository: registry.example.com/k8s
  startupTimeout: 6m
  networking:
    serviceSubnets: [10.96.0.0/16, "fd00:96::/112"]
    podSubnets: [10.244.0.0/16, "fd00:244::/56"]
    dnsDomain: k8s.example
  apiServer:
    bindPort: 7443
    structuredAuthorization: false
    certSANs: [api.internal, 192.0.2.10]
    extraArgs: [{name: audit-policy-file, value: /var/log/audit.yaml}, {name: v, value: "2"}]
    extraVolumes: [{name: logs, hostPath: /var/log, mountPath: /var/log, readOnly: true, pathType: Directory}]
  controllerManager:
    extraArgs: [{name: node-cidr-mask-size-ipv4, value: "25"}]
  scheduler:
    extraVolumes: [{name: x, hostPath: /x, mountPath: /x}]
    extraEnvs: [{name: HTTPS_PROXY, value: "http://proxy.example:3128"}, {name: EMPTY}]
  etcd:
    dataDir: /srv/etcd
    imageRepository: registry.example.com/etcd-io
    imageTag: 3.6.8-0
    extraEnvs: [{name: GOGC, value: "50"}]
    serverCertSANs: [etcd.example]
    peerCertSANs: [192.0.2.11]
    extraArgs: [{name: quota-backend-bytes, value: "8589934592"}]
  certificates:
    keyAlgorithm: ECDSA-P384
    validity: 4380h
    caValidity: 43800h
    directory: /srv/pki
    distributeCAKeys: [ca, etcd-ca, front-proxy-ca]
  nodes:
    - name: cp1
      roles: [control-plane]
      addresses: [192.0.2.11]
      kubeletExtraArgs:
        - {name: node-ip, value: "192.0.2.11,2001:db8::11"}
        - &taint {name: register-with-taints, value: "node-role.kubernetes.io/control-plane:NoSchedule"}
    - {name: cp2, roles: [control-plane], addresses: [192.0.2.12], bindPort: 6443, kubeletExtraArgs: [*taint]}
    - {name: cp3, roles: [control-plane], addresses: [192.0.2.13], bindPort: 8443, kubeletExtraArgs: [*taint]}
    - name: w1
      roles: [worker]
      addresses: [192.0.2.21, "2001:db8::21"]
      kubeletExtraArgs: [{name: node-ip, value: "192.0.2.21, 2001:db8::21"}]
"""

NEW = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
clusterName: prod
kubernetesVersion: 1.36.2
controlPlaneEndpoint: api.example.com:6443
imageRepository: registry.example.com/k8s
networking:
  serviceSubnet: 10.96.0.0/16,fd00:96::/112
  podSubnet: "10.244.0.0/16, fd00:244::/56"
  dnsDomain: k8s.example
apiServer:
  certSANs: [API.Internal, 192.0.2.10]
  extraArgs: [{name: audit-policy-file, value: /var/log/audit.yaml}, {name: v, value: "2"}]
  extraVolumes: [{name: logs, hostPath: /var/log, mountPath: /var/log, readOnly: true, pathType: Directory}]
controllerManager:
  extraArgs: [{name: node-cidr-mask-size-ipv4, value: "25"}]
scheduler:
  extraVolumes: [{name: x, hostPath: /x, mountPath: /x, pathType: ""}]
  extraEnvs: [{name: HTTPS_PROXY, value: "http://proxy.example:3128"}, {name: EMPTY}]
etcd:
  local:
    dataDir: /srv/etcd
    imageRepository: registry.example.com/etcd-io
    imageTag: 3.6.8-0
    extraEnvs: [{name: GOGC, value: "50"}]
    serverCertSANs: [etcd.example]
    peerCertSANs: [192.0.2.11]
    extraArgs: [{name: quota-backend-bytes, value: "8589934592"}]
encryptionAlgorithm: ECDSA-P384
certificateValidityPeriod: 4380h0m0s
caCertificateValidityPeriod: 43800h0m0s
certificatesDir: /srv/pki
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
nodeRegistration:
  name: CP1
  kubeletExtraArgs: [{name: node-ip, value: "192.0.2.11,2001:db8::11"}]
localAPIEndpoint: {advertiseAddress: 192.0.2.11, bindPort: 7443}
timeouts: {controlPlaneComponentHealthCheck: 0.1h}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
nodeRegistration: {name: cp2}
controlPlane: {localAPIEndpoint: {advertiseAddress: 192.0.2.12}}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
nodeRegistration: {name: cp3}
controlPlane: {localAPIEndpoint: {advertiseAddress: 192.0.2.13, bindPort: 8443}}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
nodeRegistration:
  name: w1
  kubeletExtraArgs: [{name: node-ip, value: "192.0.2.21, 2001:db8::21"}]
"""

EVERYTHING_ELSE = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
bootstrapTokens: [{token: "abcdef.0123456789abcdef"}]
certificateKey: e6a2eb8581237ab72a4f494f30285ec12a9694d750b9785706a83bfcbbbd2204
dryRun: true
localAPIEndpoint: {advertiseAddress: 192.0.2.1, bindPort: 0}
nodeRegistration:
  name: cp1
  criSocket: unix:///run/containerd/containerd.sock
  taints: [{key: node-role, effect: NoSchedule}]
  ignorePreflightErrors: [all]
  imagePullPolicy: Always
  imagePullSerial: true
  kubeletExtraArgs: [{name: v, value: "4"}]
patches: {directory: /p}
skipPhases: [addon]
timeouts: {discovery: 5m}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: systemd
a: 1
b: 1
c: 1
d: 1
e: 1
f: 1
g: 1
h: 1
i: 1
j: 1
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ResetConfiguration
force: true
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
caCertPath: /x
discovery: {bootstrapToken: {token: abcdef.0123456789abcdef}}
dryRun: false
nodeRegistration: {name: cp2}
controlPlane: {certificateKey: abc, localAPIEndpoint: {advertiseAddress: 192.0.2.2}}
skipPhases: []
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.36.2
controlPlaneEndpoint: api.example
"""
