"""The kinds of backend steps: command, function, process, compose project, file, submodules and wait."""
