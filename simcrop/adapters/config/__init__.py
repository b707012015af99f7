"""A YAML file and `--set` become one frozen `RunConfig`, or one readable line."""
