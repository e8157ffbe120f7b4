"""Models fitted on labelled rows: they answer in the process where they are certain, and cost no call."""
