"""The lexical channel: Okapi BM25 over the words of places. Any language.

Word statistics are kept for the whole tree and adjusted when files change.
"""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from meritree.swe.retrieval.data import Found, Place
from meritree.swe.retrieval.pieces import FileIndex
from meritree.swe.retrieval.words import STOP, words

# The usual settings of retrieval toolkits; on the dev part better than 1.2 and 0.75.
K1 = 0.9
B = 0.4
_SHOWN = 4  # words in a reason
# Numbers that say nothing of the code: addresses of objects, line numbers, seconds.
_NUMBER = re.compile(r"\b0x[0-9a-fA-F]{6,16}\b|:\d+\b|\bline \d+\b|\b\d+\.\d+s\b")
_QUERY = 200_000  # characters of a query that are read
_MOST_WORDS = 400  # of a query, the rarest first: a report of many pages says little more


@dataclass(frozen=True, slots=True)
class Statistics:
    """Words of a tree.

    Attributes:
        places: how many there are.
        length: words of all places together.
        frequency: in how many places each word occurs.
    """

    places: int
    length: int
    frequency: Mapping[str, int]

    def changed(self, gone: Iterable[FileIndex], come: Iterable[FileIndex]) -> Statistics:
        """After some files were replaced, removed or added."""
        places, length, frequency = self.places, self.length, Counter(self.frequency)
        for files, sign in ((gone, -1), (come, 1)):
            for file in files:
                places += sign * len(file.pieces)
                length += sign * sum(file.lengths)
                for word, postings in file.postings.items():
                    frequency[word] += sign * len(postings)
                    if not frequency[word]:
                        del frequency[word]
        return Statistics(places, length, frequency)


NOTHING = Statistics(0, 0, {})


def lexical(
    query: str, files: Iterable[FileIndex], statistics: Statistics, most: int
) -> dict[Place, Found]:
    """BM25 of the ``most`` best places; repeated words of a query count by their square root.

    ``idf = log(1 + (N - df + 0.5) / (df + 0.5))`` (as in Lucene: never negative).
    """
    weights = _weights(query, statistics)
    if not weights:
        return {}
    mean = statistics.length / statistics.places
    scored: list[tuple[float, Place, tuple[str, ...]]] = []
    for file in files:
        scores: dict[int, float] = {}
        shares: dict[int, list[tuple[float, str]]] = {}
        for word, weight in weights.items():
            for number, count in file.postings.get(word, ()):
                norm = K1 * (1.0 - B + B * file.lengths[number] / mean)
                share = weight * count * (K1 + 1.0) / (count + norm)
                scores[number] = scores.get(number, 0.0) + share
                shares.setdefault(number, []).append((share, word))
        for number, score in scores.items():
            best = heapq.nlargest(_SHOWN, shares[number])
            scored.append((score, file.pieces[number].place, tuple(word for _, word in best)))
    first = heapq.nsmallest(most, scored, key=lambda one: (-one[0], one[1]))
    return {place: Found(score, f"shares {', '.join(why)}") for score, place, why in first}


def _weights(query: str, statistics: Statistics) -> dict[str, float]:
    """Weight of every word of the query that the tree knows."""
    found = {}
    for word, count in Counter(words(_NUMBER.sub(" ", query[:_QUERY]))).items():
        known = statistics.frequency.get(word, 0)
        if known and word not in STOP:
            idf = math.log1p((statistics.places - known + 0.5) / (known + 0.5))
            found[word] = idf * math.sqrt(count)
    if len(found) > _MOST_WORDS:
        found = dict(heapq.nlargest(_MOST_WORDS, found.items(), key=lambda pair: pair[1]))
    return found
