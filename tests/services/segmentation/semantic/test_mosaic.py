"""What comes of the tiles of an image."""

import numpy as np
import pytest

from common.serving.tiles import Tile, cut
from services.segmentation.semantic import outputs
from services.segmentation.semantic.learner import SemanticLearner
from services.segmentation.semantic.mosaic import Mosaic, merge
from services.segmentation.semantic.outputs import CERTAIN, PixelScores, classes
from tests.services.segmentation.semantic.made import COLOURS, answer, blocks

LEARNER = SemanticLearner()


class TestMerge:
    """All at once."""

    size_px = 64

    def answers(self, labels_HW):
        height, width = labels_HW.shape
        tiles = cut(width, height, self.size_px)
        image_HW3 = COLOURS[labels_HW]
        return tiles, [
            answer(
                image_HW3[tile.ymin : tile.ymin + tile.height, tile.xmin : tile.xmin + tile.width],
                self.size_px,
                LEARNER,
            )
            for tile in tiles
        ]

    @pytest.mark.parametrize(
        ("width", "height"), [(201, 133), (64, 65), (300, 40), (70, 259), (420, 400)]
    )
    def test_details_that_the_whole_image_has_lost_are_seen(self, width, height):
        """Squares of three pixels, right to the pixel."""
        labels_HW = blocks(height, width, 3)
        tiles, said = self.answers(labels_HW)

        merged = merge(said, tiles, width, height, self.size_px, 1.0)
        alone_HW, _ = classes(said[0], width, height, self.size_px, 1.0)

        assert (merged.labels.unpack() == labels_HW).all()
        if max(width, height) > 3 * self.size_px:
            assert (alone_HW != labels_HW).mean() > 0.1

    def test_an_image_that_is_not_cut_is_answered_as_it_is(self):
        labels_HW = blocks(40, 64, 8)
        tiles, said = self.answers(labels_HW)

        merged = merge(said, tiles, 64, 40, self.size_px, 2.0)

        expected_HW, confidence_HW = classes(said[0], 64, 40, self.size_px, 2.0)
        assert (merged.labels.unpack() == expected_HW).all()
        assert (merged.confidence_HW == confidence_HW).all()

    def test_where_tiles_disagree_the_one_that_sees_more_around_wins(self):
        """Two tiles overlap by 12 of 60 pixels; one says red, the other green."""
        tiles = [Tile(0, 0, 108, 60), Tile(0, 0, 60, 60), Tile(48, 0, 60, 60)]
        said = [self.says(0, 0, 0), self.says(8, 0, 0), self.says(0, 8, 0)]

        labels_HW = merge(said, tiles, 108, 60, self.size_px, 1.0).labels.unpack()

        assert (labels_HW[:, :54] == 0).all()
        assert (labels_HW[:, 54:] == 1).all()

    def test_the_image_as_a_whole_decides_where_tiles_do_not_know(self):
        """Both tiles say that red and green are as likely; the whole says green, or blue."""
        tiles = [Tile(0, 0, 108, 60), Tile(0, 0, 60, 60), Tile(48, 0, 60, 60)]
        unsure = self.says(5, 5, 0)

        for whole, expected in ((self.says(0, 8, 0), 1), (self.says(0, 0, 8), 0)):
            merged = merge([whole, unsure, unsure], tiles, 108, 60, self.size_px, 1.0)
            assert (merged.labels.unpack() == expected).all()

    def test_confidence_is_the_average_probability(self):
        """In the middle of the overlap both tiles count half, the whole a tenth."""
        tiles = [Tile(0, 0, 108, 60), Tile(0, 0, 60, 60), Tile(48, 0, 60, 60)]
        log = np.log
        said = [
            self.says(log(0.2), log(0.2), log(0.6)),
            self.says(log(0.7), log(0.2), log(0.1)),
            self.says(log(0.5), log(0.4), log(0.1)),
        ]

        confidence_HW = merge(said, tiles, 108, 60, self.size_px, 1.0).confidence_HW

        assert confidence_HW[0, 0] == round(CERTAIN * (0.7 + 0.1 * 0.2) / 1.1)
        # The centers of pixel 53 are 5.5 pixels of 12 into the second tile, 6.5 within the first.
        middle = (0.7 * 6.5 / 12 + 0.5 * 5.5 / 12 + 0.1 * 0.2) / 1.1
        assert confidence_HW[0, 53] == round(CERTAIN * middle)

    def says(self, *logits):
        """The same everywhere."""
        return PixelScores(np.array(logits, dtype=np.float16).reshape(3, 1, 1))

    def test_bands_change_nothing(self, monkeypatch):
        labels_HW = blocks(133, 201, 7)
        tiles, said = self.answers(labels_HW)
        expected = merge(said, tiles, 201, 133, self.size_px, 1.0)

        monkeypatch.setattr(outputs, "_BAND_VALUES", 2000)
        merged = merge(said, tiles, 201, 133, self.size_px, 1.0)

        assert (merged.labels.unpack() == expected.labels.unpack()).all()
        assert (merged.confidence_HW == expected.confidence_HW).all()


class TestMosaic:
    """One after the other."""

    size_px = 32

    def said(self, tiles, seed=0):
        """Noise."""
        rng = np.random.default_rng(seed)
        shape = (5, self.size_px, self.size_px)
        return [PixelScores(rng.normal(size=shape).astype(np.float16)) for _ in tiles]

    @pytest.mark.parametrize("seed", [1, 2])
    def test_the_order_in_which_tiles_come_changes_nothing(self, seed):
        tiles = cut(101, 83, self.size_px)
        said = self.said(tiles)
        expected = merge(said, tiles, 101, 83, self.size_px, 1.0)
        mosaic = Mosaic(tiles, 101, 83, self.size_px, 1.0)

        for number in np.random.default_rng(seed).permutation(len(tiles)):
            mosaic.add(int(number), said[number])

        found = mosaic.end()
        assert (found.labels.unpack() == expected.labels.unpack()).all()
        assert (found.confidence_HW == expected.confidence_HW).all()

    def test_each_pixel_is_the_weighted_average_of_the_tiles_that_show_it(self):
        """Counted pixel by pixel, where a tile's logits are those of the image's own pixels."""
        width, height, side = 70, 40, self.size_px
        tiles = cut(width, height, side)
        said = self.said(tiles)
        votes_HWC, weight_HW1 = np.zeros((height, width, 5)), np.zeros((height, width, 1))
        # The whole says nothing here, whatever its weight.
        said[0] = PixelScores(np.zeros((5, 1, 1), np.float16))
        votes_HWC += 0.1 / 5
        weight_HW1 += 0.1
        for tile, one in zip(tiles[1:], said[1:], strict=True):
            assert (tile.width, tile.height) == (side, side)
            odds_CHW = np.exp(one.logits_Chw.astype(float))
            for row in range(side):
                for column in range(side):
                    counts = 1.0
                    for place, start, length in (
                        (row, tile.ymin, height),
                        (column, tile.xmin, width),
                    ):
                        if start > 0:
                            counts *= min(1, (place + 0.5) / (0.2 * side))
                        if start + side < length:
                            counts *= min(1, (side - place - 0.5) / (0.2 * side))
                    where = (tile.ymin + row, tile.xmin + column)
                    odds_C = odds_CHW[:, row, column]
                    votes_HWC[where] += counts * odds_C / odds_C.sum()
                    weight_HW1[where] += counts
        mean_HWC = votes_HWC / weight_HW1

        found = merge(said, tiles, width, height, side, 1.0)

        assert np.abs(found.confidence_HW / CERTAIN - mean_HWC.max(axis=2)).max() < 0.6 / CERTAIN
        best_HW2 = np.sort(mean_HWC, axis=2)[..., -2:]
        clear_HW = best_HW2[..., 1] - best_HW2[..., 0] > 1e-5
        assert (found.labels.unpack() == mean_HWC.argmax(axis=2))[clear_HW].all()

    @pytest.mark.parametrize(("width", "height"), [(205, 205), (1600, 40), (40, 1600), (800, 58)])
    def test_few_answers_are_kept(self, width, height):
        """About as many as the shorter of rows and columns has, however many tiles there are."""
        tiles = cut(width, height, self.size_px)
        mosaic = Mosaic(tiles, width, height, self.size_px, 1.0)
        answer = PixelScores(np.zeros((2, 1, 1), np.float16))
        most = 0

        for number in range(len(tiles)):
            mosaic.add(number, answer)
            most = max(most, mosaic.kept)

        across, down = (len({getattr(one, way) for one in tiles[1:]}) for way in ("xmin", "ymin"))
        assert len(tiles) > 40
        # The whole, a row, and the first of the next one; or two rows, where three overlap.
        assert most <= 2 * min(across, down) + 3
        assert mosaic.kept == 0
