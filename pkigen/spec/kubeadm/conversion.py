"""The documents of a kubeadm configuration to one tree of the model's shape.

InitConfiguration, ClusterConfiguration and JoinConfiguration documents of one file become a tree of the
model's shape whose values keep their old places and paths. What is not taken over is a warning, never
silence. Defaults and rules are kubeadm's (`cmd/kubeadm/app/util/config/` and `apis/kubeadm/` of Kubernetes
1.36). In one thing pkigen reads more than kubeadm: several JoinConfigurations, one for each further node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen.errors import SpecError
from pkigen.spec.builder import SpecSource
from pkigen.spec.kubeadm.cluster import release_of, spec_of
from pkigen.spec.kubeadm.documents import Documents, sort_in
from pkigen.spec.kubeadm.notes import Notes
from pkigen.spec.kubeadm.treatments import CLUSTER, INIT
from pkigen.spec.model import API_VERSION, KIND
from pkigen.spec.versions import KUBEADM_V1BETA3_GONE
from pkigen.spec.yaml_nodes import YAMLNode, child, mapping, scalar

if TYPE_CHECKING:
    from pkigen.spec.dialects import HostFacts
    from pkigen.spec.values import KubernetesVersion

_DEFAULT_NAME: Final = "kubernetes"


def convert(documents: list[YAMLNode], *, file: str, host: HostFacts) -> SpecSource:
    """Turn the documents of a kubeadm configuration into one tree of the model's shape.

    Raises:
        SpecError: They do not describe a cluster at all.
    """
    notes = Notes(file=file)
    found = Documents()
    for document in documents:
        sort_in(document, found, notes)
    first = found.init or found.cluster
    if first is None:
        if not notes.problems:
            what = f"kubeadm needs an {INIT} or a {CLUSTER} in the file, and so does pkigen"
            notes.add_problem(documents[0], "", what)
        raise SpecError(notes.problems)
    cluster = found.cluster or mapping({}, at=first, shown=CLUSTER)
    _note_old_versions(found, release_of(cluster), notes)
    name = child(cluster, "clusterName") or scalar(_DEFAULT_NAME, at=cluster)
    root = mapping(
        {
            "apiVersion": scalar(API_VERSION, at=first),
            "kind": scalar(KIND, at=first),
            "metadata": mapping({"name": name}, at=cluster),
            "spec": spec_of(cluster, found, host, notes),
        },
        at=first,
    )
    return SpecSource(
        root=root, problems=tuple(notes.problems), warnings=tuple(notes.warnings), absences=notes.absences
    )


def _note_old_versions(found: Documents, release: KubernetesVersion | None, notes: Notes) -> None:
    """v1beta3 is read as long as the kubeadm of the release reads it."""
    way_out = "kubeadm config migrate"
    for version in found.old_versions:
        if release is not None and KUBEADM_V1BETA3_GONE.holds(release):
            what = (
                f"v1beta3 is not read by the kubeadm of v1.{release.minor}: {way_out} of v1.31 to "
                f"v1.{KUBEADM_V1BETA3_GONE.since - 1} converts it to v1beta4"
            )
            notes.add_problem(version, "apiVersion", what)
        else:
            what = f"v1beta3 is deprecated: {way_out} converts it to v1beta4"
            notes.add_warning(version, "apiVersion", what)
