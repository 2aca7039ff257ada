"""The composition root: creates the parts of the service from the settings, each once, when it is needed."""
