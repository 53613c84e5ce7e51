"""amqtt's broker as a process of its own: `python -m xinmai.amqtt_broker --port N`.

MQTT 3.1.1 only. For a first look without anything to install; a fleet needs a real broker.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal

from amqtt.broker import Broker

from xinmai.broker import HOST


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m xinmai.amqtt_broker")
    parser.add_argument("--port", type=int, required=True, help="TCP port on loopback")
    port = parser.parse_args().port
    # amqtt warns of every client that breaks off and of every question for MQTT 5.
    for name in ("amqtt", "asyncio", "transitions"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    asyncio.run(_serve(port))


async def _serve(port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    broker = Broker(_config(port))
    await broker.start()
    await stop.wait()
    await broker.shutdown()


def _config(port: int) -> dict[str, object]:
    return {
        "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }


if __name__ == "__main__":
    main()
