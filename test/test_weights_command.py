# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where weights are, and how they come: over real HTTP, broken off on the way."""
import hashlib
import pickle
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stm_ros.cli.calibrate import write_judged
from stm_ros.cli.main import main
from stm_ros.doctor.weights import check_given_weights
from stm_ros.evaluation.judge_fitting import fit_judge
from stm_ros.evaluation.rollouts import Observation
from stm_ros.inference.judge import SIGHT_CUES
from stm_ros.inference.judge import TRACK_CUES
from stm_ros.inference.judge import UNCALIBRATED
from stm_ros.networks import downloading
from stm_ros.networks.checkpoints import load_network
from stm_ros.networks.checkpoints import read_checkpoint
from stm_ros.networks.downloading import DownloadError
from stm_ros.networks.downloading import download
from stm_ros.networks.published import NETWORK_NAMES
from stm_ros.networks.published import PUBLISHED
from stm_ros.networks.stcn import STCN
from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig


class FileServer(ThreadingHTTPServer):
    """One file, with ranges; breaks off each of the first answers after so many bytes."""

    def __init__(self, content: bytes, cuts: list[int] | None = None, mark: str = '"first"',
                 has_ranges: bool = True) -> None:
        self.content, self.cuts, self.mark = content, list(cuts or []), mark
        self.has_ranges = has_ranges
        self.asked: list[str | None] = []
        super().__init__(('127.0.0.1', 0), _Handler)

    @property
    def url(self) -> str:
        """Where the file is."""
        return f'http://127.0.0.1:{self.server_address[1]}/weights.pth'


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def log_message(self, *arguments: object) -> None:
        """Nothing: the tests look at what was asked."""

    def do_GET(self) -> None:
        """Answer a range, or all."""
        server, span = self.server, self.headers.get('Range')
        server.asked.append(span)
        if self.path != '/weights.pth':
            self.send_error(404)
            return
        start = 0
        fits = self.headers.get('If-Range') in (None, server.mark)
        if span is not None and server.has_ranges and fits:
            start = int(span.removeprefix('bytes=').removesuffix('-'))
            if start >= len(server.content):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        if start:
            last = len(server.content) - 1
            self.send_header('Content-Range', f'bytes {start}-{last}/{len(server.content)}')
        self.send_header('Content-Length', str(len(server.content) - start))
        if server.mark:
            self.send_header('ETag', server.mark)
        self.end_headers()
        stop = start + server.cuts.pop(0) if server.cuts else None
        self.wfile.write(server.content[start:stop])
        if stop is not None:
            self.close_connection = True


@pytest.fixture
def serve() -> Iterator:
    """Start a server; all end with the test."""
    servers = []

    def start(*arguments, **options) -> FileServer:
        server = FileServer(*arguments, **options)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def content() -> bytes:
    """Three million bytes that nothing repeats."""
    return np.random.default_rng(0).bytes(3_000_000)


def test_a_download_that_breaks_off_goes_on_where_it_stopped(tmp_path, serve, content):
    server = serve(content, cuts=[1_000_000, 700_001])
    seen = []
    digest = download(server.url, tmp_path / 'w.pth', hashlib.sha256(content).hexdigest(),
                      lambda received, total: seen.append((received, total)), pause=0.01)
    assert (tmp_path / 'w.pth').read_bytes() == content
    assert digest == hashlib.sha256(content).hexdigest()
    assert server.asked == [None, 'bytes=1000000-', 'bytes=1700001-']
    assert {total for _, total in seen} == {len(content)}
    received = [count for count, _ in seen]
    assert received == sorted(received) and received[-1] == len(content)
    assert [path.name for path in tmp_path.iterdir()] == ['w.pth']


def test_another_process_goes_on_with_what_is_there(tmp_path, serve, content, monkeypatch):
    monkeypatch.setattr(downloading, 'MOST_FAILURES', 1)
    server = serve(content, cuts=[500_000, 0])
    target = tmp_path / 'w.pth'
    with pytest.raises(DownloadError, match=r'500000 bytes are kept in .*w\.pth\.part'):
        download(server.url, target, pause=0.01)
    assert not target.exists()
    download(server.url, target, pause=0.01)
    assert target.read_bytes() == content and server.asked[-1] == 'bytes=500000-'


def test_another_version_is_not_glued_to_what_is_there(tmp_path, serve, content, monkeypatch):
    monkeypatch.setattr(downloading, 'MOST_FAILURES', 1)
    server = serve(content, cuts=[500_000, 0])
    target = tmp_path / 'w.pth'
    with pytest.raises(DownloadError):
        download(server.url, target, pause=0.01)
    server.content, server.mark = content[::-1], '"second"'
    download(server.url, target)
    assert target.read_bytes() == content[::-1]


def test_what_is_shorter_now_than_what_is_there_begins_anew(tmp_path, serve, content, monkeypatch):
    monkeypatch.setattr(downloading, 'MOST_FAILURES', 1)
    server = serve(content, cuts=[500_000, 0])
    with pytest.raises(DownloadError):
        download(server.url, tmp_path / 'w.pth', pause=0.01)
    server.content = content[:1000]
    download(server.url, tmp_path / 'w.pth')
    assert (tmp_path / 'w.pth').read_bytes() == content[:1000]


@pytest.mark.parametrize('options', [{'mark': ''}, {'has_ranges': False}])
def test_a_server_that_cannot_go_on_sends_all_again(tmp_path, serve, content, options):
    server = serve(content, cuts=[1_000_000], **options)
    download(server.url, tmp_path / 'w.pth', pause=0.01)
    assert (tmp_path / 'w.pth').read_bytes() == content and len(server.asked) == 2


def test_a_wrong_checksum_leaves_nothing(tmp_path, serve, content):
    server = serve(content)
    with pytest.raises(DownloadError, match='another file or was damaged'):
        download(server.url, tmp_path / 'w.pth', '0' * 64)
    assert not list(tmp_path.iterdir())


def test_what_is_absent_too_large_or_there_already_is_said(tmp_path, serve, content, monkeypatch):
    server = serve(content)
    with pytest.raises(DownloadError, match='no address of the web'):
        download('file:///etc/hostname', tmp_path / 'w.pth')
    with pytest.raises(DownloadError, match='answers 404'):
        download(server.url + 'x', tmp_path / 'w.pth')
    monkeypatch.setattr(downloading, 'MOST_BYTES', 1000)
    with pytest.raises(DownloadError, match='3000000 bytes; up to 1000'):
        download(server.url, tmp_path / 'w.pth')
    (tmp_path / 'w.pth').write_text('mine')
    with pytest.raises(DownloadError, match='not overwritten'):
        download(server.url, tmp_path / 'w.pth')
    assert (tmp_path / 'w.pth').read_text() == 'mine'


def test_nobody_there_is_said_after_a_few_tries(tmp_path, serve, content):
    server = serve(content)
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError, match='cannot be downloaded'):
        download(server.url, tmp_path / 'w.pth', pause=0.001)


@pytest.fixture(scope='module')
def stcn_file(tmp_path_factory):
    """A checkpoint of random weights in half precision, as torch.save writes it."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('stcn') / 'stcn.pth'
    torch.save({name: tensor.half() if tensor.is_floating_point() else tensor
                for name, tensor in STCN().state_dict().items()}, path)
    return path


def test_fetch_brings_a_checkpoint_through_a_broken_line(tmp_path, serve, stcn_file, capsys):
    content = stcn_file.read_bytes()
    server = serve(content, cuts=[len(content) // 2])
    out = tmp_path / 'mine.pth'
    digest = hashlib.sha256(content).hexdigest()
    command = ['weights', 'fetch', 'stcn', '--out', str(out), '--url', server.url,
               '--sha256', digest]
    assert main(command) == 0
    said = capsys.readouterr()
    assert 'licence: MIT' in said.out and f'SHA-256 {digest}, as it should be' in said.out
    assert 'fits stcn: 54.4 million parameters' in said.out
    assert 'confidence is not calibrated' in said.out
    assert '100 %' in said.err and server.asked == [None, f'bytes={len(content) // 2}-']
    assert main(command) == 0
    assert 'is there already' in capsys.readouterr().out and len(server.asked) == 2


def test_a_web_page_in_place_of_weights_is_recognised(tmp_path, serve, capsys):
    server = serve(b'<!DOCTYPE html><html>Quota exceeded</html>')
    assert main(['weights', 'fetch', 'stcn', '--url', server.url, '--out',
                 str(tmp_path / 'w.pth')]) == 2
    assert 'is a web page' in capsys.readouterr().err


def test_list_says_where_weights_are_and_asks_nobody(capsys, monkeypatch):
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError('nobody asked for a download')
    monkeypatch.setattr('socket.socket.connect', refuse)
    assert main(['weights', 'list']) == 0
    said = capsys.readouterr().out
    for words in ('research: CC-BY-NC-4.0', 'permissive: CC-BY-4.0', 'stcn: for --model stcn; MIT',
                  'CC BY-NC-SA 4.0: no commercial use', 'github.com/hkchengrex/STCN'):
        assert words in said
    assert {item.network for item in PUBLISHED} <= set(NETWORK_NAMES)
    assert len({item.name for item in PUBLISHED}) == len(PUBLISHED)


@pytest.mark.parametrize(('words', 'reason'), [
    (['fetch', 'xmem'], 'known are stm, stcn'), (['fetch'], 'takes one name; 0 given'),
    (['list', 'x'], 'takes no file'), (['check'], 'takes one file')])
def test_words_that_are_not_accepted_are_said(words, reason, capsys):
    assert main(['weights', *words]) == 2
    assert reason in capsys.readouterr().err


def test_check_recognises_the_network_by_itself(stcn_file, capsys):
    assert main(['weights', 'check', str(stcn_file)]) == 0
    assert 'fits stcn' in capsys.readouterr().out
    assert main(['weights', 'check', str(stcn_file), '--model', 'stm']) == 2
    assert "it is a checkpoint of 'stcn'" in capsys.readouterr().err


def test_calibrated_weights_of_stcn_say_what_confidence_means(tmp_path, stcn_file, capsys):
    out = tmp_path / 'calibrated.safetensors'
    random = np.random.default_rng(0)
    judge = fit_judge([Observation(random.normal(size=len(SIGHT_CUES) + len(TRACK_CUES)), 0.3,
                                   f'sequence {number % 9}') for number in range(90)])
    write_judged(stcn_file, 'stcn', judge.to_json(), out)
    network = load_network('stcn', out)
    assert network.metadata['network'] == 'stcn'
    for path, note in ((out, ''), (stcn_file, UNCALIBRATED)):
        assert main(['weights', 'check', str(path)]) == 0
        said = capsys.readouterr().out
        assert ('confidence is not calibrated' if note else 'confidence is calibrated') in said
        assert 'mean' not in said, 'the numbers of a judge say nothing to people'
        [finding] = check_given_weights('stcn', str(path))
        assert ('not calibrated' in finding.text) == bool(note)
        assert Tracker(load_network('stcn', path)).runner.judge.note == note
    tracker = Tracker(network, TrackerConfig(dtype='float32', max_frames=2))
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    tracker.add_reference(image, np.pad(np.ones((32, 32), np.uint8), 16))
    [target] = tracker.step(image).targets
    assert target.confidence_calibrated and target.confidence <= 0.5


def test_names_for_the_command_line_are_those_of_the_networks(tmp_path, stcn_file):
    from stm_ros.networks.checkpoints import NETWORKS
    assert set(NETWORK_NAMES) == set(NETWORKS)
    out = tmp_path / 'out.safetensors'
    save_file(load_network('stcn', stcn_file).state_dict(), str(out))
    assert load_network('stcn', out).name == 'stcn'


@pytest.mark.parametrize(('name', 'content', 'told'), [
    ('w.pth', b'', 'empty'), ('w.safetensors', b'', 'empty'),
    ('w.pth', b'<!DOCTYPE html><html>', 'a web page'),
    ('w.safetensors', b' <html>', 'a web page'),
    ('w.pth', b'version https://git-lfs.github.com/spec/v1\noid sha256:0', 'git lfs pull'),
    ('w.safetensors', b'version https://git-lfs.github.com/spec/v1\n', 'git lfs pull')])
def test_files_with_the_name_of_weights_say_what_they_are(tmp_path, capsys, name, content, told):
    (tmp_path / name).write_bytes(content)
    for words in (['weights', 'check', str(tmp_path / name)],
                  ['calibrate', str(tmp_path / name), '--out', str(tmp_path / 'out')]):
        assert main(words) == 2
        assert told in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_code_in_weights_is_not_run_and_nobody_is_told_to_run_it(tmp_path, capsys):
    class Harmful:
        def __reduce__(self):
            return Path.touch, (tmp_path / 'touched',)

    (tmp_path / 'w.pth').write_bytes(pickle.dumps(Harmful(), protocol=2))
    assert main(['weights', 'check', str(tmp_path / 'w.pth')]) == 2
    said = capsys.readouterr().err
    assert 'may hold code, which is never run' in said and 'weights_only' not in said
    assert not (tmp_path / 'touched').exists()


def test_safetensors_are_known_by_their_start(tmp_path):
    for name in ('w.pth', 'W.SAFETENSORS', 'w'):
        save_file({'a': torch.ones(3)}, tmp_path / name)
        assert read_checkpoint(tmp_path / name)[0]['a'].sum() == 3


def test_a_folder_in_place_of_weights_is_told(capsys):
    assert main(['weights', 'check', '']) == 2
    assert 'weights is needed' in capsys.readouterr().err
