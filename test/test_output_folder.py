# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Nothing is replaced or deleted but what stm wrote itself."""
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from stm_ros.cli.main import main
from stm_ros.synthetic.clip_files import ClipFolder
from stm_ros.synthetic.clip_files import TrueFrame
from stm_ros.training.running import own_results
from stm_ros.vision.errors import InputError
from stm_ros.vision.output_folder import MANIFEST
from stm_ros.vision.output_folder import OutputFolder
from stm_ros.vision.output_folder import new_file
from stm_ros.vision.output_folder import own_living_files
from stm_ros.vision.output_folder import write_result


def write(folder: Path, files: dict[str, str], **options) -> None:
    """One run that writes `files`."""
    names = {name.split('/')[0] for name in files}
    with OutputFolder(folder, sorted(names), **options) as output:
        for name, content in files.items():
            (output.staging / name).parent.mkdir(exist_ok=True)
            (output.staging / name).write_text(content)


def content(folder: Path) -> dict[str, str]:
    """All files but the manifest, with what they hold."""
    return {path.relative_to(folder).as_posix(): path.read_text()
            for path in folder.rglob('*') if path.is_file() and path.name != MANIFEST}


def test_a_run_replaces_what_the_last_one_wrote_and_nothing_else(tmp_path):
    out = tmp_path / 'new' / 'out'
    write(out, {'masks/0': 'a', 'masks/1': 'b', 'report': 'c'})
    (out / 'notes.txt').write_text('mine')
    (out / 'masks' / '.hidden').write_text('mine too')
    write(out, {'masks/0': 'A'})
    assert content(out) == {'masks/0': 'A', 'notes.txt': 'mine', 'masks/.hidden': 'mine too'}
    assert list(json.loads((out / MANIFEST).read_text())['files']) == ['masks/0']
    write(out, {'other': 'x'})
    assert content(out) == {'other': 'x', 'notes.txt': 'mine', 'masks/.hidden': 'mine too'}


def test_a_shared_folder_keeps_results_under_other_names(tmp_path):
    write(tmp_path, {'one': '1'}, shared=True)
    write(tmp_path, {'two': '2'}, shared=True)
    write(tmp_path, {'one': '3'}, shared=True)
    assert content(tmp_path) == {'one': '3', 'two': '2'}


def test_what_stm_did_not_write_is_in_the_way(tmp_path):
    (tmp_path / 'masks').mkdir()
    (tmp_path / 'masks' / '00000.png').write_text('three days of annotation')
    with pytest.raises(InputError, match='00000.png was not written by stm'):
        OutputFolder(tmp_path, ['masks'])
    assert content(tmp_path) == {'masks/00000.png': 'three days of annotation'}
    OutputFolder(tmp_path, ['results'])


def test_what_was_changed_since_is_the_user_s(tmp_path):
    write(tmp_path, {'masks/0': 'a', 'masks/1': 'b'})
    (tmp_path / 'masks' / '1').write_text('corrected by hand')
    with pytest.raises(InputError, match='1 was changed since stm wrote it'):
        OutputFolder(tmp_path, ['masks'])
    with pytest.raises(InputError, match='changed since'):
        OutputFolder(tmp_path, ['other'])
    OutputFolder(tmp_path, ['other'], shared=True)


def test_links_and_manifests_that_lead_outside_are_refused(tmp_path):
    (tmp_path / 'precious').mkdir()
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'masks').symlink_to(tmp_path / 'precious')
    with pytest.raises(InputError, match='is a link'):
        OutputFolder(tmp_path / 'out', ['masks'])
    (tmp_path / 'out' / MANIFEST).write_text('{"files": {"../precious/a": ["x"]}}')
    with pytest.raises(InputError, match='lies outside'):
        OutputFolder(tmp_path / 'out', ['report'])
    (tmp_path / 'out' / MANIFEST).write_text('no manifest')
    with pytest.raises(InputError, match='is no manifest'):
        OutputFolder(tmp_path / 'out', ['report'])


def test_an_output_that_is_or_holds_an_input_is_refused(tmp_path, monkeypatch):
    (tmp_path / 'project' / 'bag').mkdir(parents=True)
    bag = tmp_path / 'project' / 'bag'
    (tmp_path / 'link').symlink_to(tmp_path / 'project')
    monkeypatch.chdir(tmp_path)
    for out in (bag, bag.parent, Path('.'), Path('link'), Path('project/../project')):
        with pytest.raises(InputError, match='the output .* (is|holds) the input'):
            OutputFolder(out, ['masks'], inputs=[bag])
    with pytest.raises(InputError, match='holds the input'):
        OutputFolder(bag, ['masks'], inputs=[f'{bag}/*.png'])
    OutputFolder(tmp_path / 'project' / 'out', ['masks'], inputs=[bag])


def test_an_earlier_result_that_is_an_input_now_stays(tmp_path):
    write(tmp_path, {'mask_1.png': 'a mask', 'p.json': '{}'}, shared=True)
    with pytest.raises(InputError, match='would be replaced, and it is an input'):
        OutputFolder(tmp_path, ['mask_1.png'], [tmp_path / 'mask_1.png'], shared=True)
    os.link(tmp_path / 'mask_1.png', tmp_path / 'other name')
    with pytest.raises(InputError, match='it is an input'):
        OutputFolder(tmp_path, ['mask_1.png'], [tmp_path / 'other name'], shared=True)


def test_a_run_that_fails_leaves_the_last_results(tmp_path):
    write(tmp_path, {'masks/0': 'a'})
    before = content(tmp_path)
    with pytest.raises(RuntimeError), OutputFolder(tmp_path, ['masks']) as output:
        (output.staging / 'masks').write_text('half')
        raise RuntimeError('no')
    assert content(tmp_path) == before
    with pytest.raises(RuntimeError), OutputFolder(tmp_path, ['masks']) as output:
        (output.staging / 'masks').mkdir()
        (output.staging / 'masks' / '0').write_text('what was answered')
        output.keep_partial = True
        raise RuntimeError('no')
    assert content(tmp_path) == {'masks/0': 'what was answered'}


def test_files_that_appear_meanwhile_are_not_overwritten(tmp_path):
    with pytest.raises(InputError, match='the results are in') as told:
        with OutputFolder(tmp_path, ['report']) as output:
            (output.staging / 'report').write_text('ours')
            (tmp_path / 'report').write_text('theirs')
    assert (tmp_path / 'report').read_text() == 'theirs'
    kept = Path(str(told.value).rpartition('the results are in ')[2])
    assert (kept / 'report').read_text() == 'ours'
    (tmp_path / 'report').unlink()
    write(tmp_path, {'report': 'new'})
    assert (kept / 'report').is_file(), 'nobody else may throw them away'


def test_a_killed_run_leaves_the_last_results_and_its_rest_is_cleared(tmp_path):
    write(tmp_path, {'report': 'whole'})
    script = ('import os, sys; from stm_ros.vision.output_folder import OutputFolder\n'
              'with OutputFolder(sys.argv[1], ["report"]) as output:\n'
              '    (output.staging / "report").write_text("half"); os.kill(os.getpid(), 9)\n')
    subprocess.run([sys.executable, '-c', script, str(tmp_path)], check=False, timeout=120)
    assert (tmp_path / 'report').read_text() == 'whole'
    assert len(list(tmp_path.glob('.stm_partial_*'))) == 1
    write(tmp_path, {'report': 'next'})
    assert content(tmp_path) == {'report': 'next'}


def test_single_files_are_never_overwritten(tmp_path):
    with new_file(tmp_path / 'deep' / 'a') as partial:
        partial.write_text('1')
        assert not (tmp_path / 'deep' / 'a').exists()
    with pytest.raises(InputError, match='exists already'), new_file(tmp_path / 'deep' / 'a'):
        pass
    with pytest.raises(RuntimeError), new_file(tmp_path / 'b') as partial:
        partial.write_text('half')
        raise RuntimeError('no')
    assert content(tmp_path) == {'deep/a': '1'}


@pytest.mark.parametrize('words', [
    ['weights', 'convert', 'a.safetensors', '--out', 'precious'],
    ['memory', 'import', 'known', 'precious'],
    ['calibrate', 'a.safetensors', '--out', 'precious']])
def test_commands_refuse_to_overwrite_a_file(tmp_path, monkeypatch, capsys, words):
    from safetensors.numpy import save_file
    save_file({}, tmp_path / 'a.safetensors')
    (tmp_path / 'known' / 'one').mkdir(parents=True)
    (tmp_path / 'known' / 'one' / 'reference.json').write_text('{}')
    (tmp_path / 'precious').write_text('mine')
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert 'exists already' in capsys.readouterr().err
    assert (tmp_path / 'precious').read_text() == 'mine'


@pytest.mark.parametrize(('words', 'told'), [
    (['weights', 'check', 'folder'], 'folder is a folder; weights is needed'),
    (['weights', 'check', 'bag'], 'a rosbag2 recording'),
    (['weights', 'check', 'text.pth.txt'], 'a file of another kind'),
    (['memory', 'show', 'folder'], 'a saved memory is needed'),
    (['memory', 'show', 'weights.safetensors'], 'is weights; a saved memory'),
    (['memory', 'import', 'bag', 'out'], 'a folder of references is needed'),
    (['memory', 'import', 'weights.safetensors', 'out'], 'is weights; a folder of references'),
    (['memory', 'export', 'absent'], 'needs a second path')])
def test_what_is_something_else_is_named(tmp_path, monkeypatch, capsys, words, told):
    from safetensors.numpy import save_file
    save_file({}, tmp_path / 'weights.safetensors')
    (tmp_path / 'text.pth.txt').write_text('hello')
    for name in ('folder', 'bag'):
        (tmp_path / name).mkdir()
    (tmp_path / 'bag' / 'metadata.yaml').write_text('x')
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert told in capsys.readouterr().err


def test_a_file_that_goes_on_changing_is_listed_and_stays(tmp_path):
    own_living_files(tmp_path / 'out', ['node.log'])
    (tmp_path / 'out' / 'node.log').write_text('one')
    write(tmp_path / 'out', {'report': 'a'})
    assert content(tmp_path / 'out') == {'node.log': 'one', 'report': 'a'}
    own_living_files(tmp_path / 'out', ['node.log'])
    (tmp_path / 'mine.log').write_text('mine')
    with pytest.raises(InputError, match='mine.log was not written by stm'):
        own_living_files(tmp_path, ['new.log', 'mine.log'])
    assert content(tmp_path) == {'mine.log': 'mine', 'out/node.log': 'one', 'out/report': 'a'}


def test_a_fault_of_the_program_is_no_user_error(monkeypatch, capsys):
    """Traceback and 70 for what is not ours to mend by the user; a line and 2 for the rest."""
    command = import_module('stm_ros.cli.weights')
    for error, code, told in (
            (ValueError('index 3'), 70, 'Traceback'), (KeyError('x'), 70, 'Traceback'),
            (InputError('no such thing'), 2, 'stm: error: no such thing\n'),
            (FileNotFoundError(2, 'No such file or directory', 'a.mp4'), 2,
             'stm: error: a.mp4 cannot be read or written: No such file or directory\n')):
        def fail(arguments: object, error: Exception = error) -> int:
            raise error
        monkeypatch.setattr(command, 'run', fail)
        assert main(['weights', 'check', 'x']) == code
        printed = capsys.readouterr().err
        assert told in printed and ('Traceback' in printed) == (code == 70)


def test_one_file_of_results_is_listed_with_what_it_holds(tmp_path):
    place = tmp_path / 'new' / 'bench.json'
    write_result(place, b'one')
    write_result(place, b'two')
    assert content(place.parent) == {'bench.json': 'two'}
    place.write_text('corrected by hand')
    with pytest.raises(InputError, match='bench.json was changed since stm wrote it'):
        write_result(place, b'three')
    assert content(place.parent) == {'bench.json': 'corrected by hand'}


def test_all_that_is_in_the_way_is_counted(tmp_path):
    (tmp_path / 'masks').mkdir()
    for number in range(6):
        (tmp_path / 'masks' / f'{number}.png').write_text('mine')
    with pytest.raises(InputError, match=r'0\.png was not written by stm .* as would masks/1\.png, '
                                         r'masks/2\.png, masks/3\.png and 2 more: .*remove'):
        OutputFolder(tmp_path, ['masks'])


def test_bench_refuses_before_any_work_what_it_did_not_write(tmp_path, capsys):
    for name, words in (('bench.csv', []), ('sweep_memory.json', ['--sweep', 'memory']),
                        ('report.md', ['--report']), ('against.json', ['--against', 'plain']),
                        ('soak.csv', ['--soak', '300'])):
        (tmp_path / name).write_text('mine')
        assert main(['bench', '--out', str(tmp_path), *words]) == 2
        assert f'{name} was not written by stm' in capsys.readouterr().err
        assert content(tmp_path) == {name: 'mine'}
        (tmp_path / name).unlink()


def test_a_training_takes_over_its_folder_of_before_there_were_manifests(tmp_path):
    results = ['checkpoint.pt', 'log.csv', 'log.png', 'stm_lite.safetensors']
    with pytest.raises(InputError, match='log.csv was not written by stm'):
        (tmp_path / 'log.csv').write_text('my log')
        own_results(tmp_path, results, [None])
    (tmp_path / 'checkpoint.pt').write_text('of a training')
    (tmp_path / 'notes').write_text('mine')
    with pytest.raises(InputError, match='was not written by stm'):
        own_results(tmp_path, results, [None])
    (tmp_path / 'notes').unlink()
    with pytest.raises(InputError, match='is an input'):
        own_results(tmp_path, results, [tmp_path / 'checkpoint.pt'])
    assert not (tmp_path / MANIFEST).exists()
    own_results(tmp_path, results, [None])
    (tmp_path / 'log.csv').write_text('longer')
    own_results(tmp_path, results, [None])
    assert content(tmp_path) == {'log.csv': 'longer', 'checkpoint.pt': 'of a training'}
    with pytest.raises(InputError, match='is an input'):
        own_results(tmp_path, results, [tmp_path / 'checkpoint.pt'])


def test_a_fleet_refuses_a_folder_that_is_or_holds_its_recordings(tmp_path, capsys):
    library = tmp_path / 'library'
    (library / 'sub').mkdir(parents=True)
    (library / 'a.mp4').write_bytes(b'film')
    words = ['fleet', str(library), '--box', '1,1,9,9', '--engine', 'processes', '--out']
    for out, told in ((library, 'is the input'), (tmp_path, 'holds the input'),
                      (library / 'sub', 'lies in the library')):
        assert main([*words, str(out)]) == 2
        assert told in capsys.readouterr().err
    out = tmp_path / 'out'
    (out / 'state').mkdir(parents=True)
    (out / 'state' / 'a.json').write_text('mine')
    assert main([*words, str(out)]) == 2
    assert 'state/a.json was not written by stm' in capsys.readouterr().err
    assert content(tmp_path) == {'library/a.mp4': 'film', 'out/state/a.json': 'mine'}


def test_rendered_clips_replace_no_list_and_no_clip_of_others(tmp_path):
    frame = TrueFrame(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.uint8))
    lists = tmp_path / 'ImageSets' / '2017'
    lists.mkdir(parents=True)
    (lists / 'val.txt').write_text('bear\n')
    with pytest.raises(InputError, match='val.txt was not written by stm'):
        ClipFolder(tmp_path, 'davis', 'val').write('mixed', [frame])
    masks = tmp_path / 'Annotations' / '480p' / 'mixed'
    masks.mkdir(parents=True)
    (masks / '00000.png').write_text('annotated')
    folder = ClipFolder(tmp_path, 'davis', 'dev')
    with pytest.raises(InputError, match='mixed is there, but is no whole clip'):
        folder.write('mixed', [frame])
    assert content(tmp_path) == {'ImageSets/2017/val.txt': 'bear\n',
                                 'Annotations/480p/mixed/00000.png': 'annotated'}
    # an attempt that was killed between its two moves is taken up again
    left = tmp_path.parent / f'.unfinished_{tmp_path.name}_mixed' / 'images'
    left.mkdir(parents=True)
    (left / '00000.jpg').write_bytes(b'half')
    folder.write('mixed', [frame])
    folder.write('other', [frame])
    assert (lists / 'dev.txt').read_text() == 'mixed\nother\n'
    assert (masks / '00000.png').read_bytes().startswith(b'\x89PNG') and not left.exists()


def test_results_that_were_moved_away_and_linked_are_kept(tmp_path):
    """What lies behind a link is where the user keeps it: neither replaced nor deleted."""
    write(tmp_path / 'out', {'bag/a': 'recording', 'report': 'r'})
    (tmp_path / 'out' / 'bag').rename(tmp_path / 'kept')
    (tmp_path / 'out' / 'bag').symlink_to(tmp_path / 'kept')
    with pytest.raises(InputError, match='bag is a link'):
        write(tmp_path / 'out', {'report': 'new'})
    assert content(tmp_path / 'kept') == {'a': 'recording'}
    assert (tmp_path / 'out' / 'report').read_text() == 'r'
    write(tmp_path / 'out', {'other': 'x'}, shared=True)


def test_what_cannot_be_written_is_refused_before_any_work(tmp_path):
    (tmp_path / 'file').write_text('mine')
    (tmp_path / 'link').symlink_to('nowhere')
    for folder, reason in ((tmp_path / 'file', 'is a file'), (tmp_path / 'file/a/b', 'is a file'),
                           (tmp_path / 'link', 'does not exist'),
                           (tmp_path / 'link' / 'x', 'does not exist'),
                           (Path('/proc/stm/x'), 'read-only|is a file')):
        if folder.parts[1] == 'proc' and os.access('/proc', os.W_OK):
            continue
        with pytest.raises(InputError, match=reason):
            OutputFolder(folder, ['masks'])
        with pytest.raises(InputError, match=reason if folder.name != 'link' else 'exists already'):
            with new_file(folder / 'w' if folder.name != 'link' else folder):
                pytest.fail('nothing is written')
    with pytest.raises(InputError, match='lists its results'):
        OutputFolder(tmp_path, [MANIFEST], shared=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['file', 'link']


def test_results_that_cannot_be_moved_into_place_are_kept_and_told(tmp_path):
    (tmp_path / 'report').mkdir()
    with pytest.raises(InputError, match='the results are in') as told:
        write(tmp_path, {'report': 'an hour of work'})
    place = Path(str(told.value).rpartition('the results are in ')[2])
    assert (place / 'report').read_text() == 'an hour of work'
