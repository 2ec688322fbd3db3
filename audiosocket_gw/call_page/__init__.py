"""The call page: what happened in one call, as one self-contained HTML file."""
