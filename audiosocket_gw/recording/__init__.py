"""Recordings: a stereo WAV and a transcript of each call, written as the call goes."""
