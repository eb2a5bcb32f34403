"""The words that stories draw from. A name has one gender whoever bears it, so that a name alone tells the pronoun."""

NAMES = {
    "f": "Lily Mia Anna Rosa Emma Nora Ruby Ella Lucy Sara Zoe Kate".split(),
    "m": "Tom Ben Max Sam Leo Jack Tim Finn Hugo Noah Paul Ned".split(),
}
GENDER = {name: gender for gender, names in NAMES.items() for name in names}
PRONOUNS = {"f": ("she", "her", "her", "herself"), "m": ("he", "him", "his", "himself")}  # subject, object, possessive, reflexive
CHILD = {"f": "girl", "m": "boy"}
GROWN = "mother father grandmother grandfather aunt uncle".split()

TRAITS = "little kind happy curious quiet brave clever merry gentle".split()
ANIMALS = "rabbit fox bear mouse squirrel hedgehog duck frog owl kitten puppy turtle bird lamb pony goat badger crow".split()
SMALL = "rabbit bird kitten puppy mouse duck squirrel hedgehog lamb".split()
THINGS = ["ball", "hat", "kite", "drum", "doll", "book", "ring", "key", "boat", "bell", "scarf", "teddy bear", "toy train", "basket", "lamp",
          "flute", "robot", "mirror", "whistle", "coin"]
COLORS = "red blue green yellow white purple orange golden silver pink brown".split()
ADJECTIVES = "small big old new shiny soft pretty round funny lovely bright little".split()
FOODS = ["apple pie", "cake", "bread", "plum jam", "cookies", "cheese", "plums", "berries", "pancakes", "nuts", "pears", "soup"]
HOMES = ["by the river", "on the hill", "near the lake", "near the mill", "at the edge of the forest", "by the sea", "beside the old bridge"]
PLACES = ["in the garden", "by the river", "in the forest", "on the hill", "in the park", "near the lake", "behind the barn", "at the beach",
          "in the meadow", "by the old bridge", "under the oak tree", "near the mill"]
HIDES = ["under the bed", "behind the door", "in the tall grass", "under a bush", "in an old box", "behind the big tree", "under the table",
         "in the pocket of a coat", "between two rocks", "on top of the shelf", "inside a boot", "in the sand"]
WEATHER = ["the sun was shining", "the sky was gray", "it was very warm", "a soft wind was blowing", "the grass was wet and cold",
           "the birds were singing", "there were white clouds in the sky", "the rain had just stopped", "the air smelled of flowers",
           "the leaves were falling"]
# What is feared, a word of advice, a wise one.
FEARS = [("the dark", "turn on a small lamp", "the dark is only the day with its eyes closed"),
         ("deep water", "start where the water is low", "the water will hold you if you are calm"),
         ("thunder", "count slowly until it is over", "thunder is only a loud noise far away"),
         ("tall trees", "climb one branch at a time", "a tree is just a ladder with leaves"),
         ("big dogs", "hold out an open hand", "most dogs only want a friend"),
         ("the old house", "knock and say hello", "an old house is only a house that has many stories")]
# What is made, of what, what it should do, what it does instead.
MADE = [("a kite", "paper and string", "fly", "it fell to the ground"), ("a boat", "wood and glue", "float", "it sank"),
        ("a tower", "stones and sticks", "stand", "it fell over"), ("a cake", "flour and eggs", "rise", "it was as flat as a plate"),
        ("a bird house", "boards and nails", "hold together", "it broke in two"), ("a snowman", "snow and a carrot", "stand", "it fell over"),
        ("a little cart", "a box and four wheels", "roll", "a wheel came off")]
SEEDS = [("sunflower", "as tall as the house"), ("pumpkin", "as big as a chair"), ("rose", "red and sweet"), ("apple tree", "full of fruit"),
         ("bean plant", "up to the window"), ("tomato plant", "heavy with red tomatoes")]
