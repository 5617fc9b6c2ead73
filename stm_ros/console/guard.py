# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Who may talk to the page: a token, if there is one; the right host; no foreign origin."""
import hmac
import ipaddress
import socket
from collections.abc import Awaitable
from collections.abc import Callable
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs
from urllib.parse import urlsplit

COOKIE = 'stm_console_token'
_SAFE_METHODS = ('GET', 'HEAD', 'OPTIONS')
_COOKIE_DAYS = 30
_HEADERS = (
    (b'x-content-type-options', b'nosniff'), (b'referrer-policy', b'no-referrer'),
    (b'x-frame-options', b'DENY'),
    # the page's framework compiles its templates in the browser
    (b'content-security-policy',
     b"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
     b"style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
     b"connect-src 'self'; object-src 'none'; base-uri 'self'; frame-ancestors 'none'"))

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guard:
    """ASGI middleware in front of everything, web sockets included."""

    def __init__(self, app: Application, *, host: str, token: str = '',
                 allowed_hosts: tuple[str, ...] = ()) -> None:
        """Guard `app`, which is bound to `host`.

        :param token: without it, or its cookie, nothing is answered; empty for none.
        :param allowed_hosts: further names under which browsers may know this machine.
        """
        self._app = app
        self._token = token
        self._is_local = is_loopback(host)
        name = socket.gethostname().lower()
        self._names = {'localhost', name, f'{name}.local', *map(str.lower, allowed_hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope['type'] not in ('http', 'websocket'):
            await self._app(scope, receive, send)
            return
        headers = {key.decode('latin-1').lower(): value.decode('latin-1')
                   for key, value in scope['headers']}
        host = headers.get('host', '')
        if not self._knows(host):
            await _refuse(scope, send, 421, f'The console does not answer as {host[:80]!r}; '
                          'stm console --allow-host adds a name.')
        elif not _is_own_origin(scope, headers, host):
            await _refuse(scope, send, 403, 'Requests from other pages are refused.')
        elif self._token and not self._has_token(headers):
            await self._ask_for_token(scope, send)
        else:
            await self._app(scope, receive, _with_headers(send))

    def _knows(self, host: str) -> bool:
        """Whether a Host header can be ours: names that others point at us are refused."""
        name = urlsplit(f'//{host}').hostname or ''
        if is_loopback(name) or name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return not self._is_local

    def _has_token(self, headers: dict[str, str]) -> bool:
        cookie = SimpleCookie(headers.get('cookie', '')).get(COOKIE)
        given = '' if cookie is None else cookie.value
        return hmac.compare_digest(given.encode(), self._token.encode())

    async def _ask_for_token(self, scope: Scope, send: Send) -> None:
        """Trade a right token in the address for a cookie; else say that one is needed."""
        query = parse_qs(scope.get('query_string', b'').decode('latin-1'))
        given = query.get('token', [''])[0]
        is_right = hmac.compare_digest(given.encode(), self._token.encode())
        if scope['type'] == 'http' and scope['method'] == 'GET' and is_right:
            cookie = (f'{COOKIE}={self._token}; Path=/; HttpOnly; SameSite=Strict; '
                      f'Max-Age={_COOKIE_DAYS * 86400}')
            await _answer(send, 303, '', ((b'location', b'/'), (b'set-cookie', cookie.encode())))
        else:
            await _refuse(scope, send, 401, 'This console needs its token: open '
                          '/?token=... as printed when it started.')


def is_loopback(host: str) -> bool:
    """Whether a host name or address reaches this machine only."""
    if host == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_own_origin(scope: Scope, headers: dict[str, str], host: str) -> bool:
    """Whether a request that may change something, or a socket, comes from our own page."""
    is_reading = scope['type'] == 'http' and scope['method'] in _SAFE_METHODS
    origin = headers.get('origin')
    if origin is None:
        # browsers always name the origin of a socket or a write of another page
        return is_reading or headers.get('sec-fetch-site', 'same-origin') in ('same-origin',
                                                                              'none')
    return urlsplit(origin).netloc.lower() == host.lower()


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Any) -> None:
        if message['type'] == 'http.response.start':
            held = {key.lower() for key, _ in message['headers']}
            more = [header for header in _HEADERS if header[0] not in held]
            message = {**message, 'headers': [*message['headers'], *more]}
        await send(message)
    return send_with_headers


async def _refuse(scope: Scope, send: Send, status: int, text: str) -> None:
    if scope['type'] == 'websocket':
        await send({'type': 'websocket.close', 'code': 1008})
        return
    await _answer(send, status, text)


async def _answer(send: Send, status: int, text: str,
                  headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    body = f'{text}\n'.encode()
    await send({'type': 'http.response.start', 'status': status, 'headers': [
        (b'content-type', b'text/plain; charset=utf-8'),
        (b'content-length', str(len(body)).encode()), *_HEADERS, *headers]})
    await send({'type': 'http.response.body', 'body': body})
