"""What the pages must not contain: long sentences, and phrases from a list of old habits.

python -m tests.docs.english            # lists what is wrong in every page
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.pages import NOTEBOOKS, PAGES, markdown, name_of, without_code

LONGEST, LONGEST_LIST = 35, 55
"""Words of a sentence, and of one that lists: with six commas or more."""
HABITS = {
    r"^who(?:ever)?\b.*\.$": "people who, a program that",
    r"\banew\b": "again",
    r"\bwhat lacks\b": "what is missing",
    r"\bgo(?:es)? on from\b": "continues",
    r"\b(?:is|are|was|were) (?:said|told|found)\b": "name who reports it, or what it is",
    r"\b(?:has|have) (?:said|told)\b": "reports",
    r"^there (?:is|are|was|were)\b": "begin with the subject",
    r"\blet(?:s|ting)? go of\b": "frees",
    r"\bin pieces\b": "fragmented",
    r"\bso much for\b": "",
    r"\bby and by\b": "gradually",
    r"\ba great (?:deal|many)\b": "much, many",
    r"\bit goes without saying\b": "",
    r"\bin (?:one|a) breath\b": "at once",
    r"\b(?:house|rooms|floors|corridor|bricks|doors?) of the (?:code|package)\b": "package, module",
    r"\bwished? for\b": "asked for",
    r"\bstraightaway\b": "at once",
    r"\bwhat is (?:said|told)\b": "the message",
    r"\bbring(?:s)? about\b": "causes",
    r"\btakes? (?:its|their) turn\b": "one after the other",
    r"\bsimply\b|\bjust works\b|\bof course\b|\bobviously\b": "leave it out",
    r"\bin order to\b": "to",
    r"\butili[sz]e": "use",
}
"""A pattern, in lower case at the beginning of a sentence or anywhere, and what is better."""
ABBREVIATIONS = re.compile(r"\b(e\.g|i\.e|etc|vs|approx|cf|no|fig)\.", re.IGNORECASE)


def sentences(text: str) -> Iterator[str]:
    """The sentences of Markdown: of paragraphs, list items and cells of tables."""
    text = without_code(text)
    text = re.sub(r"`[^`\n]*`", "CODE", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*] |\d+\. |#|\|))", text):
        parts = block.split("|") if block.lstrip().startswith("|") else [block]
        for part in parts:
            line = ABBREVIATIONS.sub(r"\1", " ".join(part.split()))
            line = re.sub(r"^(?:[-*#]+ |\d+\. )+", "", line).replace("**", "")
            for sentence in re.split(r"(?<=[.!?:;])\s+|(?<=[.!?]\))\s+", line):
                if sentence:
                    yield sentence


def wrong(path: Path) -> Iterator[str]:
    """What a page should say in another way."""
    for sentence in sentences(markdown(path)):
        words = len(re.findall(r"\w[\w'.,×-]*", sentence))
        if words > (LONGEST_LIST if sentence.count(",") >= 6 else LONGEST):
            yield f"{words} words: {sentence}"
        for pattern, better in HABITS.items():
            if found := re.search(pattern, sentence.lower()):
                yield f"{found[0]!r} ({better}): {sentence}"


def main() -> None:
    count = 0
    for path in (*PAGES, *NOTEBOOKS):
        for line in wrong(path):
            count += 1
            sys.stdout.write(f"{name_of(path)}: {line}\n")
    sys.stdout.write(f"{count}\n")


if __name__ == "__main__":
    main()
