#!/bin/sh
# usage: SPARTAN_LINK=spartan SPARTAN_ADDRESSES="198.51.100.1/32 ..." spartan-addresses.sh
# Makes a dummy interface with these addresses. What exists already is left as
# it is. Where the kernel has no dummy interfaces, they go to the loopback one.
set -eu
link=${SPARTAN_LINK:-spartan}
addresses=${SPARTAN_ADDRESSES:-198.51.100.1/32 198.51.100.2/32 198.51.100.3/32 fd01:d::c633:6401/128}

exists() { ip link show dev "$1" >/dev/null 2>&1; }

# Two of us at once: whoever comes second finds it there.
exists "$link" || ip link add "$link" type dummy 2>/dev/null || exists "$link" || {
  echo "no dummy interface can be made, using lo" >&2
  link=lo
}
ip link set dev "$link" up

failed=0
for address in $addresses; do
  case $address in
    # A host without IPv6 is served over IPv4.
    *:*) [ -e /proc/net/if_inet6 ] || continue ;;
  esac
  case $address in
    *:*) ip address replace "$address" dev "$link" nodad || echo "no $address: left out" >&2 ;;
    *) ip address replace "$address" dev "$link" || failed=1 ;;
  esac
done
exit $failed
