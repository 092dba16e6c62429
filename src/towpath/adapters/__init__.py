"""Floor 2: the implementations behind the contracts: SQL, disk, processes, messages."""
