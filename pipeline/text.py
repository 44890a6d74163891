"""Generated text: the same seed gives the same words, in sentences and paragraphs."""

from __future__ import annotations

import random
from typing import Final

_VOCABULARY: Final = """\
the a an of in on at by with from under over between through during after before about
system service worker queue message trace span signal metric record sample label value
network storage cluster region replica leader follower partition segment index schema
document chapter section paragraph sentence reader writer author editor review figure
river mountain valley forest harbour island village market garden bridge station castle
engine machine factory workshop instrument measure balance pressure current voltage
history science language culture music painting theatre poetry letter journey season
carries sends receives stores reads writes counts measures compares explains describes
follows leads joins leaves builds breaks mends opens closes begins ends continues
small large early late quick slow quiet loud bright dark narrow wide simple complex
often seldom always never sometimes usually again together apart slowly quickly clearly
and or but because although while when where whose which that this these those every"""
_WORDS: Final = tuple(_VOCABULARY.split())


def words(count: int, seed: int) -> list[str]:
    """Return the sentences of a text of exactly so many words."""
    source = random.Random(seed)  # noqa: S311 - a text is no secret
    sentences: list[str] = []
    left = count
    while left > 0:
        length = min(left, source.randint(8, 18))
        chosen = source.choices(_WORDS, k=length)
        sentences.append(f"{' '.join(chosen).capitalize()}.")
        left -= length
    return sentences


def paragraphs(count: int, seed: int, each: int = 6) -> list[str]:
    """Return the paragraphs of a text of exactly so many words."""
    sentences = words(count, seed)
    return [" ".join(sentences[at : at + each]) for at in range(0, len(sentences), each)]
