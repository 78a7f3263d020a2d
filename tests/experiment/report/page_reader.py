"""A page as tests read it."""

from __future__ import annotations

from html.parser import HTMLParser


class Reader(HTMLParser):
    """A page as a tree of (tag, attributes, text inside), strict about nesting."""

    VOID = frozenset({"meta", "link", "img", "br", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.texts: list[str] = []
        self.open: list[int] = []
        self.feed(text)
        assert not self.open, f"unclosed: {[self.elements[place][0] for place in self.open]}"

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), f"double attribute in {tag}"
        self.elements.append((tag, dict(attrs), tuple(self.elements[place][0] for place in self.open)))
        self.texts.append("")
        if tag not in self.VOID:
            self.open.append(len(self.elements) - 1)

    def handle_endtag(self, tag):
        assert self.elements[self.open.pop()][0] == tag

    def handle_data(self, data):
        for place in self.open:
            self.texts[place] += data

    def all(self, tag):
        return [attributes for name, attributes, _ in self.elements if name == tag]

    def text_of(self, tag):
        return [
            " ".join(text.split()) for (name, _, _), text in zip(self.elements, self.texts, strict=True) if name == tag
        ]
