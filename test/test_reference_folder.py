# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""References as a folder: written, edited by hand, read back."""
import json
import stat
from pathlib import Path

import cv2
import numpy as np
import pytest

from stm_ros.cli.main import main
from stm_ros.memory.snapshot import SnapshotError
from stm_ros.synthetic.clips import generate_clip
from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig
from stm_ros.tracking.reference_folder import export_references
from stm_ros.tracking.reference_folder import import_references
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import read_mask

SIZE = (96, 128)


@pytest.fixture(scope='module')
def clip():
    """Images and label maps of one target, the second moved."""
    return generate_clip('occlusion', 40, SIZE)[:3]


def make_tracker(**changes) -> Tracker:
    """A tracker whose numbers can be compared."""
    return Tracker.from_pretrained(config=TrackerConfig(**{'dtype': 'float32', **changes}))


def two_targets(clip) -> np.ndarray:
    """The label map of the first frame with a second target in a corner."""
    label_map = clip[0][1].copy()
    label_map[:20, :20] = 9
    return label_map


def test_a_library_gives_the_same_masks_bit_for_bit(clip, tmp_path):
    tracker, other = make_tracker(), make_tracker()
    tracker.add_reference(clip[0][0], two_targets(clip), {1: 'cup', 9: 'corner'}, stamp_ns=5,
                          place_hint=False)
    assert export_references(tracker, tmp_path / 'known') == 1
    assert import_references(other, tmp_path / 'known') == (1, 9)
    assert other.targets == {1: 'cup', 9: 'corner'}
    assert np.array_equal(tracker.step(clip[1][0]).soft_masks(),
                          other.step(clip[1][0]).soft_masks())


def test_a_removed_target_is_not_in_the_library_and_edits_count(clip, tmp_path):
    tracker = make_tracker()
    tracker.add_reference(clip[0][0], two_targets(clip), {1: 'cup'})
    tracker.remove_target(9)
    export_references(tracker, tmp_path / 'known')
    place = tmp_path / 'known' / 'reference_000'
    assert set(np.unique(read_mask(place / 'mask.png'))) == {0, 1}
    table = json.loads((place / 'reference.json').read_text())
    assert table['labels'] == {'1': 'cup'}
    (place / 'reference.json').write_text(json.dumps({**table, 'labels': {'1': 'blue mug'}}))
    other = make_tracker()
    import_references(other, tmp_path / 'known', streams=['wrist'])
    assert other.targets == {1: 'blue mug'} and list(other.streams) == ['wrist']


def test_a_bad_library_names_the_file_and_changes_nothing(clip, tmp_path):
    tracker, other = make_tracker(), make_tracker()
    with pytest.raises(ValueError, match='no references'):
        export_references(tracker, tmp_path / 'known')
    tracker.add_reference(clip[0][0], clip[0][1])
    with pytest.raises(InputError, match='holds no folders'):
        import_references(tracker, tmp_path)
    export_references(tracker, tmp_path / 'known')
    assert [path.name for path in tmp_path.iterdir()] == ['known']
    with pytest.raises(InputError, match=r'shows targets \[1\], which are tracked already'):
        import_references(tracker, tmp_path / 'known')
    place = tmp_path / 'known' / 'reference_000'
    cv2.imwrite(str(place / 'mask.png'), np.zeros((7, 9), np.uint8))
    with pytest.raises(InputError, match='reference_000'):
        import_references(other, tmp_path / 'known')
    (place / 'mask.png').unlink()
    with pytest.raises(InputError, match=r'mask\.png does not exist'):
        import_references(other, tmp_path / 'known')
    assert not other.bank.references() and not other.targets
    with pytest.raises(ValueError, match='not empty'):
        export_references(tracker, tmp_path / 'known')


def test_the_command_goes_from_snapshot_to_folder_and_back(clip, tmp_path, capsys):
    tracker = Tracker.from_pretrained()
    tracker.add_reference(clip[0][0], clip[0][1], {1: 'cup'})
    tracker.step(clip[1][0])
    tracker.save(tmp_path / 'memory.safetensors')
    paths = [str(tmp_path / name) for name in ('memory.safetensors', 'known', 'new.safetensors')]
    assert main(['memory', 'show', paths[0]]) == 0
    shown = capsys.readouterr().out
    assert 'target 1: cup' in shown and 'reference' in shown
    assert main(['memory', 'export', *paths[:2]]) == 0
    assert main(['memory', 'import', *paths[1:]]) == 0
    again = Tracker.from_pretrained()
    again.load(paths[2])
    assert again.targets == {1: 'cup'}
    assert len(again.bank.references()) == 1
    assert main(['memory', 'export', paths[0]]) == 2
    assert 'second path' in capsys.readouterr().err


def test_tables_that_are_none_say_what_is_accepted(clip, tmp_path):
    tracker = make_tracker()
    tracker.add_reference(clip[0][0], clip[0][1], {1: 'cup'})
    export_references(tracker, tmp_path / 'known')
    table = tmp_path / 'known' / 'reference_000' / 'reference.json'
    for text in ('', '[1]', '{"stamp_ns": 1e400}', '{"stamp_ns": NaN}', '{"stamp_ns": "x"}',
                 '{"stamp_ns": 1.5}', f'{{"stamp_ns": {2**63}}}', '{"labels": ["cup"]}',
                 '{"labels": null}', '{"labels": {"0": "x"}}', '{"labels": {"1": "\\ud800"}}',
                 '{"labels": {"1": "a\\u0000b"}}', '{"labels": {"1": {}}}', '{"stream": null}'):
        table.write_text(text)
        with pytest.raises(InputError, match=r'reference.json cannot be used.*accepted is'):
            import_references(make_tracker(), tmp_path / 'known')
    for text in ('{}', '\ufeff{"labels": {"1": 5}}'):
        table.write_text(text, encoding='utf-8')
        assert import_references(make_tracker(), tmp_path / 'known') == (1,)


def test_references_are_written_where_nothing_is(clip, tmp_path, monkeypatch):
    tracker = make_tracker()
    tracker.add_reference(clip[0][0], clip[0][1])
    (tmp_path / 'here').mkdir()
    (tmp_path / 'here' / 'notes').write_text('mine')
    monkeypatch.chdir(tmp_path / 'here')
    for place in (Path('.'), Path(''), Path('notes')):
        with pytest.raises(SnapshotError, match='not empty, or no folder'):
            export_references(tracker, place)
    assert [path.name for path in tmp_path.rglob('*')] == ['here', 'notes']
    assert export_references(tracker, Path('new/known')) == 1
    assert stat.S_IMODE(Path('new/known').stat().st_mode) == stat.S_IMODE(
        Path('new').stat().st_mode)
