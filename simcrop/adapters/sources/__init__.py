"""One data set a module, behind the port `DataSet`; `registry` has them by the names of `data.source`."""
