# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests over a real graph."""
import signal

import pytest
import rclpy
from graph_client import SIZE
from graph_client import Client
from graph_client import NodeProcess

from stm_ros.synthetic.clips import generate_clip


@pytest.fixture(scope='session')
def clip():
    """Images and true label maps of a cup that moves."""
    return generate_clip('occlusion', 40, SIZE)[:8]


@pytest.fixture
def client():
    """A client in its own context."""
    rclpy.init()
    node = Client()
    yield node
    node.destroy_node()
    rclpy.shutdown()


@pytest.fixture
def start_node(tmp_path):
    """Start nodes that are stopped when the test ends."""
    started = []

    def start(*parameters: str, **options) -> NodeProcess:
        node = NodeProcess(tmp_path, *parameters, **options)
        started.append(node)
        return node
    yield start
    for node in started:
        node.stop(signal.SIGKILL)


@pytest.fixture(scope='module')
def shared_client():
    """A client for all tests of a module, in its own context."""
    rclpy.init()
    node = Client()
    yield node
    node.destroy_node()
    rclpy.shutdown()


@pytest.fixture(scope='module')
def start_shared_node(tmp_path_factory):
    """Start nodes that are stopped when the module's tests have ended."""
    started = []

    def start(*parameters: str, **options) -> NodeProcess:
        node = NodeProcess(tmp_path_factory.mktemp('node'), *parameters, **options)
        started.append(node)
        return node
    yield start
    for node in started:
        node.stop(signal.SIGKILL)
