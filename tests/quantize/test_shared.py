"""Sharing what two environments have in common, on site folders made for it."""

from __future__ import annotations

import pytest

from tests.quantize.sites import distributions, install
from tts.errors import Unsupported
from tts.quantize.shared import link, linkable, shareable


@pytest.fixture
def here(tmp_path):
    """An environment with a PyTorch that needs two more, and packages beside it."""
    site = tmp_path / "here"
    needs = ("sympy>=1", "nvidia-x; extra == 'cuda'", "triton")
    install(site, "torch", "2.13.0+cpu", requires=needs)
    install(site, "triton", "3.0")
    install(site, "sympy", "1.14", requires=("mpmath",))
    install(site, "mpmath", "1.3")
    install(site, "nvidia-x", "1")
    install(site, "Py_YAML", "6.0")
    install(site, "numpy", "2.0")
    install(site, "ours", "1.0", editable=True)
    return site


def test_shared_is_what_is_here_in_the_wanted_version(here):
    pins = {"py-yaml": "6.0", "numpy": "2.1", "sympy": "1.14", "other": "1", "ours": "1.0"}
    found = shareable(pins, distributions(here))
    # PyTorch with what it requires, in whatever version; of the rest what is pinned and equal.
    assert set(found) == {"torch", "triton", "sympy", "mpmath", "py-yaml"}
    assert found["torch"].version == "2.13.0+cpu"


def test_what_torch_requires_gives_way_to_a_pin(here):
    found = shareable({"sympy": "1.15", "mpmath": "1.3"}, distributions(here))
    assert set(found) == {"torch", "triton", "mpmath"}


@pytest.mark.parametrize("version", [None, "2.9.1", "2.15.0+cpu"])
def test_without_a_fitting_torch_there_is_none(tmp_path, version):
    if version:
        install(tmp_path, "torch", version)
    with pytest.raises(Unsupported, match="llm-compressor needs PyTorch") as error:
        shareable({}, distributions(tmp_path))
    assert f"this environment has {version or 'none'}." in error.value.message


def test_links_are_names_of_their_own(here, tmp_path):
    site = tmp_path / "there"
    site.mkdir()
    found = shareable({"py-yaml": "6.0"}, distributions(here))
    link(found.values(), site)
    ours, theirs = here / "Py_YAML" / "__init__.py", site / "Py_YAML" / "__init__.py"
    assert linkable(here, site) and ours.samefile(theirs)
    assert set(distributions(site)) == set(found)
    assert not list(tmp_path.rglob("bin"))  # scripts name another Python
    ours.unlink()
    assert theirs.read_text() == "version = '6.0'\n"


def test_where_nothing_can_be_linked_it_is_copied(here, tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refused)
    site = tmp_path / "there"
    site.mkdir()
    link(shareable({}, distributions(here)).values(), site)
    theirs = site / "torch" / "__init__.py"
    assert theirs.read_text() == "version = '2.13.0+cpu'\n"
    assert not theirs.samefile(here / "torch" / "__init__.py")
