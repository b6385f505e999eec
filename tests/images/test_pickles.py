"""Pickles are read as data: what they hold comes out, and nothing that they ask for is done."""

from __future__ import annotations

import collections
import os
import pickle
import random
import resource
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from meta_shrink import DataError
from meta_shrink.images import pickle_records, plain_pickle
from meta_shrink.images.plain_pickle import load_plain_pickle

ROOT = Path(__file__).resolve().parents[2]
ARRAY = np.arange(36, dtype=np.uint8).reshape(3, 2, 2, 3) + 200
VALUE = {
    "array": ARRAY,
    "again": ARRAY,
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big endian": np.arange(3, dtype=">i4"),
    "words": np.array(["a", "bcd"]),
    "empty": np.zeros([0, 3], np.uint8),
    "ordered": collections.OrderedDict([("n2", [0, 1]), ("n1", [])]),
    "scalars": [np.int64(3), np.float32(1.5), True, None, -5, 2**70, 0.1],
    "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
    "bytes": b"\x00\xff",
    "text": "ä\n'",
    7: {},
}


def load(tmp_path: Path, content: bytes):
    path = tmp_path / "some.pkl"
    path.write_bytes(content)
    return load_plain_pickle(str(path))


def assert_equal(found, expected) -> None:
    if isinstance(expected, np.ndarray):
        assert type(found) is np.ndarray and found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert_equal(found[key], value)
    else:
        assert found == expected


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_data_and_arrays_come_out(protocol, tmp_path):
    found = load(tmp_path, pickle.dumps(VALUE, protocol))
    assert_equal(found, VALUE)
    assert found["again"] is found["array"]


# {'labels': [0, 300], 'data': uint8 [2, 2]} as Python 2 and numpy 1 write it, in both protocols.
PYTHON_2 = [
    b"\x80\x02}q\x01(U\x06labelsq\x02]q\x03(K\x00M,\x01eU\x04dataq\x04cnumpy.core.multiarray\n"
    b"_reconstruct\nq\x05cnumpy\nndarray\nq\x06K\x00\x85U\x01b\x87Rq\x07(K\x01K\x02K\x02\x86cnumpy\n"
    b"dtype\nq\x08U\x02u1K\x00K\x01\x87Rq\t(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    b"\x89U\x04\x00\x7f\x80\xfftbu.",
    b"(dp1\nS'labels'\np2\n(lp3\nI0\naI300\nasS'data'\np4\ncnumpy.core.multiarray\n_reconstruct\np5\n"
    b"(cnumpy\nndarray\np6\n(I0\ntS'b'\ntRp7\n(I1\n(I2\nI2\ntcnumpy\ndtype\np8\n(S'u1'\nI0\nI1\ntRp9\n"
    b"(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\nS'\\x00\\x7f\\x80\\xff'\ntbs.",
]


@pytest.mark.parametrize("content", PYTHON_2)
def test_pickles_of_python_2(content, tmp_path):
    expected = {"labels": [0, 300], "data": np.array([[0, 127], [128, 255]], np.uint8)}
    assert_equal(load(tmp_path, content), expected)
    assert_equal(pickle.loads(content, encoding="latin1"), expected)


class Call:
    """Pickled, it calls a function when it is unpickled."""

    def __init__(self, function, *arguments) -> None:
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


MARKER = "touched"
TOUCH = f"touch {MARKER}"


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    "call",
    [
        Call(os.system, TOUCH),
        Call(eval, f"open('{MARKER}', 'w')"),
        Call(getattr, Call(__import__, "os"), "system"),
        Call(subprocess.Popen, ["touch", MARKER]),
        Call(np.load, MARKER),
        Call(np.memmap, MARKER, "u1", "w+", 0, (4,)),
        Call(bytearray, 2**40),
        Call(collections.Counter, "abc"),
    ],
)
def test_what_would_run_is_refused_and_not_run(call, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps({"image_data": ARRAY, "class_dict": call}, protocol)
    with pytest.raises(DataError, match=r"some\.pkl holds .* not plain data: nothing was run"):
        load(tmp_path, content)
    assert os.listdir(tmp_path) == ["some.pkl"]


def array_pickle(
    shape: bytes = b"K\x02\x85", kind: bytes = b"u1", data: bytes = b"C\x02ab"
) -> bytes:
    """An array of protocol 3 out of parts."""
    return (
        b"\x80\x03cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01"
        + shape
        + b"cnumpy\ndtype\nX"
        + struct.pack("<I", len(kind))
        + kind
        + b"K\x00K\x01\x87R(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + data
        + b"tb."
    )


def test_an_array_out_of_parts(tmp_path):
    assert_equal(load(tmp_path, array_pickle()), np.frombuffer(b"ab", np.uint8))


DEEP = 100_000
HUGE = struct.pack("<Q", 2**60)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b".",
        b"}",
        b"\x80\x02",
        b"\xff.",
        b"ios\nsystem\n(S'true'\no.",  # An instruction of its own for calls, and four others.
        b"(S'true'\nios\nsystem\n.",
        b"(cos\nsystem\nS'true'\no.",
        b"\x80\x02cnumpy\nndarray\n)\x81.",
        b"\x80\x02\x82\x01.",
        b"Psome\n.",
        b"\x80\x05\x97.",
        b"cnumpy\nndarray\n(K\x09tR.",
        b"cnumpy.core.multiarray\nfromfile\n.",
        b"cnumpy\nload\n.",
        b"c_codecs\nencode\n(Vx\nVidna\ntR.",
        b"\x8c\x02os\x8c\x06system\x93.",
        b"]K\x01\x94h\x05.",
        b"}(K\x01u.",
        b"}](K\x01tb.",
        b"(" * DEEP + b"t" * DEEP + b"}q\x000" + b"}h\x00K\x01s.",
        b"(" * DEEP + b"t" * DEEP + b"q\x000}h\x00K\x01s.",
        b"]" + b"q\x00]h\x00a" * DEEP,
        b"I" + b"9" * 10_000 + b"\n.",
        b"r\xff\xff\xff\xffN.",
        b"Nr\xff\xff\xff\xff",
        b"\x80\x04\x8e" + HUGE + b"x.",
        b"\x80\x04\x8d" + HUGE + b"x.",
        b"\x80\x05\x96" + HUGE + b"x.",
        b"\x80\x04\x95" + HUGE + b"\xff.",
        b"\x80\x02\x8b\xff\xff\xff\x7fx.",
        array_pickle(shape=b"\x8a\x06\x00\x00\x00\x00\x00\x10\x85"),
        array_pickle(shape=b"\x8a\x06\x00\x00\x00\x00\x00\x10K\x00\x86"),
        array_pickle(shape=b"J\xff\xff\xff\xff\x85"),
        array_pickle(shape=b"K\x03\x85"),
        array_pickle(shape=b"X\x01\x00\x00\x00a\x85"),
        array_pickle(kind=b"O8", data=b"C\x08abcdefgh"),
        array_pickle(kind=b"O8", data=b"]"),
        array_pickle(kind=b"V2"),
        array_pickle(kind=b"M8"),
        array_pickle(kind=b"i4,O8"),
        array_pickle(data=b"N"),
        array_pickle(data=b"]"),
    ],
)
def test_made_up_pickles_are_refused(content, tmp_path):
    with pytest.raises(DataError, match=r"some\.pkl (holds|is not a whole pickle)") as caught:
        load(tmp_path, content)
    assert len(str(caught.value)) < 500


def test_changed_bytes_are_refused_or_data(tmp_path):
    rng = random.Random(0)
    for number in range(400):
        content = bytearray(pickle.dumps(VALUE, number % 6))
        for _ in range(rng.randint(1, 3)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        try:
            load(tmp_path, bytes(content))
        except DataError as error:
            assert len(str(error)) < 500


def test_a_small_file_takes_little_memory(tmp_path):
    """Claims of gigabytes, in a process that may have few."""
    claims = (HUGE, struct.pack("<Q", 2**33))
    for number, claim in enumerate(claims):
        (tmp_path / f"{number}.pkl").write_bytes(b"\x80\x04\x8e" + claim + b"x.")
    (tmp_path / "memo.pkl").write_bytes(b"\x80\x02Nr\xff\xff\xff\xff.")
    code = (
        "import sys; from meta_shrink.errors import DataError\n"
        "from meta_shrink.images.plain_pickle import load_plain_pickle\n"
        "for path in sys.argv[1:]:\n"
        "    try: print(load_plain_pickle(path))\n"
        "    except DataError as error: print('refused')\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, *map(str, sorted(tmp_path.iterdir()))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32)),
    )
    assert process.stdout.split() == ["refused", "refused", "None"]


def test_nothing_of_it_could_unpickle():
    """The module that runs pickles is not even at hand."""
    for module in (plain_pickle, pickle_records):
        assert not {"pickle", "Unpickler", "loads"} & set(vars(module))
