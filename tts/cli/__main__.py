"""`python -m tts.cli`: the same as `tts`."""

import sys

from tts.cli import main

sys.exit(main())
