"""The table of routes, and the same as a tree of path segments, in which `app.py` looks up a path."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec
from starlette.responses import Response

from tintype.api.call import Call
from tintype.errors import NotFound

Endpoint = Callable[[Call], Awaitable[Response]]
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class Route(msgspec.Struct, frozen=True):
    """The methods of a path. An open route needs no token."""

    methods: dict[str, Endpoint]
    open: bool = False
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Headers of every response, error responses included."""
    options: dict[str, str] = {}
    """Headers of the response to OPTIONS."""

    @property
    def allow(self) -> str:
        """Return the value of the `Allow` header."""
        return ", ".join(method for method in _METHODS if method in self.methods)


NOT_FOUND: Final = "The resource could not be found."
READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Node:
    """The possible continuations after one segment of a path."""

    def __init__(self) -> None:
        self.children: dict[str, Node] = {}
        """Child nodes by literal segment; "" is the trailing slash of a route that has one."""
        self.wild: Node | None = None
        """The child node for a parameter."""
        self.name = ""
        """The name of the parameter that leads to this node."""
        self.spans = False
        """Whether that parameter may contain slashes, and so span several segments."""
        self.route: Route | None = None
        self.path = ""
        """The path as in the table of routes."""

    def more(self, rest: Sequence[str]) -> int:
        """Return how many segments of `rest` belong to the parameter that leads to this node.

        At a leaf all of them; otherwise those before the first that is empty or a known child.
        """
        if not self.children:
            return len(rest)
        known = (place for place, segment in enumerate(rest) if not segment or segment in self.children)
        return next(known, len(rest))

    def ending(self, rest: Sequence[str], method: str) -> "Node | None":
        """Return the route that ends in a slash, or None if the empty segment can be skipped.

        Raises NotFound if skipping might change which resource is meant: `DELETE …/tags/` comes from a
        client with an empty tag name, and `DELETE …/namespaces//tags` from one with an empty namespace.
        """
        if len(rest) == 1 and "" in self.children:
            return self.children[""]
        following = next(filter(None, rest), None)
        if following is None and method in READS:
            refused = self.wild is not None  # an image id must not be empty: OpenStack's own tests check this
        elif method in READS:
            refused = False
        elif following is None:
            refused = bool(self.children) or self.wild is not None
        else:
            refused = self.wild is not None and following in self.wild.children
        if refused:
            raise NotFound("The path has an empty segment in the place of a name. " + NOT_FOUND)
        return None


def build_tree(routes: Mapping[str, Route], minor_versions: Iterable[int]) -> Node:
    """Return the tree of a table of routes; `/v2.N` is an alias of `/v2` for each minor version.

    A parameter in braces spans one segment; `{name...}` may span several.
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
