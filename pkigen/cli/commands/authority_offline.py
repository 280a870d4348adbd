"""`pkigen airgap authority init`, `renew` and `sign`: on the machine that is never connected."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.console import agreed, note
from pkigen.cli.document import document
from pkigen.cli.options import Format, FormatOption, SpecArgument, YesOption
from pkigen.errors import PkigenError

AuthorityOption = Annotated[
    Path | None,
    typer.Option(
        "--authority",
        metavar="DIR",
        help="The offline authority's directory.  [default: ./<cluster name>-authority]",
    ),
]


RootValidityOption = Annotated[
    str | None,
    typer.Option(
        "--root-validity",
        metavar="DURATION",
        help="The validity of the root.  [default: twice the spec's caValidity]",
    ),
]


def init(
    context: typer.Context,
    spec: SpecArgument,
    *,
    directory: AuthorityOption = None,
    root_validity: RootValidityOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Make the offline authority of a cluster, or a fleet's root, on the machine that is never connected.

    With caKeys: site that is a root; with caKeys: offline it is the cluster's CAs themselves. CAs of your own
    are used when they are in DIR/pki already (root.crt and root.key, or ca.crt and ca.key, …).
    """
    from pkigen.airgap.offline.description import read_description
    from pkigen.airgap.offline.directory import make, open_authority, require_own
    from pkigen.cli.reports import outcomes
    from pkigen.cli.work.authority_fleet import fleet_of, root_session
    from pkigen.cli.work.authority_offline import at_authority, root_lifetime, say_authority
    from pkigen.state.vault import PlainVault

    shared = fleet_of(spec)
    if shared is None:
        session, name = at_authority(context, spec, directory), None
    else:
        session, name = root_session(context, shared, directory), shared.name
    lifetime = root_lifetime(session, root_validity)
    with document(output) as content, session.writing("airgap authority init") as store:
        existed = read_description(store) is not None
        require_own(store)
        if not existed:
            tools = session.tools(PlainVault())
            make(session.inventory, store, tools, root_validity=lifetime, fleet=name)
        opened = open_authority(session.inventory, store, now=session.now, fleet=name)
        say_authority(session, opened)
        content.update(outcomes.offline_authority(opened, str(session.root)))
    if existed:
        note("note: it exists already and is unchanged")


def renew(
    context: typer.Context,
    spec: SpecArgument,
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="root, or ca, etcd-ca, front-proxy-ca.")
    ],
    *,
    directory: AuthorityOption = None,
    root_validity: RootValidityOption = None,
    yes: YesOption = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """Give the root or a CA a new validity: the same key and name, so everything it signed stays valid.

    The next answer contains it. A CA that another CA has signed is renewed by its issuer.
    """
    from pkigen.airgap.offline.directory import open_authority, renew_all, require_known, require_own
    from pkigen.cli.reports import outcomes
    from pkigen.cli.work.authority_fleet import fleet_of, root_session
    from pkigen.cli.work.authority_offline import at_authority, root_lifetime, say_authority
    from pkigen.desired.generations import certificate_named
    from pkigen.state.vault import PlainVault

    shared = fleet_of(spec)
    if shared is None:
        session, name = at_authority(context, spec, directory), None
    else:
        session, name = root_session(context, shared, directory), shared.name
    names = [certificate_named(each) for each in names]
    lifetime = root_lifetime(session, root_validity)
    with document(output) as content, session.writing("airgap authority renew") as store:
        require_own(store)
        opened = open_authority(session.inventory, store, now=session.now, revived=names, fleet=name)
        require_known(names, opened)
        if not yes and not agreed(f"renew {', '.join(names)}?"):
            raise PkigenError("not renewed", hint="nothing was changed")
        renew_all(
            names, opened, session.inventory, store, session.tools(PlainVault()), root_validity=lifetime
        )
        opened = open_authority(session.inventory, store, now=session.now, fleet=name)
        say_authority(session, opened)
        content.update(outcomes.offline_authority(opened, str(session.root)))
    note("next: at the site, `pkigen airgap authority request NAME` requests the certificates to renew")


def sign(
    context: typer.Context,
    request: Annotated[Path, typer.Argument(metavar="REQUEST", help="The site's request file.")],
    spec: Annotated[Path, typer.Option("--spec", metavar="SPEC", help="The spec of this side.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="The answer file.  [default: REQUEST with the suffix .answer]"
        ),
    ] = None,
    *,
    directory: AuthorityOption = None,
    pin: Annotated[
        str | None,
        typer.Option(
            "--pin",
            metavar="FINGERPRINT",
            help="The site's bundle key, as its `init` printed it.  [default: the one of the last request]",
        ),
    ] = None,
    yes: YesOption = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """Show every certificate that a request would get, ask, and sign.

    What the spec does not allow is refused, and then nothing is signed. A request that was answered before
    gets the same answer again. With a fleet as SPEC, REQUEST has the requests of its sites; each is refused
    or signed by itself.
    """
    from pkigen.cli.work.authority_fleet import fleet_of, root_session, sign_all
    from pkigen.cli.work.authority_offline import at_authority, sign_request

    shared = fleet_of(spec)
    with document(output) as content:
        if shared is not None:
            session = root_session(context, shared, directory)
            content.update(sign_all(context, session, shared, request, out=out, pin=pin, yes=yes))
            return
        session = at_authority(context, spec, directory)
        content.update(sign_request(session, request, out=out, pin=pin, yes=yes))
