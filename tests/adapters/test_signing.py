"""Signatures: made and verified offline; each way to be wrong is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from meta_shrink import AdapterError, UsageError, load_adapter
from meta_shrink.adapters import signing
from meta_shrink.adapters.canonical_json import sha256
from meta_shrink.adapters.command_line import main
from meta_shrink.adapters.writing import write_adapter
from tests.adapters import samples

INFO = samples.backbone()
GOOD = samples.encoded(INFO)
OTHER = samples.encoded(INFO, task=samples.TaskFacts("other", 1, 1, 1))


def test_without_the_extra(tmp_path, monkeypatch):
    def fail(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(signing.importlib, "import_module", fail)
    with pytest.raises(UsageError, match=r"pip install 'meta_shrink\[sign\]'"):
        signing.sign_adapter(write_adapter(GOOD, str(tmp_path)), "key.pem")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A directory with maker.pem, maker.pub, other.pem, other.pub."""
    pytest.importorskip("model_signing.signing", exc_type=ImportError)
    ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ec")
    from cryptography.hazmat.primitives import serialization as pem

    (tmp_path / "keys").mkdir()
    for name in ("maker", "other"):
        key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())
        public = key.public_key().public_bytes(
            pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo
        )
        (tmp_path / f"keys/{name}.pem").write_bytes(private)
        (tmp_path / f"keys/{name}.pub").write_bytes(public)
    return tmp_path / "keys"


@pytest.fixture
def signed(tmp_path: Path, keys: Path) -> str:
    path = write_adapter(GOOD, str(tmp_path / "adapters"))
    assert signing.sign_adapter(path, str(keys / "maker.pem")) == path + ".sig"
    return path


def refused(path: str, keys: Path, name: str = "maker.pub") -> str:
    with pytest.raises(AdapterError) as caught:
        signing.verify_signature(path, str(keys / name))
    assert caught.value.code == "signature"
    return str(caught.value)


def test_a_signature_gives_the_pin(signed, keys):
    pin = signing.verify_signature(signed, str(keys / "maker.pub"))
    assert pin == sha256(GOOD)
    assert load_adapter(signed, INFO, sha256=pin).id == pin


def test_a_signature_does_not_depend_on_names(signed, keys, tmp_path):
    moved = str(tmp_path / "moved.safetensors")
    os.rename(signed, moved)
    os.rename(signed + ".sig", moved + ".sig")
    assert signing.verify_signature(moved, str(keys / "maker.pub")) == sha256(GOOD)


def test_missing_signature(signed, keys):
    os.remove(signed + ".sig")
    assert "does not exist" in refused(signed, keys)


def test_other_key(signed, keys):
    refused(signed, keys, "other.pub")


def test_signature_of_another_adapter(signed, keys):
    Path(signed).write_bytes(OTHER)
    refused(signed, keys)


def test_a_signature_that_is_no_file_does_not_hang(signed, keys):
    os.remove(signed + ".sig")
    os.mkfifo(signed + ".sig")
    refused(signed, keys)


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b"[" * 10_000, b"\xff", b" " * 2**21])
def test_broken_signature(content, signed, keys):
    Path(signed + ".sig").write_bytes(content)
    refused(signed, keys)


def test_altered_signatures(signed, keys):
    path = Path(signed + ".sig")
    content = path.read_bytes()
    bundle = json.loads(content)
    envelope = bundle["dsseEnvelope"]
    for field, value in [("payload", "e30="), ("signatures", []), ("payloadType", "x")]:
        path.write_text(json.dumps({**bundle, "dsseEnvelope": {**envelope, field: value}}))
        refused(signed, keys)
    for cut in range(0, len(content), 97):
        path.write_bytes(content[:cut])
        refused(signed, keys)


def test_only_adapters_are_signed(tmp_path, keys):
    (tmp_path / "x").write_bytes(GOOD[:-1])
    with pytest.raises(AdapterError):
        signing.sign_adapter(str(tmp_path / "x"), str(keys / "maker.pem"))
    assert not (tmp_path / "x.sig").exists()


@pytest.mark.parametrize("name", ["none.pem", "maker.pub"])
def test_keys_that_are_none(name, tmp_path, keys):
    path = write_adapter(GOOD, str(tmp_path))
    with pytest.raises(UsageError, match="private_key="):
        signing.sign_adapter(path, str(keys / name))
    with pytest.raises(UsageError, match="public_key="):
        (tmp_path / f"{Path(path).name}.sig").write_bytes(b"{}")
        signing.verify_signature(path, str(keys / "maker.pem"))


@pytest.mark.parametrize("kind", ["pipe", "device", "large", "several"])
def test_keys_that_are_no_single_file(kind, signed, keys, capsys):
    path = keys / "odd"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        key = (keys / "maker.pub").read_bytes()
        path.write_bytes(key * 2 if kind == "several" else key + bytes(2**16))
    assert main(["verify", signed, f"--public_key={path}"]) == 2
    printed = capsys.readouterr()
    assert "not a regular file" in printed.err or "several" in printed.err or "large" in printed.err
    assert printed.out == ""


def key_kinds() -> dict[str, tuple]:
    """Keys of every kind that people have, as (private PEM, public PEM)."""
    asymmetric = pytest.importorskip("cryptography.hazmat.primitives.asymmetric")
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x448, x25519

    assert asymmetric
    made = {
        "p256": ec.generate_private_key(ec.SECP256R1()),
        "p384": ec.generate_private_key(ec.SECP384R1()),
        "p521": ec.generate_private_key(ec.SECP521R1()),
        "secp256k1": ec.generate_private_key(ec.SECP256K1()),
        "rsa": rsa.generate_private_key(65537, 2048),
        "dsa": dsa.generate_private_key(2048),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "ed448": ed448.Ed448PrivateKey.generate(),
        "x25519": x25519.X25519PrivateKey.generate(),
        "x448": x448.X448PrivateKey.generate(),
    }
    form, public_form = pem.PrivateFormat.PKCS8, pem.PublicFormat.SubjectPublicKeyInfo
    return {
        name: (
            key.private_bytes(pem.Encoding.PEM, form, pem.NoEncryption()),
            key.public_key().public_bytes(pem.Encoding.PEM, public_form),
        )
        for name, key in made.items()
    }


def test_key_kinds(signed, keys, tmp_path, capsys):
    """Elliptic curves of the three kinds sign and verify; all others are refused in a sentence."""
    for kind, (private, public) in key_kinds().items():
        (tmp_path / "key.pem").write_bytes(private)
        (tmp_path / "key.pub").write_bytes(public)
        works = kind in ("p256", "p384", "p521")
        assert main(["sign", signed, f"--private_key={tmp_path / 'key.pem'}"]) == 2 * (not works)
        assert main(["verify", signed, f"--public_key={tmp_path / 'key.pub'}"]) == 2 * (not works)
        out, err = capsys.readouterr()
        assert ("ok: " in out and "signature" in out) == works
        assert err.count("elliptic-curve key") == 2 * (not works)


def test_a_key_that_is_encrypted(signed, tmp_path, capsys):
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    locked = key.private_bytes(
        pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.BestAvailableEncryption(b"secret")
    )
    (tmp_path / "key.pem").write_bytes(locked)
    assert main(["sign", signed, f"--private_key={tmp_path / 'key.pem'}"]) == 2
    assert "unencrypted" in capsys.readouterr().err


def test_command_line(signed, keys, capsys):
    arguments = ["verify", signed, f"--public_key={keys / 'maker.pub'}"]
    assert main(arguments) == 0
    os.remove(signed + ".sig")
    assert main(arguments) == 4
    assert "signature: " in capsys.readouterr().out
    assert main(["sign", signed, f"--private_key={keys / 'maker.pem'}"]) == 0
    assert main(arguments) == 0
