#!/bin/sh
# usage: spartan-stop.sh [handover]
# Run by spartan.service whenever it stops: with "handover" before the daemon is told to end, and without it after the
# end. After a crash it does nothing, because the service starts again by itself.
jobs=" $(systemctl --no-legend list-jobs spartan.service spartan.socket) "
case $jobs in
  # An operator stops it: the host's own resolver is restored before the last answer, and the sockets are closed
  # afterwards, because otherwise the next query would start the forwarder again.
  *spartan.service*" stop "*)
    # The order of the two units says that the socket stops after the service, which waits for this script: without
    # ignore-dependencies this call would never return, and with --no-block systemctl would warn that the socket can
    # still start the service. The daemon goes on answering with its own descriptors of the sockets.
    systemctl --job-mode=ignore-dependencies stop spartan.socket
    systemctl stop spartan-resolvconf.service spartan-handover.service
    ;;
  # Its sockets are replaced, too; another process must not hold them.
  *spartan.socket*) ;;
  # A restart: returns when the handover answers, or cannot; then it is a restart in which queries wait.
  *" restart "*) [ "$1" != handover ] || systemctl start spartan-handover.service ;;
esac
