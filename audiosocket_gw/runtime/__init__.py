"""The process: event loop, ticker, load, network, shutdown. Nothing here knows what a call is."""
