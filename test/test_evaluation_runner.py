# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Protocols from images to scores, with trackers whose answers and scores are known."""
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from stm_ros.evaluation.perturbations import Perturbation
from stm_ros.evaluation.plots import worst_frames
from stm_ros.evaluation.robustness import compare
from stm_ros.evaluation.runner import run_sequence
from stm_ros.evaluation.runner import track
from stm_ros.evaluation.scoring import ObjectScore
from stm_ros.evaluation.scoring import SequenceScorer
from stm_ros.evaluation.scoring import score_folder
from stm_ros.evaluation.scoring import summarise
from stm_ros.evaluation.scoring import summarise_attributes
from stm_ros.evaluation.scoring import summarise_groups
from stm_ros.evaluation.scoring import youtube_vos_mean
from stm_ros.evaluation.sequences import Frame
from stm_ros.evaluation.sequences import Protocol
from stm_ros.evaluation.sequences import Sequence
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import read_mask
from stm_ros.vision.image_files import write_label_map

WIDTH, HEIGHT, SIDE = 80, 60, 20


@dataclass
class Target:
    """The part of a target's result that the runner reads."""

    id: int
    confidence: float


@dataclass
class Answer:
    """The part of a result that the runner reads."""

    label_map: np.ndarray
    targets: list[Target]


class CopyingTracker:
    """Says that every target stays where it was shown, and remembers what it was given."""

    def __init__(self) -> None:
        """Know nothing."""
        self.label_map = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
        self.references: list[np.ndarray] = []
        self.images: list[np.ndarray] = []

    def add_reference(
        self, image: np.ndarray, label_map: np.ndarray, *, stream: str, stamp_ns: int
    ) -> None:
        """Remember the reference."""
        self.references.append(label_map)
        self.label_map = np.where(label_map > 0, label_map, self.label_map)

    def step(self, image: np.ndarray, *, stream: str, stamp_ns: int) -> Answer:
        """Repeat what is known."""
        self.images.append(image)
        ids = [int(ident) for ident in np.unique(self.label_map) if ident]
        return Answer(self.label_map, [Target(ident, 0.25 * ident) for ident in ids])


def block(left: int, ident: int = 1, top: int = 20) -> np.ndarray:
    """A label map with one 20×20 target."""
    labels = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    labels[top:top + SIDE, left:left + SIDE] = ident
    return labels


def make_sequence(
    folder: Path,
    labels: list[np.ndarray | None],
    entries: dict[int, tuple[int, ...]],
    protocol: Protocol = Protocol.DAVIS_2017,
) -> Sequence:
    """Grey images (frame i has level 10·i) and the given annotations on disk."""
    frames = []
    folder.mkdir(parents=True, exist_ok=True)
    for index, labelled in enumerate(labels):
        image = folder / f'{index:05d}.jpg'
        cv2.imwrite(str(image), np.full((HEIGHT, WIDTH, 3), 10 * index, dtype=np.uint8))
        annotation = folder / f'{index:05d}.png' if labelled is not None else None
        if annotation is not None:
            write_label_map(annotation, labelled)
        frames.append(Frame(f'{index:05d}', image, annotation))
    return Sequence('cat', protocol, tuple(frames), entries)


def test_a_target_that_moves_away_from_a_copying_tracker(tmp_path: Path) -> None:
    """Shifts of 0, 5, 10, 15, 20 px: IoU 1, 15/25, 10/30, 5/35, 0; the ends do not count."""
    sequence = make_sequence(
        tmp_path / 'in', [block(10 + 5 * index) for index in range(5)], {0: (1,)})
    run = run_sequence(sequence, CopyingTracker(), tmp_path / 'out')
    (score,) = run.scores
    np.testing.assert_allclose(score.region, [np.nan, 15 / 25, 10 / 30, 5 / 35, np.nan])
    assert score.region_statistics.mean == pytest.approx((15 / 25 + 10 / 30 + 5 / 35) / 3)
    assert score.region_statistics.recall == pytest.approx(1 / 3)
    assert [(item.frame, item.confidence) for item in run.observations] == [
        ('00001', 0.25), ('00002', 0.25), ('00003', 0.25)]
    assert [item.region for item in run.observations] == score.region[1:-1].tolist()
    assert len(run.seconds) == 4
    for index in range(5):
        written = read_mask(tmp_path / 'out' / 'cat' / f'{index:05d}.png')
        np.testing.assert_array_equal(written, block(10))


def test_scores_from_the_written_label_maps_are_the_same(tmp_path: Path) -> None:
    """What a folder scores is what its run scored; a missing file counts as empty."""
    labels = [block(10 + 5 * index) + block(50, 2, top=2 + index) for index in range(5)]
    sequence = make_sequence(tmp_path / 'in', labels, {0: (1, 2)})
    run = run_sequence(sequence, CopyingTracker(), tmp_path / 'out')
    again = score_folder(sequence, tmp_path / 'out')
    assert again.missing == () and again.left_out == run.left_out == []
    for score, expected in zip(again.scores, run.scores, strict=True):
        np.testing.assert_array_equal(score.region, expected.region)
        np.testing.assert_array_equal(score.contour, expected.contour)
    (tmp_path / 'out' / 'cat' / '00002.png').unlink()
    again = score_folder(sequence, tmp_path / 'out')
    assert again.missing == ('00002',)
    assert [score.region[2] for score in again.scores] == [0, 0]
    assert [score.contour[2] for score in again.scores] == [0, 0]


def test_davis_2017_edge_cases(tmp_path: Path) -> None:
    """An object that is predicted nowhere scores 0, or 1 where it is gone; extra ids are told."""
    both = block(10) + block(50, 2)
    sequence = make_sequence(tmp_path, [both, both, block(10), both], {0: (1, 2)})
    scorer = SequenceScorer(sequence)
    for index in (1, 2):
        scorer.add(index, block(10), sequence.read_annotation(index))
    first, second = scorer.scores()
    np.testing.assert_array_equal(first.region, [np.nan, 1, 1, np.nan])
    np.testing.assert_array_equal(second.region, [np.nan, 0, 1, np.nan])
    np.testing.assert_array_equal(second.contour, [np.nan, 0, 1, np.nan])
    assert scorer.left_out() == []
    for ident in (3, 255):
        scorer.add(1, block(10) + block(40, ident), sequence.read_annotation(1))
    assert [score.region[1] for score in scorer.scores()] == [1, 0], 'a ghost is background'
    assert [(item.reason, item.names) for item in scorer.left_out()] == [
        ('predicted ids that no object has', ('3', '255'))]
    with pytest.raises(InputError, match='same size'):
        scorer.add(1, block(10)[:-1], sequence.read_annotation(1))


def test_davis_2016_reads_white_predictions(tmp_path: Path) -> None:
    """Masks of 0 and 255, as DAVIS-2016 stores them, are one object."""
    sequence = make_sequence(
        tmp_path / 'in', [block(10, 255)] * 4, {0: (1,)}, Protocol.DAVIS_2016)
    (tmp_path / 'out' / 'cat').mkdir(parents=True)
    for index in range(4):
        cv2.imwrite(str(tmp_path / 'out' / 'cat' / f'{index:05d}.png'), block(10, 255))
    again = score_folder(sequence, tmp_path / 'out')
    np.testing.assert_array_equal(again.scores[0].region, [np.nan, 1, 1, np.nan])
    assert again.missing == ()


def test_objects_of_youtube_vos_enter_later(tmp_path: Path) -> None:
    """Frames before the first object are empty; a new object does not disturb those known."""
    both = block(10) + block(50, 4)
    sequence = make_sequence(
        tmp_path, [None, block(10), None, both, None, both], {1: (1,), 3: (4,)},
        Protocol.YOUTUBE_VOS)
    tracker = CopyingTracker()
    tracked = list(track(sequence, tracker))
    assert [item.index for item in tracked] == list(range(6))
    assert not tracked[0].label_map.any()
    for index, expected in ((1, block(10)), (2, block(10)), (3, both), (5, both)):
        np.testing.assert_array_equal(tracked[index].label_map, expected)
    assert [np.unique(reference).tolist() for reference in tracker.references] == [[0, 1], [0, 4]]
    assert [list(item.confidences) for item in tracked] == [[], [], [1], [1], [1, 4], [1, 4]]
    run = run_sequence(sequence, CopyingTracker())
    assert [(score.ident, np.flatnonzero(score.region == 1).tolist()) for score in run.scores] \
        == [(1, [3, 5]), (4, [5])]


def test_the_reference_stays_clean_and_dropped_frames_are_never_seen(tmp_path: Path) -> None:
    """A dropped frame is neither tracked nor scored."""
    sequence = make_sequence(tmp_path, [block(10)] * 20, {0: (1,)})
    perturbation = Perturbation('frame_drop', 2)
    tracker = CopyingTracker()
    kept = [item.index for item in track(sequence, tracker, perturbation)]
    expected = [0, *(i for i in range(1, 20) if not perturbation.drops('cat', i))]
    assert kept == expected
    assert 1 < len(kept) < 19
    assert len(tracker.images) == len(kept) - 1
    run = run_sequence(sequence, CopyingTracker(), perturbation=perturbation)
    scored = np.flatnonzero(~np.isnan(run.scores[0].region)).tolist()
    assert scored == [index for index in kept if 0 < index < 19]
    tracker = CopyingTracker()
    noisy = list(track(sequence, tracker, Perturbation('noise', 3)))
    assert len(noisy) == 20
    assert min(image.std() for image in tracker.images) > 10


def test_comparison_uses_the_frames_both_runs_scored(tmp_path: Path) -> None:
    """The clean run falls off on frames that the other run never saw: no drop is claimed."""
    labels = [block(10 + 3 * index) for index in range(20)]
    sequence = make_sequence(tmp_path, labels, {0: (1,)})
    clean = run_sequence(sequence, CopyingTracker())
    dropped = run_sequence(sequence, CopyingTracker(), perturbation=Perturbation('frame_drop', 2))
    comparison = compare('frame_drop', 2, [dropped], [clean])
    assert comparison.drop == pytest.approx(0, abs=1e-12)
    assert comparison.clean != pytest.approx(summarise(clean.scores).combined, abs=1e-3)


def test_an_annotation_of_another_size_is_refused(tmp_path: Path) -> None:
    """The message names the file and both sizes."""
    sequence = make_sequence(tmp_path, [block(10)] * 3, {0: (1,)})
    write_label_map(sequence.frames[1].annotation_path, block(10)[:30])
    with pytest.raises(InputError, match=r'00001.png is 80×30, its image 80×60'):
        list(track(sequence, CopyingTracker()))


def object_score(sequence: str, region: float, contour: float, **options) -> ObjectScore:
    """An object with the same values on three frames."""
    return ObjectScore(sequence, 1, np.full(3, region), np.full(3, contour), **options)


def test_means_are_over_objects_not_over_sequences() -> None:
    """Three objects in two sequences."""
    scores = [object_score('a', 0.9, 0.8), object_score('a', 0.3, 0.2), object_score('b', 0.6, 0.8)]
    total = summarise(scores)
    assert total.region.mean == pytest.approx(0.6)
    assert total.contour.mean == pytest.approx(0.6)
    assert total.region.recall == pytest.approx(2 / 3)
    assert total.combined == pytest.approx(0.6)
    assert total.objects == 3
    with pytest.raises(InputError, match='no object was scored'):
        summarise([])


def test_seen_unseen_and_attributes() -> None:
    """G is the mean of J and F over seen and unseen, however many objects each has."""
    scores = [
        object_score('a', 0.9, 0.7, unseen=False, attributes=('FM', 'LR')),
        object_score('b', 0.7, 0.9, unseen=False, attributes=('FM',)),
        object_score('c', 0.2, 0.4, unseen=True),
    ]
    groups = summarise_groups(scores)
    assert groups['seen'].combined == pytest.approx(0.8)
    assert groups['unseen'].combined == pytest.approx(0.3)
    assert youtube_vos_mean(groups) == pytest.approx(0.55)
    unknown = summarise_groups([replace(score, unseen=None) for score in scores])
    assert list(unknown) == ['all']
    assert youtube_vos_mean(unknown) is None
    attributes = summarise_attributes(scores)
    assert {name: part.objects for name, part in attributes.items()} == {'FM': 2, 'LR': 1}
    assert attributes['LR'].region.mean == pytest.approx(0.9)


def test_worst_frames_come_from_every_sequence_first() -> None:
    """One frame of each sequence, worst first, then the rest."""
    scores = [
        ObjectScore('a', 1, np.array([np.nan, 0.1, 0.2]), np.array([np.nan, 0.1, 0.2])),
        ObjectScore('b', 1, np.array([np.nan, 0.8, 0.5]), np.array([np.nan, 0.8, 0.5])),
    ]
    assert worst_frames(scores, 3) == [('a', 1), ('b', 2), ('a', 2)]
