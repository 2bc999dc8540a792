"""The live viewer's server: reads a folder and shows it on this machine; it never writes.

Python's own HTTP server serves: a handful of addresses, a few readers, events as one slowly
written answer. So the viewer needs no package besides the core, and there is no other to trust.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from meritree.errors import BadInput, MeritreeError
from meritree.view import html, pages
from meritree.view.gallery import Entry, find_entries
from meritree.view.live import Watch
from meritree.view.store import folder_instead

PORT = 8642
SCAN_EVERY = 2.0  # seconds between two looks at the folder
EVENTS_EVERY = 0.35  # seconds between two looks for events
HEARTBEAT = 5.0  # seconds; finds viewers that have gone
MOST_STREAMS = 32
_COOKIE = "meritree-token"
_TYPES = {".js": "text/javascript", ".png": "image/png", ".svg": "image/svg+xml"}


class Gallery:
    """A folder and what was found in it; safe to share between threads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self.watches: dict[str, Watch] = {}
        self._scanned = 0.0

    def entries(self) -> list[Entry]:
        """What is there now."""
        with self._lock:
            if not self._scanned or time.monotonic() - self._scanned > SCAN_EVERY:
                self._entries = {one.id: one for one in find_entries(self.root)}
                self._scanned = time.monotonic()
                for one in self._entries.values():
                    if one.kind == "run" and one.id not in self.watches:
                        self.watches[one.id] = Watch(one.path)
            return list(self._entries.values())

    def lone_run(self) -> Entry | None:
        """The run that the folder itself is; None where it holds runs, or nothing."""
        entries = self.entries()
        alone = len(entries) == 1 and entries[0].kind == "run" and entries[0].path == self.root
        return entries[0] if alone else None

    def entry(self, kind: str, number: str) -> Entry | None:
        """One of them by its id."""
        return next((e for e in self.entries() if e.id == number and e.kind == kind), None)


class Viewer(ThreadingHTTPServer):
    """The server; ``token`` is asked of everybody where there is one."""

    daemon_threads = True

    def __init__(self, root: Path, host: str, port: int, token: str = "") -> None:
        self.gallery = Gallery(root)
        self.token = token
        self.host = host
        self.stopping = threading.Event()
        self.streams = threading.BoundedSemaphore(MOST_STREAMS)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), Handler)

    @property
    def address(self) -> str:
        """Where to look, with the token."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        query = f"/?token={self.token}" if self.token else "/"
        return f"http://{host}:{self.server_port}{query}"

    def server_close(self) -> None:
        """Stop, the streams of events too."""
        self.stopping.set()
        super().server_close()

    def knows_host(self, header: str) -> bool:
        """Whether a request's Host names this server; a rebound name of a stranger does not."""
        try:
            host = urlsplit(f"//{header}").hostname or ""
            port = urlsplit(f"//{header}").port
        except ValueError:
            return False
        if port not in (None, self.server_port):
            return False
        if host in ("localhost", self.host) or is_loopback(host):
            return True
        # Open to others: by its number or the machine's name, never by a name of theirs.
        return bool(self.token) and (_is_number(host) or host == socket.gethostname().lower())


def serve(
    root: Path, *, host: str = "127.0.0.1", port: int = PORT, open_to_all: bool = False
) -> Viewer:
    """A server that is bound and not yet running.

    Raises:
        BadInput: the folder is none, the port is taken, or the address is not this machine's own
            and ``open_to_all`` was not said.
    """
    if root.is_file():
        raise BadInput(f"{root} is a file; give {folder_instead(root)}")
    if not root.is_dir():
        raise BadInput(f"no such folder: {root}; give a run's folder or one that holds runs")
    host = "127.0.0.1" if host == "localhost" else host
    if not is_loopback(host) and not open_to_all:
        raise BadInput(
            f"--host {host}: others on the network could read your code; add --expose if that is "
            "wanted (then a token is asked for), or leave --host out"
        )
    token = "" if is_loopback(host) else secrets.token_urlsafe(24)
    try:
        return Viewer(root, host, port, token)
    except socket.gaierror:
        raise BadInput(
            f"--host {host}: no such address; give one of this machine, such as 127.0.0.1"
        ) from None
    except (OSError, OverflowError) as error:
        raise BadInput(f"cannot listen on {host} port {port}: {error}; try --port 0") from error


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class Handler(BaseHTTPRequestHandler):
    """Answers one request; everything is read-only."""

    server: Viewer
    protocol_version = "HTTP/1.1"
    server_version = "meritree"
    sys_version = ""
    timeout = 60

    def do_GET(self) -> None:
        """Check who asks, find the page, answer."""
        if not self.server.knows_host(self.headers.get("Host", "")):
            self._refuse(HTTPStatus.FORBIDDEN, "this server does not answer to that name")
            return
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        if self.server.token and not self._may(parts.path, query):
            return
        try:
            self._answer(parts.path.strip("/").split("/"), query)
        except (BrokenPipeError, ConnectionError, TimeoutError):
            self.close_connection = True  # the viewer has gone
        except MeritreeError as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        # A boundary: results are files of whoever wrote them, and one that is odd in a way that
        # nobody foresaw must not take the other pages with it.
        except Exception as error:  # noqa: BLE001
            words = f"this page cannot be shown: {type(error).__name__}: {error}"
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, words)

    do_HEAD = do_GET

    def _may(self, path: str, query: dict[str, list[str]]) -> bool:
        """Whether the token was shown; a token in the address moves into a cookie."""
        shown = query.get("token", [""])[0]
        if shown and hmac.compare_digest(shown.encode(), self.server.token.encode()):
            self.send_response(HTTPStatus.SEE_OTHER)
            cookie = f"{_COOKIE}={self.server.token}; HttpOnly; SameSite=Strict; Path=/"
            self.send_header("Set-Cookie", cookie)
            self.send_header("Location", quote("/" + path.lstrip("/")))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return False
        try:
            morsel = SimpleCookie(self.headers.get("Cookie", "")).get(_COOKIE)
        except CookieError:
            morsel = None
        if morsel and hmac.compare_digest(morsel.value.encode(), self.server.token.encode()):
            return True
        self._refuse(HTTPStatus.FORBIDDEN, "give the address that meritree view printed")
        return False

    def _answer(self, path: list[str], query: dict[str, list[str]]) -> None:
        gallery = self.server.gallery
        match path:
            case [""]:
                self._index()
            case ["assets", name] if name in html.SCRIPTS:
                self._send(html.asset(name).encode(), _TYPES[".js"])
            case ["studies"]:
                self._page(pages.studies_page(gallery.entries()))
            case ["compare"]:
                wanted = query.get("run", [])
                chosen = [e for n in wanted if (e := gallery.entry("run", n))]
                self._page(pages.compare_page(chosen, gallery.watches))
            case ["run", number, *rest] if entry := gallery.entry("run", number):
                self._run(entry, gallery.watches[entry.id], rest, query)
            case ["study" | "bench" as kind, number, *rest] if entry := gallery.entry(kind, number):
                self._result(entry, rest)
            case _:
                self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")

    def _index(self) -> None:
        gallery = self.server.gallery
        if run := gallery.lone_run():
            self._page(pages.run_page(run, gallery.watches[run.id]))
        else:
            self._page(pages.index_page(gallery.entries(), gallery.watches, str(gallery.root)))

    def _run(
        self, entry: Entry, watch: Watch, rest: list[str], query: dict[str, list[str]]
    ) -> None:
        match rest:
            case []:
                self._page(pages.run_page(entry, watch, bare="bare" in query))
            case ["events"]:
                self._events(watch, _number(query.get("have", ["0"])[0]))
            case ["node", number]:
                told = json.dumps(watch.node(_number(number))).encode()
                self._send(told, "application/json")
            case ["curve.svg"]:
                log, tree, _ = watch.now()
                self._send(pages.curve_svg(tree, log).encode(), _TYPES[".svg"])
            case _:
                self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")

    def _result(self, entry: Entry, rest: list[str]) -> None:
        image = image_of(entry)
        if rest == ["figure.png"] and image is not None:
            self._send(image.read_bytes(), _TYPES[".png"])
        elif rest:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")
        else:
            show: Callable[[Entry, str], str] = (
                pages.study_page if entry.kind == "study" else pages.bench_page
            )
            address = f"/{entry.kind}/{entry.id}/figure.png"
            self._page(show(entry, address if image is not None else ""))

    def _events(self, watch: Watch, have: int) -> None:
        """Server-sent events until the run has ended or the viewer has gone."""
        if not self.server.streams.acquire(blocking=False):
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many viewers")
            return
        try:
            self.send_response(HTTPStatus.OK)
            self._headers("text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            told = time.monotonic()
            for message in watch.messages(have):
                if message is not None:
                    name, data = message
                    self.wfile.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())
                    told = time.monotonic()
                elif time.monotonic() - told > HEARTBEAT:
                    self.wfile.write(b": still here\n\n")
                    told = time.monotonic()
                if message is None or message[0] != "nodes":
                    self.wfile.flush()
                    if self.server.stopping.wait(EVENTS_EVERY):
                        return
        except MeritreeError:
            return  # the answer has begun: the viewer asks again and is told then
        finally:
            self.server.streams.release()

    # ---- answers --------------------------------------------------------------------

    def _page(self, text: str) -> None:
        self._send(text.encode("utf-8", "replace"), "text/html; charset=utf-8")

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._send(f"{why}\n".encode("utf-8", "replace"), "text/plain; charset=utf-8", status)

    def _send(self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        self._headers(kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _headers(self, kind: str) -> None:
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        # A page's own policy stands in it; a picture or data may do nothing at all.
        rules = "frame-ancestors 'self'"
        if not kind.startswith("text/html"):
            rules += "; default-src 'none'; style-src 'unsafe-inline'; sandbox"
        self.send_header("Content-Security-Policy", rules)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are nobody's business, and addresses may hold the token."""


def image_of(entry: Entry) -> Path | None:
    """The figure that lies beside a result, if there is one."""
    names = (f"{entry.path.stem}.png", "figure.png", "solved.png")
    return next((p for n in names if (p := entry.path.with_name(n)).is_file()), None)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
