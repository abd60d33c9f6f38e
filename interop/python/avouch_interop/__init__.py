"""What the suites share: the server's coordinates, evidence of made-up workloads, and published clients."""
