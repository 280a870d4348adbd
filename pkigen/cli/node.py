"""`pkigen node`: what is done on a node before anything is carried to it, and what comes of its requests."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pkigen.applying import Applied, Approved, apply_plan
from pkigen.bundles.approving import Petition, admit, differing, judge_petition
from pkigen.bundles.asking import Wish, ask, wanted
from pkigen.bundles.cluster_key import bundle_key
from pkigen.bundles.envelope import LARGEST_BUNDLE
from pkigen.bundles.gathering import pack
from pkigen.bundles.media import read_file, write_file
from pkigen.bundles.paths import IDENTITY, PENDING
from pkigen.bundles.reading import write_bundle
from pkigen.bundles.signing import fingerprint, parse_pin
from pkigen.cli.bundle import IdentityOption, NodeOption, RootOption
from pkigen.cli.console import agreed, note, say
from pkigen.cli.options import SpecArgument, TemplatesOption, YesOption
from pkigen.cli.passphrases import read_identity
from pkigen.cli.progress import progress
from pkigen.cli.rescue_kit import require_settled
from pkigen.cli.session import Session, open_spec, owned_paths
from pkigen.cli.spec_input import read_spec
from pkigen.cli.system import system_of
from pkigen.cli.unlocking import AuthorityFdOption, AuthorityFileOption, AuthorityIdentityOption
from pkigen.errors import BundleError, PkigenError
from pkigen.inventory import derive
from pkigen.ledger import approvals, read_ledger, timestamp
from pkigen.lockfile import read_lock
from pkigen.planning import make_plan
from pkigen.reporting.tables import table
from pkigen.sealing import Identity, Recipient
from pkigen.store import Store
from pkigen.store.paths import NODE_PRIVATE
from pkigen.surveying import Selection
from pkigen.vault import Opened

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pkigen.actions import Plan
    from pkigen.inventory import DesiredCertificate
    from pkigen.observing import Reader
    from pkigen.requesting import Judged

app = typer.Typer(add_completion=False, no_args_is_help=True)

_PUBLIC = 0o644


@app.callback()
def node() -> None:
    """Prepare a node: the key that its bundles are sealed to, and keys that are born there and stay."""


# -- on the node ----------------------------------------------------------------------------------------


@app.command("identity")
def identity(
    *,
    root: RootOption = Path("/"),
    show: Annotated[
        bool, typer.Option("--show", help="Only show the recipient of the key that is there.")
    ] = False,
) -> None:
    """Make this node's age key, and print its public half for the spec's ageRecipient.

    The private half stays in ROOT/var/lib/pkigen/identity.age and is never shown.
    """
    path = root / IDENTITY
    if not show:
        if path.exists():
            raise PkigenError(
                f"{path} exists: a new key could not open what was sealed to it",
                hint="show its recipient with --show; move it away to have a new one made",
            )
        write_file(path, f"{Identity.generate().text}\n".encode())
        note("next: carry this line to the authority, into the node's ageRecipient in the spec")
    say(read_identity(path).recipient.text)


@app.command("request")
def request(
    context: typer.Context,
    spec: SpecArgument,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The medium: the request goes there, and no key.")
    ],
    *,
    root: RootOption = Path("/"),
    node: NodeOption = None,
    identity: IdentityOption = None,
    reuse_keys: Annotated[
        bool,
        typer.Option("--reuse-keys", help="Ask for the keys that are installed instead of making new ones."),
    ] = False,
    anew: Annotated[
        bool,
        typer.Option("--anew", help="Give up the request that waits for its answer, and make another."),
    ] = False,
) -> None:
    """Make keys for all that this node needs, and one signed file that asks for their certificates.

    The keys stay here, in ROOT/var/lib/pkigen/pending.json, until the answer is installed; what is in use is
    not touched. Run again before that, it writes the same file again. SPEC is a copy of the cluster's: the
    authority judges every request by its own.
    """
    system = system_of(context)
    loaded = read_spec(spec)
    inventory = derive(loaded.spec)
    name = node or socket.gethostname().lower()
    wanted(inventory, name)
    wish = Wish(
        node=name,
        reuse_keys=reuse_keys,
        anew=anew,
        recipient=read_identity(identity).recipient if identity is not None else None,
    )
    now = system.clock()
    with Store.open(
        root, command="node request", now=now, filesystem=system.filesystem, private=NODE_PRIVATE
    ) as store:
        if store.recovered is not None:
            note(f"note: {store.recovered}")
        asked = ask(inventory, wish, store, now=now, entropy=system.entropy)
    file = out / f"{inventory.cluster.name}.{name}.request"
    write_file(file, asked.file, mode=_PUBLIC)
    say(_listed(inventory.certificates[identifier] for identifier, _ in asked.requests.requests))
    if not asked.is_new:
        note(f"note: this is the request of {timestamp(asked.requests.created)}, which waits for its answer")
    say(f"{file}: {len(asked.requests.requests)} requests; the private keys stay in {root / PENDING}")
    say(f"signed by {name}'s request key {asked.signer}")
    note("next: carry the file to the authority; say the fingerprint by another way: by telephone, on paper;")
    note(f"      there: `pkigen node approve SPEC {file.name} --pin {asked.signer} --out MEDIUM`")


# -- at the authority -----------------------------------------------------------------------------------


@app.command("approve")
def approve(
    context: typer.Context,
    spec: SpecArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The node's request.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The medium: the node's bundle goes there.")
    ],
    *,
    pki: Annotated[
        Path | None,
        typer.Option("--pki", metavar="DIR", help="The PKI directory.  [default: ./<cluster name>]"),
    ] = None,
    pin: Annotated[
        str | None,
        typer.Option(
            "--pin",
            metavar="FINGERPRINT",
            help="The node's request key, as `node request` printed it.  [default: the one approved last]",
        ),
    ] = None,
    yes: YesOption = False,
    passphrase_file: AuthorityFileOption = None,
    passphrase_fd: AuthorityFdOption = None,
    identity: AuthorityIdentityOption = None,
    templates: TemplatesOption = None,
) -> None:
    """Judge a node's request against the spec, show all that it would issue, ask, issue, and pack the answer.

    The answer is a bundle without the node's private keys, sealed to the node. Approving the same request
    again issues nothing: the answer is packed again.
    """
    session = open_spec(system_of(context), spec, out=pki, templates=templates)
    session = session.with_keys(passphrase_file, passphrase_fd, identity)
    data = read_file(file, limit=LARGEST_BUNDLE)
    trusted = parse_pin(pin) if pin is not None else None
    with session.writing("node approve") as store:
        session = session.at(store)
        known = approvals(read_ledger(store))
        petition = admit(data, session.inventory, known, pin=trusted, now=session.now)
        judged = judge_petition(petition, session.inventory, store, read_lock(store))
        _require_flawless(judged, petition)
        if petition.approved_before:
            _require_same(judged, petition, session, store)
            note("note: this request was approved before: nothing is issued, the answer is packed again")
            plan = None
        else:
            plan = _agreed(session, store, spec, petition, yes=yes)
        vault = session.unlocking.vault(store)
        if plan is not None:
            delivery = Approved(keys=judged.keys, entry=petition.approval.entry())
            applied = apply_plan(plan, session.inventory, store, session.tools(vault), delivery=delivery)
            _say_kept_back(applied)
        require_settled(session, store, spec)
        _answer(session, Opened(store, vault), petition, out)


def _require_flawless(judged: Judged, petition: Petition) -> None:
    for deviation in judged.deviations:
        note(str(deviation))
    if judged.deviations:
        count = len(judged.deviations)
        raise BundleError(
            f"the request of {petition.node} is not what the spec asks for, in {count} "
            f"{'place' if count == 1 else 'places'}",
            hint="nothing was issued; carry the present spec to the node, and there: "
            "`pkigen node request --anew`",
        )


def _require_same(judged: Judged, petition: Petition, session: Session, store: Store) -> None:
    others = differing(judged, session.inventory.certificates, store)
    if others:
        raise BundleError(
            f"this request was approved before, and {', '.join(others)} is not for its key any more",
            hint=f"nothing was issued; `pkigen node request` on {petition.node} makes a new request",
        )


def _agreed(session: Session, store: Store, spec: Path, petition: Petition, *, yes: bool) -> Plan:
    """What is to be issued, once somebody has seen all of it and said yes."""
    items = wanted(session.inventory, petition.node)
    plan = make_plan(
        session.inventory,
        store,
        session.renderer,
        now=session.now,
        owned=owned_paths(read_lock(store)),
        selection=Selection(requested=frozenset(items)),
    )
    _require_nothing_else(plan, items, session, spec)
    say(_listed(items.values(), plan))
    if petition.former_signer is not None:
        note(f"note: {petition.node} signed its last request with another key: {petition.former_signer}")
    when = timestamp(petition.requests.created)
    say(f"asked for by {petition.node} at {when}, signed by {petition.signer}")
    if not yes and not agreed(f"issue these {len(items)} certificates?"):
        raise PkigenError("not approved", hint="nothing was issued")
    return plan


def _require_nothing_else(
    plan: Plan, items: dict[str, DesiredCertificate], session: Session, spec: Path
) -> None:
    others = [action for action in plan.changes if action.id not in items]
    if others:
        first = others[0]
        raise BundleError(
            f"{session.root} is not what the spec asks for: {len(others)} other changes are pending, "
            f"the first being {first.verb} {first.id}",
            hint=f"nothing was issued; `pkigen apply {spec} --out {session.root}` first",
        )


def _say_kept_back(applied: Applied) -> None:
    for identifier in applied.capped:
        note(f"note: {identifier} was shortened to its CA's end; `pkigen rotate ca` makes room")


def _answer(session: Session, store: Reader, petition: Petition, out: Path) -> None:
    chosen = next(each for each in session.inventory.cluster.spec.nodes if each.name == petition.node)
    key = bundle_key(store)
    seal = Recipient(petition.recipient)
    bars = progress()
    bars.begin("packing", 1)
    for packed in pack(session.inventory, store, (chosen,)):
        label = packed.label(created=session.now, reader=seal.reader)
        file = out / f"{label.cluster}.{label.node}.bundle"
        write_file(file, write_bundle(label, packed.archive, seal=seal, key=key))
        bars.step()
        say(f"{file}: {len(packed.manifest.files)} files, serial {label.serial}, sealed for {seal.reader}")
    say(f"signed by bundle key {fingerprint(key.public)}")
    note(f"next: carry the file to {petition.node}; there: `pkigen bundle install {file.name} --pin …`")


def _listed(items: Iterable[DesiredCertificate], plan: Plan | None = None) -> str:
    """What is asked for; with a plan, also who signs it and until when."""
    ends = {
        action.id: action.reissuance.will_expire
        for action in (plan.changes if plan is not None else ())
        if action.reissuance is not None
    }
    head: tuple[str, ...] = ("CERTIFICATE", "SUBJECT", "USAGE", "KEY", "NAMES")
    rows: list[tuple[str, ...]] = []
    for item in items:
        row = (item.id, str(item.subject), str(item.profile), str(item.key_algorithm))
        names = " ".join(item.sans.texts()) or "-"
        if plan is None:
            rows.append((*row, names))
        else:
            issuer = item.issuer.certificate_name if item.issuer else "-"
            rows.append((*row, issuer, f"{ends[item.id]:%Y-%m-%d}", names))
    if plan is not None:
        head = ("CERTIFICATE", "SUBJECT", "USAGE", "KEY", "SIGNED BY", "UNTIL", "NAMES")
    return table(head, rows)
