"""The names of what etcd holds encrypted (`spec.encryption`), as API servers read them."""

from __future__ import annotations

from typing import Final, NamedTuple, Self

ANY: Final = "*"


class GroupResource(NamedTuple):
    """A resource and its group: empty is the core group, `*` is all of them."""

    name: str
    group: str

    @classmethod
    def read(cls, text: str) -> Self:
        """Read it as apimachinery's `ParseGroupResource` does."""
        name, _, group = text.partition(".")
        return cls(name, group)

    def __str__(self) -> str:
        is_core = not self.group and self.name != ANY
        return self.name if is_core else f"{self.name}.{self.group}"

    def covers(self, other: GroupResource) -> bool:
        """Whether what is written for this one concerns the other."""
        return self in {other, (ANY, ANY), (ANY, other.group)}
