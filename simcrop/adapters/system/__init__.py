"""The machine: files that survive a crash, processes, ranks, progress on a terminal, versions."""
