# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm console`: the operator's page, in a browser."""
import argparse
import os
import re
import secrets
import signal
import socket
import sys
from importlib.util import find_spec
from pathlib import Path

from stm_ros.vision.errors import InputError

_LEAST_TOKEN = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('--node', help='full name of the tracker, such as /robot1/stm_tracker; '
                        'the one that there is if left out')
    parser.add_argument('--host', default='127.0.0.1', help='address to bind to; 0.0.0.0 for '
                        'every network (default 127.0.0.1: this machine only)')
    parser.add_argument('--port', type=int, default=8470, help='(default 8470)')
    parser.add_argument('--token', help='what a browser must know; "new" makes one up. '
                        'STM_CONSOLE_TOKEN is taken if left out')
    parser.add_argument('--allow-host', action='append', default=[], metavar='NAME',
                        help='a further name under which browsers know this machine')
    parser.add_argument('--rate', type=float, default=10.0,
                        help='views a second of each stream, at most (default 10)')


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted."""
    _check(arguments)
    token = _token(arguments.token)
    for module, remedy in (('nicegui', "pip install 'stm_ros[console]'"),
                           ('rclpy', 'source a ROS 2 in which stm_ros is built, or run '
                                     '`make setup`')):
        if find_spec(module) is None:
            raise InputError(f'the console needs {module}: {remedy}')
    _check_free(arguments.host, arguments.port)
    _let_large_images_through()
    # only these need ROS and the web framework
    from stm_ros.console.guard import is_loopback
    from stm_ros.console.server import ConsoleSettings
    from stm_ros.console.server import serve
    shown = arguments.host if arguments.host not in ('0.0.0.0', '::') else 'localhost'
    print(f'stm console: http://{shown}:{arguments.port}/' + (f'?token={token}' if token else ''),
          flush=True)
    if not token and not is_loopback(arguments.host):
        print('stm console: whoever reaches this port can steer the tracker; --token new asks '
              'for a token', file=sys.stderr, flush=True)
    try:
        serve(ConsoleSettings(
            host=arguments.host, port=arguments.port, tracker=arguments.node, token=token,
            rate=arguments.rate, allowed_hosts=tuple(arguments.allow_host)))
    except KeyboardInterrupt:
        pass
    # Ctrl-C under ros2 launch comes twice: from the terminal and from launch
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    if not 1 <= arguments.port <= 65535:
        raise InputError(f'--port {arguments.port} is outside 1..65535')
    if not 0.5 <= arguments.rate <= 60:
        raise InputError(f'--rate {arguments.rate} is outside 0.5..60')
    if arguments.node is not None and not re.fullmatch(r'(/[A-Za-z_]\w*)+', arguments.node):
        raise InputError(f'--node {arguments.node!r} is no full name of a node, such as '
                         '/stm_tracker')


def _check_free(host: str, port: int) -> None:
    """Make sure that the port can be had; the web framework would say it less plainly."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(found[0], found[1]) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found[4])
    except OSError as error:
        raise InputError(f'{host}:{port} cannot be served: {error.strerror}; --host and --port '
                         'name another place') from error


def _token(given: str | None) -> str:
    token = os.environ.get('STM_CONSOLE_TOKEN', '') if given is None else given
    if token == 'new':
        return secrets.token_urlsafe(24)
    if token and not re.fullmatch(rf'[A-Za-z0-9_-]{{{_LEAST_TOKEN},128}}', token):
        raise InputError(f'a token has {_LEAST_TOKEN} to 128 letters, digits, _ and -')
    return token


def _let_large_images_through() -> None:
    """Give Fast DDS room for whole images in shared memory, unless the user has a profile."""
    profile = Path(__file__).parents[1] / 'node' / 'fast_dds_large_images.xml'
    for name in ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'):
        os.environ.setdefault(name, str(profile))
