# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
`stm run`: one reference, one query image; mask, box, confidence, attention and readout as files.

The command of the tool catalogue's page; `tools/stm/run.py` calls it with the page's words.
"""
import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from stm_ros.cli.devices import check_device
from stm_ros.networks.checkpoints import OFFICIAL_WEIGHTS_HELP
from stm_ros.networks.checkpoints import SHIPPED_BY_NAME
from stm_ros.networks.checkpoints import CheckpointError
from stm_ros.networks.published import NETWORK_NAMES
from stm_ros.replay.reference import show_reference
from stm_ros.replay.writers import target_entry
from stm_ros.tracking import Result
from stm_ros.tracking import TargetResult
from stm_ros.tracking import Tracker
from stm_ros.vision.errors import InputError
from stm_ros.vision.errors import StmError
from stm_ros.vision.image_files import read_image
from stm_ros.vision.image_files import write_image
from stm_ros.vision.image_files import write_label_map
from stm_ros.vision.output_folder import MANIFEST
from stm_ros.vision.output_folder import OutputFolder
from stm_ros.vision.overlay import contact_sheet
from stm_ros.vision.overlay import draw_overlay
from stm_ros.vision.overlay import heat_map
from stm_ros.vision.prepare import geometry_for

_LABEL = 'Space-time visual memory'
_OUTPUT = 'Memory readout, attention map, confidence score'
_PANEL_WIDTH = 480
_VISUALIZATION = 'visualization.png'
_ARRAYS = ('retrieved_feature_map', 'visual_attention_weights')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options, named as on the tool's page."""
    parser.add_argument('--ref-img', required=True, help='picture where the target is clearly seen')
    parser.add_argument('--ref-mask', required=True, help='mask of the target in that picture: '
                        '0 and 255, or target ids')
    parser.add_argument('--query-img', required=True, help='picture to find the target in')
    parser.add_argument('--weights', help='weights of the network; the shipped stm_lite if left '
                        'out, or if the official ones are named and absent')
    parser.add_argument('--strict-weights', action='store_true',
                        help='absent weights are an error')
    parser.add_argument('--target-object-id', type=int, help='the object to report, 1..254: the '
                        'id of a binary mask (default 1), or one of the ids in the mask '
                        '(default: all)')
    parser.add_argument('--model', choices=NETWORK_NAMES, help='network; the default is stm '
                        'for .pth weights and stm_lite otherwise')
    parser.add_argument('--device', default='cpu', help='cpu or cuda (default cpu)')
    parser.add_argument('--output', default='runs/prediction.json', help='the JSON to write; '
                        'masks, pictures and arrays go beside it (default runs/prediction.json)')


@dataclass(frozen=True)
class _Weights:
    """Which network with which weights (None: the shipped ones), and why, where not as asked."""

    model: str
    path: str | None
    note: str | None


@dataclass(frozen=True)
class _Place:
    """Where the answer's files are written, and where they will lie."""

    written: Path
    final: Path

    def told(self, name: str) -> str:
        """The path of a file as the answer tells it."""
        return (self.final / name).as_posix()


def run(arguments: argparse.Namespace) -> int:
    """Write the JSON, whose status is "ok" or "error", and return 0 or 2."""
    output = Path(arguments.output)
    # another suffix is a slip: a folder, or the name of one of the pictures that go beside it
    if output.suffix.lower() != '.json' or output.name == MANIFEST:
        raise InputError(f'--output {arguments.output} names no JSON to write; such a file is '
                         f'{Path(arguments.output) / "prediction.json"}')
    inputs = [each for each in (arguments.ref_img, arguments.ref_mask, arguments.query_img,
                                arguments.weights) if each is not None]
    try:
        answer = _answer(arguments, output, inputs)
    except (StmError, OSError) as error:
        print(f'stm: error: {error}', file=sys.stderr)
        _write_failure(output, inputs, str(error))
        return 2
    except Exception as error:
        _write_failure(output, inputs, repr(error))
        raise
    for line in _summary(answer, output):
        print(line)
    return 0


def _write_failure(output: Path, inputs: list[str], message: str) -> None:
    failure = {'tool': 'stm', 'status': 'error', 'message': message, 'results': []}
    try:
        with OutputFolder(output.parent, [output.name], inputs, shared=True) as folder:
            _write_json(folder.staging / output.name, failure)
    except (OSError, StmError) as unwritable:
        if str(unwritable) != message:
            print(f'stm: error: {output} cannot be written: {unwritable}', file=sys.stderr)


def _answer(arguments: argparse.Namespace, output: Path, inputs: list[str]) -> dict[str, Any]:
    """Compute and write everything; what the JSON holds."""
    names = [output.name, _raw_name(output), _VISUALIZATION,
             *(f'{name}.npz' for name in _ARRAYS)]
    OutputFolder(output.parent, names, inputs, shared=True)
    check_device(arguments.device)
    reference = read_image(arguments.ref_img)
    query = read_image(arguments.query_img)
    shown = show_reference(reference, arguments.ref_img, arguments.ref_mask,
                           target_id=arguments.target_object_id, choose=True)
    folder = OutputFolder(output.parent, [*names, *(f'mask_{i}.png' for i in shown.ids)], inputs,
                          shared=True)
    weights = _choose_weights(arguments.weights, arguments.model, arguments.strict_weights)
    tracker = Tracker.from_pretrained(weights.model, weights.path, arguments.device)
    tracker.add_reference(reference, shown.label_map, place_hint=False)
    started = time.perf_counter()
    result = tracker.segment(query)
    seconds = time.perf_counter() - started
    asked = arguments.target_object_id
    reported = [target for target in result.targets if asked in (None, target.id)]
    with folder:
        place = _Place(folder.staging, output.parent)
        arrays = _write_arrays(place, result)
        write_image(place.written / _VISUALIZATION, _visualization(
            tracker, reference, shown.label_map, query, result, reported))
        _write_json(place.written / _raw_name(output), _raw_predictions(arguments, result))
        answer = {
            'tool': 'stm', 'status': 'ok',
            'results': [{**_report_target(place, result, target), **arrays}
                        for target in reported],
            'mask_read_as': shown.meaning,
            'model': {'name': weights.model,
                      'weights': weights.path or 'shipped with stm_ros', 'note': weights.note},
            'timing': {'runtime': round(seconds, 6), 'device': str(tracker.device)},
            'artifacts': {'visualization': place.told(_VISUALIZATION),
                          'raw_predictions': place.told(_raw_name(output))}}
        _write_json(place.written / output.name, answer)
    return answer


def _raw_name(output: Path) -> str:
    return 'raw_predictions.json' if output.name == 'predictions.json' else 'predictions.json'


def _choose_weights(path: str | None, model: str | None, strict: bool) -> _Weights:
    """Settle network and weights; absent weights become the shipped stm_lite, with a note."""
    if path is None or path in SHIPPED_BY_NAME:
        return _Weights(model or 'stm_lite', path, None)
    if Path(path).is_file():
        by_suffix = 'stm_lite' if Path(path).suffix == '.safetensors' else 'stm'
        return _Weights(model or by_suffix, path, None)
    if strict:
        raise CheckpointError(f'no weights at {path}: {OFFICIAL_WEIGHTS_HELP}')
    note = (f'no weights at {path}: {OFFICIAL_WEIGHTS_HELP} to {path}. '
            'This answer comes from the stm_lite network and weights that ship with stm_ros.')
    print(f'stm: {note}', file=sys.stderr)
    return _Weights('stm_lite', None, note)


def _report_target(place: _Place, result: Result, target: TargetResult) -> dict[str, Any]:
    mask = f'mask_{target.id}.png'
    own = np.where(result.label_map == target.id, target.id, 0).astype(np.uint8)
    write_label_map(place.written / mask, own)
    score = round(float(target.confidence), 6)
    return {
        'label': _LABEL, 'score': score, 'output': _OUTPUT, 'confidence_score': score,
        'confidence_calibrated': target.confidence_calibrated, 'target_id': target.id,
        'state': target.state.name, 'box': target_entry(target)['box'], 'area': target.area,
        'mask': place.told(mask)}


def _write_arrays(place: _Place, result: Result) -> dict[str, Any]:
    """Write readout (N×C×h×w) and attention (N×S×h×w), and say what is in the files."""
    readout = result.readout()
    attention = np.stack([np.stack(result.attention_maps(target_id))
                          for target_id in readout.target_ids])
    described = {}
    for name, values in zip(_ARRAYS, (readout.features, attention), strict=True):
        file = f'{name}.npz'
        arrays = {name: values, 'target_ids': np.array(readout.target_ids, np.int32)}
        np.savez_compressed(place.written / file, **arrays)  # type: ignore[arg-type]
        described[name] = {'path': place.told(file), 'shape': list(values.shape),
                           'dtype': str(values.dtype)}
    return described


def _raw_predictions(arguments: argparse.Namespace, result: Result) -> dict[str, Any]:
    return {
        'ref_img': arguments.ref_img, 'ref_mask': arguments.ref_mask,
        'query_img': arguments.query_img,
        'targets': [target_entry(target) for target in result.targets],
        'memory': [{'kind': slot.kind, 'stream': slot.stream} for slot in result.memory.slots],
        'attention': {str(target_id): np.asarray(mass, float).round(6).tolist()
                      for target_id, mass in result.memory.attention.items()}}


def _visualization(tracker: Tracker, reference: np.ndarray, label_map: np.ndarray,
                   query: np.ndarray, result: Result, reported: list[TargetResult]) -> np.ndarray:
    """Return before (reference, query) and after (attention, answer) side by side."""
    shown = np.where(np.isin(label_map, [target.id for target in reported]), label_map, 0)
    panels = [draw_overlay(reference, shown.astype(np.uint8), []), query]
    titles = ['before: reference and its mask', 'before: query']
    attention = result.attention_maps(reported[0].id)[0]
    panels += [heat_map(reference, _over_image(attention, reference, tracker)),
               draw_overlay(query, result.label_map, reported)]
    titles += ['after: where memory was read', 'after: mask, box and confidence']
    height = max(panel.shape[0] * _PANEL_WIDTH // panel.shape[1] for panel in panels)
    return contact_sheet([_letterboxed(panel, height) for panel in panels], titles, 4, _PANEL_WIDTH)


def _over_image(attention: np.ndarray, image: np.ndarray, tracker: Tracker) -> np.ndarray:
    """Return the part of an attention map (h×w) that lies over the image, padding cut away."""
    geometry = geometry_for((image.shape[0], image.shape[1]), tracker.config.input_size,
                            tracker.network.stride)
    padded = cv2.resize(attention, geometry.padded[::-1], interpolation=cv2.INTER_LINEAR)
    return padded[geometry.inside()]


def _letterboxed(panel: np.ndarray, height: int) -> np.ndarray:
    """Fit a panel into `_PANEL_WIDTH`×`height` without changing its proportions."""
    scale = min(_PANEL_WIDTH / panel.shape[1], height / panel.shape[0])
    size = (max(1, round(panel.shape[1] * scale)), max(1, round(panel.shape[0] * scale)))
    fitted = cv2.resize(panel, size, interpolation=cv2.INTER_AREA)
    frame = np.full((height, _PANEL_WIDTH, 3), 24, np.uint8)
    frame[:size[1], :size[0]] = fitted[:height, :_PANEL_WIDTH]
    return frame


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + '\n', encoding='utf-8')


def _summary(answer: dict[str, Any], output: Path) -> list[str]:
    lines = [f'mask: {answer["mask_read_as"]}']
    lines += [f'target {entry["target_id"]}: {entry["state"].lower()}, confidence '
             f'{entry["confidence_score"]:.2f}, box {entry["box"]}' for entry in answer['results']]
    return [*lines, f'{answer["timing"]["runtime"]:.3f} s on {answer["timing"]["device"]}',
            f'written: {output}, {answer["artifacts"]["visualization"]}']
