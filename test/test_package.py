# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The package as a whole: pins, dependencies, definitions, imports, what is installed."""

import ast
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
import zipfile
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import pytest

from stm_ros.interfaces import interface_folder

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / 'stm_ros').rglob('*.py'))
DEFINITIONS = sorted([*ROOT.glob('msg/*.msg'), *ROOT.glob('srv/*.srv')])
ROS_PACKAGES = {
    'ament_index_python', 'builtin_interfaces', 'cv_bridge', 'diagnostic_msgs', 'geometry_msgs',
    'launch', 'launch_ros', 'lifecycle_msgs', 'rcl_interfaces', 'rclpy', 'rosgraph_msgs',
    'sensor_msgs', 'std_msgs', 'tf2_msgs', 'vision_msgs',
}
# What package.xml calls the modules that pip knows by another name.
ROSDEP_KEYS = {'cv2': 'python3-opencv', 'numpy': 'python3-numpy', 'PIL': 'python3-pil',
               'yaml': 'python3-yaml'}
# rosdep has no key for these; a comment in package.xml gives the pip line.
WITHOUT_ROSDEP_KEY = {'torch', 'safetensors'}

ros_present = pytest.mark.skipif(
    find_spec('rclpy') is None, reason='needs rclpy: run `make test`, or source a ROS 2')


def requirement_lines(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if line and line[0] not in '#-']


def requirement_names(*patterns: str) -> list[str]:
    """Return normalised names (PEP 503), one for each (name, marker) that is pinned."""
    files = [file for pattern in patterns for file in (ROOT / 'requirements').glob(pattern)]
    lines = [line for file in files for line in requirement_lines(file)]
    return [re.sub(r'[-_.]+', '-', re.split(r'[=\[]', line)[0]).lower() + line.partition(';')[2]
            for line in lines]


def imported_packages(module: Path) -> set[str]:
    """Return the top-level packages a module imports, those inside functions included."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition('.')[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition('.')[0])
            if node.module.startswith(('stm_ros.msg', 'stm_ros.srv')):
                found.add('rclpy')
    return found


def package_dependencies() -> set[str]:
    package = ElementTree.parse(ROOT / 'package.xml').getroot()
    return {element.text for element in package if element.tag.endswith('depend') and element.text}


def test_every_requirement_is_pinned_to_one_version() -> None:
    for file in (ROOT / 'requirements').glob('*.txt'):
        for line in requirement_lines(file):
            assert re.fullmatch(r'[\w.-]+(\[\w+\])?==[\w.]+(; python_version [<>=]+ "3\.\d+")?',
                                line), f'{file.name}: {line!r} is not an exact pin'


@pytest.mark.parametrize('distro', ['jazzy', 'kilted'])
def test_no_package_is_pinned_twice(distro: str) -> None:
    names = requirement_names('[!r]*.txt', 'r[eu]*.txt', f'ros-{distro}.txt')
    assert len(names) > 100
    assert sorted(names) == sorted(set(names))


def test_versions_stand_nowhere_but_in_requirements() -> None:
    pinned = {line.split(';')[0].partition('==')[2]
              for file in (ROOT / 'requirements').glob('[!r]*.txt')
              for line in requirement_lines(file)}
    pinned |= {line.partition('==')[2] for line in requirement_lines(ROOT / 'requirements/run.txt')}
    for name in ('setup.py', 'setup.cfg', 'Makefile', '.ci/run', 'scripts/setup_environment.py',
                 'scripts/setup.sh', 'scripts/test.sh', 'scripts/colcon.sh'):
        text = (ROOT / name).read_text()
        repeated = sorted(version for version in pinned if f'=={version}' in text)
        assert not repeated, f'{name} repeats the pins {repeated}'


def test_package_xml_is_format_3_with_licenses_and_build_type() -> None:
    package = ElementTree.parse(ROOT / 'package.xml').getroot()
    assert package.get('format') == '3'
    assert package.findtext('name') == 'stm_ros'
    assert [license.text for license in package.findall('license')][0] == 'Apache-2.0'
    assert package.findtext('export/build_type') == 'ament_cmake'
    assert package.findtext('member_of_group') == 'rosidl_interface_packages'


def test_versions_agree() -> None:
    package = ElementTree.parse(ROOT / 'package.xml').getroot()
    module = (ROOT / 'stm_ros' / '__init__.py').read_text()
    assert f"__version__ = '{package.findtext('version')}'" in module


def test_package_xml_declares_every_ros_package_that_is_imported() -> None:
    imported = set().union(*map(imported_packages, MODULES))
    imported |= set().union(*map(imported_packages, (ROOT / 'launch').glob('*.launch.py')))
    assert 'launch' in imported
    assert (imported & ROS_PACKAGES) <= package_dependencies()


def test_package_xml_declares_what_run_needs() -> None:
    pinned = set(requirement_names('run.txt'))
    assert pinned == {'numpy', 'opencv-python-headless', 'pillow', 'pyyaml'} | WITHOUT_ROSDEP_KEY
    assert set(ROSDEP_KEYS.values()) <= package_dependencies()
    text = (ROOT / 'package.xml').read_text()
    comments = ' '.join(re.findall(r'<!--(.*?)-->', text, re.DOTALL))
    for name in WITHOUT_ROSDEP_KEY:
        assert re.search(rf'pip install\b[^\n]*\b{name}\b', comments)


def test_cmake_declares_what_the_definitions_use() -> None:
    used = {match for file in DEFINITIONS
            for match in re.findall(r'^(\w+)/\w+', file.read_text(), re.MULTILINE)}
    cmake = (ROOT / 'CMakeLists.txt').read_text()
    assert used == {'builtin_interfaces', 'geometry_msgs', 'sensor_msgs', 'std_msgs'}
    for package in used:
        assert f'find_package({package} REQUIRED)' in cmake
        assert package in package_dependencies()


def test_definitions_end_up_where_the_accessor_looks() -> None:
    folder = interface_folder()
    assert {file.name for file in folder.glob('msg/*.msg')} == {
        file.name for file in DEFINITIONS if file.suffix == '.msg'}
    assert (folder / 'srv' / 'Segment.srv').read_text() == (ROOT / 'srv/Segment.srv').read_text()


@pytest.mark.parametrize('file', DEFINITIONS, ids=lambda file: file.name)
def test_every_field_is_documented(file: Path) -> None:
    lines = file.read_text().splitlines()
    assert lines[0].startswith('# '), 'the first line says what the definition is for'
    fields = [line for line in lines if line and not line.startswith(('#', ' ')) and line != '---']
    assert fields
    for field in fields:
        assert re.search(r'\s#\s\S', field), f'no comment at: {field}'


@pytest.mark.parametrize('file', sorted(ROOT.glob('msg/*.msg')), ids=lambda file: file.name)
def test_messages_carry_header_and_stream(file: Path) -> None:
    if file.name == 'Box.msg':
        return
    fields = [line.split()[:2] for line in file.read_text().splitlines()]
    assert ['std_msgs/Header', 'header'] in fields or file.name == 'EvidenceCrop.msg'
    assert ['string', 'stream'] in fields


@pytest.mark.parametrize('file', sorted(ROOT.glob('srv/*.srv')), ids=lambda file: file.name)
def test_services_answer_success_and_message(file: Path) -> None:
    request, _, reply = file.read_text().partition('\n---\n')
    fields = [line.split()[:2] for line in reply.splitlines() if line and line[0] != ' ']
    assert fields[:2] == [['bool', 'success'], ['string', 'message']]
    assert 'uint8 target_id' not in request, 'a wrong id must be representable to be refused'


def test_only_node_apps_and_console_import_ros() -> None:
    for module in MODULES:
        room = module.relative_to(ROOT / 'stm_ros').parts[0]
        if room not in ('node', 'apps', 'console'):
            assert not imported_packages(module) & ROS_PACKAGES, module


def test_nothing_imports_torchvision() -> None:
    for module in MODULES:
        assert 'torchvision' not in imported_packages(module), module


def test_tracked_files_name_no_path_of_a_machine() -> None:
    listed = subprocess.run(['git', 'ls-files', '-z'], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip('not a git checkout')
    suffixes = {'.py', '.sh', '.txt', '.cfg', '.toml', '.xml', '.yaml', '.md', '.msg', '.srv', ''}
    pattern = re.compile(r'(?<![\w./])/(home/\w|root/|work/|tmp/\w|Users/\w)')
    for name in listed.stdout.split('\0'):
        file = ROOT / name
        if name and file.is_file() and file.suffix in suffixes and file != Path(__file__):
            found = pattern.search(file.read_text())
            assert found is None, f'{name} names {found.group(0)}'


def test_wheel_holds_definitions_and_weights(tmp_path: Path) -> None:
    """Build the wheel of the pure Python part as `pip install .` does."""
    copy = tmp_path / 'source'
    copy.mkdir()
    for name in ('setup.py', 'setup.cfg', 'pyproject.toml', 'LICENSE', 'README.md', 'requirements',
                 'msg', 'srv', 'stm_ros'):
        if (ROOT / name).exists():
            subprocess.run(['cp', '-r', str(ROOT / name), str(copy)], check=True)
    subprocess.run(
        [sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--no-build-isolation',
         '--wheel-dir', str(tmp_path), str(copy)], check=True)
    [wheel] = tmp_path.glob('*.whl')
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {f'stm_ros/interfaces/{file.parent.name}/{file.name}' for file in DEFINITIONS} <= held
    assert {str(module.relative_to(ROOT)) for module in MODULES} <= held
    weights = {str(file.relative_to(ROOT)) for file in (ROOT / 'stm_ros/weights').iterdir()
               if file.is_file()}
    assert weights <= held
    page = {str(file.relative_to(ROOT)) for file in (ROOT / 'stm_ros/console/static').iterdir()}
    assert len(page) > 3 and page <= held


@ros_present
@pytest.mark.parametrize('name', ['stm', 'stm_tracker'])
def test_entry_points_import(name: str) -> None:
    [entry] = [entry for entry in entry_points(group='console_scripts') if entry.name == name]
    assert callable(entry.load())


@ros_present
def test_messages_are_built_as_they_are_written() -> None:
    """An environment whose messages are older than msg/ would fail in ways hard to understand."""
    import importlib
    for file in DEFINITIONS:
        module = importlib.import_module(f'stm_ros.{file.parent.name}')
        built = getattr(module, file.stem)
        built.__class__.__import_type_support__()
        parts = [built] if file.suffix == '.msg' else [built.Request, built.Response]
        sections = file.read_text().split('\n---\n')
        assert len(parts) == len(sections)
        for part, section in zip(parts, sections, strict=True):
            written = re.findall(r'^[\w/]+(?:\[[<=\d]*\])?\s+(\w+)\s+#', section, re.MULTILINE)
            assert list(part.get_fields_and_field_types()) == written
