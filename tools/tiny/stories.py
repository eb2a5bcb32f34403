"""Stories for children from the grammar of plots.py, written for this project: no licence but the project's own."""

import random
import re
from collections.abc import Iterator

from tiny import words
from tiny.plots import ABOUT, ENDS, ENDS_OF_TWO, FRIENDS, OPENINGS, PLOTS, WEATHERS, Plot

CHOICE = re.compile(r"\[([^\[\]]*)\]")
BEFORE_VOWEL = re.compile(r"\b([Aa]) (?=[aeio])")
BEGINNING = re.compile(r'(^"?|[.!?] "?)([a-z])')


def cast(rng: random.Random, plot: Plot) -> dict[str, str]:
    """What every slot of a story stands for, from its first sentence to its last."""
    gender, friend_gender = rng.choice("fm"), rng.choice("fm")
    name = rng.choice(words.NAMES[gender])
    friend = rng.choice([n for n in words.NAMES[friend_gender] if n != name])
    he, him, his, himself = words.PRONOUNS[gender]
    kind, friend_kind, animal = rng.sample(words.ANIMALS, 3)
    if plot.children or rng.random() < 0.75:
        kind, friend_kind = words.CHILD[gender], words.CHILD[friend_gender]
    trait, trait2 = rng.sample(words.TRAITS, 2)
    color, color2 = rng.sample(words.COLORS, 2)
    thing, thing2 = rng.sample(words.THINGS, 2)
    hide, hide2, hide3 = rng.sample(words.HIDES, 3)
    adj1, adj2 = rng.sample(words.ADJECTIVES, 2)
    weather, weather2 = rng.sample(words.WEATHER, 2)
    fear, tip, wise = rng.choice(words.FEARS)
    made, stuff, verb, fail = rng.choice(words.MADE)
    seed, big = rng.choice(words.SEEDS)
    return dict(
        N=name, he=he, him=him, his=his, himself=himself, He=he.capitalize(), His=his.capitalize(), kind=kind, trait=trait,
        F=friend, Friend_his=words.PRONOUNS[friend_gender][2].capitalize(), friend_kind=friend_kind, trait2=trait2,
        grown=rng.choice(words.GROWN), animal=animal, small=rng.choice([s for s in words.SMALL if s != kind]),
        thing=thing, thing2=thing2, color=color, color2=color2, adj1=adj1, adj2=adj2, food=rng.choice(words.FOODS),
        home=rng.choice(words.HOMES), place=rng.choice(words.PLACES), hide=hide, hide2=hide2, hide3=hide3,
        weather=weather, weather2=weather2, fear=fear, tip=tip, wise=wise,
        made=made, made_it=made.replace("a ", "the ", 1), stuff=stuff, verb=verb, fail=fail, seed=seed, big=big)


def sentence(rng: random.Random, template: str, slots: dict[str, str]) -> str:
    """Choices from the inside out, then slots, then `an` and capitals."""
    while match := CHOICE.search(template):
        template = template[:match.start()] + rng.choice(match[1].split("|")) + template[match.end():]
    text = BEFORE_VOWEL.sub(r"\1n ", template.format(**slots))
    return BEGINNING.sub(lambda m: m[1] + m[2].upper(), text)


def story(rng: random.Random) -> str:
    plot = PLOTS[rng.choice(list(PLOTS))]
    slots = cast(rng, plot)
    parts = [rng.choice(OPENINGS)]
    about = rng.sample(ABOUT, rng.randint(1, 2))
    if plot.friend and not plot.meets:
        about.insert(rng.randint(0, len(about)), rng.choice(FRIENDS))
    parts += about
    if rng.random() < 0.6:
        parts.append(rng.choice(WEATHERS))
    parts += [t.lstrip("?") for t in plot.sentences if t[0] != "?" or rng.random() < 0.5]
    parts += rng.sample(ENDS + (ENDS_OF_TWO if plot.friend else []), rng.randint(1, 2))
    if rng.random() < 0.3:
        parts.append("the end.")
    return " ".join(sentence(rng, part, slots) for part in parts)


def stories(count: int, seed: int) -> Iterator[str]:
    """The same stories for the same seed; no story twice."""
    rng, seen = random.Random(seed), set()
    while len(seen) < count:
        text = story(rng)
        if text not in seen:
            seen.add(text)
            yield text
