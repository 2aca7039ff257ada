"""`tintype cache`: the cache of a node."""

import enum
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from tintype.cli.image_options import Named, Several
from tintype.cli.options import group
from tintype.cli.session import command
from tintype.client.blocking.client import Client
from tintype.client.models import Pruned

app = group("The cache of a node.")


class Target(enum.StrEnum):
    """What to clear."""

    both = "both"
    cache = "cache"
    queue = "queue"


@command(app, "list", "image_id", "state", "size", "hits")
def list_(client: Client) -> Iterator[dict[str, Any]]:
    """List cached and queued images."""
    state = client.cache.show()
    for each in state.cached_images:
        yield {"image_id": each.image_id, "state": "cached", "size": each.size, "hits": each.hits}
    for image_id in state.queued_images:
        yield {"image_id": image_id, "state": "queued"}


@command(app, "queue", prints=False)
def queue(client: Client, images: Several) -> None:
    """Queue images for caching."""
    for image in images:
        client.cache.queue(client.images.find(image).id)


@command(app, "delete", prints=False)
def delete(client: Client, images: Several) -> None:
    """Delete images from the cache and its queue."""
    for image in images:
        client.cache.delete(client.images.find(image).id)


@command(app, "clear", prints=False)
def clear(
    client: Client, target: Annotated[Target, typer.Option(help="What to clear.")] = Target.both
) -> None:
    """Delete every image from the cache, its queue, or both."""
    client.cache.clear(target.value)


@command(app, "clean", prints=False)
def clean(client: Client) -> None:
    """Delete stalled fills, and data that belongs to no image."""
    client.cache.clean()


@command(app, "prune")
def prune(client: Client) -> Pruned:
    """Evict images until the cache is within its limit."""
    return client.cache.prune()


@command(app, "nodes")
def nodes(client: Client, image: Named) -> list[dict[str, str]]:
    """List the nodes that have an image cached."""
    return [{"node": node} for node in client.cache.nodes(client.images.find(image).id)]
