"""The sentences of a story. `[a|b]` picks a branch, `{slot}` is filled from the cast, a leading `?` leaves the sentence out half of the time.

Slots: N the hero, F the friend, he him his himself (He, His) the hero's pronouns and nobody else's, kind and friend_kind what the two are.
A name is made known by `named`, `called`, `friend` or `name was` right before it, once; from then on it is only copied. That is what a small
model can learn and what agreement.py holds its text to.
"""

from typing import NamedTuple


class Plot(NamedTuple):
    sentences: list[str]
    friend: bool = True  # a friend takes part
    meets: bool = False  # the plot itself makes the friend known
    children: bool = False  # for heroes that are no animals


# The name is never a story's first word: there it would be spelt by other tokens than everywhere else.
OPENINGS = [
    "[once upon a time|one day|long ago|once], there was a {trait} {kind} named {N}.", "there once was a {kind} [named|called] {N}.",
    "there once was a {trait} {kind} [named|called] {N} who lived {home}.", "this is the story of a {trait} {kind} [named|called] {N}.",
    "in a [small|little|warm|old] house {home} lived a {trait} {kind} [named|called] {N}."]
FRIENDS = [
    "{His} best friend was a {friend_kind} [named|called] {F}.", "{He} had a good friend, a {trait2} {friend_kind} [named|called] {F}.",
    "{His} friend {F} lived [next door|not far away|on the other side of the road].", "{He} [often|always] played with {his} friend {F}."]
ABOUT = [
    "{He} [loved|liked] to [play {place}|sing songs|run and jump|look at the stars|draw pictures|read books|help {his} {grown}].",
    "{He} lived with {his} {grown} in a [small|{color2}|little|warm] house.", "every day {he} went for a walk {place}.",
    "{His} {grown} [sang songs for|told stories to|often read to] {him} every [night|evening]."]
WEATHERS = [
    "[one morning|that day|one afternoon|on that morning], {weather}.",
    "it was [a fine day|a long summer|early spring|late in the year|a quiet morning] and {weather}."]
ENDS = [
    "{N} was [very |so |]happy.", "that night, {N} slept [very well|with a smile|like a stone].", "and {N} never forgot that day.",
    "{His} {grown} [smiled|laughed] and gave {him} a [big hug|warm hug|kiss]."]
ENDS_OF_TWO = [
    "they [went home|walked home together] and [had {food}|ate {food}|drank warm milk|went to bed].",
    "from that day on, {N} and {F} were [the best of friends|always together]."]

PLOTS: dict[str, Plot] = {
    "lost": Plot([
        "{N} had a {adj1} {color} {thing}.", "?{His} {grown} had given it to {him}.", "?{He} took it everywhere.",
        "but [one day|that day|in the morning], the {thing} was [gone|not there|lost].",
        "{N} was [sad|very sad] and [began to cry|did not know what to do].", "{He} looked {hide2}, but it was not there.",
        "?then {he} looked {hide3}, but there was nothing.", '"[what is wrong|why are you sad|why do you cry], {N}?" asked {F}.',
        '"I [lost|cannot find] my {thing}," said {N}.',
        '"[do not worry|do not cry]," said {F}. "[I will help you|let us look together|we will find it]."',
        "they looked [everywhere|all day|{place}].", "at last, {F} looked {hide} and [there it was|saw something {color}|found the {thing}].",
        '"[here it is|look|I found it]!" [said|cried|called] {F}.', '"thank you, {F}," said {N}. "you are a [good|true|kind] friend."']),
    "hurt": Plot([
        "{N} was walking {place} when {he} heard a [small|soft|strange] sound.", "it was a {adj2} {small}.",
        "the {small} had hurt its [leg|foot|ear] and could not [walk|go home].",
        '"[oh, you poor thing|do not be afraid|poor {small}]," said {N}. "I will help you."',
        "{He} [took|carried] the {small} home [in {his} arms|in a basket|very slowly].",
        "{His} {grown} [brought water|found a soft cloth|made a warm bed] for it.",
        "every day {N} gave the {small} [some {food}|water and {food}].", "?{He} sang to it at night.",
        "after [a week|three days|some days], the {small} was [well|strong|better] again.",
        "{N} was [a little sad|sad], but {he} [opened the door|let it go].", '"[goodbye|come back soon], little {small}," said {N}.',
        "the [next day|next morning|next spring], the {small} came back with [a {color} flower|three friends|a {color} stone] for {N}."],
        friend=False),
    "share": Plot([
        "{N} had [some|a plate of] {food}.", "it smelled [so good|very good|wonderful].", "{F} came by and [saw it|looked at it].",
        '"[may I have some|can I have some|will you share with me], please?" asked {F}.',
        '"no," said {N}. "it is [all mine|only for me]."', "{F} [went away|walked away] [sadly|with a sad face|without a word].",
        "{N} ate [alone|all alone], but it did not taste good.", "?{He} felt [bad|sorry|sad] inside.",
        '{His} {grown} said, "[Everything tastes better|Food is better] when you share."', "so {N} [ran after|went to find] {F}.",
        '"I am sorry," said {N}. "[please|come and] have some with me."', "{F} [smiled|was happy again], and they ate together {place}.",
        "?nothing had ever tasted so good."]),
    "fear": Plot([
        "but {N} was afraid of {fear}.", "?{He} did not tell anyone.",
        "when the others [laughed and played|went out], {N} [stayed behind|stayed at home].",
        '"[why do you not come|what is the matter|are you all right]?" asked {his} {grown}.',
        '"I am afraid of {fear}," said {N} [in a small voice|softly|with tears].',
        '"[I was afraid too when I was small|everyone is afraid of something]," said {his} {grown}. "{tip}."',
        '"[and remember|you will see], {wise}."',
        "that [evening|day|night], {N} [was ready to try|tried it]. {His} heart was beating fast.",
        "{He} [took a deep breath|closed {his} eyes|held the hand of {his} {grown}] and [did it|was brave].",
        '"[I did it|it is not so bad|I am not afraid any more]!" said {N}.', "{His} {grown} was [very proud|so proud|glad]."], friend=False),
    "make": Plot([
        "one day, {N} [wanted to make|made a plan to make|had an idea to make] {made}.",
        "{He} [got|found|asked {his} {grown} for] {stuff}.", "{He} worked [all morning|very hard|for a long time].",
        "but when it was done, it did not {verb}, and {fail}.",
        '{N} was [angry|sad|upset]. "[I cannot do it|it is no use|this is too hard]," {he} said.',
        '"[try again|do not give up|try once more]," said {F}. "[I will help you|two can do more than one|we can do it together]."',
        "so they [started again|tried again|began once more], [slowly this time|step by step|with more care].",
        "?{F} held one side and {N} held the other.", "this time, {made_it} did {verb}!",
        "{N} [jumped for joy|laughed and clapped|could not stop smiling].", '"[we did it|look at that|it works]!" said {F}.']),
    "unkind": Plot([
        "{N} and {F} were playing {place} with a {color} {thing}.", '"[it is my turn|give it to me|I want it now]!" said {N}.',
        "{He} [pulled|took] the {thing} and it [broke|fell into the water|broke in two].",
        "{F} [began to cry|was very sad|said nothing and went home].", "{N} [felt bad|was sorry|felt very sorry].",
        '"[what can I do|how can I make it right]?" {he} asked {his} {grown}.',
        '"[say that you are sorry|be honest and kind]," said {his} {grown}, "and [mend what you broke|give something of your own]."',
        "so {N} [took|picked up] {his} own {adj1} {color2} {thing2} and went to {F}.",
        '"I am sorry, {F}," said {N}. "[this is for you|please take this]."',
        '"[thank you|that is all right|I am not angry any more]," said {F}. "[let us share it|come and play]."',
        "and they played [together|side by side] until the sun went down."]),
    "talk": Plot([
        "one day, {N} went [deep into the forest|over the hill|to the far side of the lake].", "there {he} met a {animal} who could talk.",
        '"[good morning|hello|good day]," said the {animal}. "[who are you|what is your name|where are you going]?"',
        '"I am {N}," said the {kind}. "I am looking for [a friend|something {color}|the way to the sea|{food}]."',
        '"[I can help|I know where to go|follow me]," said the {animal}, '
        '"[but first you must help me|if you answer my question|but you must be quick]."',
        '"[what do you need|what must I do|how can I help]?" asked {N}.',
        '"[my {thing} is {hide}|I lost my {thing}], and I cannot [reach|find] it," said the {animal}.',
        "{N} looked {hide} and found the {thing}.", "the {animal} was so [happy|glad] that it [danced|sang a song|jumped up and down].",
        '"[you are kind|thank you], {N}," it said. "[now I will be your friend|take this {color2} stone, it will bring you luck]."',
        "{N} went home and told {his} {grown} [everything|about the {animal}]."], friend=False),
    "seed": Plot([
        "{His} {grown} gave {N} a [small|tiny] seed.", '"[what is it|what will it be]?" asked {N}.',
        '"[wait and see|you must wait]," said {his} {grown}.', "{N} [put the seed in the ground|planted the seed] {place}.",
        "every [day|morning] {he} gave it water.", "but [for many days nothing happened|there was nothing to see].",
        '"[it does not grow|it will never grow]," said {N}.', '"[be patient|give it time|good things take time]," said {his} {grown}.',
        "[then|at last], one morning, there was a small green leaf!", "?{N} ran to tell {his} {grown}.",
        "the leaf grew and grew, and it became a {seed}, {big}.", "all the [children|neighbors|animals] came to [see|look at] it.",
        "{N} was glad that {he} had waited."], friend=False),
    "lost way": Plot([
        "one day, {N} and {F} [walked too far|went too far] {place}.", "when it [got dark|was late], they did not know the way home.",
        '"[we are lost|I do not know where we are]," said {F}. "[I am afraid.|what shall we do?]"',
        '"[do not be afraid|stay close to me|hold my hand]," said {N}. "we will find the way."',
        "[they saw a light far away|they heard a bell|an old {animal} came by].",
        '"[can you help us|do you know the way home]?" they [asked|called].',
        '"[go along the river|walk past the mill|follow the stars] and then turn [left|right] at the big [stone|tree]," '
        "said a [kind|soft] voice.",
        "they [walked and walked|went on and on], and [at last|soon] they saw their house.",
        "{His} {grown} was [at the door|waiting] with [a lamp|warm soup].",
        '"[there you are|I was so worried]!" said {his} {grown}.', '"we will not go so far again," said {N}.']),
    "race": Plot([
        "there was a big race {place}.", "{N} wanted to win [a {color} {thing}|the first prize].",
        '"[I am the fastest|nobody can beat me]," said {F}.', "the race began, and {F} was [first|far ahead].",
        "{N} was [last|slow], but {he} did not stop.", "then {F} fell [over a stone|into a hole|in the mud] and [cried|could not get up].",
        "{N} could run past and win. [but {he} stopped|instead, {he} stopped].",
        '"[are you hurt|take my hand|let me help you]," said {N}.', "they [walked|ran] to the end [together|hand in hand].",
        '"[you did not win," said {F}, "but you are the best of us all.|you could have won," said {F}. "why did you stop?]"',
        "everyone [clapped|cheered], and {his} {grown} gave both of them [some {food}|a {color} {thing}]."]),
    "birthday": Plot([
        "it was the birthday of {N}, but no one said a word about it.", "{He} went to {F}, but {F} was [busy|not at home].",
        "{He} asked {his} {grown}, but {his} {grown} [only smiled|went out without a word].",
        '"[everyone forgot|nobody remembers my birthday]," thought {N}. {He} was [sad|very sad].',
        "{He} sat {place} [all alone|by {himself}] until evening.", "then {he} went home and opened the door.",
        '"[surprise|happy birthday], {N}!" [cried|shouted] everyone.',
        "on the table stood [a big cake|a plate of {food}], and [{color} lights|{color} paper stars] were everywhere.",
        "{F} gave {him} a {adj1} {color2} {thing}.", '"[we did not forget|how could we forget you]," said {F}.',
        "{N} laughed until {he} cried."]),
    "wish": Plot([
        "one night, {N} saw a [bright|golden|falling] star.", '"[I wish|star, I wish] I had a {adj1} {color} {thing}," {he} said.',
        "in the morning, a {color} {thing} was {hide}!", "{N} [could not believe it|ran to show {F}].",
        "but {F} had [no {thing}|nothing to play with], and {F} was sad.", "that night {N} looked at the [stars|sky] again.",
        '"[I wish|please, star, I wish] that {F} could be happy too," said {N}.',
        'the star [blinked|shone] and said, "[You can do that yourself|You do not need me for that]."',
        "{N} thought [about it|for a long time], and in the morning {he} gave the {thing} to {F}.",
        "{F} was [so happy|very happy], and {N} was [even happier|happy too]."]),
    "new child": Plot([
        "there was a new child at school. {Friend_his} name was {F}.",
        "{F} did not [talk|say a word] and sat [alone|by the window].", "the others played, but no one asked {F}.",
        '"[why is {F} alone|should I talk to {F}]?" {N} asked {his} {grown}.',
        '"[maybe {F} is shy|a new place can be hard]," said {his} {grown}. "[say hello|show a kind face]."',
        "the next day, {N} [sat down next to|went to] {F}.",
        '"hello, I am {N}," {he} said. "do you like [{food}|to draw|to play with a {thing}]?"',
        '{F} [looked up|smiled a little]. "[yes, very much|I do]," said {F}.',
        "they [shared some {food}|drew a {color} {animal}|played with the {thing}].",
        "soon [the other children came too|everyone wanted to play with them].",
        '"[I am glad you came|now I like it here]," said {F}.'], meets=True, children=True),
    "storm": Plot([
        "[suddenly|then|that evening], a [big|great|wild] storm came.", "the wind [blew|howled] and the rain fell [all night|for hours].",
        "{N} looked out of the window and saw a {adj2} {small} in the rain.",
        '"[it is cold and wet|it has no home]," said {N}. "[can we let it in|may it come in], please?"',
        '"[yes, of course|open the door]," said {his} {grown}. "[no one should be alone in a storm|there is room for one more]."',
        "the {small} came in and sat [by the fire|near the fire|on a soft pillow].",
        "{N} gave it {food}, and it [fell asleep|went to sleep].", "in the morning, the storm was [over|gone] and {weather2}.",
        "the {small} did not want to [go|leave].", '"[can it stay|may we keep it]?" asked {N}.',
        '"it can stay," said {his} {grown}, "if you [take good care of it|look after it]."'], friend=False),
}
