"""Test equipment that ships: softphone, simulated agent, replay of recorded calls, demo."""
