"""The same as ``esm2-amp predict``; try ``python predict.py --help``."""

import sys

from esm2_amp.tasks.cli import main

if __name__ == "__main__":
    main(["predict", *sys.argv[1:]])
