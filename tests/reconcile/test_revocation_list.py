"""What changes of the list of revoked credentials, what would be let in again, and who reads it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pkigen import layout
from pkigen.desired.inventory import Inventory, derive
from pkigen.desired.items import DesiredFile, FileKind
from pkigen.desired.revocations import (
    MOST,
    CredentialId,
    Revocation,
    RevocationChange,
    RevocationList,
    marker,
)
from pkigen.errors import AccessError
from pkigen.reconcile.plan import Keep, Plan, Rewrite
from pkigen.reconcile.revocation_list import (
    let_in,
    list_change,
    listed,
    require_bearable,
    require_enforced,
    with_change,
)
from pkigen.spec.model import ClusterSpec
from pkigen.state.reasons import Reason
from tests.rotation.phases import Photograph
from tests.samples import CP1, CP2, W1, World, spec

if TYPE_CHECKING:
    from pkigen.reconcile.checks import Finding

NOW = datetime(2026, 11, 28, tzinfo=UTC)
FILES = {layout.AUTHORIZATION_CONFIGURATION, layout.AUTHORIZATION_WEBHOOK}
PATH = "nodes/cp-1/etc/kubernetes/pki/authorization-config.yaml"
MANIFEST = "nodes/cp-1/etc/kubernetes/manifests/kube-apiserver.yaml"
FLAG = "authorization-config"


def revocation(name: str) -> Revocation:
    return Revocation(
        credential=CredentialId.parse(name if "=" in name else f"JTI={name}"),
        of=f"user:{name}",
        reason="stolen",
        revoked=NOW,
        expires=NOW + timedelta(days=1),
    )


A, B, C, D, E = map(revocation, "abcde")
NODE = revocation("USER=system:node:worker-1")
DIGITS = revocation(f"X509SHA256={'ab' * 32}")


def text_of(*revocations: Revocation) -> bytes:
    """The ids as the file has them, each as a string in an expression, with the marker of their list."""
    ids = [str(each.credential).removeprefix("USER=") for each in revocations]
    ids += [str(marker(revocations))] if revocations else []
    return ", ".join(f"'{each}'" for each in ids).encode()


def change(
    before: bytes | None, active: tuple[Revocation, ...] = (), over: tuple[Revocation, ...] = ()
) -> Finding | None:
    tree = Photograph({} if before is None else {PATH: before})
    return list_change(tree, PATH, RevocationList(active=active, over=over))


def told(finding: Finding | None) -> tuple[Reason, str] | None:
    return None if finding is None else (finding.reason, finding.detail)


def test_the_ids_of_a_file_are_found_and_nothing_else() -> None:
    ids = listed(text_of(A, NODE, DIGITS) + b" 'system:nodes' 'XJTI' id in request.extra 'JTI='")
    assert ids == {str(each.credential) for each in (A, NODE, DIGITS)} | {str(marker((A, NODE, DIGITS)))}
    assert listed(b"") == set()
    assert listed(b"'JTI=\xff'") == {"JTI=\ufffd"}


def test_what_comes_to_the_list_and_what_is_lifted_is_told() -> None:
    assert told(change(None, (A,))) == (Reason.REVOKED, "refuses JTI=a of user:a")
    assert told(change(text_of(A), (A,))) is None
    assert told(change(text_of(A), (A, B))) == (Reason.REVOKED, "refuses JTI=b of user:b")
    assert told(change(text_of(A, B), (A,))) == (Reason.REVOKED, "1 fewer")
    assert told(change(text_of(A, B, C), ())) == (Reason.REVOKED, "3 fewer")
    assert told(change(text_of(A, B), (C,))) == (Reason.REVOKED, "refuses JTI=c of user:c; 2 fewer")
    assert told(change(None)) is None


def test_three_are_named_and_the_rest_is_counted() -> None:
    three = "JTI=a of user:a, JTI=b of user:b, JTI=c of user:c"
    assert told(change(None, (A, B, C))) == (Reason.REVOKED, f"refuses {three}")
    assert told(change(None, (E, D, C, B, A))) == (Reason.REVOKED, f"refuses {three} and 2 more")


def test_what_has_expired_comes_off_and_is_no_lifting() -> None:
    detail = "what has expired comes off the list: JTI=a of user:a"
    assert told(change(text_of(A, B), (B,), (A,))) == (Reason.REVOCATION_OVER, detail)
    assert told(change(text_of(B), (B,), (A,))) is None
    assert told(change(text_of(A), (B,), (A,))) == (Reason.REVOKED, "refuses JTI=b of user:b")


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        (text_of(A), b"", "1 revoked credential"),
        (text_of(A, B, C), text_of(B), "2 revoked credentials"),
        (text_of(A), text_of(A, B), None),
        (b"", text_of(A), None),
        (b"", b"", None),
        (text_of(A), text_of(A), None),
    ],
)
def test_what_would_be_let_in_again(before: bytes, after: bytes, what: str | None) -> None:
    risk = None if what is None else f"it lets {what} pass again, by {PATH}"
    assert let_in(PATH, before, after) == risk
    assert let_in(PATH.replace("authorization-config", "authentication-config"), before, after) is None


def test_a_revocation_brings_nothing_else_along() -> None:
    inventory = derive(spec(CP1))
    lists = [
        item
        for item in inventory.items
        if isinstance(item, DesiredFile)
        and item.kind in {FileKind.AUTHORIZATION_CONFIGURATION, FileKind.AUTHORIZATION_WEBHOOK}
    ]
    assert {path.rpartition("/")[2] for item in lists for path in item.paths} == FILES
    other = next(item for item in inventory.items if isinstance(item, DesiredFile) and item not in lists)
    own = tuple(
        Rewrite(id=item.id, paths=item.paths, node=item.node, reason=Reason.REVOKED) for item in lists
    )
    due = Rewrite(id=other.id, paths=other.paths, node="cp-1", reason=Reason.MODE)
    quiet = Keep(id="cp-1/apiserver", paths=(), node="cp-1", reason=None)
    wanted = RevocationChange(revoked=(A,))
    plan, others = with_change(Plan(actions=(due, *own, quiet)), wanted, inventory)
    assert plan.actions == own
    assert plan.revocation == wanted
    assert others == {due.id}


def test_a_list_is_as_long_as_was_measured() -> None:
    inventory = derive(spec(CP1))
    require_bearable(replace(inventory, revocations=RevocationList(active=(A,) * MOST)))
    longer = replace(inventory, revocations=RevocationList(active=(A,) * (MOST + 1)))
    with pytest.raises(AccessError, match=f"{MOST + 1} credentials .* bears {MOST}") as caught:
        require_bearable(longer)
    assert "rotate ca kubernetes" in (caught.value.hint or "")


# -- who reads the file -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Photograph, Inventory]:
    cluster = spec(CP1, CP2, W1, controlPlaneEndpoint="api.example.com:6443")
    world = World(root=tmp_path_factory.mktemp("revocations") / "prod", cluster=cluster)
    world.apply()
    return Photograph.of(world.root), world.inventory


def refusal(inventory: Inventory, tree: Photograph) -> tuple[str, str]:
    """Why, and what to do."""
    with pytest.raises(AccessError) as caught:
        require_enforced(inventory, tree)
    return str(caught.value), caught.value.hint or ""


def test_every_api_server_has_to_run_with_the_flag(made: tuple[Photograph, Inventory]) -> None:
    tree, inventory = made
    require_enforced(inventory, tree)
    for node in ("cp-1", "cp-2"):
        manifest = MANIFEST.replace("cp-1", node)
        text = tree.files[manifest].decode()
        lines = text.splitlines(keepends=True)
        without = "".join(line for line in lines if f"--{FLAG}=" not in line)
        elsewhere = text.replace(f"--{FLAG}=/etc/kubernetes/pki/", f"--{FLAG}=/etc/kubernetes/pki/other-")
        assert without != text != elsewhere
        for changed in (without, elsewhere):
            sentence, hint = refusal(inventory, Photograph({**tree.files, manifest: changed.encode()}))
            assert hint.startswith("`pkigen apply` first")
            assert f"the API server on {node} does not run with --{FLAG}=/etc/kubernetes/pki/" in sentence


def flags(*pairs: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {"apiServer": {"extraArgs": [{"name": name, "value": value} for name, value in pairs], **more}}


OWN = (FLAG, "/etc/kubernetes/pki/authorization-config.yaml")


@pytest.mark.parametrize(
    ("settings", "sentence", "way"),
    [
        (
            {"kubernetesVersion": "v1.31.4"},
            "Kubernetes v1.31.4 cannot refuse a single credential",
            "rotate ca kubernetes",
        ),
        (
            flags(("v", "2"), structuredAuthorization=False),
            "(spec.apiServer.structuredAuthorization)",
            "set spec.apiServer.structuredAuthorization: true",
        ),
        (
            flags(("v", "2"), ("authorization-mode", "Node,RBAC")),
            "authorize by flags (--authorization-mode in spec.apiServer.extraArgs)",
            "take the flags of authorization out",
        ),
        (
            flags((FLAG, "/etc/kubernetes/own.yaml")),
            f"authorize by /etc/kubernetes/own.yaml (--{FLAG} in spec.apiServer.extraArgs)",
            "take the flag out",
        ),
        (
            {**flags(OWN), "manage": []},
            f"authorize by flags (--{FLAG} in spec.apiServer.extraArgs)",
            "take the flags of authorization out",
        ),
    ],
)
def test_who_reads_no_file_of_pkigens_refuses_nothing(
    settings: dict[str, Any], sentence: str, way: str
) -> None:
    told, hint = refusal(derive(spec(CP1, **settings)), Photograph({}))
    assert sentence in told
    assert way in hint


def test_the_api_servers_of_another_distribution_read_another_file() -> None:
    foreign = {"kubernetesVersion": "v1.36.2", "controlPlaneEndpoint": "api.example:6443", "nodes": []}
    cluster = ClusterSpec.model_validate({"metadata": {"name": "x"}, "spec": foreign})
    told, hint = refusal(derive(cluster), Photograph({}))
    assert "another distribution's" in told
    assert "rotate the CA" in hint
