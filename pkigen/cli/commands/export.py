"""`pkigen export`: the authority as another distribution of Kubernetes takes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.console import note
from pkigen.cli.export_input import ExportOptions, exporting
from pkigen.cli.options import DirectoryOption, OwnSpecArgument
from pkigen.cli.unlock import Unlocking, unlocked
from pkigen.cli.values import namespace as object_namespace
from pkigen.cli.values import object_name
from pkigen.distributions.names import Distribution
from pkigen.notation import quoted

app = typer.Typer(add_completion=False)


@app.command()
@exporting
@unlocked
def export(
    context: typer.Context,
    spec: OwnSpecArgument = None,
    *,
    directory: DirectoryOption = None,
    distribution: Annotated[Distribution, typer.Option("--as", help="Who takes it up.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The directory for the files.  [default: ./NAME-AS]"),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="The Cluster object's name.  [default: the cluster's]"),
    ] = None,
    namespace: Annotated[
        str, typer.Option("--namespace", metavar="NAMESPACE", help="The Cluster object's namespace.")
    ] = "default",
    options: ExportOptions,
    unlocking: Unlocking,
) -> None:
    """Write the CAs as another distribution of Kubernetes takes them.

    The service account key is with them. That distribution then makes its cluster below this authority,
    instead of one of its own. The files hold the private keys, unencrypted, readable only by you: whoever
    has them is the cluster.
    """
    from pkigen.cli.distribution_sources import read_source
    from pkigen.cli.external_etcd import external_etcd
    from pkigen.cli.outputs import require_outside
    from pkigen.cli.session import open_cluster
    from pkigen.cli.work.export import write_exported
    from pkigen.crypto.age import Recipient
    from pkigen.distributions.authority_files import read_authority
    from pkigen.distributions.exported import ExportMeans
    from pkigen.distributions.formats import ROWS, files_for
    from pkigen.distributions.sealing import sealed

    recipients = tuple(map(Recipient, options.recipients))
    session = open_cluster(context, spec, directory).with_keys(unlocking)
    called = str(object_name(name or session.inventory.cluster.file_name))
    place = str(object_namespace(namespace))
    row = ROWS[distribution]
    target = out or Path(f"{called}-{distribution}")
    # The files are unencrypted keys: below the PKI directory, `verify` would report them, and Git might take
    # them.
    require_outside(session.root, target)
    with session.reading() as store:
        session = session.at(store)
        authority = read_authority(
            session.opened(store),
            session.inventory,
            name=called,
            namespace=place,
            now=session.now,
            # While something rotates, only a form with room for both generations takes it: half of it would
            # cut off whoever has the other half.
            overlaps=row.overlaps,
        )
    authority = replace(authority, external_etcd=external_etcd(options.etcd, now=session.now))
    means = ExportMeans(
        now=session.now,
        entropy=session.system.entropy,
        base=None if options.base is None else read_source([str(options.base)]),
    )
    files = files_for(distribution, authority, means)
    if recipients:
        files = tuple(
            sealed(each, recipients, now=session.now, entropy=session.system.entropy) for each in files
        )
    write_exported(files, target)
    if recipients:
        note("open what is sealed where it is used: `sops decrypt FILE`, `age --decrypt FILE`")
    note("next: " + row.next_step.format(out=quoted(target), name=called))
