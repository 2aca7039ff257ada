"""The blocking client, made of the asynchronous one by `make docs`; only `io.py` is written here."""
