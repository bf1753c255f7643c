#!/bin/sh
# Installs the C servers that `npm run bench` measures beside us, from Debian:
#   scripts/bench/peers.sh [package ...]
# Nothing is configured and no service is started; the bench writes each one a
# configuration of its own and runs it as a child on loopback.
set -eu

packages=${*:-unbound dnsdist dnsmasq smartdns pdns-recursor knot-resolver bind9}

if [ "$(id -u)" -ne 0 ]; then
  echo 'peers.sh: installing packages needs root' >&2
  exit 1
fi

# Debian starts a service as soon as it is installed unless this file says no.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update -q
for package in $packages; do
  # One that a release does not carry is no reason to go without the others.
  apt-get install -q -y --no-install-recommends "$package" ||
    echo "peers.sh: $package cannot be installed, the bench goes without it" >&2
done
