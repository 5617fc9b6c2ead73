# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Where stm writes: nothing is replaced or deleted but what stm wrote there itself.

A folder of results holds a manifest of the files that stm wrote, each with its digest. New results
are made in a hidden folder inside it and moved into place once they are whole. A file that the
manifest does not list, or that was changed since, is the user's: it is never touched, and where it
is in the way the command is refused before any work.
"""
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pathlib import PurePosixPath
from tempfile import mkdtemp
from types import TracebackType

from stm_ros.vision.errors import InputError

MANIFEST = 'stm_manifest.json'
_STAGING = '.stm_partial_'
_CHUNK = 1 << 20
# stands for the digest of a file that goes on changing
_LIVING = 'any'
_Digests = dict[str, list[str]]


class OutputFolder:
    """
    A folder of results, used in a `with` statement; files are written below `staging`.

    Leaving the block moves them into the folder. Where the block raises, they are thrown away and
    what was there before stays, unless `keep_partial` was set to true.
    """

    def __init__(self, path: str | Path, names: Iterable[str], inputs: Iterable[str | Path] = (),
                 shared: bool = False) -> None:
        """
        Check that `names` may be written; nothing is changed.

        :param names: the files and subfolders to be written, relative to `path`.
        :param inputs: files and folders that are read, which must stay as they are.
        :param shared: whether earlier results under other names, and inputs, may lie beside;
            otherwise all results of an earlier run are replaced.
        :raises InputError: where the folder holds or is an input, a name is taken by a file that
            stm did not write or that was changed since, or the path is a file.
        """
        self.path = Path(path)
        self.keep_partial = False
        self.staging = self.path
        self._shared = shared
        self._inputs = [Path(each) for each in inputs]
        self._names = list(names)
        _refuse_unwritable(self.path)
        if not shared:
            refuse_overlap(self.path, self._inputs)
        self._check()

    def __enter__(self) -> 'OutputFolder':
        """Make the folder and the hidden one for what is being written."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._remove_left_over()
        self.staging = Path(mkdtemp(prefix=_STAGING, dir=self.path))
        _write_manifest(self.staging, {}, os.getpid())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Move the results into place, or throw them away."""
        if kind is None or self.keep_partial:
            try:
                self._publish()
            except (InputError, OSError) as refusal:
                # without its manifest, no later run takes it for its own
                (self.staging / MANIFEST).unlink(missing_ok=True)
                raise InputError(f'{refusal}; the results are in {self.staging}') from refusal
        shutil.rmtree(self.staging, ignore_errors=True)

    def _check(self) -> None:
        listed = _read_manifest(self.path)
        replaced = set() if self._shared else set(listed)
        for name in {*self._names, *replaced}:
            _refuse_links(self.path, name)
        for name in self._names:
            place = self.path / name
            if name == MANIFEST:
                raise InputError(f'{place} is where stm lists its results: name another file')
            replaced.update(_files_of(self.path, place))
        foreign = sorted(replaced - set(listed))
        for name in sorted(replaced):
            self._refuse_input(name)
            if name in foreign:
                raise InputError(
                    f'{self.path / name} was not written by stm (no {MANIFEST} beside lists it) '
                    f'and would be replaced{_and_others(foreign[1:])}: name another output '
                    'folder, or move away or remove what is in the way')
            if not _is_unchanged(self.path / name, listed[name]):
                raise InputError(
                    f'{self.path / name} was changed since stm wrote it and would be replaced: '
                    'name another output folder, or move it away')

    def _refuse_input(self, name: str) -> None:
        for given in self._inputs:
            if _is_same(self.path / name, given):
                raise InputError(f'{self.path / name} would be replaced, and it is an input '
                                 f'({given}): name another output')

    def _publish(self) -> None:
        # an earlier run may have ended, or the user may have worked here, in the meantime
        self._check()
        listed = _read_manifest(self.path)
        new = {name: [_digest(self.staging / name)]
               for name in _files_of(self.staging, self.staging) if name != MANIFEST}
        kept = {name: digests for name, digests in listed.items()
                if self._shared or digests == [_LIVING]}
        # both, so that a kill between here and the end leaves no file that nobody owns
        _write_manifest(self.path, {
            name: listed.get(name, []) + new.get(name, []) for name in {*listed, *new}})
        for name in set(listed) - set(new) - set(kept):
            (self.path / name).unlink(missing_ok=True)
        for name in new:
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.staging / name, self.path / name)
        _prune(self.path, set(listed) - set(new))
        _write_manifest(self.path, {**kept, **new})

    def _remove_left_over(self) -> None:
        """Remove what runs that were killed were writing."""
        for folder in self.path.glob(f'{_STAGING}*'):
            owner = _owner_of(folder)
            if owner is not None and not is_running(owner):
                shutil.rmtree(folder, ignore_errors=True)


def _refuse_unwritable(folder: Path) -> None:
    """Find out before any work that a folder cannot be made or written."""
    place = folder
    while not place.exists():
        if place.is_symlink():
            raise InputError(f'the output folder {folder} cannot be written: {place} is a link to '
                             f'{os.readlink(place)}, which does not exist')
        place = place.parent
    if not place.is_dir():
        raise InputError(f'the output folder {folder} cannot be written: {place} is a file')
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f'the output folder {folder} cannot be written: {place} is read-only for '
                         'this user; name another')


def _refuse_links(root: Path, name: str) -> None:
    """What lies behind a link in a folder of results is kept elsewhere, and not ours to replace."""
    place = root
    for part in PurePosixPath(name).parts:
        place /= part
        if place.is_symlink():
            raise InputError(f'{place} is a link; stm writes and replaces no results through links:'
                             ' name another output folder, or move the link away')


def refuse_overlap(output: Path, inputs: Iterable[Path]) -> None:
    """Make sure that a folder to be written neither is nor holds one of the inputs.

    :raises InputError: naming both where it does.
    """
    for given in inputs:
        place = given.resolve()
        for holder in (place, *place.parents):
            if _is_same(holder, output):
                what = 'is' if holder == place else 'holds'
                raise InputError(f'the output {output} {what} the input {given}, which could be '
                                 'overwritten: name another output folder')


def own_living_files(folder: Path, names: Iterable[str], inputs: Iterable[str | Path] = (),
                     adopted: Iterable[str] = ()) -> None:
    """List files in their folder's manifest that go on changing, such as logs.

    :param inputs: files that are read, which must stay as they are.
    :param adopted: those of `names` that stm wrote although nothing lists them.
    :raises InputError: where there is one that stm did not write, or that is an input; then none
        is listed.
    """
    named, known, given = list(names), set(adopted), list(inputs)
    OutputFolder(folder, [name for name in named if name not in known], given, shared=True)
    for name in known:
        for each in given:
            if _is_same(folder / name, Path(each)):
                raise InputError(f'{folder / name} would be replaced, and it is an input: name '
                                 'another output')
    folder.mkdir(parents=True, exist_ok=True)
    _write_manifest(folder, {**_read_manifest(folder), **{name: [_LIVING] for name in named}})


def has_manifest(folder: Path) -> bool:
    """Whether stm says in a folder what it wrote there."""
    return (folder / MANIFEST).is_file()


def write_result(path: Path, content: bytes) -> None:
    """Write one file of results, whole or not at all, and list it in its folder's manifest.

    :raises InputError: where there is one that stm did not write, or that was changed since.
    """
    OutputFolder(path.parent, [path.name], shared=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    listed, digest = _read_manifest(path.parent), hashlib.sha256(content).hexdigest()
    # both, so that a kill in between leaves no file that nobody owns
    _write_manifest(path.parent, {**listed, path.name: [*listed.get(path.name, []), digest]})
    write_atomically(path, content)
    _write_manifest(path.parent, {**listed, path.name: [digest]})


@contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """Yield a path to write to; the file appears as `path` once it is whole.

    :raises InputError: where `path` exists already; nothing is overwritten.
    """
    target = Path(path)
    refuse_existing(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(mkdtemp(prefix=_STAGING, dir=target.parent))
    try:
        yield partial / target.name
        os.replace(partial / target.name, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def refuse_existing(path: Path) -> None:
    """Make sure that there is nothing at `path`.

    :raises InputError: where there is.
    """
    if path.exists() or path.is_symlink():
        raise InputError(f'{path} exists already and is not overwritten: name another file, or '
                         'move it away')
    _refuse_unwritable(path.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is either the old one or the new one at any moment."""
    partial = path.with_name(f'{_STAGING}{os.getpid()}_{path.name}')
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _and_others(names: list[str]) -> str:
    """The files beside a first one, in words."""
    if not names:
        return ''
    left = f' and {len(names) - 3} more' if len(names) > 3 else ''
    return f', as would {", ".join(names[:3])}{left}'


def _files_of(root: Path, place: Path) -> list[str]:
    """The files at or below `place`, relative to `root`; hidden ones, which nobody writes, not."""
    if not place.exists():
        return []
    files = [place] if place.is_file() else sorted(
        path for path in place.rglob('*') if path.is_file() or path.is_symlink())
    names = [path.relative_to(root) for path in files]
    return [name.as_posix() for name in names
            if not any(part.startswith('.') for part in name.parts) and name.name != 'Thumbs.db']


def _read_manifest(folder: Path) -> _Digests:
    """The files that stm wrote into `folder`, with the digests that each may have."""
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    try:
        files = json.loads(path.read_text(encoding='utf-8-sig'))['files']
        digests = {str(name): [str(each) for each in allowed] for name, allowed in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f'{path} is no manifest of stm: name another output folder') from error
    for name in digests:
        if PurePosixPath(name).is_absolute() or '..' in PurePosixPath(name).parts:
            raise InputError(f'{path} lists {name!r}, which lies outside: name another folder')
    return digests


def _write_manifest(folder: Path, files: _Digests, owner: int | None = None) -> None:
    content = {'about': 'Files written by stm, with their SHA-256. The next run into this folder '
                        'replaces these, where they are unchanged, and nothing else.',
               'files': dict(sorted(files.items())),
               **({} if owner is None else {'written_by_process': owner})}
    write_atomically(folder / MANIFEST, (json.dumps(content, indent=1) + '\n').encode())


def _owner_of(staging: Path) -> int | None:
    try:
        owner = json.loads((staging / MANIFEST).read_text(encoding='utf-8'))['written_by_process']
        return int(owner)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_running(process: int) -> bool:
    """Whether there is a process of this number on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_unchanged(path: Path, allowed: list[str]) -> bool:
    return not path.exists() or path.is_file() and (
        _LIVING in allowed or _digest(path) in allowed)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths are one place, by whatever name."""
    if one.exists() and other.exists():
        return os.path.samefile(one, other)
    return one.resolve() == other.resolve()


def _prune(root: Path, names: Iterable[str]) -> None:
    """Remove the folders that are empty without `names`."""
    folders = {parent for name in names for parent in PurePosixPath(name).parents}
    for folder in sorted(folders - {PurePosixPath('.')}, key=lambda each: -len(each.parts)):
        place = root / folder
        if place.is_dir() and not any(place.iterdir()):
            place.rmdir()
