"""The simulated agent: ElevenLabs' API on a real port, without network and keys.

`docs/simulator.md` says what it can do and how to write a scenario.
"""

from audiosocket_gw.testing.simulator.scenario import Scenario
from audiosocket_gw.testing.simulator.scenario_file import load_scenario, scenario_names
from audiosocket_gw.testing.simulator.server import Simulator
from audiosocket_gw.testing.simulator.simulated_agent import SimulatedAgent
from audiosocket_gw.testing.simulator.turn import Close, Speech, Tool, Turn

__all__ = [
    "Close",
    "Scenario",
    "SimulatedAgent",
    "Simulator",
    "Speech",
    "Tool",
    "Turn",
    "load_scenario",
    "scenario_names",
]
