"""`airgap node`: what is done on a node before anything is carried to it, and what comes of its requests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.commands.node_approve import approve
from pkigen.cli.console import note, say
from pkigen.cli.document import document
from pkigen.cli.host import IdentityOption, NodeOption, RootOption, changing
from pkigen.cli.options import Format, FormatOption, SpecArgument
from pkigen.cli.system import system_of

app = typer.Typer(add_completion=False, no_args_is_help=True)


_PUBLIC = 0o644


@app.callback()
def node() -> None:
    """Prepare a node: the key that its bundles are sealed to, and private keys that never leave it."""


# -- on the node ----------------------------------------------------------------------------------------


@app.command("identity")
def identity(
    context: typer.Context,
    *,
    root: RootOption = Path("/"),
    show: Annotated[
        bool, typer.Option("--show", help="Only show the recipient of the existing key.")
    ] = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """Make this node's age key, and print its public half for the spec's ageRecipient.

    The private half stays in ROOT/var/lib/pkigen/identity.age and is never shown.
    """
    from pkigen.cli.reports import outcomes
    from pkigen.cli.work.node import made_identity, shown_identity

    system = system_of(context)
    with document(output) as content:
        recipient = (shown_identity(system, root) if show else made_identity(system, root)).recipient.text
        say(recipient)
        content.update(outcomes.node_identity(recipient))


@app.command("request")
def request(
    context: typer.Context,
    spec: SpecArgument,
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="DIR", help="The medium to write the request to; no key is written there."
        ),
    ],
    *,
    root: RootOption = Path("/"),
    node: NodeOption = None,
    identity: IdentityOption = None,
    reuse_keys: Annotated[
        bool,
        typer.Option(
            "--reuse-keys", help="Request certificates for the installed keys instead of making new ones."
        ),
    ] = False,
    anew: Annotated[
        bool,
        typer.Option("--anew", help="Discard the pending request, and make a new one."),
    ] = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """Make the keys that this node needs, and one signed file that requests their certificates.

    The keys stay here, in ROOT/var/lib/pkigen/pending.json, until the answer is installed; what is in use is
    not touched. Run again before that, it writes the same file again. SPEC is a copy of the cluster's: the
    authority reviews every request by its own.
    """
    import socket

    from pkigen.airgap.carrier.media import require_place, write_file
    from pkigen.airgap.enrolment.request import EnrolmentOptions, ask, wanted
    from pkigen.cli.passphrases import read_identity
    from pkigen.cli.reports import outcomes
    from pkigen.cli.spec_input import read_spec
    from pkigen.cli.work.node import say_request
    from pkigen.desired.inventory import derive

    system = system_of(context)
    loaded = read_spec(spec)
    inventory = derive(loaded.spec)
    # In lower case, as the kubelet registers it (component-helpers node/util `GetHostname`).
    name = node or socket.gethostname().lower()
    # Refused here, before the medium is looked at: a name that the spec does not have.
    wanted(inventory, name)
    require_place(out)
    wish = EnrolmentOptions(
        node=name,
        reuse_keys=reuse_keys,
        anew=anew,
        recipient=read_identity(identity).recipient if identity is not None else None,
    )
    now = system.clock()
    with changing(system, root, "airgap node request") as store:
        if store.recovered is not None:
            note(f"note: {store.recovered}")
        # The request is recorded on the node first: a medium that is pulled out early costs only a second
        # run.
        asked = ask(inventory, wish, store, now=now, entropy=system.entropy)
    file = out / f"{inventory.cluster.file_name}.{name}.request"
    write_file(file, asked.file, mode=_PUBLIC)
    with document(output) as content:
        say_request(asked, inventory, name, file=file, root=root)
        content.update(outcomes.node_request(asked, name, file))


app.command("approve")(approve)
