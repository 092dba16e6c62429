"""The pipeline {{name}}."""
