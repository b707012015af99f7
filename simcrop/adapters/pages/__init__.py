"""HTML pages that hold all that they show and reach no network."""
