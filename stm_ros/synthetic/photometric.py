# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Changes of light, colour and sharpness within a clip."""
import cv2
import numpy as np
from numpy.random import Generator


def degrade_clip(frames: list[np.ndarray], random: Generator) -> list[np.ndarray]:
    """Change light and colour of a clip's frames (H×W×3 float32 in 0..255), smoothly in time.

    One look for the whole clip, a smaller drift from frame to frame, and for some frames blur,
    motion blur, noise or JPEG artefacts; in some clips one of these for all frames after the
    first, as where a robot drives off or the light goes. Returns uint8 frames.
    """
    clip_look = _look(random, 0.22)
    drift = _look(random, 0.12 if random.random() < 0.7 else 0.3)
    chances = _chances_of_damage(len(frames), random)
    kind = int(random.integers(len(_KINDS))) if random.random() < 0.5 else None
    result = []
    for time, frame in enumerate(frames):
        share = time / max(1, len(frames) - 1)
        look = clip_look + share * drift + _look(random, 0.03)
        changed = _apply_look(frame, look)
        result.append(_spoil(changed, kind, random) if random.random() < chances[time]
                      else _to_bytes(changed))
    return result


def _chances_of_damage(frames: int, random: Generator) -> list[float]:
    """How likely each frame is damaged: in half of the clips none, in a fifth all but the first."""
    draw = random.random()
    if draw < 0.5:
        return [0.0] * frames
    return [0.5] * frames if draw < 0.8 else [0.0] + [1.0] * (frames - 1)


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


def _spoil(frame: np.ndarray, kind: int | None, random: Generator) -> np.ndarray:
    """Damage a frame by one of the kinds, a random one where none is given."""
    chosen = _KINDS[int(random.integers(len(_KINDS))) if kind is None else kind]
    return _to_bytes(chosen(frame, random))


def _defocus(frame: np.ndarray, random: Generator) -> np.ndarray:
    return cv2.GaussianBlur(frame, (0, 0), random.uniform(0.6, 4))


def _move(frame: np.ndarray, random: Generator) -> np.ndarray:
    return cv2.filter2D(frame, -1, motion_kernel(int(random.integers(3, 25)),
                                                 random.uniform(0, 180)))


def _add_noise(frame: np.ndarray, random: Generator) -> np.ndarray:
    noise = random.normal(0, random.uniform(2, 30), frame.shape)
    return frame + noise.astype(np.float32)


def _compress(frame: np.ndarray, random: Generator) -> np.ndarray:
    quality = int(random.integers(15, 70))
    _, code = cv2.imencode('.jpg', _to_bytes(frame), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(code, cv2.IMREAD_COLOR)


_KINDS = (_defocus, _move, _add_noise, _compress)


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
