"""The one place of the bench that lets time pass, with a deadline and a sentence for what is awaited."""

import time


def wait_until(holds, what, seconds=60):
    """Polls a program that has no way of calling back."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s until {what}")
        time.sleep(0.05)


def let_run(seconds, _what):
    """Lets something run for a while that is measured meanwhile; the second argument says what."""
    time.sleep(seconds)
