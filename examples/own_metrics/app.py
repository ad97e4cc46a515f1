"""A program's own metrics, with OpenTelemetry's API only, under the names of one of the documents.

The Collector adds the unit and `total`: `kotoba.db.query.latency` in `s` is `kotoba_db_query_latency_seconds`.
"""

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

database = metrics.get_meter("example.database")
active = database.create_up_down_counter("kotoba.db.connections.active")
opened = database.create_counter("kotoba.db.connections")
queries = database.create_counter("kotoba.db.queries")
latency = database.create_histogram("kotoba.db.query.latency", unit="s")


def storage(_options: CallbackOptions) -> list[Observation]:
    return [Observation(1_000_000_000, {"disk": "a"})]


database.create_observable_gauge("kotoba.db.storage.size", [storage], unit="By")
database.create_observable_gauge("kotoba.db.storage.used", [storage], unit="By")

cluster = metrics.get_meter("example.cluster")
cluster.create_gauge("kotoba.cluster.nodes.total").set(3)
cluster.create_gauge("kotoba.cluster.nodes.active").set(2)
cluster.create_counter("kotoba.cluster.leader_changes").add(1)

# record_counter, record_gauge, record_histogram and record_metric of kotoba-monitoring
own = metrics.get_meter("example.shop")
own.create_counter("user.registrations").add(1, {"region": "us-east"})
own.create_gauge("active.users").set(150, {"service": "auth"})
own.create_histogram("request.duration", unit="s").record(0.25, {"endpoint": "/api/users"})
own.create_histogram("custom.operation.duration", unit="s").record(1.5, {"operation": "user_registration"})
own.create_counter("orders").add(150, {"status": "completed", "region": "us-east"})
own.create_counter("revenue").add(25_000, {"currency": "USD"})

opened.add(1)
active.add(1)
for seconds in (0.012, 0.025, 0.1):
    queries.add(1, {"kind": "select"})
    latency.record(seconds, {"kind": "select"})
