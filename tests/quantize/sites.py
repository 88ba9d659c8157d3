"""Site folders with distributions that record their files, as an installer leaves them."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from tts.quantize.lockfile import normal


def install(
    site: Path, name: str, version: str, *, requires: tuple[str, ...] = (), editable: bool = False
) -> None:
    """A package with one module and a script, as pip would leave it."""
    package = site / name.replace("-", "_")
    about = site / f"{package.name}-{version}.dist-info"
    package.mkdir(parents=True)
    about.mkdir()
    (package / "__init__.py").write_text(f"version = {version!r}\n")
    needs = "".join(f"Requires-Dist: {need}\n" for need in requires)
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (about / "METADATA").write_text(head + needs)
    files = [f"{package.name}/__init__.py", f"{about.name}/METADATA", f"{about.name}/RECORD"]
    files.append(f"../../../bin/{name}")
    if editable:
        (about / "direct_url.json").write_text(
            '{"dir_info": {"editable": true}, "url": "file:///x"}'
        )
    (about / "RECORD").write_text("".join(f"{file},,\n" for file in files))


def distributions(site: Path) -> dict[str, metadata.Distribution]:
    """What is in a site folder, by normal name."""
    return {normal(each.name): each for each in metadata.distributions(path=[str(site)])}
