"""Format checks that only warn, and the plugins of imports."""

from tintype.errors import StartError
from tintype.formats import every_check
from tintype.plugins.base import Plugin, load_plugin
from tintype.plugins.convert import Convert
from tintype.plugins.decompress import Decompress
from tintype.plugins.inject import Inject
from tintype.settings import Settings


def create_tolerated_checks(settings: Settings) -> frozenset[str]:
    """Return the format checks that only write to the log; raises StartError for an unknown one."""
    names = settings.images.tolerated_format_checks
    known = every_check()
    unknown = sorted(set(names) - known - {"all"})
    if unknown:
        setting = settings.named("images.tolerated_format_checks")
        raise StartError(
            f"{setting}: there is no format check '{unknown[0]}'. There are: {', '.join(sorted(known))}."
        )
    return known if "all" in names else frozenset(names)


def create_plugins(settings: Settings) -> list[Plugin]:
    """Create the import plugins, in order; raises StartError for an unknown or repeated one."""
    if len(set(settings.imports.plugins)) < len(settings.imports.plugins):
        raise StartError(f"{settings.named('imports.plugins')}: a plugin is named twice.")
    try:
        return [_plugin(name, settings) for name in settings.imports.plugins]
    except StartError as error:
        raise StartError(f"{settings.named('imports.plugins')}: {error.message}") from None


def _plugin(name: str, settings: Settings) -> Plugin:
    chosen, limit = settings.imports, settings.images.size_limit
    match name:
        case "inject":
            return Inject(chosen.inject_properties, frozenset(chosen.inject_ignored_roles))
        case "decompress":
            return Decompress(limit, chosen.decompression_ratio)
        case "convert":
            return Convert(chosen.convert_to, limit=limit, seconds=chosen.convert_seconds)
        case _:
            return load_plugin(name)
