"""The command ``plr-fast``: each subcommand's options are the fields of a config dataclass."""
