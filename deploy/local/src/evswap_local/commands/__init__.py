"""The subcommands of ``evswap``: one module each, with its arguments and what it does."""
