"""The panels of the main screen, a package each: columns, rows, plots, help and widget together."""
