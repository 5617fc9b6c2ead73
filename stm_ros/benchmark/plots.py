# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A sweep as a picture: what each stage takes, point by point."""
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from stm_ros.benchmark.measuring import FRAME
from stm_ros.benchmark.measuring import Measurement
from stm_ros.benchmark.report import point_of
from stm_ros.vision.output_folder import write_result

_DOTS_PER_INCH = 110


def write_sweep_plot(path: Path, name: str, measurements: Sequence[Measurement], machine: str
                     ) -> None:
    """Draw stacked medians of the stages, and the whole frame's median and 90th percentile."""
    figure = Figure(figsize=(8, 5), layout='constrained')
    axes = figure.subplots()
    labels = [point_of(name, item) for item in measurements]
    places = np.arange(len(measurements))
    base = np.zeros(len(measurements))
    for stage in measurements[0].seconds:
        if stage == FRAME:
            continue
        heights = np.array([item.percentiles(stage)[0] for item in measurements])
        axes.bar(places, heights, 0.7, bottom=base, label=stage)
        base += heights
    p50, p90, _ = zip(*(item.percentiles(FRAME) for item in measurements), strict=True)
    axes.plot(places, p50, 'ko', markersize=4, label='frame, p50')
    axes.plot(places, p90, 'k_', markersize=12, label='frame, p90')
    axes.set_xticks(places, labels)
    axes.set(xlabel=name, ylabel='milliseconds')
    first = measurements[0]
    axes.set_title(f'{first.settings.describe()} ({first.dtype}), but for {name}\n{machine}',
                   fontsize='small')
    axes.legend(fontsize='small')
    picture = io.BytesIO()
    figure.savefig(picture, dpi=_DOTS_PER_INCH, format='png')
    write_result(path, picture.getvalue())
