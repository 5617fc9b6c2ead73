# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the node reads, publishes and answers, each written here once.

The node makes its subscriptions, publishers and services of these, security.py its policy, and
`make docs-tables` the tables of docs/components.md. Nothing of ROS is imported here, so that the
tables can be made where it is absent; quality.py has what turns this into ROS's own.
"""
from dataclasses import dataclass

from stm_ros.vision.encodings import ENCODINGS

RELIABLE = 'reliable'
BEST_EFFORT = 'best effort'
#: reliable where every publisher offers that, else best effort (`image_reliability`)
AS_OFFERED = 'as offered'

#: topics and services that every lifecycle node has; those with a slash are the graph's
STANDARD_PUBLISHED = ('transition_event', '/parameter_events', '/rosout')
STANDARD_READ = ('/parameter_events',)
STANDARD_SERVICES = (
    'change_state', 'get_state', 'get_available_states', 'get_available_transitions',
    'get_transition_graph', 'describe_parameters', 'get_parameter_types', 'get_parameters',
    'list_parameters', 'set_parameters', 'set_parameters_atomically', 'get_type_description')
#: read where `use_sim_time` is true
CLOCK = '/clock'


@dataclass(frozen=True)
class Quality:
    """How a topic is offered or asked for. depth: messages kept; latched: transient local."""

    depth: int
    reliability: str = RELIABLE
    is_latched: bool = False

    def __str__(self) -> str:
        """For people."""
        durability = 'transient local' if self.is_latched else 'volatile'
        return f'{self.reliability}, {durability}, depth {self.depth}'


@dataclass(frozen=True)
class Topic:
    """
    A topic of the node.

    name: of an output below `~/`, of an input below the node's namespace; with several streams the
    stream's name stands before it; with a slash in front it is the whole name. kind: package and
    message. when: on what it depends, or when something is published. needs: a package without
    which it is not there.
    """

    name: str
    kind: str
    quality: Quality
    when: str
    meaning: str
    needs: str = ''


@dataclass(frozen=True)
class Service:
    """
    A service below `~/`.

    changes: whether what the node knows may be another afterwards. is_queued: whether it waits for
    its turn among frames and requests.
    """

    name: str
    kind: str
    meaning: str
    changes: bool = True
    is_queued: bool = True


_ANSWER = 'with every answer'
_DEPTH_ANSWER = 'with `depth.enabled`, for every answer that has a depth image'
_OUTPUT = Quality(5)
_DEPTH_INPUT = Quality(5, BEST_EFFORT)
_IMAGE_INPUT = Quality(1, AS_OFFERED)

IMAGE = Topic(
    'image', 'sensor_msgs/Image', _IMAGE_INPUT, '`image_transport: raw`',
    f'encodings: {", ".join(ENCODINGS)}. 16 bit is divided by 257, 32FC1 must lie in [0, 1]. Rows '
    'may be padded, samples big-endian. Another encoding is refused with its name')
COMPRESSED_IMAGE = Topic(
    'image/compressed', 'sensor_msgs/CompressedImage', _IMAGE_INPUT,
    '`image_transport: compressed`',
    'beside the topic that `image` is remapped to, unless `image/compressed` itself is remapped')
DEPTH = Topic(
    'depth', 'sensor_msgs/Image', _DEPTH_INPUT, '`depth.enabled`',
    'depth aligned to the image, 16UC1 in millimetres or 32FC1 in metres: '
    '[manipulation.md](manipulation.md)')
COMPRESSED_DEPTH = Topic(
    'depth/compressedDepth', 'sensor_msgs/CompressedImage', _DEPTH_INPUT,
    '`depth.enabled`, `depth.transport: compressedDepth`',
    'instead of `depth`: `16UC1; compressedDepth png` and `32FC1; compressedDepth png`')
CAMERA_INFO = Topic(
    'camera_info', 'sensor_msgs/CameraInfo', _DEPTH_INPUT, '`depth.enabled`',
    "the depth image's intrinsics")
INPUTS = (IMAGE, COMPRESSED_IMAGE, DEPTH, COMPRESSED_DEPTH, CAMERA_INFO)

LABEL_INFO = Topic(
    'label_info', 'vision_msgs/LabelInfo', Quality(1, is_latched=True),
    'when targets or labels change', 'which id has which label', needs='vision_msgs')
#: of each stream; label_info is no answer to a frame, and has a publisher of its own
STREAM_OUTPUTS = (
    Topic('mask', 'sensor_msgs/Image', _OUTPUT, _ANSWER,
          'mono8, label map: 0 background, 1..254 target id; all 0 before any reference'),
    Topic('targets', 'stm_ros/TargetArray', _OUTPUT, _ANSWER,
          'for every target id, label, state, confidence, box and area; a lost target has no box'),
    Topic('detections', 'vision_msgs/Detection2DArray', _OUTPUT, _ANSWER,
          "the targets in view; `id` is the target's id, `class_id` its label",
          needs='vision_msgs'),
    Topic('memory', 'stm_ros/MemoryReadout', _OUTPUT, _ANSWER,
          "the memory frames read, and each target's attention mass on them (sums to 1) with its "
          'entropy in nats'),
    Topic('attention', 'sensor_msgs/Image', _OUTPUT, 'with every answer for which memory was read',
          "bgr8, for people: where in each memory frame attention falls, beside the frame's crop "
          'of the target'),
    Topic('features', 'stm_ros/FeatureMap', _OUTPUT, 'with every answer that has targets',
          'the readout ("retrieved feature map") of the whole frame, N×C×h×w little-endian '
          'float16; where only a window was looked at, the frame is encoded and read once more '
          'for it'),
    Topic('context', 'stm_ros/TargetContext', _OUTPUT,
          'a message a target, at most one a target in `context.period`',
          'for VLM nodes: its crop now, clean crops of memory that attention rests on, and one '
          'factual sentence: [vlm.md](vlm.md)'),
    Topic('overlay', 'sensor_msgs/Image', _OUTPUT, _ANSWER,
          'bgr8, for people: masks, boxes and confidences drawn over the image'),
    Topic('overlay/compressed', 'sensor_msgs/CompressedImage', _OUTPUT, _ANSWER,
          'the same as JPEG'))
DEPTH_OUTPUTS = (
    Topic('target_cloud', 'sensor_msgs/PointCloud2', _OUTPUT, _DEPTH_ANSWER,
          "the targets' points (x, y, z, rgb, id) in the image's frame, metres"),
    Topic('target_geometry', 'stm_ros/TargetGeometryArray', _OUTPUT, _DEPTH_ANSWER,
          'per target centroid and oriented box, and what they rest on'),
    Topic('detections_3d', 'vision_msgs/Detection3DArray', _OUTPUT, _DEPTH_ANSWER,
          'the same boxes', needs='vision_msgs'))
TRANSFORMS = Topic(
    '/tf', 'tf2_msgs/TFMessage', Quality(100),
    'with `depth.enabled` and `depth.tf`, for every answer that has a depth image',
    "a frame a target, `<stream>_target_<id>`, after the node's namespace if it has one",
    needs='tf2_msgs')
DIAGNOSTICS = Topic(
    '/diagnostics', 'diagnostic_msgs/DiagnosticArray', Quality(1),
    'every `diagnostics_period`, by wall time, also where `/clock` is silent',
    'memory, and for each stream: counts in all and in the last 10 s (received, answered, dropped, '
    'spared on purpose, refused, lost on the way), rate, latency p50/p99 of the last 10 s, states, '
    'the topic as it is read')
OUTPUTS = (*STREAM_OUTPUTS, LABEL_INFO, *DEPTH_OUTPUTS, TRANSFORMS, DIAGNOSTICS)

SERVICES = (
    Service('set_reference', 'stm_ros/SetReference',
            'memorise an image with a mask, or a mask for the frame with a given stamp (0: the '
            'newest). A mask of 0 and 255 is binary, for `target_id` (0: the next free id); '
            'otherwise its values are ids and 255 is ignored. A target that is known gets a '
            'further reference; with `replace` the old ones are forgotten'),
    Service('set_reference_prompt', 'stm_ros/SetReferencePrompt',
            'the same from a box and/or points; the mask that they make ([prompts.md](prompts.md)) '
            'comes back, and the message says what made it. With `preview` nothing is memorised: '
            'look at the mask first'),
    Service('remove_target', 'stm_ros/RemoveTarget', 'forget a target'),
    Service('segment', 'stm_ros/Segment', 'one image in, everything out', changes=False),
    Service('describe', 'stm_ros/Describe',
            'per target crop, clean crops of memory, state, confidence and a sentence, and the '
            'image with numbered marks: [vlm.md](vlm.md)', changes=False),
    Service('save_memory', 'stm_ros/SaveMemory',
            'write targets, memory and streams, by a name inside `snapshot_dir`; with '
            '`references_only` the references alone, as a folder of images, masks and labels that '
            'a person can edit: a library of known objects', changes=False),
    Service('load_memory', 'stm_ros/LoadMemory',
            'read what `~/save_memory` wrote: a snapshot takes the place of all that is held, a '
            'library is added to it'),
    Service('list_memory', 'stm_ros/ListMemory',
            'names what `~/load_memory` can load: snapshots, and libraries with the objects in '
            'them', changes=False),
    Service('reset', 'stm_ros/Reset', 'forget everything'),
    Service('pause', 'stm_ros/Pause',
            'stop looking at images, or go on; nothing is forgotten, and the other services '
            'answer meanwhile', changes=False, is_queued=False))
