"""What a call costs on this machine: CPU time per second in progress, and for its set-up. Pure.

A Kalman filter with two unknowns, from the thread's CPU time alone: ``cpu = call * calls + setup * setups``.
Neither can be measured directly, since a call's work is spread over thousands of loop iterations. The filter
starts with what was measured elsewhere, and weighs every observation by its noise.
"""

from __future__ import annotations

CALL = 0.003
SETUP = 0.005
"""CPU time until measured: a call without batching, per second; its set-up with REST and TLS. A slow core."""

UNCERTAINTY = 0.7
"""Standard deviation of these, relative: other machines, other settings."""

DRIFT = 0.01
"""How much a cost changes in a second, relative: the number of calls, what agents say, the core's speed."""

NOISE = 0.15
NOISE_FLOOR = 0.01
"""Standard deviation of one second's CPU time, relative and absolute: agents send audio in bursts. Together
with the drift this averages over about 15 s, however many calls there are."""

LEAST = 0.02
"""Lower limit of a cost, relative to the initial one: noise must not make a call free of charge."""


class CallCost:
    """The running estimate. Pass every second to `observe`."""

    __slots__ = ("_call_variance", "_covariance", "_setup_variance", "call", "setup")

    def __init__(self) -> None:
        self.call = CALL
        """CPU seconds of a call in progress, per second."""
        self.setup = SETUP
        """CPU seconds of the set-up of a call."""
        self._call_variance = (UNCERTAINTY * CALL) ** 2
        self._setup_variance = (UNCERTAINTY * SETUP) ** 2
        self._covariance = 0.0

    def observe(self, cpu_s: float, call_s: float, setups: float, wall_s: float) -> None:
        """Learn from ``wall_s`` seconds: the CPU time, the sum of the calls' seconds, and the set-ups."""
        self._forget(wall_s)
        # The gain of each cost is its share in the variance of the CPU time that it predicts.
        call = self._call_variance * call_s + self._covariance * setups
        setup = self._covariance * call_s + self._setup_variance * setups
        noise = NOISE_FLOOR * wall_s + NOISE * cpu_s
        variance = call * call_s + setup * setups + noise * noise
        surprise = cpu_s - self.call * call_s - self.setup * setups
        self.call = max(LEAST * CALL, self.call + call / variance * surprise)
        self.setup = max(LEAST * SETUP, self.setup + setup / variance * surprise)
        self._call_variance -= call * call / variance
        self._setup_variance -= setup * setup / variance
        self._covariance -= call * setup / variance

    def doubt(self) -> None:
        """Learn a call's cost anew, from the present one: audio is batched in another way."""
        self._call_variance = (UNCERTAINTY * self.call) ** 2
        self._covariance = 0.0

    def _forget(self, wall_s: float) -> None:
        """Let the uncertainty grow, up to the initial one: without set-ups theirs would grow for ever."""
        call, setup = self.call, self.setup
        drift = DRIFT * DRIFT * wall_s
        self._call_variance = min(self._call_variance + drift * call * call, (UNCERTAINTY * call) ** 2)
        self._setup_variance = min(self._setup_variance + drift * setup * setup, (UNCERTAINTY * setup) ** 2)
        bound = (self._call_variance * self._setup_variance) ** 0.5
        self._covariance = max(-bound, min(bound, self._covariance))
