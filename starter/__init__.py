"""The CLI `proverctl`: parse, ask the workflow, show what came of it."""
