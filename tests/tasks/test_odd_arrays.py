"""What is no array of examples, or one that nobody would look at, is refused before training."""

from __future__ import annotations

import os
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import DataError, UsageError, negative_log_likelihood, squared_error
from meta_shrink.adapters.backbone_info import ArraySpec
from meta_shrink.tasks.arrays import arrays
from meta_shrink.tasks.example_arrays import fitted, fitted_inputs, read_npz
from meta_shrink.tasks.user_tasks import task_examples
from tests.problems import parameters


@pytest.fixture
def folder(tmp_path):
    """Six whole tasks."""
    for number in range(6):
        x = np.ones([4, 3]) * number
        np.savez(tmp_path / f"task_{number}.npz", inputs=x, targets=x[:, :1])
    return tmp_path


def test_weights_in_a_file_are_not_taken_for_an_input(folder):
    for path in folder.glob("*.npz"):
        np.savez(path, inputs=np.ones([4, 3]), targets=np.ones(4), weights=np.ones(4))
    with pytest.raises(DataError, match="'weights', but examples of files count alike"):
        arrays(seed=0, data_dir=str(folder))


def test_one_input_under_two_names_is_refused(folder):
    """A backbone takes `inputs` for its only one, whatever that is called."""
    specs = [ArraySpec("x", (3,), "float32"), ArraySpec("targets", (1,), "float32")]
    path = folder / "twice.npz"
    np.savez(path, inputs=np.ones([4, 3]), x=np.zeros([4, 3]), targets=np.ones(4))
    with pytest.raises(DataError, match="inputs and x, which both mean the input 'x'"):
        read_npz(str(path), specs)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("t2.npz", "t2.NPZ"), ("t9.nPz", "t9.Npz")])
def test_two_files_of_one_task_are_refused(names, folder):
    for name in names:
        (folder / name).write_bytes((folder / "task_0.npz").read_bytes())
    with pytest.raises(DataError, match=rf"holds {max(names)[:2]}.* and .*two files of one task"):
        arrays(seed=0, data_dir=str(folder))


def test_an_array_of_one_name_twice_is_refused(folder):
    with zipfile.ZipFile(folder / "task_0.npz", "a") as archive, archive.open("inputs.npy") as file:
        content = file.read()
    with zipfile.ZipFile(folder / "task_0.npz", "a") as archive:
        archive.writestr("inputs.npy", content)
    with pytest.raises(DataError, match="two arrays of the name 'inputs'"):
        arrays(seed=0, data_dir=str(folder))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("nowhere", path)])
def test_what_is_no_file_is_told_and_not_waited_for(make, folder):
    make(folder / "odd.npz")
    with pytest.raises(DataError, match=r"odd\.npz cannot be read"):
        arrays(seed=0, data_dir=str(folder))


OBJECTS = {
    "RaggedTensor": lambda: tf.ragged.constant([[1.0], [2.0, 3.0]]),
    "SparseTensor": lambda: tf.sparse.from_dense([[1.0, 0.0]]),
    "NoneType": lambda: None,
    "generator": lambda: (n for n in range(3)),
}


@pytest.mark.parametrize("kind", OBJECTS)
def test_what_is_no_array_of_numbers_is_named(kind):
    with pytest.raises(DataError, match=rf"Task 'a' has a {kind}; expected an array of numbers"):
        task_examples({"a": (OBJECTS[kind](), np.zeros((2, 1)))}, ["x"])


def named(struct: str) -> keras.Model:
    x = keras.Input((3,), name="x")
    return keras.Model({"x": x} if struct == "dict" else x, keras.layers.Dense(1)(x))


@pytest.mark.parametrize("struct", ["dict", "one"])
def test_an_input_that_the_model_does_not_take_is_refused(struct):
    model = named(struct)
    nll, batch = negative_log_likelihood(model, squared_error()), ({"x": tf.ones([2, 3])},)
    targets = tf.zeros([2, 1])
    assert nll(parameters(model), (*batch, targets)) >= 0
    extra = {**batch[0], "age": tf.ones([2, 1])}
    with pytest.raises(UsageError, match=r"the input 'age', which model .* \(it takes x\)"):
        nll(parameters(model), (extra, targets))


SECONDS = 1_700_000_000  # float32 counts them in steps of 128.
COARSE = {
    "times": (SECONDS + np.arange(6), "float32"),
    "times in float64": (SECONDS + 0.5 * np.arange(6), "float32"),
    "near to nothing": (1e-50 * np.arange(6), "float32"),
    "one of two": (np.stack([np.arange(6), 2**24 + 10 * np.arange(6) + 1], 1), "float32"),
    "half precision": (1000 + 0.1 * np.arange(6), "float16"),
}
FINE = {
    "days": (SECONDS + 86400 * np.arange(6), "float32"),
    "a constant": (np.full(6, 0.1), "float32"),
    "a constant but for noise": (0.1 + 1e-17 * np.arange(6), "float32"),
    "float64": (SECONDS + 0.5 * np.arange(6), "float64"),
    "one example": (np.array([SECONDS + 1]), "float32"),
    "truth values": (np.arange(6) > 2, "float32"),
}


@pytest.mark.parametrize("kind", [*COARSE, *FINE])
def test_what_varies_is_not_rounded_away(kind):
    values, dtype = (COARSE | FINE)[kind]
    specs = [ArraySpec("x", values.shape[1:] or (1,), dtype)]
    if kind in COARSE:
        with pytest.raises(DataError, match=f"x differs by less than {dtype} can tell"):
            fitted({"x": values}, specs, "Task 'a'")
    else:
        cast = fitted({"x": values}, specs, "Task 'a'")["x"][:, 0]
        np.testing.assert_allclose(cast, values, rtol=1e-7)


VOICES = [ArraySpec("voice", (), "int32"), ArraySpec("audio", (2,), "float32")]
AUDIO = np.zeros([2, 2])
UNFIT = {
    "parts of numbers": ([1.7, 2.0], AUDIO, "voice holds float64"),
    "beyond int32": ([1, 2**32 + 1], AUDIO, "too large for int32"),
    "text": (["a", "b"], AUDIO, "voice holds <U1"),
    "other lengths": ([1], AUDIO, "different lengths"),
    "other sizes": ([1, 2], np.zeros([2, 3]), r"audio has shape \[2, 3\]"),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_what_is_asked_of_a_network_fits_it(kind):
    voice, audio, words = UNFIT[kind]
    with pytest.raises(DataError, match=f"predict.*{words}"):
        fitted_inputs({"voice": np.array(voice), "audio": audio}, VOICES, "predict")


def test_inputs_of_the_right_type_are_given_as_they_are():
    given = {"voice": np.array([], np.int32), "audio": np.full([0, 2], np.nan, np.float32)}
    assert fitted_inputs(given, VOICES, "predict") == given


INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def taken(number: int, given: str, wanted: str) -> int | None:
    """What an input of the type wanted gets for a number of another type; None if refused."""
    spec = ArraySpec("x", (1,), wanted)
    targets = ArraySpec("targets", (1,), "float32")
    array = np.array([[number]], given)
    found = []
    for take in (
        lambda: fitted_inputs({"x": array}, [spec], "predict"),
        lambda: fitted({"x": array, "targets": np.ones([1, 1])}, [spec, targets], "a task"),
    ):
        try:
            found.append(int(tf.constant(take()["x"], wanted)[0, 0]))
        except DataError as error:
            assert "too large" in str(error) or "does not become" in str(error)
            found.append(None)
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize("given", INTEGERS)
def test_whole_numbers_of_any_type_are_taken_as_they_are_or_refused(given):
    own = np.iinfo(given)
    for wanted in INTEGERS:
        kept = np.can_cast(given, wanted, "same_kind")
        for number in (own.min, 0, 1, 127, 128, own.max // 2 + 1, own.max):
            if number <= own.max:
                fits = np.iinfo(wanted).min <= number <= np.iinfo(wanted).max
                assert taken(number, given, wanted) == (number if kept and fits else None)
