"""Ids in the paths of routes: any text, slashes and line breaks included."""

from starlette.convertors import PathConvertor, register_url_convertor

CONVERTOR = "id"


class IdConvertor(PathConvertor):
    """Starlette's `path` stops at line breaks, which ids of users may have."""

    regex = "(?s:.*)"


register_url_convertor(CONVERTOR, IdConvertor())


def id_in_path(name: str) -> str:
    """The part of a route's path that takes an id.

    >>> "/items/" + id_in_path("item_id")
    '/items/{item_id:id}'
    """
    return f"{{{name}:{CONVERTOR}}}"
