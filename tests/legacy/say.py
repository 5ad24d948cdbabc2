"""Printing for the programs of this folder. Their conduct on the network is their own."""

import os


def say(text):
    """Prints a line in one write.

    `print` writes a line and its end separately, so that lines of two threads mix.
    """
    os.write(1, f"{text}\n".encode())
