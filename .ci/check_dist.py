"""Checks what a source and a binary distribution hold: `check_dist.py SDIST WHEEL`."""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from pathlib import Path

NEEDED_IN_WHEEL = (
    r"xinmai/py\.typed",
    r"xinmai/cli/main\.py",
    r"xinmai/collector/web/index\.html",
    r"xinmai_native/_core\.pyi",
    r"xinmai_native/_core\.abi3\.so",
    r"xinmai_plugins/example/plugin\.toml",
    r"xinmai_plugins/example/metrics\.toml",
    r"xinmai_plugins/example/README\.md",
    r"xinmai_plugins/neutral/_abi\.py",
    r"xinmai_standin/standin\.h",
    r"xinmai_standin/neutral/standin\.toml",
    r"xinmai-[^/]+\.dist-info/entry_points\.txt",
    r"xinmai-[^/]+\.dist-info/licenses/LICENSE",
)
NEEDED_IN_SDIST = (r"pyproject\.toml", r"LICENSE", r"README\.md", r"native/.*\.c", r"native/.*\.h")
FORBIDDEN_IN_WHEEL = (
    r"(^|.*/)tests?/",
    r"(^|.*/)conftest\.py",
    r"(?!xinmai_standin/|xinmai_plugins/[a-z]+/abi\.h).*\.[ch]$",
    r".*\.o$",
    r".*__pycache__",
)
TOP_LEVEL = {"xinmai", "xinmai_native", "xinmai_plugins", "xinmai_standin"}


def problems(names: list[str], needed: tuple[str, ...], forbidden: tuple[str, ...]) -> list[str]:
    """What is missing from a list of files, and what has no business there."""
    found = [f"missing: {want}" for want in needed if not any(re.fullmatch(want, n) for n in names)]
    found += [f"unwanted: {name}" for ban in forbidden for name in names if re.match(ban, name)]
    return found


def wheel_problems(wheel: Path) -> list[str]:
    """Problems of a wheel, its tag included."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    found = problems(names, NEEDED_IN_WHEEL, FORBIDDEN_IN_WHEEL)
    tops = {name.partition("/")[0] for name in names} - TOP_LEVEL
    found += [f"unwanted: {top}" for top in tops if not top.endswith(".dist-info")]
    if "-cp311-abi3-linux" not in wheel.name:
        found.append(f"not a wheel of the stable ABI: {wheel.name}")
    return found


def sdist_problems(sdist: Path) -> list[str]:
    """Problems of a source distribution."""
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    return problems(names, NEEDED_IN_SDIST, (r".*\.so$", r".*__pycache__"))


def main(sdist: Path, wheel: Path) -> int:
    """Print every problem; exit code 1 where there is one."""
    found = sdist_problems(sdist) + wheel_problems(wheel)
    print("\n".join(found) or f"{sdist.name} and {wheel.name} hold what they should")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
