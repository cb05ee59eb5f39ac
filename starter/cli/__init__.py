"""Parts of every command: options, settings, terminal, progress and exit codes."""
