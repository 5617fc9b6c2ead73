# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How long fuzzing runs: briefly within the other tests; `make fuzz` asks for more."""
import os

from hypothesis import HealthCheck
from hypothesis import settings

FUZZ = settings(max_examples=int(os.environ.get('STM_FUZZ_EXAMPLES', '50')), deadline=None,
                suppress_health_check=list(HealthCheck), print_blob=True)
