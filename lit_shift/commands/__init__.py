"""Commands that compose a config, build its parts and run them."""
