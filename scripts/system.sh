#!/usr/bin/env bash
# Installs from Debian what some tests use: as root if it is missing, else it says what is left out.
set -euo pipefail

missing=()
without=()
want() { # command, package, what is left out without it
  command -v "$1" >/dev/null && return
  missing+=("$2")
  without+=("$3")
}
want chromium chromium "the tests that look at the HTML report in a browser"
want prometheus prometheus "the tests against a real Prometheus"
want nginx nginx-light "the tests of the edge of the stack"
want prometheus-alertmanager prometheus-alertmanager "the tests against a real Alertmanager"
[ ${#missing[@]} -gt 0 ] || exit 0

# Debian starts services that it installs, unless a policy forbids it; the tests start their own.
forbid_services() {
  [ -e /usr/sbin/policy-rc.d ] && return
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
}

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  forbid_services
  apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null && exit 0
fi
printf -v left_out '%s; ' "${without[@]}"
echo "not installed: ${missing[*]}; left out without it: ${left_out%; }" >&2
