"""The same as ``esm2-amp train``; try ``python train.py --help``."""

import sys

from esm2_amp.tasks.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
