"""Recordings: a stereo WAV and a transcript of each call, unmasked, written as the call goes."""
