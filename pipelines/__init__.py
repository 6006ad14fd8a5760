"""Ray jobs and the command line: the only package that knows Ray."""
