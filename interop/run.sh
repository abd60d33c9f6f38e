#!/usr/bin/env bash
# Published clients against the built server: interop/run.sh node|python|kube|all
# README.md in this folder says what each suite needs and how to run one test.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
what="${1:-all}"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

python="$here/python/.venv/bin/python"
export PYTHONPATH="$here/python" PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "interop: $*"
  exit 1
}

# Does nothing when the stamp already holds this sum of the inputs; else runs the rest of the arguments.
unless_done() {
  local stamp="$1" sum="$2"
  shift 2
  if [ "$(cat "$stamp" 2>/dev/null)" != "$sum" ]; then
    "$@"
    printf '%s' "$sum" >"$stamp"
  fi
}

sum_of() { cat "$@" | sha256sum | cut -d ' ' -f 1; }

find_server() {
  if [ -z "${AVOUCH_BIN:-}" ]; then
    AVOUCH_BIN="${CARGO_TARGET_DIR:-$here/../target}/debug/avouch"
  fi
  [ -x "$AVOUCH_BIN" ] || fail "no server at $AVOUCH_BIN: build it, or set AVOUCH_BIN"
  AVOUCH_BIN="$(realpath "$AVOUCH_BIN")"
  export AVOUCH_BIN
}

# A distribution package for a program that is missing; installed only as root.
need() {
  local program="$1" package="$2"
  if ! command -v "$program" >/dev/null 2>&1; then
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || fail "no $program: install the package $package"
    say "installing $package"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package"; } \
      >"$scratch/apt.log" 2>&1 || { cat "$scratch/apt.log" >&2; fail "could not install $package"; }
  fi
}

install_python() {
  say "installing the Python packages"
  rm -rf "$here/python/.venv"
  python3 -m venv "$here/python/.venv" || { rm -rf "$here/python/.venv"; /usr/bin/python3 -m venv "$here/python/.venv"; }
  "$python" -m pip install --quiet --requirement "$here/python/requirements.txt"
}

prepare_python() {
  need python3 python3-venv
  unless_done "$here/python/.venv/installed" "$(sum_of "$here/python/requirements.txt")" install_python
}

install_node() {
  say "installing the Node packages"
  (cd "$here/node" && npm ci --no-audit --no-fund --loglevel=error >&2)
}

prepare_node() {
  need node nodejs
  need npm npm
  unless_done "$here/node/node_modules/installed" "$(sum_of "$here/node/package-lock.json")" install_node
}

build_api_server() {
  say "building kube-apiserver (minutes, once)"
  rm -f "$here"/kube/bin/kube-apiserver-*
  local version='-X k8s.io/component-base/version.gitVersion=v1.34.3'
  version+=' -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34'
  (cd "$here/kube" && CGO_ENABLED=0 GOFLAGS='-mod=mod -trimpath -buildvcs=false' GOWORK=off \
    go build -ldflags "-s -w $version" -o "$KUBE_APISERVER.part" . >&2)
  mv "$KUBE_APISERVER.part" "$KUBE_APISERVER"
}

prepare_kube() {
  prepare_python
  need etcd etcd-server
  need go golang-go
  mkdir -p "$here/kube/bin"
  KUBE_APISERVER="$here/kube/bin/kube-apiserver-$(sum_of "$here/kube/go.sum" "$here/kube/main.go" | head -c 16)"
  export KUBE_APISERVER
  [ -x "$KUBE_APISERVER" ] || build_api_server
}

# Prints the line by which the test command counts. Arguments: suite, passed, failed, skipped, exit code of the runner.
close_with() {
  local failed="$3"
  if [ "$5" != 0 ] && [ "$failed" = 0 ]; then
    failed=1
  fi
  printf '%s: %d passed, %d failed, %d skipped\n' "$1" "$2" "$failed" "$4"
  [ "$failed" = 0 ]
}

from_tap() { awk -v name="$1" '$1 == "#" && $2 == name { n = $3 } END { print n + 0 }' "$scratch/node.tap"; }

run_node() {
  prepare_python # its server launcher
  prepare_node
  local code=0
  (cd "$here/node" && "$python" -m avouch_interop.server node --test --test-concurrency=1 --test-timeout=120000 \
    --test-reporter=spec --test-reporter-destination=stdout \
    --test-reporter=tap --test-reporter-destination="$scratch/node.tap" test/*.test.js) || code=$?
  touch "$scratch/node.tap"
  close_with node "$(from_tap pass)" "$(($(from_tap fail) + $(from_tap cancelled)))" "$(from_tap skipped)" "$code"
}

# Arguments: suite, exit code of pytest. Its counts come from the report which it wrote.
close_pytest() {
  local counts
  counts="$("$python" - "$scratch/$1.xml" <<'PYTHON'
import sys
from pathlib import Path
from xml.etree import ElementTree

suites = list(ElementTree.parse(sys.argv[1]).iter("testsuite")) if Path(sys.argv[1]).exists() else []
total, failures, errors, skipped = (
    sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "failures", "errors", "skipped")
)
failed = min(total, failures + errors)
print(total - failed - skipped, failed, skipped)
PYTHON
)"
  read -r passed failed skipped <<<"$counts"
  close_with "$1" "$passed" "$failed" "$skipped" "$2"
}

run_python() {
  prepare_python
  local code=0
  (cd "$here/python" && "$python" -m avouch_interop.server "$python" -m pytest --junitxml="$scratch/python.xml") || code=$?
  close_pytest python "$code"
}

run_kube() {
  prepare_kube
  local code=0
  (cd "$here/kube" && "$python" -m pytest --basetemp="$scratch/pytest" --junitxml="$scratch/kube.xml") || code=$?
  close_pytest kube "$code"
}

case "$what" in
node | python | kube)
  find_server
  "run_$what"
  ;;
all)
  find_server
  result=0
  for suite in node python kube; do
    # A process of its own, so that a suite which cannot start does not stop the others.
    "${BASH_SOURCE[0]}" "$suite" || result=1
  done
  exit "$result"
  ;;
*)
  say "usage: interop/run.sh node|python|kube|all"
  exit 2
  ;;
esac
