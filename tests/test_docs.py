"""The README and the pages of `docs/`: links lead somewhere, commands parse, Python compiles, and the README stays short."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from urllib.parse import unquote

import pytest

from app.config import make_config
from app.config.usage import parse
from app.interface.errors import BAD_INPUT
from app.verbs import VERBS

ROOT = Path(__file__).parents[1]
README, DOCS = ROOT / "README.md", ROOT / "docs"
PAGES = [README, *sorted(DOCS.glob("*.md"))]
MOST_BYTES, MOST_IMAGE_BYTES = 8_000, 200_000
PACKAGES = ("app", "data", "models")
SHELLS = ("console", "bash", "sh")
ANY_VERB = "VERB"  # stands for each of them
TARGETS = re.findall(r"^([a-z][\w-]*):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(text: str, *languages: str) -> list[str]:
    """The fenced blocks of a page in these languages."""
    return [block for language, block in _FENCE.findall(text) if language in languages]


def spans(text: str) -> list[str]:
    """The inline code of a page."""
    return _SPAN.findall(_FENCE.sub("", text))


# --- Links --------------------------------------------------------------------------------------------------------------


def links(text: str) -> list[str]:
    """Where the links and images of a page lead."""
    prose = _SPAN.sub("code", _FENCE.sub("", text))
    return re.findall(r"\]\(([^)\s]+)[^)]*\)", prose) + re.findall(r'\b(?:src|href)="([^"]+)"', prose)


def anchors(text: str) -> Iterator[str]:
    """The anchors that GitHub makes of the headings of a page."""
    seen: Counter[str] = Counter()
    for heading in re.findall(r"^#{1,6} (.+)$", _FENCE.sub("", text), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        yield f"{slug}-{seen[slug]}" if seen[slug] else slug
        seen[slug] += 1


def broken_links(page: Path, text: str) -> list[str]:
    """The relative links of a page whose file or anchor is not there."""
    broken = []
    for link in links(text):
        file, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = page.parent / unquote(file) if file else page
        content = text if target == page else read(target) if target.is_file() and target.suffix == ".md" else ""
        if not target.exists() or (anchor and anchor not in anchors(content)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page: Path) -> None:
    assert broken_links(page, read(page)) == []


@pytest.mark.parametrize(
    "text",
    [
        "[a](no.md)",
        "![a](no.png)",
        "[a](#no)",
        "[a](docs/data.md#no)",
        "[`a`](no.md)",
        '<img src="no.png">',
        "[a](no.md 'b')",
    ],
)
def test_a_broken_link_is_caught(text: str) -> None:
    assert len(broken_links(README, text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "[a](docs/data.md#image-files)",
        "# It's `one`\n[a](#its-one)",
        "# A\n# A\n[a](#a-1)",
        "[a](https://example.com/no.md#no)",
        "[a](LICENSE)",
        "`[a](no.md)`",
        "```text\n[a](no.md)\n```\n",
    ],
)
def test_a_good_link_is_not_caught(text: str) -> None:
    assert broken_links(README, text) == []


def test_the_readme_leads_to_every_page() -> None:
    assert {f"docs/{page.name}" for page in PAGES if page != README} <= {
        link.partition("#")[0] for link in links(read(README))
    }


# --- Sizes --------------------------------------------------------------------------------------------------------------


def test_the_readme_is_short() -> None:
    assert README.stat().st_size <= MOST_BYTES


def test_the_map_of_the_house_is_true() -> None:
    """Each file and folder of the map in `contributing.md` is there."""
    text = (DOCS / "contributing.md").read_text(encoding="utf-8")
    (drawn,) = re.findall(r"^```\n(data/ .*?)^```$", text, re.MULTILINE | re.DOTALL)
    folder, missing = "", []
    for line in drawn.splitlines()[:-1]:  # the last one names several folders
        name = line.split()[0]
        folder = folder if line.startswith(" ") else name
        path = ROOT / (folder + name if line.startswith(" ") else name)
        missing += [] if path.exists() else [str(path)]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_the_code_that_are_named_exist(page: Path) -> None:
    named = {
        span
        for span in _SPAN.findall(page.read_text(encoding="utf-8"))
        if re.fullmatch(rf"({'|'.join((*PACKAGES, 'docs', 'tests'))})/[\w./]*", span)
    }
    assert not {name for name in named if not (ROOT / name).exists()}


def test_images_are_small() -> None:
    images = [*DOCS.glob("*.png")]
    assert images and max(image.stat().st_size for image in images) <= MOST_IMAGE_BYTES


# --- Commands -----------------------------------------------------------------------------------------------------------


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command in the shell blocks of a page, and of those of Graft and make in its inline code."""
    for block in blocks(text, *SHELLS):
        lines = block.replace("\\\n", " ").splitlines()
        after_prompt = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        for line in after_prompt or lines:
            yield from _words(line)
    for span in spans(text):
        if re.match(r"(\./graft|make|\S*python -m app) ", span):
            yield from _words(span)


def _words(line: str) -> Iterator[list[str]]:
    """The commands of a line, without comments, what is set for them, and the "…" of a command that is cut short."""
    lexer = shlex.shlex(re.sub(r"(^|\s)#.*", "", line), posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    command: list[str] = []
    for word in [*lexer, ";"]:
        if not set(word) <= set("();<>|&"):
            command += [word] if word != "…" and (command or not re.match(r"\w+=", word)) else []
        elif command:
            yield command
            command = []


def refusal(command: list[str]) -> str:
    """Why a command cannot be carried out; nothing where it can, or is not Graft's or make's."""
    match command:
        case ["make", *words]:
            unknown = [word for word in words if "=" not in word and word not in TARGETS]
            return f"no target {', '.join(unknown)}" if unknown else ""
        case ["./graft" | "graft", *words]:
            return _refusal_of_verb(words)
        case [python, "-m", "app", *words] if Path(python).name.startswith("python"):
            return _refusal_of_verb(words)
    return ""


def _refusal_of_verb(words: list[str]) -> str:
    verb, *rest = words or ["--help"]
    if verb in ("-h", "--help"):
        return ""
    if verb == ANY_VERB:
        return next(filter(None, (_refusal_of_verb([one, *rest]) for one in VERBS)), "")
    if verb not in VERBS:
        return f"no verb {verb}"
    kind, printed = VERBS[verb].options, StringIO()
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            make_config(kind, **parse(kind, verb, rest))
    except SystemExit as ended:
        return printed.getvalue() if ended.code else ""
    except BAD_INPUT as error:
        return str(error)
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_parse(page: Path) -> None:
    assert {shlex.join(command): why for command in commands(read(page)) if (why := refusal(command))} == {}


@pytest.mark.parametrize(
    "text",
    [
        "```console\n./graft trian my_images\n```\n",
        "```console\n./graft train my_images --no-such-option 1\n```\n",
        "```bash\nGRAFT_CACHE=cache ./graft train my_images --seed many\n```\n",
        "```sh\ncd a && ./graft train my_images --augment strongest | tail\n```\n",
        "```console\n$ ./graft train my_images \\\n    --views 0\nFound 3 images\n```\n",
        "```console\n.venv/bin/python -m app predict runs/my_images\n```\n",
        "```console\nmake tests\n```\n",
        "Call `./graft audit`.",
        "Call `./graft VERB --seed 1`.",
        "Call `make demos`.",
    ],
)
def test_a_wrong_command_is_caught(text: str) -> None:
    assert [command for command in commands(text) if refusal(command)]


@pytest.mark.parametrize(
    "text",
    [
        "```console\n./graft train SOURCE --output RUN   # what's here isn't read\n```\n",
        "```console\n./graft train scans.csv --background '#f0f0f0' --columns path=a label=b,c\n```\n",
        "```console\n./graft train https://HOST/a.zip#sha256=00 > log.txt\n```\n",
        '```console\nmake bench DATA="a --methods graft"\n```\n',
        "```console\n$ make demo\ntrian this is output\n```\n",
        "```python\n./graft trian\n```\n",
        "Call `./graft train …`, `./graft VERB --help` or `make demo`.",
    ],
)
def test_a_right_command_is_found_and_not_caught(text: str) -> None:
    found = list(commands(text))
    assert bool(found) == ("python" not in text)
    assert [refusal(command) for command in found if refusal(command)] == []


def options_of_all_verbs(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    monkeypatch.setenv("COLUMNS", "300")
    printed = StringIO()
    with redirect_stdout(printed):
        for verb, one in VERBS.items():
            with pytest.raises(SystemExit):
                parse(one.options, verb, ["--help"])
    return set(re.findall(r"--[a-z][a-z-]*", printed.getvalue()))


def test_options_in_prose_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of other programs are not named in Graft's pages, but for some with an underscore."""
    named = {
        option for page in PAGES for span in spans(read(page)) for option in re.findall(r"(?<!\S)--[a-z][\w-]*", span)
    }
    assert len(named) > 30
    assert {option for option in named if "_" not in option} - options_of_all_verbs(monkeypatch) == set()


# --- Python -------------------------------------------------------------------------------------------------------------


def unresolved(source: str) -> list[str]:
    """What a program imports from Graft's packages that is not there.

    Raises:
        SyntaxError: it is no program.
    """
    missing = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                wanted = [(name.name, "") for name in names]
            case ast.ImportFrom(module=str(module), names=names):
                wanted = [(module, name.name) for name in names]
            case _:
                continue
        ours = [one for one in wanted if one[0].partition(".")[0] in PACKAGES]
        missing += [f"{module} {name}".strip() for module, name in ours if not _resolves(module, name)]
    return missing


def _resolves(module: str, name: str) -> bool:
    try:
        found = importlib.import_module(module)
        if name and not hasattr(found, name):
            importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        return False
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_compiles_and_its_imports_resolve(page: Path) -> None:
    for block in blocks(read(page), "python"):
        assert unresolved(block) == []


@pytest.mark.parametrize("source", ["from app import trian", "import app.no", "def f():\n    from models.no import a"])
def test_a_wrong_import_is_caught(source: str) -> None:
    assert len(unresolved(source)) == 1


@pytest.mark.parametrize("source", ["from app import train", "import no_such_package", "from data import errors"])
def test_a_right_import_is_not_caught(source: str) -> None:
    assert unresolved(source) == []
