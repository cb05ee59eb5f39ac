"""The workflow of one deployment: inbox, commands, rollout, watch, questions and teardown."""
