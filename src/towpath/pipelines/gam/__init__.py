"""The gam pipeline: geophysical surveys from stations to gridded anomalies and candidates."""
