#!/usr/bin/env bash
# The one entry to the project: everything it needs is installed, built, tested and run from here.
# Works on a fresh Debian 12, as root or with sudo; what is already there is not done again.
set -Eeuo pipefail
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")"

# Debian packages, one list per purpose.
PACKAGES_PYTHON=(python3 python3-venv python3-dev gcc libc6-dev ca-certificates tzdata)
PACKAGES_TEST=(
    rsyslog rsyslog-relp rsyslog-gnutls rsyslog-openssl openssl shellcheck iproute2 util-linux systemd procps
    libfaketime nftables sudo xva-img qemu-utils gdisk e2fsprogs zstd git
    xkb-data openssh-client
)
PACKAGES_IMAGE=(
    debootstrap sudo qemu-utils dosfstools mtools e2fsprogs gdisk fdisk parted kpartx grub-common grub-efi-amd64-bin
    binutils file git gpgv xz-utils zstd util-linux mount xkb-data
)
PACKAGES_VM=(qemu-system-x86 ovmf mmdebstrap socat)

LOGS=build/log
PYTHON=.venv/bin/python

usage() {
    cat <<'TEXT'
Usage: ./build.sh [COMMAND]

  build [OPTIONS]        Build everything into dist/ (the default). Options go to the image
                         pipeline: ./build.sh build --help
  test [--fast] [ARGS]   Build, and run all tests but a second build (-m twice), two at a time; with --fast
                         those that need no virtual machine. ARGS go to pytest: ./build.sh test --fast -k spool
                         (-n 0: one at a time, for -s and --pdb)
  run [OPTIONS]          Boot the built image in QEMU, its serial console in this terminal.
                         The disk's changes are kept in build/run: ./build.sh run --help
  setup                  Only the prerequisites: Debian packages, .venv, compiled code.
  lock [--upgrade]       Regenerate requirements.lock from pyproject.toml.
  clean                  Remove everything that was built: build/, dist/, .venv, caches.
  help                   This text.

Logs of all steps are in build/log/.
TEXT
}

die() {
    printf '\nerror: %s\n' "$1" >&2
    [ -z "${2-}" ] || printf 'hint: %s\n' "$2" >&2
    exit 1
}

# step NAME COMMAND…: run a command with its output in a log of its own; on failure show the log's end.
step() {
    local name=$1 log started code
    shift
    log="$LOGS/${name//[^a-zA-Z0-9]/-}.log"
    mkdir -p "$LOGS"
    printf '%-44s ' "$name"
    started=$EPOCHREALTIME
    set +e
    (
        set -e
        "$@"
    ) >"$log" 2>&1
    code=$?
    set -e
    if [ "$code" -ne 0 ]; then
        printf 'FAILED\n\n' >&2
        tail -n 25 -- "$log" >&2
        die "step '$name' failed (exit code $code)" "the whole log is in $log"
    fi
    awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN { gsub(",", ".", a); gsub(",", ".", b); printf "%7.1f s\n", b - a }'
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -- "$@"
    else
        echo "this needs root, and sudo is not installed: run ./build.sh as root" >&2
        return 1
    fi
}

# ---- Debian packages --------------------------------------------------------------------------

install_packages() {
    local options=(-y --no-install-recommends -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install "${options[@]}" "$@" && return
    # Lists that are missing or too old name files that are no longer there.
    as_root apt-get update -o DPkg::Lock::Timeout=300
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install "${options[@]}" "$@"
}

need_packages() {
    local purpose=$1 package missing=()
    shift
    command -v dpkg-query >/dev/null || die "this is not a Debian system" "build on Debian 12, or in a container of it"
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null)" = "ii " ] || missing+=("$package")
    done
    [ "${#missing[@]}" -eq 0 ] || step "packages for $purpose" install_packages "${missing[@]}"
}

# ---- Python -----------------------------------------------------------------------------------

digest() {
    cat -- "$@" 2>/dev/null | sha256sum | cut -d ' ' -f 1
}

# compiled_sources: the modules that are compiled, one a line.
compiled_sources() {
    grep -oP 'sources = \["\K[^"]+' pyproject.toml
}

# once STAMP KEY NAME COMMAND…: a step that is skipped while its key is the one it last succeeded with.
once() {
    local stamp=$1 key=$2
    shift 2
    if [ "$(cat -- "$stamp" 2>/dev/null)" != "$key" ]; then
        step "$@"
        printf '%s\n' "$key" >"$stamp"
    fi
}

create_venv() {
    rm -rf .venv
    /usr/bin/python3 -m venv .venv
}

install_lock() {
    "$PYTHON" -m pip install --no-input --disable-pip-version-check --only-binary :all: --require-hashes \
        -r requirements.lock
}

install_project() {
    "$PYTHON" -m pip install --no-input --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
}

setup_python() {
    need_packages "Python" "${PACKAGES_PYTHON[@]}"
    mkdir -p "$LOGS"
    # Two runs at once take turns here.
    exec 9>build/.setup.lock
    flock 9
    local python
    python=$(/usr/bin/python3 -V)
    if [ ! -x "$PYTHON" ] || [ "$("$PYTHON" -V 2>/dev/null)" != "$python" ]; then
        step "Python environment" create_venv
    fi
    once .venv/.lock-installed "$(digest requirements.lock)" "Python packages" install_lock
    local source
    while read -r source; do
        compgen -G "${source%.py}.*.so" >/dev/null || rm -f .venv/.project-installed
    done < <(compiled_sources)
    once .venv/.project-installed "$(digest pyproject.toml appliance/relay/hot/*.py appliance/relay/hot/*.pxd) $PWD" \
        "compiled hot path" install_project
    exec 9>&-
}

lock() {
    "$PYTHON" -m venv build/lock-venv
    build/lock-venv/bin/python -m pip install -q --disable-pip-version-check pip-tools
    build/lock-venv/bin/pip-compile -q --extra image --extra test --generate-hashes --allow-unsafe --strip-extras \
        --no-header --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
        -o requirements.lock pyproject.toml "$@"
}

# ---- commands ---------------------------------------------------------------------------------

command_build() {
    setup_python
    need_packages "the image" "${PACKAGES_IMAGE[@]}"
    as_root "$PYTHON" -m image build "$@"
}

command_test() {
    local selection=(-m "not twice") fast=
    if [ "${1-}" = "--fast" ]; then
        shift
        selection=(-m "not vm and not xen") fast=yes
    fi
    setup_python
    need_packages "tests" "${PACKAGES_TEST[@]}"
    if [ -z "$fast" ]; then
        need_packages "virtual machines" "${PACKAGES_VM[@]}"
        command_build
    fi
    # Two at a time: most tests wait most of the time, and a virtual machine without hardware virtualization seldom
    # uses more than one processor. What shares a machine is one group (tests/vm), and the groups come first.
    exec "$PYTHON" -m pytest -n 2 --dist loadgroup "${selection[@]}" "$@"
}

command_run() {
    setup_python
    need_packages "virtual machines" "${PACKAGES_VM[@]}" qemu-utils e2fsprogs
    exec "$PYTHON" -m image run "$@"
}

command_clean() {
    # The image pipeline may have left files of root.
    rm -rf build dist .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache ./*.egg-info 2>/dev/null ||
        as_root rm -rf build dist .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache ./*.egg-info
    find appliance -name '*.so' -type f -delete
    compiled_sources | while read -r source; do
        rm -f "${source%.py}.c" "${source%.py}.html"
    done
    find appliance image tui tests bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
}

command=${1-build}
[ "$#" -eq 0 ] || shift
case $command in
build) command_build "$@" ;;
test) command_test "$@" ;;
run) command_run "$@" ;;
setup) setup_python ;;
lock)
    setup_python
    step "lock" lock "$@"
    ;;
clean) command_clean ;;
help | -h | --help) usage ;;
*)
    usage >&2
    die "unknown command '$command'"
    ;;
esac
