"""Pictures encoded in further processes are those encoded here, also after one of them was killed."""

import os
import signal
import time
from collections.abc import Iterator

import numpy as np
import pytest

from clairo_core.encoders.builtin_image import BuiltinImageEncoder
from clairo_core.encoders.builtin_text import BuiltinTextEncoder
from clairo_core.items import Item
from service.items.picture_pool import FEWEST_PICTURES, PicturePool
from tests.running_service import drawn_picture

ENCODER = BuiltinImageEncoder(
    np.random.default_rng(0).standard_normal((8, 36)).astype(np.float32), np.ones(4, np.float32)
)
ITEMS = [Item(item_id=f"item-{number}", picture=drawn_picture(number)) for number in range(FEWEST_PICTURES)]
ITEMS += [Item(item_id="none"), Item(item_id="damaged", picture=b"\x89PNG")]


@pytest.fixture
def pool() -> Iterator[PicturePool]:
    pool = PicturePool(2, idle_seconds=2.0)
    yield pool
    pool.close()


def test_a_large_batch_is_encoded_as_one_process_does_also_if_one_is_killed(pool: PicturePool) -> None:
    expected = ENCODER.encode(ITEMS)
    pooled = pool.around({"image": ENCODER})["image"]

    def encode() -> None:
        encoded = pooled.encode(ITEMS)
        np.testing.assert_array_equal(encoded.vectors, expected.vectors)
        assert encoded.is_present.tolist() == expected.is_present.tolist()

    encode()
    assert len(pool.process_ids) == 2
    os.kill(pool.process_ids[0], signal.SIGKILL)
    while pool.process_ids:
        encode()
    encode()
    assert pool.process_ids
    # Idle processes end.
    while pool.process_ids:
        time.sleep(0.05)


def test_few_pictures_and_other_encoders_need_no_processes(pool: PicturePool) -> None:
    text = BuiltinTextEncoder.fit([Item(item_id="mug", texts={"title": "Blue mug"})], dim=1)
    encoders = pool.around({"image": ENCODER, "text": text})
    assert encoders["text"] is text
    encoders["image"].encode(ITEMS[:2])
    assert not pool.process_ids
