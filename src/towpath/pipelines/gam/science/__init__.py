"""The science of the gam pipeline: functions on arrays.

Each module loads only the libraries that it needs, so import the module that holds what you want.
Nothing here imports Towpath, keeps state or reaches a network.
"""
