"""dataset.toml of an export: reading it gives the bundle's rules again, field by field."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from clairo_core.errors import SettingsError
from clairo_core.events import (
    LONGEST_TYPE,
    Condition,
    EventType,
    InteractionRules,
    check_rules,
    is_type_name,
    read_rules,
)
from service.cli.export import Exported, _description
from training.datasets.dataset_toml import read_description

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=LONGEST_TYPE).filter(is_type_name)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
CONDITIONS = st.builds(
    Condition,
    st.just("rating"),
    st.sampled_from([">=", "<=", "==", ">", "<"]),
    NUMBERS.map(lambda number: number + 0.0),
)
TYPES = st.one_of(
    st.builds(
        EventType,
        weight=st.floats(1e-300, 1e300),
        is_read=st.booleans(),
        when=st.none() | CONDITIONS,
    ),
    st.builds(EventType, meaning=st.sampled_from(["negative", "impression", "ignored"]), when=st.none() | CONDITIONS),
)


@st.composite
def rules(draw: st.DrawFn) -> InteractionRules:
    """Rules that training accepts."""
    types = draw(st.dictionaries(NAMES, TYPES, max_size=4))
    plain = InteractionRules(types=types)
    can_be_targets = [name for name in types if plain.is_target(name)]
    if types and not can_be_targets:
        types, can_be_targets = {**types, "buy": EventType()}, ["buy"]
    targets = draw(st.lists(st.sampled_from(can_be_targets), unique=True)) if can_be_targets else []
    return InteractionRules(
        types=types,
        targets=tuple(targets),
        repeats=draw(st.sampled_from(["keep", "drop"])),
        min_interactions=draw(st.integers(0, 9)),
        unknown_items=draw(st.sampled_from(["error", "drop"])),
    )


@given(rules())
def test_the_rules_read_from_an_export_are_the_bundles(of_bundle: InteractionRules) -> None:
    try:
        check_rules(of_bundle)
    except SettingsError:
        return
    exported = Exported()
    exported.column("text", "title")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "dataset.toml"
        path.write_text(_description("shop", exported, of_bundle), encoding="utf-8")
        described = read_description(path)
    assert described.rules == of_bundle
    assert list(described.rules.types) == list(of_bundle.types)
    # As the manifest keeps them.
    assert read_rules(of_bundle.as_dict()) == of_bundle
