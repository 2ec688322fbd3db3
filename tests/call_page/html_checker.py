"""A check of a page's HTML: what is open, what it refers to, what could run."""

from __future__ import annotations

from html.parser import HTMLParser


class Checker(HTMLParser):
    """Holds the tags to their nesting, and collects what would be fetched or run."""

    void = frozenset({"meta", "link", "br", "img", "path", "rect", "circle", "use"})

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.policy = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.void:
            self.open.append(tag)
        self._see(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._see(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def _see(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.attributes |= values.keys()
        self.references += [value for name in ("src", "href") if (value := values.get(name))]
        self.ids += [value for value in [values.get("id")] if value]
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values.get("content") or ""
