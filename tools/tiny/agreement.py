"""Figures of a story's text: whether its cast stays what the first sentences say, and which of its 5-grams the corpus lacks."""

import re
from collections.abc import Iterable

from tiny import words

Gram = tuple[str, ...]

NAME = re.compile(rf"\b({'|'.join(words.GENDER)})\b")
KNOWN = re.compile(rf"\b(?:(girl|boy) )?(?:named|called|friend|name was) ({'|'.join(words.GENDER)})\b")
FRIENDS_OWN = re.compile(r"\b(?:Her|His) name was\b")  # the one pronoun that is not the hero's
PRONOUN = {word: gender for gender, row in words.PRONOUNS.items() for word in row}
WORD = re.compile(r"[A-Za-z]+|[.,!?\"]")


def faults(text: str) -> set[str]:
    """Which of names, pronouns, kinds (girl or boy) and grown-ups do not agree; empty for every story of the grammar.

    The hero is the name made known first. A second name may be made known before it is used, a third may not.
    """
    found = set()
    known: dict[str, str | None] = {}  # name: girl, boy or neither
    at_known = {match.start(2): match for match in KNOWN.finditer(text)}
    for match in NAME.finditer(text):
        if match.start() in at_known:
            known.setdefault(match[1], at_known[match.start()][1])
        elif match[1] not in known:
            found.add("names")
    if not known:
        return {"names"}
    if len(known) > 2:
        found.add("names")
    if any(kind and kind != words.CHILD[words.GENDER[name]] for name, kind in known.items()):
        found.add("kinds")
    hero = next(iter(known))
    gender = words.GENDER[hero]
    lower = [word.lower() for word in re.findall(r"[A-Za-z]+", FRIENDS_OWN.sub("", text))]
    if any(PRONOUN.get(word, gender) != gender for word in lower):
        found.add("pronouns")
    later = re.findall(r"\b(girl|boy)\b", KNOWN.sub("", text))
    if any(kind != known[hero] for kind in later):
        found.add("kinds")
    if len({word for word in lower if word in words.GROWN}) > 1:
        found.add("grown-ups")
    return found


def grams(text: str, size: int = 5) -> list[Gram]:
    """Runs of words and punctuation."""
    parts = WORD.findall(text)
    return [tuple(parts[i:i + size]) for i in range(len(parts) - size + 1)]


def corpus_grams(texts: Iterable[str]) -> set[Gram]:
    return {gram for text in texts for gram in grams(text)}


def unseen(texts: Iterable[str], corpus: set[Gram]) -> float:
    """Share of 5-grams that the corpus lacks: broken words and joins, mostly."""
    all_grams = [gram for text in texts for gram in grams(text)]
    return sum(gram not in corpus for gram in all_grams) / max(1, len(all_grams))
