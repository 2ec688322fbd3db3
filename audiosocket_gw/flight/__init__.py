"""The flight recorder: all that happened in a call in one file, and the file played again into a gateway."""
