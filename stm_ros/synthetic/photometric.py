# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Changes of light, colour and sharpness within a clip."""
import cv2
import numpy as np
from numpy.random import Generator


def degrade_clip(frames: list[np.ndarray], random: Generator) -> list[np.ndarray]:
    """Change light and colour of a clip's frames (H×W×3 float32 in 0..255), smoothly in time.

    One look for the whole clip, a smaller drift from frame to frame, and for some frames blur,
    motion blur, noise or JPEG artefacts. Returns uint8 frames.
    """
    clip_look = _look(random, 0.22)
    drift = _look(random, 0.12 if random.random() < 0.7 else 0.3)
    rough = random.random() < 0.5
    result = []
    for time, frame in enumerate(frames):
        share = time / max(1, len(frames) - 1)
        look = clip_look + share * drift + _look(random, 0.03)
        changed = _apply_look(frame, look)
        result.append(_spoil(changed, random) if rough and random.random() < 0.5
                      else _to_bytes(changed))
    return result


def _look(random: Generator, strength: float) -> np.ndarray:
    """Log gain, contrast, saturation, gamma, and the gains of red and blue."""
    return random.normal(0, strength, 6) * np.array([1.0, 0.7, 1.2, 0.7, 0.35, 0.35])


def _apply_look(frame: np.ndarray, look: np.ndarray) -> np.ndarray:
    gain, contrast, saturation, gamma, red, blue = look
    x = np.clip(frame / 255, 0, 1) ** np.float32(np.exp(np.clip(gamma, -0.8, 0.8)))
    x = x * np.exp(np.clip(np.array([gain + red, gain, gain + blue]), -1.2, 0.8)
                   ).astype(np.float32)
    grey = x.mean(axis=2, keepdims=True)
    x = grey + (x - grey) * np.float32(np.exp(np.clip(saturation, -1.5, 0.8)))
    middle = x.mean()
    x = middle + (x - middle) * np.float32(np.exp(np.clip(contrast, -0.7, 0.7)))
    return x * 255


def _spoil(frame: np.ndarray, random: Generator) -> np.ndarray:
    kind = random.integers(0, 4)
    if kind == 0:
        return _to_bytes(cv2.GaussianBlur(frame, (0, 0), random.uniform(0.6, 2.5)))
    if kind == 1:
        return _to_bytes(cv2.filter2D(frame, -1, motion_kernel(
            int(random.integers(3, 14)), random.uniform(0, 180))))
    if kind == 2:
        noise = random.normal(0, random.uniform(2, 14), frame.shape)
        return _to_bytes(frame + noise.astype(np.float32))
    quality = int(random.integers(15, 70))
    _, code = cv2.imencode('.jpg', _to_bytes(frame), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(code, cv2.IMREAD_COLOR)


def motion_kernel(length: int, degrees: float) -> np.ndarray:
    """A normalised line of `length` pixels at an angle: the blur of a straight motion."""
    kernel = np.zeros((length, length), np.float32)
    middle = (length - 1) / 2
    kernel[int(middle)] = 1
    turn = cv2.getRotationMatrix2D((middle, middle), degrees, 1)
    turned = cv2.warpAffine(kernel, turn, (length, length))
    return turned / max(float(turned.sum()), 1e-3)


def _to_bytes(frame: np.ndarray) -> np.ndarray:
    return np.clip(frame, 0, 255).astype(np.uint8)
