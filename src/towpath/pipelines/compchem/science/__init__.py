"""Files of computational chemistry read into metadata, derived files and pictures; knows nothing of Towpath."""
