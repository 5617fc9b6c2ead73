# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
From what the tracker knows of a target to the question that a vision-language model is asked.

The messages have the form of OpenAI's chat completions API, which vLLM, llama.cpp, Ollama and
others serve as well. Nothing here talks to a network or imports ROS.
"""
import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import Protocol

import cv2
import numpy as np

from stm_ros.vision.errors import InputError

MAX_BYTES = 1_000_000
_LEAST_SIDE = 48
_QUALITY = 85
_LEFT_OUT = '(left out)'
_STATES = ('it is in view', 'it is probably in view', 'it is not in view')
_INSTRUCTION = (
    'You answer a question about objects that a robot follows by camera. Each object has a number. '
    'Views from memory are earlier views of the same object, chosen because what the camera sees '
    'now resembles them; they may show better what the object is, and the present view where and '
    'how it is now. Say so if the pictures do not answer the question.')


class Picture(Protocol):
    """An encoded picture; sensor_msgs/CompressedImage is one."""

    @property
    def data(self) -> Any: ...


class View(Protocol):
    """A view from memory; stm_ros/EvidenceCrop is one."""

    @property
    def kind(self) -> str: ...
    @property
    def crop(self) -> Picture: ...


class Context(Protocol):
    """What is known of a target in an image; stm_ros/TargetContext is one."""

    @property
    def target_id(self) -> int: ...
    @property
    def label(self) -> str: ...
    @property
    def state(self) -> int: ...
    @property
    def confidence(self) -> float: ...
    @property
    def sentence(self) -> str: ...
    @property
    def crop(self) -> Sequence[Picture]: ...
    @property
    def evidence(self) -> Sequence[View]: ...


@dataclass(frozen=True)
class _Shown:
    """A picture with the text before it; those of lower rank are fitted in first."""

    title: str
    jpeg: bytes
    rank: int


def to_chat_messages(context: Context | Sequence[Context], question: str, *,
                     frame: Picture | None = None, max_bytes: int = MAX_BYTES
                     ) -> list[dict[str, Any]]:
    """
    The `messages` of a chat completion: the question, the facts, and the pictures as data URLs.

    Pictures that do not fit are made smaller or left out, which the text says. Present views
    come first, then the first view from memory of each target, the frame, and further views; where
    one finds no room, none of those after it is sent.

    :param context: one target's context or several; a `~/describe` reply's `targets` are that.
    :param frame: the whole image with numbered marks, JPEG or PNG; a reply's `frame[0]`.
    :param max_bytes: of the messages as JSON in UTF-8.
    :raises InputError: where the question is empty, or does not fit even without pictures.
    """
    contexts = list(context) if isinstance(context, Sequence) else [context]
    if not question.strip():
        raise InputError('the question is empty')
    texts = [_facts(item) for item in contexts]
    shown = [picture for item in contexts for picture in _pictures_of(item)]
    if frame is not None:
        shown.append(_Shown('The whole image now, with the numbers on the objects:',
                            bytes(frame.data), 2))
    head = '\n'.join(['Objects:', *texts, f'Question: {question.strip()}'])
    chosen: list[str | None] = [None] * len(shown)
    if _size(_messages(head, shown, chosen)) > max_bytes:
        raise InputError(f'the question and the facts alone take '
                         f'{_size(_messages(head, shown, chosen))} bytes; max_bytes is {max_bytes}')
    for place in sorted(range(len(shown)), key=lambda index: shown[index].rank):
        url = _data_url(shown[place].jpeg)
        if url is None:
            continue
        chosen[place] = _fitting(url, shown[place].jpeg,
                                 max_bytes - _size(_messages(head, shown, chosen)))
        if chosen[place] is None:
            break
    return _messages(head, shown, chosen)


def _facts(context: Context) -> str:
    state = _STATES[context.state] if 0 <= context.state < len(_STATES) else 'its state is unknown'
    return (f'- Object {context.target_id}{f" ({context.label})" if context.label else ""}: '
            f'{state}. {context.sentence}')


def _pictures_of(context: Context) -> list[_Shown]:
    name = f'Object {context.target_id}'
    found = [_Shown(f'{name}, as the camera sees it now:', bytes(picture.data), 0)
             for picture in context.crop]
    for place, view in enumerate(context.evidence):
        origin = 'the reference' if view.kind == 'reference' else 'memory'
        found.append(_Shown(f'{name}, an earlier view, from {origin}:', bytes(view.crop.data),
                            1 if place == 0 else 3))
    return found


def _messages(head: str, shown: Sequence[_Shown], urls: Sequence[str | None]
              ) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{'type': 'text', 'text': head}]
    for picture, url in zip(shown, urls, strict=True):
        text = picture.title if url is not None else f'{picture.title} {_LEFT_OUT}'
        parts.append({'type': 'text', 'text': text})
        if url is not None:
            parts.append({'type': 'image_url', 'image_url': {'url': url}})
    return [{'role': 'system', 'content': _INSTRUCTION}, {'role': 'user', 'content': parts}]


def _size(messages: list[dict[str, Any]]) -> int:
    return len(json.dumps(messages).encode())


def _fitting(url: str, picture: bytes, room: int) -> str | None:
    """The data URL of a picture, or of a smaller one that takes at most `room` bytes more."""
    overhead = _size([{'type': 'image_url', 'image_url': {'url': ''}}])
    if len(url) + overhead <= room:
        return url
    pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    while pixels is not None and max(pixels.shape[:2]) // 2 >= _LEAST_SIDE:
        size = (max(1, pixels.shape[1] // 2), max(1, pixels.shape[0] // 2))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        _, code = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        smaller = _data_url(code.tobytes())
        if smaller is not None and len(smaller) + overhead <= room:
            return smaller
    return None


def _data_url(picture: bytes) -> str | None:
    """None for what is neither JPEG nor PNG, which endpoints would refuse."""
    kind = ('jpeg' if picture[:3] == b'\xff\xd8\xff' else
            'png' if picture[:8] == b'\x89PNG\r\n\x1a\n' else None)
    if kind is None:
        return None
    return f'data:image/{kind};base64,{base64.b64encode(picture).decode()}'
