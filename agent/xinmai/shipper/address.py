"""From configuration to a broker's address, the password read from where it lies."""

from __future__ import annotations

from xinmai.config import BrokerConfig
from xinmai.errors import ConfigError
from xinmai.transport import BrokerAddress


def broker_address(config: BrokerConfig) -> BrokerAddress:
    """Read the password and check nothing else: the Transport does.

    Raises:
        ConfigError: the password file cannot be read.
    """
    password = ""
    if config.password_file is not None:
        try:
            password = config.password_file.read_text("utf-8").strip()
        except OSError as error:
            raise ConfigError(f"cannot be read: {error}", key="broker.password_file") from error
    return BrokerAddress(
        url=config.url,
        protocol=config.protocol,
        username=config.username,
        password=password,
        ca=config.ca,
        cert=config.cert,
        key=config.key,
        keepalive_s=config.keepalive_s,
    )
