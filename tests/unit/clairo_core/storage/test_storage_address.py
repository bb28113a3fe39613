"""Addresses in object storage: parsed, joined, and refused with credentials in them."""

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.storage.storage_address import StorageAddress, place_of

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/", exclude_categories=["Cc"]), min_size=1).filter(
    lambda name: name not in (".", "..")
)
ADDRESSES = st.builds(
    StorageAddress,
    bucket=st.from_regex(r"[a-z0-9][a-z0-9.-]{2,20}", fullmatch=True),
    key=st.lists(NAMES, max_size=3).map("/".join),
    endpoint=st.sampled_from(["", "minio:9000"]),
    scheme=st.sampled_from(["http", "https"]),
    region=st.sampled_from(["", "eu-central-1"]),
)


@given(ADDRESSES)
def test_an_address_is_parsed_from_its_url(address: StorageAddress) -> None:
    options = f"endpoint_override={address.endpoint}&scheme={address.scheme}&region={address.region}"
    assert place_of(f"s3://{address.bucket}/{quote(address.key)}?{options}") == address


@given(ADDRESSES, NAMES)
def test_a_folder_in_an_address_has_it_as_its_parent(address: StorageAddress, name: str) -> None:
    assert (address / name).parent == address
    assert (address / name).name == name


def test_a_path_stays_a_path() -> None:
    assert place_of("bundles/spring") == Path("bundles/spring")


@pytest.mark.parametrize("text", ["s3://KEY:hidden@shop/x", "s3://KEY:hid/den@shop/x", "ftp://KEY:hidden@shop/x"])
def test_credentials_are_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ValueError, match="got one with credentials; set AWS_ACCESS_KEY_ID") as refused:
        place_of(text)
    assert "hid" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("s4://shop/x", "expected s3://BUCKET/PREFIX, with .* got another address"),
        ("s3:///x", "got another address"),
        ("s3://shop:80/x", "got another address"),
        ("s3://shop/x#y", "got another address"),
        ("s3://shop/a//b", "got a prefix with an empty name"),
        ("s3://shop/../x", "got a prefix with an empty name"),
        ("s3://shop/%2e%2e/x", "got a prefix with an empty name"),
        ("s3://shop/x?secret_key=y", "got the option secret_key; known are endpoint_override, region, scheme"),
        ("s3://shop/x?scheme=ftp", "expected scheme=http or scheme=https"),
    ],
)
def test_another_address_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        place_of(text)
