"""Floor 0: values, states, errors, hashing and time. Pure functions on the standard library; imports nothing of Towpath above."""
