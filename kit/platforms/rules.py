"""What the pages of a competition say about entries that a program sends."""

import html
import re
from collections.abc import Iterable

LONGEST = 240
_MEANS = (
    r"\b(?:automat(?:ed|ic|ion)\b|automatically (?:generat|submi|made|creat|sent)\w*"
    r"|bots?\b|robot\w*|scripts?\b|macros?\b|API\b|programmatic\w*)"
)
_ENTRY = r"\b(?:submi\w+|entr(?:y|ies)\b)"
_NO = r"\b(?:not\b|no\b|forbid\w*|prohibit\w*|void\b|disqualif\w+|ban(?:ned)?\b|without (?:our )?permission)"


def automation_notes(pages: Iterable[str]) -> list[str]:
    """A warning that quotes the first sentence which seems to forbid automatic entries, as far as the pages say."""
    for page in pages:
        text = html.unescape(re.sub(r"<[^>]*>", " ", page))
        for sentence in re.split(r"(?<=[.!?;])\s+|\n\s*\n|\n\s*[-*#]", text):
            if all(re.search(part, sentence, re.IGNORECASE) for part in (_MEANS, _ENTRY, _NO)):
                quoted = " ".join(sentence.split())[:LONGEST]
                return [f'the rules may forbid entries that a program sends: "{quoted}"']
    return []
