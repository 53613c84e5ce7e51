"""What can go wrong, as one tree.

XinmaiError
├── Usage                 wrong use: exit code 2
│   └── ConfigError       file, line, key and what is allowed
├── Unavailable           a plugin's library, file or device is not here (what, on what, fix)
├── PluginError           a plugin broke its contract
├── ProtocolError         bytes from another process are not ours
│   └── Refused           a wire message over a limit or of the wrong shape
├── SpoolError            the spool's directory cannot be used
└── TransportError        the broker refused or went away
    ├── BrokerRefused     an acknowledgement that says no, with its reason code
    └── Disconnected      (in transport) the end of a connection, with the broker's reason
"""

from __future__ import annotations


class XinmaiError(Exception):
    """Anything this project raises on purpose."""


class Usage(XinmaiError):
    """The command or its input is wrong; nothing was started."""


class ConfigError(Usage):
    """A configuration key or value is wrong.

    Args:
        message: what is wrong and what is allowed.
        file: the file read, or the environment variable or flag.
        line: 1-based, 0 where there is no line.
        key: dotted key.
    """

    def __init__(self, message: str, *, file: str = "", line: int = 0, key: str = "") -> None:
        where = f"{file}:{line}" if line else file
        super().__init__(": ".join(part for part in (where, key, message) if part))
        self.file, self.line, self.key = file, line, key


class Unavailable(XinmaiError):
    """What a plugin needs is not on this machine; not a failure.

    Args:
        what: what was tried, such as "read RAPL energy".
        on: the path, library or device it was tried on.
        fix: what a person can do about it.
    """

    def __init__(self, what: str, on: str, fix: str) -> None:
        super().__init__(f"{what}: {on} ({fix})")
        self.what, self.on, self.fix = what, on, fix


class PluginError(XinmaiError):
    """A plugin broke its contract; the message names plugin, place and rule."""


class ProtocolError(XinmaiError):
    """Bytes from another process do not follow the protocol."""


class Refused(ProtocolError):
    """A wire message is over a limit or has the wrong shape.

    Args:
        reason: short and stable, for counters: `too_big`, `not_msgpack`, `shape`, ...
        key: the dotted place in the message, "" for the whole.
    """

    def __init__(self, reason: str, key: str = "", detail: str = "") -> None:
        super().__init__(" ".join(part for part in (reason, key, detail) if part))
        self.reason, self.key, self.detail = reason, key, detail


class SpoolError(XinmaiError):
    """The spool's directory cannot be used; the message says why and what to do."""


class TransportError(XinmaiError):
    """The connection to the broker failed or ended."""


class BrokerRefused(TransportError):
    """The broker acknowledged with a reason code that means no.

    Args:
        code: MQTT reason code, 128 and above.
        topic: what was published or subscribed.
    """

    def __init__(self, code: int, topic: str, text: str = "") -> None:
        super().__init__(f"broker refused {topic}: reason code {code} {text}".rstrip())
        self.code, self.topic = code, topic
