"""The composition root: settings in, the parts of the service out, each made once, when it is needed."""
