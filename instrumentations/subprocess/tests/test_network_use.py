"""What a child with a network namespace of its own has sent and received, and the system calls of one that fails."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from harness import lacking, wait_until
from sandscope_instrumentation_subprocess._evidence._network import NetworkUsage, parse

SENDS = """
import fcntl, os, socket, struct, subprocess, sys
device = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(device, 0x400454CA, struct.pack("16sH22x", b"tun0", 0x1001))  # TUNSETIFF, IFF_TUN | IFF_NO_PI
with open("/proc/sys/net/ipv6/conf/all/disable_ipv6", "w") as file:
    file.write("1")  # the kernel would send packets of its own
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
subprocess.run(["ip", "address", "add", "10.9.9.1/24", "dev", "tun0"], check=True)
subprocess.run(["ip", "link", "set", "tun0", "up"], check=True)
socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
socket.sendto(bytes(5000), ("127.0.0.1", 9))
for _ in range(3):
    socket.sendto(bytes(972), ("10.9.9.2", 9))
    assert len(os.read(device, 2000)) == 1000
os.write(device, bytes.fromhex("4500001400000000ff110000") + bytes([10, 9, 9, 2, 10, 9, 9, 1]))
sys.stdin.read()
"""


@pytest.fixture
def unshare() -> list[str]:
    """Return the beginning of a command line that runs the rest with a network namespace of its own."""
    command = ["unshare", "--net"]
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        lacking("needs ip and unshare: apt install iproute2 util-linux")
    made = subprocess.run(
        [*command, "sh", "-c", "test -w /dev/net/tun"], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"cannot make a network namespace with a device, run as root: {made.stderr.strip()}")
    return command


def test_a_child_with_a_network_of_its_own(
    unshare: list[str], ended: Any, python: Callable[[str], list[str]], gate: Any
) -> None:
    expected = NetworkUsage(received=20, sent=3000)
    with subprocess.Popen([*unshare, *python(SENDS)], stdin=gate.input) as process:
        child = ended.registry.get(process.pid)
        wait_until(lambda: child.observed.network == expected, timeout=60)
        gate.open()
    assert child.observed.network == expected
    assert process.returncode == 0
    attributes = ended.one()
    assert attributes["sandbox.process.network.received"] == 20
    assert attributes["sandbox.process.network.sent"] == 3000
    ((_, received),) = ended.telemetry.points("sandbox.process.network.received")
    assert received == 1


def test_a_child_in_the_network_of_the_program(ended: Any) -> None:
    subprocess.run(["sleep", "0.3"], check=True)
    assert not [name for name in ended.one() if "network" in name]


def test_interfaces_are_added_up_without_loopback() -> None:
    titles = "Inter-|  Receive  |  Transmit\n face |bytes packets|bytes packets\n"
    rest = " 1 0 0 0 0 0 0"
    lines = f"    lo: 7{rest} 7{rest}\n  eth0: 10{rest} 100{rest}\n  veth1:200{rest} 2000{rest}\n"
    assert parse((titles + lines).encode()) == NetworkUsage(210, 2100)
    assert parse(titles.encode()) is None
    assert parse(b"") is None


def test_the_system_calls_of_a_child_that_fails(ended: Any, python: Callable[[str], list[str]]) -> None:
    code = "import os\nfor _ in range(100): os.write(1, b'x'); os.read(0, 1)\nos._exit({})"
    with open(os.devnull, "r+b") as null:  # noqa: PTH123 -- both ends
        for exit_code in (1, 0):
            subprocess.run(python(code.format(exit_code)), stdin=null, stdout=null, check=False)
    failed, succeeded = ended.all(2)
    assert failed["sandbox.process.syscalls.write"] == 100
    assert failed["sandbox.process.syscalls.read"] >= 100
    assert "sandbox.process.syscalls.read" not in succeeded, "it is not looked at"
