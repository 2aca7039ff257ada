"""What authors of drivers run against their own: the suites that ours pass."""
