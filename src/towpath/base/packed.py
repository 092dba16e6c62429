"""Long lists of values in little memory: pages that are compressed as the list grows, and read again in order.

What enters is what comes out, equal and in order. Nothing is ever taken out again, and nothing leaves the process.
"""

import pickle
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar, overload

PAGE = 1000  # values that are compressed together; a list that is no longer than this stays as it is

T = TypeVar("T")


class Packed(Sequence[T]):
    """A list that grows at its end, and takes about a tenth of the memory once it is longer than a page."""

    __slots__ = ("_pages", "_tail")

    def __init__(self, values: Iterable[T] = ()) -> None:
        self._pages: list[bytes] = []
        self._tail: list[T] = []
        for value in values:
            self.append(value)

    def append(self, value: T) -> None:
        """Add a value at the end."""
        if len(self._tail) == PAGE:
            self._pages.append(zlib.compress(pickle.dumps(self._tail, pickle.HIGHEST_PROTOCOL), 1))
            self._tail = []
        self._tail.append(value)

    def pages(self) -> Iterator[Sequence[T]]:
        """The values, a page at a time."""
        for page in self._pages:
            yield _opened(page)
        yield self._tail

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from page

    def __len__(self) -> int:
        return PAGE * len(self._pages) + len(self._tail)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        page, number = divmod(range(len(self))[index], PAGE)
        found: Sequence[T] = self._tail if page == len(self._pages) else _opened(self._pages[page])
        return found[number]


def _opened(page: bytes) -> list[T]:
    values: list[T] = pickle.loads(zlib.decompress(page))
    return values
