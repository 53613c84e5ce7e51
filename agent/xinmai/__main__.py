"""`python -m xinmai`, for processes that must not depend on PATH."""

import sys

from xinmai.cli.main import main

sys.exit(main())
