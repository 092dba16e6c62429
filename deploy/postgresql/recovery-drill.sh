#!/bin/sh
# A drill of point-in-time recovery: a catalog on PostgreSQL is brought back to the moment before a wrong deletion.
#
#   deploy/postgresql/recovery-drill.sh
#
# Makes a server and a site of its own in a temporary folder, touches no other, and removes both (KEEP=1 keeps them). Needs
# towpath on PATH and PostgreSQL's server programs (PGBIN names their folder). Ends with 0 if all came back.
# The steps are those of docs/howto/point-in-time-recovery.md.
set -eu

PGBIN=${PGBIN:-$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)}
[ -x "${PGBIN:-}/initdb" ] || PGBIN=$(dirname "$(command -v initdb || echo "the server programs of PostgreSQL/")")
[ -x "$PGBIN/initdb" ] || { echo "initdb was not found: install PostgreSQL, or set PGBIN" >&2; exit 1; }

drill=$(mktemp -d -t towpath-drill-XXXXXX) # TMPDIR says where; a socket's path may not be long
if [ "$(id -u)" = 0 ]; then # a server refuses to run as root
    user=$(id -un postgres 2>/dev/null || echo nobody)
    chown "$user" "$drill"
    server() { setpriv --reuid="$user" --regid="$(id -gn "$user")" --clear-groups "$@"; }
else
    server() { "$@"; }
fi
finish() {
    for data in "$drill/primary" "$drill/recovered"; do
        [ ! -f "$data/postmaster.pid" ] || server "$PGBIN/pg_ctl" -D "$data" -m immediate stop >/dev/null 2>&1 || true
    done
    [ -n "${KEEP:-}" ] || rm -rf "$drill"
}
trap finish EXIT
trap 'exit 1' INT TERM
cd "$drill"

step() { printf '\n== %s\n' "$*"; }
sql() { "$PGBIN/psql" --no-psqlrc -qAtX -v ON_ERROR_STOP=1 -h "$drill" -U towpath -d site -c "$1"; }
start() { server "$PGBIN/pg_ctl" -D "$1" -l "$drill/log" -w -o "-k $drill -c listen_addresses=" start >/dev/null; }
facts() { # what must be the same before the deletion and after the recovery
    sql "SELECT 'items', count(*), md5(string_agg(i::text, '|' ORDER BY id)) FROM towpath.items i UNION ALL
         SELECT 'work', count(*), md5(string_agg(w::text, '|' ORDER BY id)) FROM towpath.work w UNION ALL
         SELECT 'products', count(*), md5(string_agg(p::text, '|' ORDER BY id)) FROM towpath.products p UNION ALL
         SELECT 'events', count(*), md5(string_agg(e::text, '|' ORDER BY seq)) FROM towpath.events e"
}
arrive() { # one more file for the site, and what follows from it
    printf 'time,value\n0,%s.0\n1,%s.1\n2,%s.2\n' "$2" "$2" "$2" >"levels/incoming/$1.csv"
    towpath run --site levels >/dev/null 2>&1
}

step "1. a server that archives its write-ahead log"
server mkdir archive
server "$PGBIN/initdb" -D primary -U towpath -A trust -E UTF8 >/dev/null
server tee -a primary/postgresql.conf >/dev/null <<CONF
archive_mode = on
archive_command = 'test ! -f $drill/archive/%f && cp %p $drill/archive/%f'
wal_level = replica
CONF
start primary
"$PGBIN/createdb" -h "$drill" -U towpath site

step "2. a site works on it"
towpath new levels >/dev/null
export TOWPATH_SITE__CATALOG="postgresql://towpath@/site?host=$drill"
arrive second 2

step "3. a base backup, while the site goes on"
server "$PGBIN/pg_basebackup" -h "$drill" -U towpath -D base -c fast -X none
arrive third 3
facts | tee before
moment=$(sql "SELECT clock_timestamp()")

step "4. a wrong deletion, noticed only after more work"
sql "DELETE FROM towpath.items WHERE key <> 'first'"
sql "DELETE FROM towpath.products"
arrive fourth 4 || true # it is no longer well, and says so
[ "$(facts)" != "$(cat before)" ]
last=$(sql "SELECT pg_walfile_name(pg_switch_wal())")
tries=0
until [ -f "archive/$last" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 600 ] || { echo "the log $last was not archived" >&2; exit 1; }
    sleep 0.1
done
server "$PGBIN/pg_ctl" -D primary -m fast -w stop >/dev/null

step "5. recovery to $moment"
server cp -a base recovered
server touch recovered/recovery.signal
server tee -a recovered/postgresql.conf >/dev/null <<CONF
restore_command = 'cp $drill/archive/%f %p'
recovery_target_time = '$moment'
recovery_target_action = promote
archive_mode = off
CONF
start recovered
until [ "$(sql "SELECT pg_is_in_recovery()")" = f ]; do sleep 0.1; done

step "6. the catalog is as it was"
facts | diff before -
towpath db check --site levels

step "7. the site is told, and takes in what is newer on disk"
towpath db restored --site levels
towpath inventory reconcile --site levels
towpath inventory reconcile --newer adopt --write --why "found after the drill" --site levels

step "8. it goes on: nothing is made again, and no place on disk is written again"
towpath plan --site levels
find levels/store -name '*.csv' | sort >files
towpath run --site levels || true # a publication of after the moment may have to be decided by a person
find levels/store -name '*.csv' | sort | diff files -
echo "the drill is passed"
