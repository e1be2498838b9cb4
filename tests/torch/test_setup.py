"""Which torch setup.py builds against, with folders that pass for one."""

import runpy
import sysconfig
from pathlib import Path

import pytest
import setuptools

SETUP = Path(__file__).parents[2] / "setup.py"


@pytest.fixture
def find(tmp_path, monkeypatch):
    """Return what finds torch, of some version, as an environment's only one."""

    def run(version, wish):
        for name, text in {
            "version.py": f"__version__ = '{version}'\ncuda: Optional[str] = '12.6'\n",
            "include/ATen/ATen.h": "",
            "share/cmake/Torch/TorchConfig.cmake": "-D_GLIBCXX_USE_CXX11_ABI=1",
        }.items():
            path = tmp_path / "torch" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
        monkeypatch.setattr(setuptools, "setup", lambda **options: None)
        monkeypatch.setenv("INTGRAD_TORCH", wish)
        return runpy.run_path(str(SETUP))["TORCH"]

    return run


@pytest.mark.parametrize("wish", ["auto", "require"])
@pytest.mark.parametrize("version", ["2.11.0", "2.13.0+cu126", "2.14.0a0+git1234567", "3.0.1"])
def test_a_torch_that_will_do(find, capsys, version, wish):
    torch = find(version, wish)
    assert (torch.version, torch.cuda, torch.cxx11_abi) == (version, "12.6", 1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("version", ["1.13.1", "2.2.0+cpu", "2.10.1"])
def test_an_older_one_is_left_out(find, capsys, version):
    assert find(version, "auto") is None
    printed = capsys.readouterr().err
    assert f"without libtorch, and runs models by Python's torch: torch {version} is" in printed
    assert "pip install 'torch>=2.11'" in printed


def test_an_older_one_is_refused(find):
    with pytest.raises(
        SystemExit, match=r"require, but torch 2.10.1 is .*pip install 'torch>=2.11'"
    ):
        find("2.10.1", "require")


def test_off(find, capsys):
    assert find("2.13.0", "off") is None
    assert capsys.readouterr().err == ""


def test_an_unknown_wish(find):
    with pytest.raises(SystemExit, match="must be auto, require or off, got 'on'"):
        find("2.13.0", "on")
