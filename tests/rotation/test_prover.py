"""What the proof judges, and what it leaves out: by trees in memory, one rule at a time."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.crypto.cross_certification import cross_certify
from pkigen.crypto.issuance import CertificateContent, Issuer, certificate_pem, issue
from pkigen.crypto.keys import load_private, private_pem, public_pem
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from pkigen.desired.adopted import ABSENT, Adopted
from pkigen.desired.file_references import SIGNERS
from pkigen.desired.generations import Phase, Rotations
from pkigen.desired.inventory import derive
from pkigen.desired.items import DesiredFile, content_of
from pkigen.desired.rendering import Renderer
from pkigen.rotation.proof import Age, Presented, Proof, State
from pkigen.rotation.prover import prove
from tests.rotation.phases import Photograph
from tests.samples import CP1, CP2, ENDPOINT, NOW, W1, World, spec

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from pkigen.desired.inventory import Inventory
    from pkigen.spec.model import ClusterSpec

OLD, NEW = Age.OLD, Age.NEW
STABLE, PREPARED, PROMOTED = Phase
PKI = "/etc/kubernetes/pki"
NODE = f"nodes/cp-1{PKI}"
DAY = timedelta(days=1)
UNTOUCHED = "a client that was never touched → kube-apiserver: serving certificate"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Photograph:
    """Of two control planes and a worker; smaller clusters find their files in it, too."""
    cluster = spec(CP1, CP2, W1, **ENDPOINT, encryption={}, users=[{"name": "dev1"}])
    world = World(root=tmp_path_factory.mktemp("proven") / "prod", cluster=cluster)
    world.apply()
    return Photograph.of(world.root)


def proven(
    inventory: Inventory, old: Photograph, new: Photograph, *, before: Inventory | None = None
) -> Proof:
    states = State(inventory=before or inventory, reader=old), State(inventory=inventory, reader=new)
    return prove(*states, now=NOW)


def broken(found: Proof) -> list[str]:
    return [str(verdict) for verdict in found.broken]


def args(*flags: tuple[str, str]) -> dict[str, Any]:
    return {"extraArgs": [{"name": name, "value": value} for name, value in flags]}


def started(cluster: ClusterSpec, tree: Photograph) -> Photograph:
    """The tree with the manifests that this cluster has on its first node."""
    inventory = derive(cluster)
    renderer = Renderer(inventory)
    manifests = {
        item.path: renderer.file(item)
        for item in inventory.items
        if isinstance(item, DesiredFile) and item.path.startswith("nodes/cp-1/etc/kubernetes/manifests/kube-")
    }
    return Photograph({**tree.files, **manifests})


def root(name: str, *, days: int = 3650) -> Issuer:
    key = ec.generate_private_key(ec.SECP256R1())
    content = CertificateContent(
        subject=Subject(common_name=name), sans=SANs.of(), profile=Profile.CA, validity=days * DAY
    )
    made = issue(content, key=key, issuer=None, now=NOW, entropy=os.urandom)
    return Issuer(certificate=made.certificate, key=key)


def at(**files: bytes) -> dict[str, bytes]:
    """Files of the node's PKI, by their names with a double underscore before the ending."""
    return {f"{NODE}/{name.replace('__', '.')}": data for name, data in files.items()}


def test_every_case_of_every_edge_is_counted(tree: Photograph) -> None:
    found = proven(derive(spec(CP1, CP2, W1, **ENDPOINT, encryption={})), tree, tree)
    assert found.verdicts == 4 * found.edges
    assert found.edges == sum(row.count for row in found.table) > len(found.table)
    assert all(row.held == (row.count,) * 4 and row.binding for row in found.table)
    assert found.broken == ()


def test_units_have_the_flags_of_tokens_in_files_of_their_own(tmp_path: Path) -> None:
    cluster = spec(CP1, runtime="systemd")
    world = World(root=tmp_path / "prod", cluster=cluster)
    world.apply()
    units = Photograph.of(world.root)
    assert broken(proven(derive(cluster), units, units)) == []
    stranger = private_pem(ec.generate_private_key(ec.SECP256R1()))
    found = proven(derive(cluster), units, units.but(**at(sa__key=stranger)))
    assert {each.presenter.component for each in found.broken} == {
        "kube-apiserver",
        "kube-controller-manager",
    }


def test_an_edge_that_was_broken_need_only_hold_afterwards(tree: Photograph) -> None:
    inventory = derive(spec(CP1, W1))
    path = "nodes/worker-1/etc/kubernetes/pki/ca.crt"
    torn = Photograph({**tree.files, path: b"nothing"})
    assert broken(proven(inventory, torn, tree)) == []
    still = proven(inventory, torn, torn)
    assert {(each.presented, each.trusted) for each in still.broken} == {(NEW, NEW)}
    assert still.edges == sum(row.count for row in still.table)
    assert any(row.held == (row.count - 1,) * 4 for row in still.table)
    apart = proven(inventory, tree, torn)
    assert {(each.presented, each.trusted) for each in apart.broken} == {(OLD, NEW), (NEW, NEW)}


# -- what one process never shows to itself ----------------------------------------------------------


def test_a_process_has_its_new_keys_for_both_uses_at_once(tree: Photograph) -> None:
    """Of one API server alone: what it signed before it starts anew is what it reads afterwards."""
    key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    old = Photograph({**tree.files, **at(sa__key=private_pem(key), sa__pub=public_pem(key.public_key()))})
    new = Photograph({**tree.files, **at(sa__key=private_pem(other), sa__pub=public_pem(other.public_key()))})
    found = proven(derive(spec(CP1, encryption={})), old, new)
    cases = {(each.presenter.component, each.presented, each.trusted) for each in found.broken}
    assert cases == {
        ("kube-apiserver", OLD, NEW),
        ("kube-controller-manager", OLD, NEW),
        ("kube-controller-manager", NEW, OLD),
    }
    assert {each.credential for each in found.broken} == {Presented.ACCOUNT}
    # Another one may be asked to take what this one signs with its new key.
    both = proven(derive(spec(CP1, CP2, **ENDPOINT, encryption={})), old, new)
    pairs = {(str(each.presenter), str(each.judge)) for each in both.broken if each.presented is NEW}
    assert ("kube-apiserver on cp-1", "kube-apiserver on cp-2") in pairs
    assert ("kube-apiserver on cp-1", "kube-apiserver on cp-1") not in pairs
    assert ("kube-controller-manager on cp-1", "kube-apiserver on cp-1") in pairs


def test_what_an_api_server_encrypts_it_reads_itself_and_so_do_the_others(tree: Photograph) -> None:
    path = f"{NODE}/encryption-config.yaml"
    first = tree.files[path].index(b"secret: ") + len(b"secret: ")
    swapped = tree.files[path][:first] + b"A" * 8 + tree.files[path][first + 8 :]
    changed = Photograph({**tree.files, path: swapped})
    alone = proven(derive(spec(CP1, encryption={})), tree, changed)
    assert {(each.presented, each.trusted) for each in alone.broken} == {(OLD, NEW)}
    assert {each.credential for each in alone.broken} == {Presented.STORED}
    assert [row.held for row in alone.table if "encrypted" in row.edge] == [(1, 0, 1, 1)]
    both = proven(derive(spec(CP1, CP2, **ENDPOINT, encryption={})), tree, changed)
    assert {(each.presenter.node, each.judge.node, each.presented, each.trusted) for each in both.broken} == {
        ("cp-1", "cp-1", OLD, NEW),
        ("cp-1", "cp-2", NEW, OLD),
        ("cp-1", "cp-2", NEW, NEW),
        ("cp-2", "cp-1", OLD, NEW),
        ("cp-2", "cp-1", NEW, NEW),
    }
    assert [row.held for row in both.table if "encrypted" in row.edge] == [(4, 2, 3, 2)]


def test_the_last_signing_key_counts_and_every_accepted_one(tree: Photograph) -> None:
    """pflag: a plain flag that is given again replaces its value; a list grows."""
    twice = args(
        ("service-account-signing-key-file", f"{PKI}/gone.key"),
        ("service-account-signing-key-file", f"{PKI}/sa.key"),
        ("service-account-key-file", f"{PKI}/sa.pub"),
        ("service-account-key-file", f"{PKI}/more.pub"),
    )
    cluster = spec(CP1, apiServer=twice)
    other = ec.generate_private_key(ec.SECP256R1())
    own = started(cluster, tree)
    there = own.but(**at(more__pub=public_pem(other.public_key())))
    assert broken(proven(derive(cluster), there, there)) == []
    # The files of the operator's own are not in `there` after a copy, and stay on the node all the same.
    assert broken(proven(derive(cluster), there, own)) == []
    told = broken(proven(derive(cluster), there, there.but(**at(sa__key=private_pem(other)))))
    assert told == []
    stranger = private_pem(ec.generate_private_key(ec.SECP256R1()))
    told = broken(proven(derive(cluster), there, there.but(**at(sa__key=stranger))))
    assert {each.rpartition(": ")[2].partition(" the key ")[0] for each in told} == {
        "sa.pub and more.pub do not hold"
    }


def test_an_api_server_may_have_its_new_keys_and_still_its_old_flags(tree: Photograph) -> None:
    flags = (
        ("service-account-signing-key-file", f"{PKI}/own.key"),
        ("service-account-key-file", f"{PKI}/sa.pub"),
        ("service-account-key-file", f"{PKI}/own.pub"),
    )
    key = ec.generate_private_key(ec.SECP256R1())
    files = at(own__key=private_pem(key), own__pub=public_pem(key))
    before, after = spec(CP1), spec(CP1, apiServer=args(*flags))
    old, new = (started(cluster, tree).but(**files) for cluster in (before, after))
    (told,) = broken(proven(derive(after), old, new, before=derive(before)))
    assert "→ kube-apiserver with its old flags on cp-1 (new keys): sa.pub do not hold the key " in told


def test_keys_of_the_operators_own_are_judged_by_whether_the_other_end_stays(tree: Photograph) -> None:
    """No step changes his files: as long as nothing of ours changes at the other end, nothing breaks."""
    other = ec.generate_private_key(ec.SECP256R1())
    changed = {"sa.key": private_pem(other), "sa.pub": public_pem(other.public_key())}
    for flag, ours in (
        ("service-account-key-file", "sa.key"),
        ("service-account-signing-key-file", "sa.pub"),
    ):
        cluster = spec(CP1, apiServer=args((flag, "/srv/own")))
        there = started(cluster, tree)
        assert [each.path for each in proven(derive(cluster), there, there).unjudged] == [
            "nodes/cp-1/srv/own"
        ]
        assert broken(proven(derive(cluster), there, there)) == []
        new = Photograph({**there.files, f"{NODE}/{ours}": changed[ours]})
        told = broken(proven(derive(cluster), there, new))
        assert any("the key files of the other end are not managed by pkigen" in each for each in told)


# -- who was never touched ---------------------------------------------------------------------------


def rotating(
    tree: Photograph, *, crossed: bool = True, end: datetime | None = None, lacking: str = ""
) -> tuple[dict[Phase | str, Photograph], Inventory]:
    """Every phase of the CA of Kubernetes, of its files and of one server's certificate; all else stays.

    `lacking` is a name that this certificate does not have.
    """
    inventory = derive(spec(CP1))
    old = Issuer(
        certificate=x509.load_pem_x509_certificate(tree.files["pki/ca.crt"]),
        key=load_private(tree.files["pki/ca.key"]),
    )
    if end is not None:
        short = root("kubernetes", days=(end - NOW).days)
        old = short
    new = root("kubernetes-g2")
    cross = cross_certify(new.certificate, issuer=old, now=NOW, entropy=os.urandom).certificate

    def served(by: Issuer, *behind: x509.Certificate) -> dict[str, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        content = content_of(inventory.certificates["cp-1/apiserver"])
        names = (name for name in content.sans.texts() if name != lacking)
        content = replace(content, sans=SANs.of(*names))
        leaf = issue(content, key=key, issuer=by, now=NOW, entropy=os.urandom).certificate
        return at(apiserver__crt=certificate_pem(leaf, *behind), apiserver__key=private_pem(key))

    first, second = certificate_pem(old.certificate), certificate_pem(new.certificate)
    phases: dict[Phase | str, dict[str, bytes]] = {
        STABLE: {"pki/ca.crt": first, **served(old)},
        PREPARED: {"pki/ca.crt": first, "pki/ca-next.crt": second, **served(old)},
        PROMOTED: {
            "pki/ca.crt": second,
            "pki/ca-previous.crt": first,
            **served(new, *((cross,) if crossed else ())),
        },
        "finished": {"pki/ca.crt": second, **served(new)},
    }
    return {phase: Photograph({**tree.files, **files}) for phase, files in phases.items()}, inventory


def untouched(
    trees: dict[Phase | str, Photograph],
    inventory: Inventory,
    old: Phase | str,
    new: Phase | str,
    *,
    crossed: bool = True,
) -> tuple[bool, tuple[bool, ...]] | None:
    """Whether the row of the API server's certificate binds, and which of its cases hold; None without it."""

    def state(phase: Phase | str) -> State:
        rotations = Rotations(
            phases={} if phase in {STABLE, "finished"} else {"ca": Phase(phase)},
            crossed=frozenset({"ca"} if crossed and phase not in {STABLE, "finished"} else ()),
        )
        return State(inventory=replace(inventory, rotations=rotations), reader=trees[phase])

    found = prove(state(old), state(new), now=NOW)
    rows = [row for row in found.table if row.edge == UNTOUCHED]
    return (rows[0].binding, tuple(held == rows[0].count for held in rows[0].held)) if rows else None


@pytest.mark.parametrize(
    ("old", "new", "binding", "held"),
    [
        (STABLE, PREPARED, True, (True, True)),
        (PREPARED, PROMOTED, True, (True, True)),
        (PROMOTED, PREPARED, True, (True, True)),
        (PREPARED, STABLE, True, (True, True)),
        (PROMOTED, "finished", False, (True, False)),
    ],
)
def test_who_was_never_touched_gets_on_until_the_end(
    tree: Photograph, old: Phase | str, new: Phase | str, *, binding: bool, held: tuple[bool, bool]
) -> None:
    """What it holds is the same before and after the step: the old CA."""
    found = untouched(*rotating(tree), old, new)
    assert found == (binding, (held[0], held[0], held[1], held[1]))


@pytest.mark.parametrize("lacking", ["10.96.0.1", "kubernetes.default.svc"])
def test_who_was_never_touched_reaches_a_server_by_each_of_its_names(tree: Photograph, lacking: str) -> None:
    assert untouched(*rotating(tree, lacking=lacking), PREPARED, PROMOTED) == (True, (False,) * 4)


def test_there_is_nobody_of_this_kind_where_nothing_rotates(tree: Photograph) -> None:
    assert untouched(*rotating(tree), STABLE, STABLE) is None


def test_aggregated_api_servers_that_were_never_touched_know_the_front_proxy_by_its_old_ca(
    tree: Photograph,
) -> None:
    """A promotion shows them a client of the new CA, and the CA that both have certified."""
    inventory = derive(spec(CP1))
    old = Issuer(
        certificate=x509.load_pem_x509_certificate(tree.files["pki/front-proxy-ca.crt"]),
        key=load_private(tree.files["pki/front-proxy-ca.key"]),
    )
    new, key = root("front-proxy-g2"), ec.generate_private_key(ec.SECP256R1())
    content = content_of(inventory.certificates["cp-1/front-proxy-client"])
    leaf = issue(content, key=key, issuer=new, now=NOW, entropy=os.urandom).certificate
    cross = cross_certify(new.certificate, issuer=old, now=NOW, entropy=os.urandom).certificate
    first, second = certificate_pem(old.certificate), certificate_pem(new.certificate)
    prepared = Photograph({**tree.files, "pki/front-proxy-ca-next.crt": second})

    def promoted(*shown: x509.Certificate) -> dict[str, tuple[bool, int, tuple[int, ...]]]:
        client = {f"{NODE}/front-proxy-client.crt": certificate_pem(*shown)}
        places = {"pki/front-proxy-ca.crt": second, "pki/front-proxy-ca-previous.crt": first}
        states = (
            State(
                inventory=replace(
                    inventory,
                    rotations=Rotations(
                        phases={"front-proxy-ca": phase}, crossed=frozenset({"front-proxy-ca"})
                    ),
                ),
                reader=reader,
            )
            for phase, reader in (
                (PREPARED, prepared),
                (PROMOTED, Photograph({**prepared.files, **places, **client})),
            )
        )
        rows = prove(*states, now=NOW).table
        return {row.edge: (row.binding, row.count, row.held) for row in rows if "never touched" in row.edge}

    row = "kube-apiserver → an aggregated API server that was never touched: client certificate"
    assert promoted(leaf, cross) == {row: (True, 1, (1, 1, 1, 1))}
    assert promoted(leaf) == {row: (True, 1, (1, 1, 0, 0))}


def test_who_was_never_touched_is_asked_of_servers_and_of_the_front_proxy_s_clients(tree: Photograph) -> None:
    """Whoever lets in the clients of the other CAs is one of the cluster's own, and gets its files."""
    inventory = derive(spec(CP1))
    phases = dict.fromkeys(("ca", "etcd-ca", "front-proxy-ca"), PREPARED)
    after = replace(inventory, rotations=Rotations(phases=phases))
    found = prove(State(inventory=inventory, reader=tree), State(inventory=after, reader=tree), now=NOW)
    assert {row.edge for row in found.table if "never touched" in row.edge} == {
        UNTOUCHED,
        "a client that was never touched → etcd: serving certificate",
        "a client that was never touched → kubelet: serving certificate",
        "kube-apiserver → an aggregated API server that was never touched: client certificate",
    }


def test_a_promotion_without_a_cross_certificate_promises_nothing(tree: Photograph) -> None:
    found = untouched(*rotating(tree, crossed=False), PREPARED, PROMOTED, crossed=False)
    assert found == (False, (True, True, False, False))


@pytest.mark.parametrize(("days", "binding"), [(1, True), (0, False)])
def test_nor_does_one_after_the_old_ca_has_ended(tree: Photograph, days: int, *, binding: bool) -> None:
    found = untouched(*rotating(tree, end=NOW + days * DAY), PREPARED, PROMOTED)
    assert found is not None
    assert found[0] is binding


# -- what the controller manager signs ---------------------------------------------------------------


@pytest.mark.parametrize("signer", SIGNERS)
def test_each_signer_with_files_of_its_own_is_judged_by_who_is_shown_it(
    tree: Photograph, signer: str
) -> None:
    """API servers dial kubelets; what the other signers sign is presented to API servers."""
    flag = "kubelet-certificate-authority" if signer == "kubelet-serving" else "client-ca-file"
    cluster = spec(
        CP1,
        controllerManager=args(
            ("cluster-signing-cert-file", ""),
            ("cluster-signing-key-file", ""),
            (f"cluster-signing-{signer}-cert-file", f"{PKI}/own.crt"),
            (f"cluster-signing-{signer}-key-file", f"{PKI}/own.key"),
        ),
        apiServer=args((flag, f"{PKI}/both.crt")),
    )
    own = root("own")
    files = at(own__crt=certificate_pem(own.certificate), own__key=private_pem(own.key))
    both = tree.files[f"{NODE}/ca.crt"] + certificate_pem(own.certificate)
    good = Photograph({**started(cluster, tree).files, **files, **at(both__crt=both)})
    inventory = derive(cluster)
    assert broken(proven(inventory, good, good)) == []
    told = broken(proven(inventory, good, good.but(**at(both__crt=tree.files[f"{NODE}/ca.crt"]))))
    assert told
    for each in told:
        assert each.endswith(
            f"what CN=own signs would be refused, because {NODE}/both.crt does not contain it"
        )
        assert each.startswith("kube-controller-manager on cp-1 (")


def signed_rows(found: Proof) -> int:
    return sum(row.count for row in found.table if str(Presented.SIGNED) in row.edge)


PAIR = (f"{PKI}/ca-signing.crt", f"{PKI}/ca.key")


@pytest.mark.parametrize(
    ("common", "signers", "rows"),
    [
        (PAIR, {}, 1),
        ((PAIR[0], "/srv/elsewhere.key"), {}, 0),
        (("/srv/elsewhere.crt", PAIR[1]), {}, 0),
        (("", ""), {}, 0),
        (("", ""), {"kubelet-client": PAIR, "legacy-unknown": PAIR}, 1),
        # Of the same pair, another flag of the API server is another question.
        (("", ""), {"kubelet-client": PAIR, "kubelet-serving": PAIR}, 2),
        (("", ""), {"kubelet-client": (PAIR[0], "")}, 0),
        (("", ""), {"kubelet-client": ("", PAIR[1])}, 0),
    ],
)
def test_who_signs_with_a_pair_that_is_known_here(
    tree: Photograph, common: tuple[str, str], signers: dict[str, tuple[str, str]], rows: int
) -> None:
    pairs = {"": common, **{f"{name}-": pair for name, pair in signers.items()}}
    flags = (
        (f"cluster-signing-{name}{kind}-file", value)
        for name, pair in pairs.items()
        for kind, value in zip(("cert", "key"), pair, strict=True)
    )
    inventory = derive(spec(CP1, controllerManager=args(*flags)))
    assert signed_rows(proven(inventory, tree, tree)) == rows


def test_a_controller_manager_signs_with_one_certificate_and_its_key(tree: Photograph) -> None:
    inventory, own = derive(spec(CP1)), root("own")
    known = tree.files[f"{NODE}/ca-signing.crt"]
    for file, data, told in (
        (
            "ca-signing.crt",
            known + certificate_pem(own.certificate),
            f"{NODE}/ca-signing.crt holds 2 certificates; the controller manager accepts exactly one",
        ),
        ("ca.key", private_pem(own.key), f"{NODE}/ca.key is not the key of {NODE}/ca-signing.crt"),
    ):
        found = broken(proven(inventory, tree, tree.but(**{f"{NODE}/{file}": data})))
        assert found
        assert all(each.endswith(told) for each in found)


def test_a_client_of_another_ca_is_refused(tree: Photograph) -> None:
    ours = {f"{NODE}/ca.crt": certificate_pem(root("own").certificate)}
    found = broken(proven(derive(spec(CP1)), tree, tree.but(**ours)))
    refused = f"is signed by CN=kubernetes, which {NODE}/ca.crt does not contain (CN=own)"
    assert any(each.endswith(f"cp-1/controller-manager.conf {refused}") for each in found)


# -- what nobody knows here --------------------------------------------------------------------------


def test_what_flags_name_is_judged_where_it_is_there_and_told_of_where_it_is_not(tree: Photograph) -> None:
    cluster = spec(CP1, apiServer=args(("client-ca-file", f"{PKI}/mine.crt")))
    lacking = started(cluster, tree)
    without = proven(derive(cluster), lacking, lacking)
    assert [each.path for each in without.unjudged] == [f"{NODE}/mine.crt"]
    assert signed_rows(without) == 0
    assert "kubelet → kube-apiserver: client certificate" not in {row.edge for row in without.table}
    assert "kubelet → kube-apiserver: serving certificate" in {row.edge for row in without.table}
    mine = at(mine__crt=tree.files[f"{NODE}/ca.crt"])
    there = lacking.but(**mine)
    found = proven(derive(cluster), there, there)
    assert (found.unjudged, found.broken, signed_rows(found)) == ((), (), 1)
    assert "kubelet → kube-apiserver: client certificate" in {row.edge for row in found.table}
    # It is there after the step: before it, nothing was known.
    assert proven(derive(cluster), lacking, there).unjudged == ()


@pytest.mark.parametrize(
    ("flag", "value", "edge"),
    [
        *(
            (flag, "/srv/elsewhere", edge)
            for flag, edge in (
                ("tls-cert-file", "people → kube-apiserver: serving certificate"),
                ("kubelet-client-certificate", "kube-apiserver → kubelet: client certificate"),
                ("kubelet-certificate-authority", "kube-apiserver → kubelet: serving certificate"),
                ("client-ca-file", "people → kube-apiserver: client certificate"),
                ("etcd-cafile", "kube-apiserver → etcd: serving certificate"),
                ("etcd-certfile", "kube-apiserver → etcd: client certificate"),
            )
        ),
        ("kubelet-client-certificate", "", "kube-apiserver → kubelet: client certificate"),
        ("kubelet-certificate-authority", "", "kube-apiserver → kubelet: serving certificate"),
        ("client-ca-file", "", "people → kube-apiserver: client certificate"),
    ],
)
def test_an_edge_with_an_end_that_nobody_knows_is_left_out(
    tree: Photograph, flag: str, value: str, edge: str
) -> None:
    cluster = spec(CP1, apiServer=args((flag, value)), users=[{"name": "dev1"}])
    there = started(cluster, tree)
    found = proven(derive(cluster), there, there)
    rows = {row.edge for row in found.table}
    assert edge not in rows
    assert found.broken == ()
    other = edge.replace("serving", "client") if "serving" in edge else edge.replace("client", "serving")
    assert other in rows


def test_what_a_node_has_not_asked_for_is_shown_to_nobody(tree: Photograph) -> None:
    own = {**W1, "keys": "node"}
    lost = "nodes/worker-1/var/lib/kubelet/pki/kubelet."
    less = Photograph({path: data for path, data in tree.files.items() if not path.startswith(lost)})
    assert broken(proven(derive(spec(CP1, own)), less, less)) == []
    told = broken(proven(derive(spec(CP1, W1)), less, less))
    assert told
    assert all(f"{lost}crt is missing" in each for each in told)


def test_what_was_not_there_when_the_cluster_was_taken_over_is_on_no_edge(tree: Photograph) -> None:
    cluster = spec(CP1)
    lost = {f"{NODE}/apiserver-etcd-client.crt", f"{NODE}/apiserver-etcd-client.key"}
    bundle = f"{NODE}/front-proxy-ca.crt"
    less = Photograph({path: data for path, data in tree.files.items() if path not in {*lost, bundle}})
    assert proven(derive(cluster), less, less).broken
    record = Adopted(found=ABSENT, wanted="", modes="")
    adopted = {"cp-1/apiserver-etcd-client": record, bundle: record}
    found = proven(derive(cluster, adopted=adopted), less, less)
    assert found.broken == ()
    assert "kube-apiserver → etcd: client certificate" not in {row.edge for row in found.table}
    # What is there all the same is judged.
    again = proven(derive(cluster, adopted=adopted), tree, tree)
    rows = {row.edge for row in again.table}
    assert "kube-apiserver → etcd: client certificate" in rows
    assert "kube-apiserver → aggregated API servers, as published: client certificate" in rows


@pytest.mark.parametrize("lacking", ["10.96.0.1", "kubernetes.default.svc"])
def test_a_server_has_every_name_that_it_is_reached_by(tree: Photograph, lacking: str) -> None:
    inventory = derive(spec(CP1))
    ca = Issuer(
        certificate=x509.load_pem_x509_certificate(tree.files["pki/ca.crt"]),
        key=load_private(tree.files["pki/ca.key"]),
    )
    content = content_of(inventory.certificates["cp-1/apiserver"])
    names = [name for name in content.sans.texts() if name != lacking]
    assert len(names) == len(content.sans.texts()) - 1
    key = load_private(tree.files[f"{NODE}/apiserver.key"])
    less = replace(content, sans=SANs.of(*names))
    leaf = issue(less, key=key, issuer=ca, now=NOW, entropy=os.urandom).certificate
    told = broken(proven(inventory, tree, tree.but(**at(apiserver__crt=certificate_pem(leaf)))))
    assert {each.partition(" on ")[0] for each in told} == {"Pods, as published"}
    assert all(lacking in each for each in told)


def test_a_refusal_names_the_ca_that_is_missing_or_else_what_is_wrong(tree: Photograph) -> None:
    inventory = derive(spec(CP1))
    other = Photograph({**tree.files, **at(ca__crt=certificate_pem(root("other").certificate))})
    told = broken(proven(inventory, tree, other))
    assert any(
        each.endswith(f"is signed by CN=kubernetes, which {NODE}/ca.crt does not contain (CN=other)")
        for each in told
    )
    # The CA is there, under its name, and what is wrong is another thing.
    namesake = Photograph({**tree.files, **at(ca__crt=certificate_pem(root("kubernetes").certificate))})
    told = broken(proven(inventory, tree, namesake))
    assert told
    assert not any("does not contain (CN=kubernetes)" in each for each in told)
