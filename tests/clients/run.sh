#!/usr/bin/env bash
# Real servers and real clients against the broker: installs what it needs, builds the release broker, runs each
# folder's checks and counts them. Fails where it cannot run a check; nothing is skipped in silence.
#
#   tests/clients/run.sh [PART ...]      default: all of them, which are
#       oracle scenarios faults                 the broker beside real servers, and on bad disks
#       redis-py node-redis ioredis lettuce jedis spring redisson go-redis redis-rs redis-cli redis-benchmark    clients
#       examples                                what examples/README.md shows
#
# The clients report each check of lib/checks.txt; docs/clients.md must say what they found, and
# UPDATE=1 writes it. ORACLE_SEQUENCES (default 4000) and ORACLE_SEED (default 1) set the size and the start of the
# random comparison; ORACLE_SEED=$RANDOM tries other commands each time. ALLUVIUM_BIN names a broker that is
# built already.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=$PWD/tests/clients
target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
tools=$target/clients
results=$tools/results
mkdir -p "$results"
all=(oracle scenarios redis-py node-redis ioredis lettuce jedis spring redisson go-redis redis-rs redis-cli redis-benchmark
    examples faults)
wanted=("$@")
[ ${#wanted[@]} -gt 0 ] || { wanted=("${all[@]}"); rm -f "$results"/*; }

source "$here/lib/install.sh"
install_package redis-server redis-server
install_package redis-cli redis-tools
install_package strace strace
install_python

if [ -z "${ALLUVIUM_BIN:-}" ]; then
    cargo build --release --quiet -p alluvium
    export ALLUVIUM_BIN=$target/release/alluvium
fi

passed=0
failed=0
check() { # NAME COMMAND...
    local name=$1 start=$SECONDS
    shift
    echo "--- $name"
    if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $name" >&2; fi
    echo "    $((SECONDS - start)) s"
}

reported=
client() { # FOLDER COMMAND...
    local folder=$1
    shift
    export CHECK_RESULTS=$results/$folder.jsonl
    rm -f "$CHECK_RESULTS"
    check "$folder" "$@"
    reported=yes
}

run_go() {
    (cd "$here/go-redis" && go test -vet=off -count=1 ./...)
}

run_rust() {
    (cd "$here/redis-rs" && cargo fmt --check && CARGO_TARGET_DIR=$tools/redis-rs cargo run --quiet --locked)
}

run_java() { # MODULE CLASS
    java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$java_build/$1/classes:$(cat "$java_build/$1/classpath")" "$2"
}

for part in "${wanted[@]}"; do
    case $part in
        oracle)
            check "the comparison notices wrong replies" "$python" "$here/oracle/oracle.py" --self-test
            check "random commands against Valkey and Redis" "$python" "$here/oracle/oracle.py" \
                --sequences "${ORACLE_SEQUENCES:-4000}" --seed "${ORACLE_SEED:-1}"
            check "random commands of Redis 8.2 against it" "$python" "$here/oracle/oracle.py" --left redis8 \
                --right alluvium --sequences "${ORACLE_SEQUENCES:-4000}" --seed "${ORACLE_SEED:-1}"
            ;;
        scenarios)
            check "fixed scenarios against Valkey" "$python" "$here/oracle/scenarios.py"
            check "streams that move to and from Valkey and Redis" "$python" "$here/oracle/moving.py"
            ;;
        redis-py)
            client redis-py "$python" -m unittest discover -s "$here/redis-py"
            ;;
        node-redis | ioredis)
            install_node
            client "$part" node --test --test-reporter=spec "$here/$part/streams.test.js"
            ;;
        lettuce | jedis | redisson)
            install_java
            client "$part" run_java "$part" Main
            ;;
        spring)
            install_java
            client spring run_java spring checks.spring.Main
            ;;
        go-redis)
            install_go
            client go-redis run_go
            ;;
        redis-rs)
            client redis-rs run_rust
            ;;
        redis-cli | redis-benchmark)
            client "$part" "$python" "$here/$part/checks.py"
            ;;
        examples)
            install_node
            check "the examples print what their page shows" "$python" "$here/lib/examples.py"
            ;;
        faults)
            check "failing disks" "$python" "$here/faults/faults.py"
            ;;
        *)
            echo "no such part: $part" >&2
            exit 2
            ;;
    esac
done
if [ -n "$reported" ]; then
    check "the report notices what is missing" "$python" -m unittest discover -s "$here/lib"
    check "what docs/clients.md says" "$python" "$here/lib/report.py" ${UPDATE:+--update} "$results"
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
