"""Measure a run, or any classifier: ``python eval.py ckpt=RUN``; see ``--help``."""

from lit_shift.commands.eval import main

if __name__ == "__main__":
    main()
