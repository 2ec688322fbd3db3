"""Asterisk's manager interface (AMI): look up, redirect and hang up calls, originate, set AVR_RESULT."""
