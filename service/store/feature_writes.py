"""Write features of items under a bundle, in a transaction that holds the catalogue's lock.

No two items have one feature set under a bundle, nor two that one of its languages spells alike. A few statements write
thousands of items. Start at `write_features`.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, insert, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from clairo_core.feature_index import TakenFeatureSets
from clairo_core.items import described_digest
from service.errors import FeatureSetTakenError
from service.store.database import first_line
from service.store.item_rows import feature_set_of, features_values
from service.store.sql_tables import item_features, items
from service.store.store import DescribedContent, StoredFeatures

PARAMETERS_AT_ONCE = 5_000
"""Values of one IN; SQLite takes 32,766 parameters, PostgreSQL 65,535."""


async def check_undescribed(connection: AsyncConnection, namespace: str, described: Sequence[DescribedContent]) -> None:
    """Refuse features of content that is older by now, or that another process described first.

    Raises:
        FeatureSetTakenError: one of them is.
    """
    newest, stored = {}, {}
    for some in _parts([of_item.item_id for of_item in described]):
        content = select(items.c.item_id, items.c.texts, items.c.picture_digest).where(
            items.c.namespace == namespace, items.c.item_id.in_(some)
        )
        for row in (await connection.execute(content)).all():
            newest[row.item_id] = described_digest(dict(row.texts), row.picture_digest)
        of_bundle = select(item_features.c.item_id, item_features.c.described_digest).where(
            item_features.c.namespace == namespace,
            item_features.c.bundle_id == described[0].features.bundle_id,
            item_features.c.item_id.in_(some),
        )
        stored.update({row.item_id: row.described_digest for row in (await connection.execute(of_bundle)).all()})
    for of_item in described:
        if newest.get(of_item.item_id) != of_item.digest:
            raise FeatureSetTakenError(f"the content of item {of_item.item_id!r} has changed; describe it again")
        if stored.get(of_item.item_id) == of_item.digest:
            raise FeatureSetTakenError(f"item {of_item.item_id!r} is described already; read its features again")


async def write_features(connection: AsyncConnection, namespace: str, described: Sequence[DescribedContent]) -> None:
    """Write features of distinct items, all under one bundle, in place of those of earlier content.

    Raises:
        FeatureSetTakenError: another item is alike under this bundle; the error names the taken feature sets.
    """
    if not described:
        return
    rows = [
        {"namespace": namespace, "item_id": of_item.item_id, **features_values(of_item.features, of_item.digest)}
        for of_item in described
    ]
    bundle_id = described[0].features.bundle_id
    own = [{"of_item": of_item.item_id} for of_item in described]
    of_bundle = (item_features.c.namespace == namespace) & (item_features.c.bundle_id == bundle_id)
    await connection.execute(
        delete(item_features).where(of_bundle, item_features.c.item_id == bindparam("of_item")), own
    )
    taken: set[str] = set()
    for some in _parts([row["feature_set"] for row in rows]):
        equal = select(item_features.c.feature_set).where(of_bundle, item_features.c.feature_set.in_(some))
        taken.update((await connection.execute(equal)).scalars())
    if len(described[0].features.spelled) > 1:
        taken.update(await _alike(connection, of_bundle, [of_item.features for of_item in described]))
    if taken:
        sets = [feature_set_of(stored) for stored in sorted(taken)]
        raise FeatureSetTakenError(f"{len(sets)} feature sets are taken, such as {sets[0]}; describe again", sets)
    try:
        await connection.execute(insert(item_features), rows)
    except IntegrityError as error:
        # Two of ours are equal, or something wrote without our lock: read again, then decide.
        raise FeatureSetTakenError(f"{first_line(error.orig)}; describe again") from error


async def _alike(connection: AsyncConnection, of_bundle: Any, features: Sequence[StoredFeatures]) -> set[str]:
    """Those of these feature sets that a language of the bundle spells like a stored one, or like an earlier one."""
    taken = TakenFeatureSets(features[0].spelled)
    # Every language spells the last category, the collision index.
    for some in _parts(sorted({of_item.feature_set[-1] for of_item in features}), 200):
        ends = or_(*(item_features.c.feature_set.endswith(f",{last}") for last in some))
        for stored in (await connection.execute(select(item_features.c.feature_set).where(of_bundle, ends))).scalars():
            taken.add(feature_set_of(stored))
    alike = set()
    for of_item in features:
        if of_item.feature_set in taken:
            alike.add(",".join(map(str, of_item.feature_set)))
        taken.add(of_item.feature_set)
    return alike


def _parts(values: Collection[Any], size: int = PARAMETERS_AT_ONCE) -> Iterator[list[Any]]:
    listed = list(values)
    for start in range(0, len(listed), size):
        yield listed[start : start + size]
