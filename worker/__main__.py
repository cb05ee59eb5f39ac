"""`python -m worker`: started by module, since by file name its folder would shadow libraries."""

import sys

from worker.main import main

sys.exit(main())
