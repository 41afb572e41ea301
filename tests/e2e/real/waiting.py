"""Waiting for a condition with a deadline, because a sleep is either too short or too long."""

import time


class Deadline:
    """A moment on the monotonic clock after which waiting is a failure."""

    def __init__(self, seconds):
        self._end = time.monotonic() + seconds

    def remaining(self):
        return max(0.0, self._end - time.monotonic())

    def passed(self):
        return time.monotonic() >= self._end


def wait_until(predicate, deadline, what, every=0.02, tolerate=()):
    """Polls until predicate() is true and returns its value.

    deadline is in seconds; what says what was waited for, and stands in the AssertionError. Exceptions of the types in
    `tolerate` count as "not yet"; the last one is quoted at the deadline. The predicate runs at least once, and once
    more after the deadline, so a stalled machine does not fail a condition that holds.
    """
    end = Deadline(deadline)
    while True:
        last_look = end.passed()
        trouble = None
        try:
            value = predicate()
            if value:
                return value
        except tolerate as error:
            trouble = error
        if last_look:
            because = f" (last: {trouble!r})" if trouble else ""
            raise AssertionError(f"not within {deadline} s: {what}{because}")
        time.sleep(min(every, end.remaining()))
