"""What recommending asks of whoever keeps users' feedback: a user's history. Knows nothing of how it is kept."""

from typing import Protocol


class UserHistories(Protocol):
    """Users' histories by user id."""

    async def user_history(self, user_id: str) -> tuple[str, ...]:
        """The newest items that a user had to do with, oldest first; none for a user who is unknown.

        Raises:
            StoreError: they cannot be read now.
        """
