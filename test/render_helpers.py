# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Boxes with a picture on them: objects whose every pixel can be worked out."""
from pathlib import Path

import cv2
import numpy as np
import pytest

from stm_ros.synthetic.objects import Mesh
from stm_ros.synthetic.objects import make_mesh
from stm_ros.synthetic.rendering import missing_for_rendering

needs_renderer = pytest.mark.skipif(
    missing_for_rendering() is not None,
    reason=f'nothing can be rendered here: {missing_for_rendering()}')

_SIDES = [(axis, sign) for axis in range(3) for sign in (-1.0, 1.0)]


def box_arrays(extents: tuple[float, float, float]):
    """Vertices N×3, texture coordinates N×2 and faces M×3 of a box, its sides facing outwards."""
    vertices, coordinates, faces = [], [], []
    for axis, sign in _SIDES:
        first, second = (axis + 1) % 3, (axis + 2) % 3
        start = len(vertices)
        for u, v in ((0, 0), (1, 0), (1, 1), (0, 1)):
            corner = np.zeros(3)
            corner[axis], corner[first], corner[second] = sign, 2 * u - 1, 2 * v - 1
            vertices.append(corner * np.array(extents) / 2)
            coordinates.append((u, v))
        quad = (0, 1, 2, 3) if sign > 0 else (0, 3, 2, 1)
        faces += [(start + quad[0], start + quad[1], start + quad[2]),
                  (start + quad[0], start + quad[2], start + quad[3])]
    return np.array(vertices), np.array(coordinates, float), np.array(faces)


def box(extents=(0.1, 0.1, 0.1), colour=(200, 60, 40), name='box') -> Mesh:
    vertices, coordinates, faces = box_arrays(extents)
    texture = np.full((32, 32, 3), colour, np.uint8)
    texture[:16, :16] = 255 - texture[:16, :16]
    return make_mesh(name, vertices, coordinates, faces, texture)


def write_object(folder: Path, name: str, extents=(0.1, 0.1, 0.1), colour=(200, 60, 40)) -> None:
    """Write a box as an OBJ file with its texture, as the collections have them."""
    vertices, coordinates, faces = box_arrays(extents)
    (folder / name).mkdir(parents=True)
    lines = ['mtllib textured.mtl', 'usemtl paint']
    lines += [f'v {x} {y} {z}' for x, y, z in vertices]
    lines += [f'vt {u} {v}' for u, v in coordinates]
    lines += ['f ' + ' '.join(f'{corner + 1}/{corner + 1}' for corner in face) for face in faces]
    (folder / name / 'textured.obj').write_text('\n'.join(lines) + '\n')
    (folder / name / 'textured.mtl').write_text('newmtl paint\nmap_Kd texture_map.png\n')
    picture = np.full((64, 64, 3), colour[::-1], np.uint8)
    picture[:32] //= 2
    cv2.imwrite(str(folder / name / 'texture_map.png'), picture)
