#!/bin/sh
# usage: [DESTDIR=dir] [NODE=/path/to/node] scripts/install.sh
# Installs a built tree (npm ci && npm run build) as /opt/spartan, the command
# spartan, the units, and a configuration if there is none. Starts nothing.
set -eu
cd "$(dirname "$0")/.."
root=${DESTDIR:-}
node=${NODE:-$(command -v node)}
[ -f dist/main.js ] || { echo "not built yet: npm ci && npm run build" >&2; exit 1; }

home=$root/opt/spartan
install -d "$home" "$root/usr/local/bin" "$root/usr/local/share/man/man8" "$root/etc/spartan" \
  "$root/etc/systemd/system" "$root/etc/systemd/network" "$root/etc/NetworkManager/conf.d" "$root/usr/lib/sysusers.d" \
  "$root/usr/lib/tmpfiles.d"

# The new tree is complete before it takes the old one's place.
rm -rf "$home.new"
mkdir "$home.new"
cp -R dist package.json package-lock.json deploy "$home.new"
(cd "$home.new" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund --silent)
rm -rf "$home.old"
mv "$home" "$home.old"
mv "$home.new" "$home"
rm -rf "$home.old"

# V8's helper threads for garbage would take the cores that answers are given on: beside 10,000 tasks
# read anew twice a second, p99 of the cache's answers 4.5 ms with them and 0.6 ms without.
flags=
if "$node" --single-threaded-gc -e 0 2>/dev/null; then flags=' --single-threaded-gc'; fi
printf '#!/bin/sh\nexec %s%s /opt/spartan/dist/main.js "$@"\n' "$node" "$flags" > "$root/usr/local/bin/spartan"
chmod 755 "$root/usr/local/bin/spartan"
install -m 644 deploy/*.service deploy/*.socket deploy/*.timer "$root/etc/systemd/system"
install -m 644 deploy/spartan.sysusers "$root/usr/lib/sysusers.d/spartan.conf"
install -m 644 deploy/spartan.tmpfiles "$root/usr/lib/tmpfiles.d/spartan.conf"
install -m 644 deploy/network/10-spartan.network "$root/etc/systemd/network"
install -m 644 deploy/network/spartan-unmanaged.conf "$root/etc/NetworkManager/conf.d"
[ ! -f deploy/spartan.8 ] || install -m 644 deploy/spartan.8 "$root/usr/local/share/man/man8"
[ -f "$root/etc/spartan/spartan.yaml" ] || install -m 644 deploy/spartan.yaml "$root/etc/spartan"

[ -z "$root" ] || exit 0
systemd-sysusers spartan.conf
systemd-tmpfiles --create spartan.conf
systemctl daemon-reload
cat <<'END'
Next: edit /etc/spartan/spartan.yaml, then
  spartan check --config /etc/spartan/spartan.yaml
  systemctl enable --now spartan spartan-resolvconf
The way out, which puts back /etc/resolv.conf:
  systemctl disable --now spartan spartan-resolvconf
END
