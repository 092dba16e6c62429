"""Floor 0: values, states, errors, hashing, renaming and time, on the standard library; imports nothing of Towpath above."""
