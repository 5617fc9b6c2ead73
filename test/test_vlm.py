# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a language model is shown: clean views, numbered marks, messages under a byte limit."""
import base64
import json
from dataclasses import dataclass
from dataclasses import field

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies

from stm_ros.tracking.clean_evidence import CONSIDERED
from stm_ros.tracking.clean_evidence import choose_clean
from stm_ros.tracking.evidence import JPEG_QUALITY
from stm_ros.tracking.result import Evidence
from stm_ros.vision.errors import InputError
from stm_ros.vision.marks import draw_marks
from stm_ros.vision.marks import innermost
from stm_ros.vision.overlay import target_colour
from stm_ros.vision.sharpness import detail
from stm_ros.vlm import to_chat_messages

RNG = np.random.default_rng(4)
TEXTURE = cv2.resize(RNG.integers(0, 256, (30, 40, 3)).astype(np.uint8), (160, 120),
                     interpolation=cv2.INTER_NEAREST)
BLURRED = cv2.GaussianBlur(TEXTURE, (0, 0), 5)
DARK = (TEXTURE * 0.1).astype(np.uint8)


def jpeg(pixels, quality=JPEG_QUALITY):
    return cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def view(pixels, weight, kind='memory', stamp=0):
    return Evidence(stamp, 'camera', kind, weight, jpeg(pixels))


def test_blur_darkness_and_noise_are_no_detail():
    clear = detail(TEXTURE, 96)
    assert detail(BLURRED, 96) < 0.3 * clear and detail(DARK, 96) < 0.3 * clear
    noisy = np.clip(BLURRED + RNG.normal(0, 4, BLURRED.shape), 0, 255).astype(np.uint8)
    assert detail(noisy, 96) < 0.4 * clear
    assert detail(cv2.resize(TEXTURE, None, fx=3, fy=3), 96) == pytest.approx(clear, rel=0.2)


def test_what_is_blurred_or_dark_is_not_evidence():
    views = [view(BLURRED, 0.4), view(DARK, 0.3), view(TEXTURE, 0.2, stamp=7),
             view(TEXTURE[:, ::-1], 0.1, 'reference', stamp=8)]
    assert [item.stamp_ns for item in choose_clean(views, 3)] == [7, 8]
    assert [item.stamp_ns for item in choose_clean(views, 1)] == [8]
    assert choose_clean(views, 0) == () and choose_clean([], 3) == ()


def test_a_reference_is_always_among_the_views_and_attention_orders_them():
    views = [view(TEXTURE, 0.3 - place / 100, stamp=place) for place in range(CONSIDERED + 9)]
    views[-1] = view(TEXTURE, 0.001, 'reference', stamp=99)
    assert [item.stamp_ns for item in choose_clean(views, 3)] == [0, 1, 99]
    # a reference that is dark itself is what is measured against
    views = [view(DARK, 0.6, stamp=1), view(DARK, 0.4, 'reference', stamp=2)]
    assert [item.stamp_ns for item in choose_clean(views, 3)] == [1, 2]


def test_marks_lie_on_their_targets():
    image = np.full((200, 300, 3), 90, np.uint8)
    label_map = np.zeros((200, 300), np.uint8)
    cv2.ellipse(label_map, (90, 100), (60, 60), 0, 90, 360, 3, 14)
    label_map[60:160, 220:280] = 8
    picture = draw_marks(image, label_map, [3, 8, 9])
    for target in (3, 8):
        column, row = innermost((label_map == target).astype(np.uint8))
        assert label_map[row, column] == target
        disc = picture[row - 7:row + 8, column - 7:column + 8].reshape(-1, 3)
        assert (disc == 255).all(axis=1).any() and (disc < 70).all(axis=1).any()
    assert (picture == target_colour(8)).all(axis=2)[60, 225:275].all()
    assert np.array_equal(picture[:40, 240:], image[:40, 240:])
    assert np.array_equal(image, np.full((200, 300, 3), 90, np.uint8))


@dataclass
class Code:
    data: bytes
    format: str = 'jpeg'


@dataclass
class Seen:
    kind: str
    crop: Code


@dataclass
class Context:
    target_id: int = 2
    label: str = 'cup'
    state: int = 0
    confidence: float = 0.9
    sentence: str = 'cup (target 2) is in view, “dark”.'
    crop: list = field(default_factory=lambda: [Code(jpeg(TEXTURE))])
    evidence: list = field(default_factory=lambda: [
        Seen('reference', Code(jpeg(TEXTURE))), Seen('memory', Code(jpeg(DARK))),
        Seen('memory', Code(jpeg(BLURRED)))])


FRAME = Code(jpeg(np.tile(TEXTURE, (5, 5, 1))))


def pictures(messages):
    return [part['image_url']['url'] for part in messages[1]['content']
            if part['type'] == 'image_url']


def words(messages):
    return '\n'.join(part['text'] for part in messages[1]['content'] if part['type'] == 'text')


def decoded(url):
    head, _, code = url.partition(',')
    assert head == 'data:image/jpeg;base64'
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(code), np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels


def test_messages_hold_question_facts_and_pictures_unchanged():
    messages = to_chat_messages(Context(), 'Is it full?', frame=FRAME, max_bytes=10 ** 6)
    assert [message['role'] for message in messages] == ['system', 'user']
    text = words(messages)
    assert 'Question: Is it full?' in text and 'Object 2 (cup): it is in view.' in text
    assert 'an earlier view, from the reference' in text and 'left out' not in text
    sent = [base64.b64decode(url.partition(',')[2]) for url in pictures(messages)]
    assert sent == [jpeg(TEXTURE), jpeg(TEXTURE), jpeg(DARK), jpeg(BLURRED), FRAME.data]


def test_several_targets_and_a_lost_one():
    lost = Context(target_id=5, label='', state=2, crop=[], evidence=[], sentence='Gone.')
    messages = to_chat_messages([Context(), lost], 'Where are they?')
    assert '- Object 5: it is not in view. Gone.' in words(messages)
    assert len(pictures(messages)) == 4


@settings(max_examples=40, deadline=None)
@given(limit=strategies.integers(3000, 400_000))
def test_messages_never_exceed_the_limit_and_keep_what_matters_most(limit):
    messages = to_chat_messages(Context(), 'Is it full?', frame=FRAME, max_bytes=limit)
    assert len(json.dumps(messages).encode()) <= limit
    parts = messages[1]['content'][1:]
    titles = [part['text'] for part in parts if part['type'] == 'text']
    kept = [not title.endswith('(left out)') for title in titles]
    assert len(titles) == 5 and len(pictures(messages)) == sum(kept)
    # by importance: present view, first view, frame, the other views
    by_rank = [kept[place] for place in (0, 1, 4, 2, 3)]
    assert by_rank == sorted(by_rank, reverse=True)
    for url in pictures(messages):
        assert max(decoded(url).shape[:2]) >= 48


def test_small_limits_make_pictures_smaller_before_they_go():
    code = len(jpeg(TEXTURE))
    messages = to_chat_messages(Context(evidence=[]), 'Is it full?', max_bytes=1300 + code // 2)
    [url] = pictures(messages)
    assert decoded(url).shape[:2] in ((60, 80), (30, 40))


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(InputError, match='is empty'):
        to_chat_messages(Context(), '  ')
    with pytest.raises(InputError, match='max_bytes is 200'):
        to_chat_messages(Context(), 'Is it full?', max_bytes=200)


def test_data_that_is_no_picture_is_left_out():
    messages = to_chat_messages(Context(crop=[Code(b'nonsense')], evidence=[]), 'What is it?')
    assert pictures(messages) == [] and 'now: (left out' in words(messages)
