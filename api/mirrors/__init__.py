"""Where engines come from: release mirrors, and the archives that were fetched from them."""
