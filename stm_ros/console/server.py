# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The web server of the console: the page, the views of the streams, thumbnails."""
import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from nicegui import app
from nicegui import ui
from starlette.responses import Response

from stm_ros.console.guard import Guard
from stm_ros.console.link import Link
from stm_ros.console.page import Page

STATIC = Path(__file__).with_name('static')
#: held for each browser, which gets them again after a break
MAX_MESSAGES = 200
#: a browser that is away for longer, on a weak network or a busy machine, gets a new page
RECONNECT_SECONDS = 30.0
_WAIT_SECONDS = 1.0
_LOOK_SECONDS = 0.02
_FAVICON = STATIC / 'icon.svg'


@dataclass(frozen=True)
class ConsoleSettings:
    """Where the page is served and whom it watches.

    tracker: full name of the node; None takes the one that there is. rate: views a second, at
    most. token: needed by every browser; empty for none. allowed_hosts: further names of this
    machine that browsers may use.
    """

    host: str = '127.0.0.1'
    port: int = 8470
    tracker: str | None = None
    token: str = ''
    rate: float = 10.0
    allowed_hosts: tuple[str, ...] = ()


def serve(settings: ConsoleSettings) -> None:
    """Serve the page until SIGINT or SIGTERM."""
    link = Link(settings.tracker, settings.rate)
    _add_routes(link)
    app.add_middleware(Guard, host=settings.host, token=settings.token,
                       allowed_hosts=settings.allowed_hosts)
    link.start()
    try:
        # pictures are compressed already
        ui.run(host=settings.host, port=settings.port, title='stm console', favicon=_FAVICON,
               dark=None, show=False, reload=False, show_welcome_message=False, tailwind=False,
               gzip_middleware_factory=None, access_log=False,
               message_history_length=MAX_MESSAGES,
               reconnect_timeout=RECONNECT_SECONDS)
    finally:
        link.stop()


def _add_routes(link: Link) -> None:
    @ui.page('/')
    def page() -> None:
        Page(link)

    @app.get('/view/{stream}')
    async def view(stream: str, after: int = 0, sequence: int = 0) -> Response:
        """The newest view that is not `after`, waiting for it; or the one of `sequence`."""
        link.touch(stream)
        end = time.monotonic() + _WAIT_SECONDS
        while True:
            held = link.view.streams.get(stream)
            if held is None:
                return Response(status_code=404)
            found = held.view(sequence) if sequence else held.newest
            if found is not None and found.sequence != after:
                return Response(found.body, media_type='application/octet-stream',
                                headers={'cache-control': 'no-store'})
            if sequence or time.monotonic() > end:
                return Response(status_code=404 if sequence else 204)
            await asyncio.sleep(_LOOK_SECONDS)

    @app.get('/thumbnail/{holder}/{stream}/{stamp_ns}')
    def thumbnail(holder: str, stream: str, stamp_ns: int) -> Response:
        held = link.view.streams.get(holder)
        picture = None if held is None else held.thumbnails.get((stream, stamp_ns))
        if picture is None:
            return Response(status_code=404)
        return Response(picture, media_type='image/jpeg',
                        headers={'cache-control': 'private, max-age=3600'})

    # by name: there is no folder that could be listed
    for name, kind in (('console.css', 'text/css'), ('drawing.js', 'text/javascript')):
        _add_static_file(name, kind)


def _add_static_file(name: str, kind: str) -> None:
    text = (STATIC / name).read_text()

    @app.get(f'/static/{name}')
    def static_file() -> Response:
        return Response(text, media_type=kind, headers={'cache-control': 'no-cache'})
