"""What each store is: its binaries, ports, health page and command line, as data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sandscope._errors import SandscopeError


@dataclass(frozen=True)
class Port:
    """A port that a store listens on.

    Attributes:
        name: what the command line's flag is made of, unique among all stores.
        default: the number when nobody chose one.
    """

    name: str
    default: int

    @property
    def flag(self) -> str:
        """The option of ``sandscope stores up`` that changes it."""
        return f"--{self.name}-port"


@dataclass(frozen=True)
class Store:
    """One store.

    Words of ``arguments`` and values of the mappings are templates: ``{configuration}`` is the store's own
    copy of its configuration, ``{data}`` the folder it may write to, ``{<port>}`` the port of that name, and
    ``{scrape}`` the address of the Collector's metrics page.

    Attributes:
        name: its name, also that of its folder in the configuration.
        binary: the file that runs it.
        ports: the first is that of its HTTP interface.
        health: path on the first port that answers 200 when it is ready.
        packages: what `go build` compiles; empty when it comes from the system's packages.
        arguments: its command line after the binary.
        environment: variables that its configuration reads.
        collector: variables by which the Collector's overlays find it.
        files: files to write over those of its configuration, for what it reads from no variable.
        hint: the command that installs it, where it is not built here.
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
    hint: str = ""


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
                "--web.listen-address=127.0.0.1:{prometheus}",
                "--web.enable-otlp-receiver",
                "--enable-feature=exemplar-storage",
            ),
            collector={"SANDSCOPE_PROMETHEUS_OTLP_ENDPOINT": "http://127.0.0.1:{prometheus}/api/v1/otlp"},
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
            environment={"SANDSCOPE_JAEGER_PORT": "{jaeger}", "SANDSCOPE_JAEGER_OTLP_PORT": "{jaeger-otlp}"},
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
            hint="apt-get install prometheus-alertmanager",
        ),
    )
}


def chosen(names: Iterable[str]) -> list[Store]:
    """Look stores up by name.

    Args:
        names: their names; none means all.

    Raises:
        SandscopeError: for a name that is not a store.
    """
    wanted = list(names) or list(STORES)
    for name in wanted:
        if name not in STORES:
            raise SandscopeError(
                f"Cannot find the store {name!r}: there are {', '.join(STORES)}. Name one of these."
            )
    return [STORES[name] for name in dict.fromkeys(wanted)]


def configuration() -> Path:
    """Return the folder of configuration files that `sandscope-collector` carries.

    Raises:
        SandscopeError: when that package is not installed.
    """
    try:
        import sandscope_collector
    except ImportError as error:
        raise SandscopeError(
            f"Cannot find the stores' configuration: {error}. Run `pip install sandscope-collector`."
        ) from error
    return Path(sandscope_collector.configuration())
