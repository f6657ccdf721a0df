"""What the end-to-end tests, scripts/demo and the soak use: real servers on free loopback ports."""
