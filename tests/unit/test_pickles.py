"""Pickles are read opcode by opcode: weights pass, code does not, nothing runs."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import zipfile

import pytest

from lorasmith.core.errors import UsageProblem
from lorasmith.hub.pickles import require_harmless


class Payload:
    """What an attacker ships: opened, it makes a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch '{self.target}'",)


@pytest.mark.parametrize("legacy", [False, True])
def test_weights_as_torch_saves_them_pass(tmp_path, legacy):
    """SEC-2, INS-5"""
    path = tmp_path / "pytorch_model.bin"
    code = (
        "import sys, torch, collections\n"
        "state = collections.OrderedDict(a=torch.ones(3, dtype=torch.bfloat16), b=torch.nn.Parameter(torch.ones(2, 2)), c=torch.arange(3))\n"
        f"torch.save(state, sys.argv[1], _use_new_zipfile_serialization={not legacy})"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True)
    assert zipfile.is_zipfile(path) is not legacy
    require_harmless(path, path.name)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("zipped", [False, True])
def test_code_is_refused_and_does_not_run(tmp_path, protocol, zipped):
    """SEC-2, INS-5: whatever the protocol."""
    path, target = tmp_path / "pytorch_model.bin", tmp_path / "ran"
    data = pickle.dumps({"weights": Payload(target)}, protocol=protocol)
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", data)
    else:
        path.write_bytes(data)
    with pytest.raises(UsageProblem, match="it would run code") as refused:
        require_harmless(path, path.name)
    assert "system" in refused.value.why
    assert not target.exists()


@pytest.mark.parametrize(
    "hidden",
    [
        b"\x80\x04\x8c\x05torch\x94\x8c\x04Size\x94\x8c\x02os\x8c\x06system\x86N\x93.",  # names behind a tuple
        b"\x80\x04(\x94\x8c\x0bcollections\x94\x8c\x0bOrderedDict\x94h\x00h\x01\x93.",  # a memo that is one off
        b"\x80\x04\x8c\x02os\x8c\x06system2\x93.",  # DUP
    ],
)
def test_names_that_cannot_be_followed_are_refused(tmp_path, hidden):
    """SEC-2"""
    path = tmp_path / "x.pt"
    path.write_bytes(hidden)
    with pytest.raises(UsageProblem):
        require_harmless(path, path.name)


@pytest.mark.parametrize("data", [b"", b"not a pickle", b"PK\x03\x04 half an archive", b"\x80\x04\x8c\xffabc"])
def test_damage_is_told(tmp_path, data):
    """REL-4"""
    path = tmp_path / "x.bin"
    path.write_bytes(data)
    with pytest.raises(UsageProblem, match="no pickle that can be read"):
        require_harmless(path, path.name)
