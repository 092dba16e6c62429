"""REST: one module for each noun. Each asks for its permission by name, and answers in the shapes of `api.shapes`."""
