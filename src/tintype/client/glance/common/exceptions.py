"""The errors under the older of their two names in python-glanceclient."""

from tintype.client.glance.exc import *  # noqa: F403  all of them, under the other name
from tintype.client.glance.exc import __all__  # noqa: F401  theirs is ours
