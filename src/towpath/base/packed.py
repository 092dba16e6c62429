"""Long lists in little memory: pages that are compressed as the list grows, and read again in order.

What is kept is plain (tuples of numbers, texts and the like); the values are made of it as they are read, so that equal
ones come out each time. Nothing is ever taken out again, and nothing leaves the process.
"""

import pickle
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar, overload

PAGE = 1000  # values that are compressed together; a list that is no longer than this need not be packed

T = TypeVar("T")


class Packed(Sequence[T]):
    """A list that grows at its end, and takes about a tenth of the memory once it is longer than a page.

    Parameters
    ----------
    make
        Makes a value of what is kept of it.
    kept
        What is kept of the first values.
    """

    __slots__ = ("_make", "_pages", "_tail")

    def __init__(self, make: Callable[[Any], T], kept: Iterable[Any] = ()) -> None:
        self._make = make
        self._pages: list[bytes] = []
        self._tail: list[Any] = []
        for one in kept:
            self.append(one)

    def append(self, kept: Any) -> None:
        """Add a value at the end, as it is kept."""
        if len(self._tail) == PAGE:
            self._pages.append(zlib.compress(pickle.dumps(self._tail, pickle.HIGHEST_PROTOCOL), 1))
            self._tail = []
        self._tail.append(kept)

    def pages(self) -> Iterator[Sequence[Any]]:
        """The values as they are kept, a page at a time."""
        for page in self._pages:
            yield _opened(page)
        yield self._tail

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from map(self._make, page)

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
        kept = self._tail if page == len(self._pages) else _opened(self._pages[page])
        return self._make(kept[number])


def _opened(page: bytes) -> list[Any]:
    kept: list[Any] = pickle.loads(zlib.decompress(page))
    return kept
