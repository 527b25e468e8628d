"""Schema migrations: one file per revision in versions/, applied at start by upgrade.py."""
