"""Class names in any script can be read in the plots: by a font of the system, or by a number that is explained."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib
import numpy as np
import pytest
from matplotlib.font_manager import fontManager

from app.evaluation import fonts, plots
from app.evaluation.fonts import fonts_for, print_undrawable, undrawable

STIX = "\ue000"  # a letter of private use, which of the fonts that Matplotlib brings only one has
NOWHERE = "\U0010fffd"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Only the fonts that come with Matplotlib, whatever this system has."""
    monkeypatch.setattr(fontManager, "ttflist", [one for one in fontManager.ttflist if "mpl-data" in str(one.fname)])
    fonts._find_fonts.cache_clear()
    yield
    fonts._find_fonts.cache_clear()


def families() -> list[str]:
    return list(matplotlib.rcParams["font.family"])


@pytest.mark.parametrize("names", [("cat", "dog"), ("Äpfel", "żółw", "кот", "قطة"), ("a b", "tab\tand\u200bnothing")])
def test_names_in_letters_that_are_there_need_no_other_font(names: tuple[str, ...]) -> None:
    before = families()
    with fonts_for(names) as shown:
        assert shown == names and families() == before
    assert undrawable(names) == []


def test_a_font_that_has_the_letters_is_found() -> None:
    before = families()
    with fonts_for(("cat", STIX)) as shown:
        assert shown == ("cat", STIX)
        assert families() == [*before, "STIXNonUnicode"]
    assert families() == before


@pytest.mark.filterwarnings("error:Glyph")
def test_figures_are_drawn_with_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    names = (f"{STIX}{STIX}", "cat", NOWHERE)
    with fonts_for(names) as shown:
        plots.save_figure(
            plots.confusion(np.eye(3, dtype=int).tolist(), shown), tmp_path_factory.mktemp("plots") / "a.png"
        )


def test_names_that_no_font_has_are_numbers_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("cat", NOWHERE, f"dog {NOWHERE}")
    with fonts_for(names) as shown:
        assert shown == ("cat", "class 1", "class 2")
    assert undrawable(names) == list(names[1:])
    print_undrawable(names)
    said = " ".join(capsys.readouterr().out.split())
    assert "and 1 other name; the plots call these classes by number" in said
    print_undrawable(("cat",))
    assert capsys.readouterr().out == ""


def test_the_font_of_boxes_is_none() -> None:
    """It has a box for every letter there is, and would be found first."""
    assert any(one.name.startswith("Last Resort") for one in fontManager.ttflist)
    assert undrawable([NOWHERE]) == [NOWHERE]
