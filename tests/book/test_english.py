"""The English of pages, docstrings and messages: habits that a search can find."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
THING = (
    "sample|row|column|neuron|step|rule|seed|matrix|chapter|rate|draw|question|submission|class|run|page|line|"
    "cell|week|file|entry|set|size|start|network|weight"
)
LINK = "as|for|from|half|has|in|is|of|such|to"
# What to look for, where a space is any space, and what to write instead.
HABITS = {
    rf"\b([Oo]ne|[Tt]wo|[Aa]n?) (?!{LINK})[\w–-]+ an? ({THING})\b": "one row per sample",
    r"\b[Ss]hall\b": "will, should",
    r"\b[Dd]ear(er|est|ly)?\b": "expensive",
    r"\bbears? (it|them)\b": "tolerates it, still learns",
    r"\b([Bb]reak(s|ing)?|[Bb]roke(n)?) (down|off)\b": "diverges, for a run; fails, for the rest",
    r"\b[Mm]any an?\b": "many …s",
    r"\b(and|or|so|why|how|when) has it\b|\b[Hh]as (it|this|that) (no|an?|not)\b": "does it have",
    r"\b(says?|said|asks?|asked) nothing of\b": "says nothing about",
    r", save (one|for|that|where|in)\b": "except",
    r"\bbut for (the|a|an|one|its)\b": "except for, apart from",
    r"\b(that|which) is none\b": "is not one",
    r"(\$|[₀-₉])'s (?:leaves|is|has|was|takes|grows|falls|and|or|does)\b": "name what belongs to it",
    r"\b(was|were|is|are|be) got by\b": "obtained by, comes from",
    r"\bthe more the\b": "the larger …, the more …",
}
PATTERNS = {re.compile(habit.replace(" ", r"[\s#]+")): better for habit, better in HABITS.items()}
READ = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", "book/*.md", "assignments/*.md"]
READ += [
    f"{where}/*.py"
    for where in ("fpnotes", "fpnotes/chapters", "assignments", "slides", "benchmarks")
]
READ += ["book/*/*.py", "benchmarks/README.md", "fpnotes/*/README.md", "tests/tools/mutation.md"]
PAGES = sorted(path for pattern in READ for path in ROOT.glob(pattern))


def habits(text):
    """Yield (line, what stands there, what to write) for each habit in a text."""
    for pattern, better in PATTERNS.items():
        for match in pattern.finditer(text):
            yield text.count("\n", 0, match.start()) + 1, match[0], better


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_habit_that_a_search_can_find(page):
    found = [
        f"{line}: {' '.join(there.split())!r} (write: {better})"
        for line, there, better in habits(page.read_text("utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("inputs, one row a sample", ["one row a sample"]),
        ("with a column\na sample", ["a column\na sample"]),
        ("# a row a rate", ["a row a rate"]),
        ("one row per sample, and a sample is a row", []),
        ("where it shall stay, many a run breaks off", ["shall", "many a", "breaks off"]),
        ("or has it a map?", ["or has it"]),
        ("This step has a matrix; has it ended?", []),
        ("which says nothing of size, but for the sign", ["says nothing of", "but for the"]),
        ("$\\Delta W_3$'s is lower; $W$'s rows", ["$'s is"]),
    ],
)
def test_a_habit_is_found_and_plain_english_is_not(text, expected):
    assert sorted(there for _, there, _ in habits(text)) == sorted(expected)
