# SPDX-License-Identifier: BSD-3-Clause
"""Programs of examples/keras, unchanged but for what the name lstmfast stands for, run under the real Keras 3."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import peers  # noqa: F401 - skips where Keras is missing
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples" / "keras"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the examples are not here"),
]

#: Those that need nothing but Keras's own lines and PyTorch (`timeseries_dataset_from_array` needs TensorFlow), and
#: little time.
PROGRAMS = [
    "active_learning_review_classification",
    "eeg_signal_classification",
    "functional_api",
    "making_new_layers",
    "ner_transformers",
    "pretrained_word_embeddings",
    "sequential_model",
    "serialization_and_saving",
    "text_classification_from_scratch",
    "timeseries_classification_transformer",
    "training_with_data_sets",
    "writing_your_own_callbacks",
]

#: Keras under our name; the data set that comes with lstmfast stays.
SHIM = """
import runpy, sys
from lstmfast.datasets import japanese_vowels
import keras
for name in [name for name in sys.modules if name.split(".")[0] == "lstmfast"]:
    del sys.modules[name]
sys.modules["lstmfast"] = keras
keras.datasets.japanese_vowels = japanese_vowels
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_program_under_keras(name, tmp_path):
    environment = {**os.environ, "KERAS_BACKEND": "torch", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-c", SHIM, str(EXAMPLES / f"{name}.py")],
        capture_output=True,
        encoding="utf-8",
        cwd=tmp_path,
        env=environment,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
