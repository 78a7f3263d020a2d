"""Two pictures of the same slice, to be compared with a slider."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BeforeAfter:
    """A pair of pictures of one size.

    Attributes:
        before, after: PNG files, relative to the report's folder.
        title: one line.
        before_label, after_label: what each is, in a word or two.
        alt: what is seen, for those who cannot see it.
        caption: what to look at; may be empty.
    """

    before: str
    after: str
    title: str
    before_label: str
    after_label: str
    alt: str
    caption: str = ""
