"""The asynchronous client. `make docs` generates `blocking` from it; make changes here."""
