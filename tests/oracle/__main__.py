"""`python3 tests/oracle`: see `command`."""

import sys

from command import main

sys.exit(main(sys.argv[1:]))
