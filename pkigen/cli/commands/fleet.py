"""`pkigen fleet`: many clusters at once, each of them by itself."""

from __future__ import annotations

import typer

from pkigen.cli.commands.fleet_changes import apply, plan, renew
from pkigen.cli.commands.fleet_looks import report, status
from pkigen.cli.commands.fleet_offline import accept, request

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def fleet() -> None:
    """Plan, change, renew and watch many clusters at once.

    FLEET is a file that names a template spec and one row for each site, or a directory of specs. Each
    cluster has a directory of its own, is locked and changed by itself, and fails by itself: the others go
    on, and what failed is listed at the end. To run a command again does only what is left.
    """


app.command("plan")(plan)
app.command("apply")(apply)
app.command("renew")(renew)
app.command("status")(status)
app.command("report")(report)
app.command("request")(request)
app.command("accept")(accept)
