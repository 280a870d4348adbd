"""`airgap node`: what is done on a node before anything is carried to it, and what comes of its requests."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer

from pkigen.airgap.carrier.media import require_place, write_file
from pkigen.airgap.carrier.paths import IDENTITY, PENDING
from pkigen.airgap.enrolment.identity import identity_of, stage_identity
from pkigen.airgap.enrolment.request import Asked, EnrolmentOptions, ask, wanted
from pkigen.cli.commands.node_approve import approve
from pkigen.cli.console import note, say, say_line, width
from pkigen.cli.document import document
from pkigen.cli.host import IdentityOption, NodeOption, RootOption, changing, looking
from pkigen.cli.options import Format, FormatOption, SpecArgument
from pkigen.cli.passphrases import read_identity
from pkigen.cli.reports import outcomes
from pkigen.cli.reports.node_listing import listed
from pkigen.cli.spec_input import read_spec
from pkigen.cli.system import System, system_of
from pkigen.crypto.age import Identity
from pkigen.desired.inventory import Inventory, derive
from pkigen.errors import PkigenError, UsageError
from pkigen.notation import timestamp

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
    system = system_of(context)
    with document(output) as content:
        recipient = (_shown(system, root) if show else _made(system, root)).recipient.text
        say(recipient)
        content.update(outcomes.node_identity(recipient))


def _shown(system: System, root: Path) -> Identity:
    with looking(system, root) as store:
        found = identity_of(store)
    if found is None:
        raise UsageError(f"{root / IDENTITY} does not exist", hint="`pkigen airgap node identity` makes it")
    return found


def _made(system: System, root: Path) -> Identity:
    with changing(system, root, "node identity") as store:
        if store.recovered is not None:
            note(f"note: {store.recovered}")
        if identity_of(store) is not None:
            raise PkigenError(
                f"{root / IDENTITY} exists: a new key could not open what was sealed to it",
                hint="show its recipient with --show; to make a new key, move it away",
            )
        with store.transaction() as transaction:
            made = stage_identity(transaction)
            transaction.commit()
    note("next: put this line into the node's ageRecipient in the authority's spec")
    return made


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
    system = system_of(context)
    loaded = read_spec(spec)
    inventory = derive(loaded.spec)
    name = node or socket.gethostname().lower()
    wanted(inventory, name)
    require_place(out)
    wish = EnrolmentOptions(
        node=name,
        reuse_keys=reuse_keys,
        anew=anew,
        recipient=read_identity(identity).recipient if identity is not None else None,
    )
    now = system.clock()
    with changing(system, root, "node request") as store:
        if store.recovered is not None:
            note(f"note: {store.recovered}")
        asked = ask(inventory, wish, store, now=now, entropy=system.entropy)
    file = out / f"{inventory.cluster.file_name}.{name}.request"
    write_file(file, asked.file, mode=_PUBLIC)
    with document(output) as content:
        _say_request(asked, inventory, name, file=file, root=root)
        content.update(outcomes.node_request(asked, name, file))


def _say_request(asked: Asked, inventory: Inventory, name: str, *, file: Path, root: Path) -> None:
    requested = (inventory.certificates[identifier] for identifier, _ in asked.requests.requests)
    say(listed(requested, width=width()))
    if not asked.is_new:
        note(f"note: this is the pending request of {timestamp(asked.requests.created)}")
    say_line(f"{file}: {len(asked.requests.requests)} requests; the private keys stay in {root / PENDING}")
    say_line(f"signed by {name}'s request key {asked.signer}")
    note(
        "next: carry the file to the authority; give it the fingerprint by another channel "
        "(telephone, paper);"
    )
    note(f"      there: `pkigen airgap node approve {file.name} --pin {asked.signer} --out MEDIUM`")


app.command("approve")(approve)
