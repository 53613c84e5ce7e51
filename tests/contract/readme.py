"""The parts of a plugin's README that repeat its other files.

`python tests/contract/readme.py --write` renews them; a test fails while they differ.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from contract.quality import tier_of
from xinmai.api import Metric
from xinmai.manifest import Manifest, PluginSource, find_plugins
from xinmai.manifest_metrics import read_texts
from xinmai.needs import CHECKS

HEADINGS = (
    "What it reads",
    "Needs",
    "Configuration",
    "Metrics",
    "Known limits",
    "Sources",
)
_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)


def render(source: PluginSource) -> str:
    """The README as it should be: the author's sections kept, the others written anew."""
    manifest = source.manifest
    sections = read_sections(source.folder / "README.md")
    generated = {
        "Needs": _needs(manifest),
        "Configuration": _configuration(manifest),
        "Metrics": _metrics(manifest),
    }
    parts = [_title(manifest)]
    for heading in HEADINGS:
        body = generated.get(heading, sections.get(heading, "To be written."))
        parts.append(f"## {heading}\n\n{body.strip()}")
    return "\n\n".join(parts) + "\n"


def read_sections(file: Path) -> dict[str, str]:
    """Bodies of the second-level sections by heading, in order."""
    if not file.exists():
        return {}
    pieces = _SECTION.split(file.read_text("utf-8"))
    return {pieces[i]: pieces[i + 1].strip() for i in range(1, len(pieces), 2)}


def _title(manifest: Manifest) -> str:
    about = [f"Owner: {manifest.owner}."]
    if manifest.vendor:
        about.append(f"Vendor: {manifest.vendor}.")
    about.append(f"Quality: {tier_of(manifest.folder)}.")
    return f"# {manifest.name}\n\n{manifest.summary}.\n\n{' '.join(about)}"


def _needs(manifest: Manifest) -> str:
    if not manifest.needs:
        return "Nothing."
    return "\n".join(_need_lines(manifest))


def _need_lines(manifest: Manifest) -> Iterator[str]:
    for need in manifest.needs:
        what = CHECKS[need.kind][0]
        items = ", ".join(f"`{item}`" for item in need.items)
        optional = " (without it some readings say `no_permission`)" if need.optional else ""
        unless = f", unless `{need.unless}` is set" if need.unless else ""
        yield f"- {what} {items}{unless}{optional}. If not: {need.fix}."


def _configuration(manifest: Manifest) -> str:
    sample = (manifest.folder / "sample.toml").read_text("utf-8").strip()
    return f"```toml\n{sample}\n```"


def _metrics(manifest: Manifest) -> str:
    texts = read_texts(manifest.folder / "metrics.toml", manifest.name)
    head = "| metric | unit, kind | attributes | native | cost |\n| --- | --- | --- | --- | --- |"
    rows = [_row(metric, texts[key]) for key, metric in manifest.metrics.items()]
    return "\n".join([head, *rows])


def _row(metric: Metric, text: str) -> str:
    fixed = [f"{name}={value}" for name, value in metric.attributes.items()]
    attributes = ", ".join(f"`{name}`" for name in (*fixed, *metric.varies))
    native = f"`{metric.native}`, {metric.native_unit}"
    cells = (f"`{metric.metric}`: {text}", f"{metric.unit} {metric.kind}", attributes, native)
    return f"| {' | '.join(cells)} | {metric.cost} |"


def main(arguments: list[str]) -> int:
    """Name the READMEs that differ; with --write, renew them."""
    stale = []
    for source in find_plugins().values():
        file, text = source.folder / "README.md", render(source)
        if not file.exists() or file.read_text("utf-8") != text:
            stale.append(str(file))
            if "--write" in arguments:
                file.write_text(text, "utf-8")
    sys.stdout.writelines(f"{file}\n" for file in stale)
    return 0 if "--write" in arguments else int(bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
