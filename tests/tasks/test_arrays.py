"""The task source of a user's own arrays: what is drawn, how it is divided, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import DataError, Shares, UsageError
from meta_shrink.adapters.backbone_info import ArraySpec
from meta_shrink.evaluation import require_tasks
from meta_shrink.tasks.arrays import array_source, arrays, divided_tasks
from meta_shrink.tasks.example_arrays import TaskExamples, divided, fitted

SPECS = (ArraySpec("x", (2,), "float32"), ArraySpec("targets", (1,), "float32"))
ODD = ["a b", "Ünïcode ☃", "", "../etc/passwd", "line\nbreak", "tab\t", "\udc80", "'; --", "0"]


def task(number: int, count: int) -> TaskExamples:
    """Examples whose numbers say whose they are: 100 * task + row."""
    rows = 100.0 * number + np.arange(count)
    return TaskExamples({"x": np.stack([rows, -rows], 1), "targets": rows}, {})


def tasks(*counts: int) -> dict[str, TaskExamples]:
    return {f"task {n}": task(n, count) for n, count in enumerate(counts)}


def rows_of(batch) -> list[float]:
    """The real examples of a batch."""
    _, targets, *weights = batch
    real = weights[0].numpy() > 0 if weights else np.ones(len(targets), bool)
    return targets.numpy()[real, 0].tolist()


def all_of(source, draw: str, count: int):
    if draw == "sample":
        return [source.sample(tf.constant([number, 5])) for number in range(count)]
    return [getattr(source, draw)(tf.constant(number)) for number in range(count)]


def test_every_task_and_every_example_has_one_part():
    given = tasks(*range(2, 22))
    source = array_source(given, SPECS, Shares(0.2, 0.1, 0.3), seed=0)
    assert (source.num_heldout, source.num_validation) == (4, 2)
    owners: dict[str, set[int]] = {}
    for draw, count in (("sample", 300), ("heldout", 4), ("validation", 2)):
        for drawn in all_of(source, draw, count):
            train, val = rows_of(drawn.train), rows_of(drawn.val)
            number = int(train[0] // 100)
            owners.setdefault(draw, set()).add(number)
            expected = [100.0 * number + row for row in range(number + 2)]
            assert sorted(train + val) == expected  # Nothing twice, nothing lost.
            assert len(val) == min(max(1, round(0.3 * (number + 2))), number + 1)
    assert {draw: len(found) for draw, found in owners.items()} == {
        "sample": 14,
        "heldout": 4,
        "validation": 2,
    }
    assert len(set.union(*owners.values())) == 20


def test_unequal_tasks_are_padded_with_weight_0():
    source = array_source(tasks(2, 5, 9), SPECS, Shares(), seed=0)
    for drawn in [*all_of(source, "heldout", 1), *all_of(source, "sample", 3)]:
        for inputs, targets, weights in (drawn.train, drawn.val):
            real = int(weights.numpy().sum())
            assert weights.numpy().tolist() == [1.0] * real + [0.0] * (len(weights) - real)
            # Padding is one of the task's own examples.
            assert set(targets.numpy()[:, 0]) == set(targets.numpy()[:real, 0])
            np.testing.assert_array_equal(inputs, np.concatenate([targets, -targets], 1))


def test_equal_tasks_have_no_weights():
    drawn = array_source(tasks(4, 4, 4), SPECS, Shares(), seed=0).sample(tf.constant([0, 1]))
    assert len(drawn.train) == len(drawn.val) == 2


def test_several_inputs_are_named():
    given = {n: TaskExamples({**t.train, "y": np.ones(4)}, {}) for n, t in tasks(4, 4, 4).items()}
    specs = (*SPECS, ArraySpec("y", (1,), "float32"))
    inputs, _ = array_source(given, specs, Shares(), seed=0).heldout(tf.constant(0)).train
    assert {name: tuple(value.shape) for name, value in inputs.items()} == {
        "x": (2, 2),
        "y": (2, 1),
    }


def test_heldout_arrays_are_what_is_validated_on():
    given = {n: t._replace(heldout=task(7, 3).train) for n, t in tasks(1, 1, 1).items()}
    drawn = array_source(given, SPECS, Shares(), seed=0).sample(tf.constant([0, 1]))
    assert rows_of(drawn.val) == [700.0, 701.0, 702.0] and len(rows_of(drawn.train)) == 1


def test_the_division_is_that_of_the_names_alone():
    names = [f"speaker {n}" for n in range(30)]
    first = divided_tasks(dict.fromkeys(names), Shares())
    assert divided_tasks(dict.fromkeys(reversed(names)), Shares()) == first
    assert divided_tasks(dict.fromkeys(names), Shares(salt="1")) != first
    assert [len(first[part]) for part in ("test", "validation", "train")] == [6, 3, 21]


def test_odd_names():
    given = {name: task(number, 4) for number, name in enumerate(ODD)}
    source = array_source(given, SPECS, Shares(), seed=0)
    assert source.num_heldout == 2 and all_of(source, "heldout", 2)


def bad() -> dict[str, tuple[dict[str, TaskExamples], str]]:
    """(tasks, words of the sentence)."""

    def with_array(name: str, value) -> dict[str, TaskExamples]:
        good = tasks(4, 4, 4, 4)
        return good | {"bad": TaskExamples({**task(9, 4).train, name: np.asarray(value)}, {})}

    x = np.ones([4, 2])
    return {
        "one task": (tasks(9), "There are 1 tasks"),
        "two tasks": (tasks(9, 9), "There are 2 tasks"),
        "one example": (tasks(4, 4, 1, 4), "'task 2' has one example"),
        "no example": (tasks(4, 4, 0, 4), "'task 2' has 0 of x, 0 of targets"),
        "lengths": (with_array("x", x[:3]), "'bad' has 3 of x, 4 of targets"),
        "shape": (with_array("x", np.ones([4, 3])), r"'bad': x has shape \[4, 3\]"),
        "axes": (with_array("x", np.ones([4, 2, 1])), "'bad': x has shape"),
        "nan": (with_array("x", [[0, 0], [0, 1], [0, np.nan], [0, 0]]), "not finite in example 2"),
        "inf": (with_array("targets", [0, np.inf, 0, 0]), "targets is not finite in example 1"),
        "text": (with_array("x", x.astype(str)), "x holds <U"),
        "objects": (with_array("x", x.astype(object)), "x holds object"),
        "complex": (with_array("x", x * 1j), "x holds complex128"),
        "dates": (with_array("targets", np.array(["2020"] * 4, "M8[D]")), "holds datetime64"),
        "too large": (with_array("x", x * 1e300), "too large for float32"),
        "another array": (with_array("y", x), "'bad' has targets, x, y; expected targets, x"),
    }


@pytest.mark.parametrize("case", bad())
def test_bad_data_are_named(case):
    given, words = bad()[case]
    with pytest.raises(DataError, match=words):
        array_source(given, SPECS, Shares(), seed=0)


@pytest.mark.parametrize("field", ["test", "validation", "heldout"])
@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_shares_are_between_0_and_1(field, share):
    with pytest.raises(UsageError, match=field):
        array_source(tasks(4, 4, 4), SPECS, Shares(**{field: share}), seed=0)


@pytest.mark.parametrize(
    ("given", "dtype"),
    [(np.int64, "float32"), (np.bool_, "float32"), (np.float64, "float32"), (np.int16, "int32")],
)
def test_kinds_of_numbers_that_become_another(given, dtype):
    arrays_given = {"x": np.ones([3, 2], given), "targets": np.ones(3, given)}
    specs = (ArraySpec("x", (2,), dtype), ArraySpec("targets", (1,), dtype))
    found = fitted(arrays_given, specs, "Task")
    assert found["x"].dtype == found["targets"].dtype == dtype
    assert found["targets"].shape == (3, 1)


def test_large_labels_are_not_wrapped_around():
    targets = np.array([2**40, 1])
    with pytest.raises(DataError, match="too large for int32"):
        fitted({"x": np.ones([2, 2]), "targets": targets}, (SPECS[0], label_spec()), "Task")


def label_spec() -> ArraySpec:
    return ArraySpec("targets", (), "int32")


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0]])
def test_labels_that_are_none(labels):
    given = {"inputs": np.ones([2, 2]), "targets": np.array(labels)}
    with pytest.raises(DataError, match="3 classes, 0 to 2"):
        fitted(given, (SPECS[0], label_spec()), "Task", classes=3)


def folder(tmp_path, **more):
    for number in range(6):
        given = {"inputs": np.ones([3 + number, 2]), "targets": np.arange(3 + number) % 3} | more
        np.savez(tmp_path / f"t{number}.npz", **given)
    return str(tmp_path)


def test_a_folder_of_numbers(tmp_path):
    source = arrays(seed=0, data_dir=folder(tmp_path), test=0.4)
    inputs, targets, weights = source.heldout(tf.constant(1)).train
    assert source.num_heldout == 2 and inputs.dtype == targets.dtype == tf.float32
    assert targets.shape == [len(weights), 1]


def test_a_folder_of_labels(tmp_path):
    source = arrays(seed=0, data_dir=folder(tmp_path), targets="labels", classes=3)
    _, targets, weights = source.heldout(tf.constant(0)).train
    assert targets.dtype == tf.int32 and targets.shape == weights.shape


def test_bad_folders(tmp_path):
    with pytest.raises(DataError, match="holds no NPZ file"):
        arrays(seed=0, data_dir=str(tmp_path))
    with pytest.raises(UsageError, match="number of classes"):
        arrays(seed=0, data_dir=folder(tmp_path), targets="labels")
    np.savez(tmp_path / "a.npz", inputs=np.ones(3))
    with pytest.raises(DataError, match="expected 'targets' and the inputs"):
        arrays(seed=0, data_dir=str(tmp_path))
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(DataError, match=r"a\.npz is not a whole NPZ"):
        arrays(seed=0, data_dir=str(tmp_path))


def test_a_task_is_not_evaluated_twice():
    source = array_source(tasks(4, 4, 4), SPECS, Shares(), seed=0)
    require_tasks(source, 1)
    with pytest.raises(UsageError, match=r"eval\.num_tasks asks for 2 tasks, but there are 1 test"):
        require_tasks(source, 2)
    with pytest.raises(UsageError, match=r"eval\.validation_tasks"):
        require_tasks(source, 2, validation=True)


def test_names_with_heldout_in_front():
    found = divided({"inputs": [1], "targets": [2], "heldout_inputs": [3], "heldout_targets": [4]})
    assert {k: v.tolist() for k, v in found.heldout.items()} == {"inputs": [3], "targets": [4]}


@pytest.mark.parametrize("part", ["test", "validation"])
def test_copies_of_a_file_are_no_tasks_to_test_on(part, tmp_path):
    data_dir = folder(tmp_path)
    parts = divided_tasks({f"t{number}": None for number in range(6)}, Shares())
    (trained, other), held = parts["train"][:2], parts[part][0]
    content = (tmp_path / f"{trained}.npz").read_bytes()
    (tmp_path / f"{other}.npz").write_bytes(content)
    arrays(seed=0, data_dir=data_dir)  # Both are trained on.
    (tmp_path / f"{held}.npz").write_bytes(content)
    message = (
        rf"'{held}' \({part}\) has the same data as task '{trained}|{other}' \(train\): a leak"
    )
    with pytest.raises(DataError, match=message):
        arrays(seed=0, data_dir=data_dir)


@pytest.mark.parametrize("name", ["more/u.npz", "a/b/U.NPZ"])
def test_tasks_in_folders_inside_are_not_passed_over(name, tmp_path):
    data_dir = folder(tmp_path)
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_bytes((tmp_path / "t1.npz").read_bytes())
    with pytest.raises(DataError, match=f"has tasks in folders, {name}: move them up"):
        arrays(seed=0, data_dir=data_dir)
