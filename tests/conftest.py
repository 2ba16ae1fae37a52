"""Settings of the test run. Nowhere else are any changed."""

import os
import signal

from hypothesis import settings

# no window opens, in this process or in the children that tests start
os.environ["MPLBACKEND"] = "Agg"

# a run in the background of a script starts with interrupts ignored, and so would its children; some tests send them
signal.signal(signal.SIGINT, signal.default_int_handler)

# the first example of a compiled function pays for its compilation: a deadline would call it flaky
settings.register_profile("default", deadline=None, max_examples=50)
# The same examples in every CI run: a change is judged by what it did. Hunting is for "default" and "nightly".
settings.register_profile("ci", settings.get_profile("default"), print_blob=True, derandomize=True)
settings.register_profile("few", settings.get_profile("ci"), max_examples=10)  # kernels run as plain Python
settings.register_profile("nightly", settings.get_profile("default"), print_blob=True, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
