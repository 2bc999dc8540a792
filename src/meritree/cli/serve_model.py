"""`meritree serve-model`: a model server on this machine, for demos, tests and trying faults."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from meritree.errors import BadInput


def serve_model(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0: any.")] = 0,
    model: Annotated[
        str,
        typer.Option(
            metavar="KIND", help="echo, scripted:FILE, repair[:SLIPS] or noisy:RATE:KIND."
        ),
    ] = "echo",
    errors: Annotated[
        str,
        typer.Option(
            metavar="PLAN",
            help="Faults to show: in order (429,ok) or by share (429:0.1,half:0.05).",
        ),
    ] = "",
    retry_after: Annotated[
        float, typer.Option(min=0, metavar="S", help="Seconds that refused clients shall wait.")
    ] = 0,
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Answer to this model name only (repeatable)."),
    ] = None,
    context: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Refuse prompts of more tokens.")
    ] = None,
    key_env: Annotated[
        str | None, typer.Option(metavar="VAR", help="Demand the key that this variable holds.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of noise and of shares of faults.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No line for each request.")] = False,
) -> int:
    """Serve a local model as OpenAI does: /v1/models and /v1/chat/completions on loopback.

    Prints the base URL, then serves until it is interrupted.
    """
    from meritree.respond.faults import Faults
    from meritree.respond.local import local_model
    from meritree.respond.server import ModelServer, Service
    from meritree.swe.agent.repair_model import repair_kinds

    service = Service(
        local_model(model, seed, repair_kinds()),
        names=tuple(name or ()),
        faults=Faults(errors, seed),
        key=_key(key_env),
        context=context,
        retry_after=retry_after,
    )
    with ModelServer(service, port, log=None if quiet else _say) as server:
        print(server.base_url, flush=True)
        try:
            server.wait()
        except KeyboardInterrupt:
            _say(f"served {server.calls} calls")
    return 0


def _key(variable: str | None) -> str:
    if variable is None:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise BadInput(f"--key-env {variable}: the variable is empty; set it or leave it out")
    return key


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
