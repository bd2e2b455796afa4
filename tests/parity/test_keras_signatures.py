# SPDX-License-Identifier: BSD-3-Clause
"""Every argument that Keras documents for training either works here or is refused by name: none is ignored in silence.

The test walks Keras's own signatures. What differs stands in the tables below, with the reason.
"""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from peers import keras

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")

#: Names of Keras that are not here, and why.
ABSENT = {
    "callbacks.OrbaxCheckpoint": "writes through JAX's Orbax",
    "callbacks.RemoteMonitor": "sends metrics over HTTP",
    "utils.Config": "of Keras's own configuration",
    "utils.FeatureSpace": "preprocessing of tables",
    "utils.array_to_img": "images",
    "utils.audio_dataset_from_directory": "makes TensorFlow data sets",
    "utils.get_file": "downloads",
    "utils.image_dataset_from_directory": "images",
    "utils.img_to_array": "images",
    "utils.load_img": "images",
    "utils.save_img": "images",
    "saving.KerasFileEditor": "edits files interactively",
}
#: Arguments that are refused, with what shows it: a call with another value than the default.
REFUSED = {
    ("utils.model_to_dot", "expand_nested"): True,
    ("utils.model_to_dot", "subgraph"): True,
    ("utils.plot_model", "expand_nested"): True,
    ("utils.split_dataset", "preferred_backend"): "tensorflow",
    ("utils.text_dataset_from_directory", "format"): "tf",
    ("utils.timeseries_dataset_from_array", "format"): "tf",
    ("callbacks.TensorBoard", "write_images"): True,
    ("callbacks.TensorBoard", "profile_batch"): 2,
    ("callbacks.TensorBoard", "embeddings_freq"): 1,
    ("callbacks.TensorBoard", "embeddings_metadata"): {"a": "b"},
}
#: Arguments whose value changes nothing, and why that is no silence: the docstring says it.
WITHOUT_EFFECT = {
    "write_graph": "TensorBoard: graphs are not written, as its docstring says; Keras's default is True",
    "run_eagerly": "there is one way of running",
    "steps_per_execution": "batches do not leave Python in between",
    "jit_compile": "kernels are compiled already",
    "auto_scale_loss": "for half precision",
}
#: Defaults that differ, and why.
DEFAULTS = {
    ("utils.text_dataset_from_directory", "format"): "batches are arrays; 'tf' is refused",
    ("utils.timeseries_dataset_from_array", "format"): "batches are arrays; 'tf' is refused",
    (
        "losses.categorical_generalized_cross_entropy",
        "q",
    ): "Keras's function has none, its class has this one",
}
MODULES = (
    "losses", "metrics", "optimizers", "optimizers.schedules", "callbacks", "initializers", "regularizers",
    "constraints", "utils", "saving", "models",
)  # fmt: skip
#: Arguments of constructors that have no default.
NEEDED = {
    "axis": -1, "boundaries": [1], "class_id": 0, "decay_rate": 0.5, "decay_steps": 10, "filename": "x.csv",
    "filepath": "x.keras", "first_decay_steps": 10, "initial_learning_rate": 0.1, "learning_rate": 0.1,
    "num_classes": 3, "precision": 0.5, "recall": 0.5, "schedule": float, "sensitivity": 0.5, "specificity": 0.5,
    "target_class_ids": [0], "values": [1.0, 0.5], "backup_dir": "backup", "fn": np.subtract, "q": 0.5,
}  # fmt: skip


def found(root, dotted):
    for part in dotted.split("."):
        root = getattr(root, part)
    return root


def names():
    for module in MODULES:
        for name in dir(found(keras, module)):
            thing = getattr(found(keras, module), name)
            if not name.startswith("_") and callable(thing) and not inspect.ismodule(thing):
                yield f"{module}.{name}"


NAMES = sorted(set(names()))
PRESENT = [name for name in NAMES if name not in ABSENT]


def arguments(thing):
    """Parameters by name, those that a base class takes through ``**kwargs`` too."""
    parameters = dict(inspect.signature(thing).parameters)
    if inspect.isclass(thing) and any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for base in thing.__mro__[1:-1]:
            if "__init__" in vars(base):
                for name, parameter in inspect.signature(base).parameters.items():
                    parameters.setdefault(name, parameter)
    return {n: p for n, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}


def test_only_the_listed_names_are_absent():
    absent = {
        name for name in NAMES if not hasattr(found(lf, name.rpartition(".")[0]), name.rpartition(".")[2])
    }
    assert absent == {name for name in ABSENT if name in NAMES}


@pytest.mark.parametrize("name", PRESENT)
def test_arguments_and_defaults_are_those_of_keras(name):
    theirs, ours = arguments(found(keras, name)), arguments(found(lf, name))
    assert set(theirs) <= set(ours), f"missing: {sorted(set(theirs) - set(ours))}"
    if not inspect.isclass(found(keras, name)):
        assert list(ours)[: len(theirs)] == list(theirs), "of another order"
    for argument, parameter in theirs.items():
        if argument == "name" or (name, argument) in DEFAULTS:
            continue  # names: the test of objects below
        default, own = parameter.default, ours[argument].default
        if default is parameter.empty and own is None:
            continue
        assert own == default or repr(own) == repr(default), f"{argument}: {own!r}, Keras has {default!r}"


#: What optimizers around others need, of the same library.
INNER = {
    "inner_optimizer": lambda o: o.SGD(0.5),
    "default_optimizer": lambda o: o.SGD(0.5),
    "optimizer_map": lambda o: o.OptimizerMap(o.Adam(), {"kernel": o.SGD(0.5)}),
}


def made(name, root, **given):
    thing = found(root, name)
    needed = {
        n: NEEDED[n]
        for n, p in inspect.signature(thing).parameters.items()
        if p.default is p.empty and n in NEEDED and n not in given
    }
    for n in inspect.signature(thing).parameters.keys() & INNER.keys() - given.keys():
        if not (n == "optimizer_map" and thing.__name__ == "OptimizerMap"):  # a dict there
            needed[n] = INNER[n](root.optimizers)
    return thing(**needed, **given)


OBJECTS = [
    name
    for name in PRESENT
    if inspect.isclass(found(keras, name))
    and name.split(".")[0] in ("losses", "metrics", "optimizers", "initializers", "regularizers", "constraints")
    and name.split(".")[-1] not in ("Loss", "Metric", "Optimizer", "Initializer", "Regularizer", "Constraint",
                                    "LearningRateSchedule", "MeanMetricWrapper", "Quantizer")
]  # fmt: skip


@pytest.mark.parametrize("name", OBJECTS)
def test_every_argument_is_kept(name):
    """An argument that a constructor takes is found again: in the configuration, as in Keras."""
    theirs, ours = made(name, keras), made(name, lf)
    kept, keras_kept = ours.get_config(), theirs.get_config()
    assert set(keras_kept) <= set(kept) | {"dtype"}, f"missing: {sorted(set(keras_kept) - set(kept))}"
    if hasattr(theirs, "name"):
        assert ours.name.rstrip("_0123456789") == theirs.name.rstrip("_0123456789")
    again = type(ours).from_config(kept)
    assert again.get_config() == kept
    with pytest.raises((TypeError, ValueError), match=r"no_such_argument|takes no arguments"):
        made(name, lf, no_such_argument=1)


@pytest.mark.parametrize("name", [n for n in OBJECTS if n.startswith("losses.")])
def test_losses_compute_in_float32_and_say_so(name):
    with pytest.raises(ValueError, match="dtype"):
        made(name, lf, dtype="float16")


def test_refused_arguments_are_refused_by_name(tmp_path):
    model = lf.Sequential([lf.Input((2,)), lf.layers.Dense(1)])
    first = {
        "utils.model_to_dot": (model,),
        "utils.plot_model": (model, tmp_path / "m.dot"),
        "utils.split_dataset": (np.ones(4), 0.5),
        "utils.text_dataset_from_directory": (tmp_path,),
        "utils.timeseries_dataset_from_array": (np.ones(4), None, 2),
        "callbacks.TensorBoard": (tmp_path,),
    }
    for (name, argument), value in REFUSED.items():
        with pytest.raises((ValueError, TypeError), match=argument):
            found(lf, name)(*first[name], **{argument: value})
    for name in first:
        listed = {argument for n, argument in REFUSED if n == name} | set(WITHOUT_EFFECT)
        text = inspect.getdoc(found(lf, name))
        for argument in listed & set(arguments(found(lf, name))):
            assert argument in text or name == "utils.model_to_dot"


METHODS = (
    "compile", "fit", "evaluate", "predict", "train_on_batch", "test_on_batch", "predict_on_batch", "save",
    "summary", "get_layer", "compute_loss", "get_state_tree", "set_state_tree", "build_from_config",
)  # fmt: skip


@pytest.mark.parametrize("method", [m for m in METHODS if hasattr(lf.Model, m)])
def test_methods_of_models_take_keras_arguments_in_its_order(method):
    theirs, ours = (arguments(getattr(K.Model, method)) for K in (keras, lf))
    assert list(ours)[: len(theirs)] == list(theirs)
    for argument, parameter in theirs.items():
        if parameter.default is not parameter.empty:
            assert ours[argument].default == parameter.default, argument
    text = inspect.getdoc(getattr(lf.Model, method)) or ""
    for argument in set(ours) & set(WITHOUT_EFFECT):
        assert argument in text


def test_base_classes_refuse_what_they_do_not_know():
    for make in (
        lambda: lf.losses.Loss(no_such_argument=1),
        lambda: lf.metrics.Metric(no_such_argument=1),
        lambda: lf.optimizers.SGD(no_such_argument=1),
        lambda: lf.callbacks.EarlyStopping(no_such_argument=1),
        lambda: lf.Sequential([], no_such_argument=1),
    ):
        with pytest.raises((TypeError, ValueError), match="no_such_argument"):
            make()
