"""Writes what the code says of itself: `app/__init__.pyi`, for editors and type checkers, and `docs/api.md`, for readers.

`make reference` runs it; a test compares both files with the code.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import app  # noqa: E402
import data  # noqa: E402
import models  # noqa: E402
from app.config.signatures import VERBOSE, VERBOSE_TEXT, Keyword, keywords_of  # noqa: E402
from app.verbs import VERBS  # noqa: E402

STUB, PAGE = ROOT / "app" / "__init__.pyi", ROOT / "docs" / "api.md"

_STUB_HEAD = '''"""What `app` offers, with the type and default of every option. Written by `make reference`."""

from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

'''
_ANNOTATIONS = [("app.prediction.inputs", "ImageInputs")]  # modules and names of types in signatures
_PAGE_HEAD = """# The library

This page answers what the functions and classes of Graft take and return. `make reference` writes it from the code.

```python
from app import train

run = train("my_images", backbone="mobilenet_v2")
```

Every function takes `verbose=0` (prints nothing), `1` (bars, the default) or `2` (lines in place of bars). Bad input raises
`UsageError`, `DataError` or `ModelError` with one sentence that says what to do, a failed check of an exported file
`GateError`, and an interrupted run `Interrupted`; all are in `app`. Lists are taken where a sequence is meant, and
`pathlib.Path` where a path is.
"""


def stub() -> str:
    """Return the text of `app/__init__.pyi`."""
    functions = {row.function_name.rpartition(".")[2]: row for row in VERBS.values()}
    classes = [name for name in app.__all__ if name not in functions]
    public = [(app._MODULES[name], f"{name} as {name}") for name in classes]
    imports = "".join(f"from {module} import {name}\n" for module, name in sorted([*public, *_ANNOTATIONS]))
    verbs = "".join(
        _stub_of(getattr(app, name), keywords_of(row.function, row.options)) for name, row in functions.items()
    )
    used = "import keras\n\n" if "keras." in verbs else ""
    return f"{_STUB_HEAD}{used}{imports}\n{verbs}"


def _stub_of(verb: Callable[..., Any], keywords: list[Keyword]) -> str:
    plain = inspect.signature(inspect.unwrap(verb))
    own = [one for one in plain.parameters.values() if one.kind != one.VAR_KEYWORD]
    many = [f"*{one.name}: {one.annotation}" for one in own if one.kind == one.VAR_POSITIONAL]
    positional = [one for one in own if one.kind == one.POSITIONAL_OR_KEYWORD]
    lines = [_parameter(one.name, str(one.annotation), one.default) for one in positional]
    lines += many or ["*"]
    lines += [_parameter(one.name, str(one.annotation), one.default) for one in own if one.kind == one.KEYWORD_ONLY]
    lines += [_parameter(one.name, _accepted(one), one.default) for one in keywords]
    lines.append(_parameter(VERBOSE, "int", 1))
    return (
        f"def {verb.__name__}(\n"
        + "".join(f"    {line},\n" for line in lines)
        + f") -> {plain.return_annotation}: ...\n"
    )


def _parameter(name: str, kind: str, default: Any) -> str:
    return f"{name}: {kind}" + ("" if default is inspect.Parameter.empty else f" = {_value(default)}")


def _value(default: Any) -> str:
    """Return a default as the formatter writes it."""
    return json.dumps(default) if isinstance(default, str) else repr(default)


def _accepted(one: Keyword) -> str:
    """Return the type that callers may give: any sequence for a tuple, and any path for the name of a file."""
    kind = re.sub(r"tuple\[(\w+), \.\.\.\]", r"Sequence[\1]", one.type)
    return re.sub(r"\bstr\b", "str | PathLike[str]", kind) if one.is_path else kind


def page() -> str:
    """Return the text of `docs/api.md`."""
    functions = {row.function_name.rpartition(".")[2]: row for row in VERBS.values()}
    parts = [_PAGE_HEAD, "## Functions of `app`\n"]
    parts += [_verb(getattr(app, name), keywords_of(row.function, row.options)) for name, row in functions.items()]
    parts.append("## Classes of `app`\n")
    parts += [_class(getattr(app, name)) for name in app.__all__ if name not in functions]
    for package, what in ((models, "Networks to build with"), (data, "Examples to train on")):
        parts.append(f"## {what}: `{package.__name__}`\n")
        parts += [
            _function(getattr(package, name), f"{package.__name__}.{name}") for name in getattr(package, "__all__", ())
        ]
    return "\n".join(parts)


def _verb(verb: Callable[..., Any], keywords: list[Keyword]) -> str:
    plain = inspect.signature(inspect.unwrap(verb))
    own = [str(one.replace(annotation=one.empty)) for one in plain.parameters.values() if one.kind != one.VAR_KEYWORD]
    text = _sections(inspect.getdoc(inspect.unwrap(verb)) or "")
    rows = "".join(map(_row, keywords))
    rows += f"| `{VERBOSE}` | `int` | `1` | {VERBOSE_TEXT} |\n"
    return (
        f"### `{verb.__name__}({', '.join(own)}, **options)`\n\n{text}\n"
        f"| option | type | default | what it is for |\n|---|---|---|---|\n{rows}"
    )


def _row(one: Keyword) -> str:
    return f"| `{one.name}` | `{_cell(_accepted(one))}` | `{_value(one.default)}` | {_cell(one.text)} |\n"


def _function(function: Any, name: str) -> str:
    if isinstance(function, dict):
        return f"### `{name}`\n\nA table of rows by name; a program can [add rows](extending.md).\n"
    is_error = isinstance(function, type) and issubclass(function, Exception)
    signature = "" if is_error else _signature(function)
    return f"### `{name}{signature}`\n\n{_sections(inspect.getdoc(function) or '')}"


def _class(kind: type) -> str:
    members = "".join(f"- `{title}`: {text}\n" for title, text in _members(kind))
    return f"### `{kind.__name__}`\n\n{_sections(inspect.getdoc(kind) or '')}" + (f"\n{members}" if members else "")


def _members(kind: type) -> Iterator[tuple[str, str]]:
    """Yield the public methods and properties that a class of ours defines, with the first line of their docstrings."""
    if issubclass(kind, Exception):
        return
    for name, member in sorted(vars(kind).items()):
        if name.startswith("_"):
            continue
        function = getattr(member, "__func__", getattr(member, "func", member))
        text = (inspect.getdoc(function) or "").partition("\n")[0]
        if inspect.isfunction(function) and not hasattr(member, "func"):
            yield f"{name}{_signature(function)}", text
        elif isinstance(member, property) or hasattr(member, "func"):
            yield name, text


def _signature(function: Callable[..., Any]) -> str:
    found = inspect.signature(function)
    plain = [one.replace(annotation=one.empty) for one in found.parameters.values() if one.name not in ("self", "cls")]
    return str(found.replace(parameters=plain, return_annotation=inspect.Signature.empty)).replace(" = ", "=")


def _sections(docstring: str) -> str:
    """Return a docstring as Markdown: sections become lists, examples become blocks. Options have a table of their own."""
    lines: list[str] = []
    section, block = "", False
    for line in [*docstring.splitlines(), ""]:
        stripped = line.strip()
        if block and (not stripped or not line.startswith("    ")):
            lines.append("```")
            block = False
        if re.fullmatch(r"(Args|Attributes|Returns|Raises|Warns|Examples):", line):
            section = line[:-1]
            lines += [f"**{section}**", ""]
        elif not line.startswith("    ") or not section:
            lines.append(line)
        elif stripped.startswith("**options"):
            continue
        elif section == "Examples":
            if stripped and not block and stripped.startswith((">>>", "...")):
                lines.append("```pycon")
                block = True
            lines.append(line[4:])
        elif re.match(r"    \S", line) and section in ("Args", "Attributes", "Raises", "Warns") and ": " in line:
            name, _, text = stripped.partition(": ")
            lines.append(f"- `{name}`: {text}")
        else:
            lines.append(f"  {stripped}" if section in ("Args", "Attributes", "Raises", "Warns") else stripped)
    return "\n".join(lines).rstrip() + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote  {STUB.relative_to(ROOT)}\nwrote  {PAGE.relative_to(ROOT)}")
