# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Bring public data sets into the layout that training reads.

Usage: python convert_training_data.py ROOT DEST [--only NAME ...]

ROOT holds one checked-out folder per repository, under the repository's own name; the page on
training data lists repositories and commits. A data set whose repository is missing is passed
over with a line that says so. DEST receives

    static/NAME/{images/STEM.jpg,masks/STEM.png}           stills
    video_more/SEQUENCE/{images/NNNNN.jpg,masks/NNNNN.png}  consecutive frames
    measure/...                                            the same, never trained on
    dev2/{JPEGImages,Annotations}/480p/SEQUENCE            DAVIS-2017 layout, for decisions

Masks are uint8: 0 background, 1..254 instances, 255 unknown. Frames have at most 480 lines.
"""
import argparse
import re
import shutil
from collections.abc import Callable
from collections.abc import Iterable
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from linked_components import CHUNK_FRAMES
from linked_components import UNKNOWN
from linked_components import Frame
from linked_components import chunks_of
from linked_components import components_of
from linked_components import renumbered

from stm_ros.vision.image_files import write_label_map

LINES = 480
"""The short side that no frame of a video exceeds."""
JPEG_QUALITY = 92


def read_labels(path: Path, channel: int = 0) -> np.ndarray:
    """Read one channel of a mask file, H×W uint8; raises OSError where it is not an image."""
    values: np.ndarray | None = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise OSError(f'cannot read the mask {path}')
    return values if values.ndim == 2 else np.ascontiguousarray(values[..., channel])


def fitted(frame: Frame) -> tuple[np.ndarray, np.ndarray, bool]:
    """Image H×W×3 uint8 BGR, label map of its size, and whether the image had to shrink."""
    image = cv2.imread(str(frame.image), cv2.IMREAD_COLOR)
    if image is None:
        raise OSError(f'cannot read the image {frame.image}')
    height, width = image.shape[:2]
    factor = LINES / min(height, width)
    shrinks = factor < 1
    if shrinks:
        width, height = round(width * factor), round(height * factor)
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    labels = frame.labels
    if labels.shape != (height, width):
        labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
    return image, labels, shrinks


def write_image(frame: Frame, image: np.ndarray, shrunk: bool, path: Path) -> None:
    """Write `image` as JPEG; the bytes of a JPEG that did not change are kept."""
    if frame.image.suffix == '.jpg' and not shrunk:
        shutil.copyfile(frame.image, path)
        return
    cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def empty_folder(folder: Path) -> Path:
    """Make `folder`; SystemExit where it holds something, which may be a user's."""
    if folder.is_symlink() or folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SystemExit(f'{folder} is there already and is not replaced: move it away, or name '
                         'another DEST')
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_sequence(folder: Path, frames: Iterable[Frame]) -> None:
    """Write images/NNNNN.jpg and masks/NNNNN.png below `folder`, numbered from 0."""
    images, masks = empty_folder(folder / 'images'), empty_folder(folder / 'masks')
    total = 0
    for index, frame in enumerate(frames):
        image, labels, shrunk = fitted(frame)
        write_image(frame, image, shrunk, images / f'{index:05d}.jpg')
        cv2.imwrite(str(masks / f'{index:05d}.png'), labels)
        total = index + 1
    print(f'{folder.name}: {total} frames')


def write_benchmark(folder: Path, name: str, frames: Iterable[Frame]) -> None:
    """Write one sequence in the DAVIS-2017 layout, its label maps as palette PNGs."""
    images = empty_folder(folder / 'JPEGImages' / '480p' / name)
    masks = empty_folder(folder / 'Annotations' / '480p' / name)
    total = 0
    for index, frame in enumerate(frames):
        image, labels, shrunk = fitted(frame)
        write_image(frame, image, shrunk, images / f'{index:05d}.jpg')
        write_label_map(masks / f'{index:05d}.png', labels)
        total = index + 1
    print(f'dev2/{name}: {total} frames')


def write_linked(folder: Path, name: str, frames: Iterable[Frame]) -> None:
    """Write the chunks of a sequence whose components are its objects as NAME_00, NAME_01, ..."""
    numbers = count()
    for chunk in chunks_of(frames):
        written = renumbered(chunk)
        if len(written) >= CHUNK_FRAMES[0] // 2:
            write_sequence(folder / f'{name}_{next(numbers):02d}', written)


def recoded(values: np.ndarray, mapping: dict[int, int], other: int = 0) -> np.ndarray:
    """`values` (H×W uint8) with each key of `mapping` replaced and all else set to `other`."""
    table = np.full(256, other, np.uint8)
    for key, value in mapping.items():
        table[key] = value
    return table[values]


def write_stills(folder: Path, images: Path, masks: Path) -> None:
    """Write the pairs whose one object is there and covers at most nine tenths."""
    empty_folder(folder / 'images'), empty_folder(folder / 'masks')
    kept = left_out = 0
    for image in sorted(images.glob('*.jpg')):
        mask = (read_labels(masks / f'{image.stem}.png') > 127).astype(np.uint8)
        if not 0 < mask.mean() <= 0.9:
            left_out += 1
            continue
        shutil.copyfile(image, folder / 'images' / image.name)
        cv2.imwrite(str(folder / 'masks' / f'{image.stem}.png'), mask)
        kept += 1
    print(f'{folder.name}: {kept} pairs, {left_out} left out')


def duts_tr(source: Path, dest: Path) -> None:
    """10,553 stills with one salient object."""
    write_stills(dest / 'static/duts_tr', source / 'DUTS-TR-Image', source / 'DUTS-TR-Mask')


def ecssd(source: Path, dest: Path) -> None:
    """1,000 stills with one salient object, to measure on."""
    data = source / 'data/ECSSD'
    write_stills(dest / 'measure/ecssd', data / 'images', data / 'ground_truth_mask')


SBI = ('Board', 'CAVIAR1', 'CaVignal', 'Candela_m1.10', 'HallAndMonitor', 'HighwayI', 'HighwayII',
       'HumanBody2', 'IBMtest2')
UCSD = ('birds', 'bottle', 'chopper', 'cyclists', 'flock', 'hockey', 'jump', 'skiing', 'peds',
        'rain')


def sbi2015(source: Path, dest: Path) -> None:
    """Nine sequences of a still camera; all moving objects are 255, their outlines 170."""
    for name in SBI:
        folder = source / 'SBI2015_dataset' / name
        pairs = list(zip(sorted((folder / 'input').iterdir()),
                         sorted((folder / 'groundtruth').iterdir()), strict=True))
        masks = [(image, read_labels(mask)) for image, mask in pairs]
        outlined = [bool((mask == 170).any()) or not mask.any() for _, mask in masks]
        # A lone frame without outlines comes from another labelling, with shadows in it.
        strict = sum(outlined) > len(outlined) / 2
        frames = [Frame(image, recoded(mask, {0: 0, 255: 1}, UNKNOWN))
                  for (image, mask), good in zip(masks, outlined, strict=True)
                  if good or not strict]
        write_linked(dest / 'video_more', f'sbi_{name.split("_")[0].lower()}', frames)


def ucsd(source: Path, dest: Path) -> None:
    """Ten grey sequences, some with a moving camera; all moving objects are 255."""
    for name in UCSD:
        folder = source / 'UCSD_dataset' / f'{name}_' / name
        frames = [Frame(folder / 'in' / f'frame_{int(mask.stem[2:])}.jpg',
                        recoded(read_labels(mask), {255: 1}))
                  for mask in sorted((folder / 'groundtruth').iterdir())]
        write_linked(dest / 'video_more', f'ucsd_{name}', frames)


def highway(source: Path, dest: Path) -> None:
    """The labelled part of CDnet's highway; shadows and outlines are unknown."""
    folder = source / 'highway'
    frames = (Frame(folder / f'input/in{number:06d}.jpg',
                    recoded(read_labels(folder / f'groundtruth/gt{number:06d}.png'),
                            {0: 0, 255: 1}, UNKNOWN))
              for number in range(470, 1701))
    write_linked(dest / 'video_more', 'cdnet_highway', frames)


def handed(source: Path, dest: Path) -> None:
    """Robot arms and blocks, every fifth frame of two slow videos; binary masks."""
    for task, suffix in (('Three', 'png'), ('Two', 'jpg')):
        folder = source / 'Data' / f'{task} Handed Task'
        frames = [Frame(image, (read_labels(folder / 'binary_masks' / f'{image.stem}.{suffix}')
                                > 127).astype(np.uint8))
                  for image in sorted((folder / 'raw_images').glob('*.jpg'))[::5]]
        write_linked(dest / 'video_more', f'robot_arms_{task.lower()}', frames)


def lesson(source: Path, dest: Path) -> None:
    """A tabletop with seven objects: the labelled frames, about one a second."""
    frames = (Frame(image, read_labels(source / 'dataset/masks' / f'{image.stem}.png'))
              for image in sorted((source / 'dataset/images').glob('*.jpg')))
    write_sequence(dest / 'video_more/tabletop_lesson', frames)


def vocalfolds(source: Path, dest: Path) -> None:
    """Endoscopy: pathology, tool and tube are objects, tissue is background."""
    for folder in sorted((source / 'img').glob('patient*/seq*')):
        labelled = source / 'annot' / folder.relative_to(source / 'img')
        frames = [Frame(image, recoded(read_labels(labelled / image.name), {4: 1, 5: 2, 6: 3}))
                  for image in sorted(folder.glob('*.png'))]
        shown = [frame for frame in frames if frame.labels.any()]
        if len(shown) >= len(frames) / 2:
            write_sequence(dest / 'video_more' / f'vocalfolds_{folder.name}', shown)


def bear(source: Path, dest: Path) -> None:
    """A bear before a moving camera: the labelled frames, every twentieth."""
    folder = source / 'bear02'
    masks = sorted(path for path in (folder / 'GroundTruth').glob('*_gt.ppm')
                   if re.fullmatch(r'bear02_\d+_gt', path.stem))
    # The bear is cyan on white: only its red channel is 0.
    frames = (Frame(folder / f'{mask.stem[:-3]}.jpg',
                    (read_labels(mask, channel=2) == 0).astype(np.uint8)) for mask in masks)
    write_sequence(dest / 'video_more/bear02', frames)


def segtrack_bmx(source: Path, dest: Path) -> None:
    """A bicycle in the air; its rider is background."""
    images = sorted((source / 'dataset').glob('*/x/*.png'), key=lambda path: path.name)
    frames = (Frame(image, (read_labels(image.parents[1] / 'y' / image.name) > 127)
                    .astype(np.uint8)) for image in images)
    write_sequence(dest / 'video_more/segtrack_bmx', frames)


def chair(source: Path, dest: Path) -> None:
    """A turning chair beside one that looks alike, to measure on."""
    folder = source / 'example_videos/chair'
    frames = (Frame(image, (read_labels(folder / 'Annotations' / f'{image.stem}.png', channel=2)
                            > 0).astype(np.uint8))
              for image in sorted((folder / 'JPEGImages').glob('*.jpg')))
    write_sequence(dest / 'measure/chair', frames)


TABLETOP_SLIPS = {1: (7, 2), 12: (4, 2)}
"""Frame: (id, true id) of the smaller of two components with that id."""


def tabletop(source: Path, dest: Path) -> None:
    """Six objects before a moving phone; the ring (id 6) is left out: some masks fill its hole."""
    frames = []
    for image in sorted((source / 'dataset/images').glob('*.jpg')):
        labels = read_labels(source / 'dataset/masks' / f'{image.stem}.png')
        slip = TABLETOP_SLIPS.get(int(image.stem[-4:]))
        if slip:
            labels[min(components_of(labels == slip[0]), key=np.sum)] = slip[1]
        frames.append(Frame(image, recoded(labels, {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 7: 6})))
    write_benchmark(dest / 'dev2', 'tabletop', frames)


DESK_FRAMES = {
    'desk-left': (2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 21, 25, 26, 27),
    'desk-right': (28, 32, 33, 34, 35, 36, 40, 42, 43, 45, 46, 49, 50, 51, 52, 53, 54, 55, 58, 59),
}
"""The frames on which no handle is missing."""


def desk(source: Path, dest: Path) -> None:
    """Cup, knife, bottle and brush, two views; the fork (id 3) is left out: handles are missing."""
    for name, numbers in DESK_FRAMES.items():
        frames = (Frame(source / f'images/frame_{number:04d}.jpg',
                        recoded(read_labels(source / f'masks/frame_{number:04d}.png'),
                                {1: 1, 2: 2, 4: 3, 5: 4}))
                  for number in numbers)
        write_benchmark(dest / 'dev2', name, frames)


DATA_SETS: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    'duts_tr': ('DUTS-TR', duts_tr),
    'sbi2015': ('FgSegNet', sbi2015),
    'ucsd': ('FgSegNet', ucsd),
    'highway': ('FrameDifference', highway),
    'lesson': ('SemanticSegmentationLesson', lesson),
    'handed': ('Real-Time-Video-Segmentation-for-Autonomous-Manipulation', handed),
    'vocalfolds': ('vocalfolds', vocalfolds),
    'bear': ('Background_Subtraction_with_a_Freely_Moving_Camera', bear),
    'segtrack_bmx': ('Foreground-Segemenation-SegTrackV2', segtrack_bmx),
    'chair': ('XMem2', chair),
    'ecssd': ('U2Net-ECSSD-Evaluation', ecssd),
    'tabletop': ('neuro_network', tabletop),
    'desk': ('object_classification', desk),
}
"""Name: the repository's folder below ROOT, and what converts it."""


def list_benchmark(folder: Path) -> None:
    """Write ImageSets/2017/dev2.txt for the sequences that are there."""
    sequences = sorted(path.name for path in (folder / 'JPEGImages/480p').glob('*'))
    if sequences:
        (folder / 'ImageSets/2017').mkdir(parents=True, exist_ok=True)
        (folder / 'ImageSets/2017/dev2.txt').write_text('\n'.join(sequences) + '\n')


def main() -> None:
    """Convert what the command line names."""
    parser = argparse.ArgumentParser(description='Convert public data sets for training.')
    parser.add_argument('root', type=Path, help='the folder of the checked-out repositories')
    parser.add_argument('dest', type=Path, help='the folder to write to')
    parser.add_argument('--only', nargs='+', choices=DATA_SETS, default=list(DATA_SETS),
                        metavar='NAME', help=f'convert these: {", ".join(DATA_SETS)}')
    options = parser.parse_args()
    cv2.setNumThreads(1)
    for name in options.only:
        repository, convert = DATA_SETS[name]
        source = options.root / repository
        if source.is_dir():
            convert(source, options.dest)
        else:
            print(f'{name}: left out, {source} is missing')
    list_benchmark(options.dest / 'dev2')


if __name__ == '__main__':
    main()
