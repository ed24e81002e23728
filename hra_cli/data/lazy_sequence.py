"""Sequences whose items are made when they are asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar, Union, overload

Item = TypeVar("Item")


class LazySequence(Sequence[Item]):
    """A sequence that says how to make one item, and what some of it is."""

    @abstractmethod
    def one(self, position: int) -> Item:
        """The item at a position from 0 on."""

    @abstractmethod
    def some(self, positions: slice) -> Sequence[Item]:
        """The items at these positions, as lazy as this."""

    @overload
    def __getitem__(self, position: int) -> Item: ...

    @overload
    def __getitem__(self, position: slice) -> Sequence[Item]: ...

    def __getitem__(self, position: Union[int, slice]) -> Union[Item, Sequence[Item]]:
        return self.some(position) if isinstance(position, slice) else self.one(range(len(self))[position])
