"""The one real clock."""

import time


class SystemClock:
    """The machine's clock."""

    def __init__(self) -> None:
        """Take the time once: what steps it later must not end or stretch a run."""
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Return the Unix time in seconds; it never goes back."""
        return self._offset + time.monotonic()

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block for `seconds`."""
        time.sleep(seconds)  # noqa: TID251 - this is the Clock
