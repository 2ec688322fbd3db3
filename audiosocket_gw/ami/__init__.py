"""Control over Asterisk by its manager interface (AMI): describe a call, send it elsewhere, end it."""
