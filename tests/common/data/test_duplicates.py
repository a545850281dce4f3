"""What is taken for the same image, and what is not."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from common.data import duplicates
from common.data.images import decode
from tests.common.data.pictures import encode_image, picture

MANY = 1800


def group(*pixels) -> list[int]:
    return duplicates.group(b"".join(duplicates.fingerprint(p) for p in pixels)).tolist()


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    data = encode_image(image, "JPEG", quality=quality)
    return Image.fromarray(decode(data, max_pixels=10**9, at_least_px=duplicates.SOURCE_PX))


CHANGES = {
    "saved at quality 30": lambda image: jpeg(image, 30),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "three times the size": lambda image: image.resize((image.width * 3, image.height * 3)),
    "thumbnail, saved at quality 50": lambda image: jpeg(image.resize((64, 48)), 50),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.08),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.9),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.9),
    "fewer colours": lambda image: image.quantize(256).convert("RGB"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("seed", range(5))
def test_a_changed_copy_is_found(change, seed):
    original = picture(512, 384, seed=seed)

    changed = np.asarray(CHANGES[change](Image.fromarray(original)))

    assert group(original, picture(512, 384, seed=99), changed) == [0, -1, 0]


def test_different_pictures_are_not():
    """A thousand of the same style."""
    assert set(group(*(picture(seed=seed) for seed in range(1000)))) == {-1}


def digit(rng: np.random.Generator, shape: np.ndarray) -> np.ndarray:
    """A shape of 8 × 8 pixels as another hand would write it."""
    moved = np.roll(shape, rng.integers(-1, 2, 2), axis=(0, 1)) * rng.uniform(0.6, 1)
    grey = np.clip(moved + rng.normal(0, 25, (8, 8)), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def test_tiny_pictures_of_the_same_thing_are_not():
    """Digits of 8 × 8 pixels: alike, but each its own, save for a pair by chance."""
    rng = np.random.default_rng(0)
    shapes = [(rng.random((8, 8)) < 0.4) * 255.0 for _ in range(10)]

    groups = group(*(digit(rng, shapes[number % 10]) for number in range(2000)))

    assert sum(number >= 0 for number in groups) <= 4


def test_small_things_on_the_same_ground_are_not():
    """A mark of a few pixels makes the difference between two classes."""
    ground = np.full((64, 64, 3), 230, np.uint8)
    pixels = []
    for row in range(0, 64, 8):
        for column in range(0, 64, 8):
            marked = ground.copy()
            marked[row : row + 8, column : column + 8] = (200, 30, 30)
            pixels.append(marked)

    assert set(group(*pixels)) == {-1}


def test_plain_images_are_told_apart_by_colour():
    """As far as one can see it; noise that one cannot see is none."""
    rng = np.random.default_rng(0)
    red, dark_red, blue = ((200, 30, 30), (190, 30, 30), (30, 30, 200))
    plain = [np.full((32, 32, 3), colour, np.uint8) for colour in (red, dark_red, blue)]
    noisy = (plain[0] + rng.integers(-1, 2, (32, 32, 3))).astype(np.uint8)

    assert group(*plain, noisy) == [0, -1, -1, 0]


def test_noise_is_not_all_the_same():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (200, 48, 48, 3), dtype=np.uint8)

    assert set(group(*noise)) == {-1}


def test_groups_are_numbered_by_their_first_images():
    a, b, c = (picture(seed=seed) for seed in range(3))

    assert group(c, b, a, b, a, a) == [-1, 0, 1, 0, 1, 1]


def test_copies_of_copies_are_one_group():
    """Frames of a film: neighbours look the same, the ends need not."""
    start, end = (picture(seed=seed).astype(float) for seed in (1, 2))
    frames = [(start + (end - start) * t).astype(np.uint8) for t in np.linspace(0, 1, 200)]

    assert set(group(*frames)) == {0}
    assert group(frames[0], frames[-1]) == [-1, -1]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_images(count):
    assert group(*(picture(seed=seed) for seed in range(count))) == [-1] * count


@pytest.mark.parametrize("factor", [1.05, 1.1])
def test_copies_among_many_images_of_one_scene_are_found(factor):
    """The scene is alike in all that tells the other images apart."""
    rng = np.random.default_rng(0)
    ground = picture(64, 64, seed=7)
    scene = [
        np.clip(ground + np.kron(rng.normal(0, 9, (16, 16, 3)), np.ones((4, 4, 1))), 0, 255)
        for _ in range(800)
    ]
    scene = [pixels.astype(np.uint8) for pixels in scene]
    brighter = [
        np.asarray(ImageEnhance.Brightness(Image.fromarray(pixels)).enhance(factor))
        for pixels in scene[:200]
    ]
    others = [picture(seed=1000 + number) for number in range(1000)]

    groups = group(*scene, *others, *brighter)

    assert groups == [*range(200), *[-1] * 1600, *range(200)]


def test_a_crowd_is_linked_across_chunks_by_few_pairs(monkeypatch):
    """However many of its images show the same."""
    monkeypatch.setattr(duplicates, "_CHUNK", 64)
    rng = np.random.default_rng(0)
    ground = picture(16, 16, seed=7).astype(float)
    scene = [ground + rng.normal(0, 9, ground.shape) for _ in range(10)]
    crowd = [scene[i % 10] + rng.normal(0, 1, ground.shape) for i in rng.permutation(1000)]
    raw = np.clip(np.stack(crowd), 0, 255).astype(np.uint8).reshape(1000, -1)
    chunk_pairs = 16 * 17 // 2

    ones, others = np.concatenate(list(duplicates._compare_all(raw, np.arange(1000))), axis=1)

    label_N = duplicates._components(ones, others, 1000)
    distance_NN = np.linalg.norm((raw[:, None, ::16] - raw[None, :, ::16].astype(float)), axis=2)
    assert np.array_equal(label_N[:, None] == label_N, distance_NN < 30)
    assert len(set(label_N.tolist())) == 10
    assert len(ones) <= chunk_pairs * 2 * 64


def test_equal_to_comparing_all_pairs():
    """The tree loses none: fingerprints near and far, against all 1.6 million pairs."""
    rng = np.random.default_rng(0)
    bases = np.frombuffer(
        b"".join(duplicates.fingerprint(picture(seed=seed)) for seed in range(MANY // 3)), np.uint8
    ).reshape(-1, duplicates.FINGERPRINT_BYTES)
    noise = rng.normal(0, 1, (MANY, duplicates.FINGERPRINT_BYTES)) * rng.uniform(0, 12, (MANY, 1))
    raw = np.clip(np.tile(bases, (3, 1)) + noise, 0, 255).astype(np.uint8)

    groups = duplicates.group(raw.tobytes())

    vectors = duplicates._normalized(raw)
    squares = np.square(vectors).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * vectors @ vectors.T, 0))
    near = distances <= duplicates._MOST_DIFFERENCE
    expected = list(range(MANY))
    for one, other in np.argwhere(np.triu(near, 1)):
        low, high = sorted((expected[one], expected[other]))
        expected = [low if value == high else value for value in expected]
    together = np.equal.outer(expected, expected)
    same = np.equal.outer(groups, groups) & (groups >= 0)[:, None]
    np.fill_diagonal(same, val=True)
    assert 300 < (groups >= 0).sum() < MANY - 300
    assert np.array_equal(same, together)
