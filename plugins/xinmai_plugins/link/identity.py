"""Identity of ports: what stays when names, numbers and bonds change."""

from __future__ import annotations

import os
import re

from xinmai.api import Context

_BDF = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_PERMANENT = "0"
_LOOPBACK, _INFINIBAND = "772", "32"


def interface_id(context: Context, name: str) -> str:
    """The permanent hardware address of a real port, else its place, else its name."""
    base = f"/sys/class/net/{name}"
    if not context.path(f"{base}/device").exists():
        return f"net-{name}"
    address = _permanent_address(context, base)
    if address:
        return f"mac-{address}"
    place = os.path.basename(os.path.realpath(context.path(f"{base}/device")))  # noqa: PTH119
    return f"net-{place}-{context.text(f'{base}/dev_port') or '0'}"


def _permanent_address(context: Context, base: str) -> str:
    """A bond gives its ports one address: theirs stands beside it."""
    own = context.text(f"{base}/bonding_slave/perm_hwaddr")
    if not own and context.text(f"{base}/addr_assign_type") == _PERMANENT:
        own = context.text(f"{base}/address")
    digits = own.lower().replace(":", "")
    return digits if digits.strip("0") else ""


def link_type(context: Context, name: str) -> dict[str, str]:
    """`accel.link.type`, and the native kind where it is `other`."""
    base = f"/sys/class/net/{name}"
    kind = context.text(f"{base}/type")
    if kind == _INFINIBAND:
        return {"accel.link.type": "ib"}
    if kind == _LOOPBACK:
        return _other("loopback")
    for native, file in (("bond", "bonding"), ("bridge", "bridge"), ("tun", "tun_flags")):
        if context.path(f"{base}/{file}").exists():
            return _other(native)
    if kind == "1" and context.path(f"{base}/device").exists():
        return {"accel.link.type": "ethernet"}
    return _other("virtual")


def _other(native: str) -> dict[str, str]:
    return {"accel.link.type": "other", "accel.link.native": native}


def pci_bdf(context: Context, device: str) -> str:
    """PCI address behind a `device` link, "" where there is none."""
    found = _BDF.findall(os.path.realpath(context.path(device)))
    return found[-1] if found else ""


def driver(context: Context, device: str) -> str:
    """Name of the driver bound to a `device` link, "" where there is none."""
    link = context.path(f"{device}/driver")
    return os.path.basename(os.path.realpath(link)) if link.exists() else ""  # noqa: PTH119
