#!/usr/bin/env bash
# Every test, the slow and the exhaustive ones too, as the gate runs them: on the wheel, in an environment of its own.
LSTMFAST_EVERYTHING=1 exec bash "$(dirname "$0")/../.ci/run"
