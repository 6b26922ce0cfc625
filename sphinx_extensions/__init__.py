"""The book's own Sphinx extensions; each module says what it is for. `_config.yml` lists them."""
