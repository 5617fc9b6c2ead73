# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm bench`: what is measured and written, and the baseline. No test asserts a speed."""
import csv
import json
import time

import numpy as np
import pytest
import torch

from stm_ros.benchmark import overfitting
from stm_ros.benchmark.frames import benchmark_clip
from stm_ros.benchmark.machine import describe_machine
from stm_ros.benchmark.measuring import FRAME
from stm_ros.benchmark.measuring import SWEEPS
from stm_ros.benchmark.measuring import Comparison
from stm_ros.benchmark.measuring import Measurement
from stm_ros.benchmark.measuring import mean_overlap
from stm_ros.benchmark.plain import PlainSTM
from stm_ros.benchmark.settings import Settings
from stm_ros.benchmark.soak import soak
from stm_ros.benchmark.soak import soak_text
from stm_ros.benchmark.stopwatch import STAGES
from stm_ros.benchmark.stopwatch import Stopwatch
from stm_ros.benchmark.subjects import make_subject
from stm_ros.benchmark.subjects import random_network
from stm_ros.cli import bench
from stm_ros.cli.main import main
from stm_ros.networks.stm import STM
from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig
from stm_ros.vision.errors import InputError

TINY = ['--size', '64x64', '--warm-up', '0', '--threads', '1']
SMALL = ['--size', '128x96', '--warm-up', '0', '--threads', '1', '--frames', '3',
         '--dtype', 'float32']


@pytest.fixture(scope='module', autouse=True)
def photographs():
    """The clips are composed of scikit-image's photographs."""
    pytest.importorskip('skimage')


@pytest.fixture(scope='module', autouse=True)
def one_thread():
    """Several threads wait for each other where other processes compute as well."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='module')
def network():
    """STM with random weights of a fixed seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return STM().eval().requires_grad_(False)


def table(path):
    with path.open(newline='') as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(('size', 'targets'), [((80, 64), 2), ((90, 70), 1)])
def test_the_plain_baseline_and_the_tracker_see_the_same(network, size, targets):
    """The last frame reads frames 0, 2 and 3; the second size needs padding."""
    clip = benchmark_clip(size, targets, 5)
    images = [frame.decoded() for frame in clip.frames]
    config = TrackerConfig(input_size=0, policy='paper', memorize_every=2, dtype='float64',
                           lost_below=0, uncertain_below=0, hysteresis=0)
    own = STM()
    own.load_state_dict(network.double().state_dict())
    tracker = Tracker(own.double(), config)
    tracker.add_reference(images[0], clip.reference)
    plain = PlainSTM(network.double(), memorize_every=2)
    plain.start(images[0], clip.reference)
    read = []
    for image in images[1:]:
        label_map, planes = plain.step(image)
        result = tracker.step(image)
        assert np.array_equal(result.label_map, label_map)
        state = tracker.streams['camera']
        rows, columns = state.geometry.inside()
        assert set(state.tracks) == set(range(1, targets + 1))
        for target, track in state.tracks.items():
            assert (track.mask[rows, columns] - planes[target]).abs().max() < 1e-10
        assert len(result.memory.slots) == plain.memory_frames
        read.append(plain.memory_frames)
    assert read == [1, 2, 2, 3]


def test_the_baseline_has_eleven_planes(network):
    clip = benchmark_clip((64, 64), 2, 2)
    plain = PlainSTM(network.double())
    plain.start(clip.frame(0).decoded(), clip.reference)
    _, planes = plain.step(clip.frame(1).decoded())
    assert planes.shape == (11, 64, 64)
    assert torch.allclose(planes.sum(0), torch.ones(64, 64, dtype=planes.dtype))
    assert planes[3:].max() < 1e-5


def test_a_stage_is_not_charged_with_what_it_calls(monkeypatch):
    """A clock that advances by what each stage claims to take."""
    now = [0.0]
    monkeypatch.setattr(time, 'perf_counter', lambda: now[0])

    stopwatch = Stopwatch()

    def inner() -> None:
        with stopwatch.stage('b'):
            now[0] += 4

    now[0] += 8
    with stopwatch.stage('a'):
        now[0] += 1
        inner()
        now[0] += 2
    assert stopwatch.take() == {'a': 3, 'b': 4}
    inner()
    assert stopwatch.take() == {'b': 4} and stopwatch.take() == {}


@pytest.mark.parametrize('memory', [1, 2, 4])
def test_memory_is_full_in_every_measured_frame(memory):
    subject = make_subject(Settings(size=(128, 96), memory=memory, targets=2, threads=1))
    for _ in range(3):
        assert subject.answer(subject.clip.frame(1)) == memory


def test_the_clip_repeats_without_a_jump_and_shows_every_target():
    clip = benchmark_clip((160, 120), 5, 6)
    again = benchmark_clip((160, 120), 5, 6)
    assert [frame.data for frame in clip.frames] == [frame.data for frame in again.frames]
    assert clip.frame(7) is clip.frames[1]
    assert set(np.unique(clip.reference)) == {0, 1, 2, 3, 4, 5}
    images = [frame.decoded().astype(float) for frame in clip.frames]
    assert images[0].shape == (120, 160, 3)
    steps = [np.abs(images[index] - images[index - 1]).mean() for index in range(6)]
    assert steps[0] < 2 * max(steps[1:]) and min(steps) > 0


def test_the_table_of_stages(tmp_path, capsys):
    assert main(['bench', *SMALL, '--memory', '3', '--out', str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert torch.__version__ in told and 'float32' in told
    machine = describe_machine('cpu')
    assert f'{machine["threads"]} threads' in told and str(machine['cpu']) in told
    rows = table(tmp_path / 'bench.csv')
    assert [row['stage'] for row in rows] == [*STAGES, FRAME]
    for row in rows:
        assert row['stage'] in told
        assert 0 <= float(row['p50_ms']) <= float(row['p90_ms']) <= float(row['p99_ms'])
    content = json.loads((tmp_path / 'bench.json').read_text())
    [item] = content['measurements']
    assert content['machine'] == machine and item['settings']['memory'] == 3
    assert item['frames'] == 3 and item['peak_bytes'] > item['bank_bytes'] > 0
    stages = item['stages']
    for index in range(3):
        parts = sum(stages[stage]['frames_ms'][index] for stage in STAGES)
        assert parts == pytest.approx(stages[FRAME]['frames_ms'][index], abs=1e-2)
    assert all(min(stages[stage]['frames_ms']) > 0 for stage in STAGES)


def test_stm_without_weights_says_so(capsys):
    assert main(['bench', '--model', 'stm', *TINY, '--frames', '1', '--memory', '2']) == 0
    assert 'random' in capsys.readouterr().out


def test_a_sweep_writes_table_and_plot(tmp_path, capsys):
    pytest.importorskip('matplotlib')
    assert main(['bench', *SMALL, '--sweep', 'memory', '--points', '1,3', '--out',
                 str(tmp_path)]) == 0
    told = capsys.readouterr().out
    rows = table(tmp_path / 'sweep_memory.csv')
    assert {row['memory'] for row in rows} == {'1', '3'}
    reading = {row['memory']: float(row['share']) for row in rows if row['stage'] == 'read'}
    assert all(f'{100 * share:.0f} %' in told for share in reading.values())
    assert (tmp_path / 'sweep_memory.png').read_bytes().startswith(b'\x89PNG')
    assert len(json.loads((tmp_path / 'sweep_memory.json').read_text())['measurements']) == 2


@pytest.mark.parametrize('name', bench._SWEEPS)
def test_every_sweep_starts_small(name):
    assert list(SWEEPS) == list(bench._SWEEPS)
    assert len(SWEEPS[name]) >= 5


def test_two_settings_step_in_turn(tmp_path, capsys):
    words = [*TINY, '--frames', '4', '--memory', '2']
    assert main(['bench', *words, '--against', 'plain', '--out', str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert 'plain stm' in told and 'ratio of medians' in told and 'p90' in told
    rows = table(tmp_path / 'against.csv')
    assert len(rows) == 4
    content = json.loads((tmp_path / 'against.json').read_text())
    assert content['b']['settings']['plain'] and content['b']['dtype'] == 'float32'
    ratios = [float(row['ratio']) for row in rows]
    assert content['ratio_by_pairs']['p50'] == pytest.approx(np.median(ratios), rel=1e-2)


def test_percentiles_and_ratios():
    seconds = {'read': np.array([0.001, 0.002, 0.003]), FRAME: np.array([0.002, 0.004, 0.012])}
    measured = Measurement(Settings(), 'float32', '', seconds, 0)
    assert measured.percentiles('read')[0] == pytest.approx(2)
    assert measured.share('read') == 0.5
    pairs = np.array([[1.0, 2.0], [2.0, 6.0], [4.0, 8.0]])
    compared = Comparison(Settings(), Settings(), ('', ''), ('', ''), pairs, np.array([]))
    assert compared.ratio_of_medians == 3 and compared.ratio_percentiles()[1] == 2


def test_overlap_is_the_mean_over_targets_that_either_shows():
    one = np.array([[1, 1, 0, 2]], np.uint8)
    other = np.array([[1, 0, 0, 3]], np.uint8)
    assert mean_overlap(one, one) == 1 and mean_overlap(0 * one, 0 * one) == 1
    assert mean_overlap(one, other) == pytest.approx((1 / 2 + 0 + 0) / 3)
    assert mean_overlap(other, one) == mean_overlap(one, other)


def test_overfitting_lowers_the_loss_and_leaves_a_frozen_network(monkeypatch):
    monkeypatch.setattr(overfitting, '_SIDE', 64)
    network, losses = random_network('stm'), []
    clip = benchmark_clip((90, 72), 1, 3)
    overfitting.overfit(network, clip, 12, lambda index, loss: losses.append(loss))
    assert len(losses) == 12 and min(losses[6:]) < losses[0]
    assert not network.training and not any(p.requires_grad for p in network.parameters())


def test_settings_change_by_name():
    base = Settings(targets=2, weights='lite.safetensors')
    changed = base.changed('dtype=float32, memory=16,size=320x240')
    assert (changed.dtype, changed.memory, changed.size, changed.targets) == (
        'float32', 16, (320, 240), 2)
    plain = base.changed('memory=5,plain,dtype=float64')
    assert (plain.plain, plain.model, plain.dtype, plain.memory, plain.weights) == (
        True, 'stm', 'float64', 5, None)


@pytest.mark.parametrize(('text', 'told'), [
    ('', 'change nothing'), ('speed=9', "no setting 'speed'"), ('memory=many', "'many'"),
    ('memory=0', 'memory is 0; 1..1024'), ('size=640', "size '640'"), ('size=8x8', 'size is 8x8'),
    ('dtype=int8', "dtype is 'int8'"), ('plain,memory=1', 'memory is 1'),
    ('plain,compile=default', 'not compiled'),
    ('plain,dtype=bfloat16', 'float32 or float64'), ('plain,model=stm_lite', 'procedure for stm'),
    ('plain,top_k=4', 'top_k is 4'), ('device=tpu', "device 'tpu'"), ('device=cuda:99', 'cuda:99'),
    ('device=meta', 'cpu and cuda')])
def test_settings_refused(text, told):
    with pytest.raises(InputError, match=told):
        Settings().changed(text)


@pytest.mark.parametrize(('words', 'told'), [
    (['--frames', '0'], '--frames is 0'), (['--warm-up', '-1'], '--warm-up is -1'),
    (['--points', '1'], '--points belongs to --sweep'), (['--size', 'big'], "size 'big'"),
    (['--sweep', 'targets', '--points', '1,x'], "--points: 'x'"), (['--rate', '0'], '--rate is 0'),
    (['--targets', '99'], 'targets is 99')])
def test_options_refused(capsys, words, told):
    assert main(['bench', *words]) == 2
    assert told in capsys.readouterr().err


def test_soak_compares_with_what_the_tracker_was():
    settings = Settings(size=(96, 64), memory=2, dtype='float32', threads=1)
    seen: list[int] = []
    result = soak(settings, 8, pairs=3, young=4, on_frame=seen.append)
    assert seen == list(range(1, 9))
    assert result.seconds.shape == (3, 2) and (result.seconds > 0).all()
    assert all(size > 10 ** 7 for size in result.resident)
    assert result.ratio == np.median(result.seconds[:, 0]) / np.median(result.seconds[:, 1])
    assert 'ratio' in soak_text(result)
    with pytest.raises(InputError, match='4 frames; more than 4'):
        soak(settings, 4, young=4)
