"""Test suites for authors of drivers. The drivers of this project pass them."""
