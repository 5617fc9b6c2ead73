# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Ask a vision-language model about tracked targets.

A question on `~/question` makes the tracker describe its targets; question, facts and pictures go
to an endpoint of the OpenAI kind (vLLM, llama.cpp, Ollama, ...), and its answer comes out on
`~/answer`, what went wrong on `~/failure`. One question is under way at a time and one may wait;
a newer one takes its place, so that a slow model delays answers, never the robot.

    python3 examples/vlm_node.py --ros-args -p model:=qwen2.5-vl \
        -p endpoint:=http://127.0.0.1:8000/v1/chat/completions
"""
import json
import os
import threading
import urllib.request
from queue import Empty
from queue import Full
from queue import Queue

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from std_msgs.msg import String
from stm_ros.srv import Describe

from stm_ros.vlm import to_chat_messages

MOST_ANSWER_BYTES = 1_000_000


class VlmNode(Node):
    def __init__(self) -> None:
        super().__init__('vlm')
        self.endpoint = self.declare_parameter(
            'endpoint', 'http://127.0.0.1:8000/v1/chat/completions').value
        self.model = self.declare_parameter('model', 'default').value
        # seconds, for the model and for the tracker
        self.timeout = self.declare_parameter('timeout', 20.0).value
        self.tracker_timeout = self.declare_parameter('tracker_timeout', 30.0).value
        self.max_bytes = self.declare_parameter('max_bytes', 1_000_000).value
        self.target_id = self.declare_parameter('target_id', 0).value  # 0: all targets
        # the name of an environment variable: parameters can be read by everybody on the graph
        self.key = os.environ.get(self.declare_parameter('key_variable', 'VLM_API_KEY').value, '')
        tracker = self.declare_parameter('tracker', '/stm_tracker').value
        self.describe = self.create_client(Describe, f'{tracker}/describe')
        self.answers = self.create_publisher(String, '~/answer', 5)
        self.failures = self.create_publisher(String, '~/failure', 5)
        self.waiting: Queue[str] = Queue(maxsize=1)
        self.create_subscription(String, '~/question', lambda message: self.take(message.data), 5)
        threading.Thread(target=self.work, daemon=True).start()

    def take(self, question: str) -> None:
        while True:
            try:
                self.waiting.put_nowait(question)
                return
            except Full:
                try:
                    self.fail(self.waiting.get_nowait(), 'a newer question came before its turn')
                except Empty:
                    pass

    def work(self) -> None:
        while True:
            question = self.waiting.get()
            try:
                self.answers.publish(String(data=self.ask(question)))
            except Exception as error:  # noqa: BLE001 - whatever one question does, the next counts
                self.fail(question, str(error) or type(error).__name__)

    def ask(self, question: str) -> str:
        done = threading.Event()
        future = self.describe.call_async(Describe.Request(target_id=self.target_id))
        future.add_done_callback(lambda _: done.set())
        if not done.wait(self.tracker_timeout):
            self.describe.remove_pending_request(future)
            raise TimeoutError(f'the tracker did not answer within {self.tracker_timeout:g} s')
        reply = future.result()
        if not reply.success:
            raise RuntimeError(f'the tracker refused: {reply.message}')
        messages = to_chat_messages(reply.targets, question, max_bytes=self.max_bytes,
                                    frame=reply.frame[0] if reply.frame else None)
        return self.complete(messages)

    def complete(self, messages: list) -> str:
        request = urllib.request.Request(
            self.endpoint, json.dumps({'model': self.model, 'messages': messages}).encode(),
            {'Content-Type': 'application/json',
             **({'Authorization': f'Bearer {self.key}'} if self.key else {})})
        with urllib.request.urlopen(request, timeout=self.timeout) as response:
            answer = json.loads(response.read(MOST_ANSWER_BYTES))
        try:
            return str(answer['choices'][0]['message']['content'])
        except (KeyError, IndexError, TypeError) as error:
            raise RuntimeError(f'{self.endpoint} sent no answer that is understood: '
                               f'{str(answer)[:200]}') from error

    def fail(self, question: str, reason: str) -> None:
        self.get_logger().warning(f'no answer to {question!r}: {reason}')
        self.failures.publish(String(data=f'{question}: {reason}'))


def main() -> None:
    rclpy.init()
    try:
        rclpy.spin(VlmNode())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RuntimeError:
        # SIGINT may come while rclpy waits, which then says so in this way
        if rclpy.ok():
            raise


if __name__ == '__main__':
    main()
