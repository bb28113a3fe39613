"""The types of attributes as this process knows them, and the bundle's items read by them.

The store decides (`service.store.attribute_types`); this is its newest state, read again every second. A bundle's items
are not in the store: where a type is declared, their values are shown and filtered by as that type.
Start at `AttributeSchema`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice

import numpy as np

from clairo_core.attributes import AttributeType
from service.live_catalogue import LiveCatalogue
from service.served_items import ServedItem, ServedItems
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
        values_of = {name: given.values for name, given in live.bundle.items.attributes.items()}
        first_uses = await asyncio.to_thread(first_uses_of, values_of)
        await self._store.fix(first_uses | live.bundle.manifest.types_of_attributes)
        await self.refresh()

    async def declare(self, types: Mapping[str, AttributeType], live: LiveCatalogue) -> int:
        """Declare exactly these types. Return the number of stored items whose values were converted.

        Raises:
            StoredValuesError: a value of an item, stored or the bundle's, cannot be read as its new type.
            StoreError: nothing was changed.
        """
        # Read in the thread, one by one.
        of_bundle = (
            (served.item.item_id, served.item.attributes)
            for served in islice(live.items, len(live.bundle.items))
            if not served.is_posted
        )
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
            live.swap(live.recommender, (), changed, wanted[1])
        self._applied = wanted

    def become(self, other: "TypedBundleItems") -> None:
        """Take over what `other` has applied to items that are in this live catalogue now."""
        self._applied = other._applied

    def _retyped_items(self, types: Mapping[str, AttributeType]) -> dict[int, ServedItem]:
        bundle, items = self._live.bundle, self._live.items
        rows = set(items.rows_changed_since(ServedItems(bundle)))
        for name, given in bundle.items.attributes.items():
            is_read_otherwise = [is_other({name: value}, retyped({name: value}, types)) for value in given.values]
            rows.update(given.rows[np.array(is_read_otherwise)[given.codes]].tolist())
        changed = {}
        for row in sorted(rows):
            if row < len(bundle.items) and not (served := items[row]).is_posted:
                attributes = retyped(bundle.items[row].attributes, types)
                if is_other(served.item.attributes, attributes):
                    changed[row] = replace(served, item=replace(served.item, attributes=attributes))
        return changed
