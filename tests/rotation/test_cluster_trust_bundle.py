"""`addons/cluster-trust-bundle.yaml`: both CAs while they overlap, from the version on that serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from pkigen.desired.rendering.quoting import Rendered, yaml_pem
from tests.rotation.phases import PKI, SMALL, Workshop, spec_text

if TYPE_CHECKING:
    from pathlib import Path

ADDON = "addons/cluster-trust-bundle.yaml"


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    spec = {"kubernetesVersion": "v1.37.0", "nodes": [*SMALL["nodes"][:1], SMALL["nodes"][2]]}
    return Workshop(place=tmp_path).made(spec_text(spec))


def test_it_holds_what_nodes_trust_in_every_phase(workshop: Workshop) -> None:
    for step, count in ((None, 1), ("prepare", 2), ("promote", 2), ("rollback", 2), ("rollback", 1)):
        if step is not None:
            workshop.step("ca kubernetes", step)
        found = yaml.safe_load((workshop.tree / ADDON).read_text())
        assert (found["apiVersion"], found["kind"]) == ("certificates.k8s.io/v1", "ClusterTrustBundle")
        assert found["metadata"] == {"name": "pkigen-kubernetes-ca"}
        assert found["spec"] == {"trustBundle": (workshop.tree / f"nodes/cp-1/{PKI}/ca.crt").read_text()}, (
            "without a signer"
        )
        assert found["spec"]["trustBundle"].count("BEGIN CERTIFICATE") == count
        verified = workshop.run("verify", "-C", workshop.tree)
        assert verified.code == 0, verified


def test_other_cas_do_not_change_it(workshop: Workshop) -> None:
    before = (workshop.tree / ADDON).read_bytes()
    workshop.step("ca etcd front-proxy", "prepare")
    assert (workshop.tree / ADDON).read_bytes() == before


def test_a_renewed_ca_is_published(workshop: Workshop) -> None:
    before = (workshop.tree / ADDON).read_bytes()
    renewed = workshop.run("renew", "ca", "-C", workshop.tree, "--yes")
    assert renewed.code == 0, renewed
    assert (workshop.tree / ADDON).read_bytes() != before
    assert workshop.run("plan", "-C", workshop.tree, "--exit-code").code == 0


def test_the_runbook_applies_it(workshop: Workshop, tmp_path: Path) -> None:
    workshop.step("ca kubernetes", "prepare", f"--runbook {tmp_path / 'book'}")
    for name in ("rotation.txt", "cluster.sh"):
        assert f" apply -f {workshop.tree}/{ADDON}\n" in (tmp_path / "book" / name).read_text()


def test_older_versions_have_none(tmp_path: Path) -> None:
    workshop = Workshop(place=tmp_path).made(spec_text({**SMALL, "kubernetesVersion": "v1.36.2"}))
    assert not (workshop.tree / ADDON).exists()


def test_the_version_on_brings_it(tmp_path: Path) -> None:
    """Another version of Kubernetes: the next `apply` makes the object, and nothing else of the kind."""
    workshop = Workshop(place=tmp_path).made(spec_text({**SMALL, "kubernetesVersion": "v1.36.2"}))
    workshop.spec.write_text(spec_text({**SMALL, "kubernetesVersion": "v1.37.0"}))
    assert workshop.run("apply", workshop.spec, "-C", workshop.tree, "--yes").code == 0
    assert (workshop.tree / ADDON).exists()


@pytest.mark.parametrize("text", ["a: b", "-----BEGIN X-----\nA\n- b", "...", "A B", "#", "A\u2028:", "---"])
def test_only_pem_becomes_a_block(text: str) -> None:
    with pytest.raises(ValueError, match="a value is not PEM"):
        yaml_pem(text)


def test_no_pem_is_an_empty_string() -> None:
    assert yaml_pem("") == Rendered('""')
