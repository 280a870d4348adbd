"""The shell commands that carry out a restart map."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pkigen import layout
from pkigen.desired.readers import ComponentName
from pkigen.desired.rendering import pods
from pkigen.desired.rendering.flags import ETCD_CLIENT_PORT, last_value, localhost, peer_url
from pkigen.reconcile.file_readers import Effect
from pkigen.spec.model import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.reconcile.restart_map import Restart
    from pkigen.spec.model import ClusterSpec, Node


def restart_commands(step: Restart, cluster: ClusterSpec) -> tuple[str, ...]:
    """The shell commands that carry out one step on its node; none where nothing has to be done."""
    if step.member is not None:
        return _membership_commands(step, cluster)
    if step.copies:
        # Before anything is stopped: what is to start next must be there.
        return (*_arrived(step, cluster), *_removal_commands(step), *_restarted(step, cluster.spec.runtime))
    forgotten = (f"rm -f {shlex.quote(path)}" for path in step.forgets)
    return (*_removal_commands(step), *forgotten, *_start_commands(step, cluster.spec.runtime))


def _removal_commands(step: Restart) -> Iterator[str]:
    """Stop what ran the component until now."""
    for path in step.removes:
        if path.endswith(".service"):
            # Stopped before its unit goes: systemd cannot stop by name what it no longer knows.
            yield f"systemctl disable --now {step.component}"
            yield f"rm -f {shlex.quote(path)}"
        else:
            yield f"rm -f {shlex.quote(path)}"
            # The kubelet takes a while; two of one component at once would fight for its port.
            yield _gone(step.component)


def _gone(component: ComponentName) -> str:
    """A command that waits until the container runtime has no container of this name any more."""
    return f"while crictl ps --quiet --name '^{component}$' | grep -q .; do sleep 1; done"


def _start_commands(step: Restart, runtime: Runtime) -> tuple[str, ...]:
    """Start what has not run yet, or restart what does not take its files up by itself."""
    if step.effect not in {Effect.STARTS, Effect.RESTART}:
        return ()
    if step.effect is Effect.STARTS:
        if runtime is Runtime.SYSTEMD or step.component is ComponentName.KUBE_PROXY:
            return ("systemctl daemon-reload", f"systemctl enable --now {step.component}")
        return ("systemctl enable --now kubelet",)  # which starts the static Pods
    if runtime is Runtime.SYSTEMD or step.component in {ComponentName.KUBELET, ComponentName.KUBE_PROXY}:
        # Its unit is new then: a static Pod has run it until now.
        enabled = (f"systemctl enable {step.component}",) if step.removes else ()
        return ("systemctl daemon-reload", *enabled, f"systemctl restart {step.component}")
    return _recreated(step.component)


def _restarted(step: Restart, runtime: Runtime) -> tuple[str, ...]:
    """Also where the kubelet starts it by itself: what answers afterwards is sure to be the new one."""
    return _start_commands(replace(step, effect=Effect.RESTART), runtime)


def _arrived(step: Restart, cluster: ClusterSpec) -> Iterator[str]:
    """A command that fails while the node has not got the files of a member that moves."""
    if not step.moves:
        return
    # The new address is in the file that starts etcd, so it tells old files from new ones.
    place = f"{layout.MANIFESTS_DIRECTORY}/etcd.yaml"
    if cluster.spec.runtime is Runtime.SYSTEMD:
        place = f"{layout.FLAGS_DIRECTORY}/etcd.env"
    url = shlex.quote(_peer_urls(cluster, _member(cluster, step.node)))
    # `-F`, because a URL is no pattern; `-e`, because no text of a spec may become an option.
    yield f"grep -q -F -e {url} {place}  # the files must be there by now"


def _recreated(component: ComponentName) -> tuple[str, ...]:
    """Have the kubelet stop a static Pod and start it again, by taking its manifest away for a while."""
    # Out of the directory, not to another name in it: there the kubelet takes every file for a manifest that
    # has no leading dot (pkg/kubelet/config/file.go, extractFromDir).
    manifest = f"{layout.MANIFESTS_DIRECTORY}/{component}.yaml"
    # The kubelet stops the Pod when its manifest goes and starts a new one when it comes back.
    return (
        f"mv {manifest} /etc/kubernetes/{component}.yaml.away",
        _gone(component),
        f"mv /etc/kubernetes/{component}.yaml.away {manifest}",
    )


def _membership_commands(step: Restart, cluster: ClusterSpec) -> tuple[str, ...]:
    """Ask etcd, at a member that stays, to change its membership (etcd, "Runtime reconfiguration")."""
    pki = f"{cluster.spec.certificates.directory}/etcd"
    member = _member(cluster, step.node)
    # A member that moves is asked on its own node, before its new files come: by an address that stays.
    host = localhost(member) if step.effect is Effect.MOVES else str(member.advertise_address)
    etcdctl = (
        f"etcdctl --endpoints={shlex.quote(_client_url(cluster, host))} "
        f"--cacert={shlex.quote(f'{pki}/ca.crt')} --cert={shlex.quote(f'{pki}/healthcheck-client.crt')} "
        f"--key={shlex.quote(f'{pki}/healthcheck-client.key')}"
    )
    if cluster.spec.runtime is Runtime.STATIC_PODS:
        # etcd's image brings the program; the API server, and so `kubectl exec`, may be away just now.
        etcdctl = f"crictl exec \"$(crictl ps --quiet --name '^etcd$')\" {etcdctl}"
    name = shlex.quote(str(step.member))
    # Members have a number, which only the running cluster knows.
    listed = f"{etcdctl} member list | awk -F', ' -v name={name} '$3 == name {{print $1}}'"
    if step.effect is Effect.EXPELS:
        return (f'{etcdctl} member remove "$({listed})"',)
    urls = shlex.quote(_peer_urls(cluster, _member(cluster, str(step.member))))
    if step.effect is Effect.MOVES:
        return (f'{etcdctl} member update "$({listed})" --peer-urls={urls}',)
    return (f"{etcdctl} member add {name} --peer-urls={urls}",)


def _member(cluster: ClusterSpec, name: str) -> Node:
    """The node of that name among etcd's members."""
    return next(each for each in cluster.etcd_members if each.name == name)


def _peer_urls(cluster: ClusterSpec, member: Node) -> str:
    """By which URLs a member's peers know it."""
    return last_value(cluster.spec.etcd.extra_args, "initial-advertise-peer-urls") or peer_url(member)


def _client_url(cluster: ClusterSpec, host: str) -> str:
    """Where a member is asked: at the port that it listens at."""
    port = ETCD_CLIENT_PORT
    for url in (last_value(cluster.spec.etcd.extra_args, "listen-client-urls") or "").split(","):
        found = urlsplit(url)
        # Only an https one: etcdctl is given certificates.
        if found.scheme == "https" and found.port:
            port = found.port
            break
    return f"https://{f'[{host}]' if ':' in host else host}:{port}"


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
        # Whether it answers is asked, and not who it is: some sign their serving certificate themselves.
        probe = f"curl --fail --silent --insecure {quoted(health_url(step, cluster))}"
    return f"until {probe} >/dev/null; do sleep 1; done"


def health_url(step: Restart, cluster: ClusterSpec) -> str:
    """Where a component answers on its own node, without credentials where it lets anybody ask."""
    node = next(each for each in cluster.spec.nodes if each.name == step.node)
    match step.component:
        case ComponentName.API_SERVER:
            return f"{cluster.local_server(node)}/readyz"
        case ComponentName.ETCD:
            return f"{pods.etcd_target(cluster.spec.etcd.extra_args, localhost(node)).url}/health"
        case ComponentName.CONTROLLER_MANAGER:
            return f"{pods.controller_manager_target(cluster).url}/healthz"
        case ComponentName.SCHEDULER:
            return f"{pods.scheduler_target(cluster).url}/healthz"
        # `ProxyHealthzPort`, and below it `KubeletHealthzPort` (pkg/cluster/ports/ports.go).
        case ComponentName.KUBE_PROXY:
            return "http://127.0.0.1:10256/healthz"
        case _:
            return "http://127.0.0.1:10248/healthz"
