"""`pkigen explain`: a credential, a component or an error in words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.options import DirectoryOption, Format, FormatOption, OwnSpecArgument
from pkigen.cli.system import system_of
from pkigen.errors import UsageError
from pkigen.notation import dir_option

app = typer.Typer(add_completion=False)


@app.command()
def explain(
    context: typer.Context,
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="WHO|FILE",
            help="A user, a service account (namespace/name), a certificate (apiserver, cp-1/admin.conf), "
            "a component (kubelet, etcd), a kubeconfig, certificate, request or token, or an error message.",
        ),
    ] = None,
    spec: OwnSpecArgument = None,
    *,
    directory: DirectoryOption = None,
    error: Annotated[
        str | None, typer.Option("--error", metavar="TEXT", help="An error message; - reads standard input.")
    ] = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Explain a user, a certificate, a kubeconfig, a component or an error.

    Who presents it to whom, which setting verifies it, which identity and permissions result, when it expires
    and what then stops working; for an error, the next step.
    """
    from pkigen.access import failures
    from pkigen.access.file_text import file_text
    from pkigen.access.kubeconfigs import LARGEST_KUBECONFIG
    from pkigen.cli.access_sources import leads_to, read_bounded, reference_reader
    from pkigen.cli.work.explain import failure_text, known_cluster, message_text, name_text, say_explained

    if error is not None:
        # With --error, the one argument is the spec.
        spec = spec if spec is not None or what is None else Path(what)
        with known_cluster(context, spec, directory) as cluster:
            say_explained(error, failure_text(message_text(error), cluster), output)
        return
    if what is None:
        raise UsageError("give what to explain: a name, a file or --error TEXT")
    name = what
    if leads_to(name, Path.is_dir):
        raise UsageError(
            f"{name} is a directory", hint=f"give a name too: `pkigen explain WHO {dir_option(name)}`"
        )
    with known_cluster(context, spec, directory) as cluster:
        if leads_to(name, Path.is_file):
            data = read_bounded(Path(name), limit=LARGEST_KUBECONFIG)
            now = system_of(context).clock()
            say_explained(
                name, file_text(Path(name), data, cluster, read=reference_reader(Path(name)), now=now), output
            )
            return
        # By its wording, with no cluster: a message is known before anything is looked up in one, and a name
        # that looks like no message is left to the inventory.
        found = failures.explain(name, None)
        say_explained(name, failure_text(name, cluster) if found else name_text(name, cluster), output)
