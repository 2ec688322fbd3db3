"""The process: event loop, clock, load, network and signals. Nothing here knows what a call is."""
