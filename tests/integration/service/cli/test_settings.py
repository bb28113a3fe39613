"""Settings: precedence, and errors of invalid ones."""

from pathlib import Path

import pytest

from clairo_core.errors import SettingsError
from service.settings import Settings, check_environment_names, load_settings


@pytest.fixture(autouse=True)
def _no_settings_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLAIRO_BUNDLE", raising=False)
    monkeypatch.delenv("CLAIRO_SHARED", raising=False)


def test_by_default_the_service_listens_on_loopback_and_stores_items_in_clairo_data() -> None:
    settings = load_settings(Settings, {"bundle": Path("bundles/demo")})
    assert settings.host == "127.0.0.1"
    assert settings.store_location == Path("clairo-data/clairo.db")


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAIRO_BUNDLE", "from-environment")
    monkeypatch.setenv("CLAIRO_PORT", "9000")
    settings = load_settings(Settings, {"bundle": Path("from-flag"), "port": None})
    assert (settings.bundle, settings.port) == (Path("from-flag"), 9000)


def test_a_misspelt_variable_names_the_nearest_setting() -> None:
    with pytest.raises(SettingsError, match=r"CLAIRO_NUM_BEAM .* did you mean CLAIRO_NUM_BEAMS\?"):
        check_environment_names({"CLAIRO_NUM_BEAM": "10", "HOME": "/root"})


def test_other_programs_variables_are_ignored() -> None:
    check_environment_names({"PATH": "/bin", "CLAIROVOYANT": "1", "CLAIRO_PORT": "80", "CLAIRO_DATA_URL": "sqlite://"})


def test_a_missing_bundle_names_flag_and_variable() -> None:
    with pytest.raises(SettingsError, match=r"--bundle \(CLAIRO_BUNDLE\) is missing"):
        load_settings(Settings, {})


def test_a_value_out_of_range_is_quoted() -> None:
    with pytest.raises(SettingsError, match=r"--port \(CLAIRO_PORT\): .* 65535, got 99999"):
        load_settings(Settings, {"bundle": Path("b"), "port": 99999})


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///items.db", Path("items.db")),
        ("sqlite:////srv/items.db", Path("/srv/items.db")),
        ("sqlite+aiosqlite:///items.db", Path("items.db")),
        ("sqlite:///:memory:", None),
    ],
)
def test_a_sqlite_url_names_its_file(url: str, path: Path | None) -> None:
    assert load_settings(Settings, {"bundle": Path("b"), "database_url": url}).store_location == path


def test_a_postgresql_url_is_kept() -> None:
    url = "postgresql+psycopg://shop:hunter2@db/shop"
    assert load_settings(Settings, {"bundle": Path("b"), "database_url": url}).store_location == url


def test_another_database_is_refused_without_repeating_its_password() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(Settings, {"bundle": Path("b"), "database_url": "mysql://shop:hunter2@db/shop"})
    assert "got mysql:..." in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_allowed_hosts_are_names_with_or_without_a_port() -> None:
    settings = load_settings(Settings, {"bundle": Path("b"), "allowed_hosts": "Shop.example, clairo:8000,[::1],"})
    assert settings.allowed_host_names == {"shop.example", "clairo:8000", "[::1]"}


@pytest.mark.parametrize("hosts", ["https://shop.example", "shop.example/x", "*", "a b", "shop:http"])
def test_an_allowed_host_that_is_not_a_host_is_refused(hosts: str) -> None:
    with pytest.raises(SettingsError, match=r"--allowed-hosts \(CLAIRO_ALLOWED_HOSTS\): expected HOST or HOST:PORT"):
        load_settings(Settings, {"bundle": Path("b"), "allowed_hosts": hosts})
