#!/bin/sh
# Run by spartan.service whenever it stops, before (ExecStop) and after (ExecStopPost). Does nothing if the service will
# start again: after a crash, and in a restart. If an operator stops it, the host's own resolver is restored before the
# last answer, and the sockets are closed afterwards, because otherwise the next query would start the forwarder again.
known=/run/spartan-restarts
# Nobody answers between the two calls of a restart, so the second does not ask the service manager again.
if [ -r "$known" ] && read -r restarts <"$known" && [ "$restarts" = "$INVOCATION_ID" ]; then exit 0; fi
case " $(systemctl --no-legend list-jobs spartan.service) " in
*" stop "*) ;;
*)
  echo "$INVOCATION_ID" >"$known"
  exit 0
  ;;
esac
rm -f "$known"
# The order of the two units says that the socket stops after the service, which waits for this script: without
# ignore-dependencies this call would never return, and with --no-block systemctl would warn that the socket can still
# start the service. The daemon goes on answering with its own descriptors of the sockets.
systemctl --job-mode=ignore-dependencies stop spartan.socket
systemctl stop spartan-resolvconf.service
