"""The test bench of the API and node suites: a cluster of the real binary, real kubectl, the host's inventory."""
