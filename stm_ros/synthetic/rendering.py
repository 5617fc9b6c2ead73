# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Meshes to pixels on the processor: pyrender over OSMesa, a software OpenGL.

Needs `pip install "stm_ros[render]"`, then PyOpenGL without its dependants' pin, and the library
libOSMesa; docs/rendering.md has the lines. Only this module knows pyrender.
"""
import ctypes.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np

from stm_ros.synthetic.geometry import Camera
from stm_ros.synthetic.objects import Mesh
from stm_ros.vision.errors import InputError

MOST_LIGHTS = 4
_TOO_OLD_OPENGL = '3.1.0'
MOST_MESHES = 254
_NEAR, _FAR = 0.02, 60.0
#: OpenGL's camera looks along -z with y up
_TO_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Light:
    """Light from far away: the way it travels (3), its colour (3, linear, 1 is white), its power.

    With a power of pi it gives a white surface that faces it full white.
    """

    direction: np.ndarray
    colour: tuple[float, float, float]
    power: float


def missing_for_rendering() -> str | None:
    """Return what keeps this machine from rendering, in words, or None where it can."""
    absent = [name for name in ('trimesh', 'collada', 'pyrender', 'OpenGL')
              if find_spec(name) is None]
    if absent:
        return f'{", ".join(absent)} is not installed; see docs/rendering.md'
    if version('PyOpenGL') == _TOO_OLD_OPENGL:
        return (f'PyOpenGL {_TOO_OLD_OPENGL}, which pyrender asks for, has no OSMesa that works: '
                'pip install --no-deps -r requirements/opengl.txt')
    if ctypes.util.find_library('OSMesa') is None:
        return 'the library libOSMesa is not installed (apt-get install libosmesa6)'
    return None


def _import_pyrender() -> ModuleType:
    missing = missing_for_rendering()
    if missing is not None:
        raise InputError(f'nothing can be rendered here: {missing}')
    # read by PyOpenGL at its first import
    os.environ['PYOPENGL_PLATFORM'] = 'osmesa'
    # pyrender 0.1.45 takes the corners of meshes from a name that numpy 2 has no more
    if not hasattr(np, 'infty'):
        vars(np)['infty'] = np.inf
    import pyrender

    return pyrender


class Renderer:
    """Draws meshes that were given once, from any camera, in any place and light."""

    def __init__(self, meshes: Sequence[Mesh], size: tuple[int, int]) -> None:
        """
        Hand meshes over to OpenGL.

        :param size: (H, W) of the pictures in pixels.
        :raises InputError: where pyrender or OSMesa is absent, or for too many meshes.
        """
        if len(meshes) > MOST_MESHES:
            raise InputError(f'{len(meshes)} meshes are too many; {MOST_MESHES} are the most')
        self._pyrender = _import_pyrender()
        self._size = size
        self._scene = self._pyrender.Scene(bg_color=(0.0, 0.0, 0.0, 1.0))
        self._nodes = [self._scene.add(self._converted(mesh)) for mesh in meshes]
        self._lights: list[Any] = []
        self._canvas = self._pyrender.OffscreenRenderer(size[1], size[0])

    def close(self) -> None:
        """Give the memory back."""
        self._canvas.delete()

    def draw(self, camera: Camera, poses: Sequence[np.ndarray], lights: Sequence[Light],
             ambient: float) -> tuple[np.ndarray, np.ndarray]:
        """
        Draw all meshes.

        :param poses: one 4×4 a mesh, which may scale.
        :param lights: up to four. ambient: what comes from everywhere, 1 is full white.
        :returns: colours H×W×3 float32 sRGB 0..255, black where no mesh is, and depth H×W float32,
            metres along the optical axis, infinite where no mesh is.
        """
        self._arrange(camera, poses)
        self._illuminate(lights, ambient)
        flags = self._pyrender.RenderFlags.SKIP_CULL_FACES
        colours, depth = self._canvas.render(self._scene, flags)
        return colours.astype(np.float32), _without_nothing(depth)

    def outline(self, camera: Camera, poses: Sequence[np.ndarray]
                ) -> tuple[np.ndarray, np.ndarray]:
        """
        Draw only whose each pixel is.

        :param poses: one 4×4 a mesh, which may be flat, as those of shadows are.
        :returns: H×W uint8, 0 for none, else one more than the mesh's index; depth as `draw`.
        """
        self._arrange(camera, poses)
        render = self._pyrender.RenderFlags
        colours = {node: (index, 0, 0) for index, node in enumerate(self._nodes, start=1)}
        picture, depth = self._canvas.render(
            self._scene, render.SEG | render.SKIP_CULL_FACES, colours)
        return np.ascontiguousarray(picture[..., 0]), _without_nothing(depth)

    def _arrange(self, camera: Camera, poses: Sequence[np.ndarray]) -> None:
        if self._scene.main_camera_node is not None:
            self._scene.remove_node(self._scene.main_camera_node)
        matrix = camera.matrix
        # pyrender's picture has its middle where the pixels' corners meet, as ours
        seen = self._pyrender.IntrinsicsCamera(
            camera.focal, camera.focal, matrix[0, 2], matrix[1, 2], znear=_NEAR, zfar=_FAR)
        self._scene.main_camera_node = self._scene.add(seen, pose=camera.pose @ _TO_OPENGL)
        for node, place in zip(self._nodes, poses, strict=True):
            self._scene.set_pose(node, place)

    def _illuminate(self, lights: Sequence[Light], ambient: float) -> None:
        for node in self._lights:
            self._scene.remove_node(node)
        self._scene.ambient_light = np.full(3, ambient)
        self._lights = []
        for light in lights[:MOST_LIGHTS]:
            shining = self._pyrender.DirectionalLight(color=light.colour, intensity=light.power)
            self._lights.append(self._scene.add(shining, pose=_along(light.direction)))

    def _converted(self, mesh: Mesh) -> Any:
        texture = self._pyrender.Texture(source=mesh.texture, source_channels='RGB')
        material = self._pyrender.MetallicRoughnessMaterial(
            baseColorTexture=texture, metallicFactor=0.0, roughnessFactor=0.55, doubleSided=True)
        primitive = self._pyrender.Primitive(
            positions=mesh.vertices, normals=mesh.normals, texcoord_0=mesh.coordinates,
            indices=mesh.faces, material=material)
        return self._pyrender.Mesh([primitive])


def _without_nothing(depth: np.ndarray) -> np.ndarray:
    """Say infinite where pyrender says 0, for nothing."""
    return np.where(depth > 0, depth, np.inf).astype(np.float32)


def _along(direction: np.ndarray) -> np.ndarray:
    """Return a pose whose -z is `direction`, as pyrender's lights shine."""
    back = -np.asarray(direction, float) / np.linalg.norm(direction)
    side = np.cross([0.0, 1.0, 0.0] if abs(back[1]) < 0.9 else [1.0, 0.0, 0.0], back)
    side = side / np.linalg.norm(side)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([side, np.cross(back, side), back], axis=1)
    return matrix
