"""Client commands: each gets a client, logged in as the caller, and returns the result to print."""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from tintype.cli import output
from tintype.cli.formats import Format
from tintype.cli.options import Options
from tintype.client.blocking.client import Client
from tintype.client.errors import ClientError

Cloud = Annotated[
    str | None, typer.Option("--cloud", "--os-cloud", help="A cloud of clouds.yaml. [default: $OS_CLOUD]")
]
Form = Annotated[Format, typer.Option("--format", "-f", help="Output format. JSON and YAML have all fields.")]
Columns = Annotated[
    list[str] | None, typer.Option("--column", "-c", help="Print only this column; can be repeated.")
]


def command(
    app: typer.Typer,
    name: str,
    *columns: str,
    prints: bool = True,
    attributes: Mapping[str, Any] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that makes a command of a function that takes a client and returns the result.

    `columns` are the default columns of tables. Commands that print have `--format` and `--column`; all have
    `--cloud`. `attributes` are shared options, passed to the function as a dict of those that are set.
    """
    shared = attributes or {}
    extra: dict[str, tuple[Any, Any]] = {"cloud": (Cloud, None)}
    if prints:
        extra |= {"form": (Form, Format.table), "column": (Columns, None)}

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(function, eval_str=True)
        own = [each for each in signature.parameters.values() if each.name not in {"client", "attributes"}]

        def run(context: typer.Context, **given: Any) -> None:
            options = context.find_root().obj or Options()
            common = {each: given.pop(each) for each in extra}
            if shared:
                values = {each: given.pop(each) for each in shared}
                given["attributes"] = {each: value for each, value in values.items() if value is not None}
            with _report_bugs(), _client(options, common["cloud"]) as client:
                result = function(client, **given)
                if prints:
                    output.show(result, common["form"], common["column"] or (), columns)

        parameters = [
            _parameter("context", typer.Context),
            *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own),
            *(_parameter(each, kind, None) for each, kind in shared.items()),
            *(_parameter(each, kind, default) for each, (kind, default) in extra.items()),
        ]
        run.__doc__, run.__name__ = function.__doc__, function.__name__
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        app.command(name)(run)
        return function

    return decorate


@contextlib.contextmanager
def _report_bugs() -> Iterator[None]:
    """Report a bug in the client on one line; `--debug` shows the traceback."""
    try:
        yield
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, UnicodeEncodeError):
            raise
        raise ClientError(
            f"{type(error).__name__}: {error}. This is a fault of the client; 'tintype --debug' shows where."
        ) from error


def _parameter(name: str, kind: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)


def _client(options: Options, cloud: str | None) -> Client:
    return Client(
        cloud=cloud or options.cloud,
        endpoint=options.endpoint,
        token=options.token,
        region_name=options.region,
        interface=options.interface,
        verify=options.verify,
        timeout=options.timeout,
    )


def pairs(given: Sequence[str] | None, option: str = "--property") -> dict[str, str]:
    """Parse `KEY=VALUE` options; raises typer.BadParameter for a value without `=`."""
    found = {}
    for each in given or ():
        name, sign, value = each.partition("=")
        if not sign or not name:
            raise typer.BadParameter(f"{each!r} does not have the form KEY=VALUE.", param_hint=option)
        found[name] = value
    return found
