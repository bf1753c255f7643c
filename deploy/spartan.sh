#!/bin/sh
# The command spartan: runs the program with the first Node found here. The
# package spartan-node brings one; the installer may name another.
# V8's helper threads for garbage would take the cores that answers are given
# on, hence --single-threaded-gc.
# "spartan --compile" is for the package's scripts: it compiles the program for
# this Node, so that it starts faster.
program=program/main
[ "${1:-}" != --compile ] || program=compile
for node in "${SPARTAN_NODE:-}" /usr/lib/spartan/node/bin/node /usr/bin/node /usr/local/bin/node; do
  [ -z "$node" ] || [ ! -x "$node" ] ||
    exec "$node" --single-threaded-gc "/usr/lib/spartan/dist/$program.js" "$@"
done
echo "spartan: there is no Node on this host: install the package spartan-node, or nodejs 20.18.1 or later" >&2
exit 1
