"""The HTTP surface: what the gateway and its calls do now, and what an operator may do to them."""
