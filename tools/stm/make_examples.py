#!/usr/bin/env python3
# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Make the three example images of the tool's page from photographs that scikit-image ships.

A cup of coffee before a rocket: the reference shows it clear and upright; in the query it is
turned, tilted, bent and smaller, blurred by its motion, and the light has changed. Photographs:
coffee (CC0, Rachel Michetti), rocket (public domain, SpaceX).
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from stm_ros.synthetic.clips import generate_clip  # noqa: E402
from stm_ros.vision.image_files import write_image  # noqa: E402
from stm_ros.vision.image_files import write_label_map  # noqa: E402

SIZE = (360, 480)
FRAMES = 60
QUERY_FRAME = 20


def main() -> None:
    """Write reference, its mask (0 and 255) and query into examples/."""
    folder = Path(__file__).resolve().parent / 'examples'
    clip = generate_clip('occlusion', FRAMES, SIZE, seed=0)
    image, truth = clip[0]
    write_image(folder / 'mock_ref_img.png', image)
    write_label_map(folder / 'mock_ref_mask.png', truth * 255)
    write_image(folder / 'mock_query_img.png', clip[QUERY_FRAME][0])


if __name__ == '__main__':
    main()
