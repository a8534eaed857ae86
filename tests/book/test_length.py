"""How long pages take: the estimate on small sources, what the book says of itself, and its limit."""

import re
from io import StringIO
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup
from length import Counts, chapters, exercises, hours, measure, misjudged
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

ROOT = Path(__file__).parents[2]
WORDS = "word " * 200
CODE = "x = 1\n\n" * 20
FIGURE = "mystnb:\n  figure:\n    caption: |\n      Two words.\n    name: fig-a\n"


def minutes(text):
    """Return the minutes of what is seen, and of what is folded."""
    parts = measure(text)
    return round(parts.seen.minutes, 6), round(parts.folded.minutes, 6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (WORDS, (1, 0)),
        (f"---\nkernelspec:\n  name: python3\n---\n{WORDS}", (1, 0)),
        ("$x$ " * 30, (1, 0)),
        ("$$x$$ (eq-x)\n\n```{math}\n:label: eq-y\ny\n```\n\n$$z$$\n", (1, 0)),
        (f"```{{code-cell}} ipython3\n:tags: [nbval-check-output]\n\n{CODE}```", (1, 0)),
        (f"```{{code-cell}} ipython3\n:tags: [hide-input]\n\n{CODE}```", (0, 1)),
        (f"```{{code-cell}} ipython3\n:tags: [remove-cell]\n\n{CODE}```", (0, 0)),
        (f"```python\n{CODE}```", (1, 0)),
        (f"```{{code-cell}}\n---\ntags: [hide-input]\n{FIGURE}---\n{CODE}```", (1.01, 1)),
        ("```{code-cell}\n:tags: [hide-input]\n\nexplore(draw)\n```", (1, 0.05)),
        (f"```{{figure}} a.png\n:alt: None\n\n{WORDS}\n```", (2, 0)),
        (f"```{{prf:proof}}\n{WORDS} $x$\n```", (4, 0)),
        (f"```{{prf:proof}}\n:class: dropdown\n\n{WORDS}\n```", (0, 4)),
        (
            f"````{{prf:theorem}} Name\n:label: thm-a\n\n{WORDS}\n```{{math}}\nx\n```\n````",
            (4 / 3, 0),
        ),
        (f":::{{admonition}} More\n:class: note, dropdown\n\n{WORDS}\n:::", (0, 1)),
        (f"```{{exercise}}\n:label: ex-a\n\n{WORDS}\n```", (0, 0)),
        (f"```{{solution}} ex-a\n{WORDS}\n```", (0, 1)),
        (
            f"```{{solution-start}} ex-a\n:class: dropdown\n```\n\n{WORDS}\n\n```{{code-cell}}\n{CODE}```\n\n"
            f"```{{solution-end}}\n```\n\n{WORDS}",
            (1, 2),
        ),
    ],
)
def test_minutes_of_a_small_source(text, expected):
    assert minutes(text) == pytest.approx(expected, abs=1e-5)


def test_a_reference_is_a_word_or_the_words_that_it_shows():
    text = "By {eq}`eq-a-b`, the {term}`net input <x y>` of [two words](https://a.b/c-d) isn't 3.5."
    assert measure(text).seen == Counts(words=10)


def test_the_second_number_holds_the_first():
    proof = "```{prf:proof}\n:class: dropdown\nx\n```"
    phrase = measure(f"{WORDS * 20}\n\n{proof}").phrase
    assert phrase == "about 20 minutes; 25 with proofs and code"


# ---- This book ----


@pytest.mark.parametrize("name", [*chapters(ROOT), "notation"])
def test_a_chapter_gives_its_own_length_at_its_top(name):
    text = (ROOT / "book" / f"{name}.md").read_text("utf-8")
    head = text[: text.index("```{code-cell}")]
    assert re.findall(r"\*\*Time, estimated:\*\* \{length\}`([\w-]+)`", head) == [name]
    assert "{doc}" not in head[head.index("**You need**") :].split(":::")[0]


@pytest.mark.parametrize("page", sorted((ROOT / "book").glob("*.md")), ids=lambda page: page.stem)
def test_no_page_has_its_time_typed(page):
    assert "**Time:**" not in page.read_text("utf-8")


def test_no_chapter_is_above_the_limit_but_those_listed_and_no_other_is_listed():
    settings = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["sphinx"]["config"]
    limit, listed = settings["chapter_minutes"], settings["chapters_too_long"] or []
    assert limit == 50
    assert list(misjudged(ROOT, limit, listed)) == []


# ---- A small book ----


@pytest.fixture
def build(tmp_path):
    """Two numbered chapters of a minute and of three; returns a function that builds them with settings."""
    (tmp_path / "book").mkdir()
    (tmp_path / "assignments").mkdir()
    (tmp_path / "assignments" / "1-set.md").write_text("**Time:** about 100 minutes.")
    (tmp_path / "book" / "one.md").write_text(f"# One\n\n{WORDS}\n")
    (tmp_path / "book" / "two.md").write_text(
        "# Two\n\nAfter {chapter}`one`, {length}`one`, {minutes}`two`, {hours}`1-set one two`.\n\n"
        f"{WORDS * 3}\n"
    )
    (tmp_path / "index.md").write_text(
        "# Book\n\n```{toctree}\n:numbered:\nbook/one\nbook/two\n```\n"
    )
    toc = {"parts": [{"numbered": True, "chapters": [{"file": "book/one"}, {"file": "book/two"}]}]}
    (tmp_path / "_toc.yml").write_text(yaml.safe_dump(toc))

    def make(**settings):
        warnings, output = StringIO(), tmp_path / "html"
        settings |= {"extensions": ["myst_parser", "chapters"], "exclude_patterns": ["assignments"]}
        with patch_docutils(), docutils_namespace():
            app = Sphinx(
                tmp_path, None, output, tmp_path / "trees", "html", settings, None, warnings
            )
            app.build()
        page = BeautifulSoup((output / "book" / "two.html").read_text(), "html.parser")
        return page, warnings.getvalue()

    return make


def test_roles_write_numbers_that_follow_other_pages(build, tmp_path):
    page, warnings = build()
    assert warnings == ""
    text = "After chapter 1, about 5 minutes; 5 with proofs and code, 5, 4.5."
    assert page.select("section > p")[0].get_text() == text
    link = page.select_one("a.chapter")
    assert link is not None and (link["href"], link["title"]) == ("one.html", "One")
    (tmp_path / "book" / "one.md").write_text(f"# One\n\n{WORDS * 60}\n")
    page, _ = build()
    assert "about 60 minutes; 60 with proofs and code, 5, 5.5." in page.get_text()


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        (
            {"chapter_minutes": 3},
            "two.md: WARNING: it takes about 3 minutes to read, and may take 3",
        ),
        ({"chapter_minutes": 3, "chapters_too_long": ["two"]}, ""),
        (
            {"chapter_minutes": 3, "chapters_too_long": ["one", "two"]},
            "one.md: WARNING: it takes about 1 minutes: strike it from chapters_too_long",
        ),
        (
            {"chapter_minutes": 9, "chapters_too_long": ["six"]},
            "WARNING: chapters_too_long names six, which is no numbered chapter",
        ),
    ],
)
def test_a_chapter_above_the_limit_is_a_warning(build, settings, warning):
    _, warnings = build(**settings)
    assert (warning in warnings) if warning else warnings == ""


@pytest.mark.parametrize(
    "role",
    [
        "{length}`six`",
        "{hours}`2-set one`",
        "{minutes}`one two`",
        "{exercises}`one`",
        "{slider}`two`",
    ],
)
def test_a_role_that_names_no_page_is_an_error(build, tmp_path, role):
    (tmp_path / "book" / "one.md").write_text(f"# One\n\n{role}\n")
    _, warnings = build()
    assert "names no page" in warnings


def test_a_chapter_without_a_number_is_a_warning(build, tmp_path):
    (tmp_path / "book" / "one.md").write_text("# One\n\n{chapter}`six`\n")
    _, warnings = build()
    assert "WARNING: {chapter}`book/six` names no numbered page" in warnings


def test_hours_of_a_week(tmp_path):
    (tmp_path / "assignments").mkdir()
    (tmp_path / "assignments" / "1-set.md").write_text("**Time:** about 90 minutes.")
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "one.md").write_text(WORDS * 30)
    assert hours(tmp_path, "1-set", ["one"]) == 5


def test_hours_of_exercises(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "teaching.md").write_text(
        "| {ref}`ex-a` | 20 | see |\n| {ref}`ex-b` | 50 | find |\n| {ref}`ex-c` | 10 | try |\n"
    )
    (tmp_path / "book" / "one.md").write_text(":label: ex-a\n\n:label: ex-b\n")
    (tmp_path / "book" / "two.md").write_text(":label: ex-c\n")
    assert exercises(tmp_path, ["one"]) == 1
    assert exercises(tmp_path, ["one", "two"]) == 1.5
    (tmp_path / "book" / "two.md").write_text(":label: ex-d\n")
    with pytest.raises(KeyError, match="ex-d"):
        exercises(tmp_path, ["two"])
