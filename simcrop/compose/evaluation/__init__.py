"""One module a command of `simcrop eval`, and the task each family begins with."""
