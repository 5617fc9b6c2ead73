# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A library of bags and several workers: nothing is lost, nothing is done twice."""
import csv
import json
import os
import shutil
from functools import partial
from html import escape
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from fleet_arithmetic import Arithmetic
from fleet_arithmetic import broken
from fleet_helpers import FRAMES
from fleet_helpers import SIZE
from fleet_helpers import damage
from fleet_helpers import dying
from fleet_helpers import make_library
from fleet_helpers import options
from fleet_helpers import write_bag

from stm_ros.cli.fleet import make_pool
from stm_ros.cli.main import main
from stm_ros.fleet import results
from stm_ros.fleet.comparing import Comparison
from stm_ros.fleet.comparing import WorstFrame
from stm_ros.fleet.comparing import read_entries
from stm_ros.fleet.library import Recording
from stm_ros.fleet.library import library_at
from stm_ros.fleet.library import read_library
from stm_ros.fleet.pool import PoolError
from stm_ros.fleet.pool import ProcessPool
from stm_ros.fleet.replaying import FleetSettings
from stm_ros.fleet.replaying import Outcome
from stm_ros.fleet.replaying import ReplayWorker
from stm_ros.fleet.report import write_report
from stm_ros.fleet.results import write_tables
from stm_ros.synthetic.clips import generate_clip
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import read_mask

HAS_RAY = find_spec('ray') is not None
needs_ray = pytest.mark.skipif(
    not HAS_RAY, reason='needs Ray: .venv/bin/pip install -r requirements/fleet.txt')
ENGINES = ['processes', pytest.param('ray', marks=needs_ray)]


@pytest.fixture(scope='module')
def library(tmp_path_factory) -> Path:
    """Three good bags, and a damaged one among them."""
    folder = make_library(tmp_path_factory.mktemp('fleet') / 'library', 4)
    damage(folder / 'bag1')
    return folder


@pytest.fixture(scope='module')
def alone(library, tmp_path_factory) -> Path:
    """The same, replayed one after another in this process."""
    out = tmp_path_factory.mktemp('alone')
    worker = ReplayWorker(FleetSettings(str(out)))
    for recording in read_library(library, {}):
        worker.do(recording)
    return out


def masks(out: Path, name: str) -> list[np.ndarray]:
    """All label maps of a recording."""
    return [read_mask(path) for path in sorted((out / 'recordings' / name / 'masks').iterdir())]


def test_processes_do_every_task_and_survive_the_death_of_some():
    with ProcessPool(partial(Arithmetic, 1000), 2, retries=1) as pool:
        answers = sorted(pool.run([3, 13, 7, 5]), key=lambda answer: answer.index)
        assert [answer.value and answer.value[0] for answer in answers] == [1009, None, None, 1025]
        assert 'brings bad luck' in answers[1].error and not answers[1].was_lost
        assert answers[2].was_lost and answers[2].losses == 2
        assert 'exit code -9' in answers[2].error
        again = list(pool.run([1, 2]))
        assert {answer.value[0] for answer in again} == {1001, 1004}
        assert {answer.value[1] for answer in again} <= set(pool.pids)
        pids = pool.pids
    assert all(not Path(f'/proc/{pid}').exists() for pid in pids)


def test_workers_that_cannot_begin_are_told():
    with ProcessPool(broken, 1) as pool, pytest.raises(PoolError, match='weights are not here'):
        list(pool.run([1]))


@pytest.mark.parametrize('engine', ENGINES)
def test_a_worker_that_is_killed_on_the_way_loses_nothing(engine, library, alone, tmp_path,
                                                          monkeypatch):
    # where Ray's workers find the worker that dies
    monkeypatch.setenv('PYTHONPATH', str(Path(__file__).parent))
    out = tmp_path / 'out'
    settings = FleetSettings(str(out))
    recordings = read_library(library, {})
    assert [recording.name for recording in recordings] == ['bag0', 'bag1', 'bag2', 'bag3']
    pool, words = make_pool(options(engine=engine), dying(settings, 'bag2', tmp_path, 1), 4)
    assert words.startswith('2 ')
    with pool:
        answers = {answer.index: answer for answer in pool.run(recordings)}
    assert len(list(tmp_path.glob('died-*'))) == 1
    assert [answers[index].losses for index in range(4)] == [0, 0, 1, 0]
    outcomes = [answers[index].value for index in range(4)]
    assert 'bag1' in outcomes[1].reason and outcomes[1].frames == 0
    for index in (0, 2, 3):
        assert outcomes[index].reason is None and outcomes[index].frames == FRAMES
        name = f'bag{index}'
        for one, other in zip(masks(out, name), masks(alone, name), strict=True):
            assert (one == other).all() and (one == 1).any()
        assert list((out / 'recordings' / name / 'bag').glob('*.mcap'))
        predictions = [(place / 'recordings' / name / 'predictions.json').read_bytes()
                       for place in (out, alone)]
        assert predictions[0] == predictions[1]


def test_a_library_may_be_given_as_a_file_address(library):
    assert library_at(f'file://{library}') == library_at(str(library)) == library
    assert library_at('file:///a%20b') == Path('/a b')


def test_the_command_goes_on_where_it_stopped_and_says_what_differs(tmp_path, capsys):
    library = make_library(tmp_path / 'library', 3)
    damage(library / 'bag1')
    out = tmp_path / 'out'
    command = ['fleet', str(library), '--workers', '1', '--engine', 'processes']
    assert main([*command, '--out', str(out)]) == 1
    said = capsys.readouterr()
    assert '3 recordings: 2 done, 1 failed' in said.out and '[3/3]' in said.err
    page = (out / 'report.html').read_text()
    assert 'bag1' in page and 'class="failed"' in page and page.count('<polyline') == 2
    assert 'http' not in page.replace('http-equiv', ''), 'the page needs nothing else'

    shutil.rmtree(library / 'bag1')
    assert main([*command, '--out', str(out), '--expect', str(out)]) == 2, 'it would be replaced'
    again = shutil.copytree(out, tmp_path / 'again')
    stamps = {path: path.stat().st_mtime_ns for path in (again / 'recordings').rglob('*.png')}
    assert main([*command, '--out', str(again), '--expect', str(out)]) == 0
    assert '2 as expected' in capsys.readouterr().out
    assert stamps == {path: path.stat().st_mtime_ns
                      for path in (again / 'recordings').rglob('*.png')}, 'it was done again'

    # other settings: what differs, as pictures, and exit code 1
    other = tmp_path / 'other'
    assert main([*command, '--out', str(other), '--expect', str(out), '--set', 'input_size=32',
                 '--min-iou', '0.999']) == 1
    said = capsys.readouterr().out
    assert 'differs' in said or 'worse' in said
    page = (other / 'report.html').read_text()
    assert 'frames differ' in page and page.count('data:image/jpeg;base64,') >= 2
    [first, _] = json.loads((other / 'fleet.json').read_text())
    worst = first['comparison']['worst']
    assert [frame['iou'] for frame in worst] == sorted(frame['iou'] for frame in worst)
    assert worst[0]['iou'] < 0.999 and first['comparison']['frames'] == FRAMES


def test_of_a_library_that_differs_everywhere_the_worst_pictures_are_kept(tmp_path):
    outcomes = {number: Outcome(f'r{number}', 'x', frames=9, comparison=Comparison(
        None, 9, 3, 0.5, worst=tuple(WorstFrame(place, (10 * place + number) / 100, 'cGljdHVyZQ==')
                                     for place in range(3)))) for number in range(10)}
    outcomes[10] = Outcome('gone', 'x', reason='it is not there')
    results.keep_worst_pictures(outcomes, 12)
    shown = [(number, frame.index) for number, outcome in outcomes.items()
             for frame in results.frames_shown(outcome)]
    assert sorted(shown) == [(0, 0), (0, 1), (1, 0), (1, 1), *((n, 0) for n in range(2, 10))]
    assert all(len(outcomes[number].comparison.worst) == 3 for number in range(10))
    settings = FleetSettings(str(tmp_path), expect='before')
    page = write_report(tmp_path, list(outcomes.values()), settings, 'one').read_text()
    assert page.count('<img') == 12 and '18 more are in fleet.json, without pictures' in page


def test_what_is_done_is_known_by_content_and_settings(library, tmp_path):
    settings = FleetSettings(str(tmp_path / 'out'), storage=None)
    copy = tmp_path / 'bag0'
    shutil.copytree(library / 'bag0', copy)
    mask = library / 'bag0.mask.png'
    recording = Recording('one', str(copy), reference_mask=str(mask), max_frames=2)
    worker = ReplayWorker(settings)
    assert not worker.do(recording).was_done and worker.do(recording).was_done
    # the same content elsewhere is the same; another number of frames, mask or threshold is not
    moved = Recording('one', str(library / 'bag0'), reference_mask=str(mask), max_frames=2)
    assert worker.do(moved).was_done
    longer = Recording('one', str(copy), reference_mask=str(mask), max_frames=3)
    assert worker.do(longer).frames == 3
    assert not worker.do(recording).was_done
    [file] = copy.glob('*.mcap')
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    again = worker.do(recording)
    assert not again.was_done
    assert FleetSettings('a', threads=3).digest() == FleetSettings('b').digest()
    assert FleetSettings('a', storage='sqlite3').digest() != FleetSettings('a').digest()


def test_a_bag_with_a_spoilt_image_is_replayed_without_it_and_says_so(library, tmp_path):
    images = [image for image, _ in generate_clip('occlusion', 40, SIZE)[:FRAMES]]
    bag = write_bag(tmp_path / 'bag0', images, spoil=3)
    recording = Recording('bag0', str(bag), reference_mask=str(library / 'bag0.mask.png'))
    worker = ReplayWorker(FleetSettings(str(tmp_path / 'out'), storage=None))
    outcome = worker.do(recording)
    assert outcome.reason is None and outcome.frames == FRAMES - 1
    assert '1 of 6 images were skipped' in outcome.notes[0]
    again = worker.do(recording)
    assert again.was_done and again.notes == outcome.notes
    page = write_report(tmp_path / 'out', [again], worker.settings, 'one worker').read_text()
    assert escape(outcome.notes[0]) in page and 'done before' in page


@pytest.mark.parametrize('has_arrow', [
    False, pytest.param(True, marks=pytest.mark.skipif(
        find_spec('pyarrow') is None, reason='needs pyarrow: requirements/fleet.txt'))])
def test_tables_hold_a_row_a_frame_and_target(alone, has_arrow, monkeypatch):
    monkeypatch.setattr(results, 'find_spec', lambda name: has_arrow or None)
    monkeypatch.setattr(results, 'ROWS_AT_A_TIME', 4)
    stored = [json.loads((alone / 'state' / f'bag{number}.json').read_text())
              for number in (0, 2, 3)]
    outcomes = [Outcome(**{**each, 'targets': tuple(
        results.TargetSummary(**target) for target in each['targets'])}) for each in stored]
    outcomes.insert(1, Outcome('bag1', 'somewhere', reason='damaged, "quite"'))
    recordings, frames = write_tables(alone, outcomes)
    if has_arrow:
        from pyarrow import parquet
        rows = parquet.read_table(frames).to_pylist()
        overview = parquet.read_table(recordings).to_pylist()
        assert parquet.ParquetFile(frames).num_row_groups == -(-len(rows) // 4)
    else:
        rows, overview = (list(csv.DictReader(path.open())) for path in (frames, recordings))
    assert len(rows) == 3 * FRAMES
    assert [row['status'] for row in overview] == ['done', 'failed', 'done', 'done']
    assert overview[1]['reason'] == 'damaged, "quite"'
    entry = list(read_entries(alone / 'recordings' / 'bag2' / 'predictions.json'))[3]
    [row] = [row for row in rows if row['recording'] == 'bag2' and int(row['frame']) == 3]
    assert float(row['confidence']) == pytest.approx(entry['targets'][0]['confidence'])
    assert float(row['x']) == entry['targets'][0]['box'][0]
    assert int(row['stamp_ns']) == 4 * 10**8


def test_a_remote_recording_is_brought_here_and_removed(library, tmp_path):
    pytest.importorskip('fsspec')
    worker = ReplayWorker(FleetSettings(str(tmp_path / 'out'), storage=None))
    mask = str(library / 'bag0.mask.png')
    before = set(Path(os.environ.get('TMPDIR', '/tmp')).glob('stm_fleet_*'))  # noqa: S108
    for source in (library / 'bag0', next((library / 'bag0').glob('*.mcap'))):
        recording = Recording('far', f'file://{source}', reference_mask=mask, max_frames=2)
        outcome = worker.do(recording)
        assert outcome.reason is None and outcome.frames == 2
    assert worker.do(recording).was_done
    gone = Recording('gone', f'file://{library}/absent.mcap', reference_mask=mask)
    assert 'absent.mcap is not there' in worker.do(gone).reason
    unknown = Recording('odd', 'nothing://x/y.mcap', reference_mask=mask)
    assert 'nothing' in worker.do(unknown).reason
    assert set(Path(os.environ.get('TMPDIR', '/tmp')).glob('stm_fleet_*')) == before  # noqa: S108


def test_a_manifest_says_how_each_target_is_shown(library, tmp_path):
    manifest = library / 'manifest.yaml'
    manifest.write_text(
        'defaults: {box: "10,10,40,40", label: cup}\nrecordings:\n- bag0\n'
        '- {source: bag2, name: second, reference_mask: bag2.mask.png, max_frames: 3}\n'
        '- {source: "s3://bucket/far.mcap"}\n')
    far, first, second = sorted(read_library(manifest, {'topic': '/camera/image'}),
                                key=lambda each: each.name not in ('far',))
    assert (first.box, first.label, first.source) == ('10,10,40,40', 'cup', str(library / 'bag0'))
    assert second.box is None and second.reference_mask == str(library / 'bag2.mask.png')
    assert far.is_remote and far.source == 's3://bucket/far.mcap' and far.topic == '/camera/image'
    assert second.max_frames == 3 and not second.is_remote
    manifest.unlink()


@pytest.mark.parametrize(('text', 'reason'), [
    ('recordings: 3', 'no manifest'), ('- bag0', 'no manifest'), ('{', 'cannot be read'),
    ('recordings: []', 'lists no recording'),
    ('recordings: [{topic: x}]', 'recording 1 has no source'),
    ('recordings: [{source: a, colour: red, box: "1,1,2,2"}]', 'colour is not accepted'),
    ('recordings: [a]', 'given are none'),
    ('recordings: [{source: a, box: "1,1,2,2", reference_mask: m.png}]', 'reference_mask, box'),
    ('recordings: [{source: a, name: "../a", box: "1,1,2,2"}]', 'no name for a recording'),
    ('recordings: [{source: a, box: "1,1,2,2"}, {source: b/a, box: "1,1,2,2"}]',
     'several recordings named a')])
def test_manifests_that_are_not_accepted_say_why(text, reason, tmp_path):
    manifest = tmp_path / 'manifest.yaml'
    manifest.write_text(text)
    with pytest.raises(InputError, match=reason):
        read_library(manifest, {})


def test_options_that_are_not_accepted_say_why(library, tmp_path, capsys):
    for words, reason in ((['--workers', '-1'], '0..1024'), (['--min-iou', '2'], '0..1'),
                          (['--expect', str(tmp_path / 'no')], 'is no folder'),
                          (['--weights', str(tmp_path / 'no.pth')], 'cannot be read'),
                          (['--engine', 'processes', '--ray-address', 'x'], 'for --engine ray'),
                          (['--set', 'policy=best'], 'accepted are')):
        assert main(['fleet', str(library), '--out', str(tmp_path / 'out'), *words]) == 2
        assert reason in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
