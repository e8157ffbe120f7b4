"""Everything outside: a folder per protocol, reading and writing side by side; the registry, connections and limits."""
