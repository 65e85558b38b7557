"""Waits between tries, and a tenant's rate."""

from hypothesis import settings

from appliance.config import model
from appliance.config.units import Duration
from appliance.relay.send.throttle import Backoff, Pace

SECOND = 10**9
LIMITS = model.LokiLimits()
calmly = settings(deadline=None, max_examples=60)


def test_waits_grow_with_jitter_to_their_bound_and_honour_retry_after() -> None:
    backoff = Backoff(model.Backoff(min=Duration(0.5), max=Duration(30)), jitter=lambda: 1.0)
    waits = []
    for _ in range(10):
        backoff.failed(100.0)
        waits.append(backoff.until - 100.0)
    assert waits[:4] == [0.5, 1.0, 2.0, 4.0] and max(waits) == 30.0
    backoff.failed(100.0, retry_after=50.0)
    assert backoff.until >= 150.0
    backoff.succeeded()
    assert backoff.until == 0.0


def test_a_tenants_rate_is_kept_to_and_forgotten_once_loki_takes_more() -> None:
    pace = Pace(4, Backoff(model.Backoff(), jitter=lambda: 0.0))
    pace.refused(1_000_000, None, 0.0)
    assert pace.rate == 950_000 and pace.in_flight_limit == 2
    now = taken = 0.0
    while now < 10:
        now = pace.ready_at(now) + 1e-6
        pace.charge(100_000, now)
        taken += 100_000
    assert taken < 950_000 * 12
    for _ in range(100):
        pace.stored(100_000, now)
    assert pace.rate == 0.0 and pace.in_flight_limit == 4
