"""Shared by the controllers."""
