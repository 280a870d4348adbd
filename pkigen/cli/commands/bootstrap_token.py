"""`pkigen access bootstrap-token`: what a node joins with."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.access_input import ServerOption
from pkigen.cli.console import note, say_line
from pkigen.cli.options import DirectoryOption, OwnSpecArgument
from pkigen.cli.values import duration
from pkigen.notation import format_duration, quoted, timestamp

app = typer.Typer(add_completion=False)


_LONG = timedelta(days=30)
"""From when on a token's life is warned of: it is a shared secret, and ends only by its own date."""


@app.command("bootstrap-token")
def bootstrap_token(
    context: typer.Context,
    spec: OwnSpecArgument = None,
    *,
    directory: DirectoryOption = None,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="The directory for the two files (mode 0600)."),
    ] = Path(),
    validity: Annotated[str, typer.Option("--validity", metavar="DURATION", help="How long.")] = "24h",
    group: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="NAME", help="Its groups; may be repeated.  [default: kubeadm's]"),
    ] = None,
    description: Annotated[str, typer.Option("--description", help="A description.")] = "made by pkigen",
    server: ServerOption = None,
) -> None:
    """Make a bootstrap token, and everything that a node needs to join with it.

    That is the Secret that makes the API server accept it, with the bindings that let its user become a node
    and the ConfigMap cluster-info that it discovers the cluster by, and bootstrap-kubelet.conf for the node.
    The token itself is in these two files only.
    """
    from pkigen.access import bootstrap
    from pkigen.access.kubeconfigs import Access, assemble
    from pkigen.cli.access_sources import trust_bundle
    from pkigen.cli.outputs import make_directory, require_writable, write_secret
    from pkigen.cli.session import open_cluster
    from pkigen.desired.generations import CA
    from pkigen.state.issuance_record import record
    from pkigen.state.ledger import Event, LedgerEntry
    from pkigen.state.materials import discovery_hash

    lifetime = duration(validity, "--validity")
    if lifetime > _LONG:
        note(
            f"warning: whoever reads this token within {format_duration(lifetime)} can join a node: make one "
            "when nodes join, with a short --validity (kubeadm's are valid for 24h)"
        )
    groups = tuple(group) if group else (bootstrap.DEFAULT_GROUP,)
    session = open_cluster(context, spec, directory)
    made = bootstrap.generate(session.system.entropy)
    expires = session.now + lifetime
    secret = bootstrap.secret_manifest(made, expires=expires, groups=groups, description=description)
    make_directory(out)
    manifest, kubeconfig = out / f"bootstrap-token-{made.id}.yaml", out / "bootstrap-kubelet.conf"
    # Before the ledger has the token: otherwise one might be on record that nobody has.
    require_writable(manifest, kubeconfig)
    with session.writing("access bootstrap-token") as store:
        session = session.at(store)
        bundle = trust_bundle(session, store)
        anchors = session.anchors(store, CA.KUBERNETES)
        # Of the token only its id, which is public: with the secret half whoever reads the ledger could join
        # a node.
        facts: dict[str, str | int | list[str]] = {"groups": list(groups), "notAfter": timestamp(expires)}
        entry = LedgerEntry(event=Event.SIGNED, id=f"bootstrap-token:{made.id}", reason=None, facts=facts)
        record(store, entry, now=session.now, keep_backups=session.inventory.cluster.spec.backups.keep)
    cluster = session.inventory.cluster
    place = Access(
        cluster=bootstrap.CLUSTER,
        server=server or cluster.cluster_server,
        trust_bundle=bundle,
        user=bootstrap.USER,
    )
    discovery = bootstrap.discovery_manifest(bundle, place.server)
    write_secret(manifest, secret + bootstrap.bindings_manifest(groups) + discovery)
    write_secret(kubeconfig, assemble(place, {"token": made.text}))
    say_line(f"token id: {made.id}, until {expires:%Y-%m-%d %H:%M} UTC, in {', '.join(groups)}")
    # One for each CA that is trusted while they rotate: kubeadm is content with any pin that matches
    # (cmd/kubeadm/app/util/pubkeypin `CheckAny`).
    for anchor in anchors:
        say_line(f"discovery hash: {discovery_hash(anchor)}")
    note(f"next: kubectl apply -f {quoted(manifest)}")
    note(f"      copy {kubeconfig} to /etc/kubernetes/bootstrap-kubelet.conf of the node")
    note("      the token cleaner of the controller manager deletes the Secret when it expires")
