"""The shell commands that carry out a restart map."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pkigen.desired.readers import ComponentName
from pkigen.desired.rendering import pods
from pkigen.desired.rendering.flags import ETCD_CLIENT_PORT, ETCD_PEER_PORT, localhost
from pkigen.notation import host_text
from pkigen.reconcile.restart_map import Effect, Restart
from pkigen.spec.model import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.spec.model import ClusterSpec


def restart_commands(step: Restart, cluster: ClusterSpec) -> tuple[str, ...]:
    """The shell commands that carry out one step on its node; none where nothing has to be done."""
    if step.member is not None:
        return _membership_commands(step, cluster)
    forgotten = (f"rm -f {shlex.quote(path)}" for path in step.forgets)
    return (*_removal_commands(step), *forgotten, *_start_commands(step, cluster.spec.runtime))


def _removal_commands(step: Restart) -> Iterator[str]:
    """Stop what ran the component until now."""
    for path in step.removes:
        if path.endswith(".service"):
            yield f"systemctl disable --now {step.component}"
            yield f"rm -f {shlex.quote(path)}"
        else:
            yield f"rm -f {shlex.quote(path)}"
            yield _gone(step.component)


def _gone(component: ComponentName) -> str:
    return f"while crictl ps --quiet --name '^{component}$' | grep -q .; do sleep 1; done"


def _start_commands(step: Restart, runtime: Runtime) -> tuple[str, ...]:
    if step.effect not in {Effect.STARTS, Effect.RESTART}:
        return ()
    if step.effect is Effect.STARTS:
        if runtime is Runtime.SYSTEMD or step.component is ComponentName.KUBE_PROXY:
            return ("systemctl daemon-reload", f"systemctl enable --now {step.component}")
        return ("systemctl enable --now kubelet",)  # which starts the static Pods
    if runtime is Runtime.SYSTEMD or step.component in {ComponentName.KUBELET, ComponentName.KUBE_PROXY}:
        enabled = (f"systemctl enable {step.component}",) if step.removes else ()
        return ("systemctl daemon-reload", *enabled, f"systemctl restart {step.component}")
    manifest = f"/etc/kubernetes/manifests/{step.component}.yaml"
    # The kubelet stops the Pod when its manifest goes and starts a new one when it comes back.
    return (
        f"mv {manifest} /etc/kubernetes/{step.component}.yaml.away",
        _gone(step.component),
        f"mv /etc/kubernetes/{step.component}.yaml.away {manifest}",
    )


def _membership_commands(step: Restart, cluster: ClusterSpec) -> tuple[str, ...]:
    """Ask etcd, at a member that stays, to change its membership (etcd, "Runtime reconfiguration")."""
    pki = f"{cluster.spec.certificates.directory}/etcd"
    member = next(each for each in cluster.etcd_members if each.name == step.node)
    etcdctl = (
        f"etcdctl --endpoints=https://{host_text(member.advertise_address)}:{ETCD_CLIENT_PORT} "
        f"--cacert={shlex.quote(f'{pki}/ca.crt')} --cert={shlex.quote(f'{pki}/healthcheck-client.crt')} "
        f"--key={shlex.quote(f'{pki}/healthcheck-client.key')}"
    )
    if cluster.spec.runtime is Runtime.STATIC_PODS:
        # etcd's image brings the program; the API server, and so `kubectl exec`, may be away just now.
        etcdctl = f"crictl exec \"$(crictl ps --quiet --name '^etcd$')\" {etcdctl}"
    if step.effect is Effect.EXPELS:
        listed = f"{etcdctl} member list | awk -F', ' '$3 == \"{step.member}\" {{print $1}}'"
        return (f'{etcdctl} member remove "$({listed})"',)
    newcomer = next(each for each in cluster.etcd_members if each.name == step.member)
    url = f"https://{host_text(newcomer.advertise_address)}:{ETCD_PEER_PORT}"
    return (f"{etcdctl} member add {step.member} --peer-urls={url}",)


def quoted(text: str) -> str:
    """A word for a shell, in quotes even where it needs none."""
    return "'" + text.replace("'", "'\"'\"'") + "'"


def health_check(step: Restart, cluster: ClusterSpec) -> str:
    """How an operator sees, on the step's node, that the component is back before the next is touched."""
    if step.component is ComponentName.API_SERVER:
        # This kubeconfig leads to the API server of its own node, admin.conf to any of them.
        probe = "kubectl --kubeconfig /etc/kubernetes/controller-manager.conf get --raw /readyz"
    else:
        # In quotes also where the shell needs none: an IPv6 address is a pattern to it.
        probe = f"curl --fail --silent --insecure {quoted(_health_url(step, cluster))}"
    return f"until {probe} >/dev/null; do sleep 1; done"


def _health_url(step: Restart, cluster: ClusterSpec) -> str:
    match step.component:
        case ComponentName.ETCD:
            node = next(each for each in cluster.spec.nodes if each.name == step.node)
            return f"{pods.etcd_target(cluster.spec.etcd.extra_args, localhost(node)).url}/health"
        case ComponentName.CONTROLLER_MANAGER:
            return f"{pods.controller_manager_target(cluster).url}/healthz"
        case ComponentName.SCHEDULER:
            return f"{pods.scheduler_target(cluster).url}/healthz"
        case ComponentName.KUBE_PROXY:
            return "http://127.0.0.1:10256/healthz"
        case _:
            return "http://127.0.0.1:10248/healthz"
