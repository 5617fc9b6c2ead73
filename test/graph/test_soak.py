# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The node for half an hour: nothing grows. Only `make soak` runs this."""
import os
import time

import numpy as np
import pytest
from graph_client import image_message

SECOND = 10 ** 9
DURATION = float(os.environ.get('STM_SOAK_SECONDS', '1800'))
WARM_UP_FRAMES = 100
JUDGED_FRAMES = 10_000


@pytest.mark.soak
def test_time_per_frame_and_memory_stay_flat(start_node, client, clip):
    node = start_node()
    client.tracker('set_reference', image=image_message(clip[0][0], 'rgb8', SECOND),
                   mask=image_message(clip[0][1] * 255, 'mono8'), label='cup')
    client.listen_to_answers()
    there_and_back = [*range(1, len(clip)), *range(len(clip) - 2, 0, -1)]
    seconds, megabytes = [], []
    end = time.monotonic() + DURATION
    while time.monotonic() < end or len(seconds) < 4 * WARM_UP_FRAMES:
        image = clip[there_and_back[len(seconds) % len(there_and_back)]][0]
        began = time.monotonic()
        client.ask(image_message(image, 'rgb8', (len(seconds) + 2) * SECOND))
        seconds.append(time.monotonic() - began)
        megabytes.append(node.resident_megabytes())
        for messages in client.received.values():
            messages.clear()
    kept = np.array(seconds[WARM_UP_FRAMES:])
    quarter = len(kept) // 4
    early, late = np.median(kept[:quarter]), np.median(kept[-quarter:])
    judged = min(JUDGED_FRAMES, len(megabytes) - 1)
    grown, in_all = (megabytes[frame] / megabytes[WARM_UP_FRAMES] - 1 for frame in (judged, -1))
    print(f'\n{len(seconds)} frames: median {1000 * early:.1f} ms in the first quarter, '
          f'{1000 * late:.1f} ms in the last (ratio {late / early:.3f}); resident memory '
          f'{megabytes[WARM_UP_FRAMES]:.0f} MB after {WARM_UP_FRAMES} frames, '
          f'{megabytes[judged]:.0f} MB after {judged} ({100 * grown:+.1f} %), '
          f'{megabytes[-1]:.0f} MB at the end ({100 * in_all:+.1f} %); on the way '
          f'{", ".join(f"{value:.1f}" for value in megabytes[WARM_UP_FRAMES::1000])} MB')
    assert grown < 0.02
    # a window of a shape not seen before adds to what oneDNN keeps, within its limit
    assert in_all < 0.05
    assert late < 1.25 * early
