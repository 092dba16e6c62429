"""Floor 2: the steps of the flow, one module each. They meet in rows of the catalog and never import one another."""
