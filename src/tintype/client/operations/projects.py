"""Projects in the identity service; `identity_url` is its root."""

from tintype.client.models import Project
from tintype.client.requests import Request, many, path, query, reading_of


def get(identity_url: str, project_id: str) -> Request[Project]:
    """Return a project by its id."""
    read = reading_of(Project, "project")
    return Request("GET", path("v3", "projects", project_id), read, base=identity_url)


def named(identity_url: str, name: str) -> Request[list[Project]]:
    """List the projects with a name, in all domains; many identity services allow only admins to do so."""
    asked = query({"name": name})
    return Request("GET", "/v3/projects", many(Project, "projects"), asked, base=identity_url)


def own(identity_url: str) -> Request[list[Project]]:
    """List the projects that the caller may work in."""
    return Request("GET", "/v3/auth/projects", many(Project, "projects"), base=identity_url)
