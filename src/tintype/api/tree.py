"""The table of routes as a tree of path segments, in which a request's path is looked up.

The walk down the tree is in `app.py`. Here is how the tree is built, and what its edges mean: the
names of API versions, empty segments, and parameters that may have slashes: the official clients
send the names of tags, members and metadata definitions as they are.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tintype.api.route import Route
from tintype.errors import NotFound

NOT_FOUND: Final = "The resource could not be found."
READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Node:
    """What may follow one segment of a path."""

    def __init__(self) -> None:
        self.children: dict[str, Node] = {}
        """By the literal segment that leads to it; "" is a slash at the end that a route has itself."""
        self.wild: Node | None = None
        """Where a parameter leads."""
        self.name = ""
        """Of the parameter that leads here."""
        self.spans = False
        """Whether that parameter may have slashes, and so take several segments."""
        self.route: Route | None = None
        self.path = ""
        """As in the table of routes."""

    def more(self, rest: Sequence[str]) -> int:
        """Return how many segments of `rest` still belong to the parameter that leads here.

        All of them at a leaf; else those before one that is empty, or that the tree knows.
        """
        if not self.children:
            return len(rest)
        known = (place for place, segment in enumerate(rest) if not segment or segment in self.children)
        return next(known, len(rest))

    def ending(self, rest: Sequence[str], method: str) -> "Node | None":
        """Decide what an empty segment means: the route that ends in a slash, nothing, or 404.

        Returns None where empty segments can be skipped. Raises NotFound where that might turn a
        request for one thing into a request for another, or for all: `DELETE …/tags/` comes from a
        client whose tag has no name, and `DELETE …/namespaces//tags` from one whose namespace has none.
        """
        if len(rest) == 1 and "" in self.children:
            return self.children[""]
        following = next(filter(None, rest), None)
        if following is None and method in READS:
            refused = self.wild is not None  # an image without an id is none: OpenStack's own tests hold that
        elif method in READS:
            refused = False
        elif following is None:
            refused = bool(self.children) or self.wild is not None
        else:
            refused = self.wild is not None and following in self.wild.children
        if refused:
            raise NotFound("The path has an empty segment where a name may stand. " + NOT_FOUND)
        return None


def build(routes: Mapping[str, Route], minor_versions: Iterable[int]) -> Node:
    """Return the tree of a table of routes, in which `/v2.N` is `/v2` for each minor version given.

    A parameter in braces takes one segment; one that is written `{name...}` may take several.
    """
    root = Node()
    for path, route in routes.items():
        node = root
        for part in path.removeprefix("/").split("/"):
            if part.startswith("{"):
                node.wild = node.wild or Node()
                node = node.wild
                name = part.strip("{}")
                node.name, node.spans = name.removesuffix("..."), name.endswith("...")
            else:
                node = node.children.setdefault(part, Node())
        node.route, node.path = route, path.replace("...}", "}")
    for minor in minor_versions:
        root.children[f"v2.{minor}"] = root.children["v2"]
    return root
