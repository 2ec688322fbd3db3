"""Fuzzing: each target takes any bytes, and checks what must hold for all of them.

`python -m tests.fuzz.run` searches for bytes that break a target, guided by coverage (atheris, libFuzzer).
`test_fuzz.py` replays what it has found, without atheris.
"""
