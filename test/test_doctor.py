# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm doctor`: each check on an environment that is broken in the way that it looks for."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from stm_ros.cli.main import INTERRUPTED
from stm_ros.cli.main import main
from stm_ros.doctor.findings import Finding
from stm_ros.doctor.findings import Level
from stm_ros.doctor.findings import as_text
from stm_ros.doctor.findings import exit_code
from stm_ros.doctor.findings import fault
from stm_ros.doctor.findings import note
from stm_ros.doctor.findings import ok
from stm_ros.doctor.machine import check_device
from stm_ros.doctor.machine import check_disk
from stm_ros.doctor.machine import check_memory
from stm_ros.doctor.machine import check_packages
from stm_ros.doctor.machine import check_python
from stm_ros.doctor.machine import check_torch
from stm_ros.doctor.ros import PROFILE_VARIABLES
from stm_ros.doctor.ros import check_discovery
from stm_ros.doctor.ros import check_ros
from stm_ros.doctor.ros import check_transport
from stm_ros.doctor.ros import large_image_profile
from stm_ros.doctor.topic import judge_topic
from stm_ros.doctor.weights import SUMS
from stm_ros.doctor.weights import check_given_weights
from stm_ros.doctor.weights import check_shipped_weights
from stm_ros.networks.checkpoints import SHIPPED_WEIGHTS

ros_present = pytest.mark.skipif(
    find_spec('rclpy') is None, reason='needs rclpy: run `make test`, or source a ROS 2')
weights_shipped = pytest.mark.skipif(
    not SHIPPED_WEIGHTS.is_file(), reason=f'no shipped weights at {SHIPPED_WEIGHTS}')


def only(findings: list[Finding], level: Level, *told: str) -> None:
    """Assert that there is one finding of `level` or worse, and that it says `told`."""
    worst = [item for item in findings if item.level != Level.OK]
    assert [item.level for item in worst] == [level], findings
    for words in told:
        assert words in f'{worst[0].text} -> {worst[0].remedy}'


def all_well(findings: list[Finding]) -> None:
    assert findings and {item.level for item in findings} == {Level.OK}, findings


def test_every_trouble_has_a_remedy() -> None:
    with pytest.raises(ValueError, match='remedy'):
        Finding(Level.FAULT, 'x', 'broken')
    with pytest.raises(ValueError, match='remedy'):
        Finding(Level.OK, 'x', 'fine', 'do nothing')


def test_text_and_exit_code() -> None:
    findings = [ok('a', 'fine'), note('longer', 'slow', 'hurry'), fault('b', 'broken', 'mend it')]
    lines = as_text(findings).splitlines()
    assert lines[0] == 'ok     a       fine'
    assert lines[4].strip() == '-> mend it'
    assert lines[-1] == '3 checks: 1 to mend, 1 that could be better'
    assert exit_code(findings) == 1 and exit_code(findings[:2]) == 0
    assert as_text(findings[:1]).endswith('1 checks: all well')


def test_python() -> None:
    all_well(check_python((3, 11)))
    only(check_python((3, 9)), Level.FAULT, '3.9', 'too old', '3.10 to 3.13')
    only(check_python((3, 14)), Level.NOTE, 'newer')


def test_packages() -> None:
    only(check_packages(['numpy==0.0.1']), Level.NOTE, 'instead of 0.0.1')
    only(check_packages(['no-such-thing-here==1.0', 'numpy']), Level.FAULT,
         'no-such-thing-here==1.0', 'pip install')
    all_well(check_packages(['numpy', 'torch; python_version >= "3.10"']))
    assert 'pins no versions' in as_text(check_packages([]))


def test_two_builds_of_opencv_overwrite_one_another(tmp_path, monkeypatch) -> None:
    for name in ('opencv_python', 'opencv_contrib_python'):
        folder = tmp_path / f'{name}-4.0.dist-info'
        folder.mkdir()
        (folder / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: 4.0\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    only(check_packages(['numpy']), Level.FAULT, 'opencv-python', 'opencv-contrib-python',
         'pip uninstall')


def test_a_busy_processor_is_noticed() -> None:
    all_well(check_torch(load=0.0))
    only(check_torch(load=1000.0), Level.NOTE, '1000.0 processes', 'threads: 1')


def test_devices(tmp_path: Path) -> None:
    all_well(check_device('cpu', tmp_path))
    only(check_device('nonsense'), Level.FAULT, "'nonsense'", 'device: cpu')
    import torch
    if torch.cuda.is_available():
        pytest.skip('there is a GPU: its absence cannot be tried')
    only(check_device('cuda'), Level.FAULT, "'cuda'", 'STM_TORCH=cuda')
    (tmp_path / 'nvidia0').touch()
    only(check_device('auto', tmp_path), Level.NOTE, 'NVIDIA card')


def test_memory(tmp_path: Path) -> None:
    (tmp_path / 'meminfo').write_text('MemTotal: 9 kB\nMemAvailable:   500000 kB\n')
    only(check_memory(meminfo=tmp_path / 'meminfo'), Level.NOTE, '0.5 GB', 'input_size')
    all_well(check_memory(1, tmp_path / 'meminfo'))
    assert check_memory(meminfo=tmp_path / 'absent') == []


def test_disk(tmp_path: Path) -> None:
    all_well(check_disk(tmp_path / 'not' / 'yet', 'results', 1, 1))
    only(check_disk(tmp_path, 'results', 1, 1 << 62), Level.NOTE, 'GB free')
    only(check_disk(tmp_path, 'results', 1 << 61, 1 << 62), Level.FAULT, 'make room')
    (tmp_path / 'file').touch()
    only(check_disk(tmp_path / 'file' / 'deep', 'results'), Level.FAULT, 'is a file')


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write anywhere')
def test_a_folder_that_is_read_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    only(check_disk(tmp_path / 'out', 'results', 1, 1), Level.FAULT, 'cannot be written')


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A copy of the folder of weights, to break."""
    if not SHIPPED_WEIGHTS.is_file():
        pytest.skip(f'no shipped weights at {SHIPPED_WEIGHTS}')
    return Path(shutil.copytree(SHIPPED_WEIGHTS.parent, tmp_path / 'weights'))


def test_weights_that_ship_are_those_of_the_sums(weights: Path) -> None:
    """After new weights: `sha256sum *.safetensors > SHA256SUMS` in stm_ros/weights."""
    all_well(check_shipped_weights(weights))
    named = {line.split()[1] for line in (weights / SUMS).read_text().splitlines()}
    assert named == {path.name for path in weights.glob('*.safetensors')}


def test_damaged_weights(weights: Path) -> None:
    file = weights / SHIPPED_WEIGHTS.name
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    only(check_shipped_weights(weights), Level.FAULT, 'SHA-256 differs', 'git checkout')
    file.write_bytes(b'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n')
    only(check_shipped_weights(weights), Level.FAULT, 'Git LFS', 'git lfs pull')
    file.unlink()
    only(check_shipped_weights(weights), Level.FAULT, 'is missing')
    (weights / SUMS).unlink()
    only(check_shipped_weights(weights), Level.FAULT, SUMS)


@weights_shipped
def test_given_weights(tmp_path: Path) -> None:
    all_well(check_given_weights('stm_lite', 'permissive'))
    only(check_given_weights('stm', str(SHIPPED_WEIGHTS)), Level.FAULT, 'stm_lite',
         'stm weights check')
    (tmp_path / 'w.safetensors').write_bytes(b'short')
    only(check_given_weights('stm_lite', str(tmp_path / 'w.safetensors')), Level.FAULT, 'damaged')


@ros_present
def test_ros_that_works() -> None:
    findings, middleware = check_ros()
    assert middleware is not None and middleware.startswith('rmw_')
    assert not any(item.level == Level.FAULT for item in findings), findings
    assert 'messages' in {item.subject for item in findings}


@ros_present
@pytest.mark.parametrize('distro, told', [(None, 'source a ROS 2'), ('jazzy', 'sudo apt install')])
def test_a_missing_package_is_sought_where_this_ros_came_from(distro, told) -> None:
    environment = {key: value for key, value in os.environ.items() if key != 'ROS_DISTRO'}
    if distro:
        environment['ROS_DISTRO'] = distro
    missing = [item for item in check_ros(environment)[0] if item.subject == 'vision_msgs']
    if not missing:
        pytest.skip('vision_msgs is here')
    only(missing, Level.NOTE, '~/detections', told)


def test_a_python_without_rclpy(tmp_path: Path) -> None:
    bare = (sys.executable, '-I', '-S')
    findings, middleware = check_ros({}, bare, tmp_path)
    assert middleware is None
    only(findings, Level.NOTE, 'stm track', 'make setup')
    (tmp_path / 'jazzy').mkdir()
    (tmp_path / 'jazzy' / 'setup.bash').touch()
    only(check_ros({}, bare, tmp_path)[0], Level.FAULT, 'jazzy', 'source')


@ros_present
def test_a_middleware_that_is_not_installed() -> None:
    findings, middleware = check_ros({**os.environ, 'RMW_IMPLEMENTATION': 'rmw_nothing_cpp'})
    assert middleware is None
    only(findings, Level.FAULT, 'RMW_IMPLEMENTATION=rmw_nothing_cpp', 'unset RMW_IMPLEMENTATION')


@ros_present
def test_messages_that_are_not_built(tmp_path: Path, monkeypatch) -> None:
    """A package of the same name in front hides them, as a stale overlay does."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'stm_ros').mkdir()
    (tmp_path / 'stm_ros' / '__init__.py').touch()
    findings, middleware = check_ros({**os.environ, 'PYTHONPATH': str(tmp_path)})
    assert middleware is not None
    told = [item for item in findings if item.level == Level.FAULT]
    assert [item.subject for item in told] == ['messages'] and 'stm_ros.msg' in told[0].text
    assert 'colcon build' in told[0].remedy


@pytest.mark.parametrize(('environment', 'level', 'told'), [
    ({'ROS_DOMAIN_ID': 'seven'}, Level.FAULT, "'seven'"),
    ({'ROS_DOMAIN_ID': '233'}, Level.FAULT, '232'),
    ({'ROS_DOMAIN_ID': '150'}, Level.NOTE, '0 to 101'),
    ({'ROS_AUTOMATIC_DISCOVERY_RANGE': 'NEARBY'}, Level.FAULT, "'NEARBY'"),
    ({'ROS_AUTOMATIC_DISCOVERY_RANGE': 'OFF'}, Level.NOTE, 'ROS_STATIC_PEERS')])
def test_discovery_that_finds_nobody(environment, level, told) -> None:
    only(check_discovery(environment), level, told)


def test_discovery_that_works() -> None:
    for environment in ({}, {'ROS_DOMAIN_ID': '7', 'ROS_LOCALHOST_ONLY': '1'},
                        {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}):
        all_well(check_discovery(environment))


FAST = 'rmw_fastrtps_cpp'


def test_transport_of_fast_dds(tmp_path: Path) -> None:
    def look(**environment: str) -> list[Finding]:
        return check_transport(FAST, environment, tmp_path / 'absent')

    name = PROFILE_VARIABLES[0]
    assert large_image_profile().is_file()
    all_well(look(**{name: str(large_image_profile())}))
    all_well(look(FASTDDS_BUILTIN_TRANSPORTS='LARGE_DATA?max_msg_size=4MB'))
    only(look(), Level.NOTE, '512 KB', str(large_image_profile()))
    only(look(**{name: 'absent.xml'}), Level.FAULT, 'absent.xml', 'not there')
    (tmp_path / 'broken.xml').write_text('<profiles>')
    only(look(**{name: str(tmp_path / 'broken.xml')}), Level.FAULT, 'is no profile')
    (tmp_path / 'small.xml').write_text(
        '<profiles xmlns="http://www.eprosima.com"><segment_size>524288</segment_size></profiles>')
    only(look(**{name: str(tmp_path / 'small.xml')}), Level.NOTE, 'no segment of 8 MB')


def test_shared_memory_full_of_leftovers(tmp_path: Path) -> None:
    for number in range(201):
        (tmp_path / f'fastrtps_{number:04x}').touch()
    findings = check_transport(FAST, {PROFILE_VARIABLES[0]: str(large_image_profile())}, tmp_path)
    only(findings, Level.NOTE, '201 files', 'rm ')


def test_transport_of_others(tmp_path: Path) -> None:
    (tmp_path / 'rmem_max').write_text('212992\n')
    only(check_transport('rmw_cyclonedds_cpp', {}, kernel=tmp_path), Level.NOTE, 'rmem_max',
         'sysctl')
    (tmp_path / 'rmem_max').write_text('2147483647\n')
    all_well(check_transport('rmw_cyclonedds_cpp', {}, kernel=tmp_path))
    only(check_transport('rmw_zenoh_cpp', {}), Level.NOTE, 'rmw_zenoh_cpp')


GOOD = {'topic': '/camera/image', 'image_topics': ['/camera/image'], 'received': 50, 'lost': 0,
        'stamps': 50, 'age': 0.01, 'seconds': 4.9, 'encoding': 'rgb8', 'size': [640, 480],
        'bytes': 921600, 'refused': '', 'publishers': [
            {'node': '/driver', 'type': 'sensor_msgs/msg/Image', 'reliability': 'RELIABLE',
             'durability': 'VOLATILE'}]}


def test_a_topic_that_is_well() -> None:
    findings = judge_topic(GOOD)
    all_well(findings)
    assert any('640x480, 10.0 Hz, rgb8' in item.text for item in findings)


@pytest.mark.parametrize(('changes', 'level', 'told'), [
    ({'publishers': []}, Level.FAULT, 'no image topic is published here at all'),
    ({'publishers': [], 'image_topics': ['/a', '/b']}, Level.FAULT, '/a, /b'),
    ({'received': 0}, Level.FAULT, 'no image came'),
    ({'received': 6}, Level.NOTE, 'only 1.0 Hz'),
    ({'lost': 50}, Level.NOTE, '50 % of images'),
    ({'stamps': 0, 'age': None}, Level.FAULT, 'no stamp'),
    ({'age': 86400.0}, Level.NOTE, 'use_sim_time'),
    ({'age': -5.0}, Level.NOTE, 'from the future'),
    ({'refused': "unknown encoding 'x'"}, Level.FAULT, "'x'")])
def test_topics_with_troubles(changes, level, told) -> None:
    only(judge_topic({**GOOD, **changes}), level, told)


def test_types_of_a_topic() -> None:
    def typed(*types: str) -> list[Finding]:
        return judge_topic({**GOOD, 'publishers': [
            {**GOOD['publishers'][0], 'type': kind} for kind in types]})

    only(typed('std_msgs/msg/String'), Level.FAULT, 'std_msgs/msg/String')
    only(typed('sensor_msgs/msg/CompressedImage'), Level.NOTE, 'image_transport:=compressed')
    only(typed('sensor_msgs/msg/Image', 'std_msgs/msg/String'), Level.FAULT, 'several types')


@weights_shipped
def test_the_command(capsys, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv('ROS_DOMAIN_ID', 'seven' if find_spec('rclpy') else '0')
    status = main(['doctor', '--json', '--out', str(tmp_path)])
    found = json.loads(capsys.readouterr().out)
    assert {'level', 'subject', 'text', 'remedy'} == set(found[0])
    assert status == int(any(item['level'] == 'FAULT' for item in found))
    assert {'Python', 'torch', 'device', 'weights', 'results', 'ROS'} <= {
        item['subject'] for item in found}


def test_the_command_s_own_errors(capsys) -> None:
    assert main(['doctor', '--seconds', '0']) == 2
    assert '--seconds 0' in capsys.readouterr().err


def heeds_interrupts() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so would what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_ends_a_command_without_a_traceback():
    """While it loads what it needs, as people do who mistyped."""
    process = subprocess.Popen([sys.executable, '-m', 'stm_ros.cli.main', 'doctor'],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               preexec_fn=heeds_interrupts)
    end = time.monotonic() + 60
    while 'libtorch' not in Path(f'/proc/{process.pid}/maps').read_text():
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    words, _ = process.communicate(timeout=30)
    assert (process.returncode, words) == (INTERRUPTED, '')
