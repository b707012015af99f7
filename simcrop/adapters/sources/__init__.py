"""One data set a module, behind the port `StudySource`; `registry` builds what `data.source` names."""
