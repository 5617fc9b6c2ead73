# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The frames of a folder or pattern of image files: in natural order, and what is odd about them.

Numbers are those of the files that are there; nothing is guessed from where they start or step.
"""
import re
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import IMAGE_SUFFIXES
from stm_ros.vision.image_folders import files_in

_NUMBER = re.compile(r'\d+')
_DOTTED = re.compile(r'(?<!\d)\d{1,8}\.(\d+)$')
_PLACE = re.compile(r'%0?\d*d')
_SAME_SUFFIX = {'.jpeg': '.jpg', '.tiff': '.tif'}
# longer ones are stamps, which no camera counts up by one
_LONGEST_COUNTER = 8
_MOST_TOLD = 4


@dataclass(frozen=True)
class ImageSequence:
    """Image files in their order, and what a person should know of them."""

    paths: tuple[Path, ...]
    notes: tuple[str, ...]


def find_images(place: Path) -> ImageSequence:
    """The images of a folder, or those that a pattern such as `f_*.png` or `%05d.png` names.

    :raises InputError: where frames and something else (masks, a second camera) are numbered alike
        in one folder, or the pattern is none.
    """
    if not place.is_dir() and '%' in place.name:
        paths = _numbered(place)
        return ImageSequence(tuple(paths), tuple(_gaps(paths)))
    folder = place if place.is_dir() else place.parent
    paths = files_in(folder, IMAGE_SUFFIXES) if folder.is_dir() else []
    if folder != place:
        paths = [path for path in paths if fnmatchcase(path.name, place.name)]
    _refuse_twice(paths, folder)
    return ImageSequence(tuple(paths), (
        *_mixtures(paths, folder), *_gaps(paths), *_unclear_decimals(paths)))


def _numbered(pattern: Path) -> list[Path]:
    """The files that a pattern with one `%d` names, by their numbers."""
    places = _PLACE.findall(pattern.name)
    if len(places) != 1:
        raise InputError(f'{pattern} has no single number in its name, such as %05d')
    if not pattern.parent.is_dir():
        return []
    before, _, after = (pattern.stem + pattern.suffix.lower()).partition(places[0])
    found = {}
    for path in files_in(pattern.parent, IMAGE_SUFFIXES):
        name = path.name.removesuffix(path.suffix) + path.suffix.lower()
        number = name[len(before):len(name) - len(after)]
        # the pattern decides, so that %05d does not take 7.png for 00007.png
        if number.isdecimal() and name == before + places[0] % int(number) + after:
            found[int(number)] = path
    return [found[number] for number in sorted(found)]


def _form(path: Path) -> str:
    """A name without its numbers, such as `frame_#.png`."""
    suffix = path.suffix.lower()
    return _NUMBER.sub('#', path.stem) + _SAME_SUFFIX.get(suffix, suffix)


def _refuse_twice(paths: list[Path], folder: Path) -> None:
    """Refuse names that are one number written in two ways, such as 1.png and 01.png."""
    known: dict[tuple[str, tuple[int, ...]], Path] = {}
    for path in paths:
        numbers = tuple(int(each) for each in _NUMBER.findall(path.stem))
        other = known.setdefault((_form(path), numbers), path)
        # of decimals, 0.5 and 0.05 are two
        if other is not path and '.' not in path.stem:
            raise InputError(f'{folder} holds two images of one number, {other.name} and '
                             f'{path.name}: keep them apart, or name the pattern of one kind')


def _mixtures(paths: list[Path], folder: Path) -> list[str]:
    """Refuse names of several forms that count alike; tell of other forms beside."""
    forms: dict[str, set[tuple[int, ...]]] = {}
    for path in paths:
        numbers = tuple(int(each) for each in _NUMBER.findall(path.stem))
        forms.setdefault(_form(path), set()).add(numbers)
    if len(forms) < 2:
        return []
    sizes = Counter({form: len(numbers) for form, numbers in forms.items()})
    told = ', '.join(f'{form} ({count})' for form, count in sizes.most_common(_MOST_TOLD))
    seen: set[tuple[int, ...]] = set()
    for counted in forms.values():
        if seen & counted - {()}:
            first = sizes.most_common(1)[0][0]
            raise InputError(
                f'{folder} holds images of several kinds with the same numbers: {told}. Masks, or '
                "a second camera? Name the frames' pattern, such as "
                f'{folder / first.replace("#", "*")!s}, or keep them apart')
        seen |= counted
    return [f'{folder} holds images of several kinds, all taken as frames: {told}']


def _unclear_decimals(paths: list[Path]) -> list[str]:
    """Tell how 0.5 and 0.25 are ordered, which may be versions or seconds."""
    found = [_DOTTED.search(path.stem) for path in paths]
    if not all(found) or len({len(each[1]) for each in found if each}) < 2:
        return []
    return ['the names end in numbers with dots, which are ordered as 0.5 before 0.25: seconds '
            'need equally many digits']


def _gaps(paths: list[Path]) -> list[str]:
    """Where numbers are missing, by the usual step from one file to the next."""
    counters = [_NUMBER.findall(path.stem)[-1:] for path in paths]
    if len(paths) < 3 or len({_form(path) for path in paths}) > 1 or not all(
            counter and len(counter[0]) <= _LONGEST_COUNTER for counter in counters):
        return []
    numbers = [int(counter[0]) for counter in counters]
    steps = Counter(after - before for before, after in zip(numbers, numbers[1:], strict=False))
    usual, times = steps.most_common(1)[0]
    if usual < 1 or 2 * times <= len(numbers) - 1:
        return []
    notes = [f'the numbers go in steps of {usual}: every frame there is is taken as the next'
             ] if usual > 1 else []
    holes = [(before, after) for before, after in zip(numbers, numbers[1:], strict=False)
             if after - before > usual]
    if holes:
        missing = sum((after - before) // usual - 1 for before, after in holes)
        where = ', '.join(f'between {one} and {other}' for one, other in holes[:_MOST_TOLD])
        notes.append(f'{missing} frames are missing {where}'
                     + (' ...' if len(holes) > _MOST_TOLD else '')
                     + '; the frames after a gap follow at once')
    return notes
