# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A library elsewhere: over real HTTP, in memory, and at a server that speaks S3."""
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from http.server import ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from tempfile import gettempdir
from urllib.parse import unquote

import pytest
from fleet_helpers import FRAMES
from fleet_helpers import make_library

from stm_ros.cli.main import main
from stm_ros.fleet import remote
from stm_ros.fleet.library import Recording
from stm_ros.fleet.library import read_library
from stm_ros.fleet.remote import folder_for_copies
from stm_ros.fleet.replaying import FleetSettings
from stm_ros.fleet.replaying import ReplayWorker
from stm_ros.vision.errors import InputError

pytestmark = pytest.mark.skipif(
    not (find_spec('fsspec') and find_spec('aiohttp')),
    reason='needs fsspec and aiohttp: .venv/bin/pip install -r requirements/fleet.txt')
#: below the folder that a test serves
PLACE = 'robots/cell 7'


class Folder(ThreadingHTTPServer):
    """Files of a folder, as the server of Python's library shows them.

    cut: the end of a path whose file breaks off half-way. silent: headers that are left out.
    """

    def __init__(self, root: Path) -> None:
        self.cut, self.silent = '', set()
        self.asked: list[str] = []
        super().__init__(('127.0.0.1', 0), partial(_Handler, directory=str(root)))

    @property
    def url(self) -> str:
        """Of the library."""
        return f'http://127.0.0.1:{self.server_address[1]}/{PLACE.replace(" ", "%20")}'

    def taken(self) -> list[str]:
        """The names of recordings that were asked for whole, since the last time."""
        names = [unquote(line).rpartition('/')[2] for line in self.asked if '.mcap' in line]
        self.asked.clear()
        return names


class _Handler(SimpleHTTPRequestHandler):
    server: Folder

    def log_message(self, *arguments: object) -> None:
        """Nothing."""

    def send_header(self, keyword: str, value: str) -> None:
        if keyword not in self.server.silent:
            super().send_header(keyword, value)

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        super().do_GET()

    def copyfile(self, source, outputfile) -> None:
        content = source.read()
        if self.server.cut and self.path.endswith(self.server.cut):
            content = content[:len(content) // 2]
            self.close_connection = True
        outputfile.write(content)


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    """A folder with a library of three bags, one of them a bare file."""
    place = tmp_path_factory.mktemp('served')
    (place / PLACE).parent.mkdir(parents=True)
    library = make_library(place / PLACE, 3)
    [file] = (library / 'bag2').glob('*.mcap')
    file.rename(library / 'a bag.mcap')
    (library / 'bag2' / 'metadata.yaml').unlink()
    (library / 'bag2').rmdir()
    (library / 'bag2.mask.png').rename(library / 'a bag.mask.png')
    return place


@pytest.fixture
def server(root) -> Iterator[Folder]:
    """The folder over HTTP."""
    with Folder(root) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield serving
        serving.shutdown()


def copies() -> set[Path]:
    """What was brought here and not removed."""
    return set(Path(gettempdir()).glob('stm_fleet_*'))


def test_a_folder_of_a_web_server_is_a_library(server, tmp_path, capsys):
    before = copies()
    assert [(each.name, each.source, each.reference_mask)
            for each in read_library(server.url, {'box': '1,1,9,9'})] == [
        (name, f'{server.url}/{at}', f'{server.url}/{mask}') for name, at, mask in (
            ('a_bag', 'a%20bag.mcap', 'a%20bag.mask.png'), ('bag0', 'bag0', 'bag0.mask.png'),
            ('bag1', 'bag1', 'bag1.mask.png'))]
    out = tmp_path / 'out'
    command = ['fleet', server.url, '--out', str(out), '--workers', '1', '--engine', 'processes',
               '--storage', 'none']
    server.taken()
    assert main(command) == 0
    said = capsys.readouterr()
    assert '3 recordings: 3 done' in said.out and said.err.count(f'done; {FRAMES} frames') == 3
    assert sorted(server.taken()) == ['a bag.mcap', 'bag0.mcap', 'bag1.mcap']
    assert main(command) == 0
    assert '3 recordings: 3 done before' in capsys.readouterr().out
    assert not server.taken(), 'what is done is not brought here again'
    # what is compared and does not differ needs no pictures, and so no images
    again = [*command[:3], str(tmp_path / 'again'), *command[4:], '--expect', str(out)]
    assert main(again) == 0
    server.taken()
    assert main(again) == 0 and not server.taken()
    assert copies() == before


def test_what_is_missing_or_cut_short_is_counted_and_said(server, root, tmp_path, capsys):
    before = copies()
    manifest = tmp_path / 'manifest.yaml'
    mask = f'"{server.url}/bag0.mask.png"'
    manifest.write_text(f"""recordings:
- {{source: "{server.url}/bag0", reference_mask: {mask}}}
- {{source: "{server.url}/gone.mcap", reference_mask: {mask}}}
- {{source: "{server.url}/bag1/", name: unseen, reference_mask: "{server.url}/no.png"}}
- {{source: "{server.url}/a%20bag.mcap?signature=x/y", name: cut, reference_mask: {mask}}}
""")
    server.cut = 'a%20bag.mcap?signature=x/y'
    out = tmp_path / 'out'
    command = ['fleet', str(manifest), '--out', str(out), '--workers', '1', '--engine',
               'processes', '--storage', 'none']
    assert main(command) == 1
    said = capsys.readouterr()
    assert '4 recordings: 3 failed, 1 done' in said.out
    assert f'gone: failed; {server.url}/gone.mcap is not there' in said.err
    assert f'unseen: failed; {server.url}/no.png is not there' in said.err
    assert re.search(r'cut: failed; \S+/a%20bag\.mcap\S+ cannot be had: ', said.err)
    assert 'gone.mcap is not there' in (out / 'report.html').read_text()
    # half a file is not done: it is brought again
    server.cut = ''
    assert main(command) == 1
    said = capsys.readouterr()
    assert '4 recordings: 2 failed, 1 done before, 1 done' in said.out
    assert f'cut: done; {FRAMES} frames' in said.err
    assert copies() == before


def test_a_server_that_ends_early_without_saying_so_is_found_out(server, tmp_path):
    server.cut = 'a%20bag.mcap'
    with folder_for_copies() as folder:
        # its length is said where it is asked for, but not where it is sent: that ends anywhere
        sent = _Handler.do_GET

        class Vague(_Handler):
            """As some servers with content of their own making."""

            def do_GET(self) -> None:
                self.server.silent = {'Content-Length'}
                sent(self)
                self.server.silent = set()
        server.RequestHandlerClass = partial(Vague, **server.RequestHandlerClass.keywords)
        with pytest.raises(InputError, match=r'cannot be had: \d+ of \d+ bytes of a bag.mcap came'):
            remote.bring(f'{server.url}/a%20bag.mcap', folder)


@pytest.mark.parametrize('silent', [set(), {'Last-Modified'}])
def test_a_changed_recording_is_done_again(silent, server, root, tmp_path):
    """Also where the host says nothing by which versions differ: it is read then."""
    server.silent = silent
    worker = ReplayWorker(FleetSettings(str(tmp_path / 'out'), storage=None))
    file, mask = root / PLACE / 'a bag.mcap', f'{server.url}/a%20bag.mask.png'
    recording = Recording('one', f'{server.url}/a%20bag.mcap', reference_mask=mask, max_frames=2)
    assert worker.do(recording).frames == 2 and worker.do(recording).was_done
    content, status = file.read_bytes(), file.stat()
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 1
    try:
        file.write_bytes(changed)
        # a web server tells seconds apart
        os.utime(file, (status.st_atime, status.st_mtime + 2))
        assert not worker.do(recording).was_done
    finally:
        file.write_bytes(content)
        os.utime(file, (status.st_atime, status.st_mtime))
    again = worker.do(recording)
    assert again.reason is None and not again.was_done


def test_a_manifest_elsewhere_counts_paths_from_itself(server, root):
    manifest = root / PLACE / 'all of it.yaml'
    manifest.write_text('recordings:\n- {source: bag0, reference_mask: bag0.mask.png}\n'
                        '- {source: "a bag.mcap", name: b, box: "1,1,9,9"}\n')
    try:
        first, second = sorted(read_library(f'{server.url}/all%20of%20it.yaml', {}),
                               key=lambda each: each.source, reverse=True)
    finally:
        manifest.unlink()
    assert first.source == f'{server.url}/bag0'
    assert first.reference_mask == f'{server.url}/bag0.mask.png'
    assert second.source == f'{server.url}/a%20bag.mcap'
    with pytest.raises(InputError, match='gone.yaml is not there'):
        read_library(f'{server.url}/gone.yaml', {})
    with pytest.raises(InputError, match='cannot be reached'):
        read_library('http://127.0.0.1:9/library', {})


def test_a_library_in_memory_is_listed_and_brought_here(root, tmp_path):
    import fsspec
    memory = fsspec.filesystem('memory')
    memory.put(f'{root / PLACE}/', '/library/cell 7/', recursive=True)
    try:
        recordings = read_library('memory://library', {})
        assert [(each.name, each.source) for each in recordings] == [
            ('cell_7-a_bag', 'memory://library/cell 7/a bag.mcap'),
            ('cell_7-bag0', 'memory://library/cell 7/bag0'),
            ('cell_7-bag1', 'memory://library/cell 7/bag1')]
        [itself] = read_library('memory://library/cell 7/bag0', {})
        assert itself.reference_mask == 'memory://library/cell 7/bag0.mask.png'
        worker = ReplayWorker(FleetSettings(str(tmp_path / 'out'), storage=None))
        outcomes = [worker.do(each) for each in recordings]
        assert [each.frames for each in outcomes] == [FRAMES] * 3
        assert [each.source for each in outcomes] == [each.source for each in recordings]
        assert all(worker.do(each).was_done for each in recordings)
        [file] = memory.glob('/library/cell 7/bag0/*.mcap')
        memory.pipe_file(file, memory.cat_file(file))
        assert [worker.do(each).was_done for each in recordings] == [True, False, True]
        with pytest.raises(InputError, match='memory://nowhere is not there'):
            read_library('memory://nowhere', {})
    finally:
        memory.rm('/library', recursive=True)


def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path, monkeypatch):
    import fsspec
    memory = fsspec.filesystem('memory')
    memory.pipe_file('/odd/x.mcap', b'1')
    found = remote.look_at('memory://odd')
    assert found.files == {'x.mcap': '/odd/x.mcap'}
    monkeypatch.setattr(remote, 'look_at', lambda address: remote.Found(
        address, memory, True, {'../../x.mcap': '/odd/x.mcap'}))
    with pytest.raises(InputError, match=r"'\.\./\.\./x\.mcap', which lies outside"):
        remote.bring('memory://odd', tmp_path / 'a')
    assert not list(tmp_path.rglob('x.mcap'))
    memory.rm('/odd', recursive=True)


def test_what_a_killed_worker_brought_here_is_removed_by_the_next():
    program = ('import os, signal\nfrom stm_ros.fleet.remote import folder_for_copies\n'
               'with folder_for_copies() as folder:\n'
               '    (folder / "bag.mcap").write_text("much")\n'
               '    print(folder, flush=True)\n    os.kill(os.getpid(), signal.SIGKILL)\n')
    killed = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True,
                            timeout=60)
    left = Path(killed.stdout.strip())
    assert (left / 'bag.mcap').is_file()
    with folder_for_copies() as one, folder_for_copies() as other:
        assert one.is_dir() and other.is_dir(), 'those of processes that run are left alone'
        assert not left.exists()


@pytest.fixture
def bucket(root, monkeypatch) -> Iterator[str]:
    """The library in a bucket of a server that speaks S3."""
    pytest.importorskip('s3fs', reason='needs s3fs: pip install s3fs "moto[server]"')
    server = pytest.importorskip('moto.server', reason='needs moto: pip install "moto[server]"')
    serving = server.ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
    serving.start()
    host, port = serving.get_host_and_port()
    # all that a user sets, too
    for name, value in (('AWS_ENDPOINT_URL', f'http://{host}:{port}'),
                        ('AWS_ACCESS_KEY_ID', 'nobody'), ('AWS_SECRET_ACCESS_KEY', 'nothing'),
                        ('AWS_DEFAULT_REGION', 'us-east-1')):
        monkeypatch.setenv(name, value)
    import fsspec
    import s3fs
    s3fs.S3FileSystem.clear_instance_cache()
    system = fsspec.filesystem('s3')
    system.mkdir('robots')
    system.put(f'{root / PLACE}/', 'robots/17/', recursive=True)
    yield 's3://robots/17'
    serving.stop()
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_library_in_a_bucket_of_s3(bucket, tmp_path, capsys):
    out = tmp_path / 'out'
    command = ['fleet', bucket, '--out', str(out), '--workers', '1', '--engine', 'processes',
               '--storage', 'none']
    assert main(command) == 0
    said = capsys.readouterr()
    assert '3 recordings: 3 done' in said.out and 'a_bag: done' in said.err
    assert main(command) == 0
    assert '3 recordings: 3 done before' in capsys.readouterr().out
    manifest = tmp_path / 'manifest.yaml'
    manifest.write_text(f'recordings: [{{source: "{bucket}/gone.mcap", box: "1,1,9,9"}}]')
    assert main([*command[:1], str(manifest), *command[2:]]) == 1
    assert f'{bucket}/gone.mcap is not there' in capsys.readouterr().err
