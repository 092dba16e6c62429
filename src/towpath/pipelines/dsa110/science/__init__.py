"""The science of the dsa110 pipeline: functions from arrays to arrays, usable and testable without Towpath."""
