"""The asynchronous client. `blocking` is made of it by `make docs`; change it here."""
