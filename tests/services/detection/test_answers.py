"""Answers of a detector."""

import numpy as np
import pytest

from common.objects.targets import Detections
from nocode.vision.v1.model_pb2 import Model
from nocode.vision.v1.prediction_pb2 import PredictOptions
from services.detection import answers

CLASSES = ["ant", "bee", "cow"]
MODEL = Model(classes=CLASSES, score_thresholds=[0.3, 0.6, 0.1])
MODEL.preprocessing.image_size_px = 100


def detections(*found):
    """From (box, label, score) each."""
    return Detections(
        np.array([box for box, _, _ in found], np.float32).reshape(-1, 4),
        np.array([label for _, label, _ in found], np.int64),
        np.array([score for _, _, score in found], np.float32),
    )


BOX, OTHER, THIRD = (10, 20, 30, 40), (50, 10, 90, 30), (5, 5, 95, 45)
FOUND = detections((BOX, 0, 0.9), (OTHER, 1, 0.5), (THIRD, 2, 0.25), (BOX, 2, 0.05))


def predict(found=FOUND, model=MODEL, width=200, height=100, **options):
    """Answer for an image of 200 × 100 pixels, of which the network sees half."""
    return answers.predict(found, model, width, height, PredictOptions(**options))


def seen(prediction):
    return [(one.class_name, pytest.approx(one.score)) for one in prediction.detection.objects]


class TestPredict:
    """What a caller gets."""

    def test_boxes_are_in_pixels_of_the_image(self):
        """200 pixels became 100, so all is twice as large."""
        prediction = predict(score_threshold=0.9 - 1e-6)

        (one,) = prediction.detection.objects
        assert (one.box.xmin, one.box.ymin, one.box.xmax, one.box.ymax) == (20, 40, 60, 80)
        assert (one.class_name, one.class_index) == ("ant", 0)
        assert (prediction.image_width, prediction.image_height) == (200, 100)

    def test_each_class_has_its_threshold(self):
        """A bee needs 0.6, and has 0.5; a cow needs 0.1."""
        assert seen(predict()) == [("ant", 0.9), ("cow", 0.25)]

    def test_the_callers_threshold_is_for_all(self):
        assert seen(predict(score_threshold=0.4)) == [("ant", 0.9), ("bee", 0.5)]
        assert len(seen(predict(score_threshold=0))) == 4
        assert seen(predict(score_threshold=1)) == []

    def test_a_score_at_the_threshold_counts(self):
        """A threshold is a score that was seen, in float32."""
        score = np.float32(0.9)
        model = Model(classes=CLASSES, score_thresholds=[float(score)] * 3)
        model.preprocessing.image_size_px = 100

        assert seen(predict(model=model)) == [("ant", 0.9)]

    def test_a_model_without_thresholds_has_one_half(self):
        model = Model(classes=CLASSES)
        model.preprocessing.image_size_px = 100

        assert seen(predict(model=model)) == [("ant", 0.9), ("bee", 0.5)]

    @pytest.mark.parametrize(("max_results", "count"), [(0, 100), (1, 1), (150, 150), (400, 300)])
    def test_100_objects_unless_told(self, max_results, count):
        found = detections(*[(BOX, 0, 1 - i / 1000) for i in range(300)])

        prediction = predict(found, score_threshold=0, max_results=max_results)

        scores = [one.score for one in prediction.detection.objects]
        assert scores == pytest.approx([1 - i / 1000 for i in range(count)])

    def test_highest_scores_come_first_and_equal_ones_stay_in_order(self):
        found = detections((BOX, 0, 0.5), (OTHER, 1, 0.9), (THIRD, 2, 0.5))

        names = [one.class_name for one in predict(found, score_threshold=0).detection.objects]

        assert names == ["bee", "ant", "cow"]

    def test_nothing_found_is_an_answer(self):
        assert predict(detections()).WhichOneof("result") == "detection"

    def test_boxes_end_at_the_border(self):
        """What lies in the letterbox's grey is no object."""
        found = detections(((-5, -5, 120, 70), 0, 0.9), ((10, 60, 40, 90), 0, 0.9))

        (one,) = predict(found).detection.objects

        assert (one.box.xmin, one.box.ymin, one.box.xmax, one.box.ymax) == (0, 0, 200, 100)

    def test_what_is_no_number_is_no_object(self):
        nan, inf = float("nan"), float("inf")
        found = detections(
            ((nan, 0, 10, 10), 0, 0.9),
            ((0, 0, inf, inf), 0, 0.9),
            (BOX, 0, nan),
            ((10, 10, 10, 20), 0, 0.9),
        )

        boxes = [one.box for one in predict(found, score_threshold=0).detection.objects]

        assert [(box.xmin, box.ymin, box.xmax, box.ymax) for box in boxes] == [(0, 0, 200, 100)]


class TestDraw:
    """The picture of an answer."""

    def test_boxes_are_drawn_where_they_are(self):
        """Around 20 to 60 across and 40 to 80 down; the network's input does not matter."""
        image = np.full((400, 800, 3), 128, np.uint8)
        prediction = predict(detections((BOX, 0, 0.9)), width=800, height=400)

        drawn = answers.draw(image, prediction)

        changed = (drawn != image).any(axis=2)
        assert drawn.shape == image.shape
        assert changed[160, 85:235].all()
        assert changed[160:320, 80].all()
        assert not changed[170:310, 90:230].any()
        assert not changed[:, :80].any()

    def test_boxes_shrink_with_the_picture(self):
        prediction = predict(detections((BOX, 0, 0.9)), width=8000, height=4000)

        drawn = answers.draw(np.full((400, 800, 3), 128, np.uint8), prediction)

        changed = (drawn != 128).any(axis=2)
        assert changed[160, 85:235].all()
        assert not changed[:, :80].any()

    def test_a_picture_too_small_to_read_is_enlarged(self):
        prediction = predict(detections((BOX, 0, 0.9)), width=40, height=20)

        drawn = answers.draw(np.full((20, 40, 3), 128, np.uint8), prediction)

        assert drawn.shape == (160, 320, 3)
        assert (drawn != 128).any(axis=2)[64:128, 32].all()

    def test_nothing_found_leaves_the_picture_as_it_is(self):
        image = np.full((400, 800, 3), 128, np.uint8)

        assert np.array_equal(answers.draw(image, predict(detections())), image)
