#!/bin/sh
# Tries stock clients of others against the simulator:
#
#   SIMULATOR="target/release/waypost simulator" crates/simulator/clients/try.sh [baileys-6] [baileys-7] [pyaileys]
#
# Packages come from npm and PyPI into a folder of their own (CLIENTS, or a new one). Nothing in them is changed: what a
# client holds as a constant, the drivers set at run time.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
clients=${CLIENTS:-$(mktemp -d)}
: "${SIMULATOR:=waypost simulator}"
export SIMULATOR
status=0

baileys() { # name, version, overrides of package.json
    if [ ! -d "$clients/$1/node_modules" ]; then
        mkdir -p "$clients/$1"
        printf '{"private": true, "overrides": %s}' "$3" > "$clients/$1/package.json"
        (cd "$clients/$1" && npm install --silent --ignore-scripts "@whiskeysockets/baileys@$2" pino)
    fi
    echo "== Baileys $2"
    state=$(mktemp -d)
    BAILEYS="$clients/$1/node_modules/@whiskeysockets/baileys/lib/index.js" STATE="$state" \
        node "$here/baileys.mjs" || status=1
    rm -rf "$state"
}

for client in "${@:-baileys-6 baileys-7 pyaileys}"; do
    for name in $client; do
        case $name in
            # Its Signal library is named by a git address; the same one is on npm.
            baileys-6) baileys "$name" 6.7.24 '{"libsignal": "npm:libsignal@6.0.0"}' ;;
            baileys-7) baileys "$name" 7.0.0-rc14 '{}' ;;
            pyaileys)
                if [ ! -d "$clients/$name" ]; then
                    python3 -m venv "$clients/$name"
                    "$clients/$name/bin/pip" install --quiet pyaileys==0.1.5
                fi
                echo "== pyaileys 0.1.5"
                state=$(mktemp -d)
                STATE="$state" "$clients/$name/bin/python" -B "$here/pyaileys_driver.py" || status=1
                rm -rf "$state"
                ;;
            *) echo "no client is called $name" >&2; exit 64 ;;
        esac
    done
done
exit $status
