"""What people follow, and what they are told: subscriptions and notices, as rows.

Promises that a notice is told once it is committed, and stays unread until one of those it is for reads it.
"""

from collections.abc import Sequence

from towpath.adapters.catalog.events import Events
from towpath.adapters.catalog.sql import chunks, marks
from towpath.contracts.people import NoticeRow, SubscriptionRow


class Noticing(Events):
    """Adds what is done to them."""

    def subscribe(self, who: str, item: int) -> SubscriptionRow:
        """Somebody follows an item; who does so already goes on."""
        self.item(item)
        self.cursor.execute(
            "INSERT INTO subscriptions (who, item_id, since) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (who, item, self.now()),
        )
        return self.subscriptions(who=who, item=item)[0]

    def unsubscribe(self, who: str, item: int) -> bool:
        """Somebody no longer follows an item; False if nobody did."""
        self.cursor.execute("DELETE FROM subscriptions WHERE who = ? AND item_id = ?", (who, item))
        return bool(self.cursor.rowcount)

    def add_notice(self, row: NoticeRow) -> int:
        """Write a notice, not read; returns its number."""
        fresh = self.one(
            "INSERT INTO notices (who, event, item_id, title, body, time) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
            (row.who, row.event, row.item, row.title, row.body, self.now()),
        )
        return int(fresh[0])

    def read_notices(self, who: Sequence[str], ids: Sequence[int]) -> int:
        """These notices to any of these were read now; returns how many were not before."""
        count = 0
        for part in chunks(sorted(set(ids))):
            self.cursor.execute(
                f'UPDATE notices SET "read" = ? WHERE "read" IS NULL AND who IN ({marks(who)}) AND id IN ({marks(part)})',
                (self.now(), *who, *part),
            )
            count += self.cursor.rowcount
        return count
