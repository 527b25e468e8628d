"""Variables of a workspace. Called by the public routes. A sensitive value is never answered."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from api.domain import launch_mode
from api.domain.entities import Variable, VariableCategory, Workspace
from api.domain.permissions import Principal
from api.services.access import visible_workspace
from api.services.errors import ConflictError, NotFoundError
from api.services.names import check_description
from api.services.ports import AlreadyExistsError, Listing, Page, Ports, Reading
from common import environment, ids
from common.errors import BadInputError


async def create_variable(
    ports: Ports,
    principal: Principal,
    organization_id: str,
    workspace_id: str,
    fields: Mapping[str, Any],
    wanted_id: str = "",
) -> Variable:
    """A variable with these entity fields (`key`, `value`, …). The same id again answers with what is there."""
    async with ports.database.writing() as tx:
        workspace = await visible_workspace(tx, principal, organization_id, workspace_id)
        if wanted_id and (known := await tx.get(Variable, wanted_id)):
            if known.workspace_id != workspace.id:
                raise ConflictError(f"id {wanted_id} is taken")
            return known
        bare = Variable(
            id=wanted_id or ids.new_id("variable"),
            workspace_id=workspace.id,
            key="",
            value="",
            category=VariableCategory.TERRAFORM,
            created_at=ports.clock(),
        )
        variable = checked(ports, replace(bare, **fields))
        try:
            await tx.add(variable)
        except AlreadyExistsError as error:
            raise ConflictError(f"key: {variable.key!r} exists already in category {variable.category}") from error
    return variable


async def change_variable(
    ports: Ports,
    principal: Principal,
    organization_id: str,
    workspace_id: str,
    variable_id: str,
    fields: Mapping[str, Any],
) -> Variable:
    """Change the given entity fields. A sensitive variable stays sensitive unless its value is given anew."""
    async with ports.database.writing() as tx:
        workspace = await visible_workspace(tx, principal, organization_id, workspace_id)
        variable = await _of(tx, workspace, variable_id)
        if variable.sensitive and fields.get("sensitive") is False and "value" not in fields:
            raise BadInputError("sensitive", "can only be switched off together with a new value")
        changed = checked(ports, replace(variable, **fields))
        try:
            await tx.save(changed)
        except AlreadyExistsError as error:
            raise ConflictError(f"key: {changed.key!r} exists already in category {changed.category}") from error
    return changed


async def delete_variable(
    ports: Ports, principal: Principal, organization_id: str, workspace_id: str, variable_id: str
) -> None:
    """Delete a variable. Raises NotFoundError."""
    async with ports.database.writing() as tx:
        workspace = await visible_workspace(tx, principal, organization_id, workspace_id)
        await tx.remove(await _of(tx, workspace, variable_id))


async def get_variable(
    ports: Ports, principal: Principal, organization_id: str, workspace_id: str, variable_id: str
) -> Variable:
    """The variable, or NotFoundError."""
    async with ports.database.reading() as tx:
        workspace = await visible_workspace(tx, principal, organization_id, workspace_id)
        return await _of(tx, workspace, variable_id)


async def list_variables(
    ports: Ports, principal: Principal, organization_id: str, workspace_id: str, page: Page
) -> Listing[Variable]:
    """The workspace's variables."""
    async with ports.database.reading() as tx:
        workspace = await visible_workspace(tx, principal, organization_id, workspace_id)
        return await tx.listing(Variable, page, {"workspace_id": workspace.id})


def checked(ports: Ports, variable: Variable) -> Variable:
    """The variable, or BadInputError naming the field; the value itself is never part of the message."""
    if not environment.is_name(variable.key) and (
        variable.category is VariableCategory.ENV or not variable.key.replace("-", "_").isidentifier()
    ):
        raise BadInputError("key", f"{variable.key!r} must be letters, digits and '_', not starting with a digit")
    if len(variable.key) > 255:
        raise BadInputError("key", "has more than 255 characters")
    size = len(variable.value.encode("utf-8", "surrogatepass"))
    if size > ports.rules.max_variable_bytes:
        raise BadInputError("value", f"has {size} bytes; at most {ports.rules.max_variable_bytes} are allowed")
    check_description(variable.description)
    if variable.category is VariableCategory.ENV:
        _check_environment(ports, variable)
    elif launch_mode.shapes_carrier(variable.key) and variable.key != "TF_PLUGIN_CACHE_DIR":
        raise BadInputError("category", f"{variable.key} counts only in category ENV")
    return variable


def _check_environment(ports: Ports, variable: Variable) -> None:
    if environment.is_reserved(variable.key):
        raise BadInputError("key", f"{variable.key} is reserved for the platform")
    if "\0" in variable.value:
        raise BadInputError("value", "holds a NUL, which no environment variable can hold")
    if variable.hcl:
        raise BadInputError("hcl", "counts only in category TERRAFORM")
    # Linux ends one environment string (name, '=', value, NUL) at 131,072 bytes
    if len(variable.key) + len(variable.value.encode("utf-8", "surrogatepass")) + 2 > 131_072:
        raise BadInputError("value", "is too large for an environment variable: at most 131,072 bytes with its name")
    if variable.key == environment.TOGGLE:
        _check_toggle(ports, variable.value)


def _check_toggle(ports: Ports, value: str) -> None:
    try:
        launch_mode.check_toggle(
            value,
            kubernetes_enabled=ports.rules.kubernetes_enabled,
            kubernetes_available=launch_mode.KUBERNETES in ports.launchers,
        )
    except BadInputError as error:  # its field is the variable's key; the caller's field is the value
        raise BadInputError("value", f"of {error}") from error


async def _of(tx: Reading, workspace: Workspace, variable_id: str) -> Variable:
    variable = await tx.get(Variable, variable_id)
    if variable is None or variable.workspace_id != workspace.id:
        raise NotFoundError(f"variable {variable_id}")
    return variable
