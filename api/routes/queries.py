"""Query strings decoded: paging, filters, include. Called by operations.py; resources subclass `PageQuery`.

What belongs to JSON:API's families (`filter[…]`, `page[…]`, `fields[…]`, `sort`, `include`) and is not offered
is refused; other names are left alone, for proxies and browsers add some.
"""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from api.routes.errors import RequestError, query_problems, refused
from api.services.ports import Page

_FAMILIES = ("filter", "page", "fields", "sort", "include")
_COMPARISON = re.compile(r"(?P<field>[A-Za-z.]{1,40})==(?P<quote>['\"]?)(?P<value>[^\x00-\x1f]{1,200})(?P=quote)")

#: The largest offset: what a JSON number holds exactly.
MAX_OFFSET = 2**53 - 1


class Query(BaseModel):
    """A query string's model; the fields' aliases are the parameters' names."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class PageQuery(Query):
    """The parameters of a list."""

    number: int = Field(1, alias="page[number]", ge=1, le=1_000_000, description="page, from 1")
    size: int = Field(20, alias="page[size]", ge=1, le=100, description="entries of a page")

    @property
    def page(self) -> Page:
        """The page for a service."""
        return Page(self.number, self.size)


def _name_comparison(text: str) -> str:
    return compared(text, "name")


#: `name==value` as text in, the value out.
NameFilter = Annotated[str, AfterValidator(_name_comparison)]


def compared(text: str, field: str) -> str:
    """The value of a comparison such as `name==x` or `name=='x'`; ValueError when it is another one."""
    match = _COMPARISON.fullmatch(text)
    if match is None or match["field"] != field:
        raise ValueError(f"must be {field}==VALUE")
    return match["value"]


def decoded_query(parameters: Mapping[str, str], model: type[Query]) -> Query:
    """The query as its model; RequestError 422 names the parameter that is wrong or not offered."""
    offered = {str(field.alias or name) for name, field in model.model_fields.items()}
    for name in parameters:
        if name.split("[")[0] in _FAMILIES and name not in offered:
            allowed = ", ".join(sorted(offered)) or "none"
            raise refused(422, f"{name[:100]}: is not offered here; offered: {allowed}", parameter=name[:100])
    try:
        return model.model_validate(dict(parameters))
    except ValidationError as error:
        raise RequestError(422, query_problems(error)) from None
