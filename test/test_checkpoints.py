# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Weights files: what is accepted, and what each refusal says."""
import pickle

import pytest
import torch
from safetensors.torch import save_file

from stm_ros.cli.main import main
from stm_ros.networks.checkpoints import CheckpointError
from stm_ros.networks.checkpoints import fingerprint
from stm_ros.networks.checkpoints import load_network
from stm_ros.networks.checkpoints import read_checkpoint
from stm_ros.networks.checkpoints import write_checkpoint
from stm_ros.networks.stm import STM
from stm_ros.networks.stm_lite import STMLite


@pytest.fixture(scope='module')
def state() -> dict[str, torch.Tensor]:
    """The tensors of an STM-lite."""
    torch.manual_seed(0)
    return {name: tensor.clone() for name, tensor in STMLite().state_dict().items()}


def test_module_prefix_is_dropped_and_half_precision_widened(tmp_path, state):
    path = tmp_path / 'weights.pth'
    torch.save({f'module.{name}': tensor.half() for name, tensor in state.items()}, path)
    network = load_network('stm_lite', path)
    loaded = network.state_dict()
    assert all(torch.equal(loaded[name], state[name].half().float()) for name in state)


def test_old_checkpoints_without_batch_counters_load(tmp_path):
    torch.manual_seed(0)
    tensors = {name: tensor for name, tensor in STM().state_dict().items()
               if not name.endswith('num_batches_tracked')}
    path = tmp_path / 'STM_weights.pth'
    torch.save(tensors, path)
    loaded = load_network('stm', path).state_dict()
    assert torch.equal(loaded['Decoder.pred2.weight'], tensors['Decoder.pred2.weight'])


def test_missing_and_unexpected_names_are_told(tmp_path, state):
    path = tmp_path / 'weights.safetensors'
    changed = {name: tensor for name, tensor in state.items() if name != 'key.bias'}
    save_file({**changed, 'extra.weight': torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match=r'missing: key\.bias; unexpected: extra\.weight'):
        load_network('stm_lite', path)


def test_another_architecture_is_recognised(tmp_path, state):
    path = tmp_path / 'weights.safetensors'
    save_file(state, path)
    with pytest.raises(CheckpointError, match="it is a checkpoint of 'stm_lite'"):
        load_network('stm', path)


def test_wrong_shapes_are_told(tmp_path, state):
    path = tmp_path / 'weights.safetensors'
    save_file({**state, 'key.bias': torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match=r'key\.bias is \(3,\), not \(64,\)'):
        load_network('stm_lite', path)


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_a_truncated_file_is_told(tmp_path, state, suffix):
    path = tmp_path / f'weights{suffix}'
    if suffix == '.pth':
        torch.save(state, path)
    else:
        save_file(state, path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match='damaged'):
        load_network('stm_lite', path)


class _Bomb:
    def __reduce__(self):
        return (exec, ('raise SystemExit("the pickle was run")',))


@pytest.mark.parametrize('as_torch', [True, False])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, as_torch):
    path = tmp_path / 'weights.pth'
    if as_torch:
        torch.save({'key.bias': _Bomb()}, path)
    else:
        path.write_bytes(pickle.dumps({'key.bias': _Bomb()}))
    with pytest.raises(CheckpointError, match='refused'):
        load_network('stm_lite', path)


def test_no_file_no_network_and_no_shipped_weights(tmp_path):
    with pytest.raises(CheckpointError, match='no weights at'):
        load_network('stm_lite', tmp_path / 'absent.pth')
    with pytest.raises(CheckpointError, match='known are'):
        load_network('xmem')
    with pytest.raises(CheckpointError, match='CC BY-NC-SA'):
        load_network('stm')


def test_the_fingerprint_tells_weights_apart():
    torch.manual_seed(0)
    one, other = STMLite(), STMLite()
    assert fingerprint(one) != fingerprint(other)
    other.load_state_dict(one.state_dict())
    assert fingerprint(one) == fingerprint(other)


def test_the_average_of_weights_lies_between_them(tmp_path, capsys):
    paths, judge = [], load_network().metadata['judge']
    for number, value in enumerate((0.25, 0.75)):
        network = STMLite()
        for parameter in network.parameters():
            torch.nn.init.constant_(parameter, value)
        paths.append(tmp_path / f'{number}.safetensors')
        save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()},
                  str(paths[-1]), {'network': 'stm_lite', 'judge': judge})
    out = tmp_path / 'mean.safetensors'
    command = ['weights', 'average', *map(str, paths), '--model', 'stm_lite']
    assert main([*command, '--out', str(out), '--half']) == 0
    state, metadata = read_checkpoint(out)
    assert all((tensor == 0.5).all() and tensor.dtype == torch.float16
               for tensor in state.values())
    assert metadata == {'network': 'stm_lite', 'format': '1'}
    said = capsys.readouterr().out
    # each of them is calibrated, their mean is another network
    assert said.count('confidence is not calibrated') == 0
    assert main(['weights', 'check', str(out)]) == 0
    assert 'confidence is not calibrated' in capsys.readouterr().out
    assert main(command) != 0 and '--out' in capsys.readouterr().err
    assert main(['weights', 'check', *map(str, paths), '--model', 'stm_lite']) != 0


@pytest.mark.parametrize(('name', 'licence'), [('research', 'CC-BY-NC-4.0'),
                                               ('permissive', 'CC-BY-4.0')])
def test_shipped_weights_are_known_by_name_and_say_their_licence(name, licence):
    network = load_network('stm_lite', name)
    assert network.metadata['licence'] == licence and 'judge' in network.metadata
    others = {'research': 'permissive', 'permissive': 'research'}
    assert fingerprint(network) != fingerprint(load_network('stm_lite', others[name]))


def test_weights_that_cannot_be_written_are_told(tmp_path):
    (tmp_path / 'file').write_text('mine')
    with pytest.raises(CheckpointError, match='cannot write the weights w.safetensors'):
        write_checkpoint({'a': torch.ones(2)}, tmp_path / 'file' / 'w.safetensors', {})
    assert (tmp_path / 'file').read_text() == 'mine'


def test_others_may_read_weights_that_are_written(tmp_path):
    write_checkpoint({'a': torch.zeros(1)}, tmp_path / 'a.safetensors', {})
    (tmp_path / 'ordinary').touch()
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1
