from __future__ import annotations

import re
from itertools import pairwise, permutations, product
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pkigen.cli.reports.proof_text import proof_text
from pkigen.errors import RotationError
from pkigen.rotation.proof import Presented, Proof
from pkigen.rotation.prover import prove
from pkigen.spec.model import ClusterSpec
from tests.faults.scenes import wanted
from tests.rotation.brute_force import Cluster
from tests.rotation.phases import NOW, PKI, SMALL, Photograph, Workshop, lives, spec_text

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

Life = dict[str, Photograph]
ORDER = ("stable", "prepared", "promoted", "finished")


def proof(cluster: ClusterSpec, old: Photograph, new: Photograph) -> Proof:
    return prove(old.state(cluster), new.state(cluster), now=NOW)


def sentences(found: Proof) -> list[str]:
    return [str(verdict) for verdict in found.broken]


# -- the steps in their order -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        *pairwise(ORDER),
        ("prepared", "stable"),
        ("promoted", "prepared"),
    ],
)
def test_every_step_and_its_way_back_breaks_nothing(
    cluster: ClusterSpec, life: Life, old: str, new: str
) -> None:
    found = proof(cluster, life[old], life[new])
    found.require()
    assert found.broken == ()
    assert found.verdicts == 4 * found.edges
    assert all(row.held == (row.count,) * 4 for row in found.table if row.binding)


def test_back_from_finished_breaks_only_who_starts_amid_the_copying(cluster: ClusterSpec, life: Life) -> None:
    """`pkigen rollback`: an API server with the files of `promoted` whose flags do not name both keys yet."""
    found = proof(cluster, life["finished"], life["promoted"])
    assert found.broken
    assert all("kube-apiserver with its old flags" in sentence for sentence in sentences(found))


def test_every_kind_of_edge_is_in_the_table(cluster: ClusterSpec, life: Life) -> None:
    kinds = {row.edge for row in proof(cluster, life["prepared"], life["promoted"]).table}
    assert {kind.partition(": ")[2] for kind in kinds} == {str(each) for each in Presented}
    for expected in (
        "kubelet → kube-apiserver: serving certificate",
        "kube-apiserver → kubelet: client certificate",
        "kube-apiserver → etcd: client certificate",
        "etcd → etcd peer: serving certificate",
        "Pods, as published → kube-apiserver: serving certificate",
        "kube-apiserver → aggregated API servers, as published: client certificate",
        "people → kube-apiserver: client certificate",
        "kube-controller-manager → kube-apiserver: certificate signed by the controller manager",
        "kube-controller-manager → kube-apiserver with its old flags: service account token",
        "kube-apiserver → kube-apiserver: encrypted Secret",
    ):
        assert expected in kinds


# -- wrong orders: each is refused, and the right edge is named -------------------------------------


def refused(found: Proof) -> str:
    with pytest.raises(RotationError) as error:
        found.require()
    assert "nothing was changed" in error.value.hint
    return error.value.message


def test_leaves_before_bundles(cluster: ClusterSpec, life: Life) -> None:
    """From no rotation straight to promoted: who has not got the new bundle refuses the new certificate.

    A server carries its clients by the cross certificate; clients send none.
    """
    found = proof(cluster, life["stable"], life["promoted"])
    assert refused(found).startswith("this step would break a connection: ")
    assert any(
        sentence.startswith(
            "kubelet on worker-2 (new certificate) → kube-apiserver on cp-1 (old bundle): "
            "worker-2/kubelet.conf is signed by CN=kubernetes-g2, which "
            f"nodes/cp-1/{PKI}/ca.crt does not contain (CN=kubernetes)"
        )
        for sentence in sentences(found)
    )
    assert Presented.SERVING not in {each.credential for each in found.broken}
    certificates = {Presented.CLIENT, Presented.SIGNED}
    assert {(each.presented, each.trusted) for each in found.broken if each.credential in certificates} == {
        ("new", "old")
    }


def test_distrust_too_early(cluster: ClusterSpec, life: Life) -> None:
    """The old CA goes while leaves of it are in use."""
    found = proof(cluster, life["prepared"], life["finished"])
    said = sentences(found)
    for expected in (
        "kubelet on worker-2 (new bundle) → kube-apiserver on cp-1 (old certificate): ",
        "kube-apiserver on cp-2 (old certificate) → kubelet on worker-1 (new bundle): ",
        "etcd on cp-1 (new bundle) → etcd peer on cp-2 (old certificate): ",
        "user dev1 (old certificate) → kube-apiserver on cp-1 (new bundle): ",
        "kube-apiserver on cp-1 (old certificate) → aggregated API servers, as published on cp-2 (new ",
        "kube-controller-manager on cp-1 (old signing key) → kube-apiserver on cp-2 (new keys): ",
        "kube-apiserver on cp-1 (old first key) → kube-apiserver on cp-2 (new keys): ",
    ):
        assert any(sentence.startswith(expected) for sentence in said), expected
    assert all((each.presented, each.trusted) == ("old", "new") for each in found.broken)


def test_the_bundle_in_the_signing_file(cluster: ClusterSpec, life: Life) -> None:
    """What kubeadm's layout would lead to: the controller manager accepts exactly one certificate there."""
    bundle = life["prepared"].files[f"nodes/cp-1/{PKI}/ca.crt"]
    path = f"nodes/cp-1/{PKI}/ca-signing.crt"
    found = proof(cluster, life["stable"], life["prepared"].but(**{path: bundle}))
    assert refused(found) == (
        "this step would break a connection: kube-controller-manager on cp-1 (new signing certificate) → "
        f"kube-apiserver on cp-1 (old bundle): {path} holds 2 certificates; the controller manager accepts "
        "exactly one (and 3 more)"
    )


def test_the_signing_file_without_its_key(cluster: ClusterSpec, life: Life) -> None:
    path = f"nodes/cp-1/{PKI}/ca.key"
    found = proof(cluster, life["prepared"], life["promoted"].but(**{path: life["prepared"].files[path]}))
    assert f"{path} is not the key of nodes/cp-1/{PKI}/ca-signing.crt" in refused(found)


@pytest.mark.parametrize(("what", "edge"), [("sa", "signing key"), ("encryption-key", "first key")])
def test_a_key_swapped_without_overlap(
    cluster: ClusterSpec, workshop: Workshop, what: str, edge: str
) -> None:
    found = lives(workshop, what)
    proven = proof(cluster, found["stable"], found["finished"])
    said = sentences(proven)
    assert f"kube-apiserver on cp-1 (new {edge}) → kube-apiserver on cp-2 (old keys): " in "\n".join(said)
    assert f"kube-apiserver on cp-1 (old {edge}) → kube-apiserver on cp-2 (new keys): " in "\n".join(said)
    assert {each.credential for each in proven.broken} == (
        {Presented.ACCOUNT} if what == "sa" else {Presented.STORED}
    )


def test_a_node_that_the_bundles_never_reached(cluster: ClusterSpec, life: Life) -> None:
    behind = life["prepared"].with_node_of(life["stable"], "worker-2")
    found = proof(cluster, behind, life["promoted"])
    assert found.broken
    assert all("worker-2" in sentence for sentence in sentences(found))
    assert sentences(found)[0].startswith(
        "kube-apiserver on cp-1 (new certificate) → kubelet on worker-2 (old bundle): "
    )


def test_what_was_broken_before_need_only_hold_afterwards(cluster: ClusterSpec, life: Life) -> None:
    path = f"nodes/worker-2/{PKI}/ca.crt"
    torn = life["prepared"].but(**{path: b"nothing"})
    assert proof(cluster, torn, life["promoted"]).broken == ()
    still = proof(cluster, torn, life["promoted"].but(**{path: b"nothing"}))
    assert {(each.presented, each.trusted) for each in still.broken} == {("new", "new")}
    assert sentences(still)[0].endswith(f"{path} holds no PEM certificates; 1 to 16 are read")


def test_missing_files_are_told(cluster: ClusterSpec, life: Life) -> None:
    files = dict(life["promoted"].files)
    for name in ("apiserver.crt", "ca-signing.crt", "encryption-config.yaml", "sa.key", "front-proxy-ca.crt"):
        del files[f"nodes/cp-1/{PKI}/{name}"]
    del files["nodes/cp-2/etc/kubernetes/manifests/kube-apiserver.yaml"]
    files["nodes/cp-2/etc/kubernetes/pki/sa.key"] = b"nothing"
    files["nodes/cp-2/etc/kubernetes/pki/encryption-config.yaml"] = b"nothing"
    files["nodes/cp-2/etc/kubernetes/manifests/kube-controller-manager.yaml"] = b"nothing"
    said = "\n".join(sentences(proof(cluster, life["prepared"], Photograph(files))))
    for expected in (
        f"nodes/cp-1/{PKI}/apiserver.crt is missing",
        f"nodes/cp-1/{PKI}/ca-signing.crt is missing",
        f"nodes/cp-1/{PKI}/encryption-config.yaml is missing",
        f"nodes/cp-2/{PKI}/encryption-config.yaml holds no key",
        f"nodes/cp-1/{PKI}/sa.key is missing",
        "nodes/cp-2/etc/kubernetes/manifests/kube-apiserver.yaml is missing",
        "nodes/cp-2/etc/kubernetes/manifests/kube-controller-manager.yaml contains no command",
        f"nodes/cp-1/{PKI}/front-proxy-ca.crt is missing",
    ):
        assert expected in said, expected


def test_an_edge_of_a_node_that_is_new(cluster: ClusterSpec, life: Life) -> None:
    """The old state does not know it; so it cannot break there."""
    smaller = ClusterSpec.model_validate(
        {
            "metadata": {"name": "prod"},
            "spec": {
                **cluster.model_dump(by_alias=True, mode="json")["spec"],
                "nodes": [
                    node
                    for node in cluster.model_dump(by_alias=True, mode="json")["spec"]["nodes"]
                    if node["name"] != "worker-2"
                ],
            },
        }
    )
    old = life["stable"].with_node_of(Photograph({}), "worker-2")
    found = prove(old.state(smaller), life["stable"].state(cluster), now=NOW)
    assert all(row.held[3] == row.count for row in found.table)
    assert found.broken == ()


def test_the_table_names_what_breaks(cluster: ClusterSpec, life: Life) -> None:
    text = proof_text(proof(cluster, life["stable"], life["promoted"]), ("the sun rises",))
    assert re.search(
        r"^kubelet → kube-apiserver: client certificate +6 +ok +ok +6 BROKEN +ok$", text, re.MULTILINE
    )
    assert len(re.findall(r"^broken: ", text, re.MULTILINE)) == 21
    assert re.search(r"^broken: \d+ more$", text, re.MULTILINE)
    assert "assumed: the sun rises" in text


def test_key_files_of_the_operators_own(tmp_path: Path) -> None:
    """Flags of the spec replace ours: as long as nothing of ours changes at the other end, nothing breaks."""
    text = spec_text(
        {
            "kubernetesVersion": "v1.36.2",
            "nodes": [{"name": "cp-1", "roles": ["control-plane"], "addresses": ["10.0.0.11"]}],
            "apiServer": {"extraArgs": [{"name": "service-account-key-file", "value": "/srv/keys.pub"}]},
        }
    )
    workshop = Workshop(place=tmp_path).made(text)
    workshop.step("ca kubernetes", "prepare")
    result = workshop.rotate("sa", "--phase prepare")
    assert result.code == 1
    assert result.error == (
        "kube-apiserver on cp-1 reads /srv/keys.pub (--service-account-key-file), which pkigen does not "
        "manage: it would not rotate with the rest"
    )


# -- brute force ------------------------------------------------------------------------------------


def compared(cluster: ClusterSpec, old: Photograph, new: Photograph) -> tuple[set[str], set[str]]:
    """The edges that break: as proven, and as found in every state one by one."""
    proven = set()
    for verdict in proof(cluster, old, new).broken:
        # No machine of the cluster's: what steps promise to it has tests of its own (test_crossing).
        if "never touched" in str(verdict):
            continue
        ends = [str(verdict.presenter), str(verdict.judge).replace(" with its old flags", "")]
        if verdict.credential is Presented.SERVING:
            ends.reverse()
        what = "signed" if verdict.credential is Presented.SIGNED else str(verdict.credential)
        proven.add(f"{' → '.join(ends)}: {what}")
    return proven, Cluster(cluster, old, new).broken()


@pytest.mark.sweep
@pytest.mark.parametrize(("old", "new"), list(permutations(ORDER, 2)))
def test_brute_force_agrees_on_every_pair_of_phases(
    cluster: ClusterSpec, life: Life, old: str, new: str
) -> None:
    proven, found = compared(cluster, life[old], life[new])
    assert proven == found
    assert bool(found) is (_steps(old, new) > 1 or (old, new) == ("finished", "promoted"))


@pytest.fixture(scope="module")
def lonely(tmp_path_factory: pytest.TempPathFactory) -> tuple[ClusterSpec, Life]:
    """One node in every phase of the rotation of both keys."""
    spec: dict[str, Any] = {
        "kubernetesVersion": "v1.36.2",
        "encryption": {},
        "nodes": [{"name": "cp-1", "roles": ["control-plane"], "addresses": ["10.0.0.11"]}],
    }
    workshop = Workshop(place=tmp_path_factory.mktemp("lonely")).made(spec_text(spec))
    cluster = ClusterSpec.model_validate({"metadata": {"name": "prod"}, "spec": spec})
    return cluster, lives(workshop, "sa", "encryption-key")


@pytest.mark.sweep
@pytest.mark.parametrize("authority", ORDER)
def test_brute_force_agrees_on_a_node_that_is_ahead_or_behind(
    lonely: tuple[ClusterSpec, Life], authority: str
) -> None:
    """Flags are those of the node's own manifest, whatever the authority's phase would have them be."""
    cluster, life = lonely
    for node, new in product(ORDER, repeat=2):
        old = life[authority].with_node_of(life[node], "cp-1")
        proven, found = compared(cluster, old, life[new])
        assert proven == found, (node, new)
        assert bool(found) is (_steps(node, new) > 1 or (node, new) == ("finished", "promoted")), (node, new)


def _steps(old: str, new: str) -> int:
    return abs(ORDER.index(old) - ORDER.index(new))


_ROLES = st.sampled_from([["worker"], ["control-plane"], ["worker"]])
_WHAT = st.sampled_from(
    [
        ("ca kubernetes",),
        ("ca etcd",),
        ("ca front-proxy",),
        ("sa",),
        ("ca kubernetes etcd",),
        ("ca kubernetes", "sa"),
        ("ca etcd front-proxy", "sa"),
    ]
)


@st.composite
def small_specs(draw: st.DrawFn) -> dict[str, Any]:
    roles = [["control-plane"], *draw(st.lists(_ROLES, max_size=2))]
    spec: dict[str, Any] = {
        "kubernetesVersion": draw(st.sampled_from(["v1.30.0", "v1.36.2"])),
        "nodes": [
            {"name": f"n{number}", "roles": role, "addresses": [f"10.0.0.{number}"]}
            for number, role in enumerate(roles, start=11)
        ],
    }
    if draw(st.booleans()):
        spec["controlPlaneEndpoint"] = "api.example.com:6443"
    if draw(st.booleans()):
        spec["users"] = [{"name": "dev1"}]
    if draw(st.booleans()):
        spec["encryption"] = {}
    if draw(st.booleans()):
        spec["nodes"].append({"name": "etcd-1", "roles": ["etcd"], "addresses": ["10.0.0.30"]})
    return spec


@pytest.mark.sweep
@given(data=st.data())
@settings(
    max_examples=wanted(6),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_brute_force_agrees_on_anything(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Any small cluster, any rotations, any two phases, any nodes that are ahead or behind before it."""
    spec = data.draw(small_specs())
    what = data.draw(_WHAT)
    workshop = Workshop(place=tmp_path_factory.mktemp("any")).made(spec_text(spec))
    life = lives(workshop, *what)
    cluster = ClusterSpec.model_validate({"metadata": {"name": "prod"}, "spec": spec})
    for _ in range(4):
        phases = st.sampled_from(ORDER)
        old, new = life[data.draw(phases, label="old")], life[data.draw(phases, label="new")]
        for node in spec["nodes"]:
            if data.draw(st.booleans(), label=f"{node['name']} is elsewhere"):
                old = old.with_node_of(life[data.draw(phases)], node["name"])
        if Cluster(cluster, old, old).broken():
            continue  # the cluster does not work before the step: nothing is to be proven
        proven, found = compared(cluster, old, new)
        assert proven == found


# -- kubeconfigs that name their credentials by path ------------------------------------------------


@pytest.fixture(scope="module")
def naming() -> ClusterSpec:
    return ClusterSpec.model_validate({"metadata": {"name": "prod"}, "spec": _NAMING})


@pytest.fixture(scope="module")
def naming_life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    place = tmp_path_factory.mktemp("naming")
    return lives(Workshop(place=place).made(spec_text(_NAMING)), "ca kubernetes")


_NAMING = {**SMALL, "certificates": {"kubeconfigs": "files"}}
_TRUST = f"nodes/cp-1/{PKI}/scheduler/ca.crt"


@pytest.mark.parametrize(("old", "new"), [*pairwise(ORDER), ("prepared", "stable"), ("promoted", "prepared")])
def test_files_that_kubeconfigs_name_are_proven_as_what_they_embed(
    naming: ClusterSpec, naming_life: Life, cluster: ClusterSpec, life: Life, old: str, new: str
) -> None:
    found = proof(naming, naming_life[old], naming_life[new])
    found.require()
    rows = {row.edge: row.count for row in proof(cluster, life[old], life[new]).table}
    for row in found.table:
        assert row.held == (row.count,) * 4 or not row.binding, row
        assert rows[row.edge] == row.count, row


def test_a_ca_file_that_a_kubeconfig_names_breaks_its_connection(
    naming: ClusterSpec, naming_life: Life
) -> None:
    behind = Photograph({**naming_life["finished"].files, _TRUST: naming_life["stable"].files[_TRUST]})
    found = sentences(proof(naming, naming_life["promoted"], behind))
    assert found
    assert all("kube-scheduler on cp-1" in sentence and _TRUST in sentence for sentence in found)
