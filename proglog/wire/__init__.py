"""What client and server share of the wire: shared values, their messages, statuses, constants of the contract."""
