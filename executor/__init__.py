"""The executor: carries out one step of a run, then ends. It knows only common and the standard library."""

#: Told to the API with the claim; held to pyproject.toml by a test (reading package metadata would cost 20 ms).
VERSION = "0.1.0"
