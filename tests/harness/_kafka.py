"""A real broker of Kafka, from Maven's jars, on the machine's Java."""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
import uuid
from pathlib import Path
from types import TracebackType

from harness._cache import cached, digest, run_command
from harness._ports import free_ports
from harness._requires import lacking
from harness._sink import wait_until

_POM = Path(__file__).with_name("kafka") / "pom.xml"
_SETTINGS = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller}
log.dirs={data}
num.partitions=4
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
"""
_JAVA = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def kafka_jars() -> Path:
    """Return the folder with Kafka's jars; skip the test if there is no Java or no Maven."""
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            lacking(f"needs {program}: `apt-get install maven default-jre-headless`, or the like")
    command: list[str | Path] = ["mvn", "--batch-mode", "--quiet", "--file", _POM]
    try:
        return cached(
            "kafka",
            digest(_POM.read_text()),
            lambda folder: run_command(
                [*command, "dependency:copy-dependencies", f"-DoutputDirectory={folder}"], folder
            ),
        )
    except (OSError, subprocess.SubprocessError) as error:
        lacking(f"Maven cannot fetch Kafka: {error}. Is there a network?")


class Broker:
    """One broker, which is its own controller; what it has acknowledged outlives a kill.

    Attributes:
        address: for `SANDSCOPE_KAFKA_BROKERS`.
    """

    def __init__(self, folder: Path) -> None:
        """Prepare a broker with its data in this folder, without starting it."""
        ports = free_ports(("broker", "controller"))
        self.address = f"127.0.0.1:{ports['broker']}"
        self._port = ports["broker"]
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = folder / "server.properties"
        self._settings.write_text(_SETTINGS.format(**ports, data=folder / "data"))
        identity = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # One argument: an identity may begin with a hyphen.
        named = f"--cluster-id={identity}"
        storage = ["kafka.tools.StorageTool", "format", named, "-c", str(self._settings)]
        run_command([*self._java(), *storage], folder)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._folder / "kafka.log").open("ab") as log:
            command = [*self._java(), "kafka.Kafka", str(self._settings)]
            self._process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log)
        assert wait_until(self._answers, timeout=120), (self._folder / "kafka.log").read_text()[-2000:]

    def kill(self) -> None:
        """End it by SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _java(self) -> list[str]:
        return ["java", *_JAVA, "-cp", f"{kafka_jars()}/*"]

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
        except OSError:
            return False
        return True
