# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What holds and hides things: hands with a forearm and grippers, made of tapered tubes."""
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator

from stm_ros.synthetic.objects import Mesh
from stm_ros.synthetic.objects import make_mesh

_ROUND = 14
_CAP_RINGS = 4
_ARM = 0.7
#: sRGB of skin from light to dark, and of gloves
_SKINS = ((236, 196, 172), (214, 164, 132), (176, 122, 88), (120, 80, 56), (84, 56, 42))
_GLOVES = ((60, 96, 168), (235, 235, 230), (40, 40, 44), (196, 120, 40))
_METALS = ((70, 72, 76), (168, 170, 174), (230, 228, 222), (200, 60, 40))


class Tube(NamedTuple):
    """From one point to another (3 each, metres), with a radius at each end, and how many sides."""

    start: np.ndarray
    end: np.ndarray
    first: float
    last: float
    sides: int = _ROUND


def make_hand(grip: float, random: Generator) -> Mesh:
    """
    Return a hand that holds something of radius `grip` (metres) at the origin.

    Its forearm leaves along +x; fingers lie over the thing's +z side, the thumb under it.
    """
    thick = 0.0095
    back = grip + 0.012
    wrist = np.array([back + 0.075, 0.0, 0.0])
    tubes = [Tube(wrist, np.array([wrist[0] + _ARM, 0.0, -0.05]), 0.029, 0.045)]
    for place in (-0.033, -0.011, 0.011, 0.033):
        knuckle = np.array([back + 0.005, place, 0.022])
        middle = np.array([0.35 * grip, 1.05 * place, grip + thick])
        tip = np.array([-0.62 * grip - 0.01 * random.random(), 0.9 * place, 0.72 * grip + thick])
        tubes += [Tube(wrist + [-0.01, 0.6 * place, 0.0], knuckle, 0.019, 0.0125),
                  Tube(knuckle, middle, 0.0115, thick), Tube(middle, tip, thick, 0.0078)]
    ball = np.array([back + 0.03, -0.034, -0.018])
    joint = np.array([0.55 * grip, -0.03, -grip - thick])
    tubes += [Tube(wrist, ball, 0.024, 0.017), Tube(ball, joint, 0.015, 0.011),
              Tube(joint, np.array([-0.25 * grip, -0.012, -grip - 0.4 * thick]), 0.011, 0.0085)]
    colours = _SKINS if random.random() < 0.75 else _GLOVES
    return _tubes_mesh('hand', tubes, colours[random.integers(len(colours))], 0.07, random)


def make_gripper(grip: float, random: Generator) -> Mesh:
    """Return a parallel gripper that holds something of radius `grip` at the origin; arm to +x."""
    palm = np.array([grip + 0.05, 0.0, 0.0])
    tubes = [Tube(palm + [0.02, 0, 0], palm + [_ARM, 0, 0.05], 0.04, 0.05),
             Tube(palm - [0, 0, grip + 0.02], palm + [0, 0, grip + 0.02], 0.024, 0.024, 4)]
    for side in (-1, 1):
        height = side * (grip + 0.008)
        root = np.array([palm[0], 0.0, height])
        tubes.append(Tube(root, np.array([-0.5 * grip, 0.0, height]), 0.015, 0.011, 4))
    return _tubes_mesh('gripper', tubes, _METALS[random.integers(len(_METALS))], 0.03, random)


def _tubes_mesh(name: str, tubes: list[Tube], colour: tuple[int, int, int], roughness: float,
                random: Generator) -> Mesh:
    """Join tubes; the origin stays where it is."""
    vertices, coordinates, faces = [], [], []
    count = 0
    for tube in tubes:
        points, places, triangles = tube_surface(tube)
        vertices.append(points)
        coordinates.append(places)
        faces.append(triangles + count)
        count += len(points)
    points = np.concatenate(vertices)
    mesh = make_mesh(name, points, np.concatenate(coordinates), np.concatenate(faces),
                     _skin(colour, roughness, random))
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    return Mesh(name, (mesh.vertices + middle).astype(np.float32), mesh.normals,
                mesh.coordinates, mesh.faces, mesh.texture, mesh.support + middle)


def tube_surface(tube: Tube) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a closed tube with round ends: vertices N×3, texture coordinates N×2, faces M×3."""
    axis = np.asarray(tube.end, float) - tube.start
    length = float(np.linalg.norm(axis))
    axis = axis / length
    side = np.cross(axis, [0.0, 1.0, 0.0] if abs(axis[1]) < 0.9 else [1.0, 0.0, 0.0])
    side = side / np.linalg.norm(side)
    turns = 2 * np.pi * np.arange(tube.sides) / tube.sides + np.pi / tube.sides
    circle = np.outer(np.cos(turns), side) + np.outer(np.sin(turns), np.cross(axis, side))
    bends = np.linspace(0, np.pi / 2, _CAP_RINGS + 1)
    rings = [(-tube.first * np.cos(bend), tube.first * max(np.sin(bend), 1e-3)) for bend in bends]
    rings += [(length + tube.last * np.sin(bend), tube.last * max(np.cos(bend), 1e-3))
              for bend in bends]
    vertices = np.concatenate([tube.start + along * axis + radius * circle
                               for along, radius in rings])
    coordinates = np.array([(place / tube.sides, ring / (len(rings) - 1))
                            for ring in range(len(rings)) for place in range(tube.sides)])
    faces = []
    for ring in range(len(rings) - 1):
        for place in range(tube.sides):
            here, beside = ring * tube.sides + place, ring * tube.sides + (place + 1) % tube.sides
            faces += [(here, beside, here + tube.sides),
                      (beside, beside + tube.sides, here + tube.sides)]
    return vertices, coordinates, np.array(faces)


def _skin(colour: tuple[int, int, int], roughness: float, random: Generator) -> np.ndarray:
    """Return a texture (64×64×3 uint8) of one colour that varies by a share, coarse and fine."""
    coarse = cv2.resize(random.normal(0, 1, (8, 8)).astype(np.float32), (64, 64),
                        interpolation=cv2.INTER_CUBIC)
    shade = 1 + roughness * (coarse + 0.4 * random.normal(0, 1, (64, 64)))
    return (np.array(colour) * shade[..., None]).clip(0, 255).astype(np.uint8)
