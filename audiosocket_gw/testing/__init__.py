"""Test equipment that ships: simulated agent, softphone, demonstration, replay of recorded calls."""
