"""`python -m worker`: started by module, since by file name its folder would shadow libraries."""

from connection.ending import end_with
from worker.main import main

end_with(main)
