"""Who may do what: every rule with its default, as in Glance.

The names and defaults are those that operators know from Glance's policy; `docs/reference/policy.md`
is generated from this table.
"""

from typing import Final

import msgspec


class Rule(msgspec.Struct, frozen=True):
    """A named rule, its default expression, and what it guards."""

    name: str
    default: str
    description: str


_ADMIN: Final = "rule:context_is_admin"
_MEMBER: Final = "role:member and project_id:%(project_id)s"
_READER: Final = "role:reader and project_id:%(project_id)s"
_OPEN: Final = "project_id:%(member_id)s or 'community':%(visibility)s or 'public':%(visibility)s"
_OWN_OR_OPEN: Final = f"(project_id:%(project_id)s or {_OPEN} or 'shared':%(visibility)s)"
_PROJECT_MEMBER: Final = f"{_ADMIN} or ({_MEMBER})"
_PROJECT_READER: Final = f"{_ADMIN} or ({_READER})"

RULES: Final = (
    Rule("context_is_admin", "role:admin", "Who sees and does everything."),
    Rule("service_api", "role:service or role:admin", "Other services of the cloud."),
    Rule("add_image", f"{_ADMIN} or ({_MEMBER} and project_id:%(owner)s)", "Create an image."),
    Rule("get_image", f"{_ADMIN} or (role:reader and {_OWN_OR_OPEN})", "Show an image."),
    Rule("get_images", _PROJECT_READER, "List images."),
    Rule("modify_image", _PROJECT_MEMBER, "Change an image, its properties and tags."),
    Rule("delete_image", _PROJECT_MEMBER, "Delete an image."),
    Rule("publicize_image", _ADMIN, "Make an image public."),
    Rule("communitize_image", _PROJECT_MEMBER, "Offer an image to the community."),
    Rule("upload_image", _PROJECT_MEMBER, "Upload an image's data."),
    Rule("download_image", f"{_ADMIN} or (role:member and {_OWN_OR_OPEN})", "Download an image's data."),
    Rule("deactivate", _PROJECT_MEMBER, "Close access to an image's data."),
    Rule("reactivate", _PROJECT_MEMBER, "Open access to an image's data again."),
    Rule("add_member", _PROJECT_MEMBER, "Share an image with a project."),
    Rule("delete_member", _PROJECT_MEMBER, "End the sharing of an image with a project."),
    Rule(
        "get_member",
        f"{_ADMIN} or role:reader and (project_id:%(project_id)s or project_id:%(member_id)s)",
        "Show with whom an image is shared.",
    ),
    Rule(
        "get_members",
        f"{_ADMIN} or role:reader and (project_id:%(project_id)s or project_id:%(member_id)s)",
        "List with whom an image is shared.",
    ),
    Rule(
        "modify_member",
        f"{_ADMIN} or (role:member and project_id:%(member_id)s)",
        "Accept or reject an image that is shared with one's project.",
    ),
    Rule("get_health", f"{_ADMIN} or rule:service_api", "See how each part of the service is."),
    Rule("get_metrics", f"{_ADMIN} or rule:service_api", "See the service's numbers."),
    Rule("stores_info_detail", f"{_ADMIN} or rule:service_api", "See how the stores are set up."),
)

_NAMESPACE_READER: Final = (
    f"{_ADMIN} or (role:reader and (project_id:%(project_id)s or 'public':%(visibility)s))"
)
_OF_METADEFS: Final = ("namespace", "object", "property", "tag")

GLANCES: Final = {
    "default": "",
    "download_from_store": f"{_ADMIN} or (role:member and {_OWN_OR_OPEN})",
    "get_image_location": _PROJECT_READER,
    "set_image_location": _PROJECT_MEMBER,
    "add_image_location": f"rule:service_api or ({_MEMBER} and project_id:%(owner)s)",
    "fetch_image_location": "rule:service_api",
    **dict.fromkeys(("get_task", "get_tasks", "add_task", "modify_task"), "rule:default"),
    **dict.fromkeys(("delete_image_location", "copy_image", "tasks_api_access", "list_cached_nodes"), _ADMIN),
    **dict.fromkeys(("manage_image_cache", "cache_image", "cache_list", "cache_delete"), _ADMIN),
    **dict.fromkeys(("cache_clean", "cache_prune", "metadef_admin"), _ADMIN),
    "metadef_default": "",
    "get_metadef_namespaces": _PROJECT_READER,
    **{f"get_metadef_{noun}": _NAMESPACE_READER for noun in (*_OF_METADEFS, "resource_type")},
    **{f"get_metadef_{noun}": _NAMESPACE_READER for noun in ("objects", "properties", "tags")},
    "list_metadef_resource_types": _NAMESPACE_READER,
    **{f"{verb}_metadef_{noun}": "rule:metadef_admin" for verb in ("add", "modify") for noun in _OF_METADEFS},
    **{f"delete_metadef_{noun}": "rule:metadef_admin" for noun in ("namespace", "object", "tag", "tags")},
    **{f"{verb}_metadef_resource_type_association": "rule:metadef_admin" for verb in ("add", "remove")},
    **dict.fromkeys(("add_metadef_tags", "remove_metadef_property"), "rule:metadef_admin"),
}
"""Glance's rules of what is not served here: an operator's file may have them, or build on them."""

SERVED: Final = {rule.name: rule.default for rule in RULES}
DEFAULTS: Final = GLANCES | SERVED
