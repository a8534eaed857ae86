"""One document with all answers in words, question by question, the rubric beside them, and every figure."""

from html import escape

import page


def document(about, keys, graded):
    """Return the document of a class as HTML.

    Parameters
    ----------
    about : dict
        What the autograder says of its set: "name", "headings" and "words".
    keys : dict
        {question: {"rubric": rows, "answer": Markdown}}, empty where there is no key.
    graded : dict
        {submission: {"words": {question: Markdown}, "figures": [Markdown]}}
    """
    drawn = {name: f"figures-{k}" for k, name in enumerate(graded) if graded[name]["figures"]}
    parts = []
    for heading, question in about["headings"].items():
        articles = "".join(
            article(name, result["words"].get(question), drawn.get(name))
            for name, result in graded.items()
        )
        beside, key = "", keys.get(question)
        if key:
            answer = f"<details><summary>An answer</summary>{page.html(key['answer'])}</details>"
            beside = f'<aside class="beside">{page.rubric(key["rubric"])}{answer}</aside>'
        parts.append(
            f"<h2>{page.inline(heading)} <small>{escape(question)}, at most "
            f"{about['words'][question]:g} points</small></h2>\n"
            f'<div class="pair"><div>{articles}</div>{beside}</div>'
        )
    if drawn:
        parts.append("<h2>Figures outside of these answers</h2>")
        for name, anchor in drawn.items():
            pictures = page.html("\n\n".join(graded[name]["figures"]))
            parts.append(f'<article id="{anchor}"><h3>{escape(name)}</h3>{pictures}</article>')
    return page.document(f"{about['name']}: answers in words", "\n".join(parts))


def article(name, answer, figures):
    """Return what one submission answers to one question."""
    link = f' <small><a href="#{figures}">its other figures</a></small>' if figures else ""
    text = page.html(answer) if answer else "<p>(no answer)</p>"
    return f"<article><h3>{escape(name)}{link}</h3>\n{text}</article>\n"
