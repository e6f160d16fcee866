"""A Ray cluster: reached, asked what it has, and told to end. The only file that knows Ray's interface to clusters."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kit.config.sections import EngineConfig
from kit.errors import ConfigError, KitError, required
from kit.runtime.lazy import Lazy

GIGABYTE = 1e9
PATIENCE = 10.0  # seconds for an address to answer
ray: Any = Lazy("ray")


@contextmanager
def connected(config: EngineConfig) -> Iterator[None]:
    """Be the driver of a job on the cluster; raises `ConfigError` where Ray is missing or the cluster is not there."""
    check_installed()
    if ray.is_initialized():
        yield
        return
    address = config.address or os.environ.get("RAY_ADDRESS") or "auto"
    if address.startswith("ray://"):
        said = f"{address} is an address for the Ray Client, which does not support streaming"
        raise ConfigError(said, "run the command on a machine of the cluster")
    host, _, port = address.rpartition(":")
    if host and port.isdigit():  # Ray itself tries for minutes where nobody answers
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
        except OSError as error:
            raise _unreachable(address, error) from error
    own = {"include_dashboard": False} if address == "local" else {}
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False, **own)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _unreachable(address, error) from error
    finally:  # Ray takes SIGTERM for itself; ours lets units save their state
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
    try:
        yield
    finally:
        ray.shutdown()


def _unreachable(address: str, error: Exception) -> ConfigError:
    where = "on this machine" if address == "auto" else f"at {address}"
    hint = 'ray start --head, or [engine] address = "local"'
    return ConfigError(f"no Ray cluster answers {where}: {str(error).splitlines()[0]}", hint)


def check_installed() -> None:
    """Raise `ConfigError` with the install line where there is no Ray; what it reads of the environment is set."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns; tasks without cards are ours
    required("ray", "the engine `ray`", "'kit[ray]'")


def resources(config: EngineConfig) -> dict[str, float]:
    """What a task asks for: `CPU`, and perhaps `GPU` and `memory` (bytes); `KitError` where no machine has it."""
    nodes, cards = machines(), config.num_gpus
    if cards is None:
        cards = float(any(node.get("GPU", 0) >= 1 for node in nodes.values()))
    most = max((node.get("CPU", 0) for node in nodes.values()), default=0)
    asked = {"CPU": min(config.num_cpus, most), "GPU": cards, "memory": config.memory * GIGABYTE}
    wanted = {name: amount for name, amount in asked.items() if amount > 0}
    if places(wanted, nodes) == 0:
        words = ", ".join(f"{amount:g} {name}" for name, amount in wanted.items()) or "a CPU"
        raise KitError(f"no machine of the Ray cluster has {words}", "ray status")
    return wanted


def machines() -> dict[str, Mapping[str, float]]:
    """By id of the living nodes of the cluster, what each has."""
    return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}


def places(wanted: Mapping[str, float], nodes: Mapping[str, Mapping[str, float]]) -> int:
    """How many tasks that each want so much run side by side on these nodes."""
    if not wanted:
        return 0
    return sum(min(int(node.get(name, 0) / amount) for name, amount in wanted.items()) for node in nodes.values())


class Bell:
    """An actor that every task waits for, and that the driver rings when tasks should save their state and end."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    async def wait(self) -> None:
        """Return when it is rung."""
        await self._rung.wait()

    async def ring(self) -> None:
        """Let all who wait go on."""
        self._rung.set()


def hang_bell() -> Any:
    """A `Bell` on this machine: it lasts as long as its driver, whatever happens to others."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(Bell).options(num_cpus=0, max_concurrency=10_000, scheduling_strategy=here).remote()
