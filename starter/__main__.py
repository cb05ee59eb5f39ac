"""`python -m starter` is `proverctl`."""

from starter.main import main

main()
