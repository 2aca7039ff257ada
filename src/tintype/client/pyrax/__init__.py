"""The image interface of pyrax: `ImageClient`, its managers and resources, with its broken methods fixed.

    from tintype.client.pyrax import ImageClient

    images = ImageClient(cloud="name")       # or endpoint= and token=, or session=
    for image in images.list(visibility="public"):
        print(image.name)

A thin facade over `tintype.client.operations`; `docs/reference/client-names.md` maps every name.
"""

from tintype.client.pyrax import exceptions
from tintype.client.pyrax.client import ImageClient, assure_image
from tintype.client.pyrax.managers import (
    ImageManager,
    ImageMemberManager,
    ImageTagManager,
    ImageTasksManager,
    JSONSchemaManager,
)
from tintype.client.pyrax.resources import Image, ImageMember, ImageTag, ImageTask

__all__ = [
    "Image",
    "ImageClient",
    "ImageManager",
    "ImageMember",
    "ImageMemberManager",
    "ImageTag",
    "ImageTagManager",
    "ImageTask",
    "ImageTasksManager",
    "JSONSchemaManager",
    "assure_image",
    "exceptions",
]
