"""`pkigen access csr`: requests for those without openssl, and their way through the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.console import note, say
from pkigen.cli.options import DirectoryOption
from pkigen.cli.values import duration
from pkigen.cli.values import object_name as object_name_value
from pkigen.crypto.algorithms import KeyAlgorithm

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Make certificate signing requests, and have the cluster sign them.",
)


UserOption = Annotated[str, typer.Option("--user", metavar="NAME", help="The user name to request.")]


ReasonOption = Annotated[
    str | None,
    typer.Option(
        "--allow-system-identity", metavar="REASON", help="Why a name reserved for Kubernetes is allowed."
    ),
]


@app.command()
def new(
    *,
    user: UserOption,
    group: Annotated[
        list[str] | None, typer.Option("--group", metavar="NAME", help="A group to request; may be repeated.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The directory for the key and the request.")
    ] = Path(),
    key_algorithm: Annotated[
        KeyAlgorithm, typer.Option("--key-algorithm", help="The key's kind and size.")
    ] = KeyAlgorithm.ECDSA_P256,
    allow_system_identity: ReasonOption = None,
) -> None:
    """Make a private key, and a request for it.

    The key stays with its owner; the request goes to whoever runs `pkigen access sign`.
    """
    from pkigen.access.csr_objects import object_name
    from pkigen.access.identities import approved
    from pkigen.access.requests import make_request
    from pkigen.cli.outputs import make_directory, write_all_new
    from pkigen.crypto.keys import ALGORITHMS, private_pem

    subject = approved(user, group or (), inventory=None, reason=allow_system_identity)
    key = ALGORITHMS[key_algorithm].generate()
    make_directory(out)
    stem = object_name(user)
    key_file, request_file = out / f"{stem}.key", out / f"{stem}.csr"
    # A request without its key is worth nothing, and neither is a key without its request.
    write_all_new(
        (key_file, private_pem(key).decode(), 0o600),
        (request_file, make_request(subject, key).decode(), 0o644),
    )
    note(f"key: {key_file} (keep it secret; nobody else needs it)")
    say(str(request_file))


@app.command()
def manifest(
    context: typer.Context,
    *,
    directory: DirectoryOption = None,
    csr: Annotated[
        Path,
        typer.Option("--csr", metavar="FILE", help="The request; - reads standard input.", allow_dash=True),
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", help="The object's name.  [default: the user's]", callback=object_name_value),
    ] = None,
    validity: Annotated[
        str,
        typer.Option(
            "--validity", metavar="DURATION", help="The validity to request; the cluster may shorten it."
        ),
    ] = "720h",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The output file.  [default: standard output]"),
    ] = None,
) -> None:
    """Render the CertificateSigningRequest of a request, with the kubectl lines.

    The cluster takes user and groups from the request itself: who approves it approves those. Where the
    cluster's directory is found, a request with a key of the cluster's own is refused.
    """
    from pkigen.access.csr_objects import request_object
    from pkigen.access.identities import approved
    from pkigen.access.request_forms import request_pem
    from pkigen.access.requests import read_request
    from pkigen.cli.access_sources import read_bounded
    from pkigen.cli.outputs import write_text
    from pkigen.cli.reports.tables import page
    from pkigen.cli.work.csr import require_no_cluster_key
    from pkigen.crypto.csr import LARGEST_REQUEST

    request = read_request(request_pem(read_bounded(csr, limit=LARGEST_REQUEST)))
    asked = request.asked
    if asked.common_name:
        approved(asked.common_name, asked.organizations, inventory=None, reason=None)
    require_no_cluster_key(request, context, directory)
    made = request_object(
        request,
        name=name,
        validity=duration(validity, "--validity"),
        file=str(out) if out is not None else "FILE",
    )
    note(f"approving it grants access to {asked}; key {request.key_description}")
    if out is not None:
        write_text(out, made.manifest)
        say(page(made.steps))
    else:
        say(page(f"# {step}" for step in made.steps) + "\n" + made.manifest)
