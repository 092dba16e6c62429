"""The dsa110 pipeline: from subbands dropped in a folder to published radio mosaics."""
