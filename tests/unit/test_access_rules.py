"""Access rules: which requests a rule's service, method and path template cover."""

import pytest

from tintype.domain.access_rules import AccessRule, allowed, dispatched_path


@pytest.mark.parametrize(
    ("template", "path", "covered"),
    [
        ("/v2/images", "/v2/images", True),
        ("/v2/images", "/v2/images/", False),
        ("/v2/images", "/v2/images/x", False),
        ("/v2/images", "/v2/image", False),
        ("/v2/images/{id}", "/v2/images/x", True),
        ("/v2/images/{image_id}", "/v2/images/x", True),
        ("/v2/images/{id}", "/v2/images", False),
        ("/v2/images/{id}", "/v2/images/", False),
        ("/v2/images/{id}", "/v2/images/x/file", False),
        ("/v2/images/*", "/v2/images/x", True),
        ("/v2/images/*", "/v2/images/x/file", False),
        ("/v2/images/*/file", "/v2/images/x/file", True),
        ("/v2/images/*/file", "/v2/images/x/stage", False),
        ("/v2/images/*/file", "/v2/images/x/y/file", False),
        ("/v2/images/a*", "/v2/images/abc", True),
        ("/v2/images/a*", "/v2/images/bcd", False),
        ("/v2/images/**", "/v2/images/x", True),
        ("/v2/images/**", "/v2/images/x/members/y", True),
        ("/v2/images/**", "/v2/images", False),
        ("/v2/**/file", "/v2/images/x/file", True),
        ("**", "/v2/images/x/file", True),
        ("/**", "/v2/images/x/file", True),
        ("/v2/schemas/image", "/v2/schemas/images", False),
        ("/v2.images", "/v2/images", False),  # a dot is a dot
        ("/v2/images/(x|y)", "/v2/images/x", False),  # and nothing else is a regular expression
        ("/v2/images/{id", "/v2/images/x", False),
        ("/v2/images/x%2Fy", "/v2/images/x%2Fy", True),
        ("/v2/images/x y", "/v2/images/x%20y", True),
        ("", "/v2/images", False),
    ],
)
def test_path_templates(template: str, path: str, covered: bool) -> None:
    """Braces and one star stand for a segment, two stars for any rest; the whole path must fit."""
    rule = AccessRule("image", "GET", template)
    assert allowed([rule], "GET", path) is covered


@pytest.mark.parametrize(
    ("service", "method", "covered"),
    [
        ("image", "GET", True),
        ("image", "POST", False),
        ("image", "HEAD", False),
        ("image", "get", False),
        ("identity", "GET", False),
        ("", "GET", False),
    ],
)
def test_services_and_methods(service: str, method: str, covered: bool) -> None:
    """A rule of another service or method covers nothing, and of several rules one is enough."""
    rule = AccessRule(service, method, "/v2/images")
    assert allowed([rule], "GET", "/v2/images") is covered
    assert allowed([AccessRule("compute", "GET", "**"), rule], "GET", "/v2/images") is covered
    assert not allowed([], "GET", "/v2/images")


def test_a_parameter_stays_one_segment() -> None:
    """Whatever a client put into a parameter, it cannot pass for more of the path than it is."""
    path = dispatched_path("/v2/images/{id}/tags/{tag}", {"id": "x", "tag": "../file"})
    assert path == "/v2/images/x/tags/..%2Ffile"
    assert allowed([AccessRule("image", "GET", "/v2/images/*/tags/*")], "GET", path)
    assert not allowed([AccessRule("image", "GET", "/v2/images/*/tags/../file")], "GET", path)


def test_rules_that_many_wildcards_make_are_matched_in_linear_time() -> None:
    """Users write rules: one that takes a backtracking matcher for ever must not stop the service."""
    rule = AccessRule("image", "GET", "/v2/images/*/tags/" + "**a" * 12 + "**b")
    assert not allowed([rule], "GET", "/v2/images/i/tags/" + "a" * 8000)
    assert allowed([rule], "GET", "/v2/images/i/tags/" + "a" * 8000 + "b")
