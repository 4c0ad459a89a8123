"""Train one row of Table 1 and measure it: ``python train.py pool=blur filter=tri5 aug=false``; see ``--help``."""

from lit_shift.commands.train import main

if __name__ == "__main__":
    main()
