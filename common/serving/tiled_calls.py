"""A call whose images are cut into tiles: one image after another, a few tiles at a time.

How many tiles an image has is known only once it is decoded, and there may be more than may wait
in the queue. So a call is admitted with one place for each image, as any call is; an image's place
is kept until its last tile takes it, and the tiles before get places of their own, `window` at
most. Thus a call holds one decoded image and `window` tiles, however many it asks for. Tiles have a
queue of their own, which takes turns with that of images: other calls wait for a batch of tiles at
most, and find as much room as ever. What the network says of tiles is merged as it comes, and a
tile counts as one of the `window` until that is done: so answers do not pile up either.

Shape letters: H height, W width, 3 colours.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from common.errors import Exhausted
from common.reasons import Reason
from common.serving.batcher import Item
from common.serving.calls import Timing
from common.serving.tiles import cut

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from common.serving.batcher import Batch, Batcher, Ticket
    from common.serving.tiles import Tile
    from common.serving.workers import Workers
    from common.training.learner import Merger, Output


@dataclass(eq=False, slots=True)
class _Image:
    """An image that is under way. All but the constants is guarded by the call's lock."""

    index: int
    pixels_HW3: np.ndarray[Any, Any] | None  # until the last tile is cut out
    width: int
    height: int
    tiles: list[Tile]
    merger: Merger  # for the thread that merges
    outputs: dict[int, Output] = field(default_factory=dict)  # that are to be merged
    cut: int = 0  # tiles that were, or are now being, cut out
    merged: int = 0  # tiles of which that is done
    is_filling: bool = False
    is_merging: bool = False


class Part:
    """What a tile's item is tagged with."""

    __slots__ = ("_call", "_image", "_number")

    def __init__(self, call: TiledCall, image: _Image, number: int) -> None:
        self._call = call
        self._image = image
        self._number = number

    def take(self, output: Output, batch: Batch) -> None:
        """Note what the network said of the tile, or why it said nothing. From any thread."""
        if batch.error:
            self._call._fail(batch.error)
        else:
            self._call._take(self._image, self._number, output, batch)


class TiledCall:
    """The images of a call, in tiles.

    Args:
        ticket: Admitted for `image_count`.
        image_count: Images of the call.
        load: Decodes one, by its index; blocks.
        answer: Told the output for an image, with its index, width, height and timing.
        refuse: Told of an image that cannot be used, with its index.
        fail: Told if there is no answer for the call.
        batcher: The queue.
        pool: Which threads are to load an image, by its index.
        workers: Threads for all else.
        window: Tiles that may be cut out and not yet merged.
    """

    def __init__(
        self,
        ticket: Ticket,
        image_count: int,
        *,
        load: Callable[[int], np.ndarray[Any, Any]],
        answer: Callable[[int, Output, int, int, Timing], None],
        refuse: Callable[[int, Exception], None],
        fail: Callable[[Exception], None],
        batcher: Batcher,
        pool: Callable[[int], Workers],
        workers: Workers,
        window: int,
    ) -> None:
        self._ticket = ticket
        self._image_count = image_count
        self._load = load
        self._answer = answer
        self._refuse = refuse
        self._fail = fail
        self._batcher = batcher
        self._pool = pool
        self._workers = workers
        self._window = window
        self._lock = threading.Lock()
        self._places = image_count  # of images whose last tile is not cut out yet
        self._started = time.monotonic()
        self._decode_s = 0.0
        self._forward_s: dict[float, float] = {}  # of each batch, by when it started
        self._batch_size = 0

    def start(self) -> None:
        """Begin with the first image."""
        self._pool(0).submit(self._begin, 0)

    def release(self) -> None:
        """Give back the places that are left, once nobody waits for an answer any more."""
        with self._lock:
            places, self._places = self._places, 0
        for _ in range(places):
            self._batcher.withdraw(self._ticket)

    # In threads.

    def _begin(self, index: int) -> None:
        """Load an image and cut its first tiles out."""
        started = time.monotonic()
        if self._ticket.abandoned:
            return
        if self._ticket.deadline <= started:
            self._fail(_expired())
            return
        try:
            pixels_HW3 = self._load(index)
            height, width = pixels_HW3.shape[:2]
            network = self._ticket.network
            tiles = cut(width, height, network.model.preprocessing.image_size_px)
            merger = network.learner.merger(tiles, network.model, width, height)
        except Exception as error:  # noqa: BLE001 - whatever it is, the call must end
            self._give_back_one()
            self._refuse(index, error)
            self._begin_after(index)
            return
        try:
            self._batcher.check_time(self._ticket, len(tiles))
        except Exhausted as error:
            self._fail(error)
            return
        with self._lock:
            self._decode_s += time.monotonic() - started
        self._fill(_Image(index, pixels_HW3, width, height, tiles, merger))

    def _begin_after(self, index: int) -> None:
        if index + 1 < self._image_count:
            self._pool(index + 1).submit(self._begin, index + 1)

    def _give_back_one(self) -> None:
        with self._lock:
            if not self._places:
                return  # they all are
            self._places -= 1
        self._batcher.withdraw(self._ticket)

    def _fill(self, image: _Image) -> None:
        """Cut out and queue as many tiles as may wait, and run the device if nobody does."""
        started = time.monotonic()
        with self._lock:
            image.is_filling = False
            numbers, pixels_HW3 = self._next_tiles(image)
        if not numbers or pixels_HW3 is None:
            return
        network = self._ticket.network
        try:
            items = [
                Item(
                    self._ticket,
                    network.prepare_tile(pixels_HW3, image.tiles[number]),
                    Part(self, image, number),
                )
                for number in numbers
            ]
        except Exception as error:  # noqa: BLE001 - whatever it is, the call must end
            for _ in numbers:
                self._batcher.withdraw(self._ticket)
            self._fail(error)
            return
        del pixels_HW3  # this thread may run the device for long
        with self._lock:
            self._decode_s += time.monotonic() - started
        self._batcher.submit(*items)

    def _next_tiles(self, image: _Image) -> tuple[range, np.ndarray[Any, Any] | None]:
        """Take the next tiles of an image and make room for them; the lock is held."""
        pixels_HW3 = image.pixels_HW3
        free = self._window - (image.cut - image.merged)
        first, image.cut = image.cut, min(image.cut + free, len(image.tiles))
        numbers = range(first, image.cut)
        if not self._places:  # nobody waits for the answer
            return range(0), None
        if numbers:
            is_last = image.cut == len(image.tiles)
            self._batcher.add_room(self._ticket, len(numbers) - is_last)
            if is_last:
                self._places -= 1
                image.pixels_HW3 = None
        return numbers, pixels_HW3

    def _take(self, image: _Image, number: int, output: Output, batch: Batch) -> None:
        with self._lock:
            image.outputs[number] = output
            self._forward_s[batch.started] = batch.ended - batch.started
            self._batch_size = max(self._batch_size, len(batch.items))
            if image.is_merging:
                return  # that thread takes this one, too
            image.is_merging = True
        self._workers.submit(self._merge, image)

    def _merge(self, image: _Image) -> None:
        """Merge what the network has said, and have more tiles cut out, until there is no more."""
        while not self._ticket.abandoned:
            with self._lock:
                outputs, image.outputs = image.outputs, {}
                if not outputs:
                    image.is_merging = False
                    return
            try:
                for number in sorted(outputs):
                    image.merger.add(number, outputs.pop(number))
                    self._note_merged(image)
                if image.merged == len(image.tiles):
                    output = image.merger.end()
            except Exception as error:  # noqa: BLE001 - whatever it is, the call must end
                self._fail(error)
                return
            if image.merged == len(image.tiles):
                self._answer(image.index, output, image.width, image.height, self._timing())
                self._begin_after(image.index)
                return

    def _note_merged(self, image: _Image) -> None:
        """Have tiles cut out once there is room for half of what may wait."""
        with self._lock:
            image.merged += 1
            fill = (
                image.cut < len(image.tiles)
                and image.cut - image.merged <= self._window // 2
                and not image.is_filling
            )
            image.is_filling |= fill
        if fill:
            self._workers.submit(self._fill, image)

    def _timing(self) -> Timing:
        """Return where the time went of all images so far."""
        with self._lock:
            forward_s = sum(self._forward_s.values())
            rest_s = time.monotonic() - self._started - self._decode_s - forward_s
            return Timing(self._decode_s, max(0.0, rest_s), forward_s, self._batch_size)


def _expired() -> Exhausted:
    return Exhausted(
        Reason.DEADLINE_TOO_SHORT,
        "The deadline passed before the image was decoded. Try again with a longer one.",
    )
