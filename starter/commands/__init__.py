"""The commands of `proverctl`, one module for each subject, loaded when used."""
