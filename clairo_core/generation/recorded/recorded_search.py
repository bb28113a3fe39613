"""Record the beam search for a few batch sizes, and replay it: one wait for the device per batch.

Start at `record_search`. Before a recorded search serves, its answers are compared with those of `beam_search.search`.
If they differ, if recording fails, or if a batch fits no recorded size, `run` returns None and the caller searches
plainly.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from clairo_core.generation.recorded.cuda_graphs import MirroredBuffer, Recorder
from clairo_core.generation.recorded.padded_trie import PaddedTrie, TrieShape, needed_shape
from clairo_core.generation.recorded.search_agreement import TOLERANCE, Fused, agrees, made_batch
from clairo_core.generation.recorded.static_search import StaticSearch
from clairo_core.generation.recorded.static_view_fusion import fuse_views_of_all
from clairo_core.generation.search.beam_search import search
from clairo_core.generation.search.view_fusion import fuse_views
from clairo_core.generation.t5.generator import Generator
from clairo_core.generation.trie.device_trie import DeviceTrie
from clairo_core.ranking.allowed_items import AllowedItems, allowed_by
from clairo_core.tokens.tokenizer import TokenBatch

logger = logging.getLogger(__name__)

_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
_LENGTH_STEP = 8
_MAX_BYTES = 4 << 30
"""Memory that one batch may take; larger batches are searched plainly."""


@dataclass(frozen=True, slots=True)
class SearchSizes:
    """The search's fixed sizes, and the largest batch."""

    num_views: int
    """Per request."""
    num_beams: int
    num_items: int
    """Kept per view."""
    max_requests: int
    max_length: int
    """Tokens per view."""

    @property
    def batches(self) -> list[tuple[int, int]]:
        """Sizes to record, each a number of requests and a length, smallest first."""
        requests = [size for size in _BATCH_SIZES if size < self.max_requests] + [self.max_requests]
        lengths = {-(-self.max_length // (part * _LENGTH_STEP)) * _LENGTH_STEP for part in (4, 2, 1)}
        return [(size, length) for size in requests for length in sorted(lengths)]

    def bytes_of_batch(self, num_requests: int, shape: TrieShape) -> int:
        """Approximate memory of a batch's intermediate results."""
        num_views = num_requests * self.num_views
        num_places = num_views * (max(shape.num_at_root, *shape.child_widths, 1) + 2 * self.num_items)
        # A place takes a node, its parent, score, key and temporaries; an item takes a flag and a count.
        return 96 * num_places + 24 * num_requests * shape.num_items


class RecordedSearch:
    """Recorded searches of one trie and its later versions. Thread-safe; threads take turns."""

    def __init__(self, generator: Generator, trie: DeviceTrie, sizes: SearchSizes, recorder: Recorder) -> None:
        """Allocate buffers; call `record` before the first `run`."""
        self.sizes = sizes
        is_reachable = trie.is_reachable_softmax
        self._shape = needed_shape(trie.trie, sizes.num_beams, is_reachable_softmax=is_reachable).with_spare_room()
        self._generator = generator
        self._recorder = recorder
        self._lock = threading.Lock()
        self._replays: dict[tuple[int, int], Callable[[], None]] = {}
        self._loaded: DeviceTrie | None = None

        def buffer(dtype: torch.dtype, *buffer_shape: int) -> MirroredBuffer:
            return MirroredBuffer(buffer_shape, dtype, generator.device, is_pinned=recorder.uses_pinned_memory)

        most, num_views = sizes.max_requests, sizes.max_requests * sizes.num_views
        longest = max(length for _, length in sizes.batches)
        with torch.inference_mode():
            self._room = PaddedTrie(self._shape, generator, is_reachable_softmax=is_reachable)
            self._ids = buffer(torch.int32, num_views * longest)
            self._lengths = buffer(torch.int32, num_views)
            self._lengths.device.fill_(1)
            self._is_allowed = buffer(torch.bool, most, self._shape.num_items)
            self._item_rows = buffer(torch.int64, most, sizes.num_views * sizes.num_items)
            self._scores = buffer(torch.float64, most, sizes.num_views * sizes.num_items)
        self._search = StaticSearch(generator, self._room, sizes.num_beams, sizes.num_items)

    @property
    def recorded(self) -> list[tuple[int, int]]:
        """The recorded sizes."""
        return list(self._replays)

    def record(self, trie: DeviceTrie) -> None:
        """Record all sizes, and keep them if each agrees with a plain search."""
        replays = {}
        try:
            for size in self.sizes.batches:
                if self.sizes.bytes_of_batch(size[0], self._shape) > _MAX_BYTES:
                    continue
                with torch.inference_mode():
                    self._load(trie)
                    replays[size] = self._recorder.record(partial(self._compute, *size))
                if not self._answers_as_a_plain_search(trie, size, replays[size]):
                    logger.warning("recorded, the search of %d requests of %d tokens differs; no GPU graphs", *size)
                    return
        except RuntimeError as error:
            logger.warning("the search cannot be recorded (%s); no GPU graphs", error)
            return
        self._replays = replays
        logger.info("the search is recorded for %d sizes of batches, %s", len(replays), self.sizes)

    def for_version(self, trie: DeviceTrie) -> "RecordedSearch":
        """This search if the later version fits its buffers, or nothing was recorded; else a new recording."""
        is_reachable = trie.is_reachable_softmax
        needed = needed_shape(trie.trie, self.sizes.num_beams, is_reachable_softmax=is_reachable)
        if not self._replays or self._shape.holds(needed):
            return self
        return record_search(self._generator, trie, self.sizes, self._recorder.apart())

    def run(
        self,
        trie: DeviceTrie,
        views: TokenBatch,
        num_beams: int,
        is_allowed: Sequence[AllowedItems] | None = None,
    ) -> Fused | None:
        """Search and fuse; None if no recorded size fits, or the device failed.

        Args:
            trie: the recorded one, or one passed to `for_version`.
            views: equally many per request, adjacent.
            num_beams: per view.
            is_allowed: by request; None allows everything.
        """
        num_requests, length, replays = len(views.ids) // self.sizes.num_views, views.ids.shape[1], self._replays
        fitting = [size for size in replays if size[0] >= num_requests and size[1] >= length]
        if not fitting or num_beams != self.sizes.num_beams:
            return None
        size = min(fitting)
        with self._lock:
            try:
                return self._repeated(trie, size, replays[size], views, is_allowed)
            except RuntimeError as error:
                logger.warning("a recorded search failed (%s); no GPU graphs from now on", error)
                self._replays = {}
                return None

    @torch.inference_mode()
    def _repeated(
        self,
        trie: DeviceTrie,
        size: tuple[int, int],
        replay: Callable[[], None],
        views: TokenBatch,
        is_allowed: Sequence[AllowedItems] | None,
    ) -> Fused:
        num_requests, num_places = len(views.ids) // self.sizes.num_views, size[0] * self.sizes.num_views
        if self._loaded is not trie:
            self._load(trie)
        ids = self._ids.host[: num_places * size[1]].view(num_places, size[1])
        ids.zero_()
        ids[: len(views.ids), : views.ids.shape[1]] = torch.from_numpy(views.ids)
        # Unused places hold a view of one token; its result is never read.
        self._lengths.host.fill_(1)
        self._lengths.host[: len(views.lengths)] = torch.from_numpy(views.lengths)
        self._is_allowed.host[: size[0]] = True
        for place, of_request in enumerate(is_allowed or ()):
            self._is_allowed.host[place, : of_request.num_items] = torch.from_numpy(of_request.by_row())
        self._ids.send(num_places * size[1])
        self._lengths.send(num_places)
        self._is_allowed.send(size[0])
        replay()
        self._item_rows.fetch(num_requests)
        self._scores.fetch(num_requests)
        self._recorder.wait()
        # Copied: the next batch writes to the same addresses.
        item_rows = self._item_rows.host[:num_requests].numpy().copy()
        scores = self._scores.host[:num_requests].numpy().copy()
        counts = (item_rows >= 0).sum(axis=1).tolist()
        return [(item_rows[place, :count], scores[place, :count]) for place, count in enumerate(counts)]

    def _load(self, trie: DeviceTrie) -> None:
        self._room.load(trie)
        self._loaded = trie

    @torch.inference_mode()
    def _compute(self, num_requests: int, length: int) -> None:
        """The recorded work, from buffers to buffers."""
        num_views = num_requests * self.sizes.num_views
        found = self._search.run(
            self._ids.device[: num_views * length].view(num_views, length),
            self._lengths.device[:num_views],
            self._is_allowed.device[:num_requests],
        )
        item_rows, scores = fuse_views_of_all(*found, self.sizes.num_views)
        self._item_rows.device[:num_requests] = item_rows
        self._scores.device[:num_requests] = scores

    def _answers_as_a_plain_search(self, trie: DeviceTrie, size: tuple[int, int], replay: Callable[[], None]) -> bool:
        """Compare a full batch, then a smaller one: leftovers of the first must not show."""
        for seed, num_requests, length in ((0, *size), (1, (size[0] + 1) // 2, size[1] // 2)):
            request_of_view = np.repeat(np.arange(num_requests), self.sizes.num_views)
            vocab_size, num_items = self._generator.config.vocab_size, trie.trie.num_items
            views, is_allowed = made_batch(len(request_of_view), num_requests, length, vocab_size, num_items, seed)
            beams = search(
                self._generator,
                trie,
                views,
                self.sizes.num_beams,
                num_items=self.sizes.num_items,
                is_allowed=allowed_by(is_allowed),
                request_of_view=request_of_view,
            )
            expected = fuse_views(beams, request_of_view, num_requests)
            with self._lock:
                found = self._repeated(trie, size, replay, views, allowed_by(is_allowed))
            if not agrees(expected, found, is_allowed, TOLERANCE[self._generator.dtype]):
                return False
        return True


def record_search(generator: Generator, trie: DeviceTrie, sizes: SearchSizes, recorder: Recorder) -> RecordedSearch:
    """Record the search of a trie. A failure is logged, and `run` then always returns None."""
    recorded = RecordedSearch(generator, trie, sizes, recorder)
    recorded.record(trie)
    return recorded
