# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The training log as a picture."""
import csv
import io
from pathlib import Path

from stm_ros.vision.output_folder import write_atomically


def plot_log(log: Path, picture: Path) -> None:
    """Draw the loss, the training IoU and the dev J&F of `log` (CSV) into `picture` (PNG)."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    with log.open(newline='') as file:
        rows = list(csv.DictReader(file))
    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.2), constrained_layout=True)
    for axis, name in zip(axes, ('loss', 'iou', 'dev_j_and_f'), strict=True):
        points = [(int(row['iteration']), float(row[name])) for row in rows if row[name]]
        if points:
            axis.plot(*zip(*points, strict=True), linewidth=1)
        axis.set_title(name.replace('_', ' '))
        axis.set_xlabel('iteration')
        axis.grid(alpha=0.3)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=110, format='png')
    write_atomically(picture, drawn.getvalue())
    pyplot.close(figure)
