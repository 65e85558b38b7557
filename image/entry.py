"""Where the packed command starts. Nothing else: what it does is `appliance.cli.main`."""

import sys

from appliance.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
