"""The one place of the sweeps that lets time pass, with a deadline and a sentence for what is awaited."""

import time


def wait_until(holds, what, seconds=30):
    """Polls a program that has no way of calling back; gives the first true answer."""
    end = time.monotonic() + seconds
    while not (answer := holds()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s in vain: {what}")
        time.sleep(0.02)
    return answer
