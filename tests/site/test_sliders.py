"""What a slider says at each of its frames, to those who do not see it."""

import json
import math
import re
from pathlib import Path

import pytest

from tests.site.pages import read

HTML = Path(__file__).parents[2] / "_build" / "html"
PAGES = [p for p in sorted(HTML.glob("book/*.html")) if 'class="explore"' in p.read_text("utf-8")]
# Lists as Python writes them, numbers that are none, powers of ten where digits would do.
RAW = re.compile(r"[\[\]{}]|\b(?:nan|inf|None)\b|\de\+|\$|\\|  ")


def slips(data):
    """Return what is wrong with a slider's texts."""
    texts = [*data["alts"], *(value for values in data["values"] for value in values)]
    found = [text for text in texts if not text.strip() or RAW.search(text)]
    found += [text for text in data["alts"] if not text.endswith(".")]
    if len(set(data["alts"])) < len(data["frames"]):
        found.append("two frames have one text")
    if not len(data["alts"]) == len(data["frames"]) == math.prod(map(len, data["values"])):
        found.append("as many frames, texts and values are wanted")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_frame_has_a_text_of_its_own(page):
    for script in read(page).select("figure.explore script[type='application/json']"):
        found = slips(json.loads(script.get_text()))
        assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "alt", ["Steps from [] cross.", "At rate 1.1e+02.", "It is nan.", " ", "No end", "Two  spaces."]
)
def test_a_slip_is_found(alt):
    good = {"frames": ["<svg>", "<svg>"], "alts": ["At 1.", "At 2."], "values": [["1", "2"]]}
    assert not slips(good)
    assert slips({**good, "alts": ["At 1.", alt]})
    assert slips({**good, "alts": ["At 1.", "At 1."]})
