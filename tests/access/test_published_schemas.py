"""Every object that commands for people and workloads print, before the published schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pkigen.spec.values import NEWEST_RELEASED, OLDEST_MINOR
from tests.access.made_requests import plain, request

if TYPE_CHECKING:
    from tests.access.team_cluster import TeamCluster


def documents(text: str) -> list[Any]:
    return [document for document in yaml.safe_load_all(text) if document]


# -- every object ------------------------------------------------------------------------------------------


def objects(place: TeamCluster) -> list[Any]:
    """Every object that pkigen writes for people and workloads."""
    found = [
        document
        for path in (place.tree / "addons").glob("*.yaml")
        for document in documents(path.read_text())
    ]
    place.run("access", "bootstrap-token", "-C", place.tree, "--out", place.folder / "join")
    (manifest,) = (place.folder / "join").glob("*.yaml")
    found += documents(manifest.read_text())
    found += documents(place.run("access", "iam", place.spec).out)
    path = place.write("client.csr", request(plain("ann")))
    return found + documents(place.run("access", "csr", "manifest", "--csr", path).out)


@pytest.mark.sweep
def test_the_published_schemas_accept_every_object(place: TeamCluster) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="no kubernetes-validate in this Python")
    found = objects(place)
    wrong = {**found[0], "metadata": {"name": "a", "namespaces": "b"}}
    for minor in range(OLDEST_MINOR, NEWEST_RELEASED + 1):
        for document in found:
            validate.validate(document, f"1.{minor}", strict=True)
        with pytest.raises(validate.ValidationError):
            validate.validate(wrong, f"1.{minor}", strict=True)
    assert {document["kind"] for document in found} >= {
        "CertificateSigningRequest",
        "ClusterRole",
        "ClusterRoleBinding",
        "ConfigMap",
        "Role",
        "RoleBinding",
        "Secret",
        "ServiceAccount",
    }
