"""One file format a module: read strictly, whatever a file claims."""
