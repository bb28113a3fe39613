"""The types of attributes as this process knows them, and the bundle's items read by them.

The store decides (`service.store.attribute_types`); this is its newest state, read again every second. A bundle's items
are not in the store: where a type is declared, their values are shown and filtered by as that type.
Start at `AttributeSchema`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from clairo_core.attributes import AttributeType
from service.live_catalogue import LiveCatalogue, ServedItem
from service.store.attribute_types import (
    AttributeTypeStore,
    FixedType,
    check_readable,
    first_uses_of,
    is_other,
    retyped,
)


class AttributeSchema:
    """A namespace's types. Belongs to one event loop."""

    def __init__(self, store: AttributeTypeStore) -> None:
        self._store = store
        self.types: Mapping[str, FixedType] = {}
        """By name, as read last."""
        self.num_changes = 0
        """Counts up with every change of `types`."""

    @property
    def declared(self) -> dict[str, AttributeType]:
        """The declared types, by name."""
        return {name: fixed.type for name, fixed in self.types.items() if fixed.is_declared}

    async def refresh(self) -> None:
        """Read the types again.

        Raises:
            StoreError: the store cannot be read; the types read before stay.
        """
        types = await self._store.read()
        self.num_changes += types != self.types
        self.types = types

    async def count_as_first_use(self, live: LiveCatalogue) -> None:
        """Fix the types of names that only the bundle's items use: its own types, or those of all their values.

        Raises:
            StoreError: the types cannot be stored.
        """
        attributes = [item.attributes for item in live.bundle.items]
        first_uses = await asyncio.to_thread(first_uses_of, attributes)
        await self._store.fix(first_uses | live.bundle.manifest.types_of_attributes)
        await self.refresh()

    async def declare(self, types: Mapping[str, AttributeType], live: LiveCatalogue) -> int:
        """Declare exactly these types. Return the number of stored items whose values were converted.

        Raises:
            StoredValuesError: a value of an item, stored or the bundle's, cannot be read as its new type.
            StoreError: nothing was changed.
        """
        of_bundle = [
            (served.item.item_id, served.item.attributes)
            for served in live.items[: len(live.bundle.items)]
            if not served.is_posted
        ]
        await asyncio.to_thread(check_readable, of_bundle, types)
        num_converted = await self._store.declare(types)
        await self.refresh()
        return num_converted


class TypedBundleItems:
    """The bundle's items in a live catalogue, with values of the declared types."""

    def __init__(self, live: LiveCatalogue, schema: AttributeSchema) -> None:
        self._live = live
        self._schema = schema
        self._applied: tuple[object, Mapping[str, AttributeType]] = (live.bundle, {})

    async def apply(self) -> None:
        """Bring the items in step with the schema. Nothing else may change the catalogue meanwhile."""
        live, wanted = self._live, (self._live.bundle, self._schema.declared)
        if wanted == self._applied:
            return
        changed = await asyncio.to_thread(self._retyped_items, wanted[1])
        if changed:
            live.swap(live.recommender, (), changed)
        live.declared_types = wanted[1]
        self._applied = wanted

    def _retyped_items(self, types: Mapping[str, AttributeType]) -> dict[int, ServedItem]:
        changed = {}
        for row, item in enumerate(self._live.bundle.items):
            served = self._live.items[row]
            attributes = retyped(item.attributes, types)
            if not served.is_posted and is_other(served.item.attributes, attributes):
                content = replace(served.item, attributes=attributes)
                changed[row] = replace(self._live.with_content(row, content, served.has_picture), is_posted=False)
        return changed
