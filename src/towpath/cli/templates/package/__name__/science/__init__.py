"""The science: values in, values out. It imports no towpath, so it can be used and tested by itself."""
