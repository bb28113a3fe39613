"""`python -m training.cli` is `clairo-train`."""

from training.cli.commands import main

if __name__ == "__main__":
    main()
