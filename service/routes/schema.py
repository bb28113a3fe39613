"""/schema: the types of attributes."""

from fastapi import APIRouter

from clairo_core.attributes import AttributeType
from service.http.body_route import BodyRoute
from service.http.openapi import problem_answers
from service.items.attribute_schema import AttributeSchema
from service.routes.parts import ReadyParts
from service.schemas.attribute_schema import KnownType, PutSchemaAnswer, PutSchemaBody, SchemaAnswer

router = APIRouter(tags=["items"], route_class=BodyRoute)

EXAMPLES = {
    "types of a shop": {
        "value": {
            "attributes": {
                "in_stock": {"type": "boolean"},
                "sizes": {"type": "list"},
                "department": {"type": "path"},
            }
        }
    }
}


@router.get(
    "/schema",
    operation_id="get_schema",
    summary="Types of attributes",
    responses=problem_answers(503),
)
async def get_schema(parts: ReadyParts) -> SchemaAnswer:
    """The types of all attributes: declared, or fixed by the first value of a name, of the bundle's items too."""
    await parts.schema.refresh()
    return SchemaAnswer(attributes=known_types(parts.schema))


@router.put(
    "/schema",
    operation_id="put_schema",
    summary="Declare types of attributes",
    responses=problem_answers(400, 409, 413, 422, 429, 503),
    openapi_extra={"requestBody": {"content": {"application/json": {"examples": EXAMPLES}}}},
)
async def put_schema(body: PutSchemaBody, parts: ReadyParts) -> PutSchemaAnswer:
    """Declare exactly these types. A name left out keeps its type, undeclared.

    From then on an item with another type of value is a 422, and so is a filter that cannot fit the type. Stored values
    that can be read as the new type are converted, in one transaction: the text `18.00` to a number, `S, M` to a list.
    If one cannot, nothing changes: a 409 with its name, how many there are, and one of them. Every process follows
    within two seconds.
    """
    types = {name: AttributeType(declared.type) for name, declared in body.attributes.items()}
    num_converted = await parts.served.ingestion.declare_types(types)
    return PutSchemaAnswer(attributes=known_types(parts.schema), num_converted_items=num_converted)


def known_types(schema: AttributeSchema) -> dict[str, KnownType]:
    """All types as JSON, by name."""
    return {
        name: KnownType(type=fixed.type.value, is_declared=fixed.is_declared) for name, fixed in schema.types.items()
    }
