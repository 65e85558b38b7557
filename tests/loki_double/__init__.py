"""A stand-in for Grafana Loki: takes pushes, judges them as Loki 3.7 does, answers queries.

What is modelled was observed on a real Loki 3.7.6 (single binary, defaults) and checked against
its source (`pkg/distributor`, `pkg/ingester/stream.go`, `pkg/loghttp/push`):

* two stages. The **distributor** judges every entry (too old, too new, line too long, labels,
  structured metadata) and the tenant's rate; its verdicts are reported whatever the order. The
  **ingester** then stores stream by stream (stream limit, per-stream rate all-or-nothing, too far
  behind), and only the verdict of the *last* stream of a push is answered, though the others were
  stored or lost.
* a push over 4 MiB is answered 500 by the ingester's gRPC server.
* only an immediate repeat (same time, line and metadata as the stream's last entry) is absorbed.

Layout: `proto` decodes, `labels` parses label sets, `distributor` and `ingester` are the two
stages, `query` answers LogQL, `double` routes requests, `front` is the HTTP server with faults,
TLS and authentication (it can stand before a real Loki too, see `real`), `process` runs a double
in a process of its own. Nothing of the project under test is imported here.
"""

from tests.loki_double.api import LokiUnderTest, Tally
from tests.loki_double.double import InProcessLoki
from tests.loki_double.limits import Limits
from tests.loki_double.process import LokiProcess
from tests.loki_double.real import RealLoki, real_loki_binary

__all__ = ["InProcessLoki", "Limits", "LokiProcess", "LokiUnderTest", "RealLoki", "Tally", "real_loki_binary"]
