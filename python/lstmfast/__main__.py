# SPDX-License-Identifier: BSD-3-Clause
"""``python -m lstmfast`` is ``lstmfast``."""

import sys

from .cli import main

sys.exit(main())
