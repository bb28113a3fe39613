"""Addresses in object storage: parsed, joined, and shown without their credentials."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.storage.storage_address import SCHEMES, StorageAddress, place_of

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/@", exclude_categories=["Cc"]), min_size=1).filter(
    lambda name: name not in (".", "..") and name == name.strip()
)
SECRETS = st.text("abcXYZ019%", min_size=4)
ADDRESSES = st.builds(
    StorageAddress,
    st.sampled_from(SCHEMES),
    st.one_of(st.just(""), SECRETS.map(lambda secret: f"KEY:{secret}")),
    st.from_regex(r"[a-z0-9][a-z0-9.-]{2,20}", fullmatch=True),
    st.lists(NAMES, max_size=3).map("/".join),
    st.sampled_from(["", "region=eu-central-1", "endpoint_override=minio:9000&scheme=http"]),
)


@given(ADDRESSES)
def test_an_address_is_the_one_that_its_url_was_parsed_from(address: StorageAddress) -> None:
    assert place_of(address.url) == address


@given(ADDRESSES, NAMES)
def test_a_folder_in_an_address_has_it_as_its_parent(address: StorageAddress, name: str) -> None:
    assert (address / name).parent == address
    assert (address / name).name == name


def test_the_text_names_the_place_and_no_credentials() -> None:
    address = place_of("s3://KEY:SECRET@shop/bundles/spring?endpoint_override=minio:9000&scheme=http")
    assert str(address) == "s3://shop/bundles/spring at minio:9000"
    assert "SECRET" not in repr(address)
    assert "KEY:SECRET@shop" in address.url  # type: ignore[union-attr]


def test_a_path_stays_a_path() -> None:
    assert place_of("bundles/spring") == Path("bundles/spring")


@pytest.mark.parametrize(
    "text",
    [
        "s4://shop/x",
        "s3://@",
        "s3:///x",
        "s3://shop/a//b",
        "s3://shop/../x",
        "s3://shop/x#y",
        "s3://KEY:hid/den@shop/x",
    ],
)
def test_other_addresses_are_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match="expected s3://BUCKET/PREFIX or gs://BUCKET/PREFIX") as refused:
        place_of(text)
    assert text not in str(refused.value)
    assert "hid" not in str(refused.value)
