#!/bin/sh
# usage: SPARTAN_LINK=spartan SPARTAN_ADDRESSES="198.51.100.1/32 ..." spartan-addresses.sh
# Creates a dummy interface with these addresses. Existing ones are not changed. If the kernel has no dummy
# interfaces, the addresses are added to the loopback interface.
set -eu
link=${SPARTAN_LINK:-spartan}
addresses=${SPARTAN_ADDRESSES:-198.51.100.1/32 198.51.100.2/32 198.51.100.3/32 fd01:d::c633:6401/128}

exists() { ip link show dev "$1" >/dev/null 2>&1; }

# If two run at once, the second one finds the interface.
exists "$link" || ip link add "$link" type dummy 2>/dev/null || exists "$link" || {
  echo "no dummy interface can be made, using lo" >&2
  link=lo
}
ip link set dev "$link" up

failed=0
for address in $addresses; do
  case $address in
    # On a host without IPv6, only IPv4 addresses are added.
    *:*) [ -e /proc/net/if_inet6 ] || continue ;;
  esac
  case $address in
    *:*) ip address replace "$address" dev "$link" nodad || echo "no $address: left out" >&2 ;;
    *) ip address replace "$address" dev "$link" || failed=1 ;;
  esac
done
exit $failed
