"""``python -m esm2_amp`` is ``esm2-amp``."""

from esm2_amp.tasks.cli import main

if __name__ == "__main__":
    main()
