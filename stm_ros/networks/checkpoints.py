# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Loading weights, failing loudly: no pickled code, no missing or unexpected names."""
import hashlib
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from stm_ros.networks.interface import SpaceTimeNetwork
from stm_ros.networks.prompting import PREFIX
from stm_ros.networks.prompting import PromptHead
from stm_ros.networks.prompting import divided
from stm_ros.networks.prompting import split_head
from stm_ros.networks.prompting import trunk_digest
from stm_ros.networks.published import DEFAULT_WEIGHTS
from stm_ros.networks.published import published
from stm_ros.networks.stcn import STCN
from stm_ros.networks.stm import STM
from stm_ros.networks.stm_lite import STMLite
from stm_ros.vision.errors import StmError

NETWORKS: dict[str, type[SpaceTimeNetwork]] = {'stm': STM, 'stm_lite': STMLite, 'stcn': STCN}
_SHIPPED = Path(__file__).resolve().parent.parent / 'weights'
#: what ships for stm_lite, by the name that stands for a path
SHIPPED_BY_NAME = {
    'research': _SHIPPED / 'stm_lite.safetensors',
    'permissive': _SHIPPED / 'stm_lite_permissive.safetensors'}
#: what load_network() takes where no weights are named
SHIPPED_WEIGHTS = SHIPPED_BY_NAME[DEFAULT_WEIGHTS]
OFFICIAL_WEIGHTS_HELP = published(STM.name).where
_NAMES_IN_MESSAGE = 5


class CheckpointError(StmError, ValueError):
    """A weights file cannot be used; the message says which and why."""


def load_network(name: str = 'stm_lite', weights: str | Path | None = None,
                 device: str | torch.device = 'cpu') -> SpaceTimeNetwork:
    """Build a network with its weights, in eval mode, float32.

    :param name: 'stm', 'stcn' or 'stm_lite'.
    :param weights: .safetensors, or .pth as torch.save writes it; for stm_lite also 'research' or
        'permissive', of the weights that ship, or None for DEFAULT_WEIGHTS.
    :raises CheckpointError: for an unknown name or a file that does not fit.
    """
    if name not in NETWORKS:
        raise CheckpointError(f'there is no network {name!r}; known are {sorted(NETWORKS)}')
    if weights is None:
        if name != STMLite.name:
            raise CheckpointError(f'no weights ship for {name!r}: {published(name).where}')
        weights = SHIPPED_WEIGHTS
    if name == STMLite.name:
        weights = SHIPPED_BY_NAME.get(str(weights), weights)
    state, metadata = read_checkpoint(Path(weights))
    network = NETWORKS[name]()
    fill_network(network, state, Path(weights))
    network.metadata = metadata
    return network.to(device).eval().requires_grad_(False)


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors by name, without a `module.` prefix, and the file's metadata.

    :raises CheckpointError: where the file is missing, damaged, or not a table of tensors.
    """
    if not path.is_file():
        raise CheckpointError(f'no weights at {path}')
    if (said := what_else(path)) is not None:
        raise CheckpointError(f'{path} is {said}, no weights')
    if path.suffix.lower() == '.safetensors' or _is_safetensors(path):
        state, metadata = _read_safetensors(path)
    else:
        state, metadata = _read_pickle(path), {}
    return {name.removeprefix('module.'): tensor for name, tensor in state.items()}, metadata


def what_else(path: Path) -> str | None:
    """What a file is that only has the name of weights, in words; None where its start is theirs.
    """
    with path.open('rb') as file:
        start = file.read(512).lstrip().lower()
    if path.stat().st_size == 0:
        return 'empty (0 bytes)'
    if start.startswith((b'<!doctype', b'<html')):
        return 'a web page'
    if start.startswith(b'version https://git-lfs'):
        return 'a pointer of Git LFS (`git lfs pull` fetches the file)'
    return None


def _is_safetensors(path: Path) -> bool:
    """By its start, the length of a table in JSON and the table, whatever its name says."""
    with path.open('rb') as file:
        start = file.read(9)
    return start[8:] == b'{' and int.from_bytes(start[:8], 'little') < path.stat().st_size


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(str(path), framework='pt', device='cpu') as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return state, dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'{path} is damaged or no safetensors file: {error}') from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f'{path} is refused: it is no plain table of tensors, and may hold code, which is '
            'never run') from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(f'{path} is damaged or cut short: {error or type(error).__name__}'
                              ) from error
    if isinstance(content, dict) and isinstance(content.get('state_dict'), dict):
        content = content['state_dict']
    if not isinstance(content, dict) or not all(
            isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(f'{path} holds {type(content).__name__}, not tensors by name')
    return content


def write_checkpoint(state: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write tensors by name as safetensors.

    :raises CheckpointError: where there is no room for them, or they cannot be written.
    """
    try:
        # the library's own files can be read by their owner only
        path.write_bytes(save({name: tensor.contiguous() for name, tensor in state.items()},
                              metadata))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'cannot write the weights {path.name}: {error}') from error


def fill_network(network: SpaceTimeNetwork, state: dict[str, Tensor], path: Path) -> None:
    """Copy `state` into `network`, without the head for prompts that it may hold.

    :raises CheckpointError: for missing, unexpected or wrongly shaped tensors; a missing
        `num_batches_tracked`, which old checkpoints lack, is tolerated.
    """
    own = network.state_dict()
    if isinstance(network, STMLite):
        state, _ = split_head(state)
        if not any(name in state for name in STMLite.matching_parts):
            network.reads_fine = False
            state = {**state, **{name: own[name] for name in STMLite.matching_parts}}
    missing = [name for name in own
               if name not in state and not name.endswith('num_batches_tracked')]
    unexpected = [name for name in state if name not in own]
    if missing or unexpected:
        raise CheckpointError(
            f'{path} does not fit {network.name!r}{_hint(network, state)}: '
            f'{_list("missing", missing)}; {_list("unexpected", unexpected)}')
    misshapen = [f'{name} is {tuple(state[name].shape)}, not {tuple(own[name].shape)}'
                 for name in own if name in state and state[name].shape != own[name].shape]
    if misshapen:
        raise CheckpointError(f'{path} does not fit {network.name!r}: '
                              f'{_list("wrong shapes", misshapen)}')
    network.load_state_dict({**own, **state})


def prompt_head_of(state: dict[str, Tensor], metadata: dict[str, str], path: Path
                   ) -> PromptHead | None:
    """Return the head for prompts that a weights file holds, in eval mode; None without one.

    :raises CheckpointError: where its tensors do not fit, or it was trained on another trunk.
    """
    return head_for_trunk(state, metadata, trunk_digest(split_head(state)[0]), path)


def head_for_trunk(state: dict[str, Tensor], metadata: dict[str, str], digest: str, path: Path
                   ) -> PromptHead | None:
    """Like `prompt_head_of`, for a trunk that need not be in the file: `digest` tells which."""
    own = split_head(state)[1]
    if not own:
        return None
    if metadata.get('prompt_trunk') != digest:
        raise CheckpointError(f'the head for prompts in {path} was trained on another trunk '
                              f'({metadata.get("prompt_trunk")}, not {digest})')
    head = PromptHead()
    try:
        head.load_state_dict(own)
    except RuntimeError as error:
        raise CheckpointError(f'the head for prompts in {path} does not fit: {error}') from error
    return head.eval().requires_grad_(False)


def with_prompt_head(state: dict[str, Tensor], metadata: dict[str, str], donor: Path
                     ) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return a weights file's content with the head for prompts of the file `donor` in it.

    :raises CheckpointError: where `donor` holds none, or one for another trunk.
    """
    given, told = read_checkpoint(donor)
    head = divided(given)[1]
    if not head:
        raise CheckpointError(f'{donor} holds no head for prompts: no tensor {PREFIX}*')
    merged = ({**divided(state)[0], **head}, {**divided(metadata)[0], **divided(told)[1]})
    prompt_head_of(*merged, donor)
    return merged


def fingerprint(network: SpaceTimeNetwork) -> str:
    """A digest of a network's weights: what other weights memorised means nothing to it."""
    digest = hashlib.sha256(network.name.encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def recognised(state: dict[str, Tensor]) -> str | None:
    """The network whose parameters a checkpoint has, by their names; None where it is none's."""
    for name, kind in NETWORKS.items():
        if set(state) >= {n for n, _ in kind().named_parameters()}:
            return name
    return None


def _hint(network: SpaceTimeNetwork, state: dict[str, Tensor]) -> str:
    name = recognised(state)
    return f' (it is a checkpoint of {name!r})' if name not in (None, network.name) else ''


def _list(title: str, names: list[str]) -> str:
    if not names:
        return f'{title}: none'
    more = len(names) - _NAMES_IN_MESSAGE
    return f'{title}: {", ".join(names[:_NAMES_IN_MESSAGE])}' + (
        f' and {more} more' if more > 0 else '')
