"""What the stories of tools/tiny promise: a cast that stays, variety, the same text for the same seed; and that the judge of it sees faults."""

import itertools
import pathlib
import random
import re
import subprocess
import sys
import unittest

TOOLS = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOOLS))

from tiny import plots, words  # noqa: E402
from tiny.agreement import KNOWN, NAME, corpus_grams, faults, grams, unseen  # noqa: E402
from tiny.stories import cast, sentence, stories  # noqa: E402

TEXTS = list(stories(2000, seed=1))


class Stories(unittest.TestCase):
    def test_the_cast_of_every_story_stays(self) -> None:
        for text in TEXTS:
            self.assertEqual(faults(text), set(), text)
            names = set(NAME.findall(text))
            self.assertLessEqual(len(names), 2, text)
            self.assertEqual(names, {name for _, name in KNOWN.findall(text)}, text)

    def test_a_name_is_known_from_the_first_sentence(self) -> None:
        for text in TEXTS:
            self.assertEqual(len(NAME.findall(text.split(". ")[0])), 1, text)
            self.assertIsNone(NAME.match(text), text)  # there it would be spelt by other tokens

    def test_names_tell_the_gender(self) -> None:
        self.assertEqual([len(names) for names in words.NAMES.values()], [12, 12])
        self.assertEqual(len(words.GENDER), 24)

    def test_same_seed_same_text(self) -> None:
        self.assertEqual(list(stories(50, seed=1)), TEXTS[:50])
        self.assertFalse(set(stories(500, seed=2)) & set(TEXTS))
        run = [sys.executable, TOOLS / "tiny_text", "--stories", "50"]
        self.assertEqual(subprocess.run(run, check=True, capture_output=True, text=True).stdout, "".join(t + "\n\n" for t in TEXTS[:50]))

    def test_stories_differ(self) -> None:
        self.assertEqual(len(set(TEXTS)), len(TEXTS))
        parts = [set(grams(text)) for text in TEXTS[:400]]
        nearest = max(len(a & b) / len(a | b) for a, b in itertools.combinations(parts, 2))
        self.assertLess(nearest, 0.6, "two stories share most of their 5-grams")

    def test_everything_is_used(self) -> None:
        everything = "\n".join(TEXTS).lower()
        for name in words.GENDER:
            self.assertIn(name.lower(), everything)
        for row in (words.TRAITS, words.ANIMALS, words.THINGS, words.COLORS, words.ADJECTIVES, words.FOODS, words.HOMES, words.PLACES,
                    words.HIDES, words.WEATHER, words.GROWN, *words.FEARS, *words.MADE, *words.SEEDS):
            for word in row:
                self.assertIn(word, everything)
        for template in (template for plot in plots.PLOTS.values() for template in plot.sentences):
            words_of_it = re.sub(r"\{\w+\}", "|", template.lstrip("?").lower())
            self.assertIn(max(re.split(r"[\[\]|]", words_of_it), key=len), everything, template)

    def test_every_branch_of_every_sentence_can_be_filled(self) -> None:
        rng = random.Random(3)
        common = plots.OPENINGS + plots.FRIENDS + plots.ABOUT + plots.WEATHERS + plots.ENDS + plots.ENDS_OF_TWO
        for plot in plots.PLOTS.values():
            for template in common + plot.sentences:
                for _ in range(8):
                    text = sentence(rng, template.lstrip("?"), cast(rng, plot))
                    self.assertRegex(text, r'^"?[A-Z][A-Za-z ,.!?"]*[.!?]"?$', template)
                    self.assertNotRegex(text, r"  | [,.!?]|\b[Aa] [aeio]|\b[Aa]n [^aeio]|[.!?] \"?[a-z]", template)
                    self.assertEqual(text.count('"') % 2, 0, template)

    def test_plots_say_who_takes_part(self) -> None:
        for name, plot in plots.PLOTS.items():
            self.assertEqual(plot.friend, any("{F}" in s for s in plot.sentences), name)
            self.assertEqual(plot.meets, any("{Friend_his}" in s for s in plot.sentences), name)


class Judge(unittest.TestCase):
    STORY = ("Once, there was a kind boy named Tom. His best friend was a girl called Mia. Tom lost a ball. \"I will help you,\" said Mia. "
             "\"I am glad,\" said the boy. He found it himself. His aunt gave him a hug.")

    def test_a_good_story(self) -> None:
        self.assertEqual(faults(self.STORY), set())

    def test_faults_are_seen(self) -> None:
        for was, becomes, kind in (
                ("said Mia", "said Lily", "names"),  # never made known
                ("Tom lost", "Mia and her friend Max lost", "names"),  # a third one
                ("girl called Mia", "rabbit", "names"), ("boy named Tom", "boy", "names"), ("He found", "She found", "pronouns"),
                ("himself", "herself", "pronouns"), ("gave him", "gave her", "pronouns"), ("girl called Mia", "boy called Mia", "kinds"),
                ("the boy", "the girl", "kinds"), ("He found it", "His uncle found it", "grown-ups")):
            self.assertIn(was, self.STORY)
            self.assertIn(kind, faults(self.STORY.replace(was, becomes)), becomes)
        self.assertEqual(faults("There was a stone."), {"names"})

    def test_a_friends_own_name(self) -> None:
        self.assertEqual(faults("Once there was a boy named Tom. There was a new child. Her name was Mia. Mia saw him."), set())

    def test_unseen(self) -> None:
        corpus = corpus_grams(["one two three four five six."])
        self.assertEqual(unseen(["one two three four five"], corpus), 0)
        self.assertEqual(unseen(["one two three four five. one"], corpus), 2 / 3)
        self.assertEqual(unseen(["short"], corpus), 0)


if __name__ == "__main__":
    unittest.main()
