"""Plain English for a scene: many templates over one small vocabulary."""

from __future__ import annotations

import random

SHAPE_WORDS = {
    "circle": ("circle", "circle", "circle", "disc", "disk", "ball"),
    "square": ("square", "square", "square", "box"),
    "triangle": ("triangle",),
}
SIZE_WORDS = {
    "small": ("small", "small", "little", "tiny"),
    "": ("",),
    "large": ("large", "large", "big", "huge"),
}
COLOUR_WORDS = {
    "magenta": ("magenta", "magenta", "magenta", "pink"),
    "cyan": ("cyan", "cyan", "cyan", "turquoise"),
}
BACKGROUND_WORDS = {
    "black": ("black",),
    "gray": ("gray", "grey"),
    "dark blue": ("dark blue", "dark blue", "navy"),
    "dark green": ("dark green",),
}
# (third person, -ing form) of verbs that fit any direction, then of those that mean one.
VERBS = (
    ("moves", "moving"),
    ("moves", "moving"),
    ("slides", "sliding"),
    ("drifts", "drifting"),
    ("glides", "gliding"),
    ("travels", "traveling"),
    ("travels", "travelling"),
    ("floats", "floating"),
    ("goes", "going"),
    ("flies", "flying"),
    ("heads", "heading"),
)
DIRECTED_VERBS = {
    "up": (("rises", "rising"), ("climbs", "climbing"), ("ascends", "ascending")),
    "down": (("falls", "falling"), ("drops", "dropping"), ("descends", "descending")),
}
WAYS = {
    "left": ("left", "to the left", "leftwards", "leftward", "towards the left",
             "toward the left side", "from right to left", "across the screen to the left"),
    "right": ("right", "to the right", "rightwards", "rightward", "towards the right",
              "toward the right side", "from left to right", "across the screen to the right"),
    "up": ("up", "upwards", "upward", "towards the top", "to the top", "up the screen",
           "from bottom to top"),
    "down": ("down", "downwards", "downward", "towards the bottom", "to the bottom",
             "down the screen", "from top to bottom"),
}  # fmt: skip
MANNERS = ("slowly", "smoothly", "steadily", "gently", "quickly", "calmly")
ADJECTIVES = ("bright", "solid", "plain", "flat", "single", "simple", "lone", "vivid")
GROUND_LINKS = ("on", "on", "over", "against", "in front of", "across", "with")
GROUND_NOUNS = ("background", "background", "background", "backdrop", "screen")
OPENINGS = (
    "a video of", "a clip of", "an animation of", "a short video of", "a short clip showing",
    "video of", "animation of", "a simple animation showing", "there is", "we see",
)  # fmt: skip
# Words outside the vocabulary, so that an unknown word is something that training has seen.
UNKNOWN = ("shiny", "cute", "metallic", "quiet", "wooden", "tidy", "foggy", "gleaming")

TEMPLATES = (
    "{subject} {moves}{ground}",
    "{subject} {moves}{ground}",
    "{subject} {moves}{ground}",
    "{subject} is {moving}{ground}",
    "{subject} is {moving}{ground}",
    "{subject} {moving}{ground}",
    "{subject} {moving}{ground}",
    "{bare} {moving}{ground}",
    "{bare} {moving}{ground}",
    "{bare}, {moving}{ground}",
    "{subject} that {moves}{ground}",
    "{subject} which is {moving}{ground}",
    "{opening} {subject} {moving}{ground}",
    "{opening} {subject} that {moves}{ground}",
    "{opening} {subject}, {moving}{ground}",
    "{first_ground}{subject} {moves}",
    "{first_ground}{subject} is {moving}",
    "{moving}{ground}: {subject}",
    "{noun_subject} is {colour}. it {moves}{ground_sentence}",
    "{noun_subject} is {colour} and {moves}{ground}",
    "{relative} {moves}{ground}",
    "{subject}. it {moves}{ground_sentence}",
)
COLOURLESS_TEMPLATES = tuple(t for t in TEMPLATES if "{colour}" not in t and "{relative}" not in t)


def _article(words: str, rng: random.Random) -> str:
    indefinite = "an" if words[0] in "aeiou" else "a"
    return f"{rng.choice((indefinite,) * 6 + ('the', 'one'))} {words}"


def _join(*words: str) -> str:
    return " ".join(word for word in words if word)


def _case(text: str, rng: random.Random) -> str:
    draw = rng.random()
    if draw < 0.5:
        text = ". ".join(part[:1].upper() + part[1:] for part in text.split(". "))
    elif draw < 0.54:
        text = text.upper()
    elif draw < 0.60:
        text = text.title()
    return text


def describe(
    combination: tuple[str, str, str],
    size: str,
    background: str,
    rng: random.Random,
    partial: float = 0.06,
) -> str:
    """One caption for a scene.

    `partial` is the share of captions that leave an attribute out or hold unknown words.
    """
    colour, shape, direction = combination
    hue = rng.choice(COLOUR_WORDS.get(colour, (colour,)))
    noun = rng.choice(SHAPE_WORDS[shape])
    extra = rng.choice(ADJECTIVES) if rng.random() < 0.12 else ""
    if rng.random() < partial:
        extra = rng.choice(UNKNOWN)
        left_out = rng.randrange(4)
        hue = "" if left_out == 0 else hue
        noun = rng.choice(("shape", "object")) if left_out == 1 else noun
    size_word = rng.choice(SIZE_WORDS[size])
    manner = rng.choice(MANNERS) if rng.random() < 0.12 else ""

    way = WAYS[direction][0 if rng.random() < 0.3 else rng.randrange(len(WAYS[direction]))]
    verb = rng.choice(VERBS)
    if direction in DIRECTED_VERBS and rng.random() < 0.2:
        verb = rng.choice(DIRECTED_VERBS[direction])
        way = rng.choice(("", way)) if way.split()[0] != "from" else way
    before = rng.random() < 0.5
    moves = _join(manner if before else "", verb[0], way, "" if before else manner)
    moving = _join(manner if before else "", verb[1], way, "" if before else manner)

    ground = first_ground = ground_sentence = ""
    if background != "black" or rng.random() < 0.35:
        tone = rng.choice(BACKGROUND_WORDS[background])
        plain = "plain" if rng.random() < 0.1 else ""
        backdrop = _join(_article(_join(plain, tone), rng), rng.choice(GROUND_NOUNS))
        link = rng.choice(GROUND_LINKS)
        ground = f" {link} {backdrop}"
        first_ground = f"{rng.choice(('on', 'over', 'against'))} {backdrop}, "
        ground_sentence = f". the background is {tone}"
    bare = _join(size_word, extra, hue, noun)
    text = rng.choice(TEMPLATES if hue else COLOURLESS_TEMPLATES).format(
        subject=_article(bare, rng),
        bare=bare,
        noun_subject="the " + _join(size_word, noun),
        relative=_article(_join(size_word, noun), rng) + f" that is {hue}",
        opening=rng.choice(OPENINGS),
        colour=hue,
        moves=moves,
        moving=moving,
        ground=ground,
        first_ground=first_ground,
        ground_sentence=ground_sentence,
    )
    return _case(text, rng) + ("." if rng.random() < 0.5 else "")


def fragment(
    combination: tuple[str, str, str], background: str, rng: random.Random
) -> tuple[str, tuple[bool, bool, bool, bool]]:
    """A phrase for one or two of the attributes, often with a background.

    Returns it and which of (colour, shape, direction, background) it says.
    """
    colour, shape, direction = combination
    held = rng.sample(range(3), rng.choice((1, 1, 2)))
    hue = rng.choice(COLOUR_WORDS.get(colour, (colour,))) if 0 in held else ""
    noun = rng.choice(SHAPE_WORDS[shape]) if 1 in held else rng.choice(("shape", "object", ""))
    extra = rng.choice((*ADJECTIVES, *UNKNOWN)) if rng.random() < 0.2 else ""
    move = ""
    if 2 in held:
        verb = rng.choice((*VERBS, ("", "")))[rng.randrange(2)]
        move = _join(verb, rng.choice(WAYS[direction]))
        if direction in DIRECTED_VERBS and rng.random() < 0.2:
            move = rng.choice(DIRECTED_VERBS[direction])[rng.randrange(2)]
    elif rng.random() < 0.5:
        move = rng.choice(VERBS)[rng.randrange(2)]
    thing = _join(extra, hue, noun)
    if thing and rng.random() < 0.5:
        thing = _article(thing, rng)
    ground = ""
    if rng.random() < 0.5:
        tone = rng.choice(BACKGROUND_WORDS[background])
        ground = _join(rng.choice(GROUND_LINKS), _article(tone, rng), rng.choice(GROUND_NOUNS))
    parts = [_join(rng.choice(("", "", rng.choice(OPENINGS))), thing, move), ground]
    if ground and rng.random() < 0.25:
        parts.reverse()
    said = (0 in held, 1 in held, 2 in held, bool(ground))
    return _case(rng.choice((" ", ", ")).join(p for p in parts if p), rng), said


def vocabulary() -> list[str]:
    """Every lower-case word that `describe` can produce, except the unknown ones."""
    rng = random.Random(0)
    words: set[str] = set()
    grounds = tuple(BACKGROUND_WORDS)
    colours = ("red", "green", "blue", "yellow", "white", "magenta", "cyan", "orange")
    for i in range(40000):
        combination = (colours[i % 8], tuple(SHAPE_WORDS)[i % 3], tuple(WAYS)[i // 8 % 4])
        size = tuple(SIZE_WORDS)[rng.randrange(3)]
        text = describe(combination, size, grounds[rng.randrange(4)], rng)
        words.update(word.strip(".,:").lower() for word in text.split())
    return sorted(words - set(UNKNOWN))
