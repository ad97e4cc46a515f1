"""The binaries, ports, health check and command line of each store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sandscope_collector.stores._stores_error import StoresError


@dataclass(frozen=True)
class Port:
    """A port that a store listens on.

    Attributes:
        name: its name, unique among all stores; the command-line option is made from it.
        default: its number unless another is chosen.
    """

    name: str
    default: int

    @property
    def flag(self) -> str:
        """The option of `sandscope stores up` that changes it."""
        return f"--{self.name}-port"


@dataclass(frozen=True)
class Store:
    """One store.

    The words of ``arguments`` and the values of the mappings are templates: ``{configuration}`` is the store's
    own copy of its configuration, ``{data}`` the folder to which it may write, ``{<port>}`` the number of the
    port of that name, and ``{scrape}`` the address of the Collector's metrics page.

    Attributes:
        name: its name, also the name of its folder of configuration files.
        binary: the name of the file to execute.
        ports: its ports; the first is that of its HTTP interface.
        health: the path on the first port that answers 200 when the store is ready.
        packages: the Go packages to compile; empty if the store comes from a system package.
        arguments: its command-line arguments.
        environment: the environment variables that its configuration reads.
        collector: the environment variables that tell the Collector's overlays its address.
        files: configuration files to replace, for settings that the store does not read from variables.
        own_files: environment variables that name a file of the user, in place of a configuration file.
        installation: the command that installs it, if it comes from a system package.
    """

    name: str
    binary: str
    ports: tuple[Port, ...]
    health: str
    packages: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    collector: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    own_files: Mapping[str, str] = field(default_factory=dict)
    installation: str = ""


STORES: Mapping[str, Store] = {
    store.name: store
    for store in (
        Store(
            name="prometheus",
            binary="prometheus",
            ports=(Port("prometheus", 9090),),
            health="/-/ready",
            packages=(
                "github.com/prometheus/prometheus/cmd/prometheus",
                "github.com/prometheus/prometheus/cmd/promtool",
            ),
            arguments=(
                "--config.file={configuration}/prometheus.yaml",
                "--storage.tsdb.path={data}",
                "--storage.tsdb.retention.time=15d",
                "--web.listen-address=127.0.0.1:{prometheus}",
                "--web.enable-otlp-receiver",
                "--web.enable-remote-write-receiver",
                # Without created timestamps, a rate misses the first events of each process.
                "--enable-feature=exemplar-storage,created-timestamp-zero-ingestion",
            ),
            collector={
                "SANDSCOPE_PROMETHEUS_OTLP_ENDPOINT": "http://127.0.0.1:{prometheus}/api/v1/otlp",
                "SANDSCOPE_REMOTE_WRITE_ENDPOINT": "http://127.0.0.1:{prometheus}/api/v1/write",
            },
            files={
                "targets/collector.json": '[{{"targets": ["{scrape}"]}}]',
                "targets/alertmanager.json": '[{{"targets": ["127.0.0.1:{alertmanager}"]}}]',
            },
        ),
        Store(
            name="jaeger",
            binary="jaeger",
            ports=(Port("jaeger", 16686), Port("jaeger-otlp", 14317)),
            health="/api/services",
            packages=("github.com/jaegertracing/jaeger/cmd/jaeger",),
            arguments=("--config={configuration}/jaeger.yaml",),
            environment={
                "SANDSCOPE_JAEGER_PORT": "{jaeger}",
                "SANDSCOPE_JAEGER_OTLP_PORT": "{jaeger-otlp}",
                "SANDSCOPE_JAEGER_DATA": "{data}",
            },
            collector={"SANDSCOPE_JAEGER_ENDPOINT": "127.0.0.1:{jaeger-otlp}"},
        ),
        Store(
            name="loki",
            binary="loki",
            ports=(Port("loki", 3100), Port("loki-grpc", 9096)),
            health="/ready",
            packages=("github.com/grafana/loki/v3/cmd/loki",),
            arguments=("-config.file={configuration}/loki.yaml", "-config.expand-env=true"),
            environment={
                "SANDSCOPE_LOKI_PORT": "{loki}",
                "SANDSCOPE_LOKI_GRPC_PORT": "{loki-grpc}",
                "SANDSCOPE_LOKI_DATA": "{data}",
            },
            collector={"SANDSCOPE_LOKI_ENDPOINT": "http://127.0.0.1:{loki}/otlp"},
        ),
        Store(
            name="alertmanager",
            binary="prometheus-alertmanager",
            ports=(Port("alertmanager", 9093),),
            health="/-/ready",
            arguments=(
                "--config.file={configuration}/alertmanager.yaml",
                "--storage.path={data}",
                "--web.listen-address=127.0.0.1:{alertmanager}",
                "--cluster.listen-address=",
            ),
            own_files={"SANDSCOPE_ALERTMANAGER_CONFIG": "alertmanager.yaml"},
            installation="apt-get install prometheus-alertmanager",
        ),
    )
}


def select(names: Iterable[str]) -> list[Store]:
    """Return stores by name.

    Args:
        names: their names; all stores if empty.

    Raises:
        StoresError: if there is no store of a name.
    """
    selected = list(names) or list(STORES)
    for name in selected:
        if name not in STORES:
            raise StoresError(
                f"Cannot find the store {name!r}: the stores are {', '.join(STORES)}. Use one of these names."
            )
    return [STORES[name] for name in dict.fromkeys(selected)]
