"""Organizations and their templates. Called by the public routes."""

from dataclasses import replace

from api.domain import permissions, step_sequence
from api.domain.entities import Organization, Template, Workspace
from api.domain.permissions import Principal
from api.domain.step_sequence import FlowStep
from api.services.access import visible_organization
from api.services.errors import ConflictError, NotFoundError
from api.services.names import check_description, check_name
from api.services.ports import AlreadyExistsError, Listing, Page, Ports
from common import ids


async def create_organization(
    ports: Ports, principal: Principal, *, name: str, description: str = "", wanted_id: str = ""
) -> Organization:
    """An organization with the default templates. Only an admin may; the same id again answers with what is there."""
    if not permissions.may_administer(principal):
        raise NotFoundError("this resource")
    now = ports.clock()
    organization = Organization(
        id=wanted_id or ids.new_id("organization"),
        name=check_name(name),
        description=check_description(description),
        created_at=now,
    )
    async with ports.database.writing() as tx:
        if wanted_id and (known := await tx.get(Organization, wanted_id)):
            return known
        try:
            await tx.add(organization)
        except AlreadyExistsError as error:
            raise ConflictError(f"name: organization {name!r} exists already") from error
        for template_name, (text, flow) in step_sequence.DEFAULT_TEMPLATES.items():
            template = Template(
                id=ids.new_id("template"),
                organization_id=organization.id,
                name=template_name,
                description=text,
                tcl=tcl_of(flow),
                created_at=now,
            )
            await tx.add(template)
    return organization


async def change_organization(
    ports: Ports, principal: Principal, organization_id: str, *, name: str | None, description: str | None
) -> Organization:
    """Change what is given. Raises NotFoundError, BadInputError, ConflictError."""
    async with ports.database.writing() as tx:
        organization = await visible_organization(tx, principal, organization_id)
        if name is not None:
            organization = replace(organization, name=check_name(name))
        if description is not None:
            organization = replace(organization, description=check_description(description))
        try:
            await tx.save(organization)
        except AlreadyExistsError as error:
            raise ConflictError(f"name: organization {name!r} exists already") from error
    return organization


async def delete_organization(ports: Ports, principal: Principal, organization_id: str) -> None:
    """Delete an organization that has no workspace left. Only an admin may."""
    async with ports.database.writing() as tx:
        organization = await visible_organization(tx, principal, organization_id)
        if not permissions.may_administer(principal):
            raise NotFoundError(f"organization {organization_id}")
        if await tx.find(Workspace, organization_id=organization.id):
            raise ConflictError(f"organization {organization.name} still has workspaces; delete them first")
        await tx.remove(organization)


async def list_organizations(ports: Ports, principal: Principal, page: Page, name: str | None) -> Listing[Organization]:
    """The organizations that the caller may see."""
    equal: dict[str, str] = {} if name is None else {"name": name}
    if not principal.admin:
        equal["id"] = principal.organization_id
    async with ports.database.reading() as tx:
        return await tx.listing(Organization, page, equal)


async def get_organization(ports: Ports, principal: Principal, organization_id: str) -> Organization:
    """The organization, or NotFoundError."""
    async with ports.database.reading() as tx:
        return await visible_organization(tx, principal, organization_id)


async def list_templates(
    ports: Ports, principal: Principal, organization_id: str, page: Page, name: str | None
) -> Listing[Template]:
    """The organization's templates."""
    equal = {} if name is None else {"name": name}
    async with ports.database.reading() as tx:
        await visible_organization(tx, principal, organization_id)
        return await tx.listing(Template, page, {"organization_id": organization_id, **equal})


async def get_template(ports: Ports, principal: Principal, organization_id: str, template_id: str) -> Template:
    """The organization's template, or NotFoundError."""
    async with ports.database.reading() as tx:
        await visible_organization(tx, principal, organization_id)
        template = await tx.get(Template, template_id)
    if template is None or template.organization_id != organization_id:
        raise NotFoundError(f"template {template_id}")
    return template


def tcl_of(flow: tuple[FlowStep, ...]) -> str:
    """A flow as the YAML that Terrakube's users know."""
    lines = ["flow:"]
    for step in flow:
        lines += [f'- type: "{step.kind}"', f"  step: {step.number}", f'  name: "{step.name}"']
    return "\n".join(lines) + "\n"
