"""The page of a report: a template that escapes every text, a style, and a script beside plotly's own."""

import importlib.util
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Template


def render(page: Mapping[str, Any], figures: Any) -> str:
    """Return the page.

    Args:
        page: What the template needs.
        figures: What the script draws; without any, the page has no script.
    """
    from markupsafe import Markup

    trusted = {"style": _file("report.css"), "figures": safe_json(figures), "plotly": "", "script": ""}
    if any(figures.values()):
        trusted |= {"plotly": _plotly(), "script": _file("report.js")}
    return _template().render(page, **{key: Markup(text) for key, text in trusted.items()})


def safe_json(content: Any) -> str:
    r"""Return JSON that no HTML can end, whatever texts of the user it holds.

    Args:
        content: Plain values.

    Example:
        >>> safe_json({"name": "</script>"})
        '{"name":"\\u003c/script\\u003e"}'
    """
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)  # ASCII, so U+2028 is escaped
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


@cache
def _plotly() -> str:
    """Return plotly's own script, without importing plotly."""
    found = importlib.util.find_spec("plotly")
    assert found is not None
    assert found.submodule_search_locations
    return (Path(found.submodule_search_locations[0]) / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


@cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined

    settings: dict[str, Any] = {"autoescape": True, "undefined": StrictUndefined}
    return Environment(trim_blocks=True, lstrip_blocks=True, **settings).from_string(_file("report.html"))
