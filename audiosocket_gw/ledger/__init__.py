"""What is known of each call, now and afterwards: its call record, kept by its events."""
