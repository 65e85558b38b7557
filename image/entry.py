"""Where the packed command starts. Nothing else: what it does is `appliance.cli.main`."""

import sys

if __name__ == "__main__":
    try:
        from appliance.cli.main import main
    except ModuleNotFoundError:
        import appliance

        sys.stdout.write(f"appliance {appliance.__version__}\n")
    else:
        sys.exit(main())
