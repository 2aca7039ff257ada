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

IMAGES: Final = (
    Rule("context_is_admin", "role:admin", "Callers with all rights."),
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
    Rule(
        "download_from_store",
        f"{_ADMIN} or (role:member and {_OWN_OR_OPEN})",
        "Choose the store from which an image's data is read.",
    ),
    Rule("copy_image", _ADMIN, "Copy an image to more stores."),
    Rule("get_image_location", _PROJECT_READER, "Needed as well to delete an image's copy in a store."),
    Rule("set_image_location", _PROJECT_MEMBER, "Add locations to an image, if enabled."),
    Rule("delete_image_location", _ADMIN, "Delete an image's copy in a store."),
    Rule(
        "add_image_location",
        f"rule:service_api or ({_MEMBER} and project_id:%(owner)s)",
        "Add a location, whose data exists already, to a queued image.",
    ),
    Rule("fetch_image_location", "rule:service_api", "Show where an image's data is."),
    Rule("tasks_api_access", _ADMIN, "See tasks, and import by them."),
    Rule("manage_image_cache", _ADMIN, "Manage a node's cache by the older routes."),
    Rule("cache_image", _ADMIN, "Queue an image for a node's cache."),
    Rule("cache_list", _ADMIN, "List the images in a node's cache."),
    Rule("cache_delete", _ADMIN, "Delete images from a node's cache."),
    Rule("cache_clean", _ADMIN, "Delete incomplete images from a node's cache."),
    Rule("cache_prune", _ADMIN, "Prune a node's cache to its limit."),
    Rule("list_cached_nodes", _ADMIN, "List the nodes that have an image cached."),
    Rule("deactivate", _PROJECT_MEMBER, "Deny access to an image's data."),
    Rule("reactivate", _PROJECT_MEMBER, "Allow access to an image's data again."),
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
    Rule("get_health", f"{_ADMIN} or rule:service_api", "See the health of each part of the service."),
    Rule("get_metrics", f"{_ADMIN} or rule:service_api", "Read the service's metrics."),
    Rule("stores_info_detail", f"{_ADMIN} or rule:service_api", "See how the stores are set up."),
)

_NAMESPACE_READER: Final = (
    f"{_ADMIN} or (role:reader and (project_id:%(project_id)s or 'public':%(visibility)s))"
)
_METADEF_ADMIN: Final = "rule:metadef_admin"

METADEFS: Final = (
    Rule("metadef_default", "", "Accepted from older policy files."),
    Rule("metadef_admin", _ADMIN, "Callers who may write metadata definitions."),
    Rule("get_metadef_namespace", _NAMESPACE_READER, "Show a namespace of metadata definitions."),
    Rule("get_metadef_namespaces", _PROJECT_READER, "List namespaces."),
    Rule("modify_metadef_namespace", _METADEF_ADMIN, "Change a namespace."),
    Rule("add_metadef_namespace", _METADEF_ADMIN, "Create a namespace."),
    Rule("delete_metadef_namespace", _METADEF_ADMIN, "Delete a namespace, or all of one kind in it."),
    Rule("get_metadef_object", _NAMESPACE_READER, "Show an object of a namespace."),
    Rule("get_metadef_objects", _NAMESPACE_READER, "List the objects of a namespace."),
    Rule("modify_metadef_object", _METADEF_ADMIN, "Change an object."),
    Rule("add_metadef_object", _METADEF_ADMIN, "Add an object to a namespace."),
    Rule("delete_metadef_object", _METADEF_ADMIN, "Delete an object."),
    Rule("list_metadef_resource_types", _NAMESPACE_READER, "List types of resources."),
    Rule("get_metadef_resource_type", _NAMESPACE_READER, "See the resource types of a namespace."),
    Rule("add_metadef_resource_type_association", _METADEF_ADMIN, "Associate a namespace with a type."),
    Rule("remove_metadef_resource_type_association", _METADEF_ADMIN, "Remove an association with a type."),
    Rule("get_metadef_property", _NAMESPACE_READER, "Show a property of a namespace."),
    Rule("get_metadef_properties", _NAMESPACE_READER, "List the properties of a namespace."),
    Rule("modify_metadef_property", _METADEF_ADMIN, "Change a property."),
    Rule("add_metadef_property", _METADEF_ADMIN, "Add a property to a namespace."),
    Rule("remove_metadef_property", _METADEF_ADMIN, "Delete a property."),
    Rule("get_metadef_tag", _NAMESPACE_READER, "Show a tag of a namespace."),
    Rule("get_metadef_tags", _NAMESPACE_READER, "List the tags of a namespace."),
    Rule("modify_metadef_tag", _METADEF_ADMIN, "Rename a tag."),
    Rule("add_metadef_tag", _METADEF_ADMIN, "Add a tag to a namespace."),
    Rule("add_metadef_tags", _METADEF_ADMIN, "Add several tags to a namespace."),
    Rule("delete_metadef_tag", _METADEF_ADMIN, "Delete a tag."),
    Rule("delete_metadef_tags", _METADEF_ADMIN, "Delete all tags of a namespace."),
)

GLANCES: Final = {
    "default": "",
    **dict.fromkeys(("get_task", "get_tasks", "add_task", "modify_task"), "rule:default"),
}
"""Glance's rules for routes that are not served here, which policy files may contain or refer to."""

OF_VISIBILITY: Final = {"public": "publicize_image", "community": "communitize_image"}
"""The rule that guards making an image this visible; other visibilities have none."""

RULES: Final = (*IMAGES, *METADEFS)
SERVED: Final = {rule.name: rule.default for rule in RULES}
DEFAULTS: Final = GLANCES | SERVED
