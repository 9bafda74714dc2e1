"""The programs behind the Makefile: checks, the test run, set-up. Not part of the distribution."""
