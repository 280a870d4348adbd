"""What the default ClusterRoles admin, edit and view allow, without what others have aggregated to them.

Source: `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/testdata/cluster-roles.yaml` of Kubernetes 1.36.
"""

from __future__ import annotations

from typing import Final

_READ: Final = frozenset({"get", "list", "watch"})
_WRITE: Final = frozenset({"create", "delete", "deletecollection", "patch", "update"})
_CREATE: Final = frozenset({"create"})
_Rules = tuple[tuple[str, frozenset[str], str], ...]

_CORE_READ: Final = """
bindings configmaps endpoints events limitranges namespaces namespaces/status persistentvolumeclaims
persistentvolumeclaims/status pods pods/log pods/status replicationcontrollers replicationcontrollers/scale
replicationcontrollers/status resourcequotas resourcequotas/status serviceaccounts services services/status
"""
_CORE_WRITE: Final = """
configmaps events persistentvolumeclaims pods pods/attach pods/exec pods/portforward pods/proxy
replicationcontrollers replicationcontrollers/scale secrets serviceaccounts services services/proxy
"""
_APPS_READ: Final = """
controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets
replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status
"""
_APPS_WRITE: Final = """
daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets
statefulsets/scale
"""
_VIEW: Final[_Rules] = (
    ("", _READ, _CORE_READ),
    ("events.k8s.io", _READ, "events"),
    ("discovery.k8s.io", _READ, "endpointslices"),
    ("apps", _READ, _APPS_READ),
    ("autoscaling", _READ, "horizontalpodautoscalers horizontalpodautoscalers/status"),
    ("batch", _READ, "cronjobs cronjobs/status jobs jobs/status"),
    ("policy", _READ, "poddisruptionbudgets poddisruptionbudgets/status"),
    ("networking.k8s.io", _READ, "ingresses ingresses/status networkpolicies"),
    ("resource.k8s.io", _READ, "resourceclaims resourceclaims/status resourceclaimtemplates"),
)
_EDIT: Final[_Rules] = (
    ("", _READ, "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
    ("", frozenset({"impersonate"}), "serviceaccounts"),
    ("", _CREATE, "pods/eviction serviceaccounts/token"),
    ("", _WRITE, _CORE_WRITE),
    ("events.k8s.io", _WRITE, "events"),
    ("apps", _WRITE, _APPS_WRITE),
    ("autoscaling", _WRITE, "horizontalpodautoscalers"),
    ("batch", _WRITE, "cronjobs jobs"),
    ("policy", _WRITE, "poddisruptionbudgets"),
    ("networking.k8s.io", _WRITE, "ingresses networkpolicies"),
    ("coordination.k8s.io", _READ | _WRITE, "leases"),
    ("resource.k8s.io", _WRITE, "resourceclaims resourceclaimtemplates"),
)
_ADMIN: Final[_Rules] = (
    ("authorization.k8s.io", _CREATE, "localsubjectaccessreviews"),
    ("rbac.authorization.k8s.io", _READ | _WRITE, "rolebindings roles"),
)
_ROLES: Final = {"view": _VIEW, "edit": _VIEW + _EDIT, "admin": _VIEW + _EDIT + _ADMIN}


def allows(role: str, verb: str, group: str, resource: str) -> bool:
    """Whether one of these roles allows something; false for every other role but cluster-admin.

    Args:
        role: The ClusterRole's name.
        verb: As the API server says it.
        group: The API group; empty for the core group.
        resource: With its subresource.
    """
    return role == "cluster-admin" or any(
        group == api_group and verb in verbs and resource in resources.split()
        for api_group, verbs, resources in _ROLES.get(role, ())
    )
