"""Reads pages as a person does who looks at one part of them."""

from __future__ import annotations

from html.parser import HTMLParser

_EMPTY = {"meta", "link", "br", "img", "hr", "input"}


class Reader(HTMLParser):
    """Collects the text of each section by its heading's id, and every element."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.sections: dict[str, list[str]] = {}
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._inside: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag not in _EMPTY:
            self._inside.append((tag, (attributes.get("aria-labelledby") or "").partition(" ")[0]))

    def handle_endtag(self, tag: str) -> None:
        assert self._inside, tag
        assert self._inside.pop()[0] == tag, f"{tag} is closed, and is not open"

    def handle_data(self, data: str) -> None:
        if any(tag in {"style", "script"} for tag, _ in self._inside):
            return
        self.texts.append(data)
        for tag, name in self._inside:
            if tag == "section":
                self.sections.setdefault(name.partition("-")[2], []).append(data)

    def text(self, section: str | None = None) -> str:
        """The words of a section, or all of them."""
        found = self.texts if section is None else self.sections[section]
        return " ".join(" ".join(found).split())
