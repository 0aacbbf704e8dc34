#!/bin/bash
# The Debian package: built from the tree, installed, upgraded under traffic, removed, purged.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

if ! command -v gcc >/dev/null || [ ! -d /dist/build ]; then
  skip package "needs gcc and a build for this guest (tests/lab/dist)"
  exit 0
fi
apt() { DEBIAN_FRONTEND=noninteractive dpkg "$@" >>"$results/log.dpkg" 2>&1; }
# What of maped is on the disk, but for what the lab brought
left() {
  find / -xdev -name '*maped*' -not -path '/proc/*' -not -path '/sys/*' -not -path '/root/*' -not -path '/src/*' -not -path '/lab/*' \
    -not -path '/dist/*' -not -path "$state/*" -not -path '/var/lib/dpkg/info/*' 2>/dev/null | sort | tr '\n' ' '
}
pid() { systemctl show -p MainPID --value maped; }

# --- the image as it comes: what the lab has copied goes ---
(cd /dist/tree && find . -type f -printf '/%P\0') | xargs -0 rm -f
rm -rf "$config" /run/maped /usr/share/maped /usr/libexec/maped /usr/share/doc/maped /etc/maped
systemctl daemon-reload
userdel maped 2>/dev/null || true
same package-bare "" "$(left)"
box "$state/before"

cp -a /dist/build /root/build
export MAPED_BUILD=/root/build
mkdir -p "$state/deb"
if ! first=$(../../systemd/build-deb --version 0.1.0 "$state/deb" 2>"$results/log.build-deb"); then
  not_ok package-build "$(tail -n 2 "$results/log.build-deb" | tr '\n' ' ')"
  exit 0
fi
ok package-build
second=$(../../systemd/build-deb --version 0.1.1 "$state/deb" 2>>"$results/log.build-deb")
note "$(dpkg-deb -f "$first" Package Version Architecture Depends | tr '\n' ' ') $(stat -c %s "$first") octets"

# --- installed ---
wan_ra $OCN_A
check package-install apt -i "$first"
check package-enabled systemctl -q is-enabled maped
check package-up up 20 153.240.18.52
same package-as-packed "" "$(dpkg -V maped | grep -vE ' /usr/share/(doc|man)(/|$)')" # which this image leaves out
same package-owner maped "$(ps -o user= -p "$(pid)")"
check package-traffic soon 10 lan udp $SERVER
check package-no-second-way eval "! ../../systemd/install"

# --- upgraded, with a changed maped.conf: it stays, connections too ---
default_config | write_config
sum=$(sha256sum <"$config")
check package-own-config soon 10 eval "journalctl -u maped -o cat --no-pager | grep -q 'maped.conf read'"
job flow lan1 python3 -B "$lab/probe" flow $SERVER "$state/flow"
sleep 1
old=$(pid) tunnel=$(cat /sys/class/net/map0/ifindex)
check package-upgrade apt --force-confold -i "$second"
check package-upgrade-up up 20 153.240.18.52
same package-upgrade-version 0.1.1 "$(dpkg-query -W -f '${Version}' maped)"
if [ "$old" = "$(pid)" ]; then not_ok package-upgrade-new-process "the old one still runs"; else ok package-upgrade-new-process; fi
same package-upgrade-same-tunnel "$tunnel" "$(cat /sys/class/net/map0/ifindex)"
sleep 1
same package-upgrade-flow-unhurt "" "$(awk '$2 == "lasting" { if (last && $1 - last > 1.5) print $1 - last; last = $1 }' "$state/flow" | head -n 1)"
job_end flow
same package-upgrade-config "$sum" "$(sha256sum <"$config")"

# --- removed: the box as it was, the owner's files stay ---
echo '# mine' >/etc/maped/rules/own.conf
# Started with a broken file it has ended, and IPv4 stands: that goes as well
cp "$config" "$state/config"
echo 'maP = { };' | write_config
check package-broken-ends eval '! systemctl restart maped'
cp "$state/config" "$config"
check package-broken-stands [ -e /sys/class/net/map0 ]
check package-remove apt -r maped
job_end ra
wan_reset
box "$state/after"
# the lab's wan0 is another one
for file in before after; do sed -E 's/^[0-9]+: //; s/@if[0-9]+//' "$state/$file" >"$state/$file.plain"; done
same_box package-remove-box "$state/before.plain" "$state/after.plain"
check package-remove-keeps-config [ "$sum" = "$(sha256sum <"$config")" ]
check package-remove-keeps-rules [ -s /etc/maped/rules/own.conf ]
check package-removed-is-gone eval "! systemctl -q cat maped"

# --- back, and purged ---
wan_ra $OCN_A
check package-again apt -i "$second"
check package-again-up up 20 153.240.18.52
check package-purge apt -P maped
same package-purge-leaves-nothing "" "$(left)"
same package-purge-user "" "$(getent passwd maped || true)"
check package-purge-no-tunnel [ ! -e /sys/class/net/map0 ]
no_violations package-br
wan_reset
if [ -d /dist/tree ]; then tar -C /dist/tree -c . | tar -C / -x --keep-directory-symlink; fi
systemd-sysusers
systemd-tmpfiles --create maped.conf
systemctl daemon-reload
