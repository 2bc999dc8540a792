"""`meritree view [FOLDER]`: runs and results in the browser, live."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from meritree.view.server import Gallery


def view(
    folder: Annotated[
        str | None,
        typer.Argument(
            metavar="FOLDER",
            help="A run's folder, or one that holds runs, results of studies or benches.",
            show_default="~/.local/state/meritree",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="Port; 0 takes a free one.")
    ] = 8642,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; only this machine by default.")
    ] = "127.0.0.1",
    expose: Annotated[
        bool,
        typer.Option("--expose", help="Allow an address that others can reach; asks for a token."),
    ] = False,
    browser: Annotated[
        bool, typer.Option("--browser", help="Open the page in the web browser.")
    ] = False,
) -> int:
    """Show runs in the browser while they go on, side by side, and results of studies and benches.

    Reads only; nothing that it shows can change a run. Ctrl-C ends it.
    """
    from meritree.view.server import serve

    place = Path(folder).expanduser() if folder else _state_folder()
    if folder is None:
        place.mkdir(parents=True, exist_ok=True)
    server = serve(place.resolve(), host=host, port=port, open_to_all=expose)
    try:
        words = _found(server.gallery)
    except BaseException:  # a run that cannot be shown, or Ctrl-C while it is read
        server.server_close()
        raise
    print(f"{server.address}\nshows {place}; Ctrl-C ends it", flush=True)
    if words:
        print(words, flush=True)
    if browser:
        import webbrowser

        webbrowser.open(server.address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("ended")
    finally:
        server.server_close()
    return 0


def _found(gallery: Gallery) -> str:
    """What a folder without anything to show is told of; empty where there is something.

    Raises:
        MeritreeError: the folder is one run's, and that cannot be shown.
    """
    if run := gallery.lone_run():
        gallery.watches[run.id].now()
    if gallery.entries():
        return ""
    return (
        "no run, study or bench lies in it yet: one that begins in it is shown; those of `meritree "
        "fix --out DIR` lie in DIR"
    )


def _state_folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "meritree"
