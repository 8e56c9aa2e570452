"""``python -m proglog`` and the ``proglog`` command."""


def main() -> None:
    """Run the command line."""
    from proglog.cli.app import run

    run()


if __name__ == "__main__":
    main()
