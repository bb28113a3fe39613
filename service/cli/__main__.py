"""`python -m service.cli` is `clairo-serve`."""

from service.cli.commands import main

if __name__ == "__main__":
    main()
