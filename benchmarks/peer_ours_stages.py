"""The three stages of the trivial workload, around the functions that all peers run."""

import os

import common as c

from towpath import Context, Many, One, Plugin, Stage


class WriteAside(Stage):
    """Write the item's file; it is no product."""

    folder: str

    def run(self, context: Context) -> None:
        """Run the peers' function."""
        c.s1(self.folder, context.item.key)


class HashAside(Stage):
    """Hash the item's file into a second one; neither is a product."""

    folder: str

    def run(self, context: Context) -> None:
        """Run the peers' function."""
        c.s2(self.folder, context.item.key)


class CollectAside(Stage):
    """Collect all hashes."""

    folder: str
    n: int

    def run(self, context: Context) -> None:
        """Run the peers' function."""
        c.s3(self.folder, self.n)
        context.measure("collected", self.n)


class Write(WriteAside):
    """Write the item's file; it is a product as well (a second name of the same bytes)."""

    produces = {"file": "text/item"}

    def run(self, context: Context) -> None:
        """Run the peers' function and register what it made."""
        super().run(context)
        with context.output("file", "item.txt") as path:
            os.link(c.p1(self.folder, context.item.key), path)


class Hash(HashAside):
    """Hash the item's file into a second one, which is a product as well."""

    consumes = {"file": One("text/item")}
    produces = {"hash": "text/hash"}

    def run(self, context: Context) -> None:
        """Run the peers' function and register what it made."""
        super().run(context)
        with context.output("hash", "hash.txt") as path:
            os.link(c.p2(self.folder, context.item.key), path)


class Collect(CollectAside):
    """Collect all hashes into one product."""

    consumes = {"hashes": Many("text/hash")}
    produces = {"all": "text/all"}

    def run(self, context: Context) -> None:
        """Run the peers' function and register what it made."""
        super().run(context)
        with context.output("all", "collected.txt") as path:
            os.link(c.p3(self.folder), path)


plugin = Plugin("trivial", stages=(Write, WriteAside, Hash, HashAside, Collect, CollectAside))
